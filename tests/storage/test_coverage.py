"""Coverage: every instant in exactly one span, whatever was written in whatever order."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from storage.archive import queries, tables
from storage.archive.ingest import Ingest
from storage.archive.objects import MemoryStore
from storage.archive.spans import Layer, flatten, total_us
from storage.clock import US
from storage.ids import new_id
from storage.model import CoverageSpan, GapReason, RunEnd, Span
from tests.fakes.archive import MINUTE, Hall, HallFactory

edges = st.integers(-50, 150)
layers = st.builds(
    lambda a, b, state, rank: Layer(min(a, b), max(a, b), state, rank=(rank, 0)),
    edges,
    edges,
    st.sampled_from("abcd"),
    st.integers(0, 5),
)


def camera(hall: Hall, span: Span) -> list[tuple[int, int, str]]:
    """Camera coverage in whole seconds since the hall was made."""
    with hall.catalog.read() as conn:
        found = queries.camera_coverage(conn, hall.main_id, span, hall.clock.now_us())
    return short(hall, span, found)


def screen(hall: Hall, span: Span) -> list[tuple[int, int, str]]:
    with hall.catalog.read() as conn:
        found = queries.screen_coverage(conn, hall.monitor_id, span, hall.clock.now_us())
    return short(hall, span, found)


def short(hall: Hall, span: Span, found: list[CoverageSpan]) -> list[tuple[int, int, str]]:
    assert_partition(found, span)
    since = hall.created_us
    return [((x.t0_us - since) // US, (x.t1_us - since) // US, str(x.state)) for x in found]


def assert_partition(found: list[CoverageSpan], span: Span) -> None:
    assert (found[0].t0_us, found[-1].t1_us) == (span.t0_us, span.t1_us)
    assert all(x.t0_us < x.t1_us for x in found)
    for before, after in pairwise(found):
        assert before.t1_us == after.t0_us
        assert (before.state, before.detail) != (after.state, after.detail)


def around(hall: Hall, first_s: int, last_s: int) -> Span:
    return Span(hall.created_us + first_s * US, hall.created_us + last_s * US)


# --- layers -----------------------------------------------------------------------------------------------------------
@given(st.lists(layers, max_size=12))
def test_flatten_is_an_exact_partition_and_the_highest_rank_wins(given_layers: list[Layer]) -> None:
    window = Span(0, 100)
    found = flatten(given_layers, window, "none")
    assert_partition(found, window)
    for instant in range(100):
        state = next(x.state for x in found if x.t0_us <= instant < x.t1_us)
        here = [layer for layer in given_layers if layer.t0_us <= instant < layer.t1_us]
        best = max((layer.rank for layer in here), default=None)
        assert state in ({layer.state for layer in here if layer.rank == best} or {"none"})


def test_total() -> None:
    assert total_us([CoverageSpan(0, 5, "a"), CoverageSpan(5, 7, "b"), CoverageSpan(7, 9, "a")], "a") == 7


# --- cameras ----------------------------------------------------------------------------------------------------------
def test_a_day_of_a_camera(any_hall: Hall) -> None:
    ingest, store, clock = Ingest(any_hall.catalog, any_hall.clock, "g"), MemoryStore(), any_hall.clock
    clock.advance(60)
    first = any_hall.record(ingest, store, 2)[-1]
    ingest.close_run(first.run_id, first.t1_us, RunEnd.NETWORK)
    clock.advance(60)
    ingest.open_gap(any_hall.main_id, clock.now_us(), GapReason.UNREACHABLE)
    clock.advance(30)
    any_hall.record(ingest, store, 1)
    clock.advance(20)
    assert camera(any_hall, around(any_hall, -60, 600)) == [
        (-60, 0, "plan"),
        (0, 60, "unknown"),
        (60, 180, "recorded"),
        (180, 240, "network"),
        (240, 270, "unreachable"),
        (270, 330, "recorded"),
        (330, 350, "pending"),
        (350, 600, "future"),
    ]


def test_an_open_gap_lasts_until_now_or_the_run_that_has_no_segment_yet(any_hall: Hall) -> None:
    ingest, clock = Ingest(any_hall.catalog, any_hall.clock, "g"), any_hall.clock
    ingest.open_gap(any_hall.main_id, clock.now_us(), GapReason.REFUSED)
    clock.advance(40)
    assert camera(any_hall, around(any_hall, 0, 60)) == [(0, 40, "refused"), (40, 60, "future")]
    ingest.open_run(any_hall.main_id, clock.now_us())
    clock.advance(10)
    assert camera(any_hall, around(any_hall, 0, 60)) == [(0, 40, "refused"), (40, 50, "pending"), (50, 60, "future")]


def test_before_and_after_everything(any_hall: Hall) -> None:
    assert camera(any_hall, around(any_hall, -20, -10)) == [(-20, -10, "plan")]
    assert camera(any_hall, around(any_hall, 10, 20)) == [(10, 20, "future")]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_history_of_a_camera_is_an_exact_partition(data: st.DataObject, small_hall_factory: HallFactory) -> None:
    hall = small_hall_factory()
    ingest, t0 = Ingest(hall.catalog, hall.clock, "g"), hall.created_us
    expected = set()
    for _ in range(data.draw(st.integers(0, 4))):
        begin = t0 + data.draw(st.integers(-30, 90)) * US
        run = ingest.open_run(hall.main_id, begin)
        for _ in range(data.draw(st.integers(0, 3))):
            length = data.draw(st.integers(1, 30)) * US
            segment = hall.segment(run, begin, begin + length, str(begin).encode())
            ingest.commit_segment(segment, "memory")
            expected.add((segment.t0_us, segment.t1_us))
            begin += length + data.draw(st.sampled_from([0, 0, -US, 5 * US]))
        if data.draw(st.booleans()):
            ingest.close_run(run, begin, data.draw(st.sampled_from(list(RunEnd))))
        if data.draw(st.booleans()):
            ingest.open_gap(hall.main_id, begin, data.draw(st.sampled_from(list(GapReason))))
    span = Span(t0 - 60 * US, t0 + 200 * US)
    now = t0 + data.draw(st.integers(-70, 210)) * US
    with hall.catalog.read() as conn:
        found = queries.camera_coverage(conn, hall.main_id, span, now)
    assert_partition(found, span)
    for t0_us, t1_us in expected:
        inside = [x for x in found if x.t0_us < t1_us and t0_us < x.t1_us]
        assert {str(x.state) for x in inside} <= {"recorded"}


# --- workstations -----------------------------------------------------------------------------------------------------
def claim(hall: Hall, first_s: int, last_s: int, state: str) -> CoverageSpan:
    span = around(hall, first_s, last_s)
    return CoverageSpan(span.t0_us, span.t1_us, state)


def test_a_day_of_a_workstation(any_hall: Hall) -> None:
    ingest, clock = Ingest(any_hall.catalog, any_hall.clock, "c"), any_hall.clock
    first = [claim(any_hall, 0, 10, "recording"), claim(any_hall, 10, 60, "unchanged")]
    ingest.record_coverage(any_hall.monitor_id, first)
    clock.advance(70)
    assert screen(any_hall, around(any_hall, -10, 100)) == [
        (-10, 0, "plan"),
        (0, 10, "recording"),
        (10, 60, "unchanged"),
        (60, 70, "pending"),
        (70, 100, "future"),
    ]
    assert ingest.mark_silence(any_hall.monitor_id, clock.now_us())
    clock.advance(50)
    assert not ingest.mark_silence(any_hall.monitor_id, clock.now_us())
    assert screen(any_hall, around(any_hall, 50, 130)) == [
        (50, 60, "unchanged"),
        (60, 120, "agent_down"),
        (120, 130, "future"),
    ]
    ingest.record_coverage(any_hall.monitor_id, [claim(any_hall, 110, 120, "recording")])
    assert screen(any_hall, around(any_hall, 50, 120)) == [
        (50, 60, "unchanged"),
        (60, 110, "agent_down"),
        (110, 120, "recording"),
    ]


def test_a_late_claim_beats_the_servers_silence(any_hall: Hall) -> None:
    ingest, clock = Ingest(any_hall.catalog, any_hall.clock, "c"), any_hall.clock
    ingest.record_coverage(any_hall.monitor_id, [claim(any_hall, 0, 10, "recording")])
    clock.advance(100)
    ingest.mark_silence(any_hall.monitor_id, clock.now_us())
    ingest.record_coverage(any_hall.monitor_id, [claim(any_hall, 10, 90, "locked")])
    assert screen(any_hall, around(any_hall, 0, 100)) == [
        (0, 10, "recording"),
        (10, 90, "locked"),
        (90, 100, "agent_down"),
    ]


def test_powered_off_lasts_until_the_next_claim_and_is_no_silence(any_hall: Hall) -> None:
    ingest, clock = Ingest(any_hall.catalog, any_hall.clock, "c"), any_hall.clock
    ingest.record_coverage(
        any_hall.monitor_id, [claim(any_hall, 0, 5, "recording"), claim(any_hall, 5, 6, "powered_off")]
    )
    clock.advance(3 * 24 * 3600)
    assert not ingest.mark_silence(any_hall.monitor_id, clock.now_us())
    end = 3 * 24 * 3600
    assert screen(any_hall, around(any_hall, end - 60, end)) == [(end - 60, end, "powered_off")]
    ingest.record_coverage(any_hall.monitor_id, [claim(any_hall, end - 20, end, "recording")])
    assert screen(any_hall, around(any_hall, 0, end)) == [
        (0, 5, "recording"),
        (5, end - 20, "powered_off"),
        (end - 20, end, "recording"),
    ]


def test_a_hole_between_claims_becomes_agent_down_by_the_server(any_hall: Hall) -> None:
    ingest, clock = Ingest(any_hall.catalog, any_hall.clock, "c"), any_hall.clock
    clock.advance(100)
    ingest.record_coverage(any_hall.monitor_id, [claim(any_hall, 0, 10, "recording")])
    ingest.record_coverage(any_hall.monitor_id, [claim(any_hall, 50, 100, "recording")])
    with any_hall.catalog.read() as conn:
        found = conn.execute(tables.coverage.select().where(tables.coverage.c.author == "server")).one()
    assert (found.state, found.t1_us - found.t0_us) == ("agent_down", 40 * US)
    assert screen(any_hall, around(any_hall, 0, 100))[1] == (10, 50, "agent_down")


def test_holes_inside_one_report_become_agent_down_too(any_hall: Hall) -> None:
    """The agent was killed twice while the console was away, then reported everything at once."""
    ingest = Ingest(any_hall.catalog, any_hall.clock, "c")
    any_hall.clock.advance(100)
    told = [
        (0, 10, "recording"),
        (30, 40, "recording"),
        (40, 41, "powered_off"),
        (60, 70, "locked"),
        (80, 90, "locked"),
    ]
    claims = [claim(any_hall, *each) for each in told]
    assert ingest.record_coverage(any_hall.monitor_id, claims) == 5
    assert ingest.record_coverage(any_hall.monitor_id, claims) == 0
    table = tables.coverage
    with any_hall.catalog.read() as conn:
        query = table.select().where(table.c.author == "server").order_by(table.c.t0_us)
        silences = [(row.state, row.t0_us, row.t1_us) for row in conn.execute(query)]
    span = [around(any_hall, 10, 30), around(any_hall, 70, 80)]
    assert silences == [("agent_down", each.t0_us, each.t1_us) for each in span]


def test_what_retention_took_is_said(any_hall: Hall) -> None:
    span = around(any_hall, 0, 60)
    for stream_id in (any_hall.main_id, any_hall.monitor_id):
        values = {"stream_id": stream_id, "t0_us": span.t0_us, "t1_us": span.t1_us, "rule": "age", "removed_us": 1}
        with any_hall.catalog.write() as conn:
            conn.execute(insert(tables.removed).values(id=new_id(any_hall.clock), **values))
    any_hall.clock.advance(60)
    assert camera(any_hall, span) == [(0, 60, "removed")]
    assert screen(any_hall, span) == [(0, 60, "removed")]


states = st.sampled_from(["recording", "unchanged", "locked", "powered_off", "paused"])


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_history_of_a_workstation_is_an_exact_partition(
    data: st.DataObject, small_hall_factory: HallFactory
) -> None:
    hall = small_hall_factory()
    ingest = Ingest(hall.catalog, hall.clock, "c")
    for _ in range(data.draw(st.integers(0, 5))):
        begin = data.draw(st.integers(-30, 150))
        spans = [claim(hall, begin, begin + data.draw(st.integers(1, 40)), data.draw(states))]
        ingest.record_coverage(hall.monitor_id, spans)
        if data.draw(st.booleans()):
            ingest.mark_silence(hall.monitor_id, hall.created_us + data.draw(st.integers(0, 200)) * US)
    span = around(hall, -60, 200)
    with hall.catalog.read() as conn:
        found = queries.screen_coverage(
            conn, hall.monitor_id, span, hall.created_us + data.draw(st.integers(-70, 210)) * US
        )
    assert_partition(found, span)


# --- maps ----
def test_the_map_is_answered_as_it_was_then(any_hall: Hall) -> None:
    one, two = any_hall.window_ids
    begin, change = any_hall.created_us, any_hall.created_us + MINUTE
    seen = ((one, begin, change, "front"), (two, change, None, "overhead"))
    with any_hall.catalog.write() as conn:
        for window_id, from_us, to_us, role in seen:
            row = {"id": new_id(any_hall.clock), "window_id": window_id, "from_us": from_us, "to_us": to_us}
            conn.execute(insert(tables.camera_window).values(channel_id=any_hall.channel_id, role=role, **row))
            row["id"] = new_id(any_hall.clock)
            conn.execute(insert(tables.workstation_window).values(workstation_id=any_hall.workstation_id, **row))
    with any_hall.catalog.read() as conn:
        numbers = [
            [x.number for x in queries.windows_of_camera(conn, any_hall.channel_id, t)]
            for t in (begin, change - 1, change)
        ]
        assert queries.windows_of_camera(conn, any_hall.channel_id, begin - 1) == []
        (front,) = queries.cameras_of_window(conn, one, Span(begin, change + 1))
        assert queries.cameras_of_window(conn, one, Span(change, change + 1)) == []
        (served,) = queries.workstations_of_window(conn, two, Span(change, change + 1))
        (window,) = queries.windows_of_workstation(conn, any_hall.workstation_id, begin)
        assert queries.stream_ids_of_channel(conn, any_hall.channel_id) == [any_hall.main_id, any_hall.sub_id]
    assert numbers == [[1], [1], [2]]
    assert (front.role, front.name, served.to_us, window.number) == ("front", "1号窗口", None, 1)
