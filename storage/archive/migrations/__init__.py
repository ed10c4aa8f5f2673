"""The catalog's revisions and the only code that changes its schema. Rules: docs/storage.md, "Migrations".

`python -m storage.archive.migrations "what changes"` writes the next revision from the difference between a migrated
empty SQLite catalog and `tables.metadata`; read it, mend it, and commit it with the change.
"""

from __future__ import annotations

import os
from pathlib import Path

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

FOLDER = Path(__file__).parent


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration without any file; `connection` is what `env.py` migrates."""
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.set_main_option("version_path_separator", os.pathsep)
    config.attributes["connection"] = connection
    return config


def head_revision() -> str:
    """The revision that this program was written for."""
    head = ScriptDirectory.from_config(alembic_config()).get_current_head()
    if head is None:
        raise RuntimeError("this installation is broken: it holds no catalog revisions")
    return head


def revision_of(conn: Connection) -> str | None:
    """The revision of a database; None: empty, or no catalog."""
    return MigrationContext.configure(conn).get_current_revision()


def revisions() -> list[str]:
    """All revisions, oldest first."""
    script = ScriptDirectory.from_config(alembic_config())
    return [entry.revision for entry in reversed(list(script.walk_revisions()))]


def defaults_differ(
    _context: object, _found_column: object, _column: object, found: str | None, _default: object, wanted: str | None
) -> bool:
    """Alembic's question whether two server defaults differ: not by the quotes, brackets and casts around them."""
    return _plain(found) != _plain(wanted)


def _plain(default: str | None) -> str | None:
    return None if default is None else default.split("::")[0].strip("()'\"")
