"""What a start finds after a crash, step by step, with a real catalog and a real disk store."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from camera_gateway.catalog_plan import CatalogPlan
from camera_gateway.fmp4.reader import FragmentFacts, read_fragments, read_head
from camera_gateway.fmp4.salvage import inspect
from camera_gateway.packets import AccessUnit
from camera_gateway.recorder.disk import DiskSettings, DiskWriter
from camera_gateway.recorder.placing import placed_mark
from camera_gateway.recorder.segmenter import Segmenter
from camera_gateway.recovery import Recovered, Recovery
from camera_gateway.recovery_task import LeftoverReport, RecoveryTask
from storage.archive import tables
from storage.archive.ingest import Ingest
from storage.archive.objects import DiskStore
from storage.archive.staging import DiskPlacement
from storage.archive.verify import Level, verify
from storage.clock import US
from storage.errors import MediaError, StorageFull, Unavailable
from storage.model import AlarmKind, CameraSegment, GapReason, RunEnd
from tests.camera_gateway.hall import Hall
from tests.camera_gateway.media import units
from tests.camera_gateway.test_segmenter import feed
from tests.fakes.gateway import FakeGuard

pytestmark = pytest.mark.net  # the hall looks for a free port


class DyingIngest(Ingest):
    """Dies at the chosen call, as a process that is killed there."""

    dies_at = ""

    def commit_segment(self, segment: CameraSegment, location: str) -> bool:
        if self.dies_at == "commit":
            raise Unavailable("catalog_away", "killed before the row")
        if self.dies_at == "full":
            raise StorageFull("catalog_full")
        return super().commit_segment(segment, location)

    def close_run(self, run_id: UUID, t1_us: int, end: RunEnd, detail: str = "") -> bool:
        if self.dies_at in ("commit", "close"):
            raise Unavailable("catalog_away", "killed before the end of the run")
        return super().close_run(run_id, t1_us, end, detail)


class Site:
    """A hall with one camera, its disk side and its recovery."""

    def __init__(self, folder: Path) -> None:
        self.hall = Hall(folder)
        self.stream = self.hall.add_camera("rtsp://127.0.0.1/none")
        self.store = DiskStore(self.hall.root / "objects")
        self.ingest = DyingIngest(self.hall.catalog, self.hall.clock, str(self.hall.gateway_id))
        self.staging = self.hall.root / "staging"
        self.recovery = Recovery(self.staging, DiskPlacement(self.store), self.ingest, self.hall.catalog)

    def record(self, *, end: bool = True, segment_s: float = 1e6, frames: tuple[AccessUnit, ...] = ()) -> None:
        """Record four seconds (or `frames`) and stop; `end` False leaves the part file as a kill does."""
        writer = DiskWriter(
            DiskSettings(self.staging), DiskPlacement(self.store), self.ingest, FakeGuard(), self.hall.clock
        )
        segmenter = Segmenter(self.stream, writer.channel(self.stream), self.hall.clock, segment_s)
        writer.start()
        feed(segmenter, frames or units("h264"))
        if end:
            segmenter.end(RunEnd.STOPPED)
        writer.stop(patience_s=1.0 if self.ingest.dies_at else 20.0)
        self.ingest.dies_at = ""

    def recover(self, stream_ids: list[UUID]) -> Recovered:
        return self.recovery.run(self.recovery.find(stream_ids))

    @property
    def parts(self) -> list[Path]:
        return [*self.staging.rglob("*.part"), *self.staging.rglob("*.placed")]


def read_fragments_of(path: Path) -> list[FragmentFacts]:
    with path.open("rb") as file:
        return list(read_fragments(file, read_head(file).size))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path / "hall")
    yield made
    made.hall.close()


def test_a_part_file_is_salvaged_and_its_run_ends_as_crash(site: Site) -> None:
    site.record(end=False)
    assert len(site.parts) == 1
    assert site.recover([site.stream]) == Recovered(salvaged=1, runs_closed=1)
    (row,) = site.hall.segments(site.stream)
    assert row.salvaged
    assert row.frames == 99  # the length of the last one was not known yet
    assert inspect(site.hall.object_path(row.id)).sha256 == bytes(row.sha256)
    (run,) = site.hall.rows(tables.run)
    assert (run.end, run.t1_us) == (RunEnd.CRASH, row.t1_us)
    (gap,) = site.hall.rows(tables.gap)
    assert (gap.reason, gap.t0_us, gap.t1_us) == (GapReason.CRASH, row.t1_us, None)
    assert site.parts == []
    assert site.recover([site.stream]) == Recovered()


def test_a_file_that_was_placed_but_not_committed_is_adopted(site: Site) -> None:
    site.ingest.dies_at = "commit"
    site.record()
    assert [path.suffix for path in site.parts] == [".placed"]
    assert site.hall.segments(site.stream) == []
    found = site.recover([site.stream])
    assert (found.adopted, found.salvaged) == (1, 0)
    (row,) = site.hall.segments(site.stream)
    assert (row.salvaged, row.frames, row.location) == (False, len(units("h264")), "disk")
    assert inspect(site.hall.object_path(row.id)).sha256 == bytes(row.sha256)
    assert site.parts == []


def test_a_committed_segment_whose_mark_is_left_is_not_committed_twice(site: Site) -> None:
    site.record()
    (row,) = site.hall.segments(site.stream)
    mark = site.staging / str(site.stream) / f"{row.id}.placed"
    os.link(site.hall.object_path(row.id), mark)
    assert site.recover([site.stream]).adopted == 1
    assert len(site.hall.segments(site.stream)) == 1
    assert not mark.exists()
    assert site.hall.object_path(row.id).exists()


def test_a_catalog_that_goes_away_during_recovery_loses_no_file(site: Site) -> None:
    site.ingest.dies_at = "commit"
    site.record()
    site.ingest.dies_at = "commit"
    for _ in range(2):
        with pytest.raises(Unavailable):
            site.recover([site.stream])
    site.ingest.dies_at = ""
    assert site.recover([site.stream]).adopted == 1
    (row,) = site.hall.segments(site.stream)
    assert inspect(site.hall.object_path(row.id)).sha256 == bytes(row.sha256)
    assert site.parts == []


def test_a_kill_between_the_mark_and_the_rename_leaves_one_true_object(site: Site) -> None:
    """The file has no index (the disk was full): mending its part file would change the object under the row."""
    site.record(end=False)
    (part,) = site.parts
    end = list(read_fragments_of(part))[-1].end
    os.truncate(part, end)
    os.link(part, placed_mark(part))
    found = site.recover([site.stream])
    assert (found.adopted, found.salvaged) == (1, 0)
    (row,) = site.hall.segments(site.stream)
    assert row.bytes == end
    assert verify(site.hall.catalog, {"disk": site.store}, Level.HASH).status == 0
    assert site.parts == []


def test_files_of_a_run_join_whatever_the_cameras_clock_says(site: Site) -> None:
    """The camera stamps 25 pictures a second and sends 21: its media time is no measure of the hall's."""
    first = units("h264", seconds=12)[0]
    slow = tuple(
        replace(
            unit,
            arrival_us=first.arrival_us + (unit.arrival_us - first.arrival_us) * 25 // 21,
            arrival_s=first.arrival_s + (unit.arrival_s - first.arrival_s) * 25 / 21,
        )
        for unit in units("h264", seconds=12)
    )
    site.ingest.dies_at = "commit"
    site.record(segment_s=4, frames=slow)
    site.recover([site.stream])
    rows = sorted(site.hall.segments(site.stream), key=lambda row: row.t0_us)
    assert len(rows) >= 3
    assert [row.t1_us for row in rows[:-1]] == [row.t0_us for row in rows[1:]]


