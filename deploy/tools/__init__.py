"""Scripts for developers and installers."""
