"""Keep running totals

What each stream keeps, counted once here and then with each row: the quota was a sum over millions of rows.

Revision: 0003
Before: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.archive import tables

revision = "0003"
down_revision = "0002"

COUNT = """
INSERT INTO stored (stream_id, objects, bytes)
SELECT stream_id, count(*), sum(bytes) FROM segment GROUP BY stream_id
UNION ALL
SELECT monitor_id, count(*), sum(bytes) FROM screen_segment GROUP BY monitor_id
"""


def upgrade() -> None:
    op.create_table(
        "stored",
        sa.Column("stream_id", tables.Id(), nullable=False),
        sa.Column("objects", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("stream_id", name=op.f("pk_stored")),
    )
    op.execute(COUNT)
