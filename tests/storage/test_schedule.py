"""Schedules against an oracle that looks at every minute of the wall clock, in zones with and without DST."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.clock import US
from storage.errors import InvalidInput
from storage.model import DayKind, Span
from storage.schedule import (
    Calendar,
    Period,
    SpecialDay,
    Timetable,
    Week,
    check_week,
    local_day,
    missing_years,
    wall_spans,
)

SHANGHAI = ZoneInfo("Asia/Shanghai")
NEW_YORK = ZoneInfo("America/New_York")
ZONES = (SHANGHAI, NEW_YORK, ZoneInfo("Australia/Lord_Howe"), ZoneInfo("Pacific/Apia"))
MINUTE = 60 * US
DAY = 1440 * MINUTE

WORKDAYS = tuple(
    Period(day, begin, end) for day in range(1, 6) for begin, end in ((9 * 60, 12 * 60), (13 * 60 + 30, 17 * 60))
)


def at(text: str, zone: ZoneInfo = SHANGHAI) -> int:
    """Microseconds of a wall time of the zone."""
    return round(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()) * US


def oracle(weeks: list[Week], calendar: Calendar, zone: ZoneInfo, t_us: int) -> bool:
    """Whether the wall clock shows a minute of a period: of one that began that day, or the day before."""
    shown = datetime.fromtimestamp(t_us // US, zone)
    minute = shown.hour * 60 + shown.minute
    for back in (0, 1):
        day = shown.date() - timedelta(days=back)
        for week in weeks:
            if not week.periods:
                return True
            weekday = calendar.weekday_of(day) if week.follows_calendar else day.isoweekday()
            stretches = [] if weekday is None else week.minutes_of(weekday)
            if any(begin <= minute + 1440 * back < end for begin, end in stretches):
                return True
    return False


@st.composite
def periods(draw: st.DrawFn) -> Period:
    begin = draw(st.integers(0, 1439))
    return Period(draw(st.integers(1, 7)), begin, begin + draw(st.integers(1, 1440)))


@st.composite
def weeks(draw: st.DrawFn) -> Week:
    own = tuple(draw(st.lists(periods(), min_size=1, max_size=6)))
    lunch = frozenset(draw(st.sets(st.integers(1, 7), max_size=3)))
    return Week(own, draw(st.booleans()), lunch)


@st.composite
def calendars(draw: st.DrawFn, around: date) -> Calendar:
    days = {}
    for offset in draw(st.sets(st.integers(-6, 6), max_size=6)):
        day = around + timedelta(days=offset)
        worked = draw(st.integers(0, 7))
        days[day] = SpecialDay(day, DayKind.WORKDAY if worked else DayKind.HOLIDAY, worked)
    return Calendar(frozenset({around.year}), days)


CHANGES = {
    "Asia/Shanghai": ["2026-10-01T12:00"],
    "America/New_York": ["2026-03-08T02:00", "2026-11-01T01:30", "2026-07-01T00:00"],
    "Australia/Lord_Howe": ["2026-04-05T02:00", "2026-10-04T02:00"],  # half an hour
    "Pacific/Apia": ["2011-12-30T12:00"],  # a day that never was
}


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_membership_edges_and_spans_agree_with_the_wall_clock_minute_by_minute(data: st.DataObject) -> None:
    zone = data.draw(st.sampled_from(ZONES))
    middle = at(data.draw(st.sampled_from(CHANGES[zone.key])), zone)
    calendar = data.draw(calendars(local_day(middle, zone)))
    drawn = data.draw(st.lists(weeks(), min_size=1, max_size=2))
    table = Timetable(zone, drawn, calendar)
    begin = middle - DAY - data.draw(st.integers(0, 1439)) * MINUTE
    begin -= begin % MINUTE
    minutes = [begin + number * MINUTE for number in range(3 * 1440)]
    wanted = [oracle(drawn, calendar, zone, t_us) for t_us in minutes]
    assert [table.contains(t_us) for t_us in minutes] == wanted
    edges = [t_us for before, after, t_us in zip(wanted, wanted[1:], minutes[1:], strict=False) if before != after]
    asked = begin + data.draw(st.integers(0, len(minutes) - 1)) * MINUTE + data.draw(st.integers(0, MINUTE - 1))
    later = [edge for edge in edges if edge > asked]
    found = table.next_change(asked)
    assert found == later[0] if later else found is None or found > minutes[-1]
    spans = table.spans(Span(begin, begin + 3 * DAY))
    assert sum(one.t1_us - one.t0_us for one in spans) == sum(wanted) * MINUTE
    assert all(one.t0_us < one.t1_us for one in spans)
    assert all(before.t1_us < after.t0_us for before, after in itertools.pairwise(spans))
    if not table.contains(asked):
        ended = [one.t1_us for one in spans if one.t1_us <= asked]
        if ended:
            assert table.last_end(asked) == ended[-1]


def test_several_periods_a_day_open_and_close_to_the_microsecond() -> None:
    table = Timetable(SHANGHAI, [Week(WORKDAYS)])
    noon = at("2026-11-20T12:00")  # a Friday
    assert table.contains(noon - 1)
    assert not table.contains(noon)
    assert table.next_change(noon - 1) == noon
    assert table.next_change(noon) == at("2026-11-20T13:30")
    assert table.last_end(noon) == noon
    assert table.last_end(noon - 1) is None
    assert table.next_change(at("2026-11-20T17:00")) == at("2026-11-23T09:00")


def test_lunch_duty_serves_the_break_at_noon_and_no_other() -> None:
    evening = Period(5, 19 * 60, 21 * 60)
    table = Timetable(SHANGHAI, [Week((*WORKDAYS, evening), lunch_weekdays=frozenset({5}))])
    friday = Span(at("2026-11-20T00:00"), at("2026-11-21T00:00"))
    assert table.spans(friday) == [
        Span(at("2026-11-20T09:00"), at("2026-11-20T17:00")),
        Span(at("2026-11-20T19:00"), at("2026-11-20T21:00")),
    ]
    thursday = Span(at("2026-11-19T00:00"), at("2026-11-20T00:00"))
    assert len(table.spans(thursday)) == 2


def test_holidays_close_and_working_saturdays_open_as_the_weekday_they_stand_for() -> None:
    friday_only = (Period(5, 600, 660),)
    days = {
        date(2026, 10, 2): SpecialDay(date(2026, 10, 2), DayKind.HOLIDAY, 0, "国庆节"),
        date(2026, 10, 10): SpecialDay(date(2026, 10, 10), DayKind.WORKDAY, 5, "国庆节调休"),
    }
    table = Timetable(SHANGHAI, [Week(friday_only)], Calendar(frozenset({2026}), days))
    assert not table.contains(at("2026-10-02T10:30"))
    assert table.contains(at("2026-10-09T10:30"))
    assert table.contains(at("2026-10-10T10:30"))
    guard = Timetable(SHANGHAI, [Week(friday_only, follows_calendar=False)], Calendar(frozenset({2026}), days))
    assert guard.contains(at("2026-10-02T10:30"))
    assert not guard.contains(at("2026-10-10T10:30"))


def test_a_night_belongs_to_the_day_it_begins_on() -> None:
    table = Timetable(SHANGHAI, [Week((Period(5, 22 * 60, 30 * 60),))])
    assert table.spans(Span(at("2026-11-20T00:00"), at("2026-11-23T00:00"))) == [
        Span(at("2026-11-20T22:00"), at("2026-11-21T06:00"))
    ]


def test_a_skipped_hour_never_happens_and_a_repeated_one_happens_twice() -> None:
    skipped = list(wall_spans(date(2026, 3, 8), 120, 180, NEW_YORK))
    assert skipped == []
    twice = list(wall_spans(date(2026, 11, 1), 75, 90, NEW_YORK))
    first = round(datetime(2026, 11, 1, 5, 15, tzinfo=UTC).timestamp()) * US
    assert twice == [Span(first, first + 15 * MINUTE), Span(first + 60 * MINUTE, first + 75 * MINUTE)]
    whole = Timetable(NEW_YORK, [Week((Period(7, 0, 1440),))]).spans(
        Span(at("2026-11-01T00:00", NEW_YORK), at("2026-11-02T00:00", NEW_YORK))
    )
    assert [one.t1_us - one.t0_us for one in whole] == [25 * 60 * MINUTE]


def test_without_periods_it_is_always_open() -> None:
    table = Timetable(SHANGHAI, [Week(WORKDAYS), Week()])
    assert table.always
    assert not table.follows_calendar
    assert table.contains(at("2026-11-22T03:00"))
    assert table.next_change(at("2026-11-22T03:00")) is None
    assert table.last_end(at("2026-11-22T03:00")) is None
    assert table.spans(Span(5, 7)) == [Span(5, 7)]
    assert table.spans(Span(7, 7)) == []


def test_a_week_without_a_break_has_no_edge() -> None:
    table = Timetable(SHANGHAI, [Week(tuple(Period(day, 0, 1440) for day in range(1, 8)), follows_calendar=False)])
    assert table.contains(at("2026-11-22T03:00"))
    assert table.next_change(at("2026-11-22T03:00")) is None


def test_a_schedule_is_checked_over_midnight_and_the_end_of_the_week() -> None:
    assert check_week([Period(2, 0, 60), Period(1, 0, 60)]) == (Period(1, 0, 60), Period(2, 0, 60))
    assert check_week([Period(7, 1320, 1800)])
    for wrong, code in (
        ([], "periods_missing"),
        ([Period(0, 0, 60)], "period_invalid"),
        ([Period(1, 60, 60)], "period_invalid"),
        ([Period(1, 60, 1501)], "period_invalid"),
        ([Period(1, 1440, 1500)], "period_invalid"),
        ([Period(1, 0, 61), Period(1, 60, 120)], "periods_overlap"),
        ([Period(1, 1320, 1800), Period(2, 300, 400)], "periods_overlap"),
        ([Period(7, 1320, 1800), Period(1, 300, 400)], "periods_overlap"),
    ):
        with pytest.raises(InvalidInput) as caught:
            check_week(wrong)
        assert caught.value.code == code


def test_a_year_without_its_calendar_is_missed_in_time() -> None:
    loaded = Calendar(frozenset({2026}))
    assert missing_years(Calendar(), at("2026-06-01T00:00"), SHANGHAI) == [2026]
    assert missing_years(loaded, at("2026-12-14T23:59"), SHANGHAI) == []
    assert missing_years(loaded, at("2026-12-15T00:00"), SHANGHAI) == [2027]
    assert missing_years(loaded, at("2027-01-01T00:00"), SHANGHAI) == [2027]
