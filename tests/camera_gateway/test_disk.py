"""The disk side with real files: order of steps, bounded rings, a full disk, a catalog that is away."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar
from uuid import UUID

import pytest

from camera_gateway.fmp4.salvage import inspect
from camera_gateway.packets import AccessUnit
from camera_gateway.recorder.disk import DiskSettings, DiskWriter, FreeSpaceGuard, Placement
from camera_gateway.recorder.ports import SinkFault
from camera_gateway.recorder.room import Room
from camera_gateway.recorder.segmenter import Segmenter
from storage.archive.objects import DiskStore
from storage.archive.staging import DiskPlacement
from storage.clock import SystemClock
from storage.errors import Conflict
from storage.model import CameraSegment, GapReason, RunEnd
from tests.camera_gateway.media import picture_hashes, transport_stream, units
from tests.camera_gateway.test_segmenter import STREAM, feed
from tests.fakes.gateway import FakeArchive, FakeGuard, FolderPlacement


class Bench:
    """A disk writer over a temporary folder."""

    def __init__(
        self,
        root: Path,
        *,
        ring_bytes: int = 16 << 20,
        placement: Placement | None = None,
        archive: FakeArchive | None = None,
    ) -> None:
        self.archive = archive or FakeArchive()
        self.guard = FakeGuard()
        self.placement = FolderPlacement(root / "placed")
        self.staging = root / "staging"
        settings = DiskSettings(self.staging, sync_interval_s=0.01, ring_bytes=ring_bytes)
        self.disk = DiskWriter(settings, placement or self.placement, self.archive, self.guard, SystemClock())

    def record(self, frames: tuple[AccessUnit, ...], segment_s: float = 60.0) -> list[GapReason]:
        segmenter = Segmenter(STREAM, self.disk.channel(STREAM), SystemClock(), segment_s)
        faults = feed(segmenter, frames)
        segmenter.end(RunEnd.STOPPED, "end of the test")
        return faults

    def files(self) -> list[Path]:
        return [self.placement.folder / str(segment.id) for segment, _ in self.archive.segments]


def test_committed_rows_are_true(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.disk.start()
    assert bench.record(units("h264", seconds=12), 4) == []
    bench.disk.stop()

    assert [event[0] for event in bench.archive.events] == [
        "open_run",
        *["segment"] * len(bench.archive.segments),
        "close_run",
    ]
    assert len(bench.archive.segments) >= 3
    for (segment, location), path in zip(bench.archive.segments, bench.files(), strict=True):
        content = path.read_bytes()
        assert (location, segment.size_bytes) == ("test", len(content))
        assert segment.sha256 == hashlib.sha256(content).digest()
        facts = inspect(path)
        assert (facts.frames, facts.media_duration) == (segment.frames, segment.media_duration)
    assert list(bench.staging.rglob("*.part")) == list(bench.staging.rglob("*.placed")) == []


def test_a_ring_that_is_full_ends_the_run_and_keeps_what_it_took(tmp_path: Path) -> None:
    frames = units("h264", seconds=4)
    bench = Bench(tmp_path, ring_bytes=sum(len(unit.data) for unit in frames[:60]))
    # The writer is not started: the disk stands still, the ring fills.
    faults = bench.record(frames)
    assert faults[0] is GapReason.DISK_SLOW
    bench.disk.start()
    bench.disk.stop()
    assert bench.archive.ends[0] is RunEnd.DISK_SLOW
    (kept, _) = bench.archive.segments[0]
    assert 25 <= kept.frames < len(frames)
    assert picture_hashes(bench.files()[0]) == picture_hashes(transport_stream("h264"))[: kept.frames]


def test_without_room_nothing_begins_and_recording_returns_with_room(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.disk.start()
    segmenter = Segmenter(STREAM, bench.disk.channel(STREAM), SystemClock())
    frames = units("h264")
    bench.guard.full = True
    bench.disk.room.measure()
    assert feed(segmenter, frames[:50]) == [GapReason.DISK_FULL] * 2
    bench.guard.full = False
    bench.disk.room.measure()
    assert feed(segmenter, frames[50:]) == []
    assert segmenter.recording
    segmenter.end(RunEnd.STOPPED)
    bench.disk.stop()
    assert [segment.frames for segment, _ in bench.archive.segments] == [len(frames) - 50]


def test_a_write_may_take_less_than_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, memoryview(data)[:1000]))
    bench = Bench(tmp_path)
    bench.disk.start()
    assert bench.record(units("h264")) == []
    bench.disk.stop()
    (segment, _) = bench.archive.segments[0]
    content = bench.files()[0].read_bytes()
    assert (len(content), hashlib.sha256(content).digest()) == (segment.size_bytes, segment.sha256)
    assert inspect(bench.files()[0]).frames == len(units("h264"))


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """The kernel refuses to make any file of this process larger than `size`."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_refuses_in_mid_file_costs_only_what_it_refused(tmp_path: Path) -> None:
    frames = units("h264", seconds=4)
    total = sum(len(unit.data) for unit in frames)
    bench = Bench(tmp_path)
    bench.disk.start()
    channel = bench.disk.channel(STREAM)
    segmenter = Segmenter(STREAM, channel, SystemClock())
    with largest_file(total // 2):
        feed(segmenter, frames)
        segmenter.end(RunEnd.STOPPED)
        bench.disk.stop()
    (kept, _) = bench.archive.segments[0]
    assert 0 < kept.frames < len(frames)
    assert kept.size_bytes <= total // 2
    facts = inspect(bench.files()[0])
    assert facts.frames == kept.frames
    assert facts.sha256 == kept.sha256


def test_a_file_that_could_not_be_cut_at_once_is_cut_before_it_is_placed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = units("h264", seconds=4)
    bench = Bench(tmp_path)
    monkeypatch.setattr(os, "ftruncate", refuse)
    bench.disk.start()
    with largest_file(sum(len(unit.data) for unit in frames) // 2):
        bench.record(frames)
        bench.disk.stop()
    (kept, _) = bench.archive.segments[0]
    content = bench.files()[0].read_bytes()
    assert (len(content), hashlib.sha256(content).digest()) == (kept.size_bytes, kept.sha256)


# --- faults of the disk after the bytes were taken ----
def refuse(*_arguments: object) -> None:
    raise OSError(errno.EIO, "input/output error")


def written(bench: Bench, frames: int = 0) -> list[Path]:
    """The part files, as soon as all are complete and hold at least so many frames together."""
    while True:
        parts = list(bench.staging.rglob("*.part"))
        whole = all(path.read_bytes()[-12:-8] == b"mfro" for path in parts)
        if whole and parts and sum(inspect(path).frames for path in parts) >= frames:
            return parts


def damage(path: Path) -> None:
    """What a lost page looks like."""
    content = bytearray(path.read_bytes())
    content[-200:-100] = bytes(100)
    path.write_bytes(content)


@pytest.mark.parametrize("lost", [False, True], ids=["kept", "lost"])
def test_a_failed_sync_is_believed_only_when_the_disk_gives_the_bytes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    """A kernel reports a failed write once and calls the next sync a success."""
    bench = Bench(tmp_path)
    armed, failed = threading.Event(), threading.Event()

    def fail_once(_descriptor: int) -> None:
        if armed.is_set() and not failed.is_set():
            failed.set()
            refuse()

    monkeypatch.setattr(os, "fdatasync", fail_once)
    bench.archive.away = True  # holds the finisher at `open_run` until the file is as the test wants it
    bench.disk.start()
    segmenter = Segmenter(STREAM, bench.disk.channel(STREAM), SystemClock())
    frames = units("h264", seconds=8)
    assert feed(segmenter, frames[:100]) == []
    armed.set()
    faults: list[GapReason] = []
    for start in range(100, 200, 5):  # the sync that fails is one of something new, and is told after it
        faults += feed(segmenter, frames[start : start + 5])
        threading.Event().wait(0.02)
    assert faults == [GapReason.DISK_SLOW]
    segmenter.end(RunEnd.STOPPED)
    parts = written(bench, len(frames) - 50)  # what was fed until the fault showed, and again from the next key frame
    if lost:
        damage(min(parts, key=lambda path: inspect(path).head.identity.t0_us))
    bench.archive.away = False
    bench.disk.stop()
    assert bench.archive.ends == [RunEnd.DISK_SLOW, RunEnd.STOPPED]
    aside = [path.suffix for path in (bench.staging / "quarantine").glob("*")]
    assert (len(bench.archive.segments), aside) == ((1, [".part"]) if lost else (2, []))
    for (segment, _), path in zip(bench.archive.segments, bench.files(), strict=True):
        assert segment.sha256 == hashlib.sha256(path.read_bytes()).digest()


class BrokenAfterRename(DiskStore):
    """The first file gets its name, then the folder cannot be synced."""

    faults = 1

    def move_in(self, object_id: UUID, path: Path) -> None:
        super().move_in(object_id, path)
        if self.faults:
            self.faults -= 1
            refuse()


def test_a_fault_between_the_rename_and_its_sync_holds_nothing_up(tmp_path: Path) -> None:
    store = BrokenAfterRename(tmp_path / "objects")
    bench = Bench(tmp_path, placement=DiskPlacement(store))
    bench.disk.start()
    bench.record(units("h264", seconds=12), 4)
    bench.disk.stop()
    assert sum(segment.frames for segment, _ in bench.archive.segments) == len(units("h264", seconds=12))
    assert {segment.id for segment, _ in bench.archive.segments} == set(store.ids())
    assert [path for path in bench.staging.rglob("*") if path.is_file()] == []


class Refusing(FakeArchive):
    """Refuses its first segment for good."""

    def commit_segment(self, segment: CameraSegment, location: str) -> bool:
        if not self.segments and not self.refused:
            self.refused.append(segment)
            raise Conflict("segment_conflict")
        return super().commit_segment(segment, location)

    refused: ClassVar[list[CameraSegment]] = []


def test_a_segment_that_is_refused_stays_marked_and_the_next_are_committed(tmp_path: Path) -> None:
    archive = Refusing()
    bench = Bench(tmp_path, archive=archive)
    bench.disk.start()
    bench.record(units("h264", seconds=12), 4)
    bench.disk.stop()
    assert len(archive.segments) >= 2
    assert [path.name for path in bench.staging.rglob("*.placed")] == [f"{archive.refused[0].id}.placed"]


def test_a_file_that_somebody_took_away_holds_nothing_up(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.archive.away = True
    bench.disk.start()
    frames = units("h264", seconds=12)
    bench.record(frames, 4)
    parts = written(bench, len(frames))
    assert len(parts) >= 3
    parts[1].unlink()
    bench.archive.away = False
    bench.disk.stop()
    assert len(bench.archive.segments) == len(parts) - 1
    assert bench.archive.ends == [RunEnd.STOPPED]


def test_a_volume_that_does_not_answer_takes_no_new_file(tmp_path: Path) -> None:
    room = Room(FreeSpaceGuard(tmp_path / "unmounted", 1))
    room.measure()
    with pytest.raises(SinkFault) as caught:
        room.check_new()
    assert caught.value.reason is GapReason.DISK_SLOW
    room.check_open()  # it may answer again before a write fails


def test_while_the_catalog_is_away_recording_goes_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.archive.away = True
    bench.disk.start()
    bench.record(units("h264", seconds=12), 4)
    stopping = threading.Thread(target=bench.disk.stop)
    stopping.start()
    bench.archive.away = False
    stopping.join()
    assert sum(segment.frames for segment, _ in bench.archive.segments) == len(units("h264", seconds=12))
    assert bench.archive.events[-1][0] == "close_run"


def test_a_catalog_that_stays_away_is_given_up_on_and_files_stay_for_recovery(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.archive.away = True
    bench.disk.start()
    bench.record(units("h264"))
    bench.disk.stop(patience_s=0.0)
    assert bench.archive.segments == []
    left = [*bench.staging.rglob("*.part"), *bench.staging.rglob("*.placed")]
    assert len(left) == 1
    assert inspect(left[0]).frames == len(units("h264"))


def test_the_reserve_is_kept_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below it no file begins; when half of it is gone those that are open end as well: the catalog needs the rest."""
    free = os.statvfs(tmp_path)
    room = Room(FreeSpaceGuard(tmp_path, 1000 * free.f_frsize))
    new, still_open = [], []
    for blocks in (1000, 999, 500, 499, 1000):
        left = os.statvfs_result((*free[:4], blocks, *free[5:]))
        monkeypatch.setattr(os, "statvfs", lambda _folder, left=left: left)
        room.measure()
        new.append(reason_of_refusal(room.check_new))
        still_open.append(reason_of_refusal(room.check_open))
    full = GapReason.DISK_FULL
    assert new == [None, full, full, full, None]
    assert still_open == [None, None, None, full, None]


def reason_of_refusal(check: Callable[[], None]) -> GapReason | None:
    try:
        check()
    except SinkFault as fault:
        return fault.reason
    return None


def test_streams_do_not_share_their_rings(tmp_path: Path) -> None:
    frames = units("h264", seconds=4)
    bench = Bench(tmp_path, ring_bytes=sum(len(unit.data) for unit in frames) * 2)
    for number in range(3):
        stream_id = UUID(int=STREAM.int + number)
        segmenter = Segmenter(stream_id, bench.disk.channel(stream_id), SystemClock())
        assert feed(segmenter, frames) == []
        segmenter.end(RunEnd.STOPPED)
    bench.disk.start()
    bench.disk.stop()
    assert len(bench.archive.segments) == 3
