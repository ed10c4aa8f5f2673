"""Days and service periods of the hall, in the hall's own time zone whatever the viewer's is."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from storage.clock import US
from storage.errors import InvalidInput
from storage.model import Span

FIRST_YEAR, LAST_YEAR = 2000, 2199
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Period:
    """Service hours of one weekday (ISO: Monday is 1), minutes after the hall's midnight, half-open."""

    weekday: int
    from_minute: int
    to_minute: int


def zone_of(name: str) -> ZoneInfo:
    """The IANA zone `name`.

    Raises:
        InvalidInput: there is none (`timezone_unknown`).
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidInput("timezone_unknown", "use an IANA name such as Asia/Shanghai", timezone=name) from error


def parse_day(text: str) -> date:
    """`YYYY-MM-DD` as a date.

    Raises:
        InvalidInput: it is none (`day_invalid`).
    """
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput("day_invalid", "a day is written YYYY-MM-DD", day=text[:20]) from error
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise InvalidInput("day_invalid", f"a day lies between {FIRST_YEAR} and {LAST_YEAR}", day=text[:20])
    return day


def day_span(day: date, zone: ZoneInfo) -> Span:
    """The hall's day from midnight to midnight; 23 or 25 hours long where clocks change."""
    try:
        return Span(_midnight_us(day, zone), _midnight_us(day + timedelta(days=1), zone))
    except OverflowError as error:
        raise InvalidInput("day_invalid", "that day is out of range", day=str(day)) from error


def day_of(now_us: int, zone: ZoneInfo) -> date:
    """The hall's calendar day at `now_us`."""
    return local_time(now_us, zone).date()


def local_time(now_us: int, zone: ZoneInfo) -> datetime:
    """The hall's wall time at `now_us`."""
    return (_EPOCH + timedelta(microseconds=now_us)).astimezone(zone)


def in_service(now_us: int, zone: ZoneInfo, periods: Iterable[Period]) -> bool:
    """Whether the hall serves at `now_us`; a hall without periods always does."""
    known = list(periods)
    if not known:
        return True
    local = local_time(now_us, zone)
    minute = local.hour * 60 + local.minute
    return any(
        period.weekday == local.isoweekday() and period.from_minute <= minute < period.to_minute for period in known
    )


def check_periods(periods: Iterable[Period]) -> list[Period]:
    """The periods in order.

    Raises:
        InvalidInput: one is out of range (`period_invalid`) or two overlap (`periods_overlap`).
    """
    ordered = sorted(periods, key=lambda period: (period.weekday, period.from_minute))
    for period in ordered:
        if not (1 <= period.weekday <= 7 and 0 <= period.from_minute < period.to_minute <= 1440):
            raise InvalidInput("period_invalid", "a period is weekday 1-7 and minutes 0-1440", weekday=period.weekday)
    for earlier, later in itertools.pairwise(ordered):
        if earlier.weekday == later.weekday and later.from_minute < earlier.to_minute:
            raise InvalidInput("periods_overlap", "two service periods overlap", weekday=later.weekday)
    return ordered


def _midnight_us(day: date, zone: ZoneInfo) -> int:
    moment = datetime.combine(day, time.min, tzinfo=zone)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def seconds(us: int) -> int:
    """Whole seconds of a duration in microseconds."""
    return us // US
