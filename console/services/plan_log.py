"""What every change of a plan leaves behind: an audit row, a leaf on the hall's map chain, and alarms put right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from sqlalchemy import Connection, select

from console.services.access import Actor
from console.services.audit_log import AuditLog
from storage.archive.alarms import close_alarm, is_open, open_alarm
from storage.archive.plans import PLAN_COLUMNS, plan_of, read_hours, windows_seen
from storage.archive.tables import alarm, channel, device, recording_plan
from storage.clock import Clock
from storage.errors import InvalidInput
from storage.evidence.chain import append_leaves, lock_head
from storage.evidence.leaf import Fact
from storage.hours import CameraPlan, HallHours, HallTimetables, timetable_of
from storage.ids import hall_chain
from storage.model import AlarmKind, LeafKind, StreamKind
from storage.schedule import missing_years

CALENDAR = "calendar"


def lock_plans(conn: Connection, hall_id: UUID) -> None:
    """Let changes of plans wait for each other from here to the end of the transaction: they read before they write."""
    lock_head(conn, hall_chain(hall_id, StreamKind.MAP), StreamKind.MAP)


def log_plans(conn: Connection, hall_id: UUID, facts: Sequence[Mapping[str, Fact]]) -> None:
    """Append `plan` leaves to the hall's map chain: what was to be recorded can be proven like what was recorded."""
    chain = hall_chain(hall_id, StreamKind.MAP)
    epoch = lock_head(conn, chain, StreamKind.MAP).epoch
    append_leaves(conn, chain, StreamKind.MAP, [(LeafKind.PLAN, one) for one in facts], epoch)


def note_change(
    conn: Connection, audit: AuditLog, actor: Actor, hall_id: UUID, action: str, subject: str, facts: Mapping[str, Fact]
) -> None:
    """One change of a schedule, a calendar or a keeping class: audit row, leaf, and the alarms that follow from it."""
    audit.record(conn, actor, action, subject, None, dict(facts))
    log_plans(conn, hall_id, [{"change": action, "subject": subject, **facts}])
    settle_missing_years(conn, audit.clock, hall_id)


def needed_years(conn: Connection, hall_id: UUID, now_us: int) -> list[int]:
    """The calendar years that plans need by now and nobody has loaded."""
    try:
        hours = read_hours(conn, hall_id)
    except InvalidInput:  # an unknown zone: all cameras are recorded, no calendar is needed
        return []
    years = missing_years(hours.calendar, now_us, hours.zone)
    return years if years and _needs_calendar(conn, hours, hall_id, now_us) else []


def settle_missing_years(conn: Connection, clock: Clock, hall_id: UUID) -> None:
    """Open and close the alarms about calendar years as plans and calendar are now."""
    wanted = {f"{CALENDAR}:{year}": year for year in needed_years(conn, hall_id, clock.now_us())}
    for subject, year in wanted.items():
        if not is_open(conn, AlarmKind.CALENDAR_UNLOADED, subject):
            open_alarm(conn, clock, AlarmKind.CALENDAR_UNLOADED, subject, {"year": year})
    for subject in _open_subjects(conn):
        if subject not in wanted:
            close_alarm(conn, clock, AlarmKind.CALENDAR_UNLOADED, subject)


def _open_subjects(conn: Connection) -> list[str]:
    kind = AlarmKind.CALENDAR_UNLOADED.value
    query = select(alarm.c.subject).where(alarm.c.kind == kind, alarm.c.closed_us.is_(None))
    return list(conn.execute(query).scalars())


def _needs_calendar(conn: Connection, hours: HallHours, hall_id: UUID, now_us: int) -> bool:
    timetables = HallTimetables(hours)
    seen = windows_seen(conn, now_us)
    plans = plans_of_hall(conn, hall_id)
    return any(
        table is not None and table.follows_calendar
        for table in (timetable_of(plan, seen.get(camera_id, []), timetables) for camera_id, plan in plans)
    )


def plans_of_hall(conn: Connection, hall_id: UUID) -> Iterable[tuple[UUID, CameraPlan]]:
    """The plans of the hall's cameras in service that have one of their own."""
    joined = recording_plan.join(channel, channel.c.id == recording_plan.c.channel_id)
    joined = joined.join(device, device.c.id == channel.c.device_id)
    query = select(channel.c.id, *PLAN_COLUMNS).select_from(joined)
    query = query.where(device.c.hall_id == hall_id, device.c.retired_us.is_(None))
    return [(row["id"], plan_of(row)) for row in conn.execute(query).mappings()]
