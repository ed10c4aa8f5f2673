"""RTP packets, sender reports and session descriptions, byte by byte."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.virtual_camera import rtp
from deploy.virtual_camera.encode import AccessUnit, VideoShape, is_parameter_set, parameter_sets, split_nals
from deploy.virtual_camera.mount import Batch, LoopSource, Mount
from deploy.virtual_camera.rtsp import parse_request
from storage.clock import US, FakeClock

_H264 = {"idr": b"\x65", "sps": b"\x67\x42\xc0\x1f\x01", "pps": b"\x68\xce\x01"}


def _joined_h264(parts: list[bytes]) -> list[bytes]:
    """NAL units from RFC 6184 payloads, written apart from the packetiser."""
    nals, open_nal = [], b""
    for part in parts:
        if part[0] & 31 != 28:
            nals.append(part)
            continue
        if part[1] & 0x80:
            open_nal = bytes([part[0] & 0xE0 | part[1] & 31])
        open_nal += part[2:]
        if part[1] & 0x40:
            nals.append(open_nal)
    return nals


def _joined_h265(parts: list[bytes]) -> list[bytes]:
    nals, open_nal = [], b""
    for part in parts:
        if part[0] >> 1 & 63 != 49:
            nals.append(part)
            continue
        if part[2] & 0x80:
            open_nal = bytes([part[0] & 0x81 | (part[2] & 63) << 1, part[1]])
        open_nal += part[3:]
        if part[2] & 0x40:
            nals.append(open_nal)
    return nals


@given(st.lists(st.binary(min_size=3, max_size=6000), min_size=1, max_size=4))
def test_h264_fragments_join_to_what_they_were(bodies: list[bytes]) -> None:
    nals = tuple(bytes([0x60 | 1 + index % 5]) + body for index, body in enumerate(bodies))
    parts = rtp.payloads("h264", AccessUnit(nals, 0, key=False))
    assert max(map(len, parts)) <= rtp.MAX_PAYLOAD
    assert tuple(_joined_h264(parts)) == nals


@given(st.lists(st.binary(min_size=3, max_size=6000), min_size=1, max_size=4))
def test_h265_fragments_join_to_what_they_were(bodies: list[bytes]) -> None:
    nals = tuple(bytes([(1 + index % 20) << 1, 1]) + body for index, body in enumerate(bodies))
    parts = rtp.payloads("h265", AccessUnit(nals, 0, key=False))
    assert max(map(len, parts)) <= rtp.MAX_PAYLOAD
    assert tuple(_joined_h265(parts)) == nals


def test_headers_count_on_and_mark_the_last_packet() -> None:
    first, second = rtp.packets([b"a", b"b"], 0xFFFF, 1 << 33 | 5, 0x01020304)
    assert struct.unpack(">BBHII", first[:12]) == (0x80, 96, 0xFFFF, 5, 0x01020304)
    assert struct.unpack(">BBHII", second[:12]) == (0x80, 0x80 | 96, 0, 5, 0x01020304)


def test_a_sender_report_carries_ntp_time() -> None:
    report = rtp.sender_report(7, 1_000_000 * US + US // 2, 900, 11, 222)
    kind, length, ssrc, seconds, fraction, stamp, packets, octets = struct.unpack(">xBHIIIIII", report[:28])
    assert (kind, length, ssrc, stamp, packets, octets) == (200, 6, 7, 900, 11, 222)
    assert seconds - 2_208_988_800 == 1_000_000
    assert fraction == 1 << 31
    assert len(report) % 4 == 0


def test_the_description_of_h264_has_its_parameter_sets() -> None:
    text = rtp.sdp("h264", "x", [_H264["sps"], _H264["pps"]], 25).decode()
    assert "a=rtpmap:96 H264/90000\r\n" in text
    assert "profile-level-id=42c01f;sprop-parameter-sets=Z0LAHwE=,aM4B\r\n" in text
    assert "sprop" not in rtp.sdp("h264", "x", [], 25).decode()


def test_the_description_of_h265_has_three_sets_or_no_format_line() -> None:
    sets = parameter_sets(VideoShape("h265", 640, 360, 10, 10))
    assert len(sets) == 3
    text = rtp.sdp("h265", "x", sets, 25).decode()
    assert all(name in text for name in ("sprop-vps=", "sprop-sps=", "sprop-pps=", "H265/90000"))
    assert "fmtp" not in rtp.sdp("h265", "x", [], 25).decode()


def test_encoders_repeat_what_the_description_says() -> None:
    shape = VideoShape("h264", 640, 360, 10, 10)
    assert parameter_sets(shape) == parameter_sets(shape)
    assert all(is_parameter_set("h264", nal) for nal in parameter_sets(shape))


def test_start_codes_of_both_lengths_are_split() -> None:
    assert split_nals(b"\x00\x00\x00\x01\x67a\x00\x00\x01\x68b\x00\x00\x00\x01\x65c") == (b"\x67a", b"\x68b", b"\x65c")


@pytest.mark.parametrize("head", [b"", b"GET / HTTP/1.1", b"PLAY", b"PLAY rtsp://x", b"\xff\xfe\x00 x y"])
def test_what_is_no_request_is_none(head: bytes) -> None:
    assert parse_request(head) is None


class _Viewer:
    def __init__(self) -> None:
        self.batches: list[tuple[Batch, bool]] = []

    def send(self, batch: Batch, *, key: bool) -> None:
        self.batches.append((batch, key))

    def report(self, packet: bytes) -> None:
        self.reported = packet


async def test_all_viewers_of_a_mount_get_the_same_batch() -> None:
    shape = VideoShape("h264", 640, 360, 10, 2)
    units = [AccessUnit((b"\x65abc",), 0, key=True), AccessUnit((b"\x41def",), 9000, key=False)]
    clock = FakeClock()
    mount = Mount(LoopSource(shape, units, ()), clock, clock.now_us, "x")
    one, two = _Viewer(), _Viewer()
    mount.add(one)
    mount.add(two)
    mount.tick()
    mount.tick()
    assert [key for _, key in one.batches] == [True, False]
    assert [id(batch) for batch, _ in one.batches] == [id(batch) for batch, _ in two.batches]
    batch = one.batches[0][0]
    assert batch.framed(0) is batch.framed(0)
    assert batch.framed(2)[:2] == b"$\x02"


def test_a_loop_goes_on_in_time_across_its_end() -> None:
    shape = VideoShape("h264", 640, 360, 10, 2)
    units = [AccessUnit((b"\x65",), 0, key=True), AccessUnit((b"\x41",), 9000, key=False)]
    source = LoopSource(shape, units, ())
    times = [source.next(1000 * US + index * US // 10)[0].pts for index in range(6)]
    assert [after - before for before, after in pairwise(times)] == [9000] * 5


def test_a_loop_that_nobody_watched_goes_on_at_the_time_it_is_then() -> None:
    shape = VideoShape("h264", 640, 360, 10, 2)
    units = [AccessUnit((b"\x65",), 0, key=True), AccessUnit((b"\x41",), 9000, key=False)]
    source = LoopSource(shape, units, ())
    first = source.next(1000 * US)[0].pts
    source.wake()
    assert source.next(1060 * US)[0].pts - first == 60 * 90_000
