"""A disk that is slow: told early, one stream pays at a time, nobody waits for a sync, and it is over by itself."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from camera_gateway.packets import AccessUnit
from camera_gateway.recorder.disk import DiskChannel, DiskSettings, DiskWriter
from camera_gateway.recorder.part_file import PartFile
from camera_gateway.recorder.ports import SegmentStart, SinkFault
from camera_gateway.recorder.segmenter import Segmenter
from camera_gateway.recorder.syncer import Syncer
from camera_gateway.recorder.timing import Timekeeper
from storage.clock import FakeClock, SystemClock
from storage.model import GapReason, RunEnd
from tests.camera_gateway.media import units
from tests.camera_gateway.test_segmenter import STREAM
from tests.fakes.gateway import FakeArchive, FakeGuard, FolderPlacement

CLOCK = SystemClock()
FRAMES = units("h264", seconds=12)
BYTES = sum(len(unit.data) for unit in FRAMES)


class Camera:
    """One stream, fed frame by frame."""

    def __init__(self, disk: DiskWriter, number: int, segment_s: float = 60.0) -> None:
        self.id = UUID(int=STREAM.int + number)
        self.channel: DiskChannel = disk.channel(self.id)
        self.segmenter = Segmenter(self.id, self.channel, CLOCK, segment_s)
        self._keeper = Timekeeper()
        self.faults: list[GapReason] = []

    def feed(self, frames: tuple[AccessUnit, ...]) -> None:
        for unit in frames:
            self._keeper.take(unit)
            fault = self.segmenter.take(unit, self._keeper.line)
            if fault is not None:
                self.faults.append(fault.reason)


class Site:
    def __init__(self, root: Path, *, ring_bytes: int = 16 << 20, rings_bytes: int = 512 << 20) -> None:
        self.archive = FakeArchive()
        settings = DiskSettings(root / "staging", 0.01, ring_bytes, rings_bytes)
        self.placed = root / "placed"
        self.disk = DiskWriter(settings, FolderPlacement(self.placed), self.archive, FakeGuard(), CLOCK)

    def ends(self, camera: Camera) -> list[RunEnd]:
        mine = [event[3] for event in self.archive.events if event[0] == "open_run" and event[1] == camera.id]
        return [
            event[3]
            for event in self.archive.events
            if event[0] == "close_run" and event[1] in mine and isinstance(event[3], RunEnd)
        ]

    def frames(self, camera: Camera) -> int:
        return sum(segment.frames for segment, _ in self.archive.segments if segment.stream_id == camera.id)


class Brake:
    """Calls of an `os` function about files of some folder wait while it is on."""

    def __init__(self, call: Callable[..., int | None], name: str) -> None:
        self._call, self._name = call, name
        self._free = threading.Event()
        self.held = threading.Event()

    def __call__(self, descriptor: int, *rest: object) -> int | None:
        if self._name in os.readlink(f"/proc/self/fd/{descriptor}") and not self._free.is_set():
            self.held.set()
            self._free.wait()
        return self._call(descriptor, *rest)

    def release(self) -> None:
        self._free.set()


@contextmanager
def braked(monkeypatch: pytest.MonkeyPatch, call: str, name: str) -> Iterator[Brake]:
    brake = Brake(getattr(os, call), name)
    monkeypatch.setattr(os, call, brake)
    yield brake
    brake.release()


def until(what: Callable[[], bool]) -> None:
    while not what():
        CLOCK.sleep(0.005)


def test_only_the_stream_whose_ring_is_full_pays_and_it_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path, ring_bytes=BYTES // 4)
    loud, quiet = Camera(site.disk, 0), Camera(site.disk, 1)
    with braked(monkeypatch, "write", "staging"):
        site.disk.start()
        loud.feed(FRAMES[:50])
        quiet.feed(FRAMES[:25])
        early = site.disk.health()
        assert "wait to be written" in early.slow  # said before anything is lost
        assert (loud.faults, quiet.faults) == ([], [])
        loud.feed(FRAMES[50:200])
        assert set(loud.faults) == {GapReason.DISK_SLOW}
        assert not loud.segmenter.recording
        assert (quiet.faults, quiet.segmenter.recording) == ([], True)
    for start in range(200, 300, 20):
        until(lambda: site.disk.health().queued_bytes == 0)
        loud.feed(FRAMES[start : start + 20])
    quiet.feed(FRAMES[25:60])
    for camera in (loud, quiet):
        camera.segmenter.end(RunEnd.STOPPED)
    site.disk.stop()
    assert site.ends(loud) == [RunEnd.DISK_SLOW, RunEnd.STOPPED]
    assert site.ends(quiet) == [RunEnd.STOPPED]
    assert site.frames(quiet) == 60
    assert 50 + 100 <= site.frames(loud) < len(FRAMES)
    assert "wait to be written" not in site.disk.health().slow


def test_all_rings_together_have_a_bound_and_who_waits_little_goes_on(tmp_path: Path) -> None:
    """The writer was never started: the disk stands still."""
    most = BYTES
    site = Site(tmp_path, ring_bytes=BYTES, rings_bytes=most)
    cameras = [Camera(site.disk, number) for number in range(4)]
    cameras[3].feed(FRAMES[:12])
    for camera in cameras[:3]:
        camera.feed(FRAMES)
        assert site.disk.health().queued_bytes <= most
    assert all(set(camera.faults) == {GapReason.DISK_SLOW} for camera in cameras[1:3])
    assert cameras[3].faults == []
    cameras[3].feed(FRAMES[12:20])
    assert (cameras[3].faults, cameras[3].segmenter.recording) == ([], True)
    assert site.disk.health().queued_bytes <= most
    site.disk.start()
    for camera in cameras:
        camera.segmenter.end(RunEnd.STOPPED)
    site.disk.stop()
    assert site.ends(cameras[3]) == [RunEnd.STOPPED]
    assert site.frames(cameras[3]) == 20


def test_a_file_is_cut_while_much_of_the_ring_waits_and_a_run_that_was_refused_waits_for_half(tmp_path: Path) -> None:
    """The disk stands still: nothing is lost before a ring is full, whenever a file happens to end."""
    site = Site(tmp_path, ring_bytes=BYTES)
    camera = Camera(site.disk, 0, segment_s=1.0)
    camera.feed(FRAMES[:225])
    assert (camera.faults, camera.segmenter.recording) == ([], True)
    assert site.disk.health().fullest_ring > 0.6
    camera.feed(FRAMES[225:])
    camera.feed(tuple(replace(unit, dts=unit.dts + 12 * 90_000, pts=unit.pts + 12 * 90_000) for unit in FRAMES[:100]))
    assert set(camera.faults) == {GapReason.DISK_SLOW}
    assert not camera.segmenter.recording


def test_a_pre_roll_that_is_larger_than_the_ring_is_no_slow_disk(tmp_path: Path) -> None:
    """It was in memory before, too. What comes behind it counts as ever."""
    site = Site(tmp_path, ring_bytes=BYTES // 4)
    camera = Camera(site.disk, 0, segment_s=5.0)
    camera.channel.expect(sum(len(unit.data) for unit in FRAMES[:200]))
    camera.feed(FRAMES[:200])
    assert (camera.faults, camera.segmenter.recording, site.disk.health().slow) == ([], True, "")
    camera.feed(FRAMES[200:])
    assert set(camera.faults) == {GapReason.DISK_SLOW}


def test_what_the_disk_refused_of_a_run_that_is_over_costs_no_later_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan's last words may fail in the evening: the first picture of the morning has nothing to do with it."""
    site = Site(tmp_path)
    camera = Camera(site.disk, 0)
    site.disk.start()
    camera.feed(FRAMES[:30])
    until(lambda: site.disk.health().queued_bytes == 0)
    with monkeypatch.context() as broken:
        broken.setattr(os, "write", _full)
        camera.segmenter.end(RunEnd.PLAN)
        site.disk.put(camera.channel, 0, (written := threading.Event()).set)
        written.wait(20)
    camera.feed(FRAMES[50:60])
    assert (camera.faults, camera.segmenter.recording) == ([], True)
    camera.segmenter.end(RunEnd.STOPPED)
    site.disk.stop()