def test_one_bad_file_keeps_no_other_from_being_recovered(site: Site) -> None:
    site.record(end=False)
    folder = site.staging / str(site.stream)
    early = UUID(int=0)
    (folder / f"{early}.part").mkdir()  # cannot be read: the disk's fault, as far as recovery can see
    other = site.hall.add_camera("rtsp://127.0.0.1/other")
    run_id = inspect(next(path for path in site.parts if path.is_file())).head.identity.run
    with site.hall.catalog.write() as conn:  # the file's run is known as another stream's
        conn.execute(tables.run.update().where(tables.run.c.id == run_id).values(stream_id=other))
    assert site.recover([site.stream, other]) == Recovered(quarantined=1, left=1, runs_closed=1)
    assert len(list((site.staging / "quarantine").iterdir())) == 1


def test_a_full_catalog_is_waited_for(site: Site) -> None:
    site.record(end=False)
    site.ingest.dies_at = "full"
    with pytest.raises(StorageFull):
        site.recover([site.stream])
    site.ingest.dies_at = ""
    assert site.recover([site.stream]).adopted == 1  # it has its mark by now
    assert site.parts == []


def test_a_run_left_open_ends_where_its_last_segment_ends(site: Site) -> None:
    site.ingest.dies_at = "close"
    site.record()
    (row,) = site.hall.segments(site.stream)
    assert site.recover([site.stream]) == Recovered(runs_closed=1)
    (run,) = site.hall.rows(tables.run)
    assert (run.end, run.t1_us) == (RunEnd.CRASH, row.t1_us)


