"""Write the next revision: `python -m storage.archive.migrations "what changes"` (see the package's docstring)."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from alembic import command

from storage.archive.catalog import make_engine
from storage.archive.migrate import migrate
from storage.archive.migrations import alembic_config, revisions


def write_revision(message: str) -> str:
    """Write the revision that leads from the last one to `tables.metadata`; returns its name."""
    name = f"{len(revisions()) + 1:04d}"
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'catalog.sqlite'}"
        if revisions():
            migrate(url)
        engine = make_engine(url)
        with engine.connect() as conn:
            command.revision(alembic_config(conn), message=message, autogenerate=True, rev_id=name)
        engine.dispose()
    return name


if __name__ == "__main__":
    write_revision(" ".join(sys.argv[1:]))
