"""Visits from events: a pure function, the same input always gives the same visits.

A visit (办件到窗) is a stretch of time in which one case was served at one window. It opens at `called` or
`accepted` and closes at whatever comes first: the next such event of another case there, the case's `evaluated`,
the hall's closing time, or `visit_minutes` after its last `called` or `accepted`. Decision 0061 gives the reasons.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from console.services.days import Period, day_of, day_span
from storage.clock import US
from storage.model import EventKind, Span, TimePrecision, VisitMethod

OPENING = frozenset({EventKind.CALLED, EventKind.ACCEPTED})
"""Kinds that open a visit, go on with it, or end the one before."""

RELEVANT = OPENING | {EventKind.EVALUATED, EventKind.SIGNED_ON, EventKind.SIGNED_OFF}
"""Kinds that move visits; events of other kinds only help to join tickets to cases."""

WIDTH_US: Mapping[TimePrecision, int] = {
    TimePrecision.MICROSECOND: 1,
    TimePrecision.SECOND: US,
    TimePrecision.MINUTE: 60 * US,
    TimePrecision.DAY: 86_400 * US,
}
"""How much later than it says an event of this precision may have been, microseconds."""


@dataclass(frozen=True, slots=True)
class WindowEvent:
    """An event at one window. `case_id` is what its own case number says; a call may have only a ticket."""

    id: UUID
    kind: EventKind
    event_us: int
    precision: TimePrecision
    case_id: UUID | None = None
    ticket: str = ""
    staff: str = ""
    order: tuple[str, int] = ("", 0)  # (source, sequence): decides between events of the same time

    @property
    def sort_key(self) -> tuple[int, tuple[str, int]]:
        return (self.event_us, self.order)


@dataclass(frozen=True, slots=True)
class VisitRules:
    """The settings that visits are derived by. `clock_error_us`: how far a source's clock may be off."""

    timezone: ZoneInfo
    periods: tuple[Period, ...] = ()
    timeout_us: int = 30 * 60 * US
    clock_error_us: int = 0


@dataclass(frozen=True, slots=True)
class Visit:
    """A derived visit; `t1_us` is None while it is open."""

    case_id: UUID
    open_event_id: UUID
    staff: str
    t0_us: int
    t1_us: int | None
    opened_by: VisitMethod
    closed_by: VisitMethod
    ambiguous: bool


def closing_us(rules: VisitRules, day: date) -> int | None:
    """When the hall closes on `day`: the end of its last service period; None without any that day."""
    ends = [period.to_minute for period in rules.periods if period.weekday == day.isoweekday()]
    return _wall_us(rules.timezone, day, max(ends)) if ends else None


def uncertainty(event_us: int, precision: TimePrecision, clock_error_us: int = 0) -> Span:
    """The stretch in which an event of this stated time and precision truly happened."""
    width = WIDTH_US[precision]
    start = event_us - event_us % width
    return Span(start - clock_error_us, start + width + clock_error_us)


def join_tickets(events: Sequence[WindowEvent]) -> dict[UUID, UUID]:
    """Event id → case id for the events of one window and day that carry a ticket and no case number.

    A ticket belongs to the first case named with it at or after the event, else to the last one named before.
    """
    named: dict[str, list[WindowEvent]] = {}
    for event in sorted(events, key=lambda item: item.sort_key):
        if event.ticket and event.case_id is not None:
            named.setdefault(event.ticket, []).append(event)
    joined: dict[UUID, UUID] = {}
    for event in events:
        partners = named.get(event.ticket, []) if event.case_id is None and event.ticket else []
        if partners:
            at = bisect_left([partner.sort_key for partner in partners], event.sort_key)
            case_id = partners[min(at, len(partners) - 1)].case_id
            if case_id is not None:
                joined[event.id] = case_id
    return joined


def derive(events: Iterable[WindowEvent], rules: VisitRules, now_us: int) -> list[Visit]:
    """The visits of one window, in order of time.

    The events may span days; each day of the hall is taken by itself, so no visit crosses its midnight. Events of
    day precision open and close nothing. An event after `now_us` counts as soon as it is known.
    """
    days: dict[date, list[WindowEvent]] = {}
    for event in events:
        days.setdefault(day_of(event.event_us, rules.timezone), []).append(event)
    visits: list[Visit] = []
    for day in sorted(days):
        visits.extend(_Day(day, days[day], rules, now_us).visits())
    return visits


@dataclass(slots=True)
class _Open:
    """A visit that is being built: the event that opened it and the last one that went on with it."""

    case_id: UUID
    first: WindowEvent
    last: WindowEvent
    staff: str
    own: list[WindowEvent]


