"""Replays the corpus, with every truncation and a handful of flipped bits of each entry."""

from __future__ import annotations

import random

import pytest

from tests.fuzz.targets import CORPUS, TARGETS, run, seeds

GOOD = "good"
"""Entries whose name begins so are taken without complaint: the targets do read what is right."""


@pytest.mark.parametrize("name", TARGETS)
def test_good_entries_are_taken(name: str) -> None:
    good = [path for path in (CORPUS / name).iterdir() if path.name.startswith(GOOD)]
    assert good
    for path in good:
        TARGETS[name](path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_entries_raise_what_callers_expect(name: str) -> None:
    chance = random.Random(name)
    for data in seeds(name):
        run(name, data)
        for length in sorted({chance.randrange(len(data)) for _ in range(40)} | {0, 1, len(data) - 1}):
            run(name, data[:length])
        for _ in range(60):
            damaged = bytearray(data)
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
            run(name, bytes(damaged))


def _divide(data: bytes) -> None:
    _ = 1 // len(data)


def test_a_bug_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TARGETS, "divides", _divide)
    with pytest.raises(ZeroDivisionError):
        run("divides", b"")
