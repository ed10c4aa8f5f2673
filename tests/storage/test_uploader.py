"""From staging to S3: nothing staged goes before its verified copy is what the row points at."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select

from storage.archive import tables
from storage.archive.catalog import Catalog
from storage.archive.ingest import Ingest
from storage.archive.media import MediaReader
from storage.archive.objects import MemoryStore, ObjectStore
from storage.archive.periodic import Periodic
from storage.archive.s3 import S3Store, make_client
from storage.archive.staging import StagingFolder
from storage.archive.uploader import Uploader
from storage.archive.verify import Level, verify
from storage.errors import (
    ConfigurationError,
    Conflict,
    ObjectDamaged,
    StaleEpoch,
    StorageFull,
    SunhallError,
    Unavailable,
)
from storage.lifecycle import PROGRAMMING_ERROR
from storage.model import CameraSegment
from tests.fakes.archive import MINUTE, Hall
from tests.peers.ceph import ACCESS_KEY, SECRET_KEY, S3Server

ROOT = Path(__file__).parents[2]


class Killed(BaseException):
    """The process dies here."""


class Bench:
    """A hall on S3: recorded segments wait in a staging folder."""

    def __init__(self, hall: Hall, folder: Path, store: ObjectStore) -> None:
        self.hall, self.store = hall, store
        self.staging = StagingFolder(folder / "staging", hall.gateway_id)
        self.ingest = Ingest(hall.catalog, hall.clock, "g")
        self.folder = folder

    def uploader(self, **other: object) -> Uploader:
        parts = {"staging": self.staging, "store": self.store, "ingest": self.ingest} | other
        return Uploader(self.hall.catalog, clock=self.hall.clock, **parts)  # type: ignore[arg-type]  # one of ours each

    def record(self, minutes: int) -> list[CameraSegment]:
        run = self.ingest.open_run(self.hall.main_id, self.hall.clock.now_us())
        made = []
        for number in range(minutes):
            data = f"segment {number}".encode() * 1000
            segment = self.hall.segment(run, self.hall.clock.now_us(), self.hall.clock.now_us() + MINUTE, data)
            part = self.folder / f"{number}.part"
            part.write_bytes(data)
            location = self.staging.place(segment.id, part)
            assert not part.exists()
            self.ingest.commit_segment(segment, location)
            self.hall.clock.advance(60)
            made.append(segment)
        return made

    def locations(self) -> set[str]:
        with self.hall.catalog.read() as conn:
            return set(conn.execute(select(tables.segment.c.location)).scalars())

    def alarms(self) -> list[tuple[str, bool]]:
        with self.hall.catalog.read() as conn:
            rows = conn.execute(select(tables.alarm.c.kind, tables.alarm.c.closed_us).order_by(tables.alarm.c.id))
            return [(row.kind, row.closed_us is None) for row in rows]

    def readable(self, segments: list[CameraSegment]) -> None:
        """Every segment can be read in full, wherever it is now."""
        reader = MediaReader(self.hall.catalog, {self.store.location: self.store}, self.staging)
        for number, segment in enumerate(segments):
            assert b"".join(reader.open("segment", segment.id)) == f"segment {number}".encode() * 1000

    def settled(self, segments: list[CameraSegment]) -> None:
        """All arrived: rows at the store, nothing staged, every byte verified."""
        self.readable(segments)
        assert self.locations() == {self.store.location}
        assert list(self.staging.ids()) == []
        assert self.staging.total_bytes() == 0
        assert verify(self.hall.catalog, {self.store.location: self.store}, Level.HASH).status == 0


@pytest.fixture
def bench(small_hall: Hall, tmp_path: Path) -> Bench:
    return Bench(small_hall, tmp_path, MemoryStore("s3"))


def test_staged_segments_reach_the_store_and_only_then_leave(bench: Bench) -> None:
    segments = bench.record(3)
    assert bench.locations() == {f"staging:{bench.hall.gateway_id}"}
    bench.readable(segments)
    assert bench.uploader().run_once() == 3
    bench.settled(segments)
    assert bench.uploader().run_once() == 0


def test_more_than_a_page(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.archive.uploader.BATCH", 2)
    segments = bench.record(5)
    assert bench.uploader().run_once() == 5
    bench.settled(segments)


# --- killed between each step ----
class DyingStore(MemoryStore):
    """Dies before or after the copy, or while it is read back."""

    def __init__(self, where: str) -> None:
        super().__init__("s3")
        self.where = where

    def put_file(self, object_id: UUID, path: Path) -> None:
        self._die("before copy")
        super().put_file(object_id, path)
        self._die("after copy")

    def _die(self, where: str) -> None:
        if self.where == where:
            self.where = ""
            raise Killed


class DyingIngest(Ingest):
    """Dies before or after the relocation."""

    where = ""

    def relocate(self, segment_id: UUID, old: str, new: str) -> bool:
        if self.where == "before relocation":
            raise Killed
        done = super().relocate(segment_id, old, new)
        if self.where == "after relocation":
            raise Killed
        return done


class DyingFolder(StagingFolder):
    """Dies just before a staged file is removed."""

    def remove(self, segment_id: UUID) -> None:
        raise Killed(segment_id)


@pytest.mark.parametrize(
    "where", ["before copy", "after copy", "before relocation", "after relocation", "before removal"]
)
def test_a_kill_between_any_two_steps_is_harmless(small_hall: Hall, tmp_path: Path, where: str) -> None:
    bench = Bench(small_hall, tmp_path, DyingStore(where))
    segments = bench.record(2)
    ingest = DyingIngest(small_hall.catalog, small_hall.clock, "g")
    ingest.where = where
    staging = bench.staging
    if where == "before removal":
        staging = DyingFolder(bench.staging.root, small_hall.gateway_id)
    with pytest.raises(Killed):
        bench.uploader(ingest=ingest, staging=staging).run_once()
    bench.readable(segments)
    bench.uploader().run_once()
    bench.settled(segments)


# --- faults ----
def test_a_copy_damaged_on_its_way_is_never_pointed_at_and_is_replaced(bench: Bench) -> None:
    class Damaging(MemoryStore):
        damaged = False

        def put_file(self, object_id: UUID, path: Path) -> None:
            super().put_file(object_id, path)
            if not self.damaged:
                self.damaged = True
                self.objects[object_id] = b"damaged"

    bench.store = Damaging("s3")
    segments = bench.record(1)
    with pytest.raises(ObjectDamaged):
        bench.uploader().run_once()
    assert bench.locations() == {bench.staging.location}
    assert bench.uploader().run_once() == 1
    bench.settled(segments)


def test_a_damaged_staged_file_is_kept_reported_and_blocks_nobody(bench: Bench) -> None:
    first, second = bench.record(2)
    bench.staging.path(first.id).write_bytes(b"rotten")
    assert bench.uploader().run_once() == 1
    assert bench.alarms() == [("chain_broken", True)]
    assert list(bench.staging.ids()) == [first.id]
    assert isinstance(bench.store, MemoryStore)
    assert set(bench.store.objects) == {second.id}


def test_a_file_without_a_row_is_left_alone(bench: Bench) -> None:
    orphan = bench.staging.path(bench.hall.main_id)
    orphan.write_bytes(b"nobody's")
    bench.uploader().run_once()
    assert orphan.exists()


def test_no_retry_hides_a_full_store(bench: Bench) -> None:
    class Full(MemoryStore):
        def put_file(self, object_id: UUID, path: Path) -> None:
            raise StorageFull("disk_full", f"{object_id} {path}")

    segments = bench.record(1)
    with pytest.raises(StorageFull):
        bench.uploader(store=Full("s3")).run_once()
    bench.readable(segments)


@pytest.mark.parametrize(
    "fault", [StorageFull("disk_full"), ConfigurationError("bucket_refused")], ids=lambda f: f.code
)
def test_a_store_that_takes_nothing_is_an_alarm_whatever_the_cause(bench: Bench, fault: SunhallError) -> None:
    class Refusing(MemoryStore):
        def put_file(self, object_id: UUID, path: Path) -> None:
            raise fault

    segments = bench.record(1)
    with pytest.raises(type(fault)):
        bench.uploader(store=Refusing("s3")).run_once()
    assert bench.alarms() == [("object_store_away", True)]
    assert bench.uploader().run_once() == 1
    assert bench.alarms() == [("object_store_away", False)]
    bench.settled(segments)


def test_one_segment_that_cannot_be_copied_keeps_no_other_from_the_store(bench: Bench) -> None:
    class Refusing(MemoryStore):
        def put_file(self, object_id: UUID, path: Path) -> None:
            if object_id == first.id:
                raise Conflict("object_locked")
            super().put_file(object_id, path)

    bench.store = Refusing("s3")
    first, second = bench.record(2)
    with pytest.raises(Conflict):
        bench.uploader().run_once()
    bench.readable([first, second])
    assert list(bench.staging.ids()) == [first.id]


@pytest.mark.parametrize(
    "fault", [ConfigurationError("bucket_refused"), Conflict("object_locked")], ids=lambda f: f.code
)
def test_no_fault_of_a_peer_ends_the_part(bench: Bench, fault: SunhallError) -> None:
    faults = [fault, fault]

    def once() -> None:
        if faults:
            raise faults.pop()
        part.stop()

    part = Periodic("uploader", once, bench.hall.clock, interval_s=5.0)
    part.run()
    assert faults == []


def test_the_alarm_opens_once_and_closes_when_the_store_is_back(bench: Bench) -> None:
    assert isinstance(bench.store, MemoryStore)
    segments = bench.record(2)
    bench.store.away = True
    for _ in range(3):
        with pytest.raises(Unavailable):
            bench.uploader().run_once()
    assert bench.alarms() == [("object_store_away", True)]
    bench.store.away = False
    assert bench.uploader().run_once() == 2
    assert bench.alarms() == [("object_store_away", False)]
    bench.settled(segments)


def test_an_hour_without_the_store_is_kept_read_and_caught_up(bench: Bench) -> None:
    assert isinstance(bench.store, MemoryStore)
    bench.store.away = True
    segments = bench.record(60)
    for _ in range(60):
        with pytest.raises(Unavailable):
            bench.uploader().run_once()
    assert bench.alarms() == [("object_store_away", True)]
    assert len(list(bench.staging.ids())) == 60
    bench.readable(segments)
    bench.store.away = False
    assert bench.uploader().run_once() == 60
    assert bench.alarms() == [("object_store_away", False)]
    bench.settled(segments)


def test_the_part_retries_with_growing_pauses_of_the_clock(bench: Bench) -> None:
    store, clock = bench.store, bench.hall.clock
    assert isinstance(store, MemoryStore)
    segments = bench.record(1)
    store.away, tries = True, 0
    clock.slept.clear()

    def once() -> None:
        nonlocal tries
        tries += 1
        store.away = tries < 9
        try:
            bench.uploader().run_once()
        finally:
            if tries == 10:
                part.stop()

    part = Periodic("uploader", once, clock, interval_s=5.0)
    part.run()
    assert clock.slept == [1, 2, 4, 8, 16, 32, 60, 60, 5]
    bench.settled(segments)


def test_a_programming_error_ends_the_process_so_that_it_is_started_again() -> None:
    code = (
        "import threading\n"
        "from storage.archive.periodic import Periodic\n"
        "from storage.clock import SystemClock\n"
        "from storage.lifecycle import end_on_programming_errors\n"
        "with end_on_programming_errors():\n"
        "    Periodic('broken', lambda: 1 / 0, SystemClock(), interval_s=1.0).start()\n"
        "    threading.Event().wait(50)"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, timeout=60, check=False)
    assert ended.returncode == PROGRAMMING_ERROR
    assert b"thread_died" in ended.stderr


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_programming_error_ends_the_part_loudly(bench: Bench) -> None:
    def once() -> None:
        raise KeyError("bug")

    part = Periodic("broken", once, bench.hall.clock, interval_s=1.0)
    part.start()
    with pytest.raises(KeyError, match="bug"):
        part.stop()


def test_a_started_part_works_and_stops(bench: Bench) -> None:
    segments = bench.record(2)
    part = Periodic("uploader", bench.uploader().run_once, bench.hall.clock, interval_s=0.0)
    part.start()
    while bench.locations() != {"s3"}:
        pass
    part.stop()
    bench.settled(segments)


@pytest.mark.parametrize("fault", [Conflict("object_locked"), StaleEpoch("epoch_stale")], ids=lambda f: f.code)
def test_other_faults_go_on_up_with_the_file_kept(bench: Bench, fault: Exception) -> None:
    class Refusing(MemoryStore):
        def put_file(self, object_id: UUID, path: Path) -> None:
            raise fault

    segments = bench.record(1)
    with pytest.raises(type(fault)):
        bench.uploader(store=Refusing("s3")).run_once()
    bench.readable(segments)


# --- against the real thing ----
@pytest.mark.peer
def test_s3_goes_away_for_a_while_and_returns(any_hall: Hall, tmp_path: Path, s3_server: S3Server) -> None:
    client = make_client(s3_server.endpoint, ACCESS_KEY, SECRET_KEY, secure=False)
    bench = Bench(any_hall, tmp_path, S3Store(client, s3_server.bucket(object_lock=True)))
    early = bench.record(2)
    assert bench.uploader().run_once() == 2
    s3_server.stop_s3()
    try:
        bench.record(2)
        with pytest.raises(Unavailable):
            bench.uploader().run_once()
        assert bench.locations() == {"s3", bench.staging.location}
        assert bench.alarms() == [("object_store_away", True)]
        assert len(list(bench.staging.ids())) == 2
    finally:
        s3_server.start_s3()
    assert bench.uploader().run_once() == 2
    assert bench.alarms() == [("object_store_away", False)]
    assert bench.locations() == {"s3"}
    assert list(bench.staging.ids()) == []
    bench.readable(early)
    assert verify(any_hall.catalog, {"s3": bench.store}, Level.HASH).status == 0


def test_the_reader_follows_an_object_that_moves_under_it(bench: Bench) -> None:
    """The uploader finishes between the reader's look-up and its first byte."""

    class Slow(StagingFolder):
        def read_staged(self, gateway_id: UUID, object_id: UUID, start: int, length: int | None):  # type: ignore[no-untyped-def]
            bench.uploader().run_once()
            return super().read_staged(gateway_id, object_id, start, length)

    (segment,) = bench.record(1)
    slow = Slow(bench.staging.root, bench.hall.gateway_id)
    catalog: Catalog = bench.hall.catalog
    reader = MediaReader(catalog, {"s3": bench.store}, slow)
    assert b"".join(reader.open("segment", segment.id, 8, 5)) == b"0segm"
