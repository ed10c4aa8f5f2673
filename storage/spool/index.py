"""The spool's SQLite file (WAL, FULL): index of the segment files, coverage ledger, drops, events, values.

It holds no picture, and everything about segments in it can be rebuilt from the files. Used by several threads of one
process through one connection and one lock; transactions are short.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from storage.errors import StorageError, StorageFull

FILE_NAME = "spool.sqlite"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS segment (
    id TEXT PRIMARY KEY,
    monitor TEXT NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    t0_us INTEGER NOT NULL,
    t1_us INTEGER NOT NULL,
    pictures TEXT NOT NULL,
    file_bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'closed', 'acknowledged')),
    attempts INTEGER NOT NULL DEFAULT 0,
    linked INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS ix_segment_due ON segment (state, attempts, t0_us);
CREATE TABLE IF NOT EXISTS dropped (
    id INTEGER PRIMARY KEY,
    segment_id TEXT NOT NULL,
    monitor TEXT NOT NULL,
    t0_us INTEGER NOT NULL,
    t1_us INTEGER NOT NULL,
    file_bytes INTEGER NOT NULL,
    reason TEXT NOT NULL,
    at_us INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS ledger (
    id INTEGER PRIMARY KEY,
    monitor TEXT NOT NULL,
    t0_us INTEGER NOT NULL,
    t1_us INTEGER NOT NULL CHECK (t1_us > t0_us),
    state TEXT NOT NULL,
    detail TEXT NOT NULL,
    sealed INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS ix_ledger_monitor ON ledger (monitor, t0_us);
CREATE TABLE IF NOT EXISTS ledger_tail (monitor TEXT PRIMARY KEY, end_us INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS event (
    id INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, kind TEXT NOT NULL, detail TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS value (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""


class IndexDamaged(StorageError):
    """The SQLite file is no database any more; it is set aside and rebuilt from the segment files."""


class SpoolIndex:
    """One connection, one lock."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = threading.RLock()

    @classmethod
    def open(cls, folder: Path) -> SpoolIndex:
        """Open or make the index in `folder`.

        Raises:
            IndexDamaged: the file is damaged.
            StorageFull, StorageError: the disk refused.
        """
        try:
            connection = sqlite3.connect(folder / FILE_NAME, isolation_level=None, check_same_thread=False, timeout=10)
        except sqlite3.Error as error:
            raise _translated(error) from error
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.executescript(_SCHEMA)
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.Error as error:
            connection.close()
            raise _translated(error) from error
        if verdict != "ok":
            connection.close()
            raise IndexDamaged("spool_index_damaged", f"{FILE_NAME}: {verdict}")
        return cls(connection)

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """The connection, for reading; nobody else uses it meanwhile."""
        with self._lock:
            try:
                yield self._connection
            except sqlite3.Error as error:
                raise _translated(error) from error

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction: on the disk when the block ends, undone when it raises. May be nested: the outer counts.

        Raises:
            StorageFull, StorageError: the disk refused; nothing of the block is kept.
        """
        with self._lock:
            if self._connection.in_transaction:
                yield self._connection
                return
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                with self._rolled_back_on_error():
                    yield self._connection
                    self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise _translated(error) from error

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    # --- values: small things that must survive a restart -------------------------------------------------------------
    def get(self, key: str) -> str | None:
        with self.read() as connection:
            row = connection.execute("SELECT value FROM value WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row["value"])

    def put(self, key: str, value: str | None) -> None:
        """Keep `value` under `key`; None forgets it."""
        with self.write() as connection:
            if value is None:
                connection.execute("DELETE FROM value WHERE key = ?", (key,))
            else:
                connection.execute("INSERT OR REPLACE INTO value VALUES (?, ?)", (key, value))

    # --- events: what happened on this machine that somebody may ask about --------------------------------------------
    def note(self, at_us: int, kind: str, detail: str) -> None:
        """Keep an event (`clock_step`, `index_rebuilt`, ...); the oldest beyond 1,000 go."""
        with self.write() as connection:
            connection.execute("INSERT INTO event (at_us, kind, detail) VALUES (?, ?, ?)", (at_us, kind, detail))
            connection.execute("DELETE FROM event WHERE id <= (SELECT max(id) FROM event) - 1000")

    def events(self) -> list[tuple[int, str, str]]:
        """(at_us, kind, detail), oldest first."""
        with self.read() as connection:
            rows = connection.execute("SELECT at_us, kind, detail FROM event ORDER BY id").fetchall()
        return [(row["at_us"], row["kind"], row["detail"]) for row in rows]

    @contextlib.contextmanager
    def _rolled_back_on_error(self) -> Iterator[None]:
        done = False
        try:
            yield
            done = True
        finally:
            if not done and self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


def _translated(error: sqlite3.Error) -> StorageError:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith("SQLITE_FULL"):
        return StorageFull("spool_disk_full", "no room for the spool's index: free space on its disk")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return IndexDamaged("spool_index_damaged", f"{FILE_NAME}: {error}")
    return StorageError("spool_index_failed", f"{FILE_NAME}: {error}")
