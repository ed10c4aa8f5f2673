"""Choosing streams from what devices declare, nonsense included."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camera_gateway.onvif.probe import read_utc
from camera_gateway.onvif.profiles import Encoding, choose, clean, read_media1, read_media2, whole


def _encoding(token: str, codec: str, width: int, height: int, source: str = "vs1") -> Encoding:
    return Encoding(token, source, "name", codec, width, height, 25_000, 2000, 2048, ptz=False)


def test_the_substream_is_the_h264_one_nearest_to_360p() -> None:
    offered = [
        _encoding("4k", "h265", 3840, 2160),
        _encoding("720", "h264", 1280, 720),
        _encoding("tiny265", "h265", 640, 360),
        _encoding("d1", "h264", 704, 576),
        _encoding("qcif", "h264", 176, 144),
    ]
    (choice,) = choose(offered)
    assert choice.main.token == "4k"
    assert choice.sub is not None
    assert choice.sub.token == "d1"


def test_of_equally_large_profiles_the_first_is_main_and_none_is_sub() -> None:
    (choice,) = choose([_encoding("a", "h264", 1920, 1080), _encoding("b", "h265", 1920, 1080)])
    assert (choice.main.token, choice.sub) == ("a", None)


def test_channels_keep_the_devices_order() -> None:
    offered = [_encoding(f"p{n}", "h264", 640, 360, source=f"vs{n}") for n in (10, 2, 1)]
    assert [choice.source_token for choice in choose(offered)] == ["vs10", "vs2", "vs1"]


def _media2(**changes: Any) -> dict[str, Any]:
    encoder = {"Encoding": "H265", "GovLength": 50, "Resolution": {"Width": 1920, "Height": 1080}}
    encoder |= {"RateControl": {"FrameRateLimit": 25.0, "BitrateLimit": 4096}}
    source = {"SourceToken": "vs1", "Name": "门口"}
    return {"token": "p1", "Configurations": {"VideoSource": source, "VideoEncoder": encoder} | changes}


def test_a_media2_profile_is_read() -> None:
    (found,) = read_media2([_media2(PTZ={})])
    assert (found.codec, found.width, found.fps_milli, found.gop_ms) == ("h265", 1920, 25_000, 2000)
    assert (found.bitrate_kbit, found.source_name, found.ptz) == (4096, "门口", True)


@pytest.mark.parametrize(
    "profile",
    [
        None,
        "text",
        {"token": "p1"},
        {"token": "p1", "Configurations": None},
        _media2(VideoEncoder=None),
        _media2(VideoSource=None),
        _media2(VideoEncoder={"Encoding": "JPEG"}),
        _media2() | {"token": ""},
    ],
)
def test_profiles_that_cannot_be_recorded_are_skipped(profile: object) -> None:
    assert read_media2([profile, _media2()]) == read_media2([_media2()])
    assert read_media1([profile]) == []


def test_a_gop_without_frame_rate_is_unknown() -> None:
    encoder = {"Encoding": "H264", "GovLength": 50, "Resolution": {"Width": 1, "Height": 1}, "RateControl": None}
    (found,) = read_media2([_media2(VideoEncoder=encoder)])
    assert (found.fps_milli, found.gop_ms, found.bitrate_kbit) == (0, 0, 0)


def test_text_from_devices_is_one_bounded_line() -> None:
    assert clean("  IPC\r\n\x1b[31mred\u202e ") == "IPC[31mred"
    assert len(clean("x" * 5000)) == 128
    assert clean(None) == ""


@given(st.one_of(st.none(), st.text(), st.floats(), st.integers(), st.binary()))
def test_numbers_from_devices_are_never_negative_or_endless(value: object) -> None:
    assert 0 <= whole(value) < 2**31


_DATE = {"Year": 2026, "Month": 11, "Day": 21}


def test_the_time_is_read() -> None:
    answer = {"UTCDateTime": {"Date": _DATE, "Time": {"Hour": 1, "Minute": 2, "Second": 3}}}
    assert read_utc(answer) == 1_795_222_923_000_000


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"UTCDateTime": None},
        {"UTCDateTime": {"Date": _DATE | {"Month": 13}, "Time": {"Hour": 1, "Minute": 2, "Second": 3}}},
        {"UTCDateTime": {"Date": {"Year": 0, "Month": 0, "Day": 0}, "Time": None}},
        {"UTCDateTime": "yesterday"},
    ],
)
def test_an_impossible_time_is_none(answer: dict[str, Any]) -> None:
    assert read_utc(answer) is None
