"""ZoneMinder's zmc beside us, where it is installed."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.bench.live_source import LiveSource
from tests.bench.process_tree import Steady
from tests.bench.report import Row


def rows(folder: Path, source: LiveSource, seconds: int, ours: Steady) -> list[Row]:
    """recorder.cpu_vs_zoneminder@20."""
    del folder, seconds, source
    at = "@20"
    if shutil.which("zmc") is None:
        return [
            Row(
                f"recorder.cpu_vs_zoneminder{at}", ours.cores * 100, "% of a core", note="no peer: zmc is not installed"
            )
        ]
    return []
