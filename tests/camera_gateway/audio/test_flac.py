"""FLAC frames of ours, decoded by ffmpeg: every byte of G.711 comes back, whatever it was."""

from __future__ import annotations

import random
import struct
import subprocess
from array import array
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camera_gateway.audio import flac
from camera_gateway.audio.g711 import A_LAW, MU_LAW, Law

LAWS = {"pcma": A_LAW, "pcmu": MU_LAW}


def stream_of(frames: list[bytes], rate: int, channels: int) -> bytes:
    """A FLAC file of these frames."""
    info = flac.stream_info(rate, channels)
    return b"fLaC" + b"\x80" + struct.pack(">I", len(info))[1:] + info + b"".join(frames)


def decoded(frames: list[bytes], rate: int = 8000, channels: int = 1) -> array[int]:
    """The samples that ffmpeg decodes, interleaved; an error of its decoder fails the test."""
    command = ["ffmpeg", "-v", "error", "-xerror", "-err_detect", "crccheck+bitstream+explode"]
    command += ["-f", "flac", "-i", "-", "-f", "s16le", "-"]
    done = subprocess.run(command, input=stream_of(frames, rate, channels), capture_output=True, check=True, timeout=60)
    assert done.stderr == b""
    return array("h", done.stdout)


def encoded(law: Law, data: bytes, block: int = flac.LARGEST_BLOCK) -> list[bytes]:
    return [
        flac.encode_frame([law.decode(data[at : at + block])], at, 8000, law.zero_bits)
        for at in range(0, len(data), block)
    ]


@pytest.mark.parametrize("name", LAWS)
def test_each_of_the_256_codes_has_a_value_of_its_own(name: str) -> None:
    law = LAWS[name]
    assert len(set(law.values)) == 256
    assert all(-32768 <= value <= 32767 for value in law.values)
    assert all(value % (1 << law.zero_bits) == 0 for value in law.values)
    assert law.encode(law.values) == bytes(range(256))


@pytest.mark.parametrize("name", LAWS)
def test_the_values_are_those_that_ffmpeg_knows(name: str) -> None:
    every = bytes(range(256))
    command = ["ffmpeg", "-v", "error", "-f", {"pcma": "alaw", "pcmu": "mulaw"}[name], "-ar", "8000", "-i", "-"]
    done = subprocess.run([*command, "-f", "s16le", "-"], input=every, capture_output=True, check=True, timeout=60)
    theirs = list(array("h", done.stdout))
    differing = [code for code in range(256) if theirs[code] != LAWS[name].values[code]]
    assert differing == ([] if name == "pcma" else [0x7F])  # µ-law has two zeros


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("kind", ["every_code", "noise", "quiet", "silence", "loud", "tone_of_two"])
def test_the_original_bytes_come_back(name: str, kind: str) -> None:
    law, dice = LAWS[name], random.Random(7)
    silence = law.encode([min(law.values, key=abs)])[0]
    near = sorted(range(256), key=lambda code: abs(law.values[code]))
    data = {
        "every_code": bytes(range(256)) * 5,
        "noise": dice.randbytes(5000),
        "quiet": bytes(dice.choices(near[:6], k=5000)),
        "silence": bytes([silence]) * 5000,
        "loud": bytes(dice.choices(near[-2:], k=5000)),
        "tone_of_two": bytes(near[at // 40 % 2 * 200] for at in range(5000)),
    }[kind]
    frames = encoded(law, data)
    assert law.encode(decoded(frames)) == data
    if kind == "silence":
        assert sum(map(len, frames)) < 100


@settings(max_examples=12, deadline=None)
@given(data=st.binary(min_size=16, max_size=3000), block=st.integers(16, flac.LARGEST_BLOCK))
def test_any_bytes_come_back(data: bytes, block: int) -> None:
    assert MU_LAW.encode(decoded(encoded(MU_LAW, data, block))) == data


@pytest.mark.parametrize(("rate", "channels"), [(8000, 2), (16_000, 1), (11_025, 1), (48_000, 3)])
def test_rates_and_channels(rate: int, channels: int) -> None:
    dice = random.Random(rate)
    data = [dice.randbytes(700) for _ in range(channels)]
    frame = flac.encode_frame([A_LAW.decode(one) for one in data], 0, rate, A_LAW.zero_bits)
    samples = decoded([frame] * 2, rate, channels)
    for index, one in enumerate(data):
        assert A_LAW.encode(samples[index::channels]) == one * 2


def test_frames_carry_the_number_of_their_first_sample() -> None:
    """A file's samples are never so many that ffmpeg's parser loses count (beyond three days of sound)."""
    samples = [[at * 37 % 400 - 200 for at in range(200)]]
    for number in (0, 127, 128, 2047, 2048, 65_535, 65_536, 1 << 21, 1 << 26, 1 << 31, (1 << 36) - 1):
        frame = flac.encode_frame(samples, number, 8000)
        assert coded_number(frame) == number
        assert flac.is_whole(frame)
        assert number >= 1 << 31 or list(decoded([frame])) == samples[0]


def coded_number(frame: bytes) -> int:
    """The number in a frame's head, read as RFC 9639 says."""
    first = frame[4]
    ones = next((index for index in range(8) if not first & 0x80 >> index), 8)
    if ones == 0:
        return first
    value = first & (0x7F >> ones)
    for byte in frame[5 : 4 + ones]:
        assert byte & 0xC0 == 0x80
        value = value << 6 | byte & 0x3F
    return value


def test_a_damaged_frame_is_not_whole() -> None:
    frame = encoded(A_LAW, random.Random(1).randbytes(300))[0]
    assert flac.is_whole(frame)
    assert not any(flac.is_whole(frame[:at] + bytes([frame[at] ^ 1]) + frame[at + 1 :]) for at in range(len(frame)))
    assert not flac.is_whole(frame[:-1])
    assert not flac.is_whole(b"")


def test_speech_like_sound_is_not_larger_than_its_samples_packed() -> None:
    """A voice in the middle of the range: about the 8 bits a sample that G.711 itself takes."""
    dice = random.Random(3)
    value, codes = 0.0, []
    for _ in range(8000):
        value = 0.9 * value + dice.gauss(0, 400)
        codes.append(min(range(256), key=lambda code: abs(A_LAW.values[code] - value)))
    frames = encoded(A_LAW, bytes(codes))
    assert sum(map(len, frames)) < 9500
    assert all(len(early) != len(late) or early != late for early, late in pairwise(frames))
