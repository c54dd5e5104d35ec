"""When the attendance of an event was removed because its time was over."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("events", sa.Column("attendance_removed_at_ms", sa.BigInteger))


def downgrade() -> None:
    op.drop_column("events", "attendance_removed_at_ms")
