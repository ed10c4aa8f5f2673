"""Bits of a parameter set: Exp-Golomb codes with bounds, for bytes that come from a camera."""

from __future__ import annotations

from storage.errors import MediaError

MAX_PARAMETER_SET = 4096
"""Bytes of a parameter set that we are willing to read."""

_MAX_GOLOMB_ZEROS = 32


def unescape(nal: bytes) -> bytes:
    """The payload of a NAL unit without its emulation prevention bytes (00 00 03 becomes 00 00)."""
    if b"\0\0\3" not in nal:
        return nal
    out = bytearray()
    start = 0
    at = nal.find(b"\0\0\3")
    while at >= 0:
        out += nal[start : at + 2]
        start = at + 3
        at = nal.find(b"\0\0\3", start)
    out += nal[start:]
    return bytes(out)


class BitReader:
    """Reads bits from the front of `data`.

    Every read raises MediaError (`parameter_set_truncated`) when the data ends before it.
    """

    def __init__(self, data: bytes) -> None:
        if len(data) > MAX_PARAMETER_SET:
            raise MediaError("parameter_set_too_long", f"a parameter set of {len(data)} bytes", length=len(data))
        self._value = int.from_bytes(data, "big")
        self._left = len(data) * 8

    def bits(self, count: int) -> int:
        """The next `count` bits as an unsigned number."""
        if count > self._left:
            raise MediaError("parameter_set_truncated", "a parameter set ends before its fields do")
        self._left -= count
        return (self._value >> self._left) & ((1 << count) - 1)

    def flag(self) -> bool:
        return self.bits(1) == 1

    def skip(self, count: int) -> None:
        self.bits(count)

    def ue(self) -> int:
        """An unsigned Exp-Golomb code, ue(v)."""
        zeros = 0
        while not self.flag():
            zeros += 1
            if zeros > _MAX_GOLOMB_ZEROS:
                raise MediaError("parameter_set_invalid", "an Exp-Golomb code of more than 32 zeros")
        return (1 << zeros) - 1 + self.bits(zeros)

    def se(self) -> int:
        """A signed Exp-Golomb code, se(v)."""
        code = self.ue()
        return (code + 1) // 2 if code % 2 else -(code // 2)
