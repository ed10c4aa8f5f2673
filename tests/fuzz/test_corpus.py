"""Replays the corpus; of what people put there also truncations and a handful of flipped bits."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

import pytest

from tests.fuzz.findings import SLOW_PREFIX
from tests.fuzz.stretch import still_slow
from tests.fuzz.targets import CORPUS, GROWN, PACKED, TARGETS, read_entry, run

GOOD = "good"
"""Entries whose name begins so are taken without complaint: the targets do read what is right."""
MOST_ENTRIES = 200
MOST_BYTES = 300 * 1024


def entries(name: str) -> list[Path]:
    return sorted((CORPUS / name).iterdir())


@pytest.mark.parametrize("name", TARGETS)
def test_good_entries_are_taken(name: str) -> None:
    good = [path for path in entries(name) if path.name.startswith(GOOD)]
    assert good
    for path in good:
        TARGETS[name](path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_entries_raise_what_callers_expect_and_cost_little(name: str) -> None:
    for path in entries(name):
        if path.name.startswith(SLOW_PREFIX):
            assert not still_slow(partial(run, name), read_entry(path)), path.name
        else:
            run(name, read_entry(path))


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_entries_raise_what_callers_expect(name: str) -> None:
    chance = random.Random(name)
    for path in entries(name):
        if path.name.startswith(GROWN) or path.suffix == PACKED:
            continue
        data = path.read_bytes()
        for length in sorted({chance.randrange(len(data)) for _ in range(40)} | {0, 1, len(data) - 1}):
            run(name, data[:length])
        for _ in range(60):
            damaged = bytearray(data)
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
            run(name, bytes(damaged))


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_stays_small(name: str) -> None:
    assert len(entries(name)) <= MOST_ENTRIES
    assert sum(path.stat().st_size for path in entries(name)) <= MOST_BYTES


def test_every_folder_is_of_a_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)


def _divide(data: bytes) -> None:
    _ = 1 // len(data)


def test_a_bug_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TARGETS, "divides", _divide)
    with pytest.raises(ZeroDivisionError):
        run("divides", b"")
