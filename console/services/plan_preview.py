"""Which cameras are recorded when on a day, as their plans and the calendar stand now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, select

from console.services.days import day_span, parse_day
from console.services.halls import hall_row
from storage.archive.catalog import Catalog
from storage.archive.plans import PLAN_COLUMNS, plan_of, read_hours, windows_seen
from storage.archive.tables import channel, device, recording_plan
from storage.clock import US, Clock
from storage.hours import CameraPlan, HallTimetables, timetable_of
from storage.model import RecordingMode, Span
from storage.schedule import Calendar, local_day

RECORD, EVENT, MAY_EXTEND = "record", "event", "may_extend"


@dataclass(frozen=True, slots=True)
class PlanPreview:
    """Answers for one day of the hall."""

    catalog: Catalog
    clock: Clock

    def of_day(self, day: str | None) -> dict[str, Any]:
        """Bars of each camera in service on that day (None: today). Raises InvalidInput (`day_invalid`)."""
        given = None if day is None else parse_day(day)
        now_us = self.clock.now_us()
        with self.catalog.read() as conn:
            timetables = HallTimetables(read_hours(conn, hall_row(conn).id))
            asked = given or local_day(now_us, timetables.hours.zone)
            span = day_span(asked, timetables.hours.zone)
            seen = windows_seen(conn, min(max(now_us, span.t0_us), span.t1_us - 1))
            cameras = [_camera(row, seen.get(row["id"], []), timetables, span) for row in _rows(conn)]
        day_facts = _day(timetables.hours.calendar, asked)
        about = {"day": asked.isoformat(), "t0_us": span.t0_us, "t1_us": span.t1_us, "now_us": now_us}
        return {**about, "calendar": day_facts, "cameras": cameras}


def _rows(conn: Connection) -> Sequence[RowMapping]:
    joined = channel.join(device, device.c.id == channel.c.device_id)
    joined = joined.outerjoin(recording_plan, recording_plan.c.channel_id == channel.c.id)
    query = select(channel.c.id, channel.c.name, *PLAN_COLUMNS).select_from(joined)
    query = query.where(device.c.retired_us.is_(None)).order_by(channel.c.name_sort, channel.c.id)
    return conn.execute(query).mappings().all()


def _day(calendar: Calendar, day: date) -> dict[str, Any]:
    special = calendar.days.get(day)
    return {
        "loaded": day.year in calendar.years,
        "kind": special.kind.value if special else None,
        "as_weekday": calendar.weekday_of(day) or 0,
        "name": special.name if special else "",
    }


def _camera(row: RowMapping, windows: list[UUID], timetables: HallTimetables, span: Span) -> dict[str, Any]:
    plan = plan_of(row)
    bars = sorted(_bars(plan, windows, timetables, span), key=lambda bar: (bar[0].t0_us, bar[1]))
    return {
        "camera_id": str(row["id"]),
        "name": row["name"],
        "mode": plan.mode.value,
        "schedule": _schedule(plan, windows, timetables),
        "bars": [{"t0_us": one.t0_us, "t1_us": one.t1_us, "state": state} for one, state in bars],
    }


def _schedule(plan: CameraPlan, windows: list[UUID], timetables: HallTimetables) -> str | None:
    if plan.schedule_id is not None:
        return timetables.name_of(plan.schedule_id)
    names = timetables.own_schedules(windows) if plan.mode is RecordingMode.PERIODS else []
    return ", ".join(names) or None


def _bars(plan: CameraPlan, windows: list[UUID], timetables: HallTimetables, span: Span) -> Iterator[tuple[Span, str]]:
    if plan.mode is RecordingMode.OFF:
        return
    table = timetable_of(plan, windows, timetables)
    state = RECORD
    if plan.mode is RecordingMode.EVENT and (plan.on_motion or (plan.on_visit and windows)):
        state = EVENT
    if table is None:
        yield span, state
        return
    for one in table.spans(span):
        yield one, state
    if plan.extend_visits and windows and plan.extend_cap_s:
        for one in _extensions(table.spans(_wider(span, plan.extend_cap_s * US)), plan.extend_cap_s * US):
            shown = Span(max(one.t0_us, span.t0_us), min(one.t1_us, span.t1_us))
            if shown.t0_us < shown.t1_us:
                yield shown, MAY_EXTEND


def _wider(span: Span, by_us: int) -> Span:
    return Span(span.t0_us - by_us, span.t1_us + by_us)


def _extensions(open_spans: Sequence[Span], cap_us: int) -> Iterator[Span]:
    """From each closing to the cap or the next opening. The last of them may be cut by the edge of what is asked."""
    for index, one in enumerate(open_spans):
        following = open_spans[index + 1].t0_us if index + 1 < len(open_spans) else one.t1_us + cap_us
        yield Span(one.t1_us, min(one.t1_us + cap_us, following))
