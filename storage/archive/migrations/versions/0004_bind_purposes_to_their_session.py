"""Bind purposes to their session

Purposes stated before this revision count in no session any more: who is logged in states a new one.

Revision: 0004
Before: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("purpose", sa.Column("session_hash", sa.LargeBinary(length=32), nullable=True))
