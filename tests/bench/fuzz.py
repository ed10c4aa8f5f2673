"""`make fuzz MINUTES=60`: mutates the corpus and feeds it to every parser; findings are kept in fuzz-work/."""

from __future__ import annotations

import argparse
import hashlib
import random
import traceback
from pathlib import Path

from storage.clock import SystemClock
from tests.fuzz.targets import TARGETS, run, seeds

WORK = Path("fuzz-work")
ROUND = 200
INTERESTING = (
    b"\x00" * 4,
    b"\xff" * 4,
    b"\x7f\xff\xff\xff",
    b"\x80\x00\x00\x00",
    b"\x00\x00\x00\x01",
    b"{",
    b"[",
    b"<",
)


def mutate(chance: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """One to eight changes: flip, overwrite, insert, cut, double, splice with another entry."""
    changed = bytearray(data)
    for _ in range(chance.randrange(1, 9)):
        at = chance.randrange(len(changed) + 1)
        match chance.randrange(6):
            case 0 if changed:
                changed[at % len(changed)] ^= 1 << chance.randrange(8)
            case 1:
                piece = chance.choice(INTERESTING)
                changed[at : at + len(piece)] = piece
            case 2:
                changed[at:at] = chance.randbytes(chance.randrange(1, 16))
            case 3:
                del changed[at : at + chance.randrange(1, 64)]
            case 4:
                changed[at:at] = changed[at : at + chance.randrange(1, 256)]
            case _:
                other = chance.choice(others)
                changed[at:] = other[chance.randrange(len(other) + 1) :]
    return bytes(changed)


def hunt(name: str, chance: random.Random) -> list[bytes]:
    """Feed one target a round of mutations; what it could not take."""
    corpus = seeds(name)
    found = []
    for _ in range(ROUND):
        data = mutate(chance, chance.choice(corpus), corpus)
        try:
            run(name, data)
        except Exception:  # noqa: BLE001 - any error is what this program looks for
            traceback.print_exc()
            found.append(data)
    return found


def main() -> int:
    """Exit status 1 when something was found."""
    parser = argparse.ArgumentParser(description="Fuzz the parsers.")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    clock, chance = SystemClock(), random.Random(options.seed)
    until, fed, kept = clock.monotonic() + options.minutes * 60, 0, 0
    while clock.monotonic() < until:
        for name in TARGETS:
            for data in hunt(name, chance):
                path = WORK / name / hashlib.sha256(data).hexdigest()[:16]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
                kept += 1
            fed += ROUND
    print(f"{fed} inputs, {kept} findings" + (f" in {WORK}/: mend, then add them to tests/fuzz/corpus" if kept else ""))
    return 1 if kept else 0


if __name__ == "__main__":
    raise SystemExit(main())
