"""Room on disk: the refusal, the two alarms, and what is left of a crash."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn
from uuid import UUID

import pytest
from sqlalchemy import select

from storage.archive import tables
from storage.archive.alarms import close_alarm, is_open, open_alarm
from storage.archive.ingest import Ingest
from storage.archive.objects import DiskStore
from storage.archive.recovery import Orphan, made_us, orphans, scan_orphans, settle_orphan
from storage.archive.retention import Retention
from storage.archive.space import DiskGuard, DiskVolume, FakeVolume, SpaceRules
from storage.archive.staging import DiskPlacement, StagingFolder, gateway_of, staging_location
from storage.errors import NotFound, ObjectMissing, StorageFull, Unavailable
from storage.ids import new_id
from storage.model import AlarmKind
from tests.fakes.archive import MINUTE, Hall

MIB = 1 << 20
RULES = SpaceRules(reserve_bytes=100 * MIB, horizon_s=3600, window_s=600, least_s=180)


def guard(hall: Hall, volume: FakeVolume) -> DiskGuard:
    return DiskGuard(volume, hall.catalog, hall.clock, RULES, "gateway:1")


def open_kinds(hall: Hall) -> set[str]:
    with hall.catalog.read() as conn:
        return set(conn.execute(select(tables.alarm.c.kind).where(tables.alarm.c.closed_us.is_(None))).scalars())


def test_recording_is_refused_before_the_reserve_is_touched(any_hall: Hall) -> None:
    volume = FakeVolume(1000 * MIB, 104 * MIB)
    disk = guard(any_hall, volume)
    disk.admit(4 * MIB)
    with pytest.raises(StorageFull) as refused:
        disk.admit(4 * MIB + 1)
    assert refused.value.code == "disk_full"
    assert open_kinds(any_hall) == {"disk_full"}
    volume.free_bytes = 300 * MIB
    disk.check()
    disk.admit(8 * MIB)
    assert open_kinds(any_hall) == set()


def test_a_fall_of_a_minute_is_no_forecast(any_hall: Hall) -> None:
    volume = FakeVolume(10_000 * MIB, 2000 * MIB)
    disk = guard(any_hall, volume)
    disk.check()
    any_hall.clock.advance(60)
    volume.free_bytes -= 1000 * MIB
    disk.check()
    assert open_kinds(any_hall) == set()


def test_the_forecast_warns_long_before(any_hall: Hall) -> None:
    volume = FakeVolume(10_000 * MIB, 2000 * MIB)
    disk = guard(any_hall, volume)
    for _ in range(5):  # 60 MiB a minute: the reserve is half an hour away
        disk.check()
        any_hall.clock.advance(60)
        volume.free_bytes -= 60 * MIB
    disk.check()
    assert open_kinds(any_hall) == {"disk_forecast"}
    for _ in range(12):  # retention keeps pace: free space does not fall any more
        any_hall.clock.advance(60)
        disk.check()
    assert open_kinds(any_hall) == set()


def test_an_alarm_that_could_not_be_written_is_written_at_the_next_look(
    any_hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked() -> NoReturn:
        raise Unavailable("catalog_busy", "somebody keeps the catalog locked")

    volume = FakeVolume(10_000 * MIB, 50 * MIB)
    disk = guard(any_hall, volume)
    with monkeypatch.context() as patched:
        patched.setattr(any_hall.catalog, "write", locked)
        with pytest.raises(Unavailable):
            disk.check()
    disk.check()
    assert open_kinds(any_hall) == {"disk_full"}
    volume.free_bytes = 5000 * MIB
    with monkeypatch.context() as patched:
        patched.setattr(any_hall.catalog, "write", locked)
        with pytest.raises(Unavailable):
            disk.check()
    disk.check()
    assert open_kinds(any_hall) == set()


def test_a_slow_fall_is_no_alarm(any_hall: Hall) -> None:
    volume = FakeVolume(10_000 * MIB, 9000 * MIB)
    disk = guard(any_hall, volume)
    for _ in range(20):
        disk.check()
        any_hall.clock.advance(60)
        volume.free_bytes -= MIB
    assert open_kinds(any_hall) == set()


def test_a_real_volume_answers(tmp_path: Path) -> None:
    usage = DiskVolume(tmp_path).usage()
    assert 0 < usage.free_bytes <= usage.total_bytes


# --- alarms ----
def test_an_alarm_is_one_row_while_it_lasts(any_hall: Hall) -> None:
    clock, subject = any_hall.clock, "camera:1"
    for count in range(3):
        with any_hall.catalog.write() as conn:
            open_alarm(conn, clock, AlarmKind.CAMERA_OFFLINE, subject, {"try": count})
    with any_hall.catalog.write() as conn:
        assert is_open(conn, AlarmKind.CAMERA_OFFLINE, subject)
        assert not is_open(conn, AlarmKind.CAMERA_OFFLINE, "camera:2")
        assert close_alarm(conn, clock, AlarmKind.CAMERA_OFFLINE, subject)
        assert not close_alarm(conn, clock, AlarmKind.CAMERA_OFFLINE, subject)
        clock.advance(1)
        open_alarm(conn, clock, AlarmKind.CAMERA_OFFLINE, subject)
    with any_hall.catalog.read() as conn:
        rows = conn.execute(tables.alarm.select().order_by(tables.alarm.c.opened_us)).mappings().all()
    assert [(row["count"], row["detail"], row["closed_us"] is None) for row in rows] == [
        (3, '{"try": 2}', False),
        (1, "{}", True),
    ]


# --- placement ----
def test_a_part_file_becomes_an_object_by_renaming(small_hall: Hall, tmp_path: Path) -> None:
    store = DiskStore(tmp_path / "objects")
    part, segment_id = tmp_path / "x.part", new_id(small_hall.clock)
    part.write_bytes(b"media")
    assert DiskPlacement(store).place(segment_id, part) == "disk"
    assert b"".join(store.read(segment_id)) == b"media"
    assert not part.exists()


def test_staging_knows_its_gateway(small_hall: Hall, tmp_path: Path) -> None:
    staging = StagingFolder(tmp_path / "s", small_hall.gateway_id)
    assert gateway_of(staging.location) == small_hall.gateway_id
    assert gateway_of("s3") is None
    assert staging_location(small_hall.gateway_id) == staging.location
    with pytest.raises(ObjectMissing):
        staging.size(small_hall.main_id)
    with pytest.raises(ObjectMissing, match="not this one"):
        staging.read_staged(small_hall.main_id, small_hall.main_id, 0, None)


# --- orphans ----
def make_orphan(hall: Hall, store: DiskStore) -> UUID:
    object_id = new_id(hall.clock)
    store.put_bytes(object_id, b"orphan")
    return object_id


def test_orphans_are_found_reported_and_never_deleted(any_hall: Hall, tmp_path: Path) -> None:
    store = DiskStore(tmp_path / "objects")
    ingest = Ingest(any_hall.catalog, any_hall.clock, "g")
    known = any_hall.record(ingest, store, 2)
    lost = make_orphan(any_hall, store)
    any_hall.clock.advance(3601)
    young = make_orphan(any_hall, store)
    assert scan_orphans(any_hall.catalog, {"disk": store}, any_hall.clock) == 1
    assert scan_orphans(any_hall.catalog, {"disk": store}, any_hall.clock) == 0
    with any_hall.catalog.read() as conn:
        (found,) = orphans(conn)
    assert (found.object_id, found.location, found.size_bytes) == (lost, "disk", 6)
    assert open_kinds(any_hall) == {"orphan_object"}
    assert {segment.id for segment in known} | {lost, young} == set(store.ids())
    settle_orphan(any_hall.catalog, any_hall.clock, found, "quarantined")
    assert open_kinds(any_hall) == set()
    assert store.size(lost) == 6


def test_a_committed_object_without_its_row_can_be_adopted(any_hall: Hall, tmp_path: Path) -> None:
    """The crash came between "object synced" and "row committed"."""
    store, t0 = DiskStore(tmp_path / "objects"), any_hall.clock.now_us()
    ingest = Ingest(any_hall.catalog, any_hall.clock, "g")
    segment = any_hall.segment(ingest.open_run(any_hall.main_id, t0), t0, t0 + MINUTE, b"media")
    store.put_bytes(segment.id, b"media")
    any_hall.clock.advance(7200)
    assert scan_orphans(any_hall.catalog, {"disk": store}, any_hall.clock) == 1
    with any_hall.catalog.read() as conn:
        (found,) = orphans(conn)
    assert ingest.commit_segment(segment, found.location)
    settle_orphan(any_hall.catalog, any_hall.clock, found, "adopted")
    with any_hall.catalog.read() as conn:
        assert orphans(conn) == []
    missing = Orphan(any_hall.main_id, "disk", 1)
    with pytest.raises(NotFound):
        settle_orphan(any_hall.catalog, any_hall.clock, missing, "adopted")


def test_an_orphan_whose_row_comes_late_is_settled_by_it(any_hall: Hall, tmp_path: Path) -> None:
    """The catalog was away for longer than an hour between "object synced" and "row committed"."""
    store, t0 = DiskStore(tmp_path / "objects"), any_hall.clock.now_us()
    ingest = Ingest(any_hall.catalog, any_hall.clock, "g")
    segment = any_hall.segment(ingest.open_run(any_hall.main_id, t0), t0, t0 + MINUTE, b"media")
    store.put_bytes(segment.id, b"media")
    any_hall.clock.advance(7200)
    assert scan_orphans(any_hall.catalog, {"disk": store}, any_hall.clock) == 1
    ingest.commit_segment(segment, "disk")
    assert scan_orphans(any_hall.catalog, {"disk": store}, any_hall.clock) == 0
    with any_hall.catalog.read() as conn:
        assert orphans(conn) == []
    assert open_kinds(any_hall) == set()


def test_what_retention_marked_is_no_orphan(any_hall: Hall, tmp_path: Path) -> None:
    class Stuck(DiskStore):
        def delete(self, object_id: UUID) -> None:
            raise PermissionError(str(object_id))

    store = Stuck(tmp_path / "objects")
    any_hall.record(Ingest(any_hall.catalog, any_hall.clock, "g"), store, 2)
    any_hall.clock.advance(31 * 24 * 3600)
    assert Retention(any_hall.catalog, {"disk": store}, any_hall.clock).run_once().failed_objects == 2
    assert scan_orphans(any_hall.catalog, {"disk": store}, any_hall.clock) == 0


def test_an_id_says_when_it_was_made(small_hall: Hall) -> None:
    assert made_us(new_id(small_hall.clock)) == small_hall.clock.now_us() // 1000 * 1000
