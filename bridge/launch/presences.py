"""Queries on who was in an event from when to when; names lie sealed. No rules and no rights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from bridge import tables
from bridge.ids import InviteId, ParticipantId, Role, SessionId
from bridge.launch.sealing import Sealer
from bridge.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """Somebody, or a `device` (an encoder), from joining to leaving. `left_at_ms` None: is there; was there at
    `seen_at_ms` at the latest.

    `good_ms`, `weak_ms` and `bad_ms` are how long its line was so, as far as known.
    """

    id: str
    session: SessionId
    participant: ParticipantId
    invite: InviteId
    role: Role
    point: str
    name: str
    joined_at_ms: int
    left_at_ms: int | None
    seen_at_ms: int
    good_ms: int = 0
    weak_ms: int = 0
    bad_ms: int = 0
    device: bool = False


class Presences:
    """For one event loop, as the store is."""

    def __init__(self, store: Store, sealer: Sealer) -> None:
        self._store = store
        self._sealer = sealer

    async def write(self, new: Sequence[Presence], changed: Sequence[Presence]) -> None:
        """All of them in one transaction; of those that changed everything but who it is."""
        rows = tables.attendance
        async with self._store.writing() as connection:
            if new:
                await connection.execute(sa.insert(rows), [self._row(presence) for presence in new])
            if changed:
                await connection.execute(_UPDATE, [self._change(presence) for presence in changed])

    async def written(self, ids: Sequence[str]) -> frozenset[str]:
        """Which of these are there."""
        id, found = tables.attendance.c.id, set[str]()
        async with self._store.reading() as connection:
            for first in range(0, len(ids), _AT_ONCE):
                query = sa.select(id).where(id.in_(ids[first : first + _AT_ONCE]))
                found |= set(await connection.scalars(query))
        return frozenset(found)

    async def close_open(self) -> None:
        """After a start: whom a dead server left there was last seen when it last wrote."""
        rows = tables.attendance
        async with self._store.writing() as connection:
            await connection.execute(
                sa.update(rows).where(rows.c.left_at_ms.is_(None)).values(left_at_ms=rows.c.seen_at_ms)
            )

    async def rows(self, session: SessionId) -> list[sa.RowMapping]:
        """All of an event, still sealed, the first to come first."""
        columns = tables.attendance.c
        query = (
            sa.select(tables.attendance)
            .where(columns.session == session)
            .order_by(columns.joined_at_ms, columns.id)
        )
        async with self._store.reading() as connection:
            return [row._mapping for row in await connection.execute(query)]

    def opened(self, rows: Sequence[sa.RowMapping]) -> list[Presence]:
        """With their names; for threads."""
        return [self._presence_of(row) for row in rows]

    def _row(self, presence: Presence) -> dict[str, Any]:
        row = {name: getattr(presence, name) for name in Presence.__slots__}
        return row | {"role": presence.role.value, "name": self._sealer.seal(presence.name, presence.id)}

    def _change(self, presence: Presence) -> dict[str, Any]:
        return {
            "row": presence.id,
            "new_name": self._sealer.seal(presence.name, presence.id),
            "new_left_at_ms": presence.left_at_ms,
            "new_seen_at_ms": presence.seen_at_ms,
            "new_good_ms": presence.good_ms,
            "new_weak_ms": presence.weak_ms,
            "new_bad_ms": presence.bad_ms,
        }

    def _presence_of(self, row: sa.RowMapping) -> Presence:
        fields = {name: row[name] for name in Presence.__slots__}
        opened = {"role": Role(row["role"]), "name": self._sealer.open(row["name"], row["id"])}
        return Presence(**fields | opened)


_AT_ONCE = 500
"""Values in one query."""
_CHANGES = ("name", "left_at_ms", "seen_at_ms", "good_ms", "weak_ms", "bad_ms")
_UPDATE = (
    sa.update(tables.attendance)
    .where(tables.attendance.c.id == sa.bindparam("row"))
    .values({name: sa.bindparam(f"new_{name}") for name in _CHANGES})
)
