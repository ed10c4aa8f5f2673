"""The rendered desktop behind the grabber port of `screen_capture`: for machines without a display."""

from __future__ import annotations

from collections.abc import Callable

from deploy.counter_pc.desktop import Desktop, Task
from screen_capture.frames import Frame, GrabFailed, Monitor
from storage.clock import Clock


class RenderedGrabber:
    """One monitor that shows what `task` says is being served."""

    def __init__(self, desktop: Desktop, task: Callable[[], Task | None], clock: Clock) -> None:
        self._desktop = desktop
        self._task = task
        self._clock = clock
        self._monitor = Monitor("rendered-1", 0, 0, desktop.width, desktop.height)

    def monitors(self) -> list[Monitor]:
        return [self._monitor]

    def grab(self, monitor: Monitor) -> Frame:
        if monitor.name != self._monitor.name:
            raise GrabFailed("monitor_gone", f"no monitor {monitor.name}; the rendered desktop has rendered-1")
        picture = self._desktop.picture(self._task(), self._clock.now_us())
        return Frame(picture.width, picture.height, picture.convert("RGBA").tobytes("raw", "BGRA"))

    def close(self) -> None:
        """Nothing is held."""
