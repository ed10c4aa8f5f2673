"""Alarms: one open row for a fault, however often it is found; closed when it is over, kept for ever."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from storage.archive.tables import alarm
from storage.clock import Clock
from storage.ids import new_id
from storage.model import AlarmKind

Detail = Mapping[str, str | int]


def open_alarm(conn: Connection, clock: Clock, kind: AlarmKind, subject: str, detail: Detail | None = None) -> UUID:
    """Raise an alarm about `subject` (`camera:<id>`, `hall`, ...) in the caller's write transaction.

    While one of the same kind and subject is open it is counted and its detail renewed; no second row is made.
    `detail` holds causes for the screen, never secrets. Returns the alarm's id.
    """
    known = _count(conn, kind, subject, detail)
    if known is not None:
        return known
    made = new_id(clock)
    try:
        with conn.begin_nested():
            values = {"kind": kind.value, "subject": subject, "opened_us": clock.now_us(), "detail": _json(detail)}
            conn.execute(insert(alarm).values(id=made, count=1, **values))
    except IntegrityError:  # another process raised it at the same moment
        return _count(conn, kind, subject, detail) or made
    return made


def close_alarm(conn: Connection, clock: Clock, kind: AlarmKind, subject: str) -> bool:
    """The fault is over; true when an alarm was open."""
    row = update(alarm).where(*_open(kind, subject)).values(closed_us=clock.now_us())
    return conn.execute(row).rowcount > 0


def is_open(conn: Connection, kind: AlarmKind, subject: str) -> bool:
    """Whether such an alarm is open now."""
    return conn.execute(select(alarm.c.id).where(*_open(kind, subject))).first() is not None


def _count(conn: Connection, kind: AlarmKind, subject: str, detail: Detail | None) -> UUID | None:
    row = update(alarm).where(*_open(kind, subject)).values(count=alarm.c.count + 1, detail=_json(detail))
    if conn.execute(row).rowcount == 0:
        return None
    return cast(UUID, conn.execute(select(alarm.c.id).where(*_open(kind, subject))).scalar_one())


def _open(kind: AlarmKind, subject: str) -> tuple[ColumnElement[bool], ...]:
    return alarm.c.kind == kind.value, alarm.c.subject == subject, alarm.c.closed_us.is_(None)


def _json(detail: Detail | None) -> str:
    return json.dumps(dict(detail or {}), ensure_ascii=False, sort_keys=True)
