"""From access units to committed segments: timing, cutting, the disk and the archive."""
