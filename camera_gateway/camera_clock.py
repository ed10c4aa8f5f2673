"""How wrong a camera's clock is, from what its RTCP sender reports say against when its pictures arrive."""

from __future__ import annotations

from collections import deque
from statistics import median

from storage.clock import US

_REPORTS = 8
_DELAY_US = US // 4
"""Capture, encoding and sending take up to about this long: what an arrival can be late of the camera's own time."""
_ABSURD_US = 10 * 365 * 86_400 * US
"""A clock off by more was never set: it counts from its start, and says nothing."""


class CameraClock:
    """Offset (camera minus hall) as the median of the last reports, and how wrong that may be; microseconds."""

    def __init__(self) -> None:
        self._offsets: deque[int] = deque(maxlen=_REPORTS)

    def take(self, offset_us: int) -> None:
        """One report's offset against the smoothed arrival of the same media time."""
        if abs(offset_us) < _ABSURD_US:
            self._offsets.append(offset_us)
        else:
            self._offsets.clear()

    def forget(self) -> None:
        """One of the clocks jumped."""
        self._offsets.clear()

    @property
    def offset_us(self) -> int | None:
        """Positive: the camera is fast. None while no report came."""
        return round(median(self._offsets)) if self._offsets else None

    @property
    def error_us(self) -> int | None:
        """Half the width of what the offset may truly be."""
        if not self._offsets:
            return None
        middle = median(self._offsets)
        return _DELAY_US + round(max(abs(offset - middle) for offset in self._offsets))
