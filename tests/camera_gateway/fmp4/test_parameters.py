"""Parameter sets of real encoders, and of nobody: damaged bytes raise MediaError and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camera_gateway.fmp4 import h264, h265
from camera_gateway.fmp4.bits import BitReader, unescape
from camera_gateway.fmp4.nal import (
    VideoCodec,
    join_sample,
    parse_access_unit,
    sample_is_whole,
    split_annexb,
    split_sample,
)
from camera_gateway.fmp4.parameters import ParameterLearner, video_format
from storage.errors import MediaError
from tests.camera_gateway.media import units

SIZES = ["320x180", "1920x1080", "354x290", "704x576"]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["h264", "h265"])
def test_the_size_is_what_the_encoder_was_told(kind: str, size: str) -> None:
    video = video_format(units(kind, seconds=1, size=size)[0].parameters)
    assert f"{video.width}x{video.height}" == size
    assert video.record[0] == 1


def test_codec_strings_follow_rfc_6381() -> None:
    first = units("h264", seconds=1)[0].parameters
    sps = first.sps[0]
    assert video_format(first).codec == f"avc1.{sps[1:4].hex().upper()}"
    assert video_format(units("h265", seconds=1)[0].parameters).codec.startswith("hvc1.1.6.L")


def test_high_profile_records_carry_the_chroma_format() -> None:
    sps = bytes.fromhex("67640028acd940780227e5c04400000303e80000c350 3c60c658".replace(" ", ""))
    record = h264.avcc((sps,), (b"\x68\xeb",))
    assert record[-4:] == bytes((0xFD, 0xF8, 0xF8, 0))
    parsed = h264.parse_sps(sps)
    assert (parsed.width, parsed.height) == (1920, 1080)


@given(st.binary(max_size=400))
def test_hostile_parameter_sets_raise_media_errors_only(data: bytes) -> None:
    for parse in (h264.parse_sps, h265.parse_sps):
        try:
            parse(data)
        except MediaError:
            continue


@given(st.data())
def test_damaged_real_parameter_sets_raise_media_errors_only(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["h264", "h265"]))
    sets = units(kind, seconds=1)[0].parameters
    sps = bytearray(sets.sps[0])
    for _ in range(data.draw(st.integers(1, 4))):
        sps[data.draw(st.integers(0, len(sps) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(sps[: data.draw(st.integers(0, len(sps)))])
    try:
        (h264 if kind == "h264" else h265).parse_sps(cut)
    except MediaError:
        return


@given(st.lists(st.binary(min_size=1, max_size=60).filter(lambda unit: not unit.endswith(b"\0")), max_size=8))
def test_samples_give_back_their_units(nals: list[bytes]) -> None:
    sample = join_sample(nals)
    assert split_sample(sample) == nals
    assert sample_is_whole(sample) == bool(nals)
    if nals:
        assert not sample_is_whole(sample[:-1])
        assert not sample_is_whole(b"\0" * len(sample))


@given(st.binary(max_size=300), st.sampled_from(list(VideoCodec)))
def test_any_bytes_can_be_taken_apart(data: bytes, codec: VideoCodec) -> None:
    parsed = parse_access_unit(codec, split_annexb(data))
    assert sample_is_whole(parsed.sample) or parsed.sample == b""
    ParameterLearner(codec).take(parsed)


def test_emulation_prevention_is_removed() -> None:
    assert unescape(b"\x00\x00\x03\x01\x00\x00\x03\x00\x00\x03") == b"\x00\x00\x01\x00\x00\x00\x00"


def test_golomb_codes() -> None:
    reader = BitReader(bytes([0b1_010_011_0, 0b0100_0010, 0b1_0000000]))
    assert [reader.ue() for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(MediaError):
        BitReader(bytes(40)).ue()


def test_a_clean_recovery_point_counts_as_key_frame() -> None:
    recovery = b"\x06\x06\x01\xc4\x80"
    assert parse_access_unit(VideoCodec.H264, [recovery, b"\x41\x9a"]).key
    assert not parse_access_unit(VideoCodec.H264, [b"\x06\x06\x01\x44\x80", b"\x41\x9a"]).key
    assert not parse_access_unit(VideoCodec.H264, [b"\x41\x9a"]).key


def test_sets_are_learnt_from_the_stream_and_a_change_is_seen() -> None:
    learner = ParameterLearner(VideoCodec.H264)
    assert learner.take(parse_access_unit(VideoCodec.H264, [b"\x65\x88"])) is None
    first = learner.take(parse_access_unit(VideoCodec.H264, [b"\x67\x42\xc0\x1e", b"\x68\xce", b"\x65\x88"]))
    again = learner.take(parse_access_unit(VideoCodec.H264, [b"\x67\x42\xc0\x1e", b"\x65\x88"]))
    changed = learner.take(parse_access_unit(VideoCodec.H264, [b"\x67\x64\x00\x28", b"\x65\x88"]))
    assert first is not None
    assert again == first
    assert changed != first