def _full(*_arguments: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_write_that_waits_long_is_told_although_little_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    settings = DiskSettings(tmp_path / "staging", 3600.0)
    disk = DiskWriter(settings, FolderPlacement(tmp_path / "placed"), FakeArchive(), FakeGuard(), Still(clock))
    camera = Camera(disk, 0)
    with braked(monkeypatch, "write", "staging") as brake:
        disk.start()
        camera.feed(FRAMES[:2])
        brake.held.wait()
        assert disk.health().slow == ""
        clock.advance(2.5)
        assert (disk.health().oldest_wait_s, disk.health().slow) == (2.5, "a write has been waiting for 2.5 s")
    camera.segmenter.end(RunEnd.STOPPED)
    disk.stop()
    assert disk.health().slow == ""


class Still(SystemClock):
    """Waits in truth, and shows the time of a clock that stands still."""

    def __init__(self, shown: FakeClock) -> None:
        self._shown = shown

    def monotonic(self) -> float:
        return self._shown.monotonic()


def test_a_sync_that_hangs_holds_up_neither_writing_nor_the_sync_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path)
    stuck, other = Camera(site.disk, 0), Camera(site.disk, 1)
    with braked(monkeypatch, "fdatasync", str(stuck.id)) as brake:
        site.disk.start()
        stuck.feed(FRAMES[:100])
        other.feed(FRAMES[:100])
        brake.held.wait()
        stuck.feed(FRAMES[100:200])
        other.feed(FRAMES[100:])
        other.segmenter.end(RunEnd.STOPPED)
        until(lambda: site.frames(other) == len(FRAMES))  # synced, placed and committed meanwhile
        until(lambda: site.disk.health().queued_bytes == 0)  # and all of the stuck one is written
        until(lambda: site.disk.health().slow.startswith("syncing all files takes"))
        stuck.feed(FRAMES[200:])
        stuck.segmenter.end(RunEnd.STOPPED)
    site.disk.stop()
    assert site.frames(stuck) == len(FRAMES)
    assert (stuck.faults, other.faults) == ([], [])


