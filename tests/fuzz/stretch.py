"""Looks for inputs that cost more than their length: pieces of the corpus are repeated up to 256 KiB and timed.

A coverage-guided engine keeps inputs short, so it hardly ever sees what grows with the square of the length.
Runs in a process of its own, without instruments: `python -m tests.fuzz.stretch TARGET WORK --seconds 10`. Inputs that
another engine thought slow are measured first; those that are not are forgotten.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

from storage.clock import Clock, SystemClock
from tests.fuzz.findings import LARGE, SLOW_PREFIX, Findings, allowed_ns, cost_ns
from tests.fuzz.limits import limit_memory
from tests.fuzz.targets import LONGEST, run
from tests.fuzz.words import words

_SHARES = (16, 4)  # a sixteenth of the longest input, a quarter; if those hint at it, the whole
_SQUARED = 6  # times the cost for four times the length: more than in proportion
_CERTAIN = 3


def stretched(chance: random.Random, inputs: list[bytes], pieces: tuple[bytes, ...]) -> Callable[[int], bytes]:
    """An input by its size: the head of one, a short piece over and over, and perhaps the tail."""
    whole = chance.choice(inputs)
    start = chance.randrange(len(whole) + 1)
    end = min(len(whole), start + chance.choice((1, 2, 4, 8, 16, 64, 512)))
    piece = whole[start:end]
    if chance.random() < 0.5 or not piece:
        word, at = chance.choice(pieces), chance.randrange(len(piece) + 1)
        piece = piece[:at] + word + piece[at:]
    if chance.random() < 0.3:
        piece = bytes((chance.randrange(256),)) + piece
    tail = whole[end:] if chance.random() < 0.5 else b""
    return lambda size: (whole[:start] + piece * (size // len(piece) + 1))[: max(size - len(tail), 0)] + tail


def grows(cost_of: Callable[[bytes], int], make: Callable[[int], bytes], longest: int) -> bytes | None:
    """The input of `longest` bytes when shorter ones hint that it is too costly; `cost_of` is in ns of CPU time."""
    before = 0
    for share in _SHARES:
        cost = cost_of(make(longest // share))
        squared = not before or cost > before * _SQUARED
        if 2 * cost * (share * share if squared else share) < allowed_ns(longest):
            return None
        before = cost
    return make(longest)


def still_slow(feed: Callable[[bytes], None], data: bytes) -> bool:
    """Measured more than once, as the machine may be busy."""
    return min(cost_ns(feed, data) for _ in range(_CERTAIN)) > allowed_ns(len(data))


def _quiet(feed: Callable[[bytes], None], data: bytes) -> None:
    """Errors are for `Findings`, which sees the input afterwards."""
    try:
        feed(data)
    except Exception:  # noqa: BLE001 - only the time counts here
        return


def hunt(name: str, work: Path, seconds: float, chance: random.Random, clock: Clock) -> int:
    """How many inputs were fed."""
    feed = partial(run, name)
    timed = partial(_quiet, feed)
    findings = Findings(feed, work / "found")
    for path in sorted((work / "found").glob(f"{SLOW_PREFIX}*")):
        if not still_slow(timed, path.read_bytes()):
            path.unlink()
    inputs = [path.read_bytes() for path in sorted((work / "corpus").iterdir())]
    fed, until = 0, clock.monotonic() + seconds
    while clock.monotonic() < until:
        data = grows(partial(cost_ns, timed), stretched(chance, inputs, words(name)), LONGEST.get(name, LARGE))
        fed += len(_SHARES)
        if data is not None and still_slow(timed, data):
            findings.take(data)
    return fed


def main() -> None:
    """Prints the number of inputs as libFuzzer does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("work", type=Path)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    limit_memory()
    fed = hunt(options.target, options.work, options.seconds, random.Random(options.seed), SystemClock())
    print(f"stat::number_of_executed_units: {fed}")


if __name__ == "__main__":
    main()
