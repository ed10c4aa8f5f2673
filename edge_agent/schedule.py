"""Service periods: when the hall serves, in the hall's own time zone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Period:
    """Service hours of one weekday (ISO 8601: Monday is 1), minutes after midnight, half-open."""

    weekday: int
    from_minute: int
    to_minute: int

    @property
    def valid(self) -> bool:
        return 1 <= self.weekday <= 7 and 0 <= self.from_minute < self.to_minute <= 1440


def in_service(now_us: int, zone: ZoneInfo, periods: Iterable[Period]) -> bool:
    """Whether the hall serves at `now_us`; a hall that has named no periods always does."""
    known = list(periods)
    if not known:
        return True
    local = (_EPOCH + timedelta(microseconds=now_us)).astimezone(zone)
    minute = local.hour * 60 + local.minute
    return any(
        period.weekday == local.isoweekday() and period.from_minute <= minute < period.to_minute for period in known
    )
