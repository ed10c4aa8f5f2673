"""Remember objects without a row

Revision: 0002
Before: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.archive import tables

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "orphan",
        sa.Column("object_id", tables.Id(), nullable=False),
        sa.Column("location", sa.String(length=64), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("found_us", sa.BigInteger(), nullable=False),
        sa.Column("settled_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("object_id", "location", name=op.f("pk_orphan")),
    )
