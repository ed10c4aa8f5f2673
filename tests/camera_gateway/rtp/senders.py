"""RTP as cameras send it, made for tests: packets of NAL units, interleaved frames, and a listener that keeps all."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterable

from camera_gateway.packets import AccessUnit, AudioUnit, SenderReport, SourceCounters, SourceInfo, SourceSettings
from camera_gateway.rtp.description import MediaDescription
from camera_gateway.rtp.tracks import Track, make_track

SPS = bytes.fromhex("6742c01eda0280bfe5c05a808080a0")
PPS = bytes.fromhex("68ce3c80")
VPS5 = b"\x40\x01vps"
SPS5 = b"\x42\x01sps"
PPS5 = b"\x44\x01pps"
SSRC = 0x1234ABCD
SETTINGS = SourceSettings("rtsp://192.0.2.1/main")


class Kept:
    """A source listener that keeps what it is told."""

    def __init__(self) -> None:
        self.units: list[AccessUnit] = []
        self.sounds: list[AudioUnit] = []
        self.documents: list[bytes] = []
        self.reports: list[SenderReport] = []

    def opened(self, info: SourceInfo) -> None:
        raise AssertionError("a track opens nothing")

    def unit(self, unit: AccessUnit) -> None:
        self.units.append(unit)

    def audio(self, unit: AudioUnit) -> None:
        self.sounds.append(unit)

    def metadata(self, document: bytes, arrival_us: int) -> None:
        self.documents.append(document)

    def sender_report(self, report: SenderReport) -> None:
        self.reports.append(report)

    def failed(self, fault: Exception) -> None:
        raise AssertionError("a track fails by raising")


def h264(**fmtp: str) -> MediaDescription:
    sets = ",".join(base64.b64encode(nal).decode() for nal in (SPS, PPS))
    return MediaDescription("video", 96, "H264", 90_000, fmtp={"sprop-parameter-sets": sets, **fmtp})


def h265(**fmtp: str) -> MediaDescription:
    sets = {
        name: base64.b64encode(nal).decode()
        for name, nal in (("sprop-vps", VPS5), ("sprop-sps", SPS5), ("sprop-pps", PPS5))
    }
    return MediaDescription("video", 96, "H265", 90_000, fmtp={**sets, **fmtp})


def track(media: MediaDescription, *, ordered: bool = True) -> tuple[Track, Kept, SourceCounters]:
    kept, counters = Kept(), SourceCounters()
    return make_track(media, SETTINGS, kept, counters, ordered=ordered), kept, counters


def packet(
    sequence: int,
    stamp: int,
    payload: bytes,
    *,
    marker: bool = False,
    kind: int = 96,
    ssrc: int = SSRC,
    first: int = 0x80,
) -> bytes:
    flags = kind | (0x80 if marker else 0)
    return struct.pack(">BBHII", first, flags, sequence & 0xFFFF, stamp & 0xFFFF_FFFF, ssrc) + payload


def frame(data: bytes, channel: int = 0) -> bytes:
    return struct.pack(">BBH", 36, channel, len(data)) + data


def fragments(nal: bytes, size: int) -> list[bytes]:
    """FU-A of an H.264 NAL unit, `size` bytes of it in each."""
    head, kind = nal[0] & 0xE0 | 28, nal[0] & 31
    pieces = [nal[at : at + size] for at in range(1, len(nal), size)]
    last = len(pieces) - 1
    return [
        bytes((head, kind | (0x80 if index == 0 else 0) | (0x40 if index == last else 0))) + piece
        for index, piece in enumerate(pieces)
    ]


def fragments5(nal: bytes, size: int) -> list[bytes]:
    """The same of an H.265 NAL unit."""
    kind = nal[0] >> 1 & 63
    head = bytes((nal[0] & 0x81 | 49 << 1, nal[1]))
    pieces = [nal[at : at + size] for at in range(2, len(nal), size)]
    last = len(pieces) - 1
    return [
        head + bytes((kind | (0x80 if index == 0 else 0) | (0x40 if index == last else 0),)) + piece
        for index, piece in enumerate(pieces)
    ]


def aggregate(nals: Iterable[bytes]) -> bytes:
    """STAP-A."""
    return b"\x78" + b"".join(struct.pack(">H", len(nal)) + nal for nal in nals)


def aggregate5(nals: Iterable[bytes]) -> bytes:
    """AP."""
    return b"\x60\x01" + b"".join(struct.pack(">H", len(nal)) + nal for nal in nals)


def sample(*nals: bytes) -> bytes:
    """What a unit of these NAL units is as a sample."""
    return b"".join(struct.pack(">I", len(nal)) + nal for nal in nals)


def give(receiver: Track, data: bytes, at_s: float = 0.0) -> None:
    """Hand a packet over, in a buffer that is overwritten afterwards as the engine's is."""
    buffer = bytearray(b"??" + data + b"??")
    with memoryview(buffer) as view:
        receiver.take(view, 2, 2 + len(data), round(at_s * 1e6), at_s)
    buffer[:] = bytes(len(buffer))
