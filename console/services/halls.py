"""Reads of the hall that several services share: the row, its zone, its service periods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, select

from console.services.days import Period, zone_of
from storage.archive.tables import hall, service_period
from storage.errors import NotFound


@dataclass(frozen=True, slots=True)
class HallClock:
    """The hall's id, zone and service periods: what days and service hours are cut with."""

    id: UUID
    zone: ZoneInfo
    timezone: str
    periods: tuple[Period, ...]


def hall_row(conn: Connection) -> Row[Any]:
    """The hall of this node.

    Raises:
        NotFound: the first run is not over (`hall_missing`).
    """
    row = conn.execute(select(hall).order_by(hall.c.created_us)).first()
    if row is None:
        raise NotFound("hall_missing", "finish the first run in a browser")
    return row


def periods_of(conn: Connection, hall_id: UUID) -> list[Period]:
    """The hall's service periods, in order of the week."""
    query = (
        select(service_period.c.weekday, service_period.c.from_minute, service_period.c.to_minute)
        .where(service_period.c.hall_id == hall_id)
        .order_by(service_period.c.weekday, service_period.c.from_minute)
    )
    return [Period(*row) for row in conn.execute(query)]


def hall_clock(conn: Connection) -> HallClock:
    """Zone and periods of this node's hall."""
    row = hall_row(conn)
    return HallClock(row.id, zone_of(row.timezone), row.timezone, tuple(periods_of(conn, row.id)))
