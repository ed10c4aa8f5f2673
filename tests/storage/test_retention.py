"""The way out of the archive: what may go, what stays, and that every fault leaves it mendable."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, insert, select

from storage.archive import queries, tables
from storage.archive.holds import HoldSubject, place_hold, release_hold
from storage.archive.ingest import Ingest
from storage.archive.objects import MemoryStore
from storage.archive.retention import Retention, RetentionRules
from storage.archive.space import FakeVolume
from storage.archive.verify import Level, verify
from storage.clock import US
from storage.errors import Conflict, Unavailable
from storage.ids import new_id
from storage.model import CameraSegment, Span
from tests.fakes.archive import MINUTE, Hall

DAY = 24 * 3600 * US


class Killed(BaseException):
    """The process dies here."""


class FaultyStore(MemoryStore):
    """A store that refuses or dies at a chosen deletion."""

    def __init__(self) -> None:
        super().__init__()
        self.fail_next: BaseException | None = None
        self.die_after_delete = False

    def delete(self, object_id: UUID) -> None:
        if self.fail_next is not None:
            failure, self.fail_next = self.fail_next, None
            raise failure
        super().delete(object_id)
        if self.die_after_delete:
            raise Killed


@pytest.fixture
def store() -> FaultyStore:
    return FaultyStore()


def retention(hall: Hall, store: MemoryStore, **rules: int) -> Retention:
    return Retention(hall.catalog, {store.location: store}, hall.clock, RetentionRules(**rules))


def record(hall: Hall, store: MemoryStore, minutes: int) -> list[CameraSegment]:
    return hall.record(Ingest(hall.catalog, hall.clock, "g"), store, minutes)


def settings(hall: Hall, **values: int) -> None:
    with hall.catalog.write() as conn:
        conn.execute(tables.hall.update().values(**values))


def all_ids(hall: Hall) -> set[UUID]:
    with hall.catalog.read() as conn:
        return set(conn.execute(select(tables.segment.c.id)).scalars())


def marks(hall: Hall) -> int:
    with hall.catalog.read() as conn:
        return int(conn.execute(select(func.count()).select_from(tables.garbage)).scalar_one())


def deletions(hall: Hall) -> list[Mapping[str, Any]]:
    with hall.catalog.read() as conn:
        rows = conn.execute(select(tables.leaf.c.body).where(tables.leaf.c.kind == "delete"))
        return [json.loads(bytes(row.body)) for row in rows]


def assert_sound(hall: Hall, store: MemoryStore) -> None:
    """Chains, rows and objects agree, and there is no object that no row or mark knows."""
    assert list(verify(hall.catalog, {store.location: store}, Level.HASH).findings) == []
    with hall.catalog.read() as conn:
        marked = set(conn.execute(select(tables.garbage.c.object_id)).scalars())
        screens = set(conn.execute(select(tables.screen_segment.c.id)).scalars())
    assert set(store.objects) <= all_ids(hall) | screens | marked


# --- by age ----
def test_what_is_too_old_goes_with_a_leaf_each_and_the_rest_stays(any_hall: Hall, store: FaultyStore) -> None:
    old = record(any_hall, store, 3)
    any_hall.clock.advance(29 * 24 * 3600)
    new = record(any_hall, store, 2)
    any_hall.clock.advance(24 * 3600)
    report = retention(any_hall, store).run_once()
    assert (report.removed_rows, report.deleted_objects, report.failed_objects) == (3, 3, 0)
    assert all_ids(any_hall) == {segment.id for segment in new} == set(store.objects)
    assert {leaf["id"] for leaf in deletions(any_hall)} == {str(segment.id) for segment in old}
    assert {leaf["rule"] for leaf in deletions(any_hall)} == {"age"}
    with any_hall.catalog.read() as conn:
        (removed,) = conn.execute(select(tables.removed)).all()
        span = Span(old[0].t0_us, old[-1].t1_us)
        assert [x.state for x in queries.camera_coverage(conn, any_hall.main_id, span, 1 << 60)] == ["removed"]
    assert (removed.t0_us, removed.t1_us) == (old[0].t0_us, old[-1].t1_us)
    assert_sound(any_hall, store)


def keep(hall: Hall, *, days: int = 0, class_days: int = 0) -> None:
    """Give the camera a plan with keeping rules."""
    values: dict[str, Any] = {"mode": "always", "streams": "auto", "updated_us": 1, "keep_days": days}
    with hall.catalog.write() as conn:
        if class_days:
            values["retention_class_id"] = class_id = new_id(hall.clock)
            about = {"hall_id": hall.hall_id, "name": "重点部位", "days": class_days, "created_us": 1}
            conn.execute(insert(tables.retention_class).values(id=class_id, **about))
        conn.execute(insert(tables.recording_plan).values(channel_id=hall.channel_id, **values))


@pytest.mark.parametrize(
    ("days", "class_days", "kept_days"), [(45, 0, 45), (0, 90, 90), (45, 90, 90), (90, 45, 90), (7, 0, 30), (7, 3, 30)]
)
def test_the_longest_of_a_camera_s_rules_and_the_hall_s_wins(
    any_hall: Hall, store: FaultyStore, days: int, class_days: int, kept_days: int
) -> None:
    keep(any_hall, days=days, class_days=class_days)
    kept = record(any_hall, store, 2)
    any_hall.clock.wall_us = kept[-1].t0_us + kept_days * DAY
    assert retention(any_hall, store).run_once().removed_rows == 1  # the first one is that old now
    assert all_ids(any_hall) == {kept[1].id}
    any_hall.clock.advance(60)
    assert retention(any_hall, store).run_once().removed_rows == 1
    assert_sound(any_hall, store)


def test_the_quota_takes_what_no_rule_keeps_before_what_one_does(any_hall: Hall, store: FaultyStore) -> None:
    keep(any_hall, days=365)
    record(any_hall, store, 3)
    t0, ingest = any_hall.clock.now_us(), Ingest(any_hall.catalog, any_hall.clock, "c")
    screen = any_hall.screen(t0, t0 + MINUTE, b"pictures")  # the youngest of all, and kept by no camera's rule
    ingest.take_screen(store, screen, [t0], b"pictures")
    with any_hall.catalog.read() as conn:
        whole = int(conn.execute(select(func.sum(tables.stored.c.bytes))).scalar_one())
    settings(any_hall, quota_bytes=whole - 1)
    assert retention(any_hall, store).run_once().removed_rows == 1
    assert len(all_ids(any_hall)) == 3
    settings(any_hall, quota_bytes=1)
    assert retention(any_hall, store).run_once().unmet_bytes == 0
    assert all_ids(any_hall) == set()
    assert_sound(any_hall, store)


def test_screens_have_their_own_age(any_hall: Hall, store: FaultyStore) -> None:
    ingest, t0 = Ingest(any_hall.catalog, any_hall.clock, "c"), any_hall.clock.now_us()
    screen = any_hall.screen(t0, t0 + MINUTE, b"pictures")
    ingest.take_screen(store, screen, [t0], b"pictures")
    record(any_hall, store, 1)
    any_hall.clock.advance(89 * 24 * 3600)
    assert retention(any_hall, store).run_once().removed_rows == 1
    assert set(store.objects) == {screen.id}
    any_hall.clock.advance(2 * 24 * 3600)
    assert retention(any_hall, store).run_once().removed_rows == 1
    assert store.objects == {}
    assert_sound(any_hall, store)


def test_many_old_rows_go_in_batches(small_hall: Hall, store: FaultyStore) -> None:
    record(small_hall, store, 23)
    small_hall.clock.advance(31 * 24 * 3600)
    assert retention(small_hall, store, batch=5).run_once().deleted_objects == 23
    assert_sound(small_hall, store)


# --- what stays ----
def test_a_hold_beats_age_and_quota_until_it_is_released(any_hall: Hall, store: FaultyStore) -> None:
    segments = record(any_hall, store, 4)
    held = segments[1]
    with any_hall.catalog.write() as conn:
        span = Span(held.t0_us + 1, held.t1_us - 1)
        hold_id = place_hold(conn, any_hall.clock, any_hall.hall_id, ("stream", any_hall.main_id), span, "投诉")
    settings(any_hall, quota_bytes=1)
    any_hall.clock.advance(400 * 24 * 3600)
    report = retention(any_hall, store).run_once()
    assert all_ids(any_hall) == {held.id} == set(store.objects)
    assert report.unmet_bytes == held.size_bytes - 1
    with any_hall.catalog.read() as conn:
        alarm = conn.execute(select(tables.alarm)).one()
    assert (alarm.kind, alarm.closed_us) == ("disk_forecast", None)
    with any_hall.catalog.write() as conn:
        assert release_hold(conn, any_hall.clock, any_hall.hall_id, hold_id)
        assert not release_hold(conn, any_hall.clock, any_hall.hall_id, hold_id)
    assert retention(any_hall, store).run_once().removed_rows == 1
    with any_hall.catalog.read() as conn:
        assert conn.execute(select(tables.alarm.c.closed_us)).scalar_one() is not None
    assert_sound(any_hall, store)


def test_a_hall_wide_hold_keeps_screens_too(any_hall: Hall, store: FaultyStore) -> None:
    ingest, t0 = Ingest(any_hall.catalog, any_hall.clock, "c"), any_hall.clock.now_us()
    ingest.take_screen(store, any_hall.screen(t0, t0 + MINUTE, b"x"), [t0], b"x")
    record(any_hall, store, 2)
    with any_hall.catalog.write() as conn:
        subject: tuple[HoldSubject, UUID] = ("hall", any_hall.hall_id)
        place_hold(conn, any_hall.clock, any_hall.hall_id, subject, Span(t0, t0 + MINUTE), "审计")
    any_hall.clock.advance(400 * 24 * 3600)
    assert retention(any_hall, store).run_once().removed_rows == 1
    assert len(store.objects) == 2


def test_staged_media_are_out_of_reach(any_hall: Hall, store: FaultyStore) -> None:
    ingest, t0 = Ingest(any_hall.catalog, any_hall.clock, "g"), any_hall.clock.now_us()
    run = ingest.open_run(any_hall.main_id, t0)
    ingest.commit_segment(any_hall.segment(run, t0, t0 + MINUTE, b"unsent"), "staging:somewhere")
    settings(any_hall, quota_bytes=1)
    any_hall.clock.advance(400 * 24 * 3600)
    report = retention(any_hall, store).run_once()
    assert (report.removed_rows, report.unmet_bytes) == (0, 5)
    assert len(all_ids(any_hall)) == 1


def add_visit(hall: Hall, span: Span, status: str, last_us: int, *, end_us: int | None = None) -> None:
    """A visit at window 1 during `span` of a case with that status, seen by the camera, served by the workstation."""
    ids = [new_id(hall.clock) for _ in range(6)]
    source, case, event, visit, seen, served = ids
    window = {"window_id": hall.window_ids[0], "from_us": 0}
    with hall.catalog.write() as conn:
        conn.execute(insert(tables.event_source).values(id=source, code="s", secret_box=b"x", created_us=1))
        case_row = {"source_id": source, "key": "A1", "number": "A1", "first_us": 1, "last_us": last_us}
        conn.execute(insert(tables.case).values(id=case, status=status, **case_row))
        event_row = {"source_id": source, "sequence": 1, "kind": "called", "event_us": 1, "precision": "second"}
        conn.execute(insert(tables.case_event).values(id=event, intake_us=1, digest=bytes(32), **event_row))
        visit_row = {
            "case_id": case,
            "window_id": hall.window_ids[0],
            "t0_us": span.t0_us,
            "t1_us": end_us or span.t1_us,
        }
        method = {
            "opened_by": "called",
            "closed_by": "evaluated",
            "open_event_id": event,
            "version": 1,
            "derived_us": 1,
        }
        conn.execute(insert(tables.visit).values(id=visit, **visit_row, **method))
        conn.execute(insert(tables.camera_window).values(id=seen, channel_id=hall.channel_id, role="front", **window))
        conn.execute(insert(tables.workstation_window).values(id=served, workstation_id=hall.workstation_id, **window))


@pytest.mark.parametrize(
    ("status", "days_after_last_event", "stays"),
    [("delivered", 183, True), ("delivered", 185, False), ("accepted", 185, True), ("accepted", 367, False)],
)
def test_media_of_a_case_stay_until_six_months_after_it_closed(
    any_hall: Hall, store: FaultyStore, status: str, days_after_last_event: int, stays: bool
) -> None:
    ingest, t0 = Ingest(any_hall.catalog, any_hall.clock, "c"), any_hall.clock.now_us()
    ingest.take_screen(store, any_hall.screen(t0 + MINUTE, t0 + 2 * MINUTE, b"x"), [t0 + MINUTE], b"x")
    segments = record(any_hall, store, 4)
    visit = Span(segments[1].t0_us + 5, segments[2].t1_us - 5)
    add_visit(any_hall, visit, status, visit.t1_us)
    any_hall.clock.wall_us = visit.t1_us + days_after_last_event * DAY
    retention(any_hall, store).run_once()
    expected = {segments[1].id, segments[2].id} if stays else set()
    assert all_ids(any_hall) == expected
    assert len(store.objects) == len(expected) + (1 if stays else 0)
    assert_sound(any_hall, store)


def test_a_case_keeps_only_what_its_window_saw_then(any_hall: Hall, store: FaultyStore) -> None:
    segments = record(any_hall, store, 2)
    add_visit(any_hall, Span(segments[0].t0_us, segments[0].t1_us), "delivered", segments[0].t1_us)
    with any_hall.catalog.write() as conn:  # the camera saw another window then
        conn.execute(tables.camera_window.update().values(from_us=segments[1].t0_us))
    any_hall.clock.advance(31 * 24 * 3600)
    retention(any_hall, store).run_once()
    assert all_ids(any_hall) == set()


def test_a_case_keeps_nothing_of_other_cameras_and_desks(any_hall: Hall, store: FaultyStore) -> None:
    hall, other, stream = any_hall, new_id(any_hall.clock), new_id(any_hall.clock)
    with hall.catalog.write() as conn:
        conn.execute(insert(tables.channel).values(id=other, device_id=hall.device_id, number=2))
        conn.execute(insert(tables.stream).values(id=stream, channel_id=other, role="main", codec="h264"))
        desk = {"hall_id": hall.hall_id, "public_key": bytes(32), "enrolled_us": 1}
        conn.execute(insert(tables.workstation).values(id=other, **desk))
    ingest, t0 = Ingest(hall.catalog, hall.clock, "g"), hall.clock.now_us()
    mine = hall.screen(t0, t0 + MINUTE, b"mine")
    theirs = dataclasses.replace(hall.screen(t0, t0 + MINUTE, b"else"), workstation_id=other)
    for screen, data in ((mine, b"mine"), (theirs, b"else")):
        ingest.take_screen(store, screen, [t0], data)
    hall.record(ingest, store, 1, stream_id=stream)
    hall.clock.wall_us = t0
    (kept,) = hall.record(ingest, store, 1)
    add_visit(hall, Span(t0, t0 + MINUTE), "delivered", t0 + MINUTE)
    hall.clock.advance(100 * 24 * 3600)
    retention(hall, store).run_once()
    assert set(store.objects) == {kept.id, mine.id}


# --- by quota ----
def test_the_quota_takes_the_oldest_and_no_more_than_it_must(any_hall: Hall, store: FaultyStore) -> None:
    segments = record(any_hall, store, 6)
    total = sum(segment.size_bytes for segment in segments)
    settings(any_hall, quota_bytes=total - segments[0].size_bytes - 1)
    report = retention(any_hall, store).run_once()
    assert (report.removed_rows, report.unmet_bytes) == (2, 0)
    assert all_ids(any_hall) == {segment.id for segment in segments[2:]}
    assert {leaf["rule"] for leaf in deletions(any_hall)} == {"quota"}
    assert_sound(any_hall, store)


def test_without_a_quota_the_volumes_headroom_counts(small_hall: Hall, store: FaultyStore) -> None:
    segments = record(small_hall, store, 5)
    volume = FakeVolume(10_000_000, 1000)
    rules = RetentionRules(headroom_bytes=1000 + segments[0].size_bytes + 1)
    keeper = Retention(small_hall.catalog, {"memory": store}, small_hall.clock, rules, volume)
    assert keeper.run_once().removed_rows == 2
    volume.free_bytes = 1_000_000
    assert keeper.run_once().removed_rows == 0
    assert_sound(small_hall, store)


# --- faults ----
@pytest.mark.parametrize(
    "failure",
    [Unavailable("object_store_away"), Conflict("object_locked"), PermissionError("no")],
    ids=lambda failure: type(failure).__name__,
)
def test_an_object_that_cannot_go_keeps_its_mark_and_is_tried_again(
    any_hall: Hall, store: FaultyStore, failure: Exception
) -> None:
    record(any_hall, store, 3)
    any_hall.clock.advance(31 * 24 * 3600)
    store.fail_next = failure
    report = retention(any_hall, store).run_once()
    assert (report.deleted_objects, report.failed_objects, marks(any_hall)) == (2, 1, 1)
    assert_sound(any_hall, store)
    assert retention(any_hall, store).run_once().deleted_objects == 1
    assert (marks(any_hall), store.objects) == (0, {})


def test_a_kill_between_mark_and_object_leaves_a_mark(any_hall: Hall, store: FaultyStore) -> None:
    record(any_hall, store, 3)
    any_hall.clock.advance(31 * 24 * 3600)
    store.fail_next = Killed()
    with pytest.raises(Killed):
        retention(any_hall, store).run_once()
    assert (all_ids(any_hall), marks(any_hall), len(store.objects)) == (set(), 3, 3)
    assert_sound(any_hall, store)
    assert retention(any_hall, store).run_once().deleted_objects == 3
    assert_sound(any_hall, store)


def test_a_kill_between_object_and_gone_is_harmless(any_hall: Hall, store: FaultyStore) -> None:
    record(any_hall, store, 2)
    any_hall.clock.advance(31 * 24 * 3600)
    store.die_after_delete = True
    with pytest.raises(Killed):
        retention(any_hall, store).run_once()
    assert (marks(any_hall), len(store.objects)) == (2, 1)  # the first is gone, its mark is not
    store.die_after_delete = False
    assert retention(any_hall, store).run_once().deleted_objects == 2
    assert (marks(any_hall), store.objects) == (0, {})
    assert len(deletions(any_hall)) == 2


class DyingRetention(Retention):
    """Dies inside the transaction, when rows and marks are changed and the leaves are not written yet."""

    def _extend_removed(self, *arguments: Any) -> None:
        super()._extend_removed(*arguments)
        raise Killed


def test_a_kill_inside_the_transaction_changes_nothing(any_hall: Hall, store: FaultyStore) -> None:
    segments = record(any_hall, store, 3)
    any_hall.clock.advance(31 * 24 * 3600)
    with pytest.raises(Killed):
        DyingRetention(any_hall.catalog, {"memory": store}, any_hall.clock).run_once()
    assert all_ids(any_hall) == {segment.id for segment in segments}
    assert (marks(any_hall), deletions(any_hall)) == (0, [])
    assert_sound(any_hall, store)


class MeetingRetention(Retention):
    """Lets somebody place a hold in the moment between two batches, and tries to during one."""

    between: Iterator[None] | None = None

    def _remove_batch(self, *arguments: Any, **named: Any) -> Any:
        if self.between is not None:
            next(self.between, None)
        return super()._remove_batch(*arguments, **named)


def test_a_hold_that_comes_between_two_batches_is_obeyed(any_hall: Hall, store: FaultyStore) -> None:
    segments = record(any_hall, store, 4)
    any_hall.clock.advance(31 * 24 * 3600)

    def come() -> Iterator[None]:
        yield
        with any_hall.catalog.write() as conn:
            span = Span(segments[0].t0_us, segments[-1].t1_us)
            place_hold(conn, any_hall.clock, any_hall.hall_id, ("stream", any_hall.main_id), span, "x")
        yield

    keeper = MeetingRetention(any_hall.catalog, {"memory": store}, any_hall.clock, RetentionRules(batch=2))
    keeper.between = come()
    assert keeper.run_once().removed_rows == 2
    assert all_ids(any_hall) == {segment.id for segment in segments[2:]}
    assert_sound(any_hall, store)


class RacedRetention(Retention):
    """Somebody starts to place a hold while a batch's transaction is open."""

    def __init__(self, hall: Hall, store: MemoryStore) -> None:
        super().__init__(hall.catalog, {store.location: store}, hall.clock)
        self._hall = hall
        self.seen: set[UUID] = set()
        self.rival = threading.Thread(target=self._place)

    def _extend_removed(self, *arguments: Any) -> None:
        if not self.rival.ident:
            self.rival.start()
            self._hall.clock.advance(1)
        super()._extend_removed(*arguments)

    def _place(self) -> None:
        with self._hall.catalog.write() as conn:
            subject: tuple[HoldSubject, UUID] = ("hall", self._hall.hall_id)
            place_hold(conn, self._hall.clock, self._hall.hall_id, subject, Span(0, 1 << 62), "x")
            self.seen = set(conn.execute(select(tables.segment.c.id)).scalars())


def test_what_a_hold_saw_when_it_was_placed_stays(any_hall: Hall, store: FaultyStore) -> None:
    """The hold waits for the batch: it never believes that it keeps what is being removed."""
    record(any_hall, store, 30)
    any_hall.clock.advance(31 * 24 * 3600)
    keeper = RacedRetention(any_hall, store)
    keeper.run_once()
    keeper.rival.join()
    assert keeper.seen <= all_ids(any_hall)
    assert_sound(any_hall, store)


def test_retention_alone_deletes_objects() -> None:
    """No other module of the product calls `delete` on a store, but for copies that no row points at."""
    root = Path(__file__).parents[2]
    callers = {
        str(path.relative_to(root))
        for package in ("storage", "console", "camera_gateway")
        for path in (root / package).rglob("*.py")
        if "tore.delete(" in path.read_text(encoding="utf-8")
    }
    assert callers == {"storage/archive/retention.py", "storage/archive/uploader.py"}
