"""What a camera sends once it plays: RTP, each way of packing media, RTCP. What comes out must be sound as well."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from camera_gateway.fmp4.nal import sample_is_whole
from camera_gateway.packets import (
    AccessUnit,
    AudioUnit,
    SenderReport,
    SourceCounters,
    SourceFault,
    SourceInfo,
    SourceSettings,
)
from camera_gateway.rtp import rtcp
from camera_gateway.rtp.demultiplexer import Demultiplexer
from camera_gateway.rtp.description import MediaDescription
from camera_gateway.rtp.metadata import MOST_BYTES
from camera_gateway.rtp.tracks import Track, make_track
from camera_gateway.rtsp.messages import MessageReader

_READ = 256 << 10
_SETS = ",".join(
    base64.b64encode(bytes.fromhex(nal)).decode() for nal in ("6742c01eda0280bfe5c05a808080a0", "68ce3c80")
)
_H264 = MediaDescription("video", 96, "H264", 90_000, fmtp={"sprop-parameter-sets": _SETS})
_H265 = MediaDescription("video", 96, "H265", 90_000)
_AAC = MediaDescription("audio", 96, "MPEG4-GENERIC", 16_000, fmtp={"mode": "AAC-hbr", "config": "1408"})
_G711 = MediaDescription("audio", 96, "PCMA", 8000, 2)
_METADATA = MediaDescription("application", 96, "VND.ONVIF.METADATA", 90_000)


class _Sound:
    """A listener that checks what it is told."""

    def __init__(self) -> None:
        self._dts = self._time = -1
        self.units: list[AccessUnit] = []

    def opened(self, info: SourceInfo) -> None:
        raise AssertionError("a track opens nothing")

    def unit(self, unit: AccessUnit) -> None:
        assert sample_is_whole(unit.data)
        assert unit.dts > self._dts
        assert unit.pts >= 0
        assert unit.parameters.sps
        self._dts = unit.dts
        self.units.append(unit)

    def audio(self, unit: AudioUnit) -> None:
        assert unit.data
        assert unit.time > self._time
        self._time = unit.time

    def metadata(self, document: bytes, arrival_us: int) -> None:
        assert 0 < len(document) <= MOST_BYTES

    def sender_report(self, report: SenderReport) -> None:
        assert report.camera_us >= -rtcp.NTP_UNIX * 1_000_000

    def failed(self, fault: Exception) -> None:
        raise AssertionError("a track fails by raising")


def _track(media: MediaDescription, *, ordered: bool = True, sound: _Sound | None = None) -> Track:
    listener, counters = sound or _Sound(), SourceCounters()
    return make_track(media, SourceSettings("rtsp://192.0.2.1/"), listener, counters, ordered=ordered)


def _packets(data: bytes) -> list[bytes]:
    """Packets around payloads: a byte of flags, two of length, the payload, and so on."""
    packets, at, sequence, stamp = [], 0, 65_530, 2**32 - 3600
    while at + 3 <= len(data):
        flags, length = data[at], data[at + 1] << 8 | data[at + 2]
        payload = data[at + 3 : at + 3 + length]
        at += 3 + length
        sequence += 1 + (flags >> 2 & 3) - (4 if flags & 0x20 else 0)
        stamp += 1800 if flags & 2 else 0
        kind = 96 | (0x80 if flags & 1 else 0)
        head = struct.pack(">BBHII", 0x80, kind, sequence & 0xFFFF, stamp & 0xFFFF_FFFF, flags >> 7)
        packets.append(head + payload)
    return packets


def _payloads(media: MediaDescription, data: bytes, *, ordered: bool = True) -> None:
    track = _track(media, ordered=ordered)
    for index, packet in enumerate(_packets(data)):
        track.take(memoryview(packet), 0, len(packet), index * 1000, index / 1000)
    track.report(0, 99.0)
    track.flush()


def _compare_ways(media: MediaDescription, data: bytes) -> None:
    """What comes out must not depend on whether packets come one by one or many in one buffer."""
    one, many = _Sound(), _Sound()
    packets = _packets(data)
    with suppress(SourceFault):
        track = _track(media, sound=one)
        for packet in packets:
            track.take(memoryview(packet), 0, len(packet), 0, 0.0)
        track.flush()
    with suppress(SourceFault):
        track = _track(media, sound=many)
        demultiplexer = Demultiplexer(len)
        demultiplexer.bind(0, track.take)
        stream = b"".join(struct.pack(">BBH", 36, 0, len(packet)) + packet for packet in packets)
        cut = max(1 + sum(data[:8]) % 700, len(stream) // 2000)  # a read costs what it is, however little it brings
        for at in range(0, len(stream), cut):
            demultiplexer.feed(memoryview(stream[at : at + cut]), 0, 0.0)
        track.flush()
    assert one.units == many.units


def rtp_stream(data: bytes) -> None:
    """An interleaved stream, cut where its first byte says; from 128 on in pieces as large as reads are."""
    track, reader = _track(_H264), MessageReader()

    def text(view: memoryview) -> int:
        return reader.take(view)[1]

    demultiplexer = Demultiplexer(text)
    demultiplexer.bind(0, track.take)
    demultiplexer.bind(1, track.take_control)
    size = max(data[0] * 16 + 1, len(data) // 2000) if data and data[0] < 128 else _READ
    for at in range(1, len(data), size):
        demultiplexer.feed(memoryview(data[at : at + size]), at, at / 1000)
    track.flush()


def rtp_h264(data: bytes) -> None:
    """Payloads of H.264."""
    _payloads(_H264, data)
    _compare_ways(_H264, data)


def rtp_h264_udp(data: bytes) -> None:
    """The same when packets may overtake each other."""
    _payloads(_H264, data, ordered=False)


def rtp_h265(data: bytes) -> None:
    """Payloads of H.265."""
    _payloads(_H265, data)
    _compare_ways(_H265, data)


def rtp_aac(data: bytes) -> None:
    """Payloads of AAC."""
    _payloads(_AAC, data)


def rtp_aac_widths(data: bytes) -> None:
    """The same with header fields of any widths, which the first three bytes say."""
    if len(data) < 3:
        return
    names = ("sizelength", "indexlength", "indexdeltalength")
    widths = {name: str(byte % 18) for name, byte in zip(names, data[:3], strict=True)}
    _payloads(replace(_AAC, fmtp={**_AAC.fmtp, **widths}), data[3:])


def rtp_datagrams(data: bytes) -> None:
    """Packets with any heads, each after its length in two bytes, that may overtake each other; 10 ms apart."""
    track, at, arrival_s = _track(_H264, ordered=False), 0, 0.0
    while at + 2 <= len(data):
        length = data[at] << 8 | data[at + 1]
        packet = memoryview(data)[at + 2 : at + 2 + length]
        at, arrival_s = at + 2 + length, arrival_s + 0.01
        track.take(packet, 0, len(packet), at, arrival_s)
    track.report(0, arrival_s)
    track.flush()


def rtp_g711(data: bytes) -> None:
    """Payloads of G.711."""
    _payloads(_G711, data)


def rtp_metadata(data: bytes) -> None:
    """Payloads of ONVIF metadata."""
    _payloads(_METADATA, data)


def rtcp_packets(data: bytes) -> None:
    """A compound RTCP packet."""
    track = _track(_H264)
    for index in range(6):
        packet = struct.pack(">BBHII", 0x80, 0xE0, index, index * 3600, 7) + b"\x65\x88"
        track.take(memoryview(packet), 0, len(packet), 0, 0.0)
    track.take_control(memoryview(data), 0, len(data), 1_795_000_000_000_000, 0.0)
    track.report(0, 1.0)
    track.flush()


RTP_TARGETS: tuple[Callable[[bytes], None], ...] = (
    *(rtp_stream, rtp_h264, rtp_h264_udp, rtp_h265, rtp_aac, rtp_aac_widths),
    *(rtp_datagrams, rtp_g711, rtp_metadata, rtcp_packets),
)