def test_a_file_that_had_just_begun_is_no_riddle_for_anybody(site: Site) -> None:
    """A cut had just been made, or a power cut took all: there is nothing in it that somebody should look at."""
    site.record(end=False)
    (part,) = site.parts
    os.truncate(part, read_fragments_of(part)[0].start)
    (part.parent / f"{uuid4()}.part").touch()
    assert site.recover([site.stream]) == Recovered(empty=2, runs_closed=1)
    (run,) = site.hall.rows(tables.run)
    assert (run.end, run.t1_us) == (RunEnd.CRASH, run.t0_us)
    assert site.parts == []


def test_bytes_that_cannot_be_committed_are_kept_apart(site: Site) -> None:
    folder = site.staging / str(site.stream)
    folder.mkdir(parents=True)
    (folder / f"{uuid4()}.part").write_bytes(b"not a recording")
    assert site.recover([site.stream]) == Recovered(quarantined=1)
    (kept,) = (site.staging / "quarantine").iterdir()
    assert kept.read_bytes() == b"not a recording"


# --- recovery while new recording goes on ----
def later(seconds: int, frames: tuple[AccessUnit, ...] = ()) -> tuple[AccessUnit, ...]:
    """The same pictures, so much later."""
    return tuple(
        replace(unit, arrival_us=unit.arrival_us + seconds * US, arrival_s=unit.arrival_s + seconds)
        for unit in frames or units("h264")
    )


class NewRecording:
    """The next process: it records at once, and its rows wait."""

    def __init__(self, site: Site, segment_s: float = 2.0) -> None:
        self.disk = DiskWriter(
            DiskSettings(site.staging), DiskPlacement(site.store), site.ingest, FakeGuard(), site.hall.clock
        )
        self.segmenter = Segmenter(site.stream, self.disk.channel(site.stream), site.hall.clock, segment_s)
        self.disk.hold_rows()
        self.disk.start()

    def written(self, site: Site, count: int) -> None:
        """Wait until the disk has so many new frames."""
        site.hall.wait(lambda: sum(_frames(path) for path in site.parts) >= count)


def _frames(path: Path) -> int:
    try:
        return sum(len(fragment.samples) for fragment in read_fragments_of(path))
    except (MediaError, FileNotFoundError):
        return 0


def expect_one_crash_gap(site: Site) -> None:
    """Two runs, and between them exactly the time that is in no file."""
    first, second = sorted(site.hall.rows(tables.run), key=lambda row: row.t0_us)
    rows = site.hall.segments(site.stream)
    old, new = ([row for row in rows if row.run_id == each.id] for each in (first, second))
    assert (first.end, first.t1_us, second.t0_us) == (RunEnd.CRASH, old[-1].t1_us, new[0].t0_us)
    gaps = [(row.reason, row.t0_us, row.t1_us) for row in site.hall.rows(tables.gap)]
    assert gaps[0] == (GapReason.CRASH, old[-1].t1_us, new[0].t0_us)
    assert [reason for reason, *_ in gaps[1:]] in ([], [GapReason.MAINTENANCE])
    assert sum(row.frames for row in old) == 99
    assert verify(site.hall.catalog, {"disk": site.store}, Level.HASH).status == 0
    assert site.parts == []


