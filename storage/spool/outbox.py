"""The durable outbox of segments on a workstation.

Order of every segment's life: append + sync (each picture) → end record + sync → index `closed` → upload → the server's
durable acknowledgement → index `acknowledged` → unlink → row gone. A kill between any two steps loses nothing that was
synced and uploads at most once more, which the server takes as repeated.

Room is made in this order, and each loss is a row in `dropped`: longer interval and lower photo quality (the agent asks
`pressure`), then the oldest segment without a case, then the oldest with one. Damaged files go to `quarantine/`, which
counts against the same bound and is emptied first.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from uuid import UUID

from storage.clock import US, Clock
from storage.errors import ObjectDamaged, StorageError, StorageFull
from storage.files import remove, sync_folder
from storage.identity.boxes import SecretBox
from storage.ids import new_id
from storage.spool.disk import Disk
from storage.spool.index import SpoolIndex
from storage.spool.ledger import amend_dropped
from storage.spool.records import SUFFIX, RecordKind, SegmentFile, disk_error, read_records

log = logging.getLogger(__name__)

QUARANTINE = "quarantine"
LONGEST_SEGMENT_US = 60 * US
"""A screen segment is never longer: `screen_capture.container.MAX_SEGMENT_US`."""
KEPT_DROPS = 10_000
"""So many of the latest losses stay on record here; the console hears of each through the coverage."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the spool may take."""

    max_bytes: int = 2 * 1024**3
    min_free_bytes: int = 1024**3
    max_age_s: float = 30 * 86400.0


class Pressure(IntEnum):
    """How full the spool is; what the agent should do about it before anything must be dropped."""

    NONE = 0
    LONGER_INTERVAL = 1  # above 70 % of its bytes, or less than twice the free disk it must leave
    LOWER_QUALITY = 2  # above 85 %, or less than one and a half times
    DROPPING = 3  # full: each new segment costs the oldest


@dataclass(frozen=True, slots=True)
class SegmentMeta:
    """What a segment is about, known when it begins."""

    id: UUID
    monitor: str
    width: int
    height: int
    t0_us: int


@dataclass(frozen=True, slots=True)
class Stored:
    """A closed segment in the spool. `pictures`: when each was taken."""

    meta: SegmentMeta
    t1_us: int
    pictures: tuple[int, ...]
    sha256: bytes
    file_bytes: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What the report tells the server."""

    bytes: int
    segments: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Finished:
    """How a segment whose writer died ends: bytes to append, until when, and its pictures' times."""

    tail: bytes
    t1_us: int
    pictures: tuple[int, ...]


Finisher = Callable[[bytes, int | None], Finished | None]
"""Port: (bytes of an unfinished segment, until when its monitor's ledger goes) → its end; None: it holds nothing."""


class SegmentWriter:
    """One segment being written. Not shared between threads."""

    def __init__(self, outbox: Outbox, file: SegmentFile, meta: SegmentMeta) -> None:
        self.meta = meta
        self._outbox = outbox
        self._file = file
        self._hash = hashlib.sha256()
        self._pictures: list[int] = []

    def append(self, data: bytes, t_us: int) -> None:
        """Add the next bytes, which hold the picture of `t_us`; durable on return.

        Raises:
            StorageFull, StorageError: the disk refused; what was appended before stands.
        """
        self._outbox.make_room(len(data))
        self._file.append(RecordKind.DATA, data)
        self._outbox.grown(self.meta.id, self._file.size)
        self._hash.update(data)
        self._pictures.append(t_us)

    def close(self, tail: bytes, t1_us: int) -> None:
        """Add the last bytes and hand the segment over for upload; when the disk refuses it is finished later."""
        try:
            self._file.append(RecordKind.DATA, tail)
            self._hash.update(tail)
            end = {"t1_us": t1_us, "pictures": self._pictures, "sha256": self._hash.hexdigest()}
            self._file.append(RecordKind.END, json.dumps(end).encode())
        except StorageError as error:
            log.warning("spool_close_failed", extra={"fields": {"segment": self.meta.id, "code": error.code}})
            self.abandon()
            return
        self._file.close()
        stored = Stored(self.meta, t1_us, tuple(self._pictures), self._hash.digest(), self._file.size)
        self._outbox.index_closed(stored)

    def abandon(self) -> None:
        """Stop writing; `Outbox.finish_abandoned` closes the segment with what it has."""
        self._file.close()
        self._outbox.abandon(self.meta.id)


