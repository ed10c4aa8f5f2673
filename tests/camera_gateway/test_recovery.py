"""What a start finds after a crash, step by step, with a real catalog and a real disk store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from camera_gateway.fmp4.salvage import inspect
from camera_gateway.recorder.disk import DiskSettings, DiskWriter, placed_mark
from camera_gateway.recorder.segmenter import Segmenter
from camera_gateway.recovery import Recovered, Recovery
from storage.archive import tables
from storage.archive.ingest import Ingest
from storage.archive.objects import DiskStore
from storage.archive.staging import DiskPlacement
from storage.errors import Unavailable
from storage.model import CameraSegment, GapReason, RunEnd
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

    def record(self, *, end: bool = True) -> None:
        """Record four seconds and stop; `end` False leaves the part file as a kill does."""
        writer = DiskWriter(
            DiskSettings(self.staging), DiskPlacement(self.store), self.ingest, FakeGuard(), self.hall.clock
        )
        segmenter = Segmenter(self.stream, writer.channel(self.stream), self.hall.clock, segment_s=1e6)
        writer.start()
        feed(segmenter, units("h264"))
        if end:
            segmenter.end(RunEnd.STOPPED)
        writer.stop(patience_s=1.0 if self.ingest.dies_at else 20.0)
        self.ingest.dies_at = ""

    @property
    def parts(self) -> list[Path]:
        return [*self.staging.rglob("*.part"), *self.staging.rglob("*.placed")]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path / "hall")
    yield made
    made.hall.close()


def test_a_part_file_is_salvaged_and_its_run_ends_as_crash(site: Site) -> None:
    site.record(end=False)
    assert len(site.parts) == 1
    assert site.recovery.run([site.stream]) == Recovered(salvaged=1, runs_closed=1)
    (row,) = site.hall.segments(site.stream)
    assert row.salvaged
    assert row.frames == 75  # the last second was not yet a fragment
    assert inspect(site.hall.object_path(row.id)).sha256 == bytes(row.sha256)
    (run,) = site.hall.rows(tables.run)
    assert (run.end, run.t1_us) == (RunEnd.CRASH, row.t1_us)
    (gap,) = site.hall.rows(tables.gap)
    assert (gap.reason, gap.t0_us, gap.t1_us) == (GapReason.CRASH, row.t1_us, None)
    assert site.parts == []
    assert site.recovery.run([site.stream]) == Recovered()


def test_a_file_that_was_placed_but_not_committed_is_adopted(site: Site) -> None:
    site.ingest.dies_at = "commit"
    site.record()
    assert [path.suffix for path in site.parts] == [".placed"]
    assert site.hall.segments(site.stream) == []
    found = site.recovery.run([site.stream])
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
    assert site.recovery.run([site.stream]).adopted == 1
    assert len(site.hall.segments(site.stream)) == 1
    assert not mark.exists()
    assert site.hall.object_path(row.id).exists()


def test_a_run_left_open_ends_where_its_last_segment_ends(site: Site) -> None:
    site.ingest.dies_at = "close"
    site.record()
    (row,) = site.hall.segments(site.stream)
    assert site.recovery.run([site.stream]) == Recovered(runs_closed=1)
    (run,) = site.hall.rows(tables.run)
    assert (run.end, run.t1_us) == (RunEnd.CRASH, row.t1_us)


def test_bytes_that_cannot_be_committed_are_kept_apart(site: Site) -> None:
    folder = site.staging / str(site.stream)
    folder.mkdir(parents=True)
    (folder / f"{uuid4()}.part").write_bytes(b"not a recording")
    assert site.recovery.run([site.stream]) == Recovered(quarantined=1)
    (kept,) = (site.staging / "quarantine").iterdir()
    assert kept.read_bytes() == b"not a recording"


def test_the_mark_is_a_second_name_of_the_part_file(tmp_path: Path) -> None:
    assert placed_mark(tmp_path / "one.part") == tmp_path / "one.placed"
