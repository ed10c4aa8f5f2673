"""Sound of cameras: G.711 as exact FLAC, and a recording's audio track. Pure rules, no thread and no library."""
