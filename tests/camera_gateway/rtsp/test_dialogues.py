"""Sessions against the dialogues of device families, whole, byte by byte, and cut at random."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.camera_gateway.rtsp.dialogue import FOLDER, Dialogue, Replay, read

DIALOGUES = [read(path) for path in sorted(FOLDER.glob("*.txt"))]
FAMILIES = {
    "hikvision-like",
    "dahua-like",
    "uniview-like",
    "axis-like",
    "tp-link-like",
    "gstreamer",
    "live555",
    "vlc",
    "nvr-16-channels",
}
every_dialogue = pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda dialogue: dialogue.name)


def test_the_families_are_there() -> None:
    assert {dialogue.name for dialogue in DIALOGUES} >= FAMILIES


@every_dialogue
def test_whole(dialogue: Dialogue) -> None:
    Replay(dialogue, lambda data: iter([data])).run()


@every_dialogue
def test_byte_by_byte(dialogue: Dialogue) -> None:
    Replay(dialogue, lambda data: (data[at : at + 1] for at in range(len(data)))).run()


@every_dialogue
@given(seed=st.integers(0, 2**32), longest=st.integers(2, 700))
@settings(max_examples=25, deadline=None)
def test_cut_at_random(dialogue: Dialogue, seed: int, longest: int) -> None:
    chance = random.Random(seed)

    def cut(data: bytes) -> Iterator[bytes]:
        at = 0
        while at < len(data):
            length = chance.randint(1, longest)
            yield data[at : at + length]
            at += length

    Replay(dialogue, cut).run()
