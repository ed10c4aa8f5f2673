"""封存: holds beat every retention rule. A hold and a deletion wait for each other at one chain head."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from sqlalchemy import Connection, insert, select, update

from storage.archive import tables
from storage.clock import Clock
from storage.errors import InvalidInput, NotFound
from storage.evidence.chain import append_leaf, lock_head
from storage.ids import hall_chain, new_id
from storage.model import LeafKind, Span, StreamKind

HoldSubject = Literal["stream", "monitor", "hall"]


def place_hold(
    conn: Connection,
    clock: Clock,
    hall_id: UUID,
    subject: tuple[HoldSubject, UUID],
    span: Span,
    reason: str,
    account_id: UUID | None = None,
) -> UUID:
    """Keep everything of a stream, a monitor or the whole hall that overlaps `span`, until it is released.

    In the caller's write transaction, with its leaf; the reason stays out of the leaf (it may name people).

    Raises:
        InvalidInput: `hold_invalid`: the span is empty.
    """
    if span.t1_us <= span.t0_us:
        raise InvalidInput("hold_invalid", "a hold must end after it begins")
    lock_holds(conn, hall_id)
    hold_id = new_id(clock)
    kind, subject_id = subject
    values = {"id": hold_id, "subject_kind": kind, "subject_id": subject_id, "t0_us": span.t0_us, "t1_us": span.t1_us}
    row = {**values, "reason": reason, "account_id": account_id, "created_us": clock.now_us()}
    conn.execute(insert(tables.hold).values(**row))
    facts: dict[str, str | int] = {"id": str(hold_id), "state": "placed", "subject_kind": kind}
    facts |= {"subject": str(subject_id), "t0_us": span.t0_us, "t1_us": span.t1_us}
    append_leaf(conn, hall_chain(hall_id, StreamKind.HOLD), StreamKind.HOLD, LeafKind.HOLD, facts)
    return hold_id


def release_hold(conn: Connection, clock: Clock, hall_id: UUID, hold_id: UUID) -> bool:
    """End a hold; the ordinary rules apply again. False when it was released before.

    Raises:
        NotFound: `hold_not_found`.
    """
    lock_holds(conn, hall_id)
    table = tables.hold
    change = update(table).where(table.c.id == hold_id, table.c.released_us.is_(None))
    if conn.execute(change.values(released_us=clock.now_us())).rowcount == 0:
        if conn.execute(select(table.c.id).where(table.c.id == hold_id)).first() is None:
            raise NotFound("hold_not_found", f"no hold {hold_id} in the catalog", id=str(hold_id))
        return False
    facts: dict[str, str | int] = {"id": str(hold_id), "state": "released", "released_us": clock.now_us()}
    append_leaf(conn, hall_chain(hall_id, StreamKind.HOLD), StreamKind.HOLD, LeafKind.HOLD, facts)
    return True


def lock_holds(conn: Connection, hall_id: UUID) -> None:
    """Wait for other transactions that place, release or obey this hall's holds."""
    lock_head(conn, hall_chain(hall_id, StreamKind.HOLD), StreamKind.HOLD)
