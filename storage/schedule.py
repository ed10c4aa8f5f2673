"""Schedules: weeks of service periods, a day calendar, and when a hall's wall clock is inside them.

An instant is in a period exactly when the wall clock of the hall's zone shows one of its minutes then. So where clocks
change, a period in the hour that is skipped never happens, and one in the hour that comes twice happens twice.
Nothing here reads a clock; the standard library is enough, so that agents can use it too.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from storage.clock import US
from storage.errors import InvalidInput
from storage.model import DayKind, Span

DAY_MINUTES = 1440
LUNCH = (11 * 60, 14 * 60)
"""A break between two periods of a day that touches this time is the lunch break: 午间值班 keeps it open."""

_DAY_S = 86_400
_EPOCH = date(1970, 1, 1)
_FARTHEST_S = 15 * 3600
"""No zone is further from UTC."""
_PIECE_S = 12 * 3600
_BEHIND_DAYS, _AHEAD_DAYS = 3, 16


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """Service hours that begin on a weekday (ISO: Monday is 1), minutes after the hall's midnight, half-open.

    A `to_minute` above 1440 lies on the next day: 22:00 to 06:00 is 1320 to 1800.
    """

    weekday: int
    from_minute: int
    to_minute: int


@dataclass(frozen=True, slots=True)
class SpecialDay:
    """A day that differs from the plain week: closed, or worked as another weekday."""

    day: date
    kind: DayKind
    as_weekday: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True)
class Calendar:
    """The years whose holidays are known, and their special days."""

    years: frozenset[int] = frozenset()
    days: Mapping[date, SpecialDay] = field(default_factory=dict)

    def weekday_of(self, day: date) -> int | None:
        """The weekday that `day` is worked as; None: it is closed. A year that is not loaded is a plain week."""
        special = self.days.get(day)
        if special is None:
            return day.isoweekday()
        return special.as_weekday if special.kind is DayKind.WORKDAY else None


@dataclass(frozen=True, slots=True)
class Week:
    """Periods of a plain week; without any it is always open (in doubt, record)."""

    periods: tuple[Period, ...] = ()
    follows_calendar: bool = True
    lunch_weekdays: frozenset[int] = frozenset()
    """Weekdays on which the lunch break is served too."""

    def minutes_of(self, weekday: int) -> list[tuple[int, int]]:
        """The stretches, in minutes after midnight, that begin on that weekday."""
        own = sorted((one.from_minute, one.to_minute) for one in self.periods if one.weekday == weekday)
        if weekday not in self.lunch_weekdays:
            return own
        breaks = ((before[1], after[0]) for before, after in itertools.pairwise(own))
        return sorted([*own, *(one for one in breaks if _is_lunch(*one))])


def _is_lunch(from_minute: int, to_minute: int) -> bool:
    return from_minute < to_minute and from_minute < LUNCH[1] and LUNCH[0] < to_minute


def check_week(periods: Iterable[Period]) -> tuple[Period, ...]:
    """The periods of a named schedule in order.

    Raises:
        InvalidInput: there is none (`periods_missing`), one is out of range (`period_invalid`), or two overlap, over
            midnight and over the end of the week too (`periods_overlap`).
    """
    ordered = tuple(sorted(periods))
    if not ordered:
        raise InvalidInput("periods_missing", "a schedule needs at least one period")
    for one in ordered:
        begins = 1 <= one.weekday <= 7 and 0 <= one.from_minute < DAY_MINUTES
        if not (begins and one.from_minute < one.to_minute <= one.from_minute + DAY_MINUTES):
            raise InvalidInput(
                "period_invalid", "a period is weekday 1-7, from minute 0-1439, at most a day", weekday=one.weekday
            )
    for earlier, later in zip(ordered, [*ordered[1:], ordered[0]], strict=True):
        if len(ordered) > 1 and _from_monday(later, after=earlier) < _end_of(earlier):
            raise InvalidInput("periods_overlap", "two service periods overlap", weekday=later.weekday)
    return ordered


def _from_monday(one: Period, *, after: Period) -> int:
    begin = (one.weekday - 1) * DAY_MINUTES + one.from_minute
    return begin if one > after else begin + 7 * DAY_MINUTES


def _end_of(one: Period) -> int:
    return (one.weekday - 1) * DAY_MINUTES + one.to_minute


class Timetable:
    """When any of several weeks is open, in one zone and under one calendar. Answers are cached by day: not for
    several threads at once."""

    def __init__(self, zone: ZoneInfo, weeks: Sequence[Week], calendar: Calendar | None = None) -> None:
        self.zone = zone
        self._weeks = tuple(dict.fromkeys(weeks))
        self._calendar = calendar or Calendar()
        self._always = not self._weeks or any(not week.periods for week in self._weeks)
        self._days: dict[date, tuple[Span, ...]] = {}
        self._near: list[Span] = []
        self._near_starts: list[int] = []
        self._good = Span(0, 0)
        self._horizon_us = 0  # ends before it are true ends

    @property
    def always(self) -> bool:
        """Whether it is open all the time."""
        return self._always

    @property
    def follows_calendar(self) -> bool:
        """Whether holidays matter to it."""
        return not self._always and any(week.follows_calendar for week in self._weeks)

    def contains(self, t_us: int) -> bool:
        """Whether it is open at `t_us`."""
        return self._always or self._at(t_us) is not None

    def next_change(self, t_us: int) -> int | None:
        """The next opening or closing after `t_us`; None: none within the next two weeks."""
        if self._always:
            return None
        inside = self._at(t_us)
        if inside is not None:
            return inside.t1_us if inside.t1_us < self._horizon_us else None
        index = bisect_right(self._near_starts, t_us)
        return self._near_starts[index] if index < len(self._near) else None

    def last_end(self, t_us: int) -> int | None:
        """The last closing at or before `t_us`; None: it is open, or closed for some days."""
        if self._always or self._at(t_us) is not None:
            return None
        index = bisect_right(self._near_starts, t_us) - 1
        return self._near[index].t1_us if index >= 0 else None

    def spans(self, within: Span) -> list[Span]:
        """When it is open in `within`: ascending, neither touching nor empty."""
        if self._always:
            return [within] if within.t0_us < within.t1_us else []
        first, last = _day_of(within.t0_us, self.zone), _day_of(within.t1_us, self.zone)
        merged = _merged(self._from_days(first - timedelta(days=2), last + timedelta(days=1)))
        cut = (Span(max(one.t0_us, within.t0_us), min(one.t1_us, within.t1_us)) for one in merged)
        return [one for one in cut if one.t0_us < one.t1_us]

    def _at(self, t_us: int) -> Span | None:
        if not self._good.t0_us <= t_us < self._good.t1_us:
            self._look(t_us)
        index = bisect_right(self._near_starts, t_us) - 1
        found = self._near[index] if index >= 0 else None
        return found if found is not None and t_us < found.t1_us else None

    def _look(self, t_us: int) -> None:
        """Gather what is open around the day of `t_us`; good for two days from then."""
        today = _day_of(t_us, self.zone)
        first, last = today - timedelta(days=_BEHIND_DAYS), today + timedelta(days=_AHEAD_DAYS)
        self._days = {day: spans for day, spans in self._days.items() if first <= day <= last}
        self._near = _merged(self._from_days(first, last))
        self._near_starts = [one.t0_us for one in self._near]
        self._good = Span(t_us, t_us + 2 * _DAY_S * US)
        self._horizon_us = (((last - _EPOCH).days + 1) * _DAY_S - _FARTHEST_S) * US

    def _from_days(self, first: date, last: date) -> Iterator[Span]:
        day = first
        while day <= last:
            if day not in self._days:
                self._days[day] = tuple(self._on(day))
            yield from self._days[day]
            day += timedelta(days=1)

    def _on(self, day: date) -> Iterator[Span]:
        worked = self._calendar.weekday_of(day)
        for week in self._weeks:
            weekday = worked if week.follows_calendar else day.isoweekday()
            for from_minute, to_minute in week.minutes_of(weekday) if weekday is not None else ():
                yield from wall_spans(day, from_minute, to_minute, self.zone)


def wall_spans(day: date, from_minute: int, to_minute: int, zone: ZoneInfo) -> Iterator[Span]:
    """When the zone's wall clock shows [from_minute, to_minute) of `day`: once, or cut where clocks change."""
    midnight_s = (day - _EPOCH).days * _DAY_S
    from_s, to_s = midnight_s + from_minute * 60, midnight_s + to_minute * 60
    for begin_s, end_s, offset_s in _pieces(from_s - _FARTHEST_S, to_s + _FARTHEST_S, zone):
        t0_s, t1_s = max(begin_s, from_s - offset_s), min(end_s, to_s - offset_s)
        if t0_s < t1_s:
            yield Span(t0_s * US, t1_s * US)