class Outbox:
    """All segments on this machine. Safe for one writing and one uploading thread."""

    def __init__(
        self, folder: Path, index: SpoolIndex, box: SecretBox, disk: Disk, clock: Clock, limits: Limits
    ) -> None:
        self.folder = folder
        self.index = index
        self.box = box
        self.disk = disk
        self.clock = clock
        self.limits = limits
        self._abandoned: list[Path] = []
        self._writing: dict[UUID, int] = {}

    # --- writing ------------------------------------------------------------------------------------------------------
    def begin(self, monitor: str, width: int, height: int, t0_us: int) -> SegmentWriter:
        """Start a segment.

        Raises:
            StorageFull: no room, and nothing left that may be dropped.
            StorageError: the disk refused.
        """
        meta = SegmentMeta(new_id(self.clock), monitor, width, height, t0_us)
        self.make_room(0)
        file = SegmentFile.create(self.folder, meta.id, self.box, self.disk)
        try:
            file.append(RecordKind.META, pack_meta(meta))
            self._insert(meta, file.size)
        except StorageError:
            file.close()
            _unlink_quietly(file.path)
            raise
        return SegmentWriter(self, file, meta)

    def grown(self, segment_id: UUID, file_bytes: int) -> None:
        """How large the file of a segment that is being written is now; counted, but not indexed until it is closed."""
        self._writing[segment_id] = file_bytes

    def abandon(self, segment_id: UUID) -> None:
        """Remember a segment whose writer failed."""
        self._abandoned.append(self.path(segment_id))

    def finish_abandoned(self, finish: Callable[[Path], None]) -> None:
        """Try to close the segments whose writers failed; those that still cannot be closed stay remembered."""
        for path in list(self._abandoned):
            try:
                finish(path)
            except StorageError as error:
                log.warning("spool_finish_failed", extra={"fields": {"file": path.name, "code": error.code}})
                return
            self._abandoned.remove(path)

    def index_closed(self, stored: Stored) -> None:
        """Make a closed file due for upload; when the index refuses, `finish_abandoned` tries again."""
        values = (stored.t1_us, json.dumps(stored.pictures), stored.file_bytes, stored.sha256.hex())
        update = "UPDATE segment SET state = 'closed', t1_us = ?, pictures = ?, file_bytes = ?, sha256 = ? WHERE id = ?"
        try:
            with self.index.write() as connection:
                _insert_row(connection, stored.meta, stored.file_bytes)
                connection.execute(update, (*values, str(stored.meta.id)))
        except StorageError as error:
            log.warning("spool_index_failed", extra={"fields": {"segment": stored.meta.id, "code": error.code}})
            self.abandon(stored.meta.id)
            return
        self._writing.pop(stored.meta.id, None)

    # --- uploading ----------------------------------------------------------------------------------------------------
    def next_due(self) -> Stored | None:
        """The segment to upload now: fewest failed attempts first, then oldest."""
        query = "SELECT * FROM segment WHERE state = 'closed' ORDER BY attempts, t0_us, id LIMIT 1"
        with self.index.read() as connection:
            row = connection.execute(query).fetchone()
        return None if row is None else _stored(row)

    def body(self, segment_id: UUID, sha256: bytes) -> bytes:
        """The segment's bytes, decrypted and checked.

        Raises:
            ObjectDamaged: they are not what was written; call `lose`.
            StorageError: the disk does not give them.
        """
        records = read_records(self.path(segment_id), self.box)
        body = b"".join(plain for kind, plain in records if kind == RecordKind.DATA)
        if hashlib.sha256(body).digest() != sha256:
            raise ObjectDamaged("spool_segment_damaged", f"segment {segment_id} differs from its hash")
        return body

    def acknowledge(self, segment_id: UUID) -> None:
        """The server has it durably: commit that, then remove the file, then the row."""
        with self.index.write() as connection:
            connection.execute("UPDATE segment SET state = 'acknowledged' WHERE id = ?", (str(segment_id),))
        remove(self.path(segment_id))
        self._forget(segment_id)

    def failed(self, segment_id: UUID) -> None:
        """The server could not take this one now: others go first."""
        with self.index.write() as connection:
            connection.execute("UPDATE segment SET attempts = attempts + 1 WHERE id = ?", (str(segment_id),))

    def lose(self, segment_id: UUID, reason: str) -> None:
        """Set a segment aside that can never be uploaded: its file into quarantine, the loss on record."""
        self.set_aside(self.path(segment_id))
        self.record_drop(segment_id, reason)

    # --- room ---------------------------------------------------------------------------------------------------------
    def usage(self) -> Usage:
        """Bytes and segments waiting, and how many were dropped within the last day."""
        yesterday = self.clock.now_us() - 86_400 * US
        with self.index.read() as connection:
            row = connection.execute("SELECT count(*) n, coalesce(sum(file_bytes), 0) size FROM segment").fetchone()
            query = "SELECT count(*) n FROM dropped WHERE at_us > ?"
            dropped = connection.execute(query, (yesterday,)).fetchone()["n"]
        return Usage(row["size"] + sum(list(self._writing.values())), row["n"], dropped)

    def pressure(self) -> Pressure:
        """How full the spool is."""
        used = self.usage().bytes / max(self.limits.max_bytes, 1)
        free = self._free() / max(self.limits.min_free_bytes, 1)
        steps = [
            (used >= 1 or free <= 1, Pressure.DROPPING),
            (used >= 0.85 or free < 1.5, Pressure.LOWER_QUALITY),
            (used >= 0.7 or free < 2, Pressure.LONGER_INTERVAL),
        ]
        return next((level for reached, level in steps if reached), Pressure.NONE)

    def make_room(self, wanted: int) -> None:
        """Drop what is too old, then the oldest, until `wanted` more bytes are within the limits.

        Raises:
            StorageFull: they are not, and nothing is left to drop.
        """
        self._expire()
        while not self._fits(wanted):
            if not self._empty_quarantine() and not self._drop_oldest("spool_full"):
                raise StorageFull("spool_full", "the spool has no room: raise its limits or free space on its disk")

    def mark_linked(self, segment_id: UUID) -> None:
        """A case signal falls into this segment: it is dropped after all others."""
        with self.index.write() as connection:
            connection.execute("UPDATE segment SET linked = 1 WHERE id = ?", (str(segment_id),))

    def dropped(self) -> list[tuple[UUID, str, int, int, str]]:
        """(segment, monitor, t0_us, t1_us, reason) of every loss, oldest first."""
        with self.index.read() as connection:
            rows = connection.execute("SELECT * FROM dropped ORDER BY id").fetchall()
        return [(UUID(row["segment_id"]), row["monitor"], row["t0_us"], row["t1_us"], row["reason"]) for row in rows]

    # --- shared with recovery -----------------------------------------------------------------------------------------
    def path(self, segment_id: UUID) -> Path:
        return self.folder / f"{segment_id}{SUFFIX}"

    def set_aside(self, path: Path) -> None:
        """Move a file into quarantine; one that is gone is no error."""
        quarantine = self.folder / QUARANTINE
        quarantine.mkdir(exist_ok=True, mode=0o700)
        try:
            os.replace(path, quarantine / path.name)
        except FileNotFoundError:
            return
        except OSError as error:
            raise disk_error(error, "quarantine a spool file") from error
        sync_folder(quarantine)
        log.warning("spool_file_quarantined", extra={"fields": {"file": path.name}})

    def record_drop(self, segment_id: UUID, reason: str) -> None:
        """Put the loss of a segment on record and take its row out; the ledger stops claiming its pictures."""
        with self.index.write() as connection:
            row = connection.execute("SELECT * FROM segment WHERE id = ?", (str(segment_id),)).fetchone()
            if row is None:
                self._note_drop(connection, (str(segment_id), "", 0, 0, 0), reason)
            else:
                span = _lost_span(connection, row["monitor"], row["t0_us"], self.clock.now_us())
                t1_us = span[0] if row["state"] == "open" else row["t1_us"]
                values = (str(segment_id), row["monitor"], row["t0_us"], t1_us, row["file_bytes"])
                self._note_drop(connection, values, reason)
                amend_dropped(connection, row["monitor"], row["t0_us"], t1_us, span[1], reason)
                connection.execute("DELETE FROM segment WHERE id = ?", (str(segment_id),))

    def record_cut(self, meta: SegmentMeta, from_us: int, cut_bytes: int, reason: str) -> None:
        """Put on record that a segment has lost its pictures from `from_us` on; the ledger stops claiming them.

        May be called again for the same loss (a kill came before the file was mended): it is noted once.
        """
        with self.index.write() as connection:
            query = "SELECT 1 FROM dropped WHERE segment_id = ? AND t0_us = ?"
            if connection.execute(query, (str(meta.id), from_us)).fetchone() is not None:
                return
            t1_us, until_us = _lost_span(connection, meta.monitor, meta.t0_us, self.clock.now_us())
            t1_us = max(t1_us, from_us)
            self._note_drop(connection, (str(meta.id), meta.monitor, from_us, t1_us, cut_bytes), reason)
            amend_dropped(connection, meta.monitor, from_us, t1_us, until_us, reason)

    def _note_drop(self, connection: sqlite3.Connection, values: tuple[str, str, int, int, int], reason: str) -> None:
        connection.execute(
            "INSERT INTO dropped (segment_id, monitor, t0_us, t1_us, file_bytes, reason, at_us)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*values, reason, self.clock.now_us()),
        )
        connection.execute("DELETE FROM dropped WHERE id <= (SELECT max(id) FROM dropped) - ?", (KEPT_DROPS,))
        log.warning("spool_segment_dropped", extra={"fields": {"segment": values[0], "reason": reason}})

    def _insert(self, meta: SegmentMeta, size: int) -> None:
        with self.index.write() as connection:
            _insert_row(connection, meta, size)

    def _forget(self, segment_id: UUID) -> None:
        with self.index.write() as connection:
            connection.execute("DELETE FROM segment WHERE id = ?", (str(segment_id),))

    def _fits(self, wanted: int) -> bool:
        used = self.usage().bytes + wanted + sum(path.stat().st_size for path in self._quarantined())
        return used <= self.limits.max_bytes and self._free() - wanted >= self.limits.min_free_bytes

    def _free(self) -> int:
        try:
            return self.disk.free_bytes(self.folder)
        except OSError as error:
            raise disk_error(error, "measure the spool's disk") from error

    def _expire(self) -> None:
        oldest = self.clock.now_us() - round(self.limits.max_age_s) * US
        query = "SELECT id FROM segment WHERE state = 'closed' AND t1_us < ? ORDER BY t0_us"
        with self.index.read() as connection:
            rows = connection.execute(query, (oldest,)).fetchall()
        for row in rows:
            self._drop(UUID(row["id"]), "spool_too_old")

    def _drop_oldest(self, reason: str) -> bool:
        query = "SELECT id FROM segment WHERE state = 'closed' ORDER BY linked, t0_us, id LIMIT 1"
        with self.index.read() as connection:
            row = connection.execute(query).fetchone()
        if row is None:
            return False
        self._drop(UUID(row["id"]), reason)
        return True

    def _drop(self, segment_id: UUID, reason: str) -> None:
        self.record_drop(segment_id, reason)
        remove(self.path(segment_id))

    def _quarantined(self) -> list[Path]:
        folder = self.folder / QUARANTINE
        return sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []

    def _empty_quarantine(self) -> bool:
        """Remove the oldest quarantined file (names are UUIDv7, so they sort by age)."""
        for path in self._quarantined()[:1]:
            remove(path)
            log.warning("spool_quarantine_emptied", extra={"fields": {"file": path.name}})
            return True
        return False


