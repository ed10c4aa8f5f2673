"""Bringing a catalog to this program's revision: `sunhall-console migrate` and `make run` alone call it."""

from __future__ import annotations

from alembic import command
from sqlalchemy import Connection, Engine, text

from storage.archive.catalog import make_engine
from storage.archive.migrations import alembic_config, head_revision, revision_of, revisions
from storage.errors import ConfigurationError

_LOCK = 0x53554E48414C4C  # "SUNHALL": PostgreSQL's advisory lock, so that two consoles do not migrate at once


def migrate(url: str, revision: str = "head") -> str:
    """Upgrade the catalog at `url` (an empty database too) to `revision`, in one transaction; returns the revision.

    Raises:
        ConfigurationError: the URL is wrong, the catalog is newer than this program (`catalog_newer`), or rows break
            a foreign key after the change (`catalog_damaged`; nothing was changed).
    """
    engine = make_engine(url)
    try:
        with engine.connect() as conn:
            _upgrade(conn, engine, revision)
            return revision_of(conn) or ""
    finally:
        engine.dispose()


def _upgrade(conn: Connection, engine: Engine, revision: str) -> None:
    sqlite = engine.dialect.name == "sqlite"
    if sqlite:  # a batch drops and renames tables: rows that refer to them must not go with them
        _pragma(conn, "foreign_keys=OFF")
    with conn.execution_options(sunhall_begin="BEGIN IMMEDIATE").begin():
        if not sqlite:
            conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        _refuse_newer(revision_of(conn))
        command.upgrade(alembic_config(conn), revision)
        if sqlite:
            _require_whole(conn)
    if sqlite:
        _pragma(conn, "foreign_keys=ON")


def _pragma(conn: Connection, setting: str) -> None:
    """Set a pragma outside any transaction, where alone `foreign_keys` takes effect."""
    raw = conn.connection.driver_connection
    if raw is not None:
        raw.execute(f"PRAGMA {setting}")


def _refuse_newer(found: str | None) -> None:
    if found is not None and found not in revisions():
        raise ConfigurationError(
            "catalog_newer", f"the catalog is at {found}, newer than this program ({head_revision()}): install that one"
        )


def _require_whole(conn: Connection) -> None:
    broken = conn.execute(text("PRAGMA foreign_key_check")).first()
    if broken is not None:
        raise ConfigurationError(
            "catalog_damaged", f"rows of {broken[0]} refer to rows of {broken[2]} that are missing"
        )
