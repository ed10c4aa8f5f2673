"""Faults of the whole gateway, process by process; each test asks the catalog and the pictures' own numbers."""
