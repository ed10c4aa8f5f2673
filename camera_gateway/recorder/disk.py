"""The disk side of recording, for all streams of one process: a writer, syncers and a finisher, each a named thread.

The loop only puts whole fragments into a bounded ring. The writer hashes and writes them; the syncers make every open
file durable each `sync_interval`; the finisher syncs and renames complete files and commits their rows, in the order
in which things happened. While the catalog is away the finisher retries and recording goes on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from uuid import UUID

from camera_gateway.fmp4.writer import random_access_index
from camera_gateway.recorder.finisher import ArchiveCall, Finisher
from camera_gateway.recorder.part_file import PartFile, reason_of
from camera_gateway.recorder.placing import Placement as Placement
from camera_gateway.recorder.ports import FragmentNote, RecordArchive, SegmentStart, SinkFault
from camera_gateway.recorder.room import FreeSpaceGuard as FreeSpaceGuard
from camera_gateway.recorder.room import Room, RoomGuard
from camera_gateway.recorder.room import free_bytes as free_bytes
from camera_gateway.recorder.syncer import Syncer
from storage.clock import Clock
from storage.model import GapReason, RunEnd

log = logging.getLogger(__name__)

_EARLY = 0.25
"""The part of a ring from which on the disk counts as slow, long before anything is lost."""


@dataclass(frozen=True, slots=True)
class DiskSettings:
    """How recordings reach the disk."""

    staging: Path
    sync_interval_s: float = 2.0
    ring_bytes: int = 16 << 20  # per stream, between the loop and the writer
    rings_bytes: int = 512 << 20  # of all streams together
    late_s: float = 2.0  # a fragment that waits longer for the disk makes it count as slow
    sync_threads: int = 4


@dataclass(frozen=True, slots=True)
class DiskHealth:
    """How the disk side does now. `slow` says why it counts as slow; empty: it does not. Nothing is lost yet then."""

    queued_bytes: int
    fullest_ring: float  # 1.0: the next fragment of that stream ends its run
    oldest_wait_s: float
    open_files: int
    last_sync_s: float  # the last pass over all open files
    sync_behind_s: float  # the oldest pass that is not through; 0: none
    commit_backlog: int  # complete files and other facts that wait for the catalog
    commit_wait_s: float  # the oldest of them
    staged_bytes: int  # recorded, and without a row yet
    slow: str


class DiskChannel:
    """The `SegmentSink` of one stream."""

    __slots__ = ("_disk", "_fault", "_full", "_over", "_part", "_stream_id", "expected", "given", "taken")

    def __init__(self, disk: DiskWriter, stream_id: UUID) -> None:
        self._disk = disk
        self._stream_id = stream_id
        self._part: PartFile | None = None
        self.given = 0  # bytes put into the ring, counted by the loop
        self.taken = 0  # bytes taken out of it, counted by the writer
        self.expected = 0  # up to where of `given` a pre-roll reaches, whose bytes may wait besides
        self._fault: SinkFault | None = None
        self._over = False  # the run has ended: what the disk says of it later is no matter of the next one
        self._full = False  # its ring was full: nothing begins before half of it is written

    def begin(self, start: SegmentStart) -> None:
        if self._over:
            self._fault, self._over = None, False
        self._raise_fault()
        disk = self._disk
        disk.room.check_new()
        if self._full:
            disk.check_drained(self)
            self._full = False
        path = disk.settings.staging / str(start.stream_id) / f"{start.segment_id}.part"
        part = PartFile(start, path, self._on_fault)
        self._part = part
        disk.put(self, len(start.head), disk.create, part)

    def write(self, parts: list[bytes], size: int, note: FragmentNote) -> None:
        self._raise_fault()
        part = self._part
        if part is None:
            raise SinkFault(GapReason.UNKNOWN, "no file is open")
        disk = self._disk
        disk.room.check_open()
        try:
            disk.check_ring(self, size)
        except SinkFault:
            self._full = True
            raise
        disk.put(self, size, disk.append, part, parts, note)

    def expect(self, size: int) -> None:
        self.expected = self.given + size

    @property
    def waiting(self) -> int:
        """Bytes in the ring that count; those of a pre-roll do not. Negative while one is put."""
        return self.given - max(self.taken, self.expected)

    def read_back(self, limit: int, deliver: Callable[[bytes], None]) -> None:
        self._disk.put(self, 0, self._disk.read_back, self._part, limit, deliver)

    def finish(self, t1_us: int) -> None:
        part, self._part = self._part, None
        if part is not None:
            self._disk.put(self, 0, self._disk.complete, part, t1_us)

    def open_run(self, stream_id: UUID, run_id: UUID, t0_us: int) -> None:
        self._tell(lambda archive: archive.open_run(stream_id, t0_us, run_id))

    def close_run(self, run_id: UUID, t1_us: int, end: RunEnd, detail: str) -> None:
        self._over = True
        self._tell(lambda archive: archive.close_run(run_id, t1_us, end, detail))

    def open_gap(self, t_us: int, reason: GapReason, detail: str) -> None:
        """In order with the files: there is nothing to record from `t_us` on, and why."""
        self._tell(lambda archive: archive.open_gap(self._stream_id, t_us, reason, detail))

    def _tell(self, call: ArchiveCall) -> None:
        """Through both queues, so that it comes after the files put before it."""
        self._disk.put(self, 0, self._disk.tell, call)

    def _on_fault(self, fault: SinkFault) -> None:
        """From the disk's threads: the next call of the loop will hear of it."""
        self._fault = fault

    def _raise_fault(self) -> None:
        if self._fault is not None:
            fault, self._fault = self._fault, None
            raise fault


