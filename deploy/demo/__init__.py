"""The virtual hall: what a user would set up by hand, done through the public API."""
