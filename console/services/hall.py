"""The hall: its name, zone, notices, keeping times, service periods and service windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, insert, select, update

from console.services.access import Actor
from console.services.audit_log import AuditLog
from console.services.days import Period, check_periods, zone_of
from console.services.halls import hall_row, periods_of
from console.services.names import clean_name, natural_key
from storage.archive.catalog import Catalog
from storage.archive.tables import hall, service_period, service_window
from storage.clock import Clock
from storage.errors import Conflict, InvalidInput, NotFound
from storage.ids import new_id

MOST_WINDOWS = 500
NUMBER_PLACE = "{n}"
NOTICE_LENGTH = 4000
DAYS_LIMITS = {"video_days": (1, 3660), "screen_days": (1, 3660), "visit_minutes": (1, 1440)}


@dataclass(frozen=True, slots=True)
class HallChange:
    """What PATCH /api/hall may change; None leaves a value as it is."""

    name: str | None = None
    timezone: str | None = None
    notice_staff: str | None = None
    notice_visitors: str | None = None
    quota_bytes: int | None = None
    video_days: int | None = None
    screen_days: int | None = None
    visit_minutes: int | None = None
    time_source: str | None = None
    periods: Sequence[Period] | None = field(default=None)


@dataclass(frozen=True, slots=True)
class WindowRange:
    """Windows to make in bulk: numbers `first` to `last`, named by a pattern with `{n}`."""

    first: int
    last: int
    name_pattern: str


@dataclass(frozen=True, slots=True)
class Hall:
    """Reads and changes the hall and its windows."""

    catalog: Catalog
    clock: Clock
    audit: AuditLog

    def read(self) -> dict[str, Any]:
        """The hall with its periods."""
        with self.catalog.read() as conn:
            return _shown(conn)

    def change(self, actor: Actor, change: HallChange) -> dict[str, Any]:
        """Change what is given; another notice text raises the notice's version.

        Raises:
            InvalidInput: a value cannot be taken.
        """
        values = checked_values(change)
        periods = check_periods(change.periods) if change.periods is not None else None
        with self.catalog.write() as conn:
            row = hall_row(conn)
            notices = ("notice_staff", "notice_visitors")
            if any(name in values and values[name] != getattr(row, name) for name in notices):
                values["notice_version"] = row.notice_version + 1
            if values:
                conn.execute(update(hall).where(hall.c.id == row.id).values(**values))
            if periods is not None:
                write_periods(conn, self.clock, row.id, periods)
            changed = sorted([*values, *(["periods"] if periods is not None else [])])
            self.audit.record(conn, actor, "hall_change", f"hall:{row.id}", None, {"changed": changed})
            return _shown(conn)

    def windows(self) -> list[dict[str, Any]]:
        """All service windows by number, retired ones too."""
        with self.catalog.read() as conn:
            return _windows(conn)

    def add_windows(self, actor: Actor, numbers: WindowRange) -> list[dict[str, Any]]:
        """Make windows in bulk; numbers that exist are left alone.

        Raises:
            InvalidInput: the range or the pattern cannot be taken.
        """
        with self.catalog.write() as conn:
            row = hall_row(conn)
            made = write_windows(conn, self.clock, row.id, numbers)
            detail = {"first": numbers.first, "last": numbers.last, "made": made}
            self.audit.record(conn, actor, "windows_create", f"hall:{row.id}", None, detail)
            return _windows(conn)

    def change_window(self, actor: Actor, window_id: UUID, name: str | None, retired: bool | None) -> dict[str, Any]:
        """Rename a window, retire it or bring it back.

        Raises:
            NotFound: no such window.
        """
        values: dict[str, Any] = {}
        if name is not None:
            cleaned = clean_name(name)
            values |= {"name": cleaned, "name_sort": natural_key(cleaned)}
        if retired is not None:
            values["retired_us"] = self.clock.now_us() if retired else None
        with self.catalog.write() as conn:
            require_window(conn, window_id)
            if values:
                conn.execute(update(service_window).where(service_window.c.id == window_id).values(**values))
            changed = sorted(name for name in values if name != "name_sort")
            self.audit.record(conn, actor, "window_change", f"window:{window_id}", None, {"changed": changed})
            return next(item for item in _windows(conn) if item["id"] == str(window_id))


def checked_values(change: HallChange) -> dict[str, Any]:
    """The columns to write.

    Raises:
        InvalidInput: an unknown zone, an empty name, or a number out of its range.
    """
    values = {name: value for name, value in _plain(change).items() if value is not None}
    if change.name is not None:
        values["name"] = clean_name(change.name)
    if change.timezone is not None:
        zone_of(change.timezone)
    for name, (least, most) in DAYS_LIMITS.items():
        if name in values and not least <= values[name] <= most:
            raise InvalidInput("out_of_range", f"{name} is {least} to {most}", field=name, least=least, most=most)
    if values.get("quota_bytes", 0) < 0:
        raise InvalidInput("out_of_range", "quota_bytes is 0 (whole volume) or more", field="quota_bytes")
    for name in ("notice_staff", "notice_visitors"):
        if len(values.get(name, "")) > NOTICE_LENGTH:
            raise InvalidInput("notice_long", f"a notice has at most {NOTICE_LENGTH} characters", field=name)
    return values


def _plain(change: HallChange) -> dict[str, Any]:
    return {name: getattr(change, name) for name in HallChange.__dataclass_fields__ if name != "periods"}


def write_periods(conn: Connection, clock: Clock, hall_id: UUID, periods: Sequence[Period]) -> None:
    """Replace the hall's service periods with checked ones."""
    conn.execute(delete(service_period).where(service_period.c.hall_id == hall_id))
    rows = [{"id": new_id(clock), "hall_id": hall_id, **asdict(period)} for period in periods]
    if rows:
        conn.execute(insert(service_period), rows)


