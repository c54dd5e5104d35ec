"""Which session a study is for, and which point sent it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("studies", sa.Column("session", sa.String(32)))
    op.add_column("studies", sa.Column("point", sa.String(200), nullable=False, server_default=""))
    op.create_index("studies_by_session", "studies", ["session"])


def downgrade() -> None:
    op.drop_index("studies_by_session", "studies")
    op.drop_column("studies", "point")
    op.drop_column("studies", "session")
