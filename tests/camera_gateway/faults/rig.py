"""A hall whose cameras number their pictures, and the account of every picture and every instant at the end."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import Row

from deploy.virtual_camera.journal import Journal
from storage.archive import tables
from storage.archive.objects import DiskStore
from storage.archive.verify import Level, verify
from storage.model import GapReason
from tests.bench import faults, frames
from tests.bench.accounting import Found, Span, partition, unexplained
from tests.bench.live_source import LiveSource
from tests.bench.process_tree import command, tree
from tests.camera_gateway.hall import Hall

Urls = Callable[[LiveSource], list[str]]
SLACK_US = 500_000
"""How exactly the edges of a gap tell when pictures were sent: times are smoothed arrivals."""


@dataclass
class Rig:
    """Cameras of one source, the hall that records them, and its gateway."""

    hall: Hall
    source: LiveSource
    streams: list[UUID]
    process: subprocess.Popen[bytes] | None = None
    found: dict[UUID, Found] = field(default_factory=dict)
    _seen: set[UUID] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.found = {stream_id: Found(camera) for camera, stream_id in enumerate(self.streams, 1)}

    # --- processes ---------------------------------------------------------------------------------------------------
    def start(self) -> None:
        """Start the gateway (again)."""
        self.process = self.hall.start_gateway()

    def stop(self) -> None:
        """Stop it in order. Harmless when repeated."""
        process, self.process = self.process, None
        if process is not None:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0

    def worker(self, index: int) -> int:
        """The process id of an ingest worker; 0 when it does not run now."""
        return self._child("worker", "--index", str(index))

    def api(self) -> int:
        """The process id of the API's process, or 0."""
        return self._child("api")

    def _child(self, *words: str) -> int:
        assert self.process is not None
        for pid in tree(self.process.pid)[1:]:
            if set(words) <= set(command(pid)):
                return pid
        return 0

    def until_recorded(self, streams: Collection[UUID] | None = None, seconds: float = 90.0) -> None:
        """Wait until each of these streams (all, when none are named) has a fresh file that grows."""
        self.hall.wait(lambda: faults.all_record(self.hall, self.streams if streams is None else streams), seconds)

    def until_committed(self, since_us: int, streams: Iterable[UUID] | None = None, seconds: float = 90.0) -> None:
        """Wait until each stream has a segment that began after a moment."""
        wanted = list(self.streams if streams is None else streams)
        self.hall.wait(lambda: all(self._newest_us(stream_id) > since_us for stream_id in wanted), seconds)

    def _newest_us(self, stream_id: UUID) -> int:
        return max((row.t0_us for row in self.hall.rows(tables.segment, stream_id=stream_id)), default=0)

    def metric(self, name: str, stream_id: UUID) -> float:
        """A number of a stream on `/metrics`; -1 while it is not there."""
        url = f"http://127.0.0.1:{self.hall.port}/metrics"
        with httpx.Client(timeout=30, trust_env=False) as client:
            page = client.get(url).text
        for line in page.splitlines():
            if line.startswith(f"sunhall_stream_{name}{{") and str(stream_id) in line:
                return float(line.rpartition(" ")[2])
        return -1.0

    # --- rows --------------------------------------------------------------------------------------------------------
    def gaps(self, stream_id: UUID) -> list[Row[Any]]:
        """Gaps of a stream in order of time."""
        return sorted(self.hall.rows(tables.gap, stream_id=stream_id), key=lambda row: (row.t0_us, row.id))

    def reasons(self, stream_id: UUID) -> list[str]:
        """Why each of its gaps was."""
        return [row.reason for row in self.gaps(stream_id)]

    def ends(self, stream_id: UUID) -> list[str | None]:
        """How each of its runs ended."""
        runs = sorted(self.hall.rows(tables.run, stream_id=stream_id), key=lambda row: row.t0_us)
        return [row.end for row in runs]

    def require_no_overlap(self) -> None:
        """At any moment: no instant of a stream is in two rows, no span is negative, new objects are what rows say."""
        by_stream: dict[UUID, list[Span]] = defaultdict(list)
        now_us = self.hall.clock.now_us()
        for row in self.hall.rows(tables.gap):  # before segments: what is read later may only close what was open
            assert row.t1_us is None or row.t1_us >= row.t0_us
            if row.t1_us is not None:
                by_stream[row.stream_id].append((row.t0_us, row.t1_us))
        for row in self.hall.rows(tables.segment):
            assert row.t1_us > row.t0_us
            by_stream[row.stream_id].append((row.t0_us, row.t1_us))
        for stream_id, spans in by_stream.items():
            laid = partition(spans, min(start for start, _ in spans), now_us)
            assert laid.overlaps == (), (stream_id, laid.overlaps)
        self.read_new()

    def read_new(self) -> None:
        """Hash each committed file that was not read before, and take the numbers of its pictures."""
        rows = [row for row in self.hall.rows(tables.segment) if row.id not in self._seen]
        for row in sorted(rows, key=lambda row: row.t0_us):
            path = self.hall.object_path(row.id)
            data = path.read_bytes()
            assert hashlib.sha256(data).digest() == bytes(row.sha256)
            marks = frames.marks(path)
            assert len(marks) == row.frames
            if row.stream_id in self.found:  # a test may have added a camera of another source
                self.found[row.stream_id].take(marks)
            self._seen.add(row.id)

    # --- the end -----------------------------------------------------------------------------------------------------
    def account(self, *, verify_level: Level = Level.HASH) -> Account:
        """After `stop`: every instant is in exactly one row, every picture in a file or in the time of a gap.

        Raises:
            AssertionError: something is not accounted for.
        """
        report = verify(self.hall.catalog, {"disk": DiskStore(self.hall.root / "objects")}, verify_level)
        assert report.findings == []
        left = [path for path in (self.hall.root / "staging").rglob("*") if path.is_file()]
        assert left == []
        self.require_no_overlap()
        journal, now_us = self.source.journal(), self.hall.clock.now_us()
        missing: dict[UUID, list[int]] = {}
        for camera, stream_id in enumerate(self.streams, 1):
            gaps = [(row.t0_us, row.t1_us or now_us) for row in self.gaps(stream_id)]
            spans = [(row.t0_us, row.t1_us) for row in self.hall.segments(stream_id)] + gaps
            holes = partition(spans, min(start for start, _ in spans), now_us).holes
            assert holes == (), (camera, holes)
            found = self.found[stream_id]
            assert (found.strange, found.doubled()) == (0, 0)
            assert all(early.stop <= late.start for early, late in zip(found.ranges, found.ranges[1:], strict=False))
            missing[stream_id] = found.missing(journal.frames(camera, 0, now_us))
            silent = unexplained(journal, camera, missing[stream_id], gaps, SLACK_US)
            assert silent == [], (camera, [journal.time_us(camera, frame) for frame in silent[:5]], gaps)
        return Account(journal, missing, self.found)