def write_windows(conn: Connection, clock: Clock, hall_id: UUID, numbers: WindowRange) -> int:
    """Insert the windows of a range that do not exist; returns how many were made.

    Raises:
        InvalidInput: `window_range` or `window_pattern`.
    """
    if not 1 <= numbers.first <= numbers.last <= 9999 or numbers.last - numbers.first >= MOST_WINDOWS:
        raise InvalidInput("window_range", f"windows are 1-9999, at most {MOST_WINDOWS} at once", most=MOST_WINDOWS)
    if NUMBER_PLACE not in numbers.name_pattern:
        raise InvalidInput("window_pattern", "the name pattern needs {n} where the number goes")
    known = set(conn.execute(select(service_window.c.number).where(service_window.c.hall_id == hall_id)).scalars())
    wanted = [number for number in range(numbers.first, numbers.last + 1) if number not in known]
    rows = [_window_values(clock, hall_id, number, numbers.name_pattern) for number in wanted]
    if rows:
        conn.execute(insert(service_window), rows)
    return len(rows)


def _window_values(clock: Clock, hall_id: UUID, number: int, pattern: str) -> dict[str, Any]:
    name = clean_name(pattern.replace(NUMBER_PLACE, str(number)))
    return {
        "id": new_id(clock),
        "hall_id": hall_id,
        "number": number,
        "name": name,
        "name_sort": natural_key(name),
        "created_us": clock.now_us(),
        "retired_us": None,
    }


def require_window(conn: Connection, window_id: UUID, *, open_only: bool = False) -> Any:
    """The window's row.

    Raises:
        NotFound: no such window (`window_unknown`).
        Conflict: it is retired and `open_only` was asked (`window_retired`).
    """
    row = conn.execute(select(service_window).where(service_window.c.id == window_id)).first()
    if row is None:
        raise NotFound("window_unknown", "no such service window")
    if open_only and row.retired_us is not None:
        raise Conflict("window_retired", "that window is retired: bring it back first", number=row.number)
    return row


def _windows(conn: Connection) -> list[dict[str, Any]]:
    columns = (service_window.c.id, service_window.c.number, service_window.c.name, service_window.c.retired_us)
    rows = conn.execute(select(*columns).order_by(service_window.c.number)).all()
    return [{"id": str(row.id), "number": row.number, "name": row.name, "retired_us": row.retired_us} for row in rows]


def _shown(conn: Connection) -> dict[str, Any]:
    row = hall_row(conn)
    names = (
        "name",
        "timezone",
        "notice_staff",
        "notice_visitors",
        "notice_version",
        "quota_bytes",
        "video_days",
        "screen_days",
        "visit_minutes",
        "time_source",
    )
    shown = {name: getattr(row, name) for name in names}
    periods = [asdict(period) for period in periods_of(conn, row.id)]
    return {"id": str(row.id), **shown, "periods": periods}
