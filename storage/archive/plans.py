"""Recording plans and service hours as the catalog holds them; console and gateway read them alike."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import Connection, or_, select

from storage.archive import tables
from storage.errors import InvalidInput
from storage.hours import CameraPlan, HallHours, NamedWeek, WindowHours
from storage.model import DayKind, RecordingMode
from storage.schedule import Calendar, Period, SpecialDay, Week

PLAN_COLUMNS = tuple(
    tables.recording_plan.c[name].label(f"plan_{name}")
    for name in (
        "mode",
        "schedule_id",
        "pre_roll_s",
        "post_roll_s",
        "on_visit",
        "on_motion",
        "extend_visits",
        "extend_after_s",
        "extend_cap_s",
        "audio",
    )
)
"""What `plan_of` needs of an outer join with `recording_plan`."""


def plan_of(row: Mapping[Any, Any]) -> CameraPlan:
    """The plan in a row with `PLAN_COLUMNS`; a camera without one is always recorded."""
    if row["plan_mode"] is None:
        return CameraPlan()
    values = {column.name.removeprefix("plan_"): row[column.name] for column in PLAN_COLUMNS}
    return CameraPlan(**{**values, "mode": RecordingMode(values["mode"])})


def read_hours(conn: Connection, hall_id: UUID) -> HallHours:
    """The hours of a hall: its zone, its own periods, schedules, windows and calendar.

    Raises:
        InvalidInput: the hall's zone is unknown on this machine (`timezone_unknown`), or there is no such hall.
    """
    name = conn.execute(select(tables.hall.c.timezone).where(tables.hall.c.id == hall_id)).scalar_one_or_none()
    try:
        zone = ZoneInfo(name or "")
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidInput("timezone_unknown", "give the hall an IANA zone such as Asia/Shanghai") from error
    return HallHours(
        zone, _hall_periods(conn, hall_id), _schedules(conn, hall_id), _windows(conn, hall_id), _calendar(conn, hall_id)
    )


def windows_seen(conn: Connection, t_us: int, channel_ids: Collection[UUID] | None = None) -> dict[UUID, list[UUID]]:
    """The windows in service that each camera sees at `t_us` (of all cameras, or of these)."""
    maps, windows = tables.camera_window, tables.service_window
    query = (
        select(maps.c.channel_id, maps.c.window_id)
        .distinct()
        .join(windows, windows.c.id == maps.c.window_id)
        .where(maps.c.from_us <= t_us, or_(maps.c.to_us.is_(None), maps.c.to_us > t_us))
        .where(or_(windows.c.retired_us.is_(None), windows.c.retired_us > t_us))
        .order_by(maps.c.channel_id, maps.c.window_id)
    )
    if channel_ids is not None:
        query = query.where(maps.c.channel_id.in_(channel_ids))
    found: dict[UUID, list[UUID]] = {}
    for channel_id, window_id in conn.execute(query):
        found.setdefault(channel_id, []).append(window_id)
    return found


def _hall_periods(conn: Connection, hall_id: UUID) -> tuple[Period, ...]:
    table = tables.service_period.c
    query = select(table.weekday, table.from_minute, table.to_minute).where(table.hall_id == hall_id)
    return tuple(sorted(Period(*row) for row in conn.execute(query)))


def _schedules(conn: Connection, hall_id: UUID) -> dict[UUID, NamedWeek]:
    table, parts = tables.schedule, tables.schedule_period
    columns = (table.c.id, table.c.name, table.c.follows_calendar)
    query = select(*columns, parts.c.weekday, parts.c.from_minute, parts.c.to_minute)
    query = query.outerjoin(parts, parts.c.schedule_id == table.c.id).where(table.c.hall_id == hall_id)
    named: dict[UUID, tuple[str, bool]] = {}
    periods: dict[UUID, list[Period]] = {}
    for row in conn.execute(query):
        named[row.id] = (row.name, row.follows_calendar)
        mine = periods.setdefault(row.id, [])
        if row.weekday is not None:
            mine.append(Period(row.weekday, row.from_minute, row.to_minute))
    return {key: NamedWeek(name, Week(tuple(sorted(periods[key])), follows)) for key, (name, follows) in named.items()}


def _windows(conn: Connection, hall_id: UUID) -> dict[UUID, WindowHours]:
    hours, windows = tables.window_hours, tables.service_window
    query = select(hours).join(windows, windows.c.id == hours.c.window_id)
    query = query.where(windows.c.hall_id == hall_id, windows.c.retired_us.is_(None))
    return {row.window_id: WindowHours(row.schedule_id, weekdays_of(row.lunch_weekdays)) for row in conn.execute(query)}


def _calendar(conn: Connection, hall_id: UUID) -> Calendar:
    years, days = tables.calendar_year.c, tables.calendar_day.c
    loaded = conn.execute(select(years.year).where(years.hall_id == hall_id)).scalars()
    rows = conn.execute(select(days.day, days.kind, days.as_weekday, days.name).where(days.hall_id == hall_id))
    special = (SpecialDay(date.fromisoformat(row.day), DayKind(row.kind), row.as_weekday, row.name) for row in rows)
    return Calendar(frozenset(loaded), {one.day: one for one in special})


def weekdays_of(bits: int) -> frozenset[int]:
    """ISO weekdays of a mask whose bit 0 is Monday."""
    return frozenset(day for day in range(1, 8) if bits >> (day - 1) & 1)


def weekday_bits(weekdays: Collection[int]) -> int:
    """The mask of ISO weekdays."""
    return sum(1 << (day - 1) for day in set(weekdays))
