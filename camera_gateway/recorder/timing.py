"""Wall time of media time: jitter-smoothed, without drift over any number of segments (docs/time.md).

Arrivals are media time plus a delay that is never negative. Once a second the arrival with the least delay is kept,
and a straight line through the last minute of those is the answer. Sums are exact integers, nothing is carried from
one segment to the next, so there is nothing that could drift.

An arrival is noted for every picture of every camera, so noting makes no objects; the line is only drawn when one is
kept, and an answer is only computed for who asks.
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


class ArrivalLine:
    """The straight line from media time to wall time for one run; both in microseconds."""

    __slots__ = (
        *("_best_delay", "_best_until", "_best_x", "_begun", "_last_us", "_offset", "_origin_media", "_origin_wall"),
        *("_points", "_slope", "_sums"),
    )

    def __init__(self) -> None:
        self._begun = False
        self._origin_media = 0
        self._origin_wall = 0
        self._points: deque[tuple[int, int]] = deque()  # (media, arrival) since the origin, least delayed of a second
        self._best_x = 0  # the least delayed arrival of the second that goes on
        self._best_delay = 0
        self._best_until = -(1 << 62)  # before the first arrival every time is later
        self._sums = [0, 0, 0, 0]
        self._offset = 0.0
        self._slope = 1.0
        self._last_us = 0

    def add(self, media_us: int, arrival_us: int) -> None:
        """An arrival; media time rises from call to call."""
        x = media_us - self._origin_media
        delay = arrival_us - self._origin_wall - x
        if x < self._best_until and delay >= self._best_delay:
            return
        if not self._begun:
            self._begin(media_us, arrival_us)
            x = delay = 0
        elif x >= self._best_until:
            self._keep(self._best_x, self._best_x + self._best_delay)
            self._best_until = x + US
        self._best_x, self._best_delay = x, delay
        if len(self._points) < _LEAST_POINTS:
            self._fit()

    def wall_us(self, media_us: int) -> int:
        """The wall time of `media_us`; never earlier than an answer before plus one, so that times only rise."""
        self._last_us = max(self.place_us(media_us), self._last_us + 1)
        return self._last_us

    def go_on_from(self, wall_us: int) -> None:
        """Answer nothing earlier from now on."""
        self._last_us = max(self._last_us, wall_us - 1)

    def place_us(self, media_us: int) -> int:
        """The wall time of `media_us` as the line lies now, also for times long answered."""
        if not self._begun:
            raise ValueError("no arrival yet")
        return self._origin_wall + round(self._offset + self._slope * (media_us - self._origin_media))

    def _begin(self, media_us: int, arrival_us: int) -> None:
        self._begun = True
        self._origin_media, self._origin_wall = media_us, arrival_us
        self._best_until = US

    def _keep(self, x: int, y: int) -> None:
        self._points.append((x, y))
        self._sum(x, y, 1)
        if len(self._points) > _WINDOW:
            self._sum(*self._points.popleft(), -1)
        self._fit()

    def _sum(self, x: int, y: int, sign: int) -> None:
        for index, value in enumerate((x, y, x * x, x * y)):
            self._sums[index] += sign * value

    def _fit(self) -> None:
        count = len(self._points)
        if count < _LEAST_POINTS:
            self._slope = 1.0
            self._offset = float(min([self._best_delay, *(y - x for x, y in self._points)]))
            return
        x, y, xx, xy = self._sums
        spread = count * xx - x * x
        slope = (count * xy - x * y) / spread if spread else 1.0
        self._slope = min(max(slope, _SLOPE_LIMITS[0]), _SLOPE_LIMITS[1])
        self._offset = y / count - self._slope * (x / count)


class ClockWatch:
    """Notices when the wall clock jumps against the monotonic one (slewing is no jump)."""

    __slots__ = ("_difference",)

    def __init__(self) -> None:
        self._difference: int | None = None

    def stepped_us(self, wall_us: int, monotonic_s: float) -> int:
        """By how much the wall clock jumped since the last call; 0 when it did not."""
        difference = wall_us - int(monotonic_s * US)
        before, self._difference = self._difference, difference
        if before is None or -CLOCK_STEP_US < difference - before < CLOCK_STEP_US:
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

    __slots__ = ("_watch", "line")

    def __init__(self) -> None:
        self.line = ArrivalLine()
        self._watch = ClockWatch()

    def take(self, unit: AccessUnit) -> TimeBreak | None:
        """Note an arrival; a break, when this unit no longer belongs to the run before it."""
        stepped = self._watch.stepped_us(unit.arrival_us, unit.arrival_s)
        broken = None
        if stepped or unit.jumped:
            broken = _break_of(stepped)
            self.line = ArrivalLine()
        self.line.add(unit.dts * 100 // 9, unit.arrival_us)
        return broken

    def wall_us(self, unit: AccessUnit) -> int:
        """The smoothed wall time of a unit just taken."""
        return self.line.wall_us(media_us(unit.dts))


def _break_of(stepped_us: int) -> TimeBreak:
    if stepped_us:
        return TimeBreak(RunEnd.CLOCK_STEP, f"the wall clock jumped by {stepped_us / US:.3f} s")
    return TimeBreak(RunEnd.NETWORK, "the camera's timestamps jumped")


def next_boundary_us(now_us: int, interval_us: int, phase_us: int) -> int:
    """The next wall-clock boundary of a camera: multiples of the interval, shifted by the camera's own phase."""
    return ((now_us - phase_us) // interval_us + 1) * interval_us + phase_us
