"""The disk side with real files: order of steps, bounded rings, a full disk, a catalog that is away."""

from __future__ import annotations

import hashlib
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest

from camera_gateway.fmp4.salvage import inspect
from camera_gateway.packets import AccessUnit
from camera_gateway.recorder.disk import DiskSettings, DiskWriter, FreeSpaceGuard
from camera_gateway.recorder.ports import SinkFault
from camera_gateway.recorder.segmenter import Segmenter
from storage.clock import SystemClock
from storage.model import GapReason, RunEnd
from tests.camera_gateway.media import picture_hashes, transport_stream, units
from tests.camera_gateway.test_segmenter import STREAM, feed
from tests.fakes.gateway import FakeArchive, FakeGuard, FolderPlacement


class Bench:
    """A disk writer over a temporary folder."""

    def __init__(self, root: Path, *, ring_bytes: int = 16 << 20) -> None:
        self.archive = FakeArchive()
        self.guard = FakeGuard()
        self.placement = FolderPlacement(root / "placed")
        self.staging = root / "staging"
        settings = DiskSettings(self.staging, sync_interval_s=0.01, ring_bytes=ring_bytes)
        self.disk = DiskWriter(settings, self.placement, self.archive, self.guard, SystemClock())

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
    assert feed(segmenter, frames[:50]) == [GapReason.DISK_FULL] * 2
    bench.guard.full = False
    assert feed(segmenter, frames[50:]) == []
    assert segmenter.recording
    segmenter.end(RunEnd.STOPPED)
    bench.disk.stop()
    assert [segment.frames for segment, _ in bench.archive.segments] == [len(frames) - 50]


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


def test_the_reserve_is_kept_free(tmp_path: Path) -> None:
    FreeSpaceGuard(tmp_path, 0).check()
    disk = DiskWriter(
        DiskSettings(tmp_path),
        FolderPlacement(tmp_path),
        FakeArchive(),
        FreeSpaceGuard(tmp_path, 1 << 60),
        SystemClock(),
    )
    with pytest.raises(SinkFault) as caught:
        disk.check_room()
    assert caught.value.reason is GapReason.DISK_FULL


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
