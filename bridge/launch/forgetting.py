"""How long names of people are kept of events: some days after the end, then who was there and whom to call is removed.

Points stay, with results of their line checks: they name nobody. Each removal is in the audit before it begins and when
it is done; that it was done stands beside the event, so that no empty list passes for an event that nobody came to.
An event that nobody ended is over when the last of its links has run out; it is ended then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge import tables
from bridge.audit import Entry, Event, Outcome
from bridge.errors import BridgeError
from bridge.ids import SessionFormat, SessionId, SessionState
from bridge.launch.sealing import Sealer
from bridge.store import Store

PERIOD_S = 3600.0
FIRST_AFTER_S = 120.0
"""A server that starts has other things to do."""
REMOVED_AT_ONCE = 50
"""Events in one run; the rest waits for the next."""
SYSTEM = "system"
_DAY_MS = 24 * 3600 * 1000

_log = structlog.get_logger(__name__)


class Forgetting:
    """For one event loop. `write_audit` may block; `days` 0 keeps all for ever."""

    def __init__(
        self,
        store: Store,
        sealer: Sealer,
        write_audit: Callable[[Entry], object],
        days: int,
        now_ms: Callable[[], int],
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._write_audit = write_audit
        self._days = days
        self._now_ms = now_ms

    async def run(self) -> None:
        """As long as the server."""
        await asyncio.sleep(FIRST_AFTER_S)
        while True:
            await self.sweep()
            await asyncio.sleep(PERIOD_S)

    async def sweep(self) -> int:
        """One run; gives of how many events the attendance was removed."""
        done = 0
        for session in await self._expired():
            try:
                await self._forget(session)
                done += 1
            except BridgeError as error:
                # Without the audit nothing is removed; the next run tries again.
                _log.error("attendance not removed", session=session, code=error.code)
        if done:
            _log.info("attendance past its time removed", count=done)
        return done

    async def _expired(self) -> list[SessionId]:
        """Events whose time is over and of which something is left."""
        if not self._days:
            return []
        sessions, events, invites = tables.sessions.c, tables.events.c, tables.invites.c
        before_ms = self._now_ms() - self._days * _DAY_MS
        good_since = sa.exists().where(
            invites.session == sessions.id, invites.revoked.is_(sa.false()), invites.expires_at_ms > before_ms
        )
        ended = sa.and_(sessions.state == SessionState.ENDED.value, sessions.ended_at_ms <= before_ms)
        left_open = sa.and_(
            sessions.state == SessionState.OPEN.value, sessions.created_at_ms <= before_ms, ~good_since
        )
        left = [
            sa.exists().where(rows.c.session == sessions.id)
            for rows in (tables.attendance, tables.event_points)
        ]
        query = (
            sa.select(sessions.id)
            .outerjoin_from(tables.sessions, tables.events, events.session == sessions.id)
            .where(
                sessions.format == SessionFormat.EVENT.value,
                sa.or_(ended, left_open),
                events.attendance_removed_at_ms.is_(None),
                sa.or_(*left),
            )
            .order_by(sa.func.coalesce(sessions.ended_at_ms, sessions.created_at_ms))
            .limit(REMOVED_AT_ONCE)
        )
        async with self._store.reading() as connection:
            return [SessionId(id) for id in await connection.scalars(query)]

    async def _forget(self, session: SessionId) -> None:
        await self._note(session, Outcome.BEGUN, {})
        rows = await self._remove(session)
        await self._note(session, Outcome.DONE, {"rows": rows})

    async def _remove(self, session: SessionId) -> int:
        """How many presences there were."""
        attendance, points, events = tables.attendance, tables.event_points, tables.events
        async with self._store.writing() as connection:
            gone = await connection.execute(sa.delete(attendance).where(attendance.c.session == session))
            ids = list(await connection.scalars(sa.select(points.c.id).where(points.c.session == session)))
            if ids:
                await connection.execute(
                    sa.update(points)
                    .where(points.c.id == sa.bindparam("point"))
                    .values(contact=sa.bindparam("nobody")),
                    [{"point": id, "nobody": self._sealer.seal("", id)} for id in ids],
                )
            await self._end(connection, session)
            marked = {"attendance_removed_at_ms": self._now_ms()}
            changed = await connection.execute(
                sa.update(events).where(events.c.session == session).values(marked)
            )
            if changed.rowcount == 0:
                row = {"session": session, "agenda_version": 0, "agenda": []} | marked
                await connection.execute(sa.insert(events).values(row))
        return gone.rowcount

    async def _end(self, connection: AsyncConnection, session: SessionId) -> None:
        """Nobody may come any more whom nobody would forget; and what was kept for a restart names people, too."""
        sessions, memory = tables.sessions, tables.session_memory
        await connection.execute(
            sa.update(sessions)
            .where(sessions.c.id == session, sessions.c.state == SessionState.OPEN.value)
            .values(state=SessionState.ENDED.value, ended_at_ms=self._now_ms())
        )
        await connection.execute(sa.delete(memory).where(memory.c.session == session))

    async def _note(self, session: SessionId, outcome: Outcome, detail: dict[str, int]) -> None:
        entry = Entry(Event.OBJECT_SHREDDED, SYSTEM, f"session/{session}", outcome, detail)
        await asyncio.to_thread(self._write_audit, entry)