def test_the_gap_lies_right_although_new_recording_began_before_the_old_was_recovered(site: Site) -> None:
    site.record(end=False)
    found = site.recovery.find([site.stream])
    new = NewRecording(site)
    frames = later(20, units("h264", seconds=12))
    feed(new.segmenter, frames)
    new.segmenter.end(RunEnd.STOPPED)
    new.written(site, 99 + len(frames))
    assert site.hall.segments(site.stream) == []
    assert site.recovery.run(found) == Recovered(salvaged=1, runs_closed=1)
    assert len(site.hall.rows(tables.run)) == 1  # nothing of the new process is known yet
    new.disk.allow_rows()
    new.disk.stop()
    expect_one_crash_gap(site)
    assert sum(row.frames for row in site.hall.segments(site.stream)) == 99 + len(frames)


def test_recovery_touches_no_file_of_the_process_that_records(site: Site) -> None:
    site.record(end=False)
    found = site.recovery.find([site.stream])
    new = NewRecording(site)
    feed(new.segmenter, later(20))
    new.written(site, 99 + 99)
    assert site.recovery.run(found) == Recovered(salvaged=1, runs_closed=1)
    feed_rest = later(24)
    feed(new.segmenter, tuple(replace(unit, dts=unit.dts + 360_000, pts=unit.pts + 360_000) for unit in feed_rest))
    new.segmenter.end(RunEnd.STOPPED)
    new.disk.allow_rows()
    new.disk.stop()
    expect_one_crash_gap(site)
    assert sum(row.frames for row in site.hall.segments(site.stream)) == 99 + 200


def test_a_second_crash_before_the_first_was_recovered(site: Site) -> None:
    """Two generations lie in the folder; complete files of the second beside the torn one of the first."""
    site.record(end=False)
    new = NewRecording(site)
    frames = later(20, units("h264", seconds=12))
    feed(new.segmenter, frames)
    new.written(site, 99 + len(frames) - 1)
    new.disk.stop()  # rows were never allowed: as after a kill
    assert len(site.parts) >= 5
    done = site.recover([site.stream])
    assert (done.quarantined, done.left, done.salvaged) == (0, 0, len(site.hall.segments(site.stream)))
    expect_one_crash_gap_then_crash(site, len(frames) - 1)


def expect_one_crash_gap_then_crash(site: Site, frames: int) -> None:
    first, second = sorted(site.hall.rows(tables.run), key=lambda row: row.t0_us)
    assert (first.end, second.end) == (RunEnd.CRASH, RunEnd.CRASH)
    rows = site.hall.segments(site.stream)
    assert [row.t1_us for row in rows[1:-1]] == [row.t0_us for row in rows[2:]]
    closed, left = sorted(site.hall.rows(tables.gap), key=lambda row: row.t0_us)
    assert (closed.t0_us, closed.t1_us) == (rows[0].t1_us, rows[1].t0_us)
    assert (left.t0_us, left.t1_us) == (rows[-1].t1_us, None)
    assert sum(row.frames for row in rows) == 99 + frames
    assert site.parts == []


def test_recovery_that_is_broken_off_goes_on_with_what_it_had_found(site: Site) -> None:
    site.record(end=False)
    found = site.recovery.find([site.stream])
    new = NewRecording(site)
    feed(new.segmenter, later(20))
    site.ingest.dies_at = "commit"
    for _ in range(2):
        with pytest.raises(Unavailable):
            site.recovery.run(found)
    site.ingest.dies_at = ""
    assert site.recovery.run(found) == Recovered(adopted=1, runs_closed=1)  # it has its mark by now
    new.segmenter.end(RunEnd.STOPPED)
    new.disk.allow_rows()
    new.disk.stop()
    expect_one_crash_gap(site)


def test_a_stop_does_not_wait_for_all_that_is_to_be_recovered(site: Site) -> None:
    """Minutes of salvage would else cost the orderly end of what is being recorded now."""
    site.ingest.dies_at = "commit"
    site.record(end=False, segment_s=1.0)
    found = site.recovery.find([site.stream])
    assert len(found[0].files) > 2
    assert site.recovery.run(found, lambda: bool(site.hall.segments(site.stream))).unfinished
    assert len(site.hall.segments(site.stream)) == 1
    assert [row.t1_us for row in site.hall.rows(tables.run)] == [None]  # it did not end there
    assert not site.recovery.run(found).unfinished
    assert sum(row.frames for row in site.hall.segments(site.stream)) in (99, 100)


