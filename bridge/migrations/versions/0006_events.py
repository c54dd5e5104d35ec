"""Launch events before and after: their points, run of show, line checks, and who was there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("session", sa.String(32), sa.ForeignKey("sessions.id"), primary_key=True),
        sa.Column("starts_at_ms", sa.BigInteger),
        sa.Column("points_uploaded_at_ms", sa.BigInteger),
        sa.Column("agenda_version", sa.Integer, nullable=False),
        sa.Column("agenda", sa.JSON, nullable=False),
    )
    op.create_table(
        "event_points",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("session", sa.String(32), sa.ForeignKey("sessions.id"), nullable=False),
        sa.Column("province", sa.String(200), nullable=False),
        sa.Column("organisation", sa.String(200), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("contact", sa.LargeBinary, nullable=False),
        sa.Column("invite", sa.String(32), sa.ForeignKey("invites.id"), nullable=False),
        sa.Column("removed", sa.Boolean, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("event_points_by_session", "event_points", ["session"])
    op.create_table(
        "line_checks",
        sa.Column("invite", sa.String(32), sa.ForeignKey("invites.id"), primary_key=True),
        sa.Column("session", sa.String(32), sa.ForeignKey("sessions.id"), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("result", sa.JSON, nullable=False),
    )
    op.create_index("line_checks_by_session", "line_checks", ["session"])
    op.create_table(
        "attendance",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("session", sa.String(32), sa.ForeignKey("sessions.id"), nullable=False),
        sa.Column("participant", sa.String(32), nullable=False),
        sa.Column("invite", sa.String(32), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("point", sa.String(200), nullable=False),
        sa.Column("name", sa.LargeBinary, nullable=False),
        sa.Column("joined_at_ms", sa.BigInteger, nullable=False),
        sa.Column("left_at_ms", sa.BigInteger),
        sa.Column("seen_at_ms", sa.BigInteger, nullable=False),
        sa.Column("good_ms", sa.BigInteger, nullable=False),
        sa.Column("weak_ms", sa.BigInteger, nullable=False),
        sa.Column("bad_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("attendance_by_session", "attendance", ["session"])


def downgrade() -> None:
    for name in ("attendance", "line_checks", "event_points", "events"):
        op.drop_table(name)
