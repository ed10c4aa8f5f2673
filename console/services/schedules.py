"""Named schedules (班次), and which hours each service window keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, func, insert, select, update

from console.services.access import Actor
from console.services.audit_log import AuditLog
from console.services.hall import require_window
from console.services.halls import hall_row
from console.services.names import clean_name, natural_key
from console.services.plan_log import lock_plans, note_change
from storage.archive.catalog import Catalog
from storage.archive.plans import weekday_bits, weekdays_of
from storage.archive.tables import recording_plan, schedule, schedule_period, service_window, window_hours
from storage.clock import Clock
from storage.errors import Conflict, InvalidInput, NotFound
from storage.ids import new_id
from storage.schedule import Period, check_week


@dataclass(frozen=True, slots=True)
class ScheduleChange:
    """What to set; None leaves a value as it is."""

    name: str | None = None
    follows_calendar: bool | None = None
    periods: Sequence[Period] | None = None


@dataclass(frozen=True, slots=True)
class Schedules:
    """Reads and changes schedules and the windows' hours."""

    catalog: Catalog
    clock: Clock
    audit: AuditLog

    def all(self) -> list[dict[str, Any]]:
        """All schedules in natural order, with how many cameras and windows go by each."""
        with self.catalog.read() as conn:
            return _shown(conn, hall_row(conn).id)

    def create(self, actor: Actor, wanted: ScheduleChange) -> dict[str, Any]:
        """Make a schedule. Raises InvalidInput (name or periods), Conflict (`schedule_exists`)."""
        schedule_id, name = new_id(self.clock), clean_name(wanted.name or "")
        periods = check_week(wanted.periods or ())
        with self.catalog.write() as conn:
            hall_id = hall_row(conn).id
            _require_free(conn, hall_id, name, None)
            values = {"name": name, "name_sort": natural_key(name), "created_us": self.clock.now_us()}
            follows = wanted.follows_calendar is not False
            conn.execute(insert(schedule).values(id=schedule_id, hall_id=hall_id, follows_calendar=follows, **values))
            self._write_periods(conn, schedule_id, periods)
            return self._noted(conn, actor, hall_id, schedule_id, "schedule_create")

    def change(self, actor: Actor, schedule_id: UUID, wanted: ScheduleChange) -> dict[str, Any]:
        """Change what is given. Raises NotFound (`schedule_unknown`), InvalidInput, Conflict."""
        periods = None if wanted.periods is None else check_week(wanted.periods)
        with self.catalog.write() as conn:
            hall_id = hall_row(conn).id
            lock_plans(conn, hall_id)  # the periods of two who change it at once would come together
            _require(conn, hall_id, schedule_id)
            values: dict[str, Any] = {}
            if wanted.name is not None:
                name = clean_name(wanted.name)
                _require_free(conn, hall_id, name, schedule_id)
                values |= {"name": name, "name_sort": natural_key(name)}
            if wanted.follows_calendar is not None:
                values["follows_calendar"] = wanted.follows_calendar
            if values:
                conn.execute(update(schedule).where(schedule.c.id == schedule_id).values(**values))
            if periods is not None:
                conn.execute(delete(schedule_period).where(schedule_period.c.schedule_id == schedule_id))
                self._write_periods(conn, schedule_id, periods)
            return self._noted(conn, actor, hall_id, schedule_id, "schedule_change")

    def remove(self, actor: Actor, schedule_id: UUID) -> None:
        """Delete one that nothing goes by. Raises NotFound, Conflict (`schedule_in_use`)."""
        with self.catalog.write() as conn:
            hall_id = hall_row(conn).id
            _require(conn, hall_id, schedule_id)
            shown = next(one for one in _shown(conn, hall_id) if one["id"] == str(schedule_id))
            if shown["cameras"] or shown["windows"]:
                used = {"cameras": shown["cameras"], "windows": shown["windows"]}
                raise Conflict("schedule_in_use", "cameras or windows go by this schedule", **used)
            conn.execute(delete(schedule_period).where(schedule_period.c.schedule_id == schedule_id))
            conn.execute(delete(schedule).where(schedule.c.id == schedule_id))
            facts = {"name": shown["name"]}
            note_change(conn, self.audit, actor, hall_id, "schedule_delete", f"schedule:{schedule_id}", facts)

    def hours(self) -> list[dict[str, Any]]:
        """The hours of all windows in service, by number."""
        with self.catalog.read() as conn:
            return _hours(conn, hall_row(conn).id)

    def change_hours(self, actor: Actor, window_id: UUID, given: Mapping[str, Any]) -> dict[str, Any]:
        """Set a window's `schedule_id` (None: the hall's periods) and `lunch_weekdays`, as far as given.

        Raises:
            NotFound: no such window or schedule.
            InvalidInput: a weekday is not 1-7 (`weekday_invalid`).
        """
        values = dict(given)
        if "lunch_weekdays" in values:
            if not all(1 <= day <= 7 for day in values["lunch_weekdays"]):
                raise InvalidInput("weekday_invalid", "weekdays are 1 (Monday) to 7")
            values["lunch_weekdays"] = weekday_bits(values["lunch_weekdays"])
        with self.catalog.write() as conn:
            hall_id = require_window(conn, window_id).hall_id
            if values.get("schedule_id") is not None:
                _require(conn, hall_id, values["schedule_id"])
            known = conn.execute(select(window_hours).where(window_hours.c.window_id == window_id)).first()
            if known is None:
                conn.execute(insert(window_hours).values(window_id=window_id, **values))
            elif values:
                conn.execute(update(window_hours).where(window_hours.c.window_id == window_id).values(**values))
            row = conn.execute(select(window_hours).where(window_hours.c.window_id == window_id)).one()
            facts = {"schedule": str(row.schedule_id or ""), "lunch_weekdays": row.lunch_weekdays}
            note_change(conn, self.audit, actor, hall_id, "window_hours_change", f"window:{window_id}", facts)
            return _hours(conn, hall_id, window_id)[0]

    def _write_periods(self, conn: Connection, schedule_id: UUID, periods: Sequence[Period]) -> None:
        rows = [{"id": new_id(self.clock), "schedule_id": schedule_id, **asdict(period)} for period in periods]
        conn.execute(insert(schedule_period), rows)

    def _noted(self, conn: Connection, actor: Actor, hall_id: UUID, schedule_id: UUID, action: str) -> dict[str, Any]:
        shown = next(one for one in _shown(conn, hall_id) if one["id"] == str(schedule_id))
        facts = {
            "name": shown["name"],
            "follows_calendar": int(shown["follows_calendar"]),
            "periods": " ".join("{weekday}:{from_minute}-{to_minute}".format(**one) for one in shown["periods"]),
        }
        note_change(conn, self.audit, actor, hall_id, action, f"schedule:{schedule_id}", facts)
        return shown


