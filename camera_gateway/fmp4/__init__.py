"""Our own fragmented-MP4 writer and reader: boxes, parameter sets, files and single-frame fragments."""
