"""One fault of the disk at a time, at every call that footage depends on, with a real catalog and a real store.

Whatever fails: what has a row is whole, the log agrees with rows and objects, every instant has a reason, and the next
start finds nothing that the archive does not know.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from camera_gateway.packets import AccessUnit
from camera_gateway.recorder.disk import DiskSettings, DiskWriter
from camera_gateway.recorder.segmenter import Segmenter
from camera_gateway.recovery import Recovery
from storage.archive import queries, tables
from storage.archive.catalog import Catalog
from storage.archive.ingest import Ingest
from storage.archive.objects import DiskStore
from storage.archive.staging import DiskPlacement, StagingFolder
from storage.archive.verify import Level, ReadableStore, verify
from storage.clock import SystemClock
from storage.model import RunEnd, Span
from tests.camera_gateway.hall import REPOSITORY, Hall
from tests.camera_gateway.media import units
from tests.camera_gateway.test_segmenter import feed
from tests.fakes.gateway import FakeGuard

pytestmark = pytest.mark.net  # the hall looks for a free port


class QuickClock(SystemClock):
    """Waits are short."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return super().wait(event, min(seconds, 0.01))


class Fault:
    """Lets calls through but the n-th of those about recordings, which fails as the disk says."""

    def __init__(self, call: Callable[..., Any], nth: int, number: int, staging: Path) -> None:
        self._call, self._left, self._errno, self._root = call, nth, number, staging.parent
        self._lock = threading.Lock()
        self.happened = False

    def __call__(self, first: Any, *rest: Any, **named: Any) -> Any:
        if self._concerned(first):
            with self._lock:
                self._left -= 1
                fails = self._left == 0
            if fails:
                self.happened = True
                raise OSError(self._errno, os.strerror(self._errno))
        return self._call(first, *rest, **named)

    def _concerned(self, first: Any) -> bool:
        if isinstance(first, int):
            first = os.readlink(f"/proc/self/fd/{first}")
        name = str(first)
        return any(name.startswith(str(self._root / folder)) for folder in ("staging", "objects"))


@pytest.fixture
def hall(tmp_path: Path) -> Iterator[Hall]:
    made = Hall(tmp_path / "hall")
    yield made
    made.close()


CALLS = ("open", "write", "fdatasync", "fsync", "link", "replace", "unlink", "mkdir", "close")
CASES = [(call, nth, number) for call in CALLS for nth, number in ((1, errno.EIO), (2, errno.ENOSPC), (3, errno.EIO))]


@pytest.mark.parametrize("staged", [False, True], ids=["disk", "s3"])
@pytest.mark.parametrize(("call", "nth", "number"), CASES, ids=lambda value: str(value))
def test_one_fault(
    hall: Hall, monkeypatch: pytest.MonkeyPatch, call: str, nth: int, number: int, *, staged: bool
) -> None:
    stream = hall.add_camera("rtsp://127.0.0.1/none")
    staging = hall.root / "staging"
    store = DiskStore(hall.root / "objects")
    waiting = StagingFolder(staging, hall.gateway_id)
    placement = waiting if staged else DiskPlacement(store)
    ingest = Ingest(hall.catalog, hall.clock, "gateway")
    writer = DiskWriter(DiskSettings(staging, 0.001), placement, ingest, FakeGuard(), QuickClock())
    segmenter = Segmenter(stream, writer.channel(stream), hall.clock, 4)
    frames = units("h264", seconds=12)
    with monkeypatch.context() as patched:
        fault = Fault(getattr(os, call), nth, number, staging)
        patched.setattr(os, call, fault)
        writer.start()
        feed_slowly(segmenter, frames)
        segmenter.end(RunEnd.STOPPED)
        writer.stop()
    recovery = Recovery(staging, placement, ingest, hall.catalog)
    recovery.run(recovery.find([stream]))

    assert fault.happened
    places: dict[str, ReadableStore] = {"disk": store, waiting.location: waiting}
    report = verify(hall.catalog, places, Level.HASH)
    assert report.findings == []
    rows = hall.segments(stream)
    assert rows
    assert set(store.ids()) | set(waiting.ids()) == {row.id for row in rows}
    runs = hall.rows(tables.run)
    span = Span(min(run.t0_us for run in runs), hall.clock.now_us())
    with hall.catalog.read() as conn:
        found = queries.camera_coverage(conn, stream, span, span.t1_us)
    assert {each.state for each in found if not each.detail} <= {"recorded"}, found  # every gap says why
    assert [path for path in staging.rglob("*") if path.suffix in (".part", ".placed")] == []


def test_while_somebody_keeps_the_catalog_locked_recording_goes_on_and_rows_come_later(hall: Hall) -> None:
    stream = hall.add_camera("rtsp://127.0.0.1/none")
    staging, store = hall.root / "staging", DiskStore(hall.root / "objects")
    hurried = Catalog.open(hall.url, hall.clock)
    event.listen(hurried._engine, "connect", lambda made, _record: made.execute("pragma busy_timeout = 20"))
    ingest = Ingest(hurried, hall.clock, "gateway")
    writer = DiskWriter(DiskSettings(staging, 0.001), DiskPlacement(store), ingest, FakeGuard(), QuickClock())
    segmenter = Segmenter(stream, writer.channel(stream), hall.clock, 4)
    writer.start()
    with hall.catalog.write():  # BEGIN IMMEDIATE: nobody else may write
        feed_slowly(segmenter, units("h264", seconds=12))
        segmenter.end(RunEnd.STOPPED)
        hall.wait(lambda: writer.health().open_files == 0 and writer.health().queued_bytes == 0)
        assert writer.health().commit_backlog >= 5
        written = sum(path.stat().st_size for path in staging.rglob("*.part"))
        assert written == writer.health().staged_bytes
    writer.stop()
    hurried.close()
    assert sum(row.frames for row in hall.segments(stream)) == len(units("h264", seconds=12))
    assert [row.end for row in hall.rows(tables.run)] == [RunEnd.STOPPED]
    assert verify(hall.catalog, {"disk": store}, Level.HASH).findings == []


def test_a_catalog_that_is_away_when_a_worker_starts_is_no_wrong_setting(hall: Hall) -> None:
    """With status 2 the supervisor would end the whole gateway instead of trying again."""
    hall.catalog.close()
    for name in ("catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"):
        (hall.root / name).unlink(missing_ok=True)
    (hall.root / "catalog.sqlite").mkdir()
    command = [sys.executable, "-m", "camera_gateway.main", "worker", "--config", str(hall.settings), "--index", "0"]
    ended = subprocess.run(command, stdin=subprocess.PIPE, capture_output=True, check=False, cwd=REPOSITORY)
    assert (ended.returncode, b"catalog does not answer" in ended.stderr) == (1, True)


def feed_slowly(segmenter: Segmenter, frames: tuple[AccessUnit, ...]) -> None:
    """The disk's threads get a turn now and then."""
    for start in range(0, len(frames), 50):
        feed(segmenter, frames[start : start + 50])
        threading.Event().wait(0.005)
