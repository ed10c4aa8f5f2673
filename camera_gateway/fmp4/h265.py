"""H.265 sequence parameter sets (ITU-T H.265, 7.3.2.2) and the hvcC record (ISO 14496-15, 8.3.3)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from camera_gateway.fmp4.bits import BitReader, unescape
from camera_gateway.fmp4.h264 import check_size
from storage.errors import MediaError


@dataclass(frozen=True, slots=True)
class Sps265:
    """What we need of a sequence parameter set; `general` is the twelve bytes of profile, tier and level."""

    general: bytes
    sub_layers: int
    nested: bool
    chroma_format: int
    bit_depth_luma: int
    bit_depth_chroma: int
    width: int
    height: int


def parse_sps(nal: bytes) -> Sps265:
    """Read an H.265 SPS NAL unit.

    Raises:
        MediaError: it is truncated, too long, or says something impossible.
    """
    if len(nal) < 15:
        raise MediaError("parameter_set_truncated", "an H.265 SPS has at least fifteen bytes")
    reader = BitReader(unescape(nal[2:]))
    reader.skip(4)
    sub_layers = reader.bits(3)
    nested = reader.flag()
    general = reader.bits(96).to_bytes(12, "big")
    _skip_sub_layers(reader, sub_layers)
    reader.ue()
    chroma = reader.ue()
    if chroma > 3:
        raise MediaError("parameter_set_invalid", f"chroma_format_idc {chroma}")
    separate = reader.flag() if chroma == 3 else False
    width, height = reader.ue(), reader.ue()
    if reader.flag():
        unit_x = 2 if chroma in (1, 2) and not separate else 1
        unit_y = 2 if chroma == 1 and not separate else 1
        width -= unit_x * (reader.ue() + reader.ue())
        height -= unit_y * (reader.ue() + reader.ue())
    luma, chroma_depth = reader.ue() + 8, reader.ue() + 8
    if max(luma, chroma_depth) > 15:
        raise MediaError("parameter_set_invalid", f"bit depths {luma} and {chroma_depth}")
    check_size(width, height)
    return Sps265(general, sub_layers + 1, nested, chroma, luma, chroma_depth, width, height)


def hvcc(vps: tuple[bytes, ...], sps: tuple[bytes, ...], pps: tuple[bytes, ...]) -> bytes:
    """The HEVCDecoderConfigurationRecord with complete parameter set arrays and four-byte NAL lengths."""
    first = parse_sps(sps[0])
    fixed = struct.pack(
        ">B12sHBBBBHB",
        1,
        first.general,
        0xF000,
        0xFC,
        0xFC | first.chroma_format,
        0xF8 | (first.bit_depth_luma - 8),
        0xF8 | (first.bit_depth_chroma - 8),
        0,
        (first.sub_layers & 7) << 3 | (4 if first.nested else 0) | 3,
    )
    arrays = [(kind, units) for kind, units in ((32, vps), (33, sps), (34, pps)) if units]
    return fixed + bytes((len(arrays),)) + b"".join(_array(kind, units) for kind, units in arrays)


def codec_string(sps: bytes) -> str:
    """RFC 6381 as ISO 14496-15 annex E wants it, for example `hvc1.1.6.L93.B0`."""
    return general_codec_string(parse_sps(sps).general)


def general_codec_string(general: bytes) -> str:
    """The codec string of the twelve bytes of profile, tier and level."""
    space, tier, profile = general[0] >> 6, general[0] >> 5 & 1, general[0] & 31
    compatibility = int(f"{int.from_bytes(general[1:5], 'big'):032b}"[::-1], 2)
    text = f"hvc1.{['', 'A', 'B', 'C'][space]}{profile}.{compatibility:X}.{'H' if tier else 'L'}{general[11]}"
    return text + "".join(f".{value:X}" for value in general[5:11].rstrip(b"\0"))


def _array(kind: int, units: tuple[bytes, ...]) -> bytes:
    head = struct.pack(">BH", 0x80 | kind, len(units))
    return head + b"".join(struct.pack(">H", len(unit)) + unit for unit in units)


def _skip_sub_layers(reader: BitReader, count: int) -> None:
    present = [(reader.flag(), reader.flag()) for _ in range(count)]
    if count:
        reader.skip(2 * (8 - count))
    for profile, level in present:
        reader.skip((88 if profile else 0) + (8 if level else 0))
