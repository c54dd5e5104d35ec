"""Recordings, and what a session says about them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sessions", sa.Column("record", sa.String(16), nullable=False, server_default="manual"))
    op.add_column("sessions", sa.Column("consent", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_table(
        "recordings",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("session", sa.String(32), sa.ForeignKey("sessions.id"), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("started_at_ms", sa.BigInteger, nullable=False),
        sa.Column("duration_ms", sa.BigInteger, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("hold", sa.Boolean, nullable=False),
        sa.Column("retain_until_ms", sa.BigInteger),
        sa.Column("clip_of", sa.String(32)),
    )
    op.create_index("recordings_by_session", "recordings", ["session"])
    op.create_index("recordings_by_start", "recordings", ["started_at_ms"])


def downgrade() -> None:
    op.drop_table("recordings")
    op.drop_column("sessions", "consent")
    op.drop_column("sessions", "record")
