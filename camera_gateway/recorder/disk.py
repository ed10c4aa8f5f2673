"""The disk side of recording, for all streams of one process: a writer, a syncer and a finisher, each a named thread.

Ingest threads only put whole fragments into a bounded ring. The writer hashes and writes them; the syncer makes every
open file durable each `sync_interval`; the finisher syncs and renames complete files and commits their rows, in the
order in which things happened. While the catalog is away the finisher retries and recording goes on.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from uuid import UUID

from camera_gateway.fmp4.writer import random_access_index
from camera_gateway.recorder.ports import FragmentNote, RecordArchive, SegmentStart, SinkFault
from storage.clock import Clock
from storage.errors import ObjectDamaged, ObjectMissing, StorageFull, SunhallError, Unavailable
from storage.model import CameraSegment, GapReason, RunEnd

log = logging.getLogger(__name__)

QUARANTINE = "quarantine"
_RETRY_S = 2.0
_FULL = (errno.ENOSPC, errno.EDQUOT)


class RoomGuard(Protocol):
    """Says whether a new file may begin."""

    def check(self) -> None:
        """Raises StorageFull when less than the reserve is free."""
        ...


class Placement(Protocol):
    """`storage.archive.staging.Placement`: gives a complete part file its final name, durably."""

    def place(self, segment_id: UUID, part: Path) -> str: ...


@dataclass(frozen=True, slots=True)
class FreeSpaceGuard:
    """Refuses new files when the volume has less than `reserve_bytes` left."""

    folder: Path
    reserve_bytes: int

    def check(self) -> None:
        """Raises StorageFull with what is free and what is needed."""
        free = free_bytes(self.folder)
        if free < self.reserve_bytes:
            raise StorageFull(
                "disk_full", f"{free} bytes free, {self.reserve_bytes} are kept in reserve", free_bytes=free
            )


def free_bytes(folder: Path) -> int:
    """Bytes that we may still write on the volume of `folder`."""
    volume = os.statvfs(folder)
    return volume.f_bavail * volume.f_frsize


@dataclass(frozen=True, slots=True)
class DiskSettings:
    """How recordings reach the disk."""

    staging: Path
    sync_interval_s: float = 2.0
    ring_bytes: int = 16 << 20  # per stream, between ingest and writer


@dataclass(slots=True, eq=False)
class _Recording:
    """A part file on its way. Only the writer thread touches what is below the line; `fault` is read by ingest."""

    start: SegmentStart
    path: Path
    channel: DiskChannel
    descriptor: int = -1
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)
    size: int = 0
    index: list[tuple[int, int]] = field(default_factory=list)
    note: FragmentNote | None = None
    broken: bool = False
    doubtful: bool = False  # a sync failed: what the kernel says of this file is no proof any more
    sync_lock: threading.Lock = field(default_factory=threading.Lock)


Job = Callable[[], None]


class DiskChannel:
    """The `SegmentSink` of one stream."""

    def __init__(self, disk: DiskWriter, stream_id: UUID) -> None:
        self._disk = disk
        self._stream_id = stream_id
        self._recording: _Recording | None = None
        self.pending = 0  # bytes in the ring; guarded by the disk's lock
        self.fault: SinkFault | None = None

    def begin(self, start: SegmentStart) -> None:
        self._raise_fault()
        if self.pending > self._disk.settings.ring_bytes // 2:
            raise SinkFault(GapReason.DISK_SLOW, "the ring has not drained yet")
        self._disk.check_room()
        path = self._disk.settings.staging / str(start.stream_id) / f"{start.segment_id}.part"
        recording = _Recording(start, path, self)
        self._recording = recording
        self._disk.put(self, len(start.head), lambda: self._disk.create(recording))

    def write(self, parts: list[bytes], size: int, note: FragmentNote) -> None:
        self._raise_fault()
        recording = self._recording
        if recording is None:
            raise SinkFault(GapReason.UNKNOWN, "no file is open")
        if self.pending + size > self._disk.settings.ring_bytes:
            raise SinkFault(GapReason.DISK_SLOW, f"{self.pending} bytes wait for the disk")
        self._disk.put(self, size, lambda: self._disk.append(recording, b"".join(parts), note))

    def read_back(self, limit: int, deliver: Callable[[bytes], None]) -> None:
        recording = self._recording
        self._disk.put(self, 0, lambda: deliver(self._disk.last_group(recording, limit)))

    def finish(self, t1_us: int) -> None:
        recording, self._recording = self._recording, None
        if recording is not None:
            self._disk.put(self, 0, lambda: self._disk.complete(recording, t1_us))

    def open_run(self, stream_id: UUID, run_id: UUID, t0_us: int) -> None:
        self._disk.in_order(self, lambda archive: archive.open_run(stream_id, t0_us, run_id))

    def close_run(self, run_id: UUID, t1_us: int, end: RunEnd, detail: str) -> None:
        self._disk.in_order(self, lambda archive: archive.close_run(run_id, t1_us, end, detail))

    def open_gap(self, t_us: int, reason: GapReason, detail: str) -> None:
        """In order with the files: there is nothing to record from `t_us` on, and why."""
        self._disk.in_order(self, lambda archive: archive.open_gap(self._stream_id, t_us, reason, detail))

    def _raise_fault(self) -> None:
        fault, self.fault = self.fault, None
        if fault is not None:
            raise fault


class DiskWriter:
    """Owns the three threads. `stop` drains everything that was put before it."""

    def __init__(
        self, settings: DiskSettings, placement: Placement, archive: RecordArchive, guard: RoomGuard, clock: Clock
    ) -> None:
        self.settings = settings
        self._placement = placement
        self._archive = archive
        self._guard = guard
        self._clock = clock
        self._lock = threading.Lock()
        self._written = _Jobs("disk-writer")
        self._finished = _Jobs("disk-finisher")
        self._open: set[_Recording] = set()
        self._stopping = threading.Event()
        self._giving_up = threading.Event()
        self._syncer = threading.Thread(target=self._sync_forever, name="disk-syncer", daemon=True)
        settings.staging.mkdir(parents=True, exist_ok=True)

    def channel(self, stream_id: UUID) -> DiskChannel:
        """The sink of one stream."""
        return DiskChannel(self, stream_id)

    def start(self) -> None:
        self._written.start()
        self._finished.start()
        self._syncer.start()

    def stop(self, patience_s: float = 20.0) -> None:
        """Write, finish and commit what is there. After `patience_s` a catalog that stays away is given up on:
        the files stay in staging and are adopted at the next start."""
        self._written.stop()
        self._stopping.set()
        self._syncer.join()
        timer = threading.Timer(patience_s, self._giving_up.set)
        timer.start()
        self._finished.stop()
        timer.cancel()
        timer.join()

    # --- called by channels, in ingest threads -----------------------------------------------------------------------
    def check_room(self) -> None:
        try:
            self._guard.check()
        except StorageFull as error:
            raise SinkFault(GapReason.DISK_FULL, error.message) from error
        except OSError as error:
            raise SinkFault(GapReason.DISK_SLOW, error.strerror or "the volume does not answer") from error

    def put(self, channel: DiskChannel, size: int, job: Job) -> None:
        with self._lock:
            channel.pending += size

        def run() -> None:
            job()
            with self._lock:
                channel.pending -= size

        self._written.put(run)

    def in_order(self, channel: DiskChannel, call: Callable[[RecordArchive], object]) -> None:
        """Pass an archive call through both queues, so that it comes after the files put before it."""
        self.put(channel, 0, lambda: self._finished.put(lambda: self._commit(lambda: call(self._archive))))

    # --- writer thread -----------------------------------------------------------------------------------------------
    def create(self, recording: _Recording) -> None:
        try:
            recording.path.parent.mkdir(exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            recording.descriptor = os.open(recording.path, flags, 0o600)
            self._put_bytes(recording, recording.start.head)
        except OSError as error:
            self._break(recording, error)
            return
        with self._lock:
            self._open.add(recording)

    def append(self, recording: _Recording, data: bytes, note: FragmentNote) -> None:
        if recording.broken:
            return
        offset = recording.size
        try:
            self._put_bytes(recording, data)
        except OSError as error:
            self._break(recording, error)
            return
        if note.starts_with_key:
            recording.index.append((note.decode_time, offset))
        recording.note = note

    def last_group(self, recording: _Recording | None, limit: int) -> bytes:
        if recording is None or recording.broken or recording.descriptor < 0 or not recording.index:
            return b""
        start = recording.index[-1][1]
        size = recording.size - start
        try:
            data = os.pread(recording.descriptor, size, start) if size <= limit else b""
        except OSError as error:
            log.error("group_unread", extra={"fields": {"error": error.strerror}})
            return b""
        return data if len(data) == size else b""

    def complete(self, recording: _Recording, t1_us: int) -> None:
        with self._lock:
            self._open.discard(recording)
        if recording.descriptor < 0:
            return
        if recording.note is None:
            self._discard(recording)
            return
        if recording.broken:
            t1_us = recording.note.t1_us
        else:
            self._write_index(recording)
        facts = self._facts(recording, recording.note, t1_us)
        self._finished.put(lambda: self._place(recording, facts))

    def _put_bytes(self, recording: _Recording, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(recording.descriptor, view) :]
        recording.digest.update(data)
        recording.size += len(data)

    def _write_index(self, recording: _Recording) -> None:
        try:
            self._put_bytes(recording, random_access_index(recording.index))
        except OSError as error:
            self._break(recording, error)

    def _break(self, recording: _Recording, error: OSError) -> None:
        """The disk refused: keep the file up to its last whole fragment and tell the ingest thread."""
        reason = GapReason.DISK_FULL if error.errno in _FULL else GapReason.DISK_SLOW
        recording.broken = True
        recording.channel.fault = SinkFault(reason, error.strerror or "the disk failed")
        log.error(
            "recording_broken",
            extra={"fields": {"segment": recording.start.segment_id, "reason": reason, "error": error.strerror}},
        )
        if recording.descriptor >= 0:
            try:
                os.ftruncate(recording.descriptor, recording.size)
            except OSError as again:
                log.error("recording_truncate_failed", extra={"fields": {"error": again.strerror}})

    def _discard(self, recording: _Recording) -> None:
        """A file without one whole fragment holds no footage."""
        self._close(recording)
        try:
            recording.path.unlink(missing_ok=True)
        except OSError as error:
            log.error("empty_recording_left", extra={"fields": {"error": error.strerror}})

    def _close(self, recording: _Recording) -> None:
        with recording.sync_lock:
            descriptor, recording.descriptor = recording.descriptor, -1
            try:
                os.close(descriptor)
            except OSError:  # a late write error; the descriptor is gone all the same
                recording.doubtful = True

    def _facts(self, recording: _Recording, note: FragmentNote, t1_us: int) -> CameraSegment:
        start = recording.start
        t1_us = max(t1_us, start.t0_us + 1)
        return CameraSegment(
            id=start.segment_id,
            stream_id=start.stream_id,
            run_id=start.run_id,
            t0_us=start.t0_us,
            t1_us=t1_us,
            media_duration=note.media_duration,
            timescale=start.timescale,
            codec=start.codec,
            width=start.width,
            height=start.height,
            frames=note.frames,
            size_bytes=recording.size,
            sha256=recording.digest.digest(),
        )

    # --- syncer thread -----------------------------------------------------------------------------------------------
    def _sync_forever(self) -> None:
        while not self._clock.wait(self._stopping, self.settings.sync_interval_s):
            with self._lock:
                recordings = list(self._open)
            for recording in recordings:
                self._sync(recording)

    def _sync(self, recording: _Recording) -> None:
        with recording.sync_lock:
            if recording.descriptor < 0:
                return
            try:
                os.fdatasync(recording.descriptor)
            except OSError as error:
                recording.doubtful = True
                recording.channel.fault = SinkFault(GapReason.DISK_SLOW, error.strerror or "fdatasync failed")

    # --- finisher thread ---------------------------------------------------------------------------------------------
    def _place(self, recording: _Recording, facts: CameraSegment) -> None:
        self._close(recording)
        located: list[str] = []

        def commit() -> None:
            if not located:
                located.append(self._placed(recording, facts))
            self._archive.commit_segment(facts, located[0])
            placed_mark(recording.path).unlink(missing_ok=True)

        self._commit(commit)

    def _placed(self, recording: _Recording, facts: CameraSegment) -> str:
        """Place the file; after a failed sync only when the disk still gives back what was written.

        A kernel reports a failed write once, forgets it and calls the next sync a success.

        Raises:
            OSError: not now: try again. ObjectDamaged, ObjectMissing: never: there will be no row.
        """
        path = recording.path
        if recording.doubtful and not _gives_back(path, facts.sha256):
            set_aside(self.settings.staging, path)
            raise ObjectDamaged("recording_damaged", f"the disk lost bytes of {facts.id}: the file is set aside")
        try:
            if recording.broken and path.exists():
                os.truncate(path, facts.size_bytes)
            return place_with_mark(self._placement, facts.id, path)
        except OSError:
            recording.doubtful = True
            raise

    def _commit(self, call: Callable[[], object]) -> None:
        """Do it until it is done; only a catalog or a disk that is away is waited for."""
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


def placed_mark(part: Path) -> Path:
    """The name beside the part file that stays until the row is committed."""
    return part.with_suffix(".placed")


def place_with_mark(placement: Placement, segment_id: UUID, part: Path) -> str:
    """Place a complete part file and keep a second name of it until its row exists.

    A crash between placing and committing leaves the mark, so the next start finds the orphan without a search. A try
    that failed after the rename is taken up again from the mark.

    Raises:
        ObjectMissing: `recording_missing`: neither name is there.
        OSError: the disk refused; both names are there, or the mark alone.
    """
    mark = placed_mark(part)
    if part.exists():
        if not mark.exists():
            os.link(part, mark)
    elif mark.exists():
        os.link(mark, part)
    else:
        raise ObjectMissing("recording_missing", f"{part.name} was taken from the staging folder")
    return placement.place(segment_id, part)


def set_aside(staging: Path, path: Path) -> None:
    """Move a part file, with its mark, to where a person looks at it; nothing is deleted."""
    folder = staging / QUARANTINE
    folder.mkdir(exist_ok=True)
    for name in (path.with_suffix(".part"), path.with_suffix(".placed")):
        if name.exists():
            os.replace(name, folder / name.name)


def _gives_back(path: Path, sha256: bytes) -> bool:
    """Whether the disk, not the page cache, has these bytes. A file that was renamed already is read by its mark."""
    found = path if path.exists() else placed_mark(path)
    try:
        with found.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            return hashlib.file_digest(file, "sha256").digest() == sha256
    except OSError as error:
        log.error("recording_unreadable", extra={"fields": {"file": path.name, "error": error.strerror}})
        return False


class _Jobs:
    """A thread that does jobs in order."""

    def __init__(self, name: str) -> None:
        self._jobs: deque[Job | None] = deque()
        self._ready = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Do all jobs put so far, then end."""
        self.put(None)
        self._thread.join()

    def put(self, job: Job | None) -> None:
        self._jobs.append(job)
        self._ready.release()

    def _run(self) -> None:
        while True:
            self._ready.acquire()
            job = self._jobs.popleft()
            if job is None:
                return
            job()
