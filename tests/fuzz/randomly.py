"""One target under random mutations, where atheris has no wheel: `python -m tests.fuzz.randomly TARGET WORK`."""

from __future__ import annotations

import argparse
import random
from functools import partial
from pathlib import Path

from storage.clock import SystemClock
from tests.fuzz.findings import Findings
from tests.fuzz.limits import limit_memory
from tests.fuzz.targets import run
from tests.fuzz.words import words


def mutate(chance: random.Random, data: bytes, others: list[bytes], pieces: tuple[bytes, ...]) -> bytes:
    """One to eight changes: flip, overwrite, insert, cut, double, splice with another entry."""
    changed = bytearray(data)
    for _ in range(chance.randrange(1, 9)):
        at = chance.randrange(len(changed) + 1)
        match chance.randrange(6):
            case 0 if changed:
                changed[at % len(changed)] ^= 1 << chance.randrange(8)
            case 1:
                piece = chance.choice(pieces)
                changed[at : at + len(piece)] = piece
            case 2:
                changed[at:at] = chance.choice((chance.randbytes(chance.randrange(1, 16)), chance.choice(pieces)))
            case 3:
                del changed[at : at + chance.randrange(1, 64)]
            case 4:
                changed[at:at] = changed[at : at + chance.randrange(1, 256)]
            case _:
                other = chance.choice(others)
                changed[at:] = other[chance.randrange(len(other) + 1) :]
    return bytes(changed)


def main() -> None:
    """Prints the number of inputs as libFuzzer does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("work", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    limit_memory()
    chance, pieces = random.Random(options.seed), words(options.target)
    findings = Findings(partial(run, options.target), options.work / "found")
    corpus = [path.read_bytes() for path in sorted((options.work / "corpus").iterdir())]
    clock = SystemClock()
    fed, until = 0, clock.monotonic() + options.seconds
    while clock.monotonic() < until:
        findings.take(mutate(chance, chance.choice(corpus), corpus, pieces))
        fed += 1
    print(f"stat::number_of_executed_units: {fed}")


if __name__ == "__main__":
    main()
