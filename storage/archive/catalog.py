"""The catalog: one SQL database, SQLite (embedded default) or PostgreSQL, behind two ways in: `read` and `write`.

Foreign exceptions of the database are translated here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from storage.archive.migrations import head_revision, revision_of
from storage.clock import Clock
from storage.errors import ConfigurationError, Conflict, StorageFull, Unavailable

BUSY_TIMEOUT_MS = 10_000
"""How long a SQLite writer waits for another one (they finish within 50 ms) before the catalog counts as busy."""

POOL_TIMEOUT_S = 10.0
"""How long a thread waits for a connection when all are taken before the catalog counts as busy."""

_BEGIN = "sunhall_begin"
_PRAGMAS = (
    "PRAGMA journal_mode=WAL",  # readers never wait for a writer
    "PRAGMA synchronous=FULL",  # a committed transaction survives a power cut
    "PRAGMA foreign_keys=ON",
    f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA cache_size=-4096",  # 4 MiB a connection
)


class Catalog:
    """The database behind the archive. Thread-safe: each `read` or `write` takes its own connection."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self.clock = clock

    @classmethod
    def open(cls, url: str, clock: Clock) -> Catalog:
        """Open the catalog at an SQLAlchemy URL (`sqlite:////abs/catalog.sqlite`, `postgresql://user@host/name`).

        Nothing connects yet and nothing is created: call `require_head` next.

        Raises:
            ConfigurationError: `catalog_url_invalid`.
        """
        return cls(make_engine(url), clock)

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._engine.dialect.name

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one snapshot and may not write. Keep it short: never stream media under it.

        Raises:
            Unavailable: `catalog_away`, `catalog_busy` or `catalog_damaged`.
        """
        with _translated(), self._engine.connect() as plain:
            conn = plain.execution_options(**self._read_options())
            with conn.begin():
                yield conn

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A connection in a write transaction, committed at the end of the block, rolled back when it raises.

        SQLite takes the one write lock at once (BEGIN IMMEDIATE): a block that only might write uses `read`. Keep it
        under 50 ms.

        Raises:
            Unavailable: `catalog_away`, `catalog_busy` or `catalog_damaged`.
            Conflict: `catalog_conflict`: a constraint refused the rows.
            StorageFull: no room on the catalog's disk.
        """
        with _translated(), self._engine.connect() as plain:
            conn = plain.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
            with conn.begin():
                yield conn

    def require_head(self) -> None:
        """Refuse to work on a catalog of another revision than this program's.

        Raises:
            ConfigurationError: `catalog_revision`: names the command to run.
            Unavailable: the database does not answer.
        """
        with self.read() as conn:
            found = revision_of(conn)
        wanted = head_revision()
        if found != wanted:
            raise ConfigurationError(
                "catalog_revision",
                f"the catalog is at revision {found or 'none'}, this program needs {wanted}: "
                "stop all Sunhall processes, back the catalog up and run `sunhall-console migrate`",
                found=found or "",
                wanted=wanted,
            )

    def close(self) -> None:
        """Close all idle connections."""
        self._engine.dispose()

    def _read_options(self) -> dict[str, Any]:
        if self.dialect == "sqlite":
            return {_BEGIN: "BEGIN"}
        return {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}


def make_engine(url: str) -> Engine:
    """The engine for a catalog URL, with SQLite's settings applied to every connection.

    Raises:
        ConfigurationError: `catalog_url_invalid`.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        arguments = {"check_same_thread": False, "timeout": BUSY_TIMEOUT_MS / 1000}
        engine = create_engine(
            parsed, connect_args=arguments, pool_size=16, max_overflow=48, pool_timeout=POOL_TIMEOUT_S
        )
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    arguments = {"connect_timeout": 5}
    pool = {"pool_size": 8, "max_overflow": 16, "pool_timeout": POOL_TIMEOUT_S}  # a server takes 100 from all processes
    return create_engine(parsed, pool_pre_ping=True, connect_args=arguments, **pool)


def parse_url(url: str) -> URL:
    """The catalog's URL with our drivers filled in.

    Raises:
        ConfigurationError: `catalog_url_invalid`.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigurationError("catalog_url_invalid", "catalog_url is no database URL") from error
    if parsed.get_backend_name() == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return parsed
    raise ConfigurationError(
        "catalog_url_invalid", "catalog_url must be sqlite:////folder/catalog.sqlite or postgresql://user@host/name"
    )


def _set_up_sqlite(connection: Any, _record: object) -> None:
    # The driver's own transaction handling begins late and only for some statements; None turns it off, and
    # `_begin_sqlite` says BEGIN for every SQLAlchemy transaction instead.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _begin_sqlite(conn: Connection) -> None:
    conn.exec_driver_sql(conn.get_execution_options().get(_BEGIN, "BEGIN"))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        raise Conflict("catalog_conflict", f"a constraint of the catalog refused the rows: {error.orig}") from error
    except (OperationalError, InterfaceError) as error:
        raise _operational(error) from error
    except DatabaseError as error:
        if _is_damage(error):
            raise _damaged(error) from error
        raise
    except PoolTimeoutError as error:
        raise Unavailable("catalog_busy", "all connections to the catalog are taken") from error


def _is_damage(error: DBAPIError) -> bool:
    """SQLITE_CORRUPT and SQLITE_NOTADB, which the driver raises as nothing more special than DatabaseError."""
    return getattr(error.orig, "sqlite_errorname", "").startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


def _damaged(error: DBAPIError) -> Unavailable:
    return Unavailable(
        "catalog_damaged",
        f"the catalog's file is damaged ({error.orig}): stop all Sunhall processes, keep a copy of the file, "
        "restore the last backup, start, and run `sunhall-console verify` (docs/storage.md)",
    )


def _operational(error: DBAPIError) -> Exception:
    said = str(error.orig)
    if "database or disk is full" in said or "No space left" in said:
        return StorageFull("catalog_full", "no room on the catalog's disk: free some at once")
    if any(word in said for word in ("locked", "busy", "deadlock", "could not serialize")):
        return Unavailable("catalog_busy", "another writer keeps the catalog locked")
    return Unavailable("catalog_away", f"the catalog does not answer: {said.splitlines()[0] if said else 'no reason'}")
