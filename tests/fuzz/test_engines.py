"""What hunts for inputs finds what it is there for."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

import pytest

from storage.clock import SystemClock
from tests.bench import fuzz
from tests.fuzz.findings import FATAL, LARGE, Findings, allowed_ns
from tests.fuzz.minimise import Steps, choose
from tests.fuzz.randomly import mutate
from tests.fuzz.stretch import Costliest, Recipe, grows, invent, vary
from tests.fuzz.targets import CORPUS, TARGETS, read_entry, run, seeds
from tests.fuzz.words import words, write_dictionary


def _divide(data: bytes) -> None:
    if data.startswith(b"x"):
        _ = 1 // data.count(b"1")
    if data.startswith(b"y"):
        raise KeyError(data)


def _burn(data: bytes) -> None:
    for _ in range(len(data) * 60_000):
        pass


def test_of_each_place_the_smallest_input_is_kept(tmp_path: Path) -> None:
    findings = Findings(_divide, tmp_path)
    for data in (b"fine", b"x12", b"x long", b"x", b"x middle", b"y", b"y again"):
        findings.take(data)
    kept = {path.name.rpartition("-")[0]: path.read_bytes() for path in tmp_path.iterdir()}
    assert kept == {"crash-zerodivisionerror-test-engines": b"x", "crash-keyerror-test-engines": b"y"}


def test_an_input_that_costs_too_much_is_kept(tmp_path: Path) -> None:
    Findings(_burn, tmp_path).take(b"")
    assert list(tmp_path.iterdir()) == []
    data = b"0" * 200
    Findings(_burn, tmp_path).take(data)
    assert [path.read_bytes() for path in tmp_path.glob("slow-*")] == [data]


def _quadratic(data: bytes) -> int:
    return 5_000_000_000 * len(data) ** 2 // LARGE**2


def _linear(data: bytes) -> int:
    return 300_000_000 * len(data) // LARGE


def test_what_grows_with_the_square_is_seen_in_shorter_inputs() -> None:
    _, costly = grows(_quadratic, bytes, LARGE)
    assert costly is not None
    assert _quadratic(costly) > allowed_ns(len(costly))
    assert grows(_linear, bytes, LARGE) == (_linear(bytes(LARGE // 16)), None)


def test_recipes_are_as_long_as_asked_and_vary() -> None:
    chance, made = random.Random(1), set()
    for _ in range(200):
        recipe = invent(chance, [b"", b"abc", b"$\x00\x00\x04abcd" * 30], words("rtsp_session"))
        varied = vary(chance, recipe, words("rtsp_session"))
        assert [len(recipe.of(16_384)), len(varied.of(256)), len(varied.of(0))] == [16_384, 256, 0]
        made |= {recipe, varied}
    assert len(made) > 300


def test_the_costliest_recipes_are_varied() -> None:
    costliest, chance = Costliest(), random.Random(1)
    assert not costliest
    for cost in range(100):
        costliest.add(cost, Recipe(b"", bytes((cost,)), b""))
    assert {costliest.one(chance).piece[0] for _ in range(500)} == set(range(88, 100))


def test_few_inputs_reach_what_all_reach() -> None:
    one, two, three = ((0, 0, 1), 1), ((0, 1, 2), 1), ((0, 1, 2), 2)
    inputs = {
        b"a": frozenset((one,)),
        b"long": frozenset((one, two)),
        b"both": frozenset((one, two)),
        b"c": frozenset((three,)),
    }
    assert choose(inputs, set(), 9, 100) == [b"long", b"c"]
    assert choose(inputs, {three}, 9, 100) == [b"long"]
    assert choose(inputs, set(), 1, 100) == [b"long"]
    assert choose(inputs, set(), 9, 2) == [b"a", b"c"]


def test_steps_tell_inputs_apart() -> None:
    steps = Steps(partial(run, "rtsp_messages"))
    whole, half = steps.of(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n"), steps.of(b"RTSP/1.0 2")
    assert half
    assert whole - half
    assert steps.of(b"RTSP/1.0 2") == half


def test_mutations_differ_and_stay_bounded() -> None:
    chance, corpus = random.Random(1), seeds("digest_challenge")
    made = {mutate(chance, corpus[0], corpus, words("digest_challenge")) for _ in range(300)}
    assert len(made) > 250
    assert max(map(len, made)) < 64 * 1024


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_has_words_that_libfuzzer_reads(name: str, tmp_path: Path) -> None:
    lines = write_dictionary(name, tmp_path).read_text(encoding="ascii").splitlines()
    assert len(lines) == len(words(name))
    assert all(line.startswith('"\\x') and line.endswith('"') for line in lines)


def test_findings_become_entries_and_long_ones_are_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "CORPUS", tmp_path)
    found = tmp_path / "found"
    found.mkdir()
    (tmp_path / "soap").mkdir()
    (found / "crash-a").write_bytes(b"short")
    (found / "slow-b").write_bytes(b"<a>" * 50_000)
    kept = fuzz.keep("soap", found)
    assert [path.name for path in kept] == ["crash-a", "slow-b.z"]
    assert [read_entry(path) for path in kept] == [b"short", b"<a>" * 50_000]
    assert kept[1].stat().st_size < 1000
    assert list(found.iterdir()) == []


@pytest.mark.parametrize("engine", [fuzz.engine(), fuzz.RANDOMLY, "stretch"])
def test_an_engine_runs_in_a_process_of_its_own(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "engine", lambda: engine)
    monkeypatch.setattr(fuzz, "WORK", tmp_path)
    work = fuzz.prepare("strip_bytes")
    assert fuzz.explore("strip_bytes", work, 2.0, SystemClock()) > 0
    assert list((work / "found").iterdir()) == []


def test_a_process_that_fails_without_an_input_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "WORK", tmp_path)
    monkeypatch.setattr(fuzz, "engine", lambda: "no_such_engine")
    with pytest.raises(fuzz.EngineFailed, match="no_such_engine ended with status 1"):
        fuzz.explore("strip_bytes", fuzz.prepare("strip_bytes"), 2.0, SystemClock())


def test_the_corpus_has_no_finding_of_an_engine_that_was_forgotten() -> None:
    """An input that ends a process stays out of the tree's corpus until it is mended and named for what it is."""
    assert [path.name for path in CORPUS.glob(f"*/{FATAL}*")] == []
