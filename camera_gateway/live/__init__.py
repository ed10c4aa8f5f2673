"""Live pictures: from ingest workers over a Unix socket to the API process, and from there to viewers."""