def test_a_volume_that_does_not_say_how_full_it_is_is_told_as_slow(tmp_path: Path) -> None:
    """A network mount that hangs: whoever asks it for its free space hangs as well, and nothing is synced."""
    asked, answered = threading.Event(), threading.Event()

    class Hanging(FakeGuard):
        def check(self) -> None:
            if threading.current_thread() is not threading.main_thread():
                asked.set()
                answered.wait()

    settings = DiskSettings(tmp_path / "staging", 0.3)
    disk = DiskWriter(settings, FolderPlacement(tmp_path / "placed"), FakeArchive(), Hanging(), CLOCK)
    camera = Camera(disk, 0)
    disk.start()
    asked.wait()
    camera.feed(FRAMES[:100])
    until(lambda: disk.health().queued_bytes == 0)
    until(lambda: disk.health().slow.startswith("syncing all files takes"))
    answered.set()
    until(lambda: disk.health().slow == "")
    camera.segmenter.end(RunEnd.STOPPED)
    disk.stop()
    assert camera.faults == []


def test_while_the_catalog_is_away_descriptors_do_not_pile_up(tmp_path: Path) -> None:
    """An hour of a hall's files are more than a process may have open."""
    site = Site(tmp_path)
    site.archive.away = True
    site.disk.start()
    cameras = [Camera(site.disk, number) for number in range(20)]
    for camera in cameras:
        camera.feed(FRAMES[:30])
        camera.segmenter.end(RunEnd.STOPPED)
    until(lambda: site.disk.health().open_files == 0 and site.disk.health().queued_bytes == 0)
    health = site.disk.health()
    assert health.commit_backlog >= 60
    assert health.staged_bytes == sum(path.stat().st_size for path in (tmp_path / "staging").rglob("*.part"))
    site.archive.away = False
    site.disk.stop()
    assert [site.frames(camera) for camera in cameras] == [30] * 20
    assert (site.disk.health().commit_backlog, site.disk.health().staged_bytes) == (0, 0)


def test_each_pass_syncs_what_is_new_and_the_name_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: synced.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    folder = tmp_path / "staging" / "stream"
    folder.parent.mkdir()
    part = PartFile(start_of(), folder / "one.part", _refuse)
    part.create()
    part.append(b"head")
    syncer = Syncer(0.001, 2, Rounds(3), lambda: None)
    syncer.add(part)
    syncer.start()
    syncer.stop()
    assert synced == [str(part.path), str(folder), str(folder.parent)]
    assert (part.synced, part.named, part.descriptor) == (4, True, -1)


def _refuse(fault: SinkFault) -> None:
    raise AssertionError(fault.evidence)


class Rounds(SystemClock):
    """So many intervals, then the end."""

    def __init__(self, rounds: int) -> None:
        self._left = rounds

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self._left -= 1
        return self._left < 0 or super().wait(event, seconds)


def start_of() -> SegmentStart:
    return SegmentStart(UUID(int=1), STREAM, UUID(int=2), 0, "avc1.64001F", 320, 180, 90_000, b"head")
