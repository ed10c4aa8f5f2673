"""The machine strip: 96 black or white cells at the top left of each picture that say when it was made.

The grid is 24 columns by 4 rows; a cell is a square of picture width / 80 (8 px at 640, 16 px at 1280). Bits are read
row by row, most significant first; white (luma 235) is 1, black (luma 16) is 0:

    bits  0..7   0xA6, a mark
    bits  8..49  time in milliseconds since 1970 UTC, by the camera's clock (a loop: since the loop's start, under 1e9)
    bits 50..65  frame counter, modulo 65536
    bits 66..79  camera number
    bits 80..95  CRC-16/CCITT-FALSE of the ten bytes before
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

COLUMNS = 24
ROWS = 4
CELLS_PER_WIDTH = 80
WHITE = 235
BLACK = 16
_MARK = 0xA6
_TIME_BITS = 42
_COUNTER_BITS = 16
_CAMERA_BITS = 14

Plane = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a strip says."""

    time_ms: int
    counter: int
    camera: int


def crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE (polynomial 0x1021, start 0xFFFF)."""
    value = 0xFFFF
    for byte in data:
        value ^= byte << 8
        for _ in range(8):
            value = (value << 1 ^ 0x1021 if value & 0x8000 else value << 1) & 0xFFFF
    return value


def encode(stamp: Stamp) -> bytes:
    """The twelve bytes of a strip; each number is taken modulo its width."""
    value = _MARK
    for number, bits in ((stamp.time_ms, _TIME_BITS), (stamp.counter, _COUNTER_BITS), (stamp.camera, _CAMERA_BITS)):
        value = value << bits | number & (1 << bits) - 1
    head = value.to_bytes(10, "big")
    return head + crc16(head).to_bytes(2, "big")


def decode(data: bytes) -> Stamp | None:
    """What twelve bytes say, or None when mark or checksum is wrong."""
    if len(data) != 12 or data[0] != _MARK or crc16(data[:10]) != int.from_bytes(data[10:], "big"):
        return None
    value = int.from_bytes(data[:10], "big")
    camera = value & (1 << _CAMERA_BITS) - 1
    counter = value >> _CAMERA_BITS & (1 << _COUNTER_BITS) - 1
    time_ms = value >> _CAMERA_BITS + _COUNTER_BITS & (1 << _TIME_BITS) - 1
    return Stamp(time_ms, counter, camera)


def draw(plane: Plane, width: int, stamp: Stamp) -> None:
    """Paint the strip into the top left of a luma plane of a picture `width` pixels wide."""
    bits = np.unpackbits(np.frombuffer(encode(stamp), dtype=np.uint8)).reshape(ROWS, COLUMNS)
    cell = width // CELLS_PER_WIDTH
    luma = np.where(bits, np.uint8(WHITE), np.uint8(BLACK))
    plane[: ROWS * cell, : COLUMNS * cell] = luma.repeat(cell, axis=0).repeat(cell, axis=1)


def read(plane: Plane, width: int | None = None) -> Stamp | None:
    """Read the strip from a luma or grey plane of any scale, by the mean of each cell's middle half."""
    cell = (width or plane.shape[1]) / CELLS_PER_WIDTH
    bits = []
    for row in range(ROWS):
        for column in range(COLUMNS):
            top, left = (row + 0.25) * cell, (column + 0.25) * cell
            patch = plane[int(top) : int(top + cell / 2) + 1, int(left) : int(left + cell / 2) + 1]
            bits.append(patch.size > 0 and float(patch.mean()) > 128)
    return decode(np.packbits(np.array(bits, dtype=np.uint8)).tobytes())