def _pieces(begin_s: int, end_s: int, zone: ZoneInfo) -> Iterator[tuple[int, int, int]]:
    """Stretches of one offset from UTC each: (begin, end, offset), seconds."""
    offset_s = _offset(begin_s, zone)
    since_s = begin_s
    for from_s in range(begin_s, end_s, _PIECE_S):
        to_s = min(from_s + _PIECE_S, end_s)
        after_s = _offset(to_s, zone)
        if after_s != offset_s:
            change_s = _change(from_s, to_s, offset_s, zone)
            yield since_s, change_s, offset_s
            since_s, offset_s = change_s, after_s
    yield since_s, end_s, offset_s


def _change(low_s: int, high_s: int, offset_s: int, zone: ZoneInfo) -> int:
    """The first second in (low, high] at which the offset is another one."""
    while high_s - low_s > 1:
        middle_s = (low_s + high_s) // 2
        low_s, high_s = (middle_s, high_s) if _offset(middle_s, zone) == offset_s else (low_s, middle_s)
    return high_s


def _offset(t_s: int, zone: ZoneInfo) -> int:
    offset = datetime.fromtimestamp(t_s, zone).utcoffset()
    return 0 if offset is None else round(offset.total_seconds())


def _day_of(t_us: int, zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(t_us // US, zone).date()


def local_day(t_us: int, zone: ZoneInfo) -> date:
    """The zone's calendar day at `t_us`."""
    return _day_of(t_us, zone)


def _merged(spans: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for one in sorted(spans, key=lambda span: span.t0_us):
        if merged and one.t0_us <= merged[-1].t1_us:
            merged[-1] = Span(merged[-1].t0_us, max(one.t1_us, merged[-1].t1_us))
        else:
            merged.append(one)
    return merged


def missing_years(calendar: Calendar, now_us: int, zone: ZoneInfo) -> list[int]:
    """Years that should be loaded by now and are not: this one, and from 15 December on the next one too."""
    today = local_day(now_us, zone)
    wanted = [today.year]
    if (today.month, today.day) >= (12, 15):
        wanted.append(today.year + 1)
    return [year for year in wanted if year not in calendar.years]
