"""AAC, G.711 and ONVIF metadata."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camera_gateway.packets import AudioCodec, AudioFormat, SourceFault
from camera_gateway.rtp.description import MediaDescription
from tests.camera_gateway.rtp.senders import give, packet, track

HBR = {"mode": "AAC-hbr", "sizelength": "13", "indexlength": "3", "indexdeltalength": "3", "config": "1408"}


def aac(**fmtp: str) -> MediaDescription:
    return MediaDescription("audio", 97, "MPEG4-GENERIC", 16_000, fmtp={**HBR, **fmtp})


def g711(encoding: str = "PCMA", channels: int = 1) -> MediaDescription:
    return MediaDescription("audio", 8, encoding, 8000, channels)


def metadata() -> MediaDescription:
    return MediaDescription("application", 107, "VND.ONVIF.METADATA", 90_000)


def units(*sizes: int) -> bytes:
    """AU headers of AAC-hbr."""
    return (len(sizes) * 16).to_bytes(2, "big") + b"".join((size << 3).to_bytes(2, "big") for size in sizes)


def test_aac_units_one_and_several_in_a_packet() -> None:
    receiver, kept, _ = track(aac())
    assert receiver.described() == AudioFormat(AudioCodec.AAC, 16_000, 1, bytes.fromhex("1408"))
    give(receiver, packet(1, 2**32 - 1024, units(5) + b"first", kind=97), 0.5)
    give(receiver, packet(2, 0, units(3, 4) + b"onetwo2", kind=97, marker=True))
    give(receiver, packet(3, 2048, units(1) + b"x", kind=97))
    assert [(unit.data, unit.time) for unit in kept.sounds] == [
        (b"first", 0),
        (b"one", 1024),
        (b"two2", 2048),
        (b"x", 3072),
    ]
    assert kept.sounds[0].arrival_us == 500_000


def test_aac_fragments() -> None:
    receiver, kept, counters = track(aac())
    for index, piece in enumerate((b"abc", b"def", b"gh")):
        give(receiver, packet(index, 0, units(8) + piece, kind=97, marker=index == 2))
    give(receiver, packet(3, 1024, units(9) + b"lost", kind=97))
    give(receiver, packet(5, 2048, units(4) + b"next", kind=97))
    assert [(unit.data, unit.time) for unit in kept.sounds] == [(b"abcdefgh", 0), (b"next", 2048)]
    assert (counters.broken_units, counters.lost) == (1, 1)


def test_time_goes_on_when_timestamps_jump_and_never_back() -> None:
    receiver, kept, _ = track(aac())
    for index, stamp in enumerate((0, 1024, 4096, 4090, 3_000_000_000, 3_000_001_024)):
        give(receiver, packet(index, stamp, units(1) + b"x", kind=97))
    give(receiver, packet(7, 9, units(1) + b"x", kind=97, ssrc=1))
    assert [unit.time for unit in kept.sounds] == [0, 1024, 4096, 5120, 6144, 7168, 8192]


@pytest.mark.parametrize(
    ("fmtp", "said"),
    [
        ({"config": ""}, "without a config"),
        ({"config": "zz"}, "without a config"),
        ({"config": "14" * 100}, "without a config"),
        ({"config": "9008"}, "MPEG-4 audio of type 18"),
        ({"config": "17fc"}, "config"),
        ({"mode": "CELP-cbr"}, "mode celp-cbr"),
        ({"ctsdeltalength": "2"}, "ctsdeltalength"),
        ({"maxdisplacement": "4"}, "maxdisplacement"),
        ({"auxiliarydatasizelength": "8"}, "auxiliarydatasizelength"),
        ({"sizelength": "99"}, "header lengths"),
        ({"sizelength": "-1"}, "sizelength"),
        ({"constantduration": "0"}, "constantDuration"),
    ],
)
def test_other_aac_is_refused(fmtp: dict[str, str], said: str) -> None:
    with pytest.raises(SourceFault, match=said):
        track(aac(**fmtp))


def test_a_packet_of_more_units_than_anybody_sends_is_ignored() -> None:
    receiver, kept, counters = track(aac())
    give(receiver, packet(0, 0, units(*(1,) * 256) + bytes(256), kind=97))
    assert (len(kept.sounds), counters.ignored) == (256, 0)
    give(receiver, packet(1, 256 * 1024, units(*(1,) * 257) + bytes(257), kind=97))
    assert (len(kept.sounds), counters.ignored) == (256, 1)


def test_interleaved_aac_is_refused_when_it_shows() -> None:
    receiver, _, _ = track(aac())
    with pytest.raises(SourceFault, match="interleaved"):
        give(receiver, packet(1, 0, b"\x00\x10\x00\x0a" + b"x", kind=97))


@given(st.binary(max_size=60))
def test_any_aac_payload_is_taken_or_refused(payload: bytes) -> None:
    receiver, kept, _ = track(aac())
    with suppress(SourceFault):
        give(receiver, packet(1, 0, payload, kind=97))
        give(receiver, packet(2, 0, payload, kind=97))
    assert all(0 < len(unit.data) <= 2 * len(payload) for unit in kept.sounds)


def test_g711_of_any_length() -> None:
    receiver, kept, counters = track(g711())
    assert receiver.described() == AudioFormat(AudioCodec.PCMA, 8000, 1)
    stamp = 2**32 - 160
    for index, length in enumerate((160, 240, 320, 1)):
        give(receiver, packet(index, stamp, bytes((index,)) * length, kind=8))
        stamp += length
    give(receiver, packet(5, stamp + 160, b"x" * 160, kind=8))
    assert [(unit.time, len(unit.data)) for unit in kept.sounds] == [
        (0, 160),
        (160, 240),
        (400, 320),
        (720, 1),
        (881, 160),
    ]
    assert counters.lost == 1


def test_g711_of_two_channels() -> None:
    receiver, kept, _ = track(g711("PCMU", 2))
    assert receiver.described() == AudioFormat(AudioCodec.PCMU, 8000, 2)
    give(receiver, packet(0, 0, b"x" * 321, kind=8))
    give(receiver, packet(1, 160, b"x" * 320, kind=8))
    assert [(unit.time, len(unit.data)) for unit in kept.sounds] == [(0, 320), (160, 320)]
    with pytest.raises(SourceFault, match="channels"):
        track(g711(channels=99))


def test_metadata_of_one_and_several_packets() -> None:
    receiver, kept, _ = track(metadata())
    assert receiver.described() is None
    give(receiver, packet(0, 0, b"<a>", kind=107))
    give(receiver, packet(1, 0, b"</a>", kind=107, marker=True))
    give(receiver, packet(2, 5, b"<b/>", kind=107))  # no marker bit
    give(receiver, packet(3, 6, b"<c/>", kind=107, marker=True))
    assert kept.documents == [b"<a></a>", b"<b/>", b"<c/>"]


def test_metadata_that_lacks_a_packet_is_left_out() -> None:
    receiver, kept, counters = track(metadata())
    give(receiver, packet(0, 0, b"<?xml a", kind=107))
    give(receiver, packet(2, 0, b"end", kind=107, marker=True))
    give(receiver, packet(3, 1, b"<?xml b", kind=107, marker=True))
    give(receiver, packet(5, 2, b"<tt:MetadataStream/>", kind=107, marker=True))
    give(receiver, packet(7, 3, b"rest of a document", kind=107, marker=True))
    give(receiver, packet(8, 4, b"<?xml c", kind=107, marker=True))
    assert kept.documents == [b"<?xml b", b"<tt:MetadataStream/>", b"<?xml c"]
    assert counters.broken_units == 1


def test_metadata_is_bounded() -> None:
    receiver, kept, counters = track(metadata())
    for index in range(300):
        give(receiver, packet(index, 0, b"x" * 1000, kind=107, marker=index == 299))
    give(receiver, packet(300, 1, b"<d/>", kind=107, marker=True))
    assert kept.documents == [b"<d/>"]
    assert counters.broken_units == 1
