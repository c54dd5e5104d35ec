"""Which studies are held or being shredded, and the long work on them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("studies", sa.Column("hold", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("studies", sa.Column("shredded_by", sa.String(96)))
    op.create_table(
        "study_jobs",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("study", sa.String(32), nullable=False),
        sa.Column("session", sa.String(32)),
        sa.Column("who", sa.String(96), nullable=False),
        sa.Column("destination", sa.String(64), nullable=False),
        sa.Column("options", sa.JSON, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("done", sa.Integer, nullable=False),
        sa.Column("failed", sa.Integer, nullable=False),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("code", sa.String(32), nullable=False),
        sa.Column("text", sa.String(300), nullable=False),
        sa.Column("commitment", sa.String(16), nullable=False),
        sa.Column("transaction", sa.String(64), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("due_at_ms", sa.BigInteger, nullable=False),
        sa.Column("changed_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("study_jobs_by_state", "study_jobs", ["state"])
    op.create_index("study_jobs_by_creation", "study_jobs", ["created_at_ms"])


def downgrade() -> None:
    op.drop_table("study_jobs")
    op.drop_column("studies", "shredded_by")
    op.drop_column("studies", "hold")
