"""RTCP (RFC 3550 6): sender reports and goodbyes are read, receiver reports with our name are made."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from storage.clock import US

_SENDER = struct.Struct(">IQI")
NTP_UNIX = 2_208_988_800  # seconds from 1900 to 1970
_ERA = 1 << 32  # seconds of an NTP era; the second begins on 2036-02-07
_ERA_SOON_US = 2_051_222_400 * US  # 2035-01-01: from then on times of the second era are believed
_SENDER_REPORT, _RECEIVER_REPORT, _DESCRIPTION, _GOODBYE = 200, 201, 202, 203


@dataclass(frozen=True, slots=True)
class Sender:
    """A sender report: `ntp` is the sender's wall clock (64 bit, RFC 3550 4) at RTP time `stamp`."""

    ssrc: int
    ntp: int
    stamp: int


@dataclass(frozen=True, slots=True)
class Goodbye:
    """These sources end."""

    ssrcs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """One report block (RFC 3550 6.4.1); `delay` in 1/65536 s."""

    ssrc: int
    fraction: int
    lost: int
    highest: int
    jitter: int
    last_report: int
    delay: int


def parse(data: memoryview, start: int, end: int) -> Iterator[Sender | Goodbye]:
    """What a compound packet says that matters here. Stops at the first part that is damaged."""
    at = start
    while at + 4 <= end:
        first, kind = data[at], data[at + 1]
        stop = at + 4 + 4 * (data[at + 2] << 8 | data[at + 3])
        if first >> 6 != 2 or stop > end:
            return
        if kind == _SENDER_REPORT and stop - at >= 28:
            yield Sender(*_SENDER.unpack_from(data, at + 4))
        elif kind == _GOODBYE and stop - at >= 4 + 4 * (first & 31):
            yield Goodbye(struct.unpack_from(f">{first & 31}I", data, at + 4))
        at = stop


def unix_us(ntp: int, arrival_us: int) -> int | None:
    """An NTP time as Unix microseconds; None for a clock that was never set (0, or the years after 1900).

    Times with the highest bit clear belong to the era that begins in 2036; before 2035 nobody is there yet.
    """
    if ntp >> 63 == 0:
        if ntp == 0 or arrival_us < _ERA_SOON_US:
            return None
        ntp += _ERA << 32
    return ((ntp * US) >> 32) - NTP_UNIX * US


def receiver_report(ssrc: int, block: ReportBlock | None) -> bytes:
    """A compound packet of a receiver report and our canonical name (RFC 3550 6.1 demands both)."""
    report = struct.pack(">BBHI", 0x81 if block else 0x80, _RECEIVER_REPORT, 7 if block else 1, ssrc)
    if block is not None:
        lost = min(block.lost, 0x7F_FFFF) | min(block.fraction, 255) << 24
        counts = (lost, block.highest & 0xFFFF_FFFF, block.jitter & 0xFFFF_FFFF)
        report += struct.pack(">6I", block.ssrc, *counts, block.last_report, min(max(block.delay, 0), 0xFFFF_FFFF))
    name = f"sunhall-{ssrc:08x}".encode()
    item = struct.pack(">IBB", ssrc, 1, len(name)) + name
    item += bytes(4 - len(item) % 4)  # at least one zero ends the list of items
    return report + struct.pack(">BBH", 0x81, _DESCRIPTION, len(item) // 4) + item
