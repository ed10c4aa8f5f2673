"""Visits: examples for each way to open and close, and properties against a brute-force oracle."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from itertools import pairwise
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console.services.days import Period, day_of, day_span
from console.services.visits import (
    OPENING,
    VisitRules,
    WindowEvent,
    closing_us,
    derive,
    join_tickets,
)
from storage.clock import US
from storage.model import EventKind, TimePrecision, VisitMethod

SHANGHAI = ZoneInfo("Asia/Shanghai")
BERLIN = ZoneInfo("Europe/Berlin")
MINUTE = 60 * US
WORKDAY = tuple(Period(day, from_, to) for day in range(1, 6) for from_, to in ((540, 720), (780, 1020)))
RULES = VisitRules(SHANGHAI, WORKDAY)
CASE_A, CASE_B, CASE_C = (UUID(int=number) for number in (0xA, 0xB, 0xC))
FAR = 1 << 60


def at(text: str, zone: ZoneInfo = SHANGHAI) -> int:
    return round(datetime.fromisoformat(f"2026-11-{text}").replace(tzinfo=zone).timestamp() * US)


def event(
    number: int,
    kind: EventKind,
    at_us: int,
    case_id: UUID | None = None,
    ticket: str = "",
    staff: str = "",
    precision: TimePrecision = TimePrecision.SECOND,
) -> WindowEvent:
    return WindowEvent(UUID(int=number), kind, at_us, precision, case_id, ticket, staff, ("source", number))


def test_a_visit_opens_at_the_call_and_closes_at_the_next_case_there() -> None:
    visits = derive(
        [
            event(1, EventKind.CALLED, at("20T09:00:00"), ticket="A012"),
            event(2, EventKind.ACCEPTED, at("20T09:02:00"), CASE_A, "A012", "1001 王芳"),
            event(3, EventKind.CALLED, at("20T09:15:00"), ticket="A013"),
            event(4, EventKind.ACCEPTED, at("20T09:16:00"), CASE_B, "A013"),
            event(5, EventKind.EVALUATED, at("20T09:30:00"), CASE_B),
        ],
        RULES,
        FAR,
    )

    assert [(v.case_id, v.t0_us, v.t1_us, v.opened_by, v.closed_by) for v in visits] == [
        (CASE_A, at("20T09:00:00"), at("20T09:15:00"), VisitMethod.CALLED, VisitMethod.NEXT_EVENT),
        (CASE_B, at("20T09:15:00"), at("20T09:30:00"), VisitMethod.CALLED, VisitMethod.EVALUATED),
    ]
    assert visits[0].staff == "1001 王芳"
    assert not any(visit.ambiguous for visit in visits)


def test_a_call_that_nobody_answered_still_ends_the_visit_before() -> None:
    visits = derive(
        [
            event(1, EventKind.ACCEPTED, at("20T09:00:00"), CASE_A),
            event(2, EventKind.CALLED, at("20T09:10:00"), ticket="A099"),
        ],
        RULES,
        FAR,
    )

    assert [(v.case_id, v.t1_us, v.closed_by) for v in visits] == [(CASE_A, at("20T09:10:00"), VisitMethod.NEXT_EVENT)]


def test_one_case_may_come_twice_and_time_runs_from_its_last_event() -> None:
    visits = derive(
        [
            event(1, EventKind.CALLED, at("20T09:00:00"), CASE_A),
            event(2, EventKind.ACCEPTED, at("20T09:20:00"), CASE_A),
            event(3, EventKind.ACCEPTED, at("20T14:00:00"), CASE_A),
        ],
        RULES,
        FAR,
    )

    assert [(v.t0_us, v.t1_us, v.closed_by) for v in visits] == [
        (at("20T09:00:00"), at("20T09:50:00"), VisitMethod.TIMEOUT),
        (at("20T14:00:00"), at("20T14:30:00"), VisitMethod.TIMEOUT),
    ]


def test_closing_time_ends_a_visit_but_not_one_that_began_after_it() -> None:
    visits = derive(
        [
            event(1, EventKind.ACCEPTED, at("20T16:50:00"), CASE_A),
            event(2, EventKind.ACCEPTED, at("20T17:20:00"), CASE_B),
        ],
        RULES,
        FAR,
    )

    assert [(v.t1_us, v.closed_by) for v in visits] == [
        (at("20T17:00:00"), VisitMethod.CLOSING_TIME),
        (at("20T17:50:00"), VisitMethod.TIMEOUT),
    ]


def test_a_visit_is_open_until_its_limit_has_passed() -> None:
    called = [event(1, EventKind.CALLED, at("20T09:00:00"), CASE_A)]

    early = derive(called, RULES, at("20T09:29:59"))
    late = derive(called, RULES, at("20T09:30:00"))

    assert [(v.t1_us, v.closed_by) for v in early] == [(None, VisitMethod.OPEN)]
    assert [(v.t1_us, v.closed_by) for v in late] == [(at("20T09:30:00"), VisitMethod.TIMEOUT)]


def test_no_visit_crosses_midnight() -> None:
    visits = derive([event(1, EventKind.ACCEPTED, at("20T23:50:00"), CASE_A)], RULES, FAR)

    assert [(v.t1_us, v.closed_by) for v in visits] == [(at("21T00:00:00"), VisitMethod.CLOSING_TIME)]


def test_an_evaluation_of_the_citizen_before_does_not_end_the_next_visit() -> None:
    visits = derive(
        [
            event(1, EventKind.ACCEPTED, at("20T09:00:00"), CASE_A),
            event(2, EventKind.ACCEPTED, at("20T09:10:00"), CASE_B),
            event(3, EventKind.EVALUATED, at("20T09:11:00"), CASE_A),
            event(4, EventKind.EVALUATED, at("20T09:20:00")),
        ],
        RULES,
        FAR,
    )

    assert [(v.case_id, v.t1_us) for v in visits] == [
        (CASE_A, at("20T09:10:00")),
        (CASE_B, at("20T09:20:00")),
    ]


def test_staff_who_signed_on_serve_visits_that_name_nobody() -> None:
    visits = derive(
        [
            event(1, EventKind.SIGNED_ON, at("20T08:55:00"), staff="1001"),
            event(2, EventKind.ACCEPTED, at("20T09:00:00"), CASE_A),
            event(3, EventKind.SIGNED_OFF, at("20T09:05:00"), staff="1001"),
            event(4, EventKind.ACCEPTED, at("20T09:10:00"), CASE_B),
        ],
        RULES,
        FAR,
    )

    assert [v.staff for v in visits] == ["1001", ""]


@pytest.mark.parametrize(
    ("precision", "second", "error_us", "ambiguous"),
    [
        (TimePrecision.MINUTE, "09:10:40", 0, True),
        (TimePrecision.SECOND, "09:10:40", 0, False),
        (TimePrecision.SECOND, "09:10:03", 2 * US, True),
        (TimePrecision.MINUTE, "09:11:00", 0, False),
    ],
)
def test_a_boundary_within_precision_or_clock_error_is_ambiguous(
    precision: TimePrecision, second: str, error_us: int, ambiguous: bool
) -> None:
    rules = VisitRules(SHANGHAI, WORKDAY, clock_error_us=error_us)
    visits = derive(
        [
            event(1, EventKind.ACCEPTED, at("20T09:10:00"), CASE_A, precision=precision),
            event(2, EventKind.ACCEPTED, at(f"20T{second}"), CASE_B, precision=precision),
        ],
        rules,
        FAR,
    )

    assert [visit.ambiguous for visit in visits] == [ambiguous, ambiguous]


def test_an_event_that_knows_only_its_day_opens_nothing() -> None:
    only_day = event(1, EventKind.ACCEPTED, at("20T00:00:00"), CASE_A, precision=TimePrecision.DAY)

    assert derive([only_day], RULES, FAR) == []


def test_a_ticket_used_for_two_cases_joins_the_first_named_after_the_call() -> None:
    call = event(1, EventKind.CALLED, at("20T09:00:00"), ticket="A012")
    again = event(4, EventKind.EVALUATED, at("20T09:40:00"), ticket="A012")
    events = [
        again,
        event(3, EventKind.ACCEPTED, at("20T09:20:00"), CASE_B, "A012"),
        event(2, EventKind.ACCEPTED, at("20T09:02:00"), CASE_A, "A012"),
        call,
    ]

    assert join_tickets(events) == {call.id: CASE_A, again.id: CASE_B}


@pytest.mark.parametrize("process_zone", ["UTC", "America/New_York"])
def test_days_and_closing_follow_the_hall_whatever_the_process_zone(
    process_zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", process_zone)
    time.tzset()
    try:
        rules = VisitRules(BERLIN, (Period(7, 0, 240),))  # a Sunday that closes at 04:00
        spring = datetime(2026, 3, 29, 1, 50, tzinfo=BERLIN)
        opened = round(spring.timestamp() * US)
        visits = derive([event(1, EventKind.ACCEPTED, opened, CASE_A)], rules, FAR)

        closing = closing_us(rules, spring.date())
        assert closing == round(datetime(2026, 3, 29, 2, 0, tzinfo=UTC).timestamp() * US)
        assert [visit.t1_us for visit in visits] == [opened + 30 * MINUTE]
        spring_day, autumn_day = (day_span(day, BERLIN) for day in (spring.date(), date(2026, 10, 25)))
        assert (spring_day.t1_us - spring_day.t0_us) // (3600 * US) == 23
        assert (autumn_day.t1_us - autumn_day.t0_us) // (3600 * US) == 25
        assert day_of(at("20T00:00:00"), SHANGHAI).isoformat() == "2026-11-20"
    finally:
        monkeypatch.undo()
        time.tzset()


KINDS = [EventKind.CALLED, EventKind.ACCEPTED, EventKind.EVALUATED, EventKind.STEP, EventKind.SIGNED_ON]
DAY_0 = at("20T00:00:00")


@st.composite
def feeds(draw: st.DrawFn) -> list[WindowEvent]:
    count = draw(st.integers(0, 14))
    return [
        event(
            number,
            draw(st.sampled_from(KINDS)),
            DAY_0 + draw(st.integers(0, 60 * 40)) * MINUTE + draw(st.sampled_from([0, US, 30 * US])),
            draw(st.sampled_from([None, CASE_A, CASE_B, CASE_C])),
            draw(st.sampled_from(["", "A1", "A2"])),
            precision=draw(st.sampled_from([TimePrecision.MICROSECOND, TimePrecision.SECOND, TimePrecision.MINUTE])),
        )
        for number in range(1, count + 1)
    ]


def served_at(events: list[WindowEvent], at_us: int) -> UUID | None:
    """Brute force: whose turn is it at `at_us`, by looking back from that moment alone."""
    today = [item for item in events if day_of(item.event_us, SHANGHAI) == day_of(at_us, SHANGHAI)]
    cases = join_tickets(today)
    past = sorted((item for item in today if item.event_us <= at_us), key=lambda item: item.sort_key)
    openers = [item for item in past if item.kind in OPENING]
    if not openers:
        return None
    last = openers[-1]
    case_id = last.case_id or cases.get(last.id)
    after = past[past.index(last) + 1 :]
    ended = any(
        item.kind is EventKind.EVALUATED and (item.case_id or cases.get(item.id)) in (None, case_id) for item in after
    )
    closing = closing_us(RULES, day_of(at_us, SHANGHAI))
    closed = closing is not None and last.event_us < closing <= at_us
    return None if ended or closed or at_us >= last.event_us + RULES.timeout_us else case_id


@settings(max_examples=150, deadline=None)
@given(feeds())
def test_visits_say_what_looking_back_from_every_moment_says(events: list[WindowEvent]) -> None:
    visits = derive(events, RULES, FAR)
    moments = {edge for item in events for edge in (item.event_us, item.event_us + 1, item.event_us + RULES.timeout_us)}
    moments |= {edge for visit in visits for edge in (visit.t0_us, (visit.t1_us or 0) - 1, visit.t1_us or 0)}

    for moment in moments:
        inside = [visit.case_id for visit in visits if visit.t0_us <= moment < (visit.t1_us or 0)]
        expected = served_at(events, moment)
        assert inside == ([] if expected is None else [expected])


@settings(max_examples=100, deadline=None)
@given(feeds(), st.randoms(use_true_random=False))
def test_order_of_arrival_changes_nothing_and_visits_never_overlap(events: list[WindowEvent], random: object) -> None:
    shuffled = list(events)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis hands out a random.Random

    visits = derive(events, RULES, FAR)

    assert derive(shuffled, RULES, FAR) == visits
    assert all(one.t1_us is not None and one.t1_us <= two.t0_us for one, two in pairwise(visits))
    assert len({visit.open_event_id for visit in visits}) == len(visits)


@settings(max_examples=60, deadline=None)
@given(feeds(), st.integers(0, 60 * 48))
def test_only_visits_whose_limit_lies_ahead_are_open(events: list[WindowEvent], minutes: int) -> None:
    now_us = DAY_0 + minutes * MINUTE
    final = {visit.open_event_id: visit for visit in derive(events, RULES, FAR)}

    for visit in derive(events, RULES, now_us):
        end = final[visit.open_event_id]
        if visit.closed_by is VisitMethod.OPEN:
            assert visit.t1_us is None
            assert end.t1_us is not None
            assert end.t1_us > now_us
        else:
            assert visit == end
