"""Makes every open file durable once an interval. A few threads share a pass, so one slow file holds up few others.

Nothing here is waited for by who writes: a pass that takes longer than the interval is a fact to tell, not a brake.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

from camera_gateway.recorder.part_file import PartFile, reason_of
from camera_gateway.recorder.ports import SinkFault
from storage.clock import Clock
from storage.files import sync_folder

log = logging.getLogger(__name__)


class _Pass:
    """The files that were open when it began."""

    def __init__(self, parts: list[PartFile], began_s: float) -> None:
        self.todo = deque(parts)
        self.undone = set(parts)
        self.began_s = began_s


class Syncer:
    """`start`, `stop`, and `add` for each new file. It closes files that are complete."""

    def __init__(self, interval_s: float, threads: int, clock: Clock, before_pass: Callable[[], None]) -> None:
        """`before_pass` is called in the first thread at each interval."""
        self._interval_s = interval_s
        self._clock = clock
        self._before_pass = before_pass
        self._lock = threading.Lock()
        self._open: set[PartFile] = set()
        self._running: list[_Pass] = []
        self._folders: set[Path] = set()  # whose own names are durable
        self._stopping = threading.Event()
        self._passes: SimpleQueue[_Pass | None] = SimpleQueue()
        self._leader = threading.Thread(target=self._lead, name="disk-syncer", daemon=True)
        names = [f"disk-sync-{number}" for number in range(threads)]
        self._helpers = [threading.Thread(target=self._help, name=name, daemon=True) for name in names]
        self._round_s = clock.monotonic()  # when the last interval was over
        self.last_pass_s = 0.0

    def add(self, part: PartFile) -> None:
        """From now on sync it, until it is complete."""
        with self._lock:
            self._open.add(part)

    def start(self) -> None:
        self._round_s = self._clock.monotonic()
        self._leader.start()
        for thread in self._helpers:
            thread.start()

    def stop(self) -> None:
        """End the threads, then sync and close what was never completed; complete files are left to `forget`."""
        self._stopping.set()
        self._leader.join()
        for _ in self._helpers:
            self._passes.put(None)
        for thread in self._helpers:
            thread.join()
        for part in list(self._open):
            if not part.complete or part.note is None:
                self._sync(part, last=True)

    @property
    def open_files(self) -> int:
        """How many files are open."""
        return len(self._open)

    def behind_s(self) -> float:
        """For how long the oldest pass has been going that is not through, or should have begun; 0 when none is."""
        with self._lock:
            began_s = self._running[0].began_s if self._running else self._round_s + 2 * self._interval_s
        return 0.0 if self._stopping.is_set() else max(self._clock.monotonic() - began_s, 0.0)

    def forget(self, part: PartFile) -> None:
        """Close it: whoever calls makes it durable."""
        with part.lock:
            part.close()
        with self._lock:
            self._open.discard(part)

    def _lead(self) -> None:
        while not self._clock.wait(self._stopping, self._interval_s):
            self._before_pass()
            self._round_s = self._clock.monotonic()
            self._begin_pass()

    def _begin_pass(self) -> None:
        with self._lock:
            parts = list(self._open.difference(*(each.undone for each in self._running)))
            if not parts:
                return
            begun = _Pass(parts, self._clock.monotonic())
            self._running.append(begun)
        for _ in self._helpers:
            self._passes.put(begun)

    def _help(self) -> None:
        while (current := self._passes.get()) is not None:
            self._work(current)

    def _work(self, current: _Pass) -> None:
        while True:
            try:
                part = current.todo.popleft()
            except IndexError:
                return
            self._sync(part, last=False)
            with self._lock:
                current.undone.discard(part)
                if not current.undone:
                    self._running.remove(current)
                    self.last_pass_s = self._clock.monotonic() - current.began_s

    def _sync(self, part: PartFile, *, last: bool) -> None:
        with part.lock:
            complete = part.complete or last  # asked first: what comes after would not be synced
            if part.descriptor >= 0:
                try:
                    self._make_durable(part)
                except OSError as error:
                    _tell_fault(part, error)
            if complete:
                part.close()
        if complete:
            with self._lock:
                self._open.discard(part)

    def _make_durable(self, part: PartFile) -> None:
        size = part.size
        if size != part.synced:
            os.fdatasync(part.descriptor)
            part.synced = size
        if not part.named:
            self._sync_names(part.path.parent)
            part.named = True

    def _sync_names(self, folder: Path) -> None:
        """A synced file whose name was lost is lost as well."""
        sync_folder(folder)
        if folder not in self._folders:
            sync_folder(folder.parent)
            self._folders.add(folder)


def _tell_fault(part: PartFile, error: OSError) -> None:
    part.doubtful = True
    log.error("sync_failed", extra={"fields": {"segment": part.start.segment_id, "error": error.strerror}})
    if not part.complete:  # else its run may go on: who places the file looks at it first
        part.on_fault(SinkFault(reason_of(error), error.strerror or "fdatasync failed"))
