"""One command that runs a hall: folders, settings, processes."""
