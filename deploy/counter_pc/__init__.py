"""The virtual counter PC: a desktop that works through approval forms."""
