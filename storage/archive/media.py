"""Reading media: by row, from wherever its object is now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Literal, Protocol
from uuid import UUID

from sqlalchemy import select

from storage.archive import tables
from storage.archive.catalog import Catalog
from storage.archive.objects import ObjectStore
from storage.archive.staging import gateway_of
from storage.errors import NotFound, ObjectMissing

MediaKind = Literal["segment", "screen"]


class StagedReader(Protocol):
    """Port: bytes that still wait at a gateway (`StagingFolder` at home, the gateway's HTTP API elsewhere)."""

    def read_staged(self, gateway_id: UUID, object_id: UUID, start: int, length: int | None) -> Iterator[bytes]:
        """As `ObjectStore.read`. Raises ObjectMissing, InvalidInput (`range_invalid`), Unavailable."""
        ...


class NoStaging:
    """The `StagedReader` of a hall whose objects are all on disk."""

    def read_staged(self, gateway_id: UUID, object_id: UUID, start: int, length: int | None) -> Iterator[bytes]:
        del start, length
        raise ObjectMissing("object_missing", f"nothing is staged at gateway {gateway_id}", object=str(object_id))


class MediaReader:
    """Opens committed media. No transaction is open while bytes are streamed."""

    def __init__(self, catalog: Catalog, stores: Mapping[str, ObjectStore], staged: StagedReader) -> None:
        """`stores` by location (`{"disk": DiskStore(...)}`)."""
        self._catalog = catalog
        self._stores = stores
        self._staged = staged

    def open(self, kind: MediaKind, object_id: UUID, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes [start, start + length) of a committed object; the first piece is read before this returns.

        An object may move from staging to S3 between the look-up and the first byte: then it is looked up again.

        Raises:
            NotFound: `media_not_found`: no such row (any more).
            ObjectMissing: the row's object is not there: `verify` will report it.
            InvalidInput: `range_invalid`.
            Unavailable: the store or the gateway is away.
        """
        location = self.location(kind, object_id)
        try:
            return self._from(location, object_id, start, length)
        except ObjectMissing:
            moved = self.location(kind, object_id)
            if moved == location:
                raise
            return self._from(moved, object_id, start, length)

    def location(self, kind: MediaKind, object_id: UUID) -> str:
        """Where the row says that the object is. Raises NotFound (`media_not_found`)."""
        table = tables.segment if kind == "segment" else tables.screen_segment
        with self._catalog.read() as conn:
            found = conn.execute(select(table.c.location).where(table.c.id == object_id)).scalar_one_or_none()
        if found is None:
            raise NotFound("media_not_found", f"no {kind} {object_id} in the catalog", id=str(object_id))
        return str(found)

    def _from(self, location: str, object_id: UUID, start: int, length: int | None) -> Iterator[bytes]:
        gateway_id = gateway_of(location)
        if gateway_id is not None:
            pieces = self._staged.read_staged(gateway_id, object_id, start, length)
        elif location in self._stores:
            pieces = self._stores[location].read(object_id, start, length)
        else:
            raise ObjectMissing("object_missing", f"no object store {location} is configured", object=str(object_id))
        first = next(pieces, b"")
        return chain((first,), pieces)
