"""A packet source without a camera: plays a list of access units on a clock. For tests and for trying things out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from camera_gateway.packets import AccessUnit, SourceFault, SourceSettings
from storage.clock import Clock
from storage.model import GapReason


class FakeSource:
    """Plays `units`, stamped with the clock's time as they come, then breaks with `fault`.

    `opening` is raised by `open` instead, when given. `opened` counts sessions, so that a test sees each try.
    """

    def __init__(
        self,
        clock: Clock,
        units: Iterable[AccessUnit] = (),
        *,
        opening: SourceFault | None = None,
        fault: SourceFault | None = None,
        before_each: Callable[[int], None] = lambda _index: None,
    ) -> None:
        self._clock = clock
        self._units = list(units)
        self._opening = opening
        self._fault = fault or SourceFault(GapReason.NETWORK, "the camera ended the stream")
        self._before_each = before_each
        self.closed = False
        self.opened = 0
        self.settings: SourceSettings | None = None

    def open(self, settings: SourceSettings) -> None:
        self.opened += 1
        self.settings = settings
        if self._opening is not None:
            raise self._opening

    def units(self) -> Iterator[AccessUnit]:
        for index, unit in enumerate(self._units):
            self._before_each(index)
            if self.closed:
                return
            yield replace(unit, arrival_us=self._clock.now_us(), arrival_s=self._clock.monotonic())
        if not self.closed:
            raise self._fault

    def close(self) -> None:
        self.closed = True
