"""What a camera has to do at a moment: hours, windows, visits at closing time, and when nothing could ever start it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import datetime
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camera_gateway.plan import PlanMode
from camera_gateway.recording_plan import (
    CONNECT_AHEAD_US,
    Decision,
    Moment,
    WindowEvent,
    busy_spans,
    decide,
    extension,
    needs_activity,
)
from storage.clock import US
from storage.hours import CameraPlan, HallHours, HallTimetables, NamedWeek, WindowHours
from storage.model import EventKind, RecordingMode, Span
from storage.schedule import Period, Week

SHANGHAI = ZoneInfo("Asia/Shanghai")
MINUTE = 60 * US
IDLE = 30 * MINUTE
WORKDAYS = tuple(
    Period(day, begin, end) for day in range(1, 6) for begin, end in ((9 * 60, 12 * 60), (13 * 60 + 30, 17 * 60))
)
PERIODS = CameraPlan(RecordingMode.PERIODS)
EVENT = CameraPlan(RecordingMode.EVENT, pre_roll_s=10, post_roll_s=30)
ONE, TWO = uuid4(), uuid4()
LATE, GUARD = uuid4(), uuid4()


def at(text: str) -> int:
    """Microseconds of a wall time in Shanghai."""
    return round(datetime.fromisoformat(text).replace(tzinfo=SHANGHAI).timestamp()) * US


def hall(**windows: WindowHours) -> HallTimetables:
    """A hall of workdays with a late shift; window `one` or `two` as told."""
    schedules = {
        LATE: NamedWeek("晚间班", Week(tuple(Period(day, 12 * 60, 20 * 60) for day in range(1, 6)))),
        GUARD: NamedWeek("夜间值守", Week(tuple(Period(day, 20 * 60, 32 * 60) for day in range(1, 8)), False)),
    }
    known = {{"one": ONE, "two": TWO}[name]: hours for name, hours in windows.items()}
    return HallTimetables(HallHours(SHANGHAI, WORKDAYS, schedules, known))


def ask(
    plan: CameraPlan,
    when: str | int,
    *windows: UUID,
    timetables: HallTimetables | None = None,
    busy: dict[UUID, list[Span]] | None = None,
) -> Decision:
    """The decision at a time of Friday 2026-11-20, or at a moment."""
    now_us = when if isinstance(when, int) else at(f"2026-11-20T{when}")
    return decide(plan, windows, Moment(now_us, timetables or hall(), busy or {}))


def test_always_and_off_need_no_hours() -> None:
    assert ask(CameraPlan(), "03:00") == Decision(PlanMode.RECORD)
    assert ask(CameraPlan(RecordingMode.OFF), "10:00", ONE) == Decision(PlanMode.OFF, "plan_off")


def test_periods_follow_the_hall_to_the_microsecond_and_connect_ahead() -> None:
    opening, noon = at("2026-11-20T09:00"), at("2026-11-20T12:00")
    assert ask(PERIODS, opening) == Decision(PlanMode.RECORD, until_us=noon)
    assert ask(PERIODS, noon - 1).mode is PlanMode.RECORD
    assert ask(PERIODS, opening - 1) == Decision(PlanMode.STANDBY, "outside_hours", opening)
    assert ask(PERIODS, opening - CONNECT_AHEAD_US) == Decision(PlanMode.STANDBY, "outside_hours", opening)
    early = Decision(PlanMode.OFF, "outside_hours", opening - CONNECT_AHEAD_US)
    assert ask(PERIODS, opening - CONNECT_AHEAD_US - 1) == early
    assert ask(PERIODS, noon).until_us == at("2026-11-20T13:30") - CONNECT_AHEAD_US


def test_windows_with_hours_of_their_own_are_followed_together() -> None:
    timetables = hall(one=WindowHours(LATE))
    assert ask(PERIODS, "18:00", ONE, timetables=timetables).mode is PlanMode.RECORD
    assert ask(PERIODS, "10:00", ONE, timetables=timetables).mode is PlanMode.OFF
    both = ask(PERIODS, "10:00", ONE, TWO, timetables=timetables)
    assert both == Decision(PlanMode.RECORD, until_us=at("2026-11-20T20:00"))
    assert ask(PERIODS, "21:00", ONE, TWO, timetables=timetables).reason == "outside_schedule: 晚间班"
    assert ask(PERIODS, "18:00", TWO, timetables=timetables).reason == "outside_hours"


def test_a_named_schedule_wins_over_windows_and_one_that_is_gone_records() -> None:
    night = replace(PERIODS, schedule_id=GUARD)
    assert ask(night, "21:00", ONE).mode is PlanMode.RECORD
    assert ask(night, "07:59").until_us == at("2026-11-20T08:00")
    assert ask(night, "10:00").reason == "outside_schedule: 夜间值守"
    assert ask(replace(PERIODS, schedule_id=uuid4()), "03:00") == Decision(PlanMode.RECORD)


def test_lunch_duty_counts_for_its_window_and_for_cameras_that_see_none() -> None:
    timetables = hall(one=WindowHours(None, frozenset({5})))
    assert ask(PERIODS, "12:30", ONE, timetables=timetables).mode is PlanMode.RECORD
    assert ask(PERIODS, "12:30", TWO, timetables=timetables).mode is PlanMode.OFF
    assert ask(PERIODS, "12:30", timetables=timetables).mode is PlanMode.RECORD
    thursday = at("2026-11-19T12:30")
    assert ask(PERIODS, thursday, ONE, timetables=timetables).mode is PlanMode.OFF


# --- visits ----------------------------------------------------------------------------------------------------------
def called(text: str, case: str = "A", kind: EventKind = EventKind.CALLED) -> WindowEvent:
    return WindowEvent(kind, at(f"2026-11-20T{text}"), 1, case)


def test_a_window_is_busy_until_the_case_ends_or_is_idle() -> None:
    events = [called("10:00"), called("10:05", kind=EventKind.ACCEPTED), called("10:20", kind=EventKind.EVALUATED)]
    assert busy_spans(events, IDLE) == [Span(at("2026-11-20T10:00"), at("2026-11-20T10:20") + 1)]
    assert busy_spans(events[:2], IDLE) == [Span(at("2026-11-20T10:00"), at("2026-11-20T10:35"))]
    late = [called("10:00"), called("10:31", kind=EventKind.STEP)]
    assert [span.t0_us for span in busy_spans(late, IDLE)] == [at("2026-11-20T10:00"), at("2026-11-20T10:31")]


def test_the_next_case_follows_at_once_and_the_end_of_the_one_before_does_not_end_it() -> None:
    events = [called("10:00"), called("10:10", "B"), called("10:11", "A", EventKind.EVALUATED)]
    ten = at("2026-11-20T10:10")
    assert busy_spans(events, IDLE) == [Span(at("2026-11-20T10:00"), ten), Span(ten, ten + IDLE)]


def test_an_end_alone_and_staff_at_the_window_are_no_long_visits() -> None:
    alone = called("10:00", kind=EventKind.DELIVERED)
    assert busy_spans([alone], IDLE) == [Span(alone.event_us, alone.event_us + 1)]
    assert busy_spans([called("10:00", kind=EventKind.SIGNED_ON)], IDLE) == []


def test_a_ticket_and_its_case_are_one_visit() -> None:
    ticket = WindowEvent(EventKind.CALLED, at("2026-11-20T10:00"), 1, "", "T7")
    accepted = WindowEvent(EventKind.ACCEPTED, at("2026-11-20T10:02"), 1, "A", "T7")
    ended = called("10:09", kind=EventKind.DECIDED)
    assert len(busy_spans([ended, ticket, accepted], IDLE)) == 1


CLOSED = at("2026-11-20T17:00")
AFTER, CAP = 10 * MINUTE, 120 * MINUTE


@pytest.mark.parametrize(
    ("busy", "until"),
    [
        ([Span(CLOSED - 1, CLOSED + 1)], CLOSED + 1 + AFTER),
        ([Span(CLOSED - MINUTE, CLOSED)], None),
        ([Span(CLOSED, CLOSED + MINUTE)], None),
        ([Span(CLOSED - MINUTE, CLOSED + 20 * MINUTE)], CLOSED + 30 * MINUTE),
        ([Span(CLOSED - MINUTE, CLOSED + 110 * MINUTE)], CLOSED + CAP),
        ([Span(CLOSED - MINUTE, CLOSED + 111 * MINUTE)], CLOSED + CAP),
        (
            [Span(CLOSED - MINUTE, CLOSED + MINUTE), Span(CLOSED + 11 * MINUTE, CLOSED + 15 * MINUTE)],
            CLOSED + 25 * MINUTE,
        ),
        (
            [Span(CLOSED - MINUTE, CLOSED + MINUTE), Span(CLOSED + 11 * MINUTE + 1, CLOSED + 15 * MINUTE)],
            CLOSED + 11 * MINUTE,
        ),
        ([], None),
    ],
)
def test_a_visit_open_at_closing_time_goes_on_until_ten_minutes_after_it(busy: list[Span], until: int | None) -> None:
    assert extension(busy, CLOSED, AFTER, CAP) == until


def test_a_camera_goes_on_with_its_windows_visit_and_stops_at_the_edge() -> None:
    busy = {ONE: [Span(CLOSED - MINUTE, CLOSED + 20 * MINUTE)]}
    until = CLOSED + 30 * MINUTE
    assert ask(PERIODS, CLOSED, ONE, busy=busy) == Decision(PlanMode.RECORD, until_us=until)
    assert ask(PERIODS, until - 1, ONE, busy=busy).mode is PlanMode.RECORD
    assert ask(PERIODS, until, ONE, busy=busy).mode is PlanMode.OFF
    assert ask(PERIODS, CLOSED, TWO, busy=busy).mode is PlanMode.OFF
    assert ask(replace(PERIODS, extend_visits=False), CLOSED, ONE, busy=busy).mode is PlanMode.OFF
    assert ask(replace(PERIODS, schedule_id=LATE), "20:00", ONE, busy=busy).mode is PlanMode.OFF


def test_each_window_extends_from_its_own_closing_time() -> None:
    timetables = hall(one=WindowHours(LATE))
    twenty = at("2026-11-20T20:00")
    busy = {ONE: [Span(twenty - MINUTE, twenty + MINUTE)], TWO: [Span(twenty - MINUTE, twenty + 60 * MINUTE)]}
    decision = ask(PERIODS, twenty, ONE, TWO, timetables=timetables, busy=busy)
    assert decision.until_us == twenty + 11 * MINUTE  # window two closed at five, three hours ago


def test_an_extension_ends_where_the_next_period_begins() -> None:
    noon = at("2026-11-20T12:00")
    busy = {ONE: [Span(noon - MINUTE, noon + 100 * MINUTE)]}
    assert ask(PERIODS, noon, ONE, busy=busy) == Decision(PlanMode.RECORD, until_us=at("2026-11-20T13:30"))


# --- on event --------------------------------------------------------------------------------------------------------
def test_on_event_a_camera_stands_by_and_records_while_its_window_is_busy() -> None:
    ten = at("2026-11-20T10:00")
    busy = {ONE: [Span(ten, ten + 5 * MINUTE)]}
    assert ask(EVENT, ten - 1, ONE, busy=busy) == Decision(PlanMode.STANDBY, "no_event", None)
    until = ten + 5 * MINUTE + 30 * US
    assert ask(EVENT, ten, ONE, busy=busy) == Decision(PlanMode.RECORD, "", until)
    assert ask(EVENT, until - 1, ONE, busy=busy).mode is PlanMode.RECORD
    assert ask(EVENT, until, ONE, busy=busy).mode is PlanMode.STANDBY
    assert ask(replace(EVENT, on_visit=False), ten, ONE, busy=busy).mode is PlanMode.STANDBY
    assert ask(replace(EVENT, on_motion=False), ten - 1, ONE, busy=busy).mode is PlanMode.STANDBY


def test_a_camera_that_only_its_motion_could_start_is_marked() -> None:
    assert ask(EVENT, "10:00").motion_alone  # it sees no window
    assert ask(replace(EVENT, on_visit=False), "10:00", ONE).motion_alone
    assert not ask(EVENT, "10:00", ONE).motion_alone
    assert not ask(replace(EVENT, schedule_id=LATE), "10:00").motion_alone  # outside its hours nothing starts it


def test_on_event_within_a_schedule_rests_outside_it() -> None:
    plan = replace(EVENT, schedule_id=LATE)
    assert ask(plan, "10:00", ONE).mode is PlanMode.OFF
    assert ask(plan, "13:00", ONE) == Decision(PlanMode.STANDBY, "no_event", at("2026-11-20T20:00"))


def test_what_nothing_could_ever_start_is_recorded() -> None:
    assert ask(replace(EVENT, on_motion=False), "10:00").mode is PlanMode.RECORD
    assert ask(replace(EVENT, on_motion=False, on_visit=False), "10:00", ONE).mode is PlanMode.RECORD


def test_activity_is_asked_for_only_when_it_matters() -> None:
    timetables, open_at, closed_at = hall(), at("2026-11-20T10:00"), at("2026-11-20T18:00")
    assert not needs_activity(PERIODS, (ONE,), timetables, open_at)
    assert needs_activity(PERIODS, (ONE,), timetables, closed_at)
    assert not needs_activity(PERIODS, (), timetables, closed_at)
    assert not needs_activity(replace(PERIODS, extend_visits=False), (ONE,), timetables, closed_at)
    assert needs_activity(EVENT, (ONE,), timetables, open_at)
    assert not needs_activity(CameraPlan(), (ONE,), timetables, closed_at)


@given(
    st.lists(st.tuples(st.integers(0, 600), st.sampled_from(sorted(EventKind)), st.sampled_from("ABC")), max_size=12),
    st.integers(0, 700),
)
def test_busy_spans_are_in_order_apart_and_hold_every_event_that_is_not_an_end(
    drawn: list[tuple[int, EventKind, str]], idle_minutes: int
) -> None:
    begin = at("2026-11-20T08:00")
    events = [WindowEvent(kind, begin + minute * MINUTE, 1, case) for minute, kind, case in drawn]
    spans = busy_spans(events, idle_minutes * MINUTE)
    assert all(one.t0_us <= one.t1_us for one in spans)
    assert all(before.t1_us <= after.t0_us + 1 for before, after in itertools.pairwise(spans))
    silent = (EventKind.SIGNED_ON, EventKind.SIGNED_OFF)
    for event in events:
        if event.kind not in silent:
            assert any(one.t0_us <= event.event_us <= one.t1_us for one in spans)


@given(st.integers(0, 7 * 1440 * 60), st.sampled_from([PERIODS, replace(PERIODS, schedule_id=GUARD), EVENT]))
def test_a_decision_holds_until_it_says_and_not_longer(second: int, plan: CameraPlan) -> None:
    now_us = at("2026-11-16T00:00") + second * US
    timetables = hall(one=WindowHours(LATE))
    decision = ask(plan, now_us, ONE, TWO, timetables=timetables)
    if decision.until_us is None:
        assert plan is EVENT
        return
    assert decision.until_us > now_us
    last = ask(plan, decision.until_us - 1, ONE, TWO, timetables=timetables)
    assert last.mode is decision.mode
    assert ask(plan, decision.until_us, ONE, TWO, timetables=timetables).mode is not decision.mode
