"""The loop that looks at every monitor and accounts for every second."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import asdict

from edge_agent.notice import Notice
from edge_agent.platform.base import Platform
from edge_agent.pushed import PushedStore
from edge_agent.recorder import MonitorRecorder
from edge_agent.schedule import in_service
from screen_capture.frames import Grabber, GrabFailed, Monitor
from screen_capture.patches import PHOTO_QUALITY
from storage.clock import US, Clock
from storage.errors import StorageError
from storage.model import CoverageState
from storage.spool.index import SpoolIndex
from storage.spool.ledger import Ledger, Mark
from storage.spool.outbox import Outbox, Pressure

log = logging.getLogger(__name__)

STEP_S = 2.0
"""A wall clock that moved by more than this against the monotonic one was set: an event."""
REDUCED_PHOTO_QUALITY = 50

Gap = tuple[CoverageState, str]
_MONITORS = "monitors"


class TimeWatch:
    """Explains what happened to time between two looks: nothing, sleep, or a clock that was set."""

    def __init__(self, clock: Clock, platform: Platform) -> None:
        self._clock = clock
        self._platform = platform
        self._last = self._read()

    def look(self) -> tuple[float, float]:
        """(seconds slept, seconds by which the wall clock was set) since the last look."""
        wall, monotonic, slept = self._read()
        wall0, monotonic0, slept0 = self._last
        self._last = (wall, monotonic, slept)
        asleep = max(slept - slept0, 0.0)
        stepped = (wall - wall0) / US - (monotonic - monotonic0) - asleep
        return asleep, stepped if abs(stepped) > STEP_S else 0.0

    def _read(self) -> tuple[int, float, float]:
        return self._clock.now_us(), self._clock.monotonic(), self._platform.suspended_s()


class CaptureLoop:
    """A long-lived part: one thread that grabs, keeps and marks.

    Order in each look: pictures durable in the spool, then the ledger. A kill in between leaves a picture without a
    claim, never a claim without a picture.
    """

    def __init__(
        self,
        grabber: Grabber,
        outbox: Outbox,
        ledger: Ledger,
        platform: Platform,
        notice: Notice,
        pushed: PushedStore,
        clock: Clock,
        recorder_of: Callable[[str], MonitorRecorder],
        finish_abandoned: Callable[[], None],
    ) -> None:
        self._grabber = grabber
        self._outbox = outbox
        self._ledger = ledger
        self._platform = platform
        self._notice = notice
        self._pushed = pushed
        self._clock = clock
        self._recorder_of = recorder_of
        self._finish_abandoned = finish_abandoned
        self._watch = TimeWatch(clock, platform)
        self._recorders: dict[str, MonitorRecorder] = {}
        self._monitors = _remembered(outbox.index)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="capture")

    @property
    def monitors(self) -> list[Monitor]:
        """Every monitor ever seen here, as it was last seen. May be read from any thread."""
        return list(self._monitors.values())

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Close what is open and write that the agent was shut down in order."""
        self._stop.set()
        self._thread.join()
        now = self._clock.now_us()
        for recorder in self._recorders.values():
            recorder.close(now)
        self._grabber.close()
        try:
            self._ledger.shut(now)
        except StorageError as error:
            log.warning("ledger_not_shut", extra={"fields": {"code": error.code}})

    def run_once(self) -> float:
        """One look at everything; how many seconds until the next.

        Raises:
            StorageError: the ledger could not be written; the next look carries over.
        """
        began_us = self._clock.now_us()
        pressure = self._outbox.pressure()
        self._finish_abandoned()
        gap = self._explained_gap()
        obstacle = self._obstacle()
        marks = self._looks(pressure) if obstacle is None else self._blanks(*obstacle)
        interval_s = self._pushed.current.interval_s
        if pressure >= Pressure.LONGER_INTERVAL:
            interval_s *= 2
        carry_s = interval_s * 2 + 10
        self._ledger.mark(marks, began_us, carry_s, gap)
        return interval_s

    def _run(self) -> None:
        while not self._stop.is_set():
            began = self._clock.monotonic()
            try:
                interval_s = self.run_once()
            except StorageError as error:
                log.warning("look_failed", extra={"fields": {"code": error.code, "message": error.message}})
                interval_s = self._pushed.current.interval_s
            self._clock.wait(self._stop, max(interval_s - (self._clock.monotonic() - began), 0.05))

    def _explained_gap(self) -> Gap | None:
        asleep, stepped = self._watch.look()
        if stepped:
            log.warning("clock_step", extra={"fields": {"seconds": round(stepped, 3)}})
            self._outbox.index.note(self._clock.now_us(), "clock_step", f"{stepped:.3f} s")
        if asleep > STEP_S:
            self._outbox.index.note(self._clock.now_us(), "slept", f"{asleep:.0f} s")
            return CoverageState.POWERED_OFF, "sleep"
        return (CoverageState.FAILED, "clock_step") if stepped > 0 else None

    def _obstacle(self) -> Gap | None:
        """Why no monitor may even be asked for now."""
        pushed = self._pushed.current
        if not in_service(self._clock.now_us(), pushed.zone, pushed.periods):
            return CoverageState.OFF_HOURS, ""
        session = self._platform.session()
        return None if session.obstacle is None else (session.obstacle, session.detail)

    def _notice_stands(self) -> bool:
        if not self._notice.visible():
            self._notice.show(self._pushed.current.notice_text)
        return self._notice.visible()

    def _looks(self, pressure: Pressure) -> list[Mark]:
        try:
            present = self._grabber.monitors()
        except GrabFailed as error:
            now = self._clock.now_us()
            return [self._recorder(name).failed(error, now) for name in self._known()]
        self._remember(present)
        if not self._notice_stands():
            return self._blanks(CoverageState.NOTICE_HIDDEN, "")
        quality = REDUCED_PHOTO_QUALITY if pressure >= Pressure.LOWER_QUALITY else PHOTO_QUALITY
        marks = [self._look(monitor, quality) for monitor in present]
        gone = sorted(set(self._known()) - {monitor.name for monitor in present})
        now = self._clock.now_us()
        return marks + [self._recorder(name).blank(now, CoverageState.FAILED, "monitor_gone") for name in gone]

    def _look(self, monitor: Monitor, quality: int) -> Mark:
        recorder = self._recorder(monitor.name)
        try:
            frame = self._grabber.grab(monitor)
        except GrabFailed as error:
            return recorder.failed(error, self._clock.now_us())
        return recorder.take(frame, self._clock.now_us(), quality)

    def _blanks(self, state: CoverageState, detail: str) -> list[Mark]:
        now = self._clock.now_us()
        return [self._recorder(name).blank(now, state, detail) for name in self._known()]

    def _remember(self, present: list[Monitor]) -> None:
        """Names and sizes survive a restart, because the ledger's rows name monitors."""
        merged = self._monitors | {monitor.name: monitor for monitor in present}
        if merged != self._monitors:
            self._outbox.index.put(_MONITORS, json.dumps([asdict(monitor) for monitor in merged.values()]))
            self._monitors = merged

    def _known(self) -> list[str]:
        return sorted(set(self._ledger.monitors()) | set(self._monitors))

    def _recorder(self, name: str) -> MonitorRecorder:
        if name not in self._recorders:
            self._recorders[name] = self._recorder_of(name)
        return self._recorders[name]


def _remembered(index: SpoolIndex) -> dict[str, Monitor]:
    try:
        kept = [Monitor(**item) for item in json.loads(index.get(_MONITORS) or "[]")]
    except (ValueError, TypeError, StorageError):
        return {}
    return {monitor.name: monitor for monitor in kept}
