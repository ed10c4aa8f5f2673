"""Keeps derived case data true while nothing comes in: visits close when their time is up, windows that were unknown
get their events when somebody adds them, and the alarm of a conflict closes a week after the last one."""

from __future__ import annotations

import json
from uuid import UUID

from sqlalchemy import Connection, select, update

from console.services.binding import VisitBinder, WindowDay
from console.services.days import day_of
from console.services.halls import hall_clock
from console.services.intake import window_of, windows_by_number
from storage.archive.alarms import close_alarm
from storage.archive.catalog import Catalog
from storage.archive.tables import alarm, case_event
from storage.clock import US, Clock
from storage.model import AlarmKind

EVENTS_A_WRITE = 200
CONFLICT_SHOWN_US = 7 * 86_400 * US
"""How long a sequence conflict is shown after the last one. The row in `alarm` stays for ever."""
_UNKNOWN = "window_code:"


class CaseKeeper:
    """What a `Periodic` part of the console does every few seconds."""

    def __init__(self, catalog: Catalog, clock: Clock, binder: VisitBinder) -> None:
        self._catalog = catalog
        self._clock = clock
        self._binder = binder
        self._caught_up = False

    def run_once(self) -> int:
        """Close visits that are due and link events of windows that are known now; how many visits were written.

        The first time the windows' days with recent events are derived once more, in case a crash came between.
        """
        written = 0
        if not self._caught_up:
            written = self._binder.bind(self._binder.recent())
            self._caught_up = True
        written += self._binder.bind(self._link_windows())
        self._close_conflicts()
        return written + self._binder.bind(self._binder.due())

    def _close_conflicts(self) -> None:
        open_ones = (alarm.c.closed_us.is_(None), alarm.c.kind == AlarmKind.SEQUENCE_CONFLICT.value)
        with self._catalog.read() as conn:
            rows = conn.execute(select(alarm.c.subject, alarm.c.opened_us, alarm.c.detail).where(*open_ones)).all()
        old_us = self._clock.now_us() - CONFLICT_SHOWN_US
        done = [row.subject for row in rows if json.loads(row.detail or "{}").get("last_us", row.opened_us) < old_us]
        if done:
            with self._catalog.write() as conn:
                for subject in done:
                    close_alarm(conn, self._clock, AlarmKind.SEQUENCE_CONFLICT, subject)

    def _link_windows(self) -> list[WindowDay]:
        with self._catalog.read() as conn:
            subjects = conn.execute(
                select(alarm.c.subject).where(
                    alarm.c.closed_us.is_(None), alarm.c.kind == AlarmKind.UNKNOWN_WINDOW.value
                )
            ).scalars()
            codes = [subject.removeprefix(_UNKNOWN) for subject in subjects]
            windows = windows_by_number(conn) if codes else {}
        touched: set[WindowDay] = set()
        for code in codes:
            window_id = window_of(windows, code)
            if window_id is not None:
                touched |= self._link(code, window_id)
        return sorted(touched, key=lambda item: (item.day, item.window_id))

    def _link(self, code: str, window_id: UUID) -> set[WindowDay]:
        touched: set[WindowDay] = set()
        while True:
            with self._catalog.write() as conn:
                linked = _link_some(conn, code, window_id)
                if not linked:
                    close_alarm(conn, self._clock, AlarmKind.UNKNOWN_WINDOW, f"{_UNKNOWN}{code}")
                    return touched
                touched |= linked


def _link_some(conn: Connection, code: str, window_id: UUID) -> set[WindowDay]:
    zone = hall_clock(conn).zone
    rows = conn.execute(
        select(case_event.c.id, case_event.c.event_us)
        .where(case_event.c.window_id.is_(None), case_event.c.window_code == code)
        .limit(EVENTS_A_WRITE)
    ).all()
    ids = [row.id for row in rows]
    if ids:
        conn.execute(update(case_event).where(case_event.c.id.in_(ids)).values(window_id=window_id))
    return {WindowDay(window_id, day_of(row.event_us, zone)) for row in rows}
