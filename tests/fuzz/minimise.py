"""Chooses, of all inputs of a hunt, few that together reach all that any of them reaches.

`python -m tests.fuzz.minimise TARGET WORK` replaces the `grown-` entries of a corpus. Entries that people put
there, and findings, always stay.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, TypeAlias

from tests.fuzz.findings import FATAL
from tests.fuzz.limits import limit_memory
from tests.fuzz.targets import CORPUS, GROWN, PACKED, read_entry, run

MOST_GROWN = 150
MOST_GROWN_BYTES = 200 * 1024
LONGEST_GROWN = 16 * 1024
_ROOT = str(Path(__file__).parents[2])
_PRODUCT = tuple(f"{_ROOT}/{part}/" for part in ("camera_gateway", "console", "deploy", "screen_capture", "storage"))
_MOST_INPUTS = 6000
_OFTEN = 8  # bits of a number of times that are told apart

Step: TypeAlias = tuple[int, int, int]
Reach: TypeAlias = frozenset[tuple[Step, int]]
Tracer: TypeAlias = Callable[[FrameType, str, Any], Any]


class Steps:
    """Which steps from line to line an input takes in the product, and how often: once, twice, up to 3, 7, 15…"""

    def __init__(self, feed: Callable[[bytes], None]) -> None:
        self._feed = feed
        self._steps: dict[Step, int] = {}

    def of(self, data: bytes) -> Reach:
        """Feeds `data`; errors of the target are for others to see."""
        self._steps = {}
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            with suppress(Exception):
                self._feed(data)
        finally:
            sys.settrace(before)
        return frozenset((step, min(count.bit_length(), _OFTEN)) for step, count in self._steps.items())

    def _enter(self, frame: FrameType, event: str, argument: object) -> Tracer | None:
        del event, argument
        if not frame.f_code.co_filename.startswith(_PRODUCT):
            return None
        code, last, steps = hash(frame.f_code), 0, self._steps

        def step(frame: FrameType, event: str, argument: object) -> Tracer:
            nonlocal last
            del argument
            if event == "line":
                taken = (code, last, frame.f_lineno)
                steps[taken] = steps.get(taken, 0) + 1
                last = frame.f_lineno
            return step

        return step


def choose(inputs: dict[bytes, Reach], covered: set[tuple[Step, int]], most: int, most_bytes: int) -> list[bytes]:
    """The inputs that add most to `covered`, the shorter of equals first, up to a number and a size."""
    chosen: list[bytes] = []
    left, room = dict(inputs), most_bytes
    while left and len(chosen) < most:
        left = {data: new for data, steps in left.items() if (new := steps - covered) and len(data) <= room}
        if not left:
            break
        best = max(left, key=lambda data: (len(left[data]), -len(data)))
        chosen.append(best)
        covered |= left.pop(best)
        room -= len(best)
    return chosen


def minimise(name: str, work: Path) -> list[Path]:
    """Replace the `grown-` entries of a target."""
    folder, steps = CORPUS / name, Steps(partial(run, name))
    covered: set[tuple[Step, int]] = set()
    grown = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(GROWN):
            grown.append(path)
        elif path.suffix != PACKED and not path.name.startswith(FATAL):
            covered |= steps.of(path.read_bytes())
    paths = sorted((*grown, *(work / "corpus").iterdir()), key=lambda path: path.stat().st_size)[:_MOST_INPUTS]
    inputs = {data: steps.of(data) for path in paths if len(data := read_entry(path)) <= LONGEST_GROWN}
    chosen = choose(inputs, covered, MOST_GROWN, MOST_GROWN_BYTES)
    names = {folder / f"{GROWN}{hashlib.sha256(data).hexdigest()[:12]}": data for data in chosen}
    for path in set(grown) - set(names):
        path.unlink()
    for path, data in names.items():
        path.write_bytes(data)
    return sorted(names)


def main() -> None:
    """Says how many entries there are."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("work", type=Path)
    options = parser.parse_args()
    limit_memory()
    print(f"{len(minimise(options.target, options.work))} entries grown")


if __name__ == "__main__":
    main()
