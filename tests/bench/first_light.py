"""`make bench NAME=first_light`: live latency, recording beside ffmpeg, and the case page over a month of rows."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.bench import case_page, live, recorder
from tests.bench.report import Row, write

CAMERAS = 20


def recording() -> list[Row]:
    """recorder.cpu_ratio@20 and recorder.memory_ratio@20: whole process trees, same source, same run."""
    with tempfile.TemporaryDirectory(prefix="sunhall-bench-") as folder:
        found = recorder.measure(Path(folder), cameras=CAMERAS)
    at = f"@{CAMERAS}"
    kept = found[f"recorder.frames_share{at}"]
    note = f"1080p25, 3.5 Mbit/s each; peer: one ffmpeg -c copy per camera; share of frames kept {kept:.4f}"
    cpu, peer_cpu = found[f"recorder.cpu_cores{at}"], found[f"ffmpeg.cpu_cores{at}"]
    memory, peer_memory = found[f"recorder.pss_mib{at}"], found[f"ffmpeg.pss_mib{at}"]
    return [
        Row(f"recorder.cpu_ratio{at}", cpu * 100, "% of a core", peer_cpu * 100, note),
        Row(f"recorder.memory_ratio{at}", memory, "MiB PSS", peer_memory, note),
    ]


PARTS: dict[str, Callable[[], list[Row]]] = {"live": live.rows, "recorder": recording, "case": case_page.rows}


def main(wanted: list[str]) -> None:
    """All parts, or those named on the command line."""
    rows = [row for name, part in PARTS.items() if name in (wanted or PARTS) for row in part()]
    write("first_light", rows)


if __name__ == "__main__":
    main(sys.argv[1:])