class _Day:
    """One window's day."""

    def __init__(self, day: date, events: Sequence[WindowEvent], rules: VisitRules, now_us: int) -> None:
        self._cases = join_tickets(events)
        timed = [event for event in events if event.kind in RELEVANT and event.precision is not TimePrecision.DAY]
        self._events = sorted(timed, key=lambda item: item.sort_key)
        self._rules = rules
        self._now_us = now_us
        self._closing_us = closing_us(rules, day)
        self._midnight_us = day_span(day, rules.timezone).t1_us
        self._open: _Open | None = None
        self._seated = ""
        self._visits: list[Visit] = []

    def visits(self) -> list[Visit]:
        for event in self._events:
            self._expire(event.event_us)
            if event.kind in OPENING:
                self._on_opening(event)
            elif event.kind is EventKind.EVALUATED:
                self._on_evaluated(event)
            else:
                self._seated = event.staff if event.kind is EventKind.SIGNED_ON else ""
        self._expire(None)
        return self._visits

    def _case_of(self, event: WindowEvent) -> UUID | None:
        return event.case_id or self._cases.get(event.id)

    def _on_opening(self, event: WindowEvent) -> None:
        case_id = self._case_of(event)
        current = self._open
        if current is not None and current.case_id == case_id:
            current.last = event
            current.own.append(event)
            current.staff = event.staff or current.staff
            return
        if current is not None:
            self._close(current, event.event_us, VisitMethod.NEXT_EVENT)
        if case_id is not None:
            self._open = _Open(case_id, event, event, event.staff or self._seated, [event])

    def _on_evaluated(self, event: WindowEvent) -> None:
        current, case_id = self._open, self._case_of(event)
        if current is not None and case_id in (None, current.case_id):
            current.own.append(event)
            self._close(current, event.event_us, VisitMethod.EVALUATED)

    def _expire(self, until_us: int | None) -> None:
        """Close the open visit if its own limit passed before `until_us` (None: the day's events are over)."""
        if self._open is None:
            return
        limit_us, method = self._limit(self._open)
        if until_us is None and limit_us > self._now_us:
            self._close(self._open, None, VisitMethod.OPEN)
        elif until_us is None or limit_us <= until_us:
            self._close(self._open, limit_us, method)

    def _limit(self, current: _Open) -> tuple[int, VisitMethod]:
        limits = [(current.last.event_us + self._rules.timeout_us, VisitMethod.TIMEOUT)]
        if self._closing_us is not None and current.last.event_us < self._closing_us:
            limits.append((self._closing_us, VisitMethod.CLOSING_TIME))
        limits.append((self._midnight_us, VisitMethod.CLOSING_TIME))
        return min(limits, key=lambda limit: limit[0])

    def _close(self, current: _Open, t1_us: int | None, method: VisitMethod) -> None:
        self._open = None
        first = current.first
        opened_by = VisitMethod.CALLED if first.kind is EventKind.CALLED else VisitMethod.ACCEPTED
        self._visits.append(
            Visit(
                case_id=current.case_id,
                open_event_id=first.id,
                staff=current.staff,
                t0_us=first.event_us,
                t1_us=t1_us,
                opened_by=opened_by,
                closed_by=method,
                ambiguous=self._is_ambiguous(current),
            )
        )

    def _is_ambiguous(self, current: _Open) -> bool:
        """Whether another case's event may in truth have come on the other side of one of this visit's own."""
        return any(
            other.kind in OPENING | {EventKind.EVALUATED}
            and self._case_of(other) != current.case_id
            and other not in current.own
            and self._undecided(own, other)
            for own in current.own
            for other in self._near(own)
        )

    def _near(self, event: WindowEvent) -> list[WindowEvent]:
        reach_us = WIDTH_US[TimePrecision.MINUTE] + 2 * self._rules.clock_error_us
        low = bisect_left(self._events, event.event_us - reach_us, key=lambda item: item.event_us)
        high = bisect_left(self._events, event.event_us + reach_us + 1, key=lambda item: item.event_us)
        return self._events[low:high]

    def _undecided(self, one: WindowEvent, other: WindowEvent) -> bool:
        error_us = self._rules.clock_error_us
        return uncertainty(one.event_us, one.precision, error_us).overlaps(
            uncertainty(other.event_us, other.precision, error_us)
        )


def _wall_us(timezone: ZoneInfo, day: date, minute: int) -> int:
    """The moment when the hall's wall clock shows `minute` of `day`; the first of two, and past a gap's end."""
    shown = datetime.combine(day, time(), tzinfo=timezone) + timedelta(minutes=minute)
    return round(shown.timestamp()) * US
