"""Wall time of media time: jitter-smoothed, without drift over any number of segments (docs/time.md).

Arrivals are media time plus a delay that is never negative. Once a second the arrival with the least delay is kept,
and a straight line through the last minute of those is the answer. Sums are exact integers, nothing is carried from
one segment to the next, so there is nothing that could drift.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from camera_gateway.packets import AccessUnit
from storage.clock import US
from storage.model import RunEnd

_WINDOW = 60
_LEAST_POINTS = 4
_SLOPE_LIMITS = (0.5, 2.0)
CLOCK_STEP_US = 500_000
"""A jump of the wall clock against the monotonic one from which on it counts as a step."""


@dataclass(frozen=True, slots=True)
class _Point:
    media_us: int
    arrival_us: int


class ArrivalLine:
    """The straight line from media time to wall time for one run; both in microseconds."""

    def __init__(self) -> None:
        self._points: deque[_Point] = deque()
        self._origin: _Point | None = None
        self._best: _Point | None = None
        self._best_since = 0
        self._sums = [0, 0, 0, 0]
        self._offset = 0.0
        self._slope = 1.0
        self._last_us = 0

    def add(self, media_us: int, arrival_us: int) -> None:
        """An arrival; media time rises from call to call."""
        if self._origin is None:
            self._origin = _Point(media_us, arrival_us)
            self._best_since = media_us
        point = _Point(media_us - self._origin.media_us, arrival_us - self._origin.arrival_us)
        if media_us - self._best_since >= US and self._best is not None:
            self._keep(self._best)
            self._best, self._best_since = None, media_us
        if self._best is None or point.arrival_us - point.media_us < self._best.arrival_us - self._best.media_us:
            self._best = point
            if len(self._points) < _LEAST_POINTS:
                self._fit()

    def wall_us(self, media_us: int) -> int:
        """The wall time of `media_us`; never earlier than an answer before plus one, so that times only rise."""
        if self._origin is None:
            raise ValueError("no arrival yet")
        x = media_us - self._origin.media_us
        answer = self._origin.arrival_us + round(self._offset + self._slope * x)
        self._last_us = max(answer, self._last_us + 1)
        return self._last_us

    def _keep(self, point: _Point) -> None:
        self._points.append(point)
        self._sum(point, 1)
        if len(self._points) > _WINDOW:
            self._sum(self._points.popleft(), -1)
        self._fit()

    def _sum(self, point: _Point, sign: int) -> None:
        x, y = point.media_us, point.arrival_us
        for index, value in enumerate((x, y, x * x, x * y)):
            self._sums[index] += sign * value

    def _fit(self) -> None:
        count = len(self._points)
        if count < _LEAST_POINTS:
            points = [*self._points, *([self._best] if self._best else [])]
            self._slope = 1.0
            self._offset = float(min(point.arrival_us - point.media_us for point in points))
            return
        x, y, xx, xy = self._sums
        spread = count * xx - x * x
        slope = (count * xy - x * y) / spread if spread else 1.0
        self._slope = min(max(slope, _SLOPE_LIMITS[0]), _SLOPE_LIMITS[1])
        self._offset = y / count - self._slope * (x / count)


class ClockWatch:
    """Notices when the wall clock jumps against the monotonic one (slewing is no jump)."""

    def __init__(self) -> None:
        self._difference: int | None = None

    def stepped_us(self, wall_us: int, monotonic_s: float) -> int:
        """By how much the wall clock jumped since the last call; 0 when it did not."""
        difference = wall_us - round(monotonic_s * US)
        before, self._difference = self._difference, difference
        if before is None or abs(difference - before) < CLOCK_STEP_US:
            return 0
        return difference - before


def media_us(dts: int) -> int:
    """1/90000 s as microseconds."""
    return dts * 100 // 9


@dataclass(frozen=True, slots=True)
class TimeBreak:
    """The relation of media time to wall time ended here: why the run must end."""

    end: RunEnd
    detail: str


class Timekeeper:
    """Keeps the arrival line of one session and starts a new one when a clock jumps."""

    def __init__(self) -> None:
        self.line = ArrivalLine()
        self._watch = ClockWatch()

    def take(self, unit: AccessUnit) -> TimeBreak | None:
        """Note an arrival; a break, when this unit no longer belongs to the run before it."""
        broken = self._find_break(unit)
        if broken is not None:
            self.line = ArrivalLine()
        self.line.add(media_us(unit.dts), unit.arrival_us)
        return broken

    def wall_us(self, unit: AccessUnit) -> int:
        """The smoothed wall time of a unit just taken."""
        return self.line.wall_us(media_us(unit.dts))

    def _find_break(self, unit: AccessUnit) -> TimeBreak | None:
        stepped = self._watch.stepped_us(unit.arrival_us, unit.arrival_s)
        if stepped:
            return TimeBreak(RunEnd.CLOCK_STEP, f"the wall clock jumped by {stepped / US:.3f} s")
        if unit.jumped:
            return TimeBreak(RunEnd.NETWORK, "the camera's timestamps jumped")
        return None


def next_boundary_us(now_us: int, interval_us: int, phase_us: int) -> int:
    """The next wall-clock boundary of a camera: multiples of the interval, shifted by the camera's own phase."""
    return ((now_us - phase_us) // interval_us + 1) * interval_us + phase_us
