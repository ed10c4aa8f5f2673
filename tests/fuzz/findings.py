"""Feeds a target, measures what an input costs, and keeps the inputs that it could not take.

Imports nothing of the product, so that an engine may instrument the product before it is imported.
"""

from __future__ import annotations

import hashlib
import re
import time
import traceback
from collections.abc import Callable
from pathlib import Path

SLOW_PREFIX = "slow-"
FATAL = "fatal-"
"""Inputs that ended a process; named anew when they are mended."""
LARGE = 256 * 1024
_FIXED_NS = 150_000_000
_LARGE_NS = 1_000_000_000
_PLACE = re.compile(r"[^a-z0-9]+")


def allowed_ns(size: int) -> int:
    """CPU time that an input of `size` bytes may cost: 1 s for 256 KiB, in proportion, and 0.15 s that are free."""
    return _FIXED_NS + _LARGE_NS * size // LARGE


def cost_ns(feed: Callable[[bytes], None], data: bytes) -> int:
    """CPU time of this process for one input."""
    began = time.process_time_ns()
    feed(data)
    return time.process_time_ns() - began


class Findings:
    """What one target could not take: of each place that raises the smallest input, and the most costly input.

    `patience` is how many times the allowed CPU time an input may cost, for engines whose instruments cost time.
    """

    def __init__(self, feed: Callable[[bytes], None], folder: Path, *, patience: int = 1) -> None:
        self._feed = feed
        self._folder = folder
        self._patience = patience
        self._kept: dict[str, Path] = {}
        self._sizes: dict[str, int] = {}
        self._worst = 0.0

    def take(self, data: bytes) -> None:
        """Feed the target; never raises but for what ends a process."""
        try:
            cost = cost_ns(self._feed, data)
        except Exception as error:  # noqa: BLE001 - any error is what a fuzzer looks for
            self._raised(data, error)
            return
        share = cost / (allowed_ns(len(data)) * self._patience)
        if share > max(self._worst, 1.0):
            self._worst = share
            print(f"slow: {cost / 1e9:.2f} s of CPU for {len(data)} bytes", flush=True)
            self._keep("slow", "slow", data)

    def _raised(self, data: bytes, error: Exception) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        bucket = f"{type(error).__name__} {frames[-1].filename}:{frames[-1].lineno}"
        if len(data) >= self._sizes.get(bucket, len(data) + 1):
            return
        if bucket not in self._sizes:
            traceback.print_exception(error)
        self._sizes[bucket] = len(data)
        self._keep(bucket, f"crash-{type(error).__name__}-{Path(frames[-1].filename).stem}", data)

    def _keep(self, bucket: str, kind: str, data: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        name = f"{_PLACE.sub('-', kind.lower())}-{hashlib.sha256(data).hexdigest()[:12]}"
        path = self._folder / name
        path.write_bytes(data)
        before = self._kept.get(bucket)
        if before is not None and before != path:
            before.unlink(missing_ok=True)
        self._kept[bucket] = path
