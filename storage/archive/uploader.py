"""From a gateway's staging folder to S3: copy, verify, relocate, and only then remove the staged file.

A crash between any two steps is harmless: the copy is written once (same id, same bytes), the relocation is one
transaction, and a staged file whose row points elsewhere already is removed at the next pass.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Row, select

from storage.archive import tables
from storage.archive.alarms import close_alarm, is_open, open_alarm
from storage.archive.catalog import Catalog
from storage.archive.ingest import Ingest
from storage.archive.objects import ObjectStore, file_sha256, sha256_of
from storage.archive.staging import StagingFolder
from storage.clock import Clock
from storage.errors import (
    ConfigurationError,
    Conflict,
    NotFound,
    ObjectDamaged,
    ObjectMissing,
    StaleEpoch,
    StorageFull,
    SunhallError,
    Unavailable,
)
from storage.model import AlarmKind

log = logging.getLogger(__name__)

BATCH = 64


@dataclass(frozen=True, slots=True)
class _Staged:
    id: UUID
    sha256: bytes
    size_bytes: int


class Uploader:
    """Moves one gateway's committed segments to the object store. `Periodic` runs it and pauses after faults."""

    def __init__(
        self, catalog: Catalog, staging: StagingFolder, store: ObjectStore, ingest: Ingest, clock: Clock
    ) -> None:
        self._catalog = catalog
        self._staging = staging
        self._store = store
        self._ingest = ingest
        self._clock = clock
        self._subject = f"store:{store.location}"

    def run_once(self) -> int:
        """Upload what is staged now, oldest first; returns how many arrived.

        Raises:
            Unavailable, StorageFull, ConfigurationError: the store takes nothing now (away, full, other keys). Alarm
                `object_store_away` is open until a pass succeeds; nothing staged was removed.
            Conflict, NotFound, StorageError: the first fault of a single segment, when the others were tried.
        """
        faults: list[SunhallError] = []
        try:
            done = sum(1 for staged in self._waiting() if self._tried(staged, faults))
            self._store_answers()
        except (Unavailable, StorageFull, ConfigurationError) as error:
            self._alarm(AlarmKind.OBJECT_STORE_AWAY, self._subject, {"cause": error.code})
            raise
        self._remove_leftovers()
        if faults:
            raise faults[0]
        return done

    def _tried(self, staged: _Staged, faults: list[SunhallError]) -> bool:
        """Upload one; a fault that is this one's alone must not keep the others from the store."""
        try:
            return self._upload(staged)
        except (Conflict, NotFound, ObjectDamaged, ObjectMissing, StaleEpoch) as error:
            log.error("upload_failed", extra={"fields": {"segment": str(staged.id), "code": error.code}})
            faults.append(error)
            return False

    def _waiting(self) -> Iterator[_Staged]:
        """Staged segments, oldest first, in pages, so that no transaction is open during a copy."""
        after: tuple[int, UUID] | None = None
        while True:
            page = self._page(after)
            yield from (_Staged(row.id, bytes(row.sha256), row.bytes) for row in page)
            if len(page) < BATCH:
                return
            after = page[-1].t0_us, page[-1].id

    def _page(self, after: tuple[int, UUID] | None) -> list[Row[int, UUID, bytes, int]]:
        table = tables.segment
        query = select(table.c.t0_us, table.c.id, table.c.sha256, table.c.bytes)
        query = query.where(table.c.location == self._staging.location).order_by(table.c.t0_us, table.c.id)
        if after is not None:
            t0_us, last = after
            query = query.where((table.c.t0_us > t0_us) | ((table.c.t0_us == t0_us) & (table.c.id > last)))
        with self._catalog.read() as conn:
            return list(conn.execute(query.limit(BATCH)))

    def _upload(self, staged: _Staged) -> bool:
        """One segment: copy, verify by reading back, relocate, remove. False when its staged file is damaged."""
        path = self._staging.path(staged.id)
        if not path.exists() or file_sha256(path) != staged.sha256:
            self._damaged(staged)
            return False
        self._copy(staged)
        found = sha256_of(self._store.read(staged.id))
        if found != (staged.sha256, staged.size_bytes):
            raise ObjectDamaged("copy_damaged", "the copy in the object store is not what was sent", id=str(staged.id))
        self._ingest.relocate(staged.id, self._staging.location, self._store.location)
        self._staging.remove(staged.id)
        return True

    def _copy(self, staged: _Staged) -> None:
        try:
            self._store.put_file(staged.id, self._staging.path(staged.id))
        except Conflict as error:
            if error.code != "object_exists":
                raise
            # An earlier copy broke off or was damaged on its way: no row points at it, and the original is here.
            self._store.delete(staged.id)
            self._store.put_file(staged.id, self._staging.path(staged.id))

    def _damaged(self, staged: _Staged) -> None:
        log.error("staged_file_damaged", extra={"fields": {"segment": str(staged.id)}})
        self._alarm(AlarmKind.CHAIN_BROKEN, f"segment:{staged.id}", {"cause": "staged_file_damaged"})

    def _remove_leftovers(self) -> None:
        """Staged files whose rows point at the verified copy: a crash came between relocation and removal."""
        for segment_id in list(self._staging.ids()):
            with self._catalog.read() as conn:
                query = select(tables.segment.c.location).where(tables.segment.c.id == segment_id)
                location = conn.execute(query).scalar_one_or_none()
            if location == self._store.location:
                self._staging.remove(segment_id)

    def _store_answers(self) -> None:
        with self._catalog.read() as conn:
            alarmed = is_open(conn, AlarmKind.OBJECT_STORE_AWAY, self._subject)
        if alarmed:
            self._store.check()
            with self._catalog.write() as conn:
                close_alarm(conn, self._clock, AlarmKind.OBJECT_STORE_AWAY, self._subject)

    def _alarm(self, kind: AlarmKind, subject: str, detail: dict[str, str | int]) -> None:
        with self._catalog.write() as conn:
            open_alarm(conn, self._clock, kind, subject, detail)