class DiskWriter:
    """Owns the threads. All its channels are used from one thread. `stop` drains everything that was put before it."""

    def __init__(
        self, settings: DiskSettings, placement: Placement, archive: RecordArchive, guard: RoomGuard, clock: Clock
    ) -> None:
        self.settings = settings
        self.room = Room(guard)
        self._clock = clock
        self._channels: list[DiskChannel] = []
        self._jobs: SimpleQueue[tuple[Any, ...] | None] = SimpleQueue()
        self._given = self._taken = 0
        self._hand_since_s: float | None = None  # when the job in hand was put
        self._parts: set[PartFile] = set()  # without a row yet
        self._lock = threading.Lock()  # guards _parts
        self._finisher = Finisher(settings.staging, placement, archive, clock)
        self._syncer = Syncer(*(settings.sync_interval_s, settings.sync_threads, clock, self.room.measure))
        self._thread = threading.Thread(target=self._run, name="disk-writer", daemon=True)
        settings.staging.mkdir(parents=True, exist_ok=True)

    def channel(self, stream_id: UUID) -> DiskChannel:
        """The sink of one stream."""
        made = DiskChannel(self, stream_id)
        self._channels.append(made)
        return made

    def hold_rows(self) -> None:
        """Before `start`: nothing is placed or told to the archive until `allow_rows`."""
        self._finisher.hold()

    def start(self) -> None:
        self.room.measure()
        self._thread.start()
        self._finisher.start()
        self._syncer.start()

    def allow_rows(self) -> None:
        """What an earlier process left is in the archive: what came since may follow. Harmless when repeated."""
        self._finisher.allow()

    def stop(self, patience_s: float = 20.0) -> None:
        """Write, finish and commit what is there. After `patience_s` a catalog that stays away is given up on:
        the files stay in staging and are adopted at the next start."""
        self._jobs.put(None)
        self._thread.join()
        self._syncer.stop()
        self._finisher.stop(patience_s)

    def health(self) -> DiskHealth:
        """A look from any thread; costs as much as a few dozen additions."""
        ring = self.settings.ring_bytes
        queued = self._given - self._taken
        fullest = max((each.waiting for each in list(self._channels)), default=0) / ring
        since_s = self._hand_since_s
        wait_s = 0.0 if since_s is None else max(self._clock.monotonic() - since_s, 0.0)
        with self._lock:
            staged = sum(part.size for part in self._parts)
        last_s, behind_s = self._syncer.last_pass_s, self._syncer.behind_s()
        return DiskHealth(
            queued_bytes=queued,
            fullest_ring=fullest,
            oldest_wait_s=wait_s,
            open_files=self._syncer.open_files,
            last_sync_s=last_s,
            sync_behind_s=behind_s,
            commit_backlog=self._finisher.backlog,
            commit_wait_s=self._finisher.waiting_s(),
            staged_bytes=staged,
            slow=self._why_slow(queued, fullest, wait_s, max(last_s, behind_s)),
        )

    def _why_slow(self, queued: int, fullest: float, wait_s: float, sync_s: float) -> str:
        settings = self.settings
        if fullest >= _EARLY or queued >= settings.rings_bytes * _EARLY:
            return f"{queued >> 20} MB wait to be written"
        if wait_s > settings.late_s:
            return f"a write has been waiting for {wait_s:.1f} s"
        if sync_s > settings.sync_interval_s:
            return f"syncing all files takes {sync_s:.1f} s, longer than sync_interval_s"
        return ""

    # --- called by channels, in the loop -----------------------------------------------------------------------------
    def check_drained(self, channel: DiskChannel) -> None:
        """Raises SinkFault while too much of the stream waits for a new file to begin."""
        if channel.waiting > min(self.settings.ring_bytes, self._share()) // 2:
            raise SinkFault(GapReason.DISK_SLOW, "the ring has not drained yet")

    def check_ring(self, channel: DiskChannel, size: int) -> None:
        """Raises SinkFault when the stream's ring is full.

        It is also full when all rings together are half full and this one holds more than its share of that: so all
        together never hold more than `rings_bytes`, and a stream that waits little goes on.
        """
        waiting = channel.waiting
        if waiting + size > self.settings.ring_bytes:
            raise SinkFault(GapReason.DISK_SLOW, f"{waiting} bytes wait for the disk")
        queued = self._given - self._taken
        if queued + size > self.settings.rings_bytes // 2 and waiting + size > self._share():
            raise SinkFault(GapReason.DISK_SLOW, f"{queued} bytes of all cameras wait for the disk")

    def put(self, channel: DiskChannel, size: int, work: Callable[..., None], *arguments: Any) -> None:
        """Let the writer call `work` with the arguments; `size` bytes wait until it did."""
        channel.given += size
        self._given += size
        self._jobs.put((channel, size, self._clock.monotonic(), work, arguments))

    def _share(self) -> int:
        return self.settings.rings_bytes // 2 // max(len(self._channels), 1)

    # --- writer thread -----------------------------------------------------------------------------------------------
    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            channel, size, self._hand_since_s, work, arguments = job
            work(*arguments)
            channel.taken += size
            self._taken += size
            self._hand_since_s = None

    def create(self, part: PartFile) -> None:
        with self._lock:
            self._parts.add(part)
        try:
            part.create()
            self._syncer.add(part)
            part.append(part.start.head)
        except OSError as error:
            _break(part, error)

    def append(self, part: PartFile, parts: list[bytes], note: FragmentNote) -> None:
        if part.broken:
            return
        offset = part.size
        try:
            # One copy costs less than handing the interpreter lock over for every piece (docs/decisions/0084).
            part.append(b"".join(parts))
        except OSError as error:
            _break(part, error)
            return
        if note.starts_with_key:
            part.index.append((note.decode_time, offset))
        part.note = note

    def read_back(self, part: PartFile | None, limit: int, deliver: Callable[[bytes], None]) -> None:
        data = b""
        try:
            if part is not None:
                data = part.last_group(limit)
        except OSError as error:
            log.error("group_unread", extra={"fields": {"error": error.strerror}})
        deliver(data)

    def tell(self, call: ArchiveCall) -> None:
        self._finisher.call(call)

    def complete(self, part: PartFile, t1_us: int) -> None:
        if part.note is None:
            self._discard(part)
            return
        if part.broken:
            t1_us = part.note.t1_us
        else:
            try:
                part.append(random_access_index(part.index))
            except OSError as error:
                _break(part, error)
        part.complete = True
        facts = part.facts(part.note, t1_us)
        self._finisher.place(part, facts, lambda: self._syncer.forget(part), lambda: self._forget(part))

    def _discard(self, part: PartFile) -> None:
        """A file without one whole fragment holds no footage. The syncer closes it: the writer waits for no sync."""
        part.synced, part.named, part.complete = part.size, True, True
        self._forget(part)
        try:
            part.path.unlink(missing_ok=True)
        except OSError as error:
            log.error("empty_recording_left", extra={"fields": {"error": error.strerror}})

    def _forget(self, part: PartFile) -> None:
        with self._lock:
            self._parts.discard(part)


def _break(part: PartFile, error: OSError) -> None:
    """The disk refused: keep the file up to its last whole fragment and tell the loop."""
    reason = reason_of(error)
    part.broken = True
    part.on_fault(SinkFault(reason, error.strerror or "the disk failed"))
    fields = {"segment": part.start.segment_id, "reason": reason, "error": error.strerror}
    log.error("recording_broken", extra={"fields": fields})
    if part.descriptor >= 0:
        try:
            part.cut()
        except OSError as again:
            log.error("recording_truncate_failed", extra={"fields": {"error": again.strerror}})