def _require(conn: Connection, hall_id: UUID, schedule_id: UUID) -> None:
    query = select(schedule.c.id).where(schedule.c.id == schedule_id, schedule.c.hall_id == hall_id)
    if conn.execute(query).first() is None:
        raise NotFound("schedule_unknown", "no such schedule")


def _require_free(conn: Connection, hall_id: UUID, name: str, but: UUID | None) -> None:
    query = select(schedule.c.id).where(schedule.c.hall_id == hall_id, schedule.c.name == name)
    known = conn.execute(query).scalar_one_or_none()
    if known is not None and known != but:
        raise Conflict("schedule_exists", "there is a schedule of that name")


def _shown(conn: Connection, hall_id: UUID) -> list[dict[str, Any]]:
    cameras = _counts(conn, recording_plan.c.schedule_id)
    windows = _counts(conn, window_hours.c.schedule_id)
    parts: dict[UUID, list[Period]] = {}
    columns = (schedule_period.c.weekday, schedule_period.c.from_minute, schedule_period.c.to_minute)
    for row in conn.execute(select(schedule_period.c.schedule_id, *columns)):
        parts.setdefault(row.schedule_id, []).append(Period(*row[1:]))
    query = select(schedule).where(schedule.c.hall_id == hall_id).order_by(schedule.c.name_sort, schedule.c.id)
    return [
        {
            "id": str(row.id),
            "name": row.name,
            "follows_calendar": row.follows_calendar,
            "periods": [asdict(period) for period in sorted(parts.get(row.id, []))],
            "cameras": cameras.get(row.id, 0),
            "windows": windows.get(row.id, 0),
        }
        for row in conn.execute(query)
    ]


def _counts(conn: Connection, column: Any) -> dict[UUID, int]:
    query = select(column, func.count()).where(column.is_not(None)).group_by(column)
    return {row[0]: row[1] for row in conn.execute(query)}


def _hours(conn: Connection, hall_id: UUID, window_id: UUID | None = None) -> list[dict[str, Any]]:
    windows, hours = service_window, window_hours
    columns = (windows.c.id, windows.c.number, windows.c.name, hours.c.schedule_id, hours.c.lunch_weekdays)
    query = select(*columns).outerjoin(hours, hours.c.window_id == windows.c.id).where(windows.c.hall_id == hall_id)
    if window_id is not None:
        query = query.where(windows.c.id == window_id)
    else:
        query = query.where(windows.c.retired_us.is_(None))
    return [
        {
            "window_id": str(row.id),
            "number": row.number,
            "name": row.name,
            "schedule_id": str(row.schedule_id) if row.schedule_id else None,
            "lunch_weekdays": sorted(weekdays_of(row.lunch_weekdays or 0)),
        }
        for row in conn.execute(query.order_by(windows.c.number))
    ]
