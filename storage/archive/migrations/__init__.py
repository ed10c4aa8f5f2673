"""The catalog's revisions and the only code that changes its schema. Rules: docs/storage.md, "Migrations".

`python -m storage.archive.migrations "what changes"` writes the next revision from the difference between a migrated
empty SQLite catalog and `tables.metadata`; read it, mend it, and commit it with the change.

Alembic is imported only where something is migrated: it costs every process that would hold it 12 MB.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, column, inspect, select, table

if TYPE_CHECKING:
    from alembic.config import Config

FOLDER = Path(__file__).parent

_VERSION = table("alembic_version", column("version_num"))


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration without any file; `connection` is what `env.py` migrates."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.set_main_option("version_path_separator", os.pathsep)
    config.attributes["connection"] = connection
    return config


def head_revision() -> str:
    """The revision that this program was written for."""
    known = revisions()
    if not known:
        raise RuntimeError("this installation is broken: it holds no catalog revisions")
    return known[-1]


def revision_of(conn: Connection) -> str | None:
    """The revision of a database; None: empty, or no catalog."""
    if not inspect(conn).has_table(_VERSION.name):
        return None
    found: str | None = conn.execute(select(_VERSION.c.version_num)).scalar_one_or_none()
    return found


def revisions() -> list[str]:
    """All revisions, oldest first: the numbers that their files begin with."""
    return sorted(path.name.split("_")[0] for path in (FOLDER / "versions").glob("[0-9]*_*.py"))


def defaults_differ(
    _context: object, _found_column: object, _column: object, found: str | None, _default: object, wanted: str | None
) -> bool:
    """Alembic's question whether two server defaults differ: not by the quotes, brackets and casts around them."""
    return _plain(found) != _plain(wanted)


def _plain(default: str | None) -> str | None:
    return None if default is None else default.split("::")[0].strip("()'\"")
