"""The `map` chain: which camera or workstation serves which service window, logged as it changes."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import Connection

from storage.evidence.chain import append_leaf
from storage.ids import hall_chain
from storage.model import LeafKind, StreamKind


def append_map_leaf(conn: Connection, hall_id: UUID, facts: Mapping[str, str | int]) -> int:
    """Log a change of the map in the transaction of its row; returns the leaf's sequence."""
    return append_leaf(conn, hall_chain(hall_id, StreamKind.MAP), StreamKind.MAP, LeafKind.MAP, facts)
