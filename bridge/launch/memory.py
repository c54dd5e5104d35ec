"""Keeps what is decided in a session while it is live, so that a restart of the server finds it again.

Who is next, layout, lower third and questions of an event, and what moderators muted; floor and door are the lobby's.
It looks about once a second and writes what is different. All of it lies sealed: it holds names and what people wrote.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec
import sqlalchemy as sa
import structlog

from bridge import tables
from bridge.eventstate import EventState, KeptEvent
from bridge.ids import ParticipantId, SessionId, SessionState
from bridge.launch.sealing import Sealer
from bridge.livesession import LiveSession
from bridge.media.contract import Source
from bridge.store import Store

WRITTEN_EVERY_S = 1.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Kept:
    event: KeptEvent | None
    blocked: dict[ParticipantId, list[Source]]


class SessionMemory:
    """Of all sessions of this server. Implements `bridge.witness.Memory`."""

    def __init__(self, store: Store, sealer: Sealer, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._sealer = sealer
        self._now_ms = now_ms
        self._written: dict[SessionId, bytes] = {}
        self._writing = asyncio.Lock()

    async def recall(self, session: LiveSession) -> None:
        """What cannot be read is logged, and the session begins anew."""
        rows = tables.session_memory.c
        async with self._store.reading() as connection:
            sealed = await connection.scalar(sa.select(rows.sealed).where(rows.session == session.id))
        if sealed is None:
            return
        try:
            text = self._sealer.open(sealed, _row(session.id)).encode("utf-8")
            kept = msgspec.json.decode(text, type=_Kept)
        except msgspec.MsgspecError:
            _log.error("memory.unreadable", session=session.id)
            return
        if session.event is not None and kept.event is not None:
            session.event.recall(kept.event, self._now_ms())
        session.blocked |= {id: set(sources) for id, sources in kept.blocked.items()}
        self._written[session.id] = _said(session)

    async def run(self, sessions: Callable[[], Iterable[LiveSession]]) -> None:
        """Looks and writes, for ever."""
        while True:
            await asyncio.sleep(WRITTEN_EVERY_S)
            await self.write(sessions())

    async def write(self, sessions: Iterable[LiveSession]) -> None:
        """Writes what is different. What cannot be written now is different the next time, too."""
        async with self._writing:
            live = {session.id: session for session in sessions if not session.ended}
            self._written = {id: said for id, said in self._written.items() if id in live}
            for id, session in live.items():
                said = _said(session)
                if said == (self._written.get(id) or _untouched(session)):
                    continue
                try:
                    await self._keep(id, self._sealer.seal(said.decode("utf-8"), _row(id)))
                    self._written[id] = said
                except Exception as error:
                    # Whatever the driver raises means the same here.
                    _log.error("memory.failed", session=id, error=type(error).__name__)

    async def _keep(self, session: SessionId, sealed: bytes) -> None:
        rows, sessions = tables.session_memory, tables.sessions
        async with self._store.writing() as connection:
            open_still = await connection.scalar(
                sa.select(sessions.c.id)
                .where(sessions.c.id == session, sessions.c.state == SessionState.OPEN.value)
                .with_for_update()
            )
            if open_still is None:
                return
            changed = await connection.execute(
                sa.update(rows).where(rows.c.session == session).values(sealed=sealed)
            )
            if changed.rowcount == 0:
                await connection.execute(sa.insert(rows).values(session=session, sealed=sealed))


def _said(session: LiveSession) -> bytes:
    event = None if session.event is None else session.event.kept()
    # Everybody has a place there, and hardly anybody is blocked.
    blocked = dict(sorted((id, sorted(sources)) for id, sources in session.blocked.items() if sources))
    return msgspec.json.encode(_Kept(event, blocked))


def _untouched(session: LiveSession) -> bytes:
    event = None if session.event is None else EventState().kept()
    return msgspec.json.encode(_Kept(event, {}))


def _row(session: SessionId) -> str:
    """Names of people are sealed for rows with other ids, with the same key."""
    return f"memory of {session}"
