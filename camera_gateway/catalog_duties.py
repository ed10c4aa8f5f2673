"""What the cameras of a share have to do now, from the catalog: a few small queries for all of them, no more."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from camera_gateway.recording_plan import Decision, Moment, WindowEvent, busy_spans, decide, needs_activity
from storage.archive.plans import plan_of, read_hours, windows_seen
from storage.archive.tables import case_event, hall
from storage.clock import US
from storage.errors import InvalidInput
from storage.hours import CameraPlan, HallHours, HallTimetables, timetable_of
from storage.model import EventKind, RecordingMode, Span, TimePrecision
from storage.schedule import missing_years

log = logging.getLogger(__name__)

EDGE_PRE_ROLL_S = 1
"""Kept before a period begins, so that the first frame in it has the key frame it needs."""
_FUTURE_US = 5 * 60 * US
"""Events of a source whose clock is so far ahead are taken as they come."""
_WIDTH_US = {
    TimePrecision.MICROSECOND.value: 1,
    TimePrecision.SECOND.value: US,
    TimePrecision.MINUTE.value: 60 * US,
}
_TIMED = (RecordingMode.PERIODS, RecordingMode.EVENT)
_NO_HOURS = HallTimetables(HallHours(ZoneInfo("UTC")))


@dataclass(frozen=True, slots=True)
class Duty:
    """A camera's plan and what it asks of the camera now."""

    plan: CameraPlan
    decision: Decision

    @property
    def pre_roll_s(self) -> int:
        """Seconds to keep while the camera stands by."""
        return self.plan.pre_roll_s if self.plan.mode is RecordingMode.EVENT else EDGE_PRE_ROLL_S

    @property
    def metadata(self) -> bool:
        """Whether ONVIF events matter to the plan, now or later: no edge of the day makes the camera connect anew."""
        return self.plan.mode is RecordingMode.EVENT and self.plan.on_motion


@dataclass(slots=True)
class CatalogDuties:
    """Keeps the timetables between two looks for as long as the hours stay the same. One thread asks."""

    missing_years: frozenset[int] = frozenset()
    """Calendar years that plans need, should be there, and are not: as the last look found it."""
    _known: dict[UUID, HallTimetables] = field(default_factory=dict)
    _unreadable: set[UUID] = field(default_factory=set)

    def of(self, conn: Connection, cameras: Mapping[UUID, Mapping[Any, Any]], now_us: int) -> dict[UUID, Duty]:
        """Duties by channel. `cameras`: a row for each with its `hall_id` and `PLAN_COLUMNS`."""
        plans = {channel_id: plan_of(row) for channel_id, row in cameras.items()}
        halls: dict[UUID, list[UUID]] = {}
        for channel_id, plan in plans.items():
            if plan.mode in _TIMED:
                halls.setdefault(cameras[channel_id]["hall_id"], []).append(channel_id)
        nothing = Moment(now_us, _NO_HOURS)
        found = {key: Duty(one, decide(one, (), nothing)) for key, one in plans.items() if one.mode not in _TIMED}
        self.missing_years = frozenset()
        seen = windows_seen(conn, now_us) if halls else {}
        for hall_id, mine in halls.items():
            here = {channel_id: (plans[channel_id], seen.get(channel_id, [])) for channel_id in mine}
            found.update(self._of_hall(conn, hall_id, here, now_us))
        return found

    def _of_hall(
        self, conn: Connection, hall_id: UUID, cameras: Mapping[UUID, tuple[CameraPlan, list[UUID]]], now_us: int
    ) -> dict[UUID, Duty]:
        timetables = self._timetables(conn, hall_id)
        if timetables is None:  # in doubt, record
            always = decide(CameraPlan(), (), Moment(now_us, _NO_HOURS))
            return {key: Duty(plan, always) for key, (plan, _) in cameras.items()}
        asked: set[UUID] = set()
        for plan, windows in cameras.values():
            if needs_activity(plan, windows, timetables, now_us):
                asked.update(windows)
        reach_us = max(plan.extend_cap_s + plan.extend_after_s + plan.post_roll_s for plan, _ in cameras.values()) * US
        busy = busy_windows(conn, hall_id, asked, now_us, reach_us) if asked else {}
        moment = Moment(now_us, timetables, busy)
        self._look_for_years(cameras.values(), timetables, now_us)
        return {key: Duty(plan, decide(plan, windows, moment)) for key, (plan, windows) in cameras.items()}

    def _timetables(self, conn: Connection, hall_id: UUID) -> HallTimetables | None:
        try:
            hours = read_hours(conn, hall_id)
        except InvalidInput as error:
            if hall_id not in self._unreadable:  # told once, not every two seconds
                log.error("hours_unreadable", extra={"fields": {"hall": str(hall_id), "error": error.message}})
            self._unreadable.add(hall_id)
            return None
        self._unreadable.discard(hall_id)
        known = self._known.get(hall_id)
        if known is None or known.hours != hours:
            known = self._known[hall_id] = HallTimetables(hours)
        return known

    def _look_for_years(
        self, cameras: Iterable[tuple[CameraPlan, list[UUID]]], timetables: HallTimetables, now_us: int
    ) -> None:
        hours = timetables.hours
        missing = missing_years(hours.calendar, now_us, hours.zone)
        if missing and any(_follows_calendar(plan, windows, timetables) for plan, windows in cameras):
            self.missing_years |= frozenset(missing)


def _follows_calendar(plan: CameraPlan, windows: list[UUID], timetables: HallTimetables) -> bool:
    table = timetable_of(plan, windows, timetables)
    return table is not None and table.follows_calendar


def busy_windows(
    conn: Connection, hall_id: UUID, window_ids: Iterable[UUID], now_us: int, reach_us: int
) -> dict[UUID, list[Span]]:
    """When each window was busy, as far as it matters to the last `reach_us`; events that know only a day are none."""
    minutes = conn.execute(select(hall.c.visit_minutes).where(hall.c.id == hall_id)).scalar_one()
    idle_us = minutes * 60 * US
    table = case_event.c
    columns = (table.window_id, table.kind, table.event_us, table.precision, table.case_id, table.ticket)
    query = select(*columns).where(
        table.window_id.in_(list(window_ids)),
        table.event_us > now_us - reach_us - idle_us,
        table.event_us <= now_us + _FUTURE_US,
        table.precision != TimePrecision.DAY.value,
    )
    events: dict[UUID, list[WindowEvent]] = {}
    for row in conn.execute(query):
        case = "" if row.case_id is None else str(row.case_id)
        ticket = f"ticket {row.ticket}" if row.ticket else ""
        width_us = _WIDTH_US[row.precision]
        event = WindowEvent(EventKind(row.kind), min(row.event_us, now_us), width_us, case, ticket)
        events.setdefault(row.window_id, []).append(event)
    return {window_id: busy_spans(mine, idle_us) for window_id, mine in events.items()}
