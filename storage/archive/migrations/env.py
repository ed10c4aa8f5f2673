"""What Alembic runs for every command: it migrates the connection that the caller put into the configuration."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context

from storage.archive.migrations import defaults_differ
from storage.archive.tables import Id, metadata


def render_item(kind: str, item: Any, _context: object) -> str | Literal[False]:
    """Write our one type as `tables.Id()`, everything else as Alembic does."""
    return "tables.Id()" if kind == "type" and isinstance(item, Id) else False


connection = context.config.attributes["connection"]
if connection is None:
    raise RuntimeError("call storage.archive.migrate.migrate: revisions are never run from Alembic's command line")
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=True,  # SQLite cannot alter a column: batches copy the table
    compare_type=True,
    compare_server_default=defaults_differ,
    render_item=render_item,
)
with context.begin_transaction():
    context.run_migrations()
