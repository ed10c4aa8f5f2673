"""NAL units: split Annex B, name the kinds, and turn an access unit into a length-prefixed sample."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import StrEnum

_START = b"\0\0\1"
_LENGTH = struct.Struct(">I")
_SEI_RECOVERY_POINT = 6


class VideoCodec(StrEnum):
    """The codecs that we record, as the catalog names them."""

    H264 = "h264"
    H265 = "h265"


def split_annexb(data: bytes) -> list[bytes]:
    """The NAL units of an Annex B byte stream, without start codes and trailing zeros; empty ones left out."""
    units: list[bytes] = []
    start = data.find(_START)
    while start >= 0:
        after = data.find(_START, start + 3)
        unit = data[start + 3 : after if after >= 0 else len(data)]
        if unit.endswith(b"\0"):
            unit = unit.rstrip(b"\0")
        if unit:
            units.append(unit)
        start = after
    return units


@dataclass(frozen=True, slots=True)
class ParsedUnit:
    """An access unit taken apart: its sample, whether a decoder can start here, and parameter sets met in it."""

    sample: bytes  # NAL units with four-byte lengths, parameter sets and delimiters removed
    key: bool
    vps: tuple[bytes, ...]
    sps: tuple[bytes, ...]
    pps: tuple[bytes, ...]


def parse_access_unit(codec: VideoCodec, units: list[bytes]) -> ParsedUnit:
    """Take the NAL `units` of one access unit apart."""
    return _parse_h264(units) if codec is VideoCodec.H264 else _parse_h265(units)


def join_sample(units: list[bytes]) -> bytes:
    """The NAL units with four-byte length prefixes, as ISO 14496-15 stores them."""
    parts: list[bytes] = []
    for unit in units:
        parts.append(_LENGTH.pack(len(unit)))
        parts.append(unit)
    return b"".join(parts)


def split_sample(sample: bytes) -> list[bytes]:
    """The NAL units of a length-prefixed sample; stops at the first length that does not fit."""
    units: list[bytes] = []
    at = 0
    while at + 4 <= len(sample):
        (length,) = _LENGTH.unpack_from(sample, at)
        if length == 0 or at + 4 + length > len(sample):
            break
        units.append(sample[at + 4 : at + 4 + length])
        at += 4 + length
    return units


def sample_is_whole(sample: bytes) -> bool:
    """True when the sample's NAL lengths add up exactly (a zero-filled or torn sample's do not)."""
    at = 0
    while at + 4 <= len(sample):
        (length,) = _LENGTH.unpack_from(sample, at)
        if length == 0:
            return False
        at += 4 + length
    return at == len(sample) and at > 0


def _parse_h264(units: list[bytes]) -> ParsedUnit:
    keep: list[bytes] = []
    sps: list[bytes] = []
    pps: list[bytes] = []
    key = False
    for unit in units:
        kind = unit[0] & 31
        if kind == 7:
            sps.append(unit)
        elif kind == 8:
            pps.append(unit)
        elif kind not in (9, 10, 11, 12, 13):
            keep.append(unit)
            key = key or kind == 5 or (kind == 6 and is_clean_recovery_point(unit))
    return ParsedUnit(join_sample(keep), key, (), tuple(sps), tuple(pps))


def is_clean_recovery_point(sei: bytes) -> bool:
    """True for a recovery point message with a count of zero first in the unit (cameras without IDR pictures)."""
    return len(sei) > 3 and sei[1] == _SEI_RECOVERY_POINT and 0 < sei[2] < 16 and sei[3] & 0x80 == 0x80


def _parse_h265(units: list[bytes]) -> ParsedUnit:
    keep: list[bytes] = []
    sets: dict[int, list[bytes]] = {32: [], 33: [], 34: []}
    key = False
    for unit in units:
        kind = (unit[0] >> 1) & 63
        if kind in sets:
            sets[kind].append(unit)
        elif kind not in (35, 36, 37, 38):
            keep.append(unit)
            key = key or 16 <= kind <= 21
    return ParsedUnit(join_sample(keep), key, tuple(sets[32]), tuple(sets[33]), tuple(sets[34]))