def test_a_stop_before_rows_were_allowed_leaves_all_files_to_the_next_start(site: Site) -> None:
    new = NewRecording(site)
    frames = units("h264", seconds=12)
    feed(new.segmenter, frames)
    new.segmenter.end(RunEnd.STOPPED)
    new.disk.stop()
    assert site.hall.rows(tables.run) == []
    site.recover([site.stream])
    assert sum(row.frames for row in site.hall.segments(site.stream)) == len(frames)
    assert verify(site.hall.catalog, {"disk": site.store}, Level.HASH).status == 0


def test_a_stop_before_anybody_could_look_tells_the_archive_nothing(site: Site) -> None:
    """Else what it says of itself comes before what an earlier process left, and closes gaps it knows nothing of."""
    site.record(end=False)
    plan = CatalogPlan(site.hall.catalog, site.hall.gateway_id, 0, 1)
    leftovers = LeftoverReport(site.staging, site.hall.catalog, site.hall.gateway_id, site.hall.clock)
    new = NewRecording(site)
    stop = threading.Event()
    stop.set()
    task = RecoveryTask(site.recovery, plan, leftovers, site.hall.clock, new.disk.allow_rows, always=True)
    task.look(stop)
    task.start()
    new.disk.channel(site.stream).open_gap(units("h264")[-1].arrival_us + US, GapReason.MAINTENANCE, "stopped")
    task.stop()
    new.disk.stop()
    assert site.hall.rows(tables.gap) == []
    assert site.recover([site.stream]) == Recovered(salvaged=1, runs_closed=1)
    assert [row.reason for row in site.hall.rows(tables.gap)] == [GapReason.CRASH]


def orphan_alarms(site: Site) -> list[tuple[str, str, bool]]:
    rows = site.hall.rows(tables.alarm, kind=AlarmKind.ORPHAN_OBJECT.value)
    return [(row.subject, row.detail, row.closed_us is None) for row in rows]


def start(site: Site, index: int = 0, count: int = 1) -> None:
    """What a worker does before it records."""
    plan = CatalogPlan(site.hall.catalog, site.hall.gateway_id, index, count)
    leftovers = LeftoverReport(site.staging, site.hall.catalog, site.hall.gateway_id, site.hall.clock)
    done = threading.Event()
    task = RecoveryTask(site.recovery, plan, leftovers, site.hall.clock, done.set, always=index == 0)
    task.look(threading.Event())
    task.start()
    assert done.wait(20)
    task.stop()


def test_what_nobody_takes_up_is_an_alarm_until_it_is_gone(site: Site) -> None:
    """A catalog restored from a backup does not know the newest camera; its recordings must not be forgotten."""
    start(site)
    assert orphan_alarms(site) == []
    stranger, empty, quarantine = (site.staging / name for name in (str(uuid4()), str(uuid4()), "quarantine"))
    for folder in (stranger, empty, quarantine, site.staging / str(site.stream)):
        folder.mkdir(parents=True)
    (stranger / f"{uuid4()}.part").write_bytes(b"footage")
    (quarantine / f"{uuid4()}.part").write_bytes(b"damaged")
    start(site)
    subject, detail = f"gateway:{site.hall.gateway_id}", '{"quarantined": "1", "unknown_streams": "1"}'
    assert orphan_alarms(site) == [(subject, detail, True)]
    assert len(list(site.staging.rglob("*.part"))) == 2
    shutil.rmtree(stranger)
    shutil.rmtree(quarantine)
    start(site)
    assert [opened for *_, opened in orphan_alarms(site)] == [False]


def test_another_worker_reports_what_it_has_set_aside_itself(site: Site) -> None:
    start(site, index=1, count=2)
    assert orphan_alarms(site) == []
    second = site.hall.add_camera("rtsp://127.0.0.1/second")
    folder = site.staging / str(second)
    folder.mkdir(parents=True)
    (folder / f"{uuid4()}.part").write_bytes(b"not a recording")
    start(site, index=1, count=2)
    assert [opened for *_, opened in orphan_alarms(site)] == [True]


def test_the_mark_is_a_second_name_of_the_part_file(tmp_path: Path) -> None:
    assert placed_mark(tmp_path / "one.part") == tmp_path / "one.placed"