@dataclass(frozen=True)
class Account:
    """Which pictures were sent and are in no file."""

    journal: Journal
    missing: dict[UUID, list[int]]
    found: dict[UUID, Found]

    def times_us(self, stream_id: UUID) -> list[int]:
        """When each missing picture of a stream was sent."""
        camera = self.found[stream_id].camera
        return [self.journal.time_us(camera, frame) for frame in self.missing[stream_id]]

    def outside(self, stream_id: UUID, windows: Sequence[Span]) -> list[int]:
        """When those were sent that are missing outside of all these times."""
        return [t_us for t_us in self.times_us(stream_id) if not any(start <= t_us <= end for start, end in windows)]

    def lost(self, stream_id: UUID) -> list[int]:
        """Pictures that are missing before the last one that is there: all but those under way at the end."""
        last = self.found[stream_id].ranges[-1][-1]
        return [frame for frame in self.missing[stream_id] if frame < last]


@contextmanager
def standing(folder: Path, media: Path, cameras: int, urls: Urls | None = None, **hall: Any) -> Iterator[Rig]:
    """A hall whose gateway does not run yet; `urls`: where it finds the cameras, when that is not at the source."""
    source = LiveSource(media, cameras, folder)
    source.start()
    made = Hall(folder / "hall", **hall)
    rig = Rig(made, source, [made.add_camera(url) for url in (urls(source) if urls else source.urls)])
    try:
        yield rig
    finally:
        try:
            rig.stop()
        finally:
            source.stop()
            made.close()


@contextmanager
def running(folder: Path, media: Path, cameras: int, **hall: Any) -> Iterator[Rig]:
    """A hall that records all its cameras; the block may stop the gateway itself."""
    with standing(folder, media, cameras, **hall) as rig:
        rig.start()
        rig.until_recorded()
        yield rig


def freeze(pid: int) -> None:
    """SIGSTOP: it hangs without dying."""
    assert pid > 0
    os.kill(pid, signal.SIGSTOP)


def kill(pid: int) -> None:
    """SIGKILL."""
    assert pid > 0
    os.kill(pid, signal.SIGKILL)


MAINTENANCE, CRASH = GapReason.MAINTENANCE.value, GapReason.CRASH.value
