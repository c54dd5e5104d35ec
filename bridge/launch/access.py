"""Who may prepare an event and look back on it, and that the audit has it. Knows no HTTP."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from bridge.audit import Audit, Entry, Event
from bridge.auth import Auth
from bridge.errors import BridgeError, Conflict, NotAuthorised, NotFound
from bridge.ids import Role, SessionFormat, SessionId, SessionState
from bridge.recordings.accesses import Accesses, Look
from bridge.store import SessionRecord, Store


@dataclass(frozen=True, slots=True)
class Admitted:
    """Somebody who may, and the event."""

    who: str
    """As the audit has it."""
    session: SessionRecord


class EventAccess:
    """Checks tokens; every method raises NotAuthorised or NotFound."""

    def __init__(self, auth: Auth, store: Store, audit: Audit, accesses: Accesses) -> None:
        self._auth = auth
        self._store = store
        self._audit = audit
        self._accesses = accesses

    async def reads(self, token: str, session: SessionId) -> Admitted:
        """Staff, and organiser and hub of the event, also after it ended. Raises Conflict for a consult."""
        return await self._admit(token, session, frozenset({Role.ORGANISER, Role.HUB}))

    async def manages(self, token: str, session: SessionId) -> Admitted:
        """Staff and the organiser. Raises Conflict for a consult."""
        return await self._admit(token, session, frozenset({Role.ORGANISER}))

    async def changes(self, token: str, session: SessionId) -> Admitted:
        """As `manages`, while the event is not over. Raises BridgeError (`sessionEnded`) too."""
        admitted = await self.manages(token, session)
        if admitted.session.state is SessionState.ENDED:
            raise BridgeError("This session is over.", "sessionEnded")
        return admitted

    async def note(self, event: Event, by: Admitted, *, rows: int) -> None:
        """Returns when the audit has it. Raises AuditError: nothing must be shown then."""
        entry = Entry(event, by.who, f"session/{by.session.id}", detail={"rows": rows})
        await asyncio.to_thread(self._audit.record, entry)

    async def look(self, by: Admitted, what: str) -> None:
        """Somebody sees names: a line a minute for each person and `what`. Raises like `note`."""
        await self._accesses.note(Look(by.who, f"session/{by.session.id}", what))

    async def _admit(self, token: str, session: SessionId, roles: frozenset[Role]) -> Admitted:
        # Events are looked back on when they are over, when no link lets anybody in any more.
        grant = await self._auth.replay(token)
        if grant.session is not None and (grant.session != session or grant.role not in roles):
            on = await self._known(session, grant.session)
            await self._accesses.note(Look(grant.who, f"session/{on}", refused=True))
            raise NotAuthorised("This link does not allow that.", "notAllowed")
        record = await self._store.get_session(session)
        if record.format is not SessionFormat.EVENT:
            raise Conflict("This session is a consult: only events have this.")
        return Admitted(grant.who, record)

    async def _known(self, asked: SessionId, own: SessionId) -> SessionId:
        """What was asked for, if there is such a session: each made-up id would be another line of the audit."""
        try:
            return (await self._store.get_session(asked)).id
        except NotFound:
            return own
