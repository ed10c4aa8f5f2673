"""A part that does one thing again and again: `run_once` may fail, the retry is here and nowhere else."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from storage.clock import Clock
from storage.errors import SunhallError
from storage.logs import RepeatedFault

log = logging.getLogger(__name__)


class Periodic:
    """Calls `once` in a named thread: `interval_s` after a success, with doubling pauses after a fault.

    Faults of peers and disks are logged and tried again. A programming error ends the thread, and with it the process
    (`storage.lifecycle.end_on_programming_errors`): a part that is silently dead would not be missed until it is
    needed. Where nobody asked for that, `stop` raises it.
    """

    def __init__(
        self,
        name: str,
        once: Callable[[], object],
        clock: Clock,
        *,
        interval_s: float,
        first_pause_s: float = 1.0,
        longest_pause_s: float = 60.0,
    ) -> None:
        self.name = name
        self._once = once
        self._clock = clock
        self._interval_s = interval_s
        self._pauses = first_pause_s, longest_pause_s
        self._stopping = threading.Event()
        self._faults = RepeatedFault(clock, interval_s=10.0)
        self._thread: threading.Thread | None = None
        self._broken: BaseException | None = None

    def start(self) -> None:
        """Begin to work."""
        self._thread = threading.Thread(target=self._guarded, name=self.name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop after the call that runs now, and wait. Raises what ended the thread early, if anything did."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        if self._broken is not None:
            raise self._broken

    def run(self) -> None:
        """Work in this thread until `stop` is called."""
        pause_s = first_s = self._pauses[0]
        while not self._stopping.is_set():
            if self._succeeded():
                pause_s = first_s
                self._clock.wait(self._stopping, self._interval_s)
            else:
                self._clock.wait(self._stopping, pause_s)
                pause_s = min(pause_s * 2, self._pauses[1])

    def _succeeded(self) -> bool:
        try:
            self._once()
        except (SunhallError, OSError) as error:
            count = self._faults.report(type(error).__name__)
            if count:
                log.warning(
                    "periodic_failed", extra={"fields": {"part": self.name, "error": str(error), "count": count}}
                )
            return False
        return True

    def _guarded(self) -> None:
        try:
            self.run()
        except BaseException as error:
            log.exception("periodic_ended", extra={"fields": {"part": self.name}})
            self._broken = error
            raise
