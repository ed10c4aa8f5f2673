"""A small exact FLAC encoder (RFC 9639) for telephone sound: fixed predictors and Rice codes, one frame per call.

Written for G.711, where it keeps what a larger encoder keeps, costs no more and needs no library in a worker's memory
(docs/decisions/0086-audio.md). Frames are of the variable-block kind: each carries the number of its first sample, so
a hole shows in the frames too.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from functools import cache
from itertools import islice
from operator import sub

LEAST_BLOCK = 16
LARGEST_BLOCK = 1024
_SYNC = 0xFFF9  # with the bit that says: blocks of several sizes
_RATE_CODES = {8000: 4, 16000: 5, 22050: 6, 24000: 7, 32000: 8, 44100: 9, 48000: 10, 96000: 11}
_BITS = 16
_LARGEST_PARAMETER = 14
_LARGEST_ORDER = 2
_LOOKED_AT = 256
"""So many samples of a block are looked at to choose how all are coded."""

_CONSTANT, _VERBATIM, _FIXED = 0, 1, 8


def stream_info(rate: int, channels: int) -> bytes:
    """The STREAMINFO metadata block's body; length and MD5 are unknown, as the sound goes on."""
    facts = rate << 44 | (channels - 1) << 41 | (_BITS - 1) << 36
    return struct.pack(">HH6xQ16x", LEAST_BLOCK, LARGEST_BLOCK, facts)


def encode_frame(channels: Sequence[Sequence[int]], number: int, rate: int, zero_bits: int = 0) -> bytes:
    """One frame of 16-bit samples (1 to `LARGEST_BLOCK` of each channel), the first of which is sample `number`.

    The low `zero_bits` of every sample are zero and left out of what is given here.
    """
    size = len(channels[0])
    head = struct.pack(">HBB", _SYNC, 0x70 | _RATE_CODES.get(rate, 0), (len(channels) - 1) << 4 | 0x08)
    head += _coded_number(number) + struct.pack(">H", size - 1)
    head += bytes((_crc8(head),))
    bits = "1" + "".join(_subframe(samples, zero_bits) for samples in channels)
    bits += "0" * (-(len(bits) - 1) % 8)
    length = (len(bits) - 1) // 8
    frame = head + int(bits, 2).to_bytes(length + 1, "big")[1:]
    return frame + struct.pack(">H", _crc16(frame))


def _subframe(samples: Sequence[int], zero_bits: int) -> str:
    waste = "1" + "0" * (zero_bits - 1) + "1" if zero_bits else "0"
    width = _BITS - zero_bits
    if samples.count(samples[0]) == len(samples):
        return f"0{_CONSTANT:06b}{waste}{_raw(samples[:1], width)}"
    order, parameter = _predictor(samples[:_LOOKED_AT])
    coded = "".join(map(_RICE[parameter].__getitem__, _differences(samples, order)))
    if len(coded) + order * width >= len(samples) * width:
        return f"0{_VERBATIM:06b}{waste}{_raw(samples, width)}"
    return f"0{_FIXED | order:06b}{waste}{_raw(samples[:order], width)}000000{parameter:04b}{coded}"


def _differences(samples: Sequence[int], order: int) -> Sequence[int]:
    for _ in range(order):
        samples = list(map(sub, islice(samples, 1, None), samples))
    return samples


def _predictor(samples: Sequence[int]) -> tuple[int, int]:
    """The order of differences that leaves least of these samples, and the Rice parameter for the mean of the rest."""
    best, least, count = 0, sum(map(abs, samples)), len(samples)
    residual = samples
    for order in range(1, min(_LARGEST_ORDER, count - 1) + 1):
        residual = _differences(residual, 1)
        left = sum(map(abs, residual))
        if left < least:
            best, least = order, left
    return best, min((least // (count - best)).bit_length(), _LARGEST_PARAMETER)


class _RiceCodes(dict[int, str]):
    """The Rice code of a residual as a string of bits; those that occur often are kept."""

    _KEPT = 2048

    def __init__(self, parameter: int) -> None:
        super().__init__()
        self._parameter = parameter

    def __missing__(self, value: int) -> str:
        folded = value << 1 if value >= 0 else (-value << 1) - 1
        code = "0" * (folded >> self._parameter) + "1"
        if self._parameter:
            code += f"{folded & (1 << self._parameter) - 1:0{self._parameter}b}"
        if len(self) < self._KEPT and len(code) < 4 * _BITS:
            self[value] = code
        return code


_RICE = tuple(map(_RiceCodes, range(_LARGEST_PARAMETER + 1)))


def _raw(samples: Sequence[int], width: int) -> str:
    mask = (1 << width) - 1
    return "".join(f"{value & mask:0{width}b}" for value in samples)


def _coded_number(number: int) -> bytes:
    """A number of up to 36 bits in the manner of UTF-8."""
    number &= (1 << 36) - 1
    if number < 0x80:
        return bytes((number,))
    tail: list[int] = []
    room = 0x40
    while number >= room:
        tail.append(0x80 | number & 0x3F)
        number >>= 6
        room = 0x40 >> len(tail)
    first = 0x100 - (room << 1) & 0xFF
    return bytes((first | number, *reversed(tail)))


def _table(width: int, polynomial: int, step: int) -> array[int]:
    """What a CRC of `width` bits becomes by `step` bits (at most `width`) of data."""
    top, mask = 1 << width - 1, (1 << width) - 1
    table = array("H")
    for value in range(1 << step):
        value <<= width - step
        for _ in range(step):
            value = (value << 1 ^ (polynomial if value & top else 0)) & mask
        table.append(value)
    return table


_CRC8 = _table(8, 0x07, 8)


@cache
def _crc16_tables() -> tuple[array[int], array[int]]:
    """For two bytes at once (128 KiB, made when the first sound is recorded) and for one."""
    by_byte = _table(16, 0x8005, 8)
    by_pair = array("H")
    for high in range(256):
        after = by_byte[high]
        by_pair.extend((after << 8 & 0xFFFF) ^ by_byte[after >> 8 ^ low] for low in range(256))
    return by_pair, by_byte


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc = _CRC8[crc ^ byte]
    return crc


def is_whole(frame: bytes) -> bool:
    """Whether the frame's own check is right."""
    return len(frame) > 8 and _crc16(frame) == 0


def _crc16(data: bytes) -> int:
    by_pair, by_byte = _crc16_tables()
    crc = 0
    for pair in struct.unpack(f">{len(data) // 2}H", data[: len(data) & ~1]):
        crc = by_pair[crc ^ pair]
    if len(data) & 1:
        crc = (crc << 8 & 0xFFFF) ^ by_byte[crc >> 8 ^ data[-1]]
    return crc
