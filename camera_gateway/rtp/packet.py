"""The RTP fixed header (RFC 3550 5.1): where the payload of a packet begins and ends."""

from __future__ import annotations

import struct

HEADER = struct.Struct(">BBHII")
"""Version, padding, extension and CSRC count; marker and payload type; sequence number; timestamp; SSRC."""

HEADER_BYTES = 12
PLAIN = 0x80
"""The first byte of nearly every packet: version 2, no padding, no extension, no contributing sources."""

_VERSION = 2


def payload_bounds(data: memoryview, start: int, end: int) -> tuple[int, int] | None:
    """Where the payload of the packet in `data[start:end]` is, past CSRCs and extension and before the padding.

    Returns None for what is no RTP packet: too short, another version, lengths that do not add up.
    """
    if end - start < HEADER_BYTES:
        return None
    first = data[start]
    if first >> 6 != _VERSION:
        return None
    at = start + HEADER_BYTES + 4 * (first & 15)
    if first & 0x10:
        if at + 4 > end:
            return None
        at += 4 + 4 * (data[at + 2] << 8 | data[at + 3])
    if at > end:
        return None
    if first & 0x20:
        padding = data[end - 1] if at < end else 0
        if not 0 < padding <= end - at:
            return None
        end -= padding
    return at, end


def difference(later: int, earlier: int) -> int:
    """The signed distance of two 32-bit timestamps, -2**31 to 2**31 - 1."""
    return ((later - earlier + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000
