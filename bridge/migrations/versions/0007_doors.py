"""The doors of events: whether people wait to be let in, and whether nobody new comes in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("lobby", "locked"):
        op.add_column("sessions", sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false()))


def downgrade() -> None:
    for name in ("lobby", "locked"):
        op.drop_column("sessions", name)
