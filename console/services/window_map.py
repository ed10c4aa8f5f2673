"""Which camera or workstation serves which service window, from when to when: rows and `map` leaves together.

Rows are never rewritten: an entry begins, and it ends once. A case is answered with the map as it was then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Table, insert, or_, select, update

from console.services.access import Actor
from console.services.hall import require_window
from storage.archive.tables import camera_window, service_window, workstation_window
from storage.clock import Clock
from storage.errors import Conflict, InvalidInput, NotFound
from storage.evidence.chain import append_leaf
from storage.ids import hall_chain, new_id
from storage.model import CameraRole, LeafKind, StreamKind

FURTHEST_AHEAD_US = 366 * 86_400 * 1_000_000


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose windows they are: the table, its owner's column, and the owner's name in leaves."""

    table: Table
    owner: str
    kind: str


CAMERA = Owner(camera_window, "channel_id", "camera")
WORKSTATION = Owner(workstation_window, "workstation_id", "workstation")


@dataclass(frozen=True, slots=True)
class WindowMap:
    """Adds and ends entries, in the caller's transaction."""

    clock: Clock

    def add(
        self,
        conn: Connection,
        actor: Actor,
        what: Owner,
        owner_id: UUID,
        window_id: UUID,
        *,
        role: CameraRole | None = None,
        from_us: int | None = None,
    ) -> UUID:
        """Begin an entry at `from_us` (now when None) and log it; returns its id.

        Raises:
            NotFound, Conflict: the window is unknown or retired; the same entry is open already (`map_exists`).
            InvalidInput: `from_us` is not plausible (`from_invalid`).
        """
        window = require_window(conn, window_id, open_only=True)
        begin = self._begin(from_us)
        if self._is_open(conn, what, owner_id, window_id, role, begin):
            raise Conflict("map_exists", "that window is mapped already", number=window.number)
        map_id = new_id(self.clock)
        values: dict[str, Any] = {
            "id": map_id,
            what.owner: owner_id,
            "window_id": window_id,
            "from_us": begin,
            "to_us": None,
            "account_id": actor.account_id,
        }
        facts: dict[str, str | int] = {
            "change": "begin",
            "map": str(map_id),
            what.kind: str(owner_id),
            "window": str(window_id),
            "number": window.number,
            "from_us": begin,
        }
        if role is not None:
            values["role"] = facts["role"] = role.value
        conn.execute(insert(what.table).values(**values))
        _log(conn, window.hall_id, facts)
        return map_id

    def end(self, conn: Connection, what: Owner, owner_id: UUID, map_id: UUID, to_us: int | None) -> None:
        """End an open entry at `to_us` (now when None) and log it.

        Raises:
            NotFound: no such entry of that owner (`map_unknown`).
            Conflict: it has ended (`map_ended`).
            InvalidInput: `to_us` lies before its beginning (`to_invalid`).
        """
        table = what.table
        row = conn.execute(select(table).where(table.c.id == map_id, table.c[what.owner] == owner_id)).first()
        if row is None:
            raise NotFound("map_unknown", "no such entry")
        if row.to_us is not None:
            raise Conflict("map_ended", "that entry has ended")
        end = max(self.clock.now_us(), row.from_us) if to_us is None else to_us
        if end < row.from_us:
            raise InvalidInput("to_invalid", "the end lies before the beginning")
        conn.execute(update(table).where(table.c.id == map_id).values(to_us=end))
        window = require_window(conn, row.window_id)
        facts: dict[str, str | int] = {
            "change": "end",
            "map": str(map_id),
            what.kind: str(owner_id),
            "window": str(row.window_id),
            "number": window.number,
            "from_us": row.from_us,
            "to_us": end,
        }
        _log(conn, window.hall_id, facts)

    def end_all(self, conn: Connection, what: Owner, owner_id: UUID) -> int:
        """End every open entry of an owner that leaves (a retired camera, a revoked workstation); returns how many."""
        table = what.table
        query = select(table.c.id).where(table.c[what.owner] == owner_id, table.c.to_us.is_(None))
        ids = list(conn.execute(query).scalars())
        for map_id in ids:
            self.end(conn, what, owner_id, map_id, None)
        return len(ids)

    def _begin(self, from_us: int | None) -> int:
        now = self.clock.now_us()
        if from_us is None:
            return now
        if not 0 < from_us <= now + FURTHEST_AHEAD_US:
            raise InvalidInput("from_invalid", "an entry begins between 1970 and a year from now")
        return from_us

    def _is_open(
        self, conn: Connection, what: Owner, owner_id: UUID, window_id: UUID, role: CameraRole | None, begin: int
    ) -> bool:
        table = what.table
        query = select(table.c.id).where(
            table.c[what.owner] == owner_id,
            table.c.window_id == window_id,
            or_(table.c.to_us.is_(None), table.c.to_us > begin),
        )
        if role is not None:
            query = query.where(table.c.role == role.value)
        return conn.execute(query).first() is not None


def _log(conn: Connection, hall_id: UUID, facts: Mapping[str, str | int]) -> None:
    append_leaf(conn, hall_chain(hall_id, StreamKind.MAP), StreamKind.MAP, LeafKind.MAP, facts)


def windows_now(conn: Connection, what: Owner, now_us: int) -> dict[UUID, list[dict[str, Any]]]:
    """Owner → the entries that are in force now or will be, by window number."""
    table = what.table
    query = (
        select(table, service_window.c.number, service_window.c.name)
        .join(service_window, service_window.c.id == table.c.window_id)
        .where(or_(table.c.to_us.is_(None), table.c.to_us > now_us))
        .order_by(service_window.c.number, table.c.from_us)
    )
    entries: dict[UUID, list[dict[str, Any]]] = {}
    for row in conn.execute(query).mappings():
        entries.setdefault(row[what.owner], []).append(_entry(row))
    return entries


def _entry(row: Mapping[Any, Any]) -> dict[str, Any]:
    entry = {
        "map_id": str(row["id"]),
        "window_id": str(row["window_id"]),
        "number": row["number"],
        "name": row["name"],
        "from_us": row["from_us"],
    }
    if "role" in row:
        entry["role"] = row["role"]
    return entry
