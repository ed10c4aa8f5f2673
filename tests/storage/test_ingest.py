"""The way into the archive, on both engines."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import threading
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select

from storage.archive import queries, tables
from storage.archive.catalog import Catalog
from storage.archive.ingest import LONGEST_CLAIM_US, Ingest
from storage.archive.objects import MemoryStore
from storage.archive.retention import Retention, stored_bytes
from storage.archive.verify import Level, verify
from storage.clock import US
from storage.errors import Conflict, InvalidInput, NotFound, ObjectDamaged, StaleEpoch, Unavailable
from storage.evidence.chain import append_leaf
from storage.ids import new_id
from storage.model import CameraSegment, CoverageSpan, GapReason, LeafKind, RunEnd, Span, StreamKind
from tests.fakes.archive import MINUTE, Hall


def make_ingest(hall: Hall, epoch: int = 0) -> Ingest:
    return Ingest(hall.catalog, hall.clock, "gateway-1", epoch)


def leaves(hall: Hall, stream_id: Any) -> list[dict[str, Any]]:
    table = tables.leaf
    with hall.catalog.read() as conn:
        rows = conn.execute(select(table.c.body).where(table.c.stream_id == stream_id).order_by(table.c.sequence))
        return [json.loads(bytes(row.body)) for row in rows]


def rows(catalog: Catalog, table: Any) -> int:
    with catalog.read() as conn:
        return int(conn.execute(select(func.count()).select_from(table)).scalar_one())


def gaps(hall: Hall) -> list[tuple[int, int | None, str]]:
    table = tables.gap
    with hall.catalog.read() as conn:
        found = conn.execute(select(table.c.t0_us, table.c.t1_us, table.c.reason).order_by(table.c.t0_us, table.c.id))
        return [(row.t0_us, row.t1_us, row.reason) for row in found]


def first_segment(hall: Hall, ingest: Ingest) -> CameraSegment:
    t0 = hall.clock.now_us()
    return hall.segment(ingest.open_run(hall.main_id, t0), t0, t0 + MINUTE, b"media")


# --- segments ---------------------------------------------------------------------------------------------------------
def test_row_leaf_and_head_are_one(any_hall: Hall) -> None:
    ingest = make_ingest(any_hall)
    segment = first_segment(any_hall, ingest)
    assert ingest.commit_segment(segment, "disk")
    with any_hall.catalog.read() as conn:
        assert queries.segments(conn, any_hall.main_id, Span(segment.t0_us, segment.t1_us)) == [segment]
        head = conn.execute(select(tables.stream_head)).one()
    (leaf,) = leaves(any_hall, any_hall.main_id)
    assert (head.sequence, head.kind, head.epoch) == (1, "camera_main", 0)
    assert (leaf["id"], leaf["sha256"], leaf["bytes"]) == (str(segment.id), segment.sha256.hex(), 5)
    assert (leaf["recorder"], leaf["run"]) == ("gateway-1", str(segment.run_id))


def test_the_measured_clock_offset_is_in_the_leaf(any_hall: Hall) -> None:
    with any_hall.catalog.write() as conn:
        conn.execute(tables.device.update().values(clock_offset_us=-1500, clock_error_us=200))
    ingest = make_ingest(any_hall)
    ingest.commit_segment(first_segment(any_hall, ingest), "disk")
    (leaf,) = leaves(any_hall, any_hall.main_id)
    assert (leaf["clock_offset_us"], leaf["clock_error_us"]) == (-1500, 200)


def test_a_repeated_commit_is_harmless(any_hall: Hall) -> None:
    ingest = make_ingest(any_hall)
    segment = first_segment(any_hall, ingest)
    assert [ingest.commit_segment(segment, "disk") for _ in range(3)] == [True, False, False]
    assert len(leaves(any_hall, any_hall.main_id)) == 1


def test_the_same_id_with_another_hash_is_refused_and_alarmed(any_hall: Hall) -> None:
    ingest = make_ingest(any_hall)
    segment = first_segment(any_hall, ingest)
    ingest.commit_segment(segment, "disk")
    other = dataclasses.replace(segment, sha256=bytes(32))
    for _ in range(2):
        with pytest.raises(Conflict) as refused:
            ingest.commit_segment(other, "disk")
        assert refused.value.code == "segment_conflict"
    with any_hall.catalog.read() as conn:
        alarm = conn.execute(select(tables.alarm)).one()
        kept = conn.execute(select(tables.segment.c.sha256)).scalar_one()
    assert (alarm.kind, alarm.subject, alarm._mapping["count"]) == ("segment_conflict", f"stream:{any_hall.main_id}", 2)
    assert bytes(kept) == segment.sha256


@pytest.mark.parametrize(
    "change",
    [{"t1_us": 0}, {"size_bytes": 0}, {"sha256": b"short"}, {"timescale": 0}, {"media_duration": -1}],
    ids=lambda change: next(iter(change)),
)
def test_impossible_segments_are_refused(small_hall: Hall, change: dict[str, Any]) -> None:
    ingest = make_ingest(small_hall)
    segment = dataclasses.replace(first_segment(small_hall, ingest), **change)
    with pytest.raises(InvalidInput):
        ingest.commit_segment(segment, "disk")
    assert rows(small_hall.catalog, tables.segment) == 0
    assert leaves(small_hall, small_hall.main_id) == []


def test_unknown_streams_and_runs_are_named(small_hall: Hall) -> None:
    ingest = make_ingest(small_hall)
    nobody = new_id(small_hall.clock)
    with pytest.raises(NotFound, match="no stream"):
        ingest.open_run(nobody, 1)
    segment = dataclasses.replace(first_segment(small_hall, ingest), run_id=nobody)
    with pytest.raises(NotFound, match="no run"):
        ingest.commit_segment(segment, "disk")
    with pytest.raises(NotFound, match="no run"):
        ingest.close_run(nobody, 1, RunEnd.NETWORK)
    foreign = ingest.open_run(small_hall.sub_id, 1)
    with pytest.raises(InvalidInput, match="another stream"):
        ingest.commit_segment(dataclasses.replace(segment, run_id=foreign), "disk")
    assert rows(small_hall.catalog, tables.segment) == 0


def test_a_stale_lease_is_refused_and_writes_nothing(any_hall: Hall) -> None:
    old, new = make_ingest(any_hall, epoch=3), make_ingest(any_hall, epoch=4)
    segment = first_segment(any_hall, old)
    assert new.commit_segment(segment, "disk")
    late = any_hall.segment(segment.run_id, segment.t1_us, segment.t1_us + MINUTE, b"late")
    with pytest.raises(StaleEpoch) as refused:
        old.commit_segment(late, "disk")
    assert refused.value.code == "epoch_stale"
    assert rows(any_hall.catalog, tables.segment) == 1
    assert len(leaves(any_hall, any_hall.main_id)) == 1


def test_many_writers_of_one_stream_make_one_chain(any_hall: Hall) -> None:
    def write(number: int) -> None:
        for count in range(5):
            with any_hall.catalog.write() as conn:
                facts = {"writer": number, "count": count}
                append_leaf(conn, any_hall.hall_id, StreamKind.MAP, LeafKind.MAP, facts)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = leaves(any_hall, any_hall.hall_id)
    assert [leaf["sequence"] for leaf in found] == list(range(1, 31))


def test_relocation(any_hall: Hall) -> None:
    ingest = make_ingest(any_hall)
    segment = first_segment(any_hall, ingest)
    ingest.commit_segment(segment, "staging:x")
    assert ingest.relocate(segment.id, "staging:x", "s3")
    assert not ingest.relocate(segment.id, "staging:x", "s3")
    with pytest.raises(Conflict, match="is at s3"):
        ingest.relocate(segment.id, "staging:x", "disk")
    with pytest.raises(NotFound):
        ingest.relocate(new_id(any_hall.clock), "staging:x", "s3")


# --- runs and gaps ----------------------------------------------------------------------------------------------------
def test_a_recorders_own_run_id_is_taken_once(any_hall: Hall) -> None:
    ingest, run_id = make_ingest(any_hall), new_id(any_hall.clock)
    assert ingest.open_run(any_hall.main_id, 10, run_id) == run_id
    assert ingest.open_run(any_hall.main_id, 10, run_id) == run_id
    assert rows(any_hall.catalog, tables.run) == 1
    with pytest.raises(Conflict):
        ingest.open_run(any_hall.sub_id, 10, run_id)


def test_a_gap_begins_with_the_end_of_a_run_and_ends_with_the_next_first_segment(any_hall: Hall) -> None:
    ingest = make_ingest(any_hall)
    first = first_segment(any_hall, ingest)
    t0 = first.t0_us
    ingest.commit_segment(first, "disk")
    assert ingest.close_run(first.run_id, t0 + MINUTE, RunEnd.NETWORK, "reset by peer")
    assert not ingest.close_run(first.run_id, t0 + MINUTE, RunEnd.NETWORK)
    assert gaps(any_hall) == [(t0 + MINUTE, None, "network")]
    run = ingest.open_run(any_hall.main_id, t0 + 2 * MINUTE)
    assert gaps(any_hall) == [(t0 + MINUTE, None, "network")]
    ingest.commit_segment(any_hall.segment(run, t0 + 2 * MINUTE, t0 + 3 * MINUTE, b"x"), "disk")
    assert gaps(any_hall) == [(t0 + MINUTE, t0 + 2 * MINUTE, "network")]
    opened, closed = (leaf for leaf in leaves(any_hall, any_hall.main_id) if leaf["kind"] == "gap")
    assert (opened["state"], closed["state"], closed["t1_us"]) == ("open", "closed", t0 + 2 * MINUTE)
    assert opened["id"] == closed["id"]


def test_new_parameters_leave_no_gap(any_hall: Hall) -> None:
    ingest = make_ingest(any_hall)
    segment = first_segment(any_hall, ingest)
    ingest.commit_segment(segment, "disk")
    ingest.close_run(segment.run_id, segment.t1_us, RunEnd.PARAMETERS)
    assert gaps(any_hall) == []


def test_an_orderly_stop_is_maintenance(any_hall: Hall) -> None:
    ingest = make_ingest(any_hall)
    segment = first_segment(any_hall, ingest)
    ingest.commit_segment(segment, "disk")
    ingest.close_run(segment.run_id, segment.t1_us, RunEnd.STOPPED)
    assert gaps(any_hall) == [(segment.t1_us, None, "maintenance")]


@pytest.mark.parametrize(
    ("end", "reasons"),
    [
        (RunEnd.DISK_SLOW, ["disk_slow"]),
        (RunEnd.PARAMETERS, ["unknown"]),
        (RunEnd.STOPPED, ["unknown", "maintenance"]),
        (RunEnd.NETWORK, ["unknown", "network"]),
    ],
)
def test_what_was_not_kept_at_the_end_of_a_run_is_a_gap(any_hall: Hall, end: RunEnd, reasons: list[str]) -> None:
    """The recorder believed that it had recorded three more seconds."""
    ingest = make_ingest(any_hall)
    segment = first_segment(any_hall, ingest)
    ingest.commit_segment(segment, "disk")
    told_us = segment.t1_us + 3 * US
    ingest.close_run(segment.run_id, told_us, end)
    begins = [segment.t1_us, told_us]
    assert [(gap[0], gap[2]) for gap in gaps(any_hall)] == list(zip(begins, reasons, strict=False))
    assert [gap[1] for gap in gaps(any_hall)] == [*begins[1 : len(reasons)], None]
    span = Span(segment.t0_us, told_us + US)
    with any_hall.catalog.read() as conn:
        found = queries.camera_coverage(conn, any_hall.main_id, span, span.t1_us)
        run = conn.execute(select(tables.run.c.t1_us)).scalar_one()
    assert [each.state for each in found] == ["recorded", *reasons]
    assert run == segment.t1_us


def test_a_run_without_a_segment_recorded_nothing(any_hall: Hall) -> None:
    ingest = make_ingest(any_hall)
    ingest.close_run(ingest.open_run(any_hall.main_id, 10), 20, RunEnd.DISK_FULL)
    assert gaps(any_hall) == [(10, None, "disk_full")]


def test_a_hole_inside_a_run_is_a_gap(any_hall: Hall) -> None:
    """The disk refused the end of a file and took the next one, before the recorder heard of it."""
    ingest = make_ingest(any_hall)
    first = first_segment(any_hall, ingest)
    ingest.commit_segment(first, "disk")
    begin = first.t1_us + US
    for t0_us in (begin, begin + MINUTE):
        ingest.commit_segment(any_hall.segment(first.run_id, t0_us, t0_us + MINUTE, b"next"), "disk")
    assert gaps(any_hall) == [(first.t1_us, begin, "unknown")]


def test_a_gap_told_late_begins_where_the_run_before_it_ended(any_hall: Hall) -> None:
    """The next run could not begin: the disk said so some milliseconds after the last frame."""
    ingest = make_ingest(any_hall)
    segment = first_segment(any_hall, ingest)
    end = segment.t1_us
    ingest.commit_segment(segment, "disk")
    ingest.close_run(segment.run_id, end, RunEnd.PARAMETERS)
    ingest.open_gap(any_hall.main_id, end + 300, GapReason.DISK_SLOW)
    ingest.close_gap(any_hall.main_id, end + 900)
    ingest.open_gap(any_hall.main_id, end + 950, GapReason.NETWORK)
    assert gaps(any_hall) == [(end, end + 900, "disk_slow"), (end + 900, None, "network")]


# --- running totals ---------------------------------------------------------------------------------------------------
def test_totals_follow_rows(any_hall: Hall) -> None:
    ingest, store, t0 = make_ingest(any_hall), MemoryStore(), any_hall.clock.now_us()
    made = any_hall.record(ingest, store, 3)
    ingest.commit_segment(made[0], "memory")
    ingest.take_screen(store, any_hall.screen(t0, t0 + US, b"12345"), [t0], b"12345")
    with any_hall.catalog.read() as conn:
        found = {row.stream_id: (row.objects, row.bytes) for row in conn.execute(select(tables.stored))}
        assert stored_bytes(conn, any_hall.hall_id) == sum(size for _, size in found.values())
        assert stored_bytes(conn, any_hall.main_id) == 0  # another hall's
    assert found == {any_hall.main_id: (3, sum(each.size_bytes for each in made)), any_hall.monitor_id: (1, 5)}


# --- what retention is about to delete --------------------------------------------------------------------------------
class StuckStore(MemoryStore):
    """Deletes nothing while `stuck`."""

    stuck = True

    def delete(self, object_id: UUID) -> None:
        if self.stuck:
            raise Unavailable("object_store_away")
        super().delete(object_id)


def test_media_that_retention_is_deleting_are_not_taken_again(any_hall: Hall) -> None:
    """The acknowledgement was lost, the agent repeats: the mark would take the object from under the new row."""
    ingest, store, t0 = make_ingest(any_hall), StuckStore(), any_hall.clock.now_us()
    screen = any_hall.screen(t0, t0 + US, b"12345")
    ingest.take_screen(store, screen, [t0], b"12345")
    (camera,) = any_hall.record(ingest, store, 1)
    any_hall.clock.advance(91 * 24 * 3600)
    retention = Retention(any_hall.catalog, {"memory": store}, any_hall.clock)
    assert retention.run_once().failed_objects == 2
    assert not ingest.take_screen(store, screen, [t0], b"12345")
    assert not ingest.commit_screen(screen, [t0], "memory")
    assert not ingest.commit_segment(camera, "memory")
    store.stuck = False
    assert retention.run_once().deleted_objects == 2
    assert (rows(any_hall.catalog, tables.screen_segment), rows(any_hall.catalog, tables.segment)) == (0, 0)
    with any_hall.catalog.read() as conn:
        assert stored_bytes(conn, any_hall.hall_id) == 0
    assert verify(any_hall.catalog, {"memory": store}, Level.HASH).status == 0


@pytest.mark.parametrize("end", [end for end in RunEnd if end not in (RunEnd.STOPPED, RunEnd.PARAMETERS)])
def test_every_other_end_names_its_gap(small_hall: Hall, end: RunEnd) -> None:
    ingest = make_ingest(small_hall)
    ingest.close_run(ingest.open_run(small_hall.main_id, 10), 20, end)
    assert gaps(small_hall)[-1][1:] == (None, end.value)


def test_a_run_that_a_crash_left_is_ended_at_its_last_segment(any_hall: Hall) -> None:
    ingest = make_ingest(any_hall)
    first = first_segment(any_hall, ingest)
    ingest.commit_segment(first, "disk")
    ingest.open_run(any_hall.main_id, first.t1_us + MINUTE)
    assert gaps(any_hall) == [(first.t1_us, None, "crash")]


def test_a_reason_that_changes_makes_a_new_gap_without_a_hole(any_hall: Hall) -> None:
    ingest = make_ingest(any_hall)
    one = ingest.open_gap(any_hall.main_id, 100, GapReason.UNREACHABLE)
    assert ingest.open_gap(any_hall.main_id, 150, GapReason.UNREACHABLE) == one
    ingest.open_gap(any_hall.main_id, 200, GapReason.AUTHENTICATION)
    assert ingest.close_gap(any_hall.main_id, 300)
    assert not ingest.close_gap(any_hall.main_id, 300)
    assert gaps(any_hall) == [(100, 200, "unreachable"), (200, 300, "authentication")]


def test_a_late_segment_names_the_gap_it_fills_and_rewrites_nothing(any_hall: Hall) -> None:
    ingest = make_ingest(any_hall)
    first = first_segment(any_hall, ingest)
    ingest.commit_segment(first, "disk")
    ingest.close_run(first.run_id, first.t1_us, RunEnd.CRASH)
    late = any_hall.segment(first.run_id, first.t1_us, first.t1_us + MINUTE // 2, b"late")
    ingest.commit_segment(late, "disk")
    assert gaps(any_hall) == [(first.t1_us, None, "crash")]
    ingest.close_gap(any_hall.main_id, first.t1_us + 2 * MINUTE)
    later = any_hall.segment(first.run_id, late.t1_us, late.t1_us + MINUTE // 2, b"later")
    ingest.commit_segment(later, "disk")
    assert gaps(any_hall) == [(first.t1_us, first.t1_us + 2 * MINUTE, "crash")]
    filled = [leaf.get("fills_gap") for leaf in leaves(any_hall, any_hall.main_id) if leaf["kind"] == "segment"]
    assert filled[0] is None
    assert filled[2] == next(leaf["id"] for leaf in leaves(any_hall, any_hall.main_id) if leaf["kind"] == "gap")


# --- screens ----------------------------------------------------------------------------------------------------------
def test_a_screen_segment_is_checked_stored_and_committed(any_hall: Hall) -> None:
    ingest, store, t0 = make_ingest(any_hall), MemoryStore(), any_hall.clock.now_us()
    data = b"codec group"
    screen = any_hall.screen(t0, t0 + 10 * US, data, pictures=2)
    times = (t0, t0 + 5 * US)
    assert ingest.take_screen(store, screen, times, data)
    assert not ingest.take_screen(store, screen, times, data)
    assert store.objects == {screen.id: data}
    with any_hall.catalog.read() as conn:
        (stored,) = queries.screen_segments(conn, any_hall.monitor_id, Span(t0, t0 + 1))
        found = queries.picture_at(conn, any_hall.monitor_id, t0 + 6 * US)
        assert queries.picture_at(conn, any_hall.monitor_id, t0 - 1) is None
    assert (stored.segment, stored.picture_times_us) == (screen, times)
    assert found == (stored, 1)
    (leaf,) = leaves(any_hall, any_hall.monitor_id)
    assert (leaf["kind"], leaf["pictures"]) == ("screen", 2)


def test_other_bytes_under_a_known_id_never_reach_the_store(any_hall: Hall) -> None:
    ingest, store, t0 = make_ingest(any_hall), MemoryStore(), any_hall.clock.now_us()
    screen = any_hall.screen(t0, t0 + US, b"first")
    ingest.take_screen(store, screen, [t0], b"first")
    forged = dataclasses.replace(screen, sha256=hashlib.sha256(b"other").digest(), size_bytes=5)
    with pytest.raises(Conflict) as refused:
        ingest.take_screen(store, forged, [t0], b"other")
    assert refused.value.code == "segment_conflict"
    assert store.objects == {screen.id: b"first"}
    with any_hall.catalog.read() as conn:
        assert conn.execute(select(tables.alarm.c.subject)).scalar_one() == f"workstation:{any_hall.workstation_id}"


def test_bytes_that_are_not_those_announced_are_refused(small_hall: Hall) -> None:
    ingest, store, t0 = make_ingest(small_hall), MemoryStore(), small_hall.clock.now_us()
    with pytest.raises(ObjectDamaged):
        ingest.take_screen(store, small_hall.screen(t0, t0 + US, b"announced"), [t0], b"delivered")
    assert store.objects == {}


@pytest.mark.parametrize("offsets", [[], [5, 4], [-1, 5], [0, 2 * US]], ids=["count", "order", "before", "after"])
def test_wrong_picture_times_are_refused(small_hall: Hall, offsets: list[int]) -> None:
    ingest, t0 = make_ingest(small_hall), small_hall.clock.now_us()
    screen = small_hall.screen(t0, t0 + US, b"x", pictures=2)
    with pytest.raises(InvalidInput):
        ingest.take_screen(MemoryStore(), screen, [t0 + offset for offset in offsets], b"x")


def test_a_new_monitor_gets_its_row(any_hall: Hall) -> None:
    ingest, t0 = make_ingest(any_hall), any_hall.clock.now_us()
    second = dataclasses.replace(any_hall.screen(t0, t0 + US, b"x"), monitor="screen-2")
    ingest.take_screen(MemoryStore(), second, [t0], b"x")
    with any_hall.catalog.read() as conn:
        assert len(queries.monitors_of_workstation(conn, any_hall.workstation_id)) == 2


# --- coverage of workstations ----
def test_claims_are_taken_once(any_hall: Hall) -> None:
    ingest, t0 = make_ingest(any_hall), any_hall.clock.now_us()
    claims = [CoverageSpan(t0, t0 + 5, "recording"), CoverageSpan(t0 + 5, t0 + 9, "locked", "session")]
    assert ingest.record_coverage(any_hall.monitor_id, [*claims, *claims]) == 2
    assert ingest.record_coverage(any_hall.monitor_id, [*claims, CoverageSpan(t0 + 9, t0 + 12, "unchanged")]) == 1
    assert rows(any_hall.catalog, tables.coverage) == 3
    assert [leaf["reason"] for leaf in leaves(any_hall, any_hall.monitor_id)] == ["locked", "unchanged"]


@pytest.mark.parametrize(
    "claim", [CoverageSpan(5, 5, "locked"), CoverageSpan(5, 9, "asleep"), CoverageSpan(5, 9, "agent_down")]
)
def test_claims_an_agent_may_not_make(small_hall: Hall, claim: CoverageSpan) -> None:
    with pytest.raises(InvalidInput):
        make_ingest(small_hall).record_coverage(small_hall.monitor_id, [CoverageSpan(1, 2, "locked"), claim])
    assert rows(small_hall.catalog, tables.coverage) == 0


def test_long_claims_are_kept_in_pieces_and_still_taken_once(small_hall: Hall) -> None:
    ingest, t0 = make_ingest(small_hall), small_hall.clock.now_us()
    weekend = CoverageSpan(t0, t0 + 5 * LONGEST_CLAIM_US // 2, "powered_off")
    assert ingest.record_coverage(small_hall.monitor_id, [weekend]) == 3
    assert ingest.record_coverage(small_hall.monitor_id, [weekend]) == 0
