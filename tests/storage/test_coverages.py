"""Coverage of several streams or monitors at once is that of each alone, with a number of looks that does not grow."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, event

from storage.archive import queries
from storage.archive.ingest import Ingest, ensure_monitor
from storage.clock import US
from storage.model import CoverageSpan, GapReason, RunEnd, Span
from tests.fakes.archive import Hall, HallFactory

STATES = st.sampled_from(["recording", "unchanged", "paused", "powered_off"])


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_streams_together_are_each_alone(data: st.DataObject, small_hall_factory: HallFactory) -> None:
    hall = small_hall_factory()
    t0, streams = hall.created_us, (hall.main_id, hall.sub_id)
    for stream_id in streams:
        for _ in range(data.draw(st.integers(0, 3))):
            tell_of_a_run(hall, stream_id, data)
    span = Span(t0 + data.draw(st.integers(-60, 60)) * US, t0 + data.draw(st.integers(61, 200)) * US)
    now_us = t0 + data.draw(st.integers(-70, 210)) * US
    with hall.catalog.read() as conn:
        together = queries.camera_coverages(conn, streams, span, now_us)
        assert together == {key: queries.camera_coverage(conn, key, span, now_us) for key in streams}


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_camera_s_coverage_is_its_first_stream_s_unless_that_has_nothing_to_say(
    data: st.DataObject, small_hall_factory: HallFactory
) -> None:
    hall = small_hall_factory()
    streams = data.draw(st.permutations((hall.main_id, hall.sub_id)))
    for stream_id in streams:
        for _ in range(data.draw(st.integers(0, 3))):
            tell_of_a_run(hall, stream_id, data)
    span = Span(hall.created_us - 40 * US, hall.created_us + 200 * US)
    now_us = hall.created_us + data.draw(st.integers(-70, 210)) * US
    with hall.catalog.read() as conn:
        (whole,) = queries.channel_coverages(conn, {hall.channel_id: streams}, span, now_us).values()
        first, second = (queries.camera_coverage(conn, stream_id, span, now_us) for stream_id in streams)
    assert (whole[0].t0_us, whole[-1].t1_us) == (span.t0_us, span.t1_us)
    assert all(before.t1_us == after.t0_us for before, after in pairwise(whole))
    for t_us in range(span.t0_us, span.t1_us, 5 * US):
        told = [next(x for x in spans if x.t0_us <= t_us < x.t1_us) for spans in (whole, first, second)]
        got, one, other = ((x.state, x.detail) for x in told)
        strong = [x for x in (one, other) if x[0] not in ("plan", "unknown")]
        known = [x for x in (one, other) if x[0] != "unknown"]
        assert got == [*strong, *known, one][0]


def test_a_camera_that_was_told_to_record_another_stream_stays_covered(any_hall: Hall) -> None:
    ingest, t0 = Ingest(any_hall.catalog, any_hall.clock, "g"), any_hall.created_us
    for stream_id, begin, after in ((any_hall.main_id, t0, "not_planned"), (any_hall.sub_id, t0 + 60 * US, "")):
        run_id = ingest.open_run(stream_id, begin)
        segment = any_hall.segment(run_id, begin, begin + 60 * US, str(begin).encode(), stream_id=stream_id)
        ingest.commit_segment(segment, "memory")
        if after:
            ingest.close_run(run_id, begin + 60 * US, RunEnd.PLAN, after)
    span = Span(t0, t0 + 120 * US)
    with any_hall.catalog.read() as conn:
        streams = {any_hall.channel_id: [any_hall.sub_id, any_hall.main_id]}
        found = queries.channel_coverages(conn, streams, span, t0 + 120 * US)[any_hall.channel_id]
    assert found == [CoverageSpan(span.t0_us, span.t1_us, "recorded")]


def tell_of_a_run(hall: Hall, stream_id: UUID, data: st.DataObject) -> None:
    """A run with a few segments that may end, and a gap that may follow."""
    ingest = Ingest(hall.catalog, hall.clock, "g")
    begin = hall.created_us + data.draw(st.integers(-30, 90)) * US
    run_id = ingest.open_run(stream_id, begin)
    for _ in range(data.draw(st.integers(0, 3))):
        length = data.draw(st.integers(1, 30)) * US
        segment = hall.segment(run_id, begin, begin + length, str(begin).encode(), stream_id=stream_id)
        ingest.commit_segment(segment, "memory")
        begin += length
    if data.draw(st.booleans()):
        ingest.close_run(run_id, begin, data.draw(st.sampled_from(list(RunEnd))))
    if data.draw(st.booleans()):
        ingest.open_gap(stream_id, begin, data.draw(st.sampled_from(list(GapReason))))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_monitors_together_are_each_alone(data: st.DataObject, small_hall_factory: HallFactory) -> None:
    hall = small_hall_factory()
    ingest, monitors = Ingest(hall.catalog, hall.clock, "c"), [hall.monitor_id, second_monitor(hall)]
    for _ in range(data.draw(st.integers(0, 6))):
        begin = hall.created_us + data.draw(st.integers(-30, 150)) * US
        claim = CoverageSpan(begin, begin + data.draw(st.integers(1, 40)) * US, data.draw(STATES))
        monitor_id = data.draw(st.sampled_from(monitors))
        ingest.record_coverage(monitor_id, [claim])
        if data.draw(st.booleans()):
            ingest.mark_silence(monitor_id, hall.created_us + data.draw(st.integers(0, 200)) * US)
    later = data.draw(st.sampled_from([0, 0, 86_400, 3 * 86_400]))  # a state that lasts is found days before
    span = Span(hall.created_us + (later - 60) * US, hall.created_us + (later + 200) * US)
    now_us = hall.created_us + (later + data.draw(st.integers(-70, 210))) * US
    with hall.catalog.read() as conn:
        together = queries.screen_coverages(conn, monitors, span, now_us)
        assert together == {key: queries.screen_coverage(conn, key, span, now_us) for key in monitors}


def second_monitor(hall: Hall) -> UUID:
    with hall.catalog.write() as conn:
        return ensure_monitor(conn, hall.clock, hall.workstation_id, "screen-2", 640, 480)


def test_several_are_asked_for_with_as_many_statements_as_one(any_hall: Hall) -> None:
    hall, span = any_hall, Span(any_hall.created_us, any_hall.created_us + 60 * US)
    monitors = [hall.monitor_id, second_monitor(hall)]
    with hall.catalog.read() as conn:
        one = statements(conn, lambda: queries.camera_coverages(conn, [hall.main_id], span, span.t1_us))
        two = statements(conn, lambda: queries.camera_coverages(conn, [hall.main_id, hall.sub_id], span, span.t1_us))
        screen = statements(conn, lambda: queries.screen_coverages(conn, monitors[:1], span, span.t1_us))
        screens = statements(conn, lambda: queries.screen_coverages(conn, monitors, span, span.t1_us))
    assert one == two <= 5
    assert screen == screens <= 5


def statements(conn: Connection, work: Callable[[], Any]) -> int:
    """How many statements `work` sends."""
    sent: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        sent.append(statement)

    event.listen(conn, "before_cursor_execute", note)
    work()
    event.remove(conn, "before_cursor_execute", note)
    return len(sent)


def test_nothing_is_asked_for_nobody(any_hall: Hall) -> None:
    span = Span(any_hall.created_us, any_hall.created_us + US)
    with any_hall.catalog.read() as conn:
        assert queries.camera_coverages(conn, [], span, span.t1_us) == {}
        assert queries.screen_coverages(conn, [], span, span.t1_us) == {}
        assert queries.screen_segments_of(conn, [], span) == {}
