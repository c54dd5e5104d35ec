"""Runs the migrations on the connection that `bridge.store` hands over; Alembic calls this file by its name."""

from __future__ import annotations

from alembic import context

from bridge.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite changes a column only by copying its table.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
