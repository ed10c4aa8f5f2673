"""Looks for inputs that cost more than their length: pieces of the corpus are repeated up to 256 KiB and timed.

A coverage-guided engine keeps inputs short, so it hardly ever sees what grows with the square of the length.
Runs in a process of its own, without instruments: `python -m tests.fuzz.stretch TARGET WORK --seconds 10`. Inputs that
another engine thought slow are measured first; those that are not are forgotten.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from dataclasses import dataclass
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
_KEPT = 12


@dataclass(frozen=True, slots=True)
class Recipe:
    """An input of any length: a head, a piece over and over, a tail."""

    head: bytes
    piece: bytes
    tail: bytes

    def of(self, size: int) -> bytes:
        """The input of `size` bytes, cut or filled up by the piece."""
        filled = self.head + self.piece * (size // len(self.piece) + 1)
        return filled[: max(size - len(self.tail), 0)] + self.tail[:size]


def invent(chance: random.Random, inputs: list[bytes], pieces: tuple[bytes, ...]) -> Recipe:
    """What repeats is a short part of an input, in its place, or a word of the format there."""
    whole = chance.choice(inputs)
    start = chance.randrange(len(whole) + 1)
    end = min(len(whole), start + chance.choice((chance.randrange(1, 9), chance.randrange(1, 100), 512)))
    piece = whole[start:end]
    if chance.random() < 0.4 or not piece:
        word, at = chance.choice(pieces), chance.randrange(len(piece) + 1)
        piece = piece[:at] + word + piece[at:]
    return Recipe(whole[:start], piece, whole[end:] if chance.random() < 0.5 else b"")


def vary(chance: random.Random, recipe: Recipe, pieces: tuple[bytes, ...]) -> Recipe:
    """Nearly the same: a byte of the piece, its edges, its place behind the head, or the tail."""
    head, piece = bytearray(recipe.head), bytearray(recipe.piece)
    at = chance.randrange(len(piece))
    match chance.randrange(6):
        case 0:
            piece[at] = chance.choice((chance.randrange(256), 0, 1, 255))
        case 1:
            piece[at:at] = chance.randbytes(1)
        case 2 if len(piece) > 1:
            del piece[at]
        case 3 if head:
            head[chance.randrange(len(head))] = chance.randrange(256)
        case 4:
            piece = bytearray(chance.choice((piece + piece[: at + 1], piece[at:] + piece[:at])))
        case _:
            piece[at:at] = chance.choice(pieces)
    return Recipe(bytes(head), bytes(piece), b"" if chance.random() < 0.2 else recipe.tail)


def grows(cost_of: Callable[[bytes], int], make: Callable[[int], bytes], longest: int) -> tuple[int, bytes | None]:
    """What a short input costs, and the input of `longest` bytes when shorter ones hint that it costs too much.

    `cost_of` is in ns of CPU time.
    """
    first = before = 0
    for share in _SHARES:
        cost = cost_of(make(longest // share))
        first = first or cost
        squared = not before or cost > before * _SQUARED
        if 2 * cost * (share * share if squared else share) < allowed_ns(longest):
            return first, None
        before = cost
    return first, make(longest)


class Costliest:
    """The few recipes whose short inputs cost most."""

    def __init__(self) -> None:
        self._kept: list[tuple[int, Recipe]] = []

    def __bool__(self) -> bool:
        return bool(self._kept)

    def add(self, cost: int, recipe: Recipe) -> None:
        """Keep it if it is one of them."""
        self._kept.append((cost, recipe))
        self._kept.sort(key=lambda kept: -kept[0])
        del self._kept[_KEPT:]

    def one(self, chance: random.Random) -> Recipe:
        """Any of them."""
        return chance.choice(self._kept)[1]


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
    fed, until, costliest, pieces = 0, clock.monotonic() + seconds, Costliest(), words(name)
    while clock.monotonic() < until:
        again = costliest and chance.random() < 0.5
        recipe = vary(chance, costliest.one(chance), pieces) if again else invent(chance, inputs, pieces)
        cost, data = grows(partial(cost_ns, timed), recipe.of, LONGEST.get(name, LARGE))
        costliest.add(cost, recipe)
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
