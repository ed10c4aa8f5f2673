"""G.711 (ITU-T) to 16-bit samples and exactly back: each of the 256 codes of either law has a value of its own.

A-law gives 256 different values by itself. µ-law has two zeros; the negative one (0x7F) becomes -4, the value half way
to the next code, which ITU-T's reference encoder (G.191 `ulaw_compress`) takes back to 0x7F. All values are whole
multiples of a power of two, so FLAC keeps 13 (A-law) or 14 bits (µ-law) of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

_NEGATIVE_ZERO = 0x7F
_NEGATIVE_ZERO_VALUE = -4


@dataclass(frozen=True, slots=True)
class Law:
    """One law: the value of each code, whose low `zero_bits` are always zero."""

    values: tuple[int, ...]
    zero_bits: int
    short: tuple[int, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "short", tuple(value >> self.zero_bits for value in self.values))

    def decode(self, data: bytes) -> list[int]:
        """The samples of `data` without their `zero_bits`."""
        return list(map(self.short.__getitem__, data))

    def encode(self, samples: Iterable[int]) -> bytes:
        """The bytes that these 16-bit samples were made of.

        Raises:
            KeyError: a sample is no value of this law.
        """
        codes = {value: code for code, value in enumerate(self.values)}
        return bytes(map(codes.__getitem__, samples))


def _a_law(code: int) -> int:
    code ^= 0x55
    step, exponent = code & 0x0F, code >> 4 & 0x07
    magnitude = (step << 4) + 8 if exponent == 0 else (step << 4) + 0x108 << exponent - 1
    return magnitude if code & 0x80 else -magnitude


def _mu_law(code: int) -> int:
    if code == _NEGATIVE_ZERO:
        return _NEGATIVE_ZERO_VALUE
    code ^= 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84 << (code >> 4 & 0x07)) - 0x84
    return -magnitude if code & 0x80 else magnitude


A_LAW = Law(tuple(map(_a_law, range(256))), zero_bits=3)
MU_LAW = Law(tuple(map(_mu_law, range(256))), zero_bits=2)
