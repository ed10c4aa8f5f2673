"""Orphans: objects without a row. They are found and reported; a person adopts them or sets them aside; nobody deletes.

They come from a crash between "object synced" and "row committed". An object so young that its row may still be on
the way is left out: its id (UUIDv7) says when it was made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, Protocol
from uuid import UUID

from sqlalchemy import Connection, exists, func, insert, select, update

from storage.archive import tables
from storage.archive.alarms import close_alarm, open_alarm
from storage.archive.catalog import Catalog
from storage.clock import US, Clock
from storage.errors import NotFound, ObjectMissing
from storage.model import AlarmKind

YOUNG_US = 3600 * US
"""Younger objects are no orphans yet: a segment takes a minute, an upload some more."""
PAGE = 500


class ListedStore(Protocol):
    """What the scan needs of a store; a gateway's `StagingFolder` is one too."""

    def ids(self) -> Iterator[UUID]:
        """All objects' ids."""
        ...

    def size(self, object_id: UUID, /) -> int:
        """Bytes. Raises ObjectMissing."""
        ...


@dataclass(frozen=True, slots=True)
class Orphan:
    """An object that no row and no garbage mark points at."""

    object_id: UUID
    location: str
    size_bytes: int


def scan_orphans(catalog: Catalog, stores: Mapping[str, ListedStore], clock: Clock) -> int:
    """Look for orphans in `stores` (by location), remember the new ones and raise or close the alarm.

    Returns how many were new. Raises Unavailable when a store is away: what was found before that is kept.
    """
    new = 0
    for location, store in stores.items():
        for page in _pages(store.ids()):
            new += _remember(catalog, store, location, _without_row(catalog, page, clock), clock)
    _report(catalog, clock)
    return new


def orphans(conn: Connection) -> list[Orphan]:
    """Orphans that nobody has settled yet, oldest first."""
    table = tables.orphan
    query = select(table).where(table.c.state == "found").order_by(table.c.object_id)
    return [Orphan(row.object_id, row.location, row.bytes) for row in conn.execute(query)]


def settle_orphan(catalog: Catalog, clock: Clock, orphan: Orphan, state: Literal["adopted", "quarantined"]) -> None:
    """Say what became of an orphan: `adopted` (its row was committed through `Ingest`) or `quarantined` (set aside).

    The object stays where it is in both cases.

    Raises:
        NotFound: `orphan_not_found`.
    """
    table = tables.orphan
    with catalog.write() as conn:
        mine = (table.c.object_id == orphan.object_id, table.c.location == orphan.location)
        change = update(table).where(*mine).values(state=state, settled_us=clock.now_us())
        if conn.execute(change).rowcount == 0:
            raise NotFound("orphan_not_found", f"no orphan {orphan.object_id}", id=str(orphan.object_id))
    _report(catalog, clock)


def _pages(ids: Iterator[UUID]) -> Iterator[list[UUID]]:
    while page := list(islice(ids, PAGE)):
        yield page


def _without_row(catalog: Catalog, page: Sequence[UUID], clock: Clock) -> list[UUID]:
    old = [object_id for object_id in page if made_us(object_id) <= clock.now_us() - YOUNG_US]
    known: set[UUID] = set()
    with catalog.read() as conn:
        for column in _KNOWN_IDS:
            known.update(conn.execute(select(column).where(column.in_(old))).scalars())
    return [object_id for object_id in old if object_id not in known]


_KNOWN_IDS = (tables.segment.c.id, tables.screen_segment.c.id, tables.garbage.c.object_id, tables.orphan.c.object_id)


def made_us(object_id: UUID) -> int:
    """When a UUIDv7 was made, to the millisecond."""
    return (object_id.int >> 80) * 1000


def _remember(catalog: Catalog, store: ListedStore, location: str, found: Sequence[UUID], clock: Clock) -> int:
    rows = []
    for object_id in found:
        try:
            size = store.size(object_id)
        except ObjectMissing:  # moved on meanwhile: no orphan
            continue
        rows.append({"object_id": object_id, "location": location, "bytes": size, "state": "found"})
    if rows:
        with catalog.write() as conn:
            conn.execute(insert(tables.orphan).values(found_us=clock.now_us()), rows)
    return len(rows)


def _report(catalog: Catalog, clock: Clock) -> None:
    """Raise or close the alarm; an orphan that got its row after all (late, or by recovery) is settled by that."""
    table = tables.orphan
    with catalog.write() as conn:
        for media in (tables.segment, tables.screen_segment):
            has_row = exists(select(media.c.id).where(media.c.id == table.c.object_id))
            settled = update(table).where(table.c.state == "found", has_row)
            conn.execute(settled.values(state="adopted", settled_us=clock.now_us()))
        open_count = conn.execute(select(func.count()).select_from(table).where(table.c.state == "found")).scalar_one()
        if open_count:
            open_alarm(conn, clock, AlarmKind.ORPHAN_OBJECT, "archive", {"objects": open_count})
        else:
            close_alarm(conn, clock, AlarmKind.ORPHAN_OBJECT, "archive")
