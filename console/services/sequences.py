"""Holes in a source's sequence: computed from the events that are there, never stored."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, func, select

from storage.archive.tables import case_event

LOOK_BACK = 500_000
"""How many of the newest sequence numbers are searched for holes."""
SHOWN_HOLES = 50
"""How many holes are listed at most, oldest first."""

Hole = tuple[int, int]
"""First and last missing number."""


def last_sequence(conn: Connection, source_id: UUID) -> int | None:
    """The highest sequence number taken from the source; None before the first."""
    row = conn.execute(select(func.max(case_event.c.sequence)).where(case_event.c.source_id == source_id)).one()
    return None if row[0] is None else int(row[0])


def holes(conn: Connection, source_id: UUID) -> list[Hole]:
    """The missing stretches among the newest `LOOK_BACK` numbers. What was never begun is no hole."""
    last = last_sequence(conn, source_id)
    if last is None:
        return []
    return _between(conn, source_id, last - LOOK_BACK, last)


def holes_around(conn: Connection, source_id: UUID, taken: Sequence[int]) -> list[Hole]:
    """The holes beside or between the numbers just taken: cheap for a feed that arrives in order."""
    if not taken:
        return []
    column = case_event.c.sequence
    before = conn.execute(
        select(func.max(column)).where(case_event.c.source_id == source_id, column < min(taken))
    ).scalar_one()
    after = conn.execute(
        select(func.min(column)).where(case_event.c.source_id == source_id, column > max(taken))
    ).scalar_one()
    first = min(taken) if before is None else before
    return _between(conn, source_id, first, max(taken) if after is None else after)


def _between(conn: Connection, source_id: UUID, first: int, last: int) -> list[Hole]:
    column = case_event.c.sequence
    following = func.lead(column).over(order_by=column).label("following")
    steps = (
        select(column.label("sequence"), following)
        .where(case_event.c.source_id == source_id, column >= first, column <= last)
        .subquery()
    )
    rows = conn.execute(
        select(steps.c.sequence, steps.c.following)
        .where(steps.c.following - steps.c.sequence > 1)
        .order_by(steps.c.sequence)
        .limit(SHOWN_HOLES)
    )
    return [(row.sequence + 1, row.following - 1) for row in rows]