def pack_meta(meta: SegmentMeta) -> bytes:
    """The META record's content."""
    return json.dumps(
        {"monitor": meta.monitor, "width": meta.width, "height": meta.height, "t0_us": meta.t0_us}
    ).encode()


def parse_meta(segment_id: UUID, raw: bytes) -> SegmentMeta:
    """The META record's content; ObjectDamaged when it is none."""
    try:
        value = json.loads(raw)
        return SegmentMeta(
            segment_id, str(value["monitor"]), int(value["width"]), int(value["height"]), int(value["t0_us"])
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ObjectDamaged("spool_record_damaged", f"segment {segment_id} has no readable meta record") from error


def _insert_row(connection: sqlite3.Connection, meta: SegmentMeta, size: int) -> None:
    connection.execute(
        "INSERT OR IGNORE INTO segment (id, monitor, width, height, t0_us, t1_us, pictures, file_bytes, sha256, state)"
        " VALUES (?, ?, ?, ?, ?, ?, '[]', ?, '', 'open')",
        (str(meta.id), meta.monitor, meta.width, meta.height, meta.t0_us, meta.t0_us + 1, size),
    )


def _next_t0(connection: sqlite3.Connection, monitor: str, t0_us: int) -> int | None:
    query = "SELECT min(t0_us) t FROM segment WHERE monitor = ? AND t0_us > ?"
    found = connection.execute(query, (monitor, t0_us)).fetchone()["t"]
    return None if found is None else int(found)


def _lost_span(connection: sqlite3.Connection, monitor: str, t0_us: int, now_us: int) -> tuple[int, int]:
    """How long a segment that was never closed can have gone on at most, and when the monitor's next one begins."""
    longest_us = t0_us + LONGEST_SEGMENT_US
    until_us = _next_t0(connection, monitor, t0_us) or max(longest_us, now_us)
    return min(longest_us, until_us), until_us


def _stored(row: sqlite3.Row) -> Stored:
    meta = SegmentMeta(UUID(row["id"]), row["monitor"], row["width"], row["height"], row["t0_us"])
    pictures = tuple(json.loads(row["pictures"]))
    return Stored(meta, row["t1_us"], pictures, bytes.fromhex(row["sha256"]), row["file_bytes"])


def _unlink_quietly(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
