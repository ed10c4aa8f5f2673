"""H.264 sequence parameter sets (ITU-T H.264, 7.3.2.1.1) and the avcC record (ISO 14496-15, 5.3.3)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from camera_gateway.fmp4.bits import BitReader, unescape
from storage.errors import MediaError

_HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_AVCC_HIGH = frozenset({100, 110, 122, 144})
MAX_SIDE = 16384
"""Pixels of a side beyond which a parameter set is refused."""


@dataclass(frozen=True, slots=True)
class Sps264:
    """What we need of a sequence parameter set."""

    profile: int
    constraints: int
    level: int
    chroma_format: int
    bit_depth_luma: int
    bit_depth_chroma: int
    width: int
    height: int


def parse_sps(nal: bytes) -> Sps264:
    """Read an H.264 SPS NAL unit.

    Raises:
        MediaError: it is truncated, too long, or says something impossible.
    """
    if len(nal) < 5:
        raise MediaError("parameter_set_truncated", "an H.264 SPS has at least five bytes")
    reader = BitReader(unescape(nal[1:]))
    profile, constraints, level = reader.bits(8), reader.bits(8), reader.bits(8)
    reader.ue()
    chroma, separate, luma_depth, chroma_depth = 1, False, 8, 8
    if profile in _HIGH_PROFILES:
        chroma, separate, luma_depth, chroma_depth = _read_high(reader)
    _skip_order(reader)
    width, height = _read_size(reader, 0 if separate else chroma)
    return Sps264(profile, constraints, level, chroma, luma_depth, chroma_depth, width, height)


def avcc(sps: tuple[bytes, ...], pps: tuple[bytes, ...]) -> bytes:
    """The AVCDecoderConfigurationRecord with four-byte NAL lengths."""
    first = parse_sps(sps[0])
    head = bytes((1, sps[0][1], sps[0][2], sps[0][3], 0xFF, 0xE0 | len(sps)))
    body = head + _sets(sps) + bytes((len(pps),)) + _sets(pps)
    if first.profile in _AVCC_HIGH:
        depths = (0xF8 | (first.bit_depth_luma - 8), 0xF8 | (first.bit_depth_chroma - 8), 0)
        body += bytes((0xFC | first.chroma_format, *depths))
    return body


def codec_string(sps: bytes) -> str:
    """RFC 6381, for example `avc1.64001F`."""
    return f"avc1.{sps[1]:02X}{sps[2]:02X}{sps[3]:02X}"


def _sets(units: tuple[bytes, ...]) -> bytes:
    return b"".join(struct.pack(">H", len(unit)) + unit for unit in units)


def _read_high(reader: BitReader) -> tuple[int, bool, int, int]:
    chroma = _at_most(reader.ue(), 3)
    separate = reader.flag() if chroma == 3 else False
    luma = 8 + _at_most(reader.ue(), 6)
    chroma_depth = 8 + _at_most(reader.ue(), 6)
    reader.skip(1)
    if reader.flag():
        for index in range(12 if chroma == 3 else 8):
            if reader.flag():
                _skip_scaling_list(reader, 16 if index < 6 else 64)
    return chroma, separate, luma, chroma_depth


def _skip_scaling_list(reader: BitReader, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + reader.se()) % 256
        last = following or last


def _skip_order(reader: BitReader) -> None:
    """From log2_max_frame_num to gaps_in_frame_num_value_allowed_flag."""
    reader.ue()
    order = _at_most(reader.ue(), 2)
    if order == 0:
        reader.ue()
    elif order == 1:
        reader.skip(1)
        reader.se()
        reader.se()
        for _ in range(_at_most(reader.ue(), 255)):
            reader.se()
    reader.ue()
    reader.skip(1)


def _read_size(reader: BitReader, chroma: int) -> tuple[int, int]:
    width = (reader.ue() + 1) * 16
    map_units = reader.ue() + 1
    frames_only = reader.flag()
    height = map_units * 16 * (1 if frames_only else 2)
    if not frames_only:
        reader.skip(1)
    reader.skip(1)
    if reader.flag():
        unit_x = 2 if chroma in (1, 2) else 1
        unit_y = (2 if chroma == 1 else 1) * (1 if frames_only else 2)
        width -= unit_x * (reader.ue() + reader.ue())
        height -= unit_y * (reader.ue() + reader.ue())
    return check_size(width, height)


def check_size(width: int, height: int) -> tuple[int, int]:
    """(width, height), or MediaError when no picture can have that size."""
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise MediaError("picture_size_invalid", f"a picture of {width} x {height}", width=width, height=height)
    return width, height


def _at_most(value: int, limit: int) -> int:
    if value > limit:
        raise MediaError("parameter_set_invalid", f"a field of {value} where at most {limit} is allowed")
    return value
