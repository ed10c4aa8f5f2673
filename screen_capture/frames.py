"""What a grab gives: monitors with stable names, frames, and the port behind which they come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from screen_capture.container import check_size
from storage.errors import MediaError, SunhallError

Words = NDArray[np.uint32]
"""(height, width) pixels as 0x00RRGGBB."""


class GrabFailed(SunhallError):
    """No picture this time. `code`: `no_display`, `no_monitor`, `monitor_gone`, `grab_hung` or `grab_failed`."""


@dataclass(frozen=True, slots=True)
class Monitor:
    """A monitor: `name` stays the same for the same output across restarts; the place is in desktop pixels."""

    name: str
    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a monitor: 4 bytes a pixel (blue, green, red, ignored), rows from the top, no padding."""

    width: int
    height: int
    bgra: bytes | bytearray | memoryview

    def words(self) -> Words:
        """A new array of the pixels without their fourth byte, which systems fill differently.

        Raises:
            MediaError: the size is out of bounds or does not fit the bytes.
        """
        check_size(self.width, self.height)
        if len(self.bgra) != self.width * self.height * 4:
            raise MediaError("frame_size", f"{len(self.bgra)} bytes are no {self.width} x {self.height} frame")
        pixels = np.frombuffer(self.bgra, dtype="<u4").reshape(self.height, self.width)
        return (pixels & np.uint32(0x00FFFFFF)).astype(np.uint32, copy=False)


class Grabber(Protocol):
    """Takes pictures of the desktop. Used from one thread. Implementations: SupervisedGrabber (mss in a child
    process); a rendered desktop for demonstrations; StillGrabber for tests."""

    def monitors(self) -> list[Monitor]:
        """The monitors there are now, in a stable order.

        Raises:
            GrabFailed: there is no display or it does not answer.
        """
        ...

    def grab(self, monitor: Monitor) -> Frame:
        """The present picture of `monitor`. Its size may differ from `monitor` when the resolution just changed.

        Raises:
            GrabFailed: no picture this time; the next call may succeed.
        """
        ...

    def close(self) -> None:
        """Let go of the display and end what was started. Harmless when repeated."""
        ...


class StillGrabber:
    """A desktop in memory: shows what it is given. For tests and trials."""

    def __init__(self, *monitors: Monitor) -> None:
        self._monitors = list(monitors)
        self._frames: dict[str, Frame] = {}
        self.failure: GrabFailed | None = None
        self.closed = False

    def show(self, name: str, frame: Frame) -> None:
        self._frames[name] = frame

    def add(self, monitor: Monitor) -> None:
        self._monitors.append(monitor)

    def remove(self, name: str) -> None:
        self._monitors = [monitor for monitor in self._monitors if monitor.name != name]

    def monitors(self) -> list[Monitor]:
        self._fail()
        return list(self._monitors)

    def grab(self, monitor: Monitor) -> Frame:
        self._fail()
        if monitor.name not in self._frames:
            raise GrabFailed("monitor_gone", f"no monitor {monitor.name}")
        return self._frames[monitor.name]

    def close(self) -> None:
        self.closed = True

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure
