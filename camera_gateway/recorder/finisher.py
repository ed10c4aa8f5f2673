"""Places complete files and tells the archive, in the order in which things happened. Waits for who is away."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

from camera_gateway.recorder.part_file import PartFile
from camera_gateway.recorder.placing import Placement, gives_back, place_with_mark, placed_mark, set_aside
from camera_gateway.recorder.ports import RecordArchive
from storage.clock import Clock
from storage.errors import ObjectDamaged, StorageFull, SunhallError, Unavailable
from storage.model import CameraSegment

log = logging.getLogger(__name__)

_RETRY_S = 2.0

ArchiveCall = Callable[[RecordArchive], object]


class Finisher:
    """One named thread. `put` and `place` are called by one other thread only."""

    def __init__(self, staging: Path, placement: Placement, archive: RecordArchive, clock: Clock) -> None:
        self._staging = staging
        self._placement = placement
        self._archive = archive
        self._clock = clock
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._put = self._done = 0
        self._since_s: float | None = None
        self._allowed = threading.Event()
        self._allowed.set()
        self._giving_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="disk-finisher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def hold(self) -> None:
        """Before `start`: do not work until `allow`."""
        self._allowed.clear()

    def allow(self) -> None:
        """Begin to work; harmless when repeated."""
        self._allowed.set()

    def stop(self, patience_s: float) -> None:
        """Do all that was put. After `patience_s`, or when it never was allowed, the rest stays for the next start."""
        if not self._allowed.is_set():
            self._giving_up.set()
            self._allowed.set()
        timer = threading.Timer(patience_s, self._giving_up.set)
        timer.start()
        self._jobs.put(None)
        self._thread.join()
        timer.cancel()
        timer.join()

    @property
    def backlog(self) -> int:
        """How many calls and files wait."""
        return self._put - self._done

    def waiting_s(self) -> float:
        """For how long the work in hand has been tried."""
        since_s = self._since_s
        return 0.0 if since_s is None else max(self._clock.monotonic() - since_s, 0.0)

    def call(self, call: ArchiveCall) -> None:
        """Tell the archive, after all that was put before."""
        self._put_job(lambda: self._until_done(lambda: call(self._archive)))

    def place(self, part: PartFile, facts: CameraSegment, close: Callable[[], None], done: Callable[[], None]) -> None:
        """Place a complete file and commit its row; `close` is called before, `done` after, whatever became of it."""

        def job() -> None:
            close()
            self._place(part, facts)
            done()

        self._put_job(job)

    def _put_job(self, job: Callable[[], None]) -> None:
        self._put += 1
        self._jobs.put(job)

    def _run(self) -> None:
        self._allowed.wait()
        while (job := self._jobs.get()) is not None:
            self._since_s = self._clock.monotonic()
            job()
            self._since_s = None
            self._done += 1

    def _place(self, part: PartFile, facts: CameraSegment) -> None:
        located: list[str] = []

        def commit() -> None:
            if not located:
                located.append(self._placed(part, facts))
            self._archive.commit_segment(facts, located[0])
            placed_mark(part.path).unlink(missing_ok=True)

        self._until_done(commit)

    def _placed(self, part: PartFile, facts: CameraSegment) -> str:
        """Place the file; after a failed sync only when the disk still gives back what was written.

        A kernel reports a failed write once, forgets it and calls the next sync a success.

        Raises:
            OSError: not now: try again. ObjectDamaged, ObjectMissing: never: there will be no row.
        """
        path = part.path
        if part.doubtful and not gives_back(path, facts.sha256):
            set_aside(self._staging, path)
            raise ObjectDamaged("recording_damaged", f"the disk lost bytes of {facts.id}: the file is set aside")
        try:
            if part.broken and path.exists():
                os.truncate(path, facts.size_bytes)
            return place_with_mark(self._placement, facts.id, path)
        except OSError:
            part.doubtful = True
            raise

    def _until_done(self, call: Callable[[], object]) -> None:
        """Only a catalog or a disk that is away is waited for."""
        while not self._giving_up.is_set():
            try:
                call()
            except (Unavailable, StorageFull, OSError) as error:
                log.warning("commit_waits", extra={"fields": {"error": str(error)}})
                self._clock.wait(self._giving_up, _RETRY_S)
            except SunhallError as error:
                log.error("commit_refused", extra={"fields": {"code": error.code, "error": error.message}})
                return
            else:
                return
