"""Who sits where: the sessions in memory, the seats in them, the tokens to come back with, and every way out.

It keeps sessions in step with the store and tells forwarding who came and went. Who may do what is asked before.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Iterable
from weakref import WeakValueDictionary

import structlog

from bridge import messages, policy
from bridge.allowance import Allowance
from bridge.auth import Grant
from bridge.errands import Errands
from bridge.errors import BridgeError, LimitExceeded, NotAuthorised, NotFound
from bridge.eventdoor import Known
from bridge.forwarding import Forwarding
from bridge.ids import InviteId, ParticipantId, Role, SessionId, SessionState
from bridge.livesession import LiveSession
from bridge.load import Load
from bridge.participant import Outlet, Participant
from bridge.recordkeeping import RecordKeeper
from bridge.seats import choose_seat
from bridge.store import Store
from bridge.witness import Memory, NoMemory, Witness

FORGOTTEN_AFTER_MS = 6 * 3600 * 1000
"""A session without anybody is dropped from memory; its chat and its bans are lost then."""
COMINGS_BURST = 20
COMINGS_PER_S = 1.0
"""How often a link may be opened, and more for each of its seats: a line that comes and goes, not a program's loop."""

_log = structlog.get_logger(__name__)


class Lobby:
    """The sessions of this server that somebody has come to."""

    def __init__(
        self,
        store: Store,
        forwarding: Forwarding,
        keeper: RecordKeeper,
        errands: Errands,
        now_ms: Callable[[], int],
        load: Load,
    ) -> None:
        self.stopping = False
        self.draining = False
        """What is live goes on, and nothing new begins."""
        self.witness: Witness = keeper
        """Who keeps what happens in the sessions that are loaded from now on."""
        self.memory: Memory = NoMemory()
        self._store = store
        self._forwarding = forwarding
        self._keeper = keeper
        self._errands = errands
        self._now_ms = now_ms
        self._server_load = load
        self._sessions: dict[SessionId, LiveSession] = {}
        self._loading: WeakValueDictionary[SessionId, asyncio.Lock] = WeakValueDictionary()
        self._resumable: dict[bytes, Participant] = {}

    # Sessions

    def sessions(self) -> Iterable[LiveSession]:
        """All of them; safe while they come and go."""
        return list(self._sessions.values())

    def find(self, id: SessionId) -> LiveSession | None:
        return self._sessions.get(id)

    def session_of(self, participant: Participant) -> LiveSession:
        """Raises NotFound for one who is gone."""
        session = self._sessions.get(participant.grant.session)
        if participant.gone or session is None:
            raise NotFound("This participant is not in the session any more.")
        return session

    async def open(self, grant: Grant, *, again: bool = False) -> LiveSession:
        """The session of a grant, loaded if need be. `again`: this coming was counted when it began.

        Raises like `check_open`, and LimitExceeded (`tooMany`)."""
        self._check_running()
        session = self._sessions.get(grant.session)
        if self.draining and (session is None or not session.occupied):
            raise BridgeError(
                "The server is being emptied for maintenance: nothing new begins.", "shuttingDown"
            )
        if session is None:
            # Kept as long as somebody waits for it, also after a load that failed.
            lock = self._loading.setdefault(grant.session, asyncio.Lock())
            async with lock:
                session = self._sessions.get(grant.session) or await self._load(grant.session)
        self.check_open(session, grant)
        if not again:
            self._note_coming(session, grant)
        return session

    def _note_coming(self, session: LiveSession, grant: Grant) -> None:
        """Everybody is told of each join. Raises LimitExceeded for a link that is opened again and again."""
        now_ms = self._now_ms()
        known = session.comings.get(grant.invite)
        if known is None:
            burst, per_s = COMINGS_BURST + 4 * grant.seats, COMINGS_PER_S + grant.seats / 4
            known = session.comings[grant.invite] = Allowance(burst, per_s, now_ms)
        known.spend(now_ms, "This link was opened too often: try again in a moment.")

    def check_open(self, session: LiveSession, grant: Grant) -> None:
        """Raises BridgeError (`sessionEnded`, `shuttingDown`), NotAuthorised (`inviteRevoked`)."""
        self._check_running()
        if session.ended:
            raise BridgeError("This session is over.", "sessionEnded")
        if grant.invite in session.revoked:
            raise NotAuthorised("This invite was withdrawn.", "inviteRevoked")

    async def _load(self, id: SessionId) -> LiveSession:
        record = await self._store.get_session(id)
        if record.state is SessionState.ENDED:
            raise BridgeError("This session is over.", "sessionEnded")
        attended = frozenset[ParticipantId]()
        if record.lobby or record.locked:
            attended = await self._store.attended(id)
        session = LiveSession(record, self.witness, self._now_ms, attended)
        if session.started_at_ms is None:
            session.started_at_ms = self._now_ms()
            await self._store.start_session(id, session.started_at_ms)
        session.revoked |= (await self._store.closed_among([id])).invites
        await self.memory.recall(session)
        await self._keeper.take_up(session)
        self._sessions[id] = session
        return session

    def _check_running(self) -> None:
        if self.stopping:
            raise BridgeError("The server is stopping.", "shuttingDown")

    def keep_stage(self, session: LiveSession) -> None:
        """Saves who has the floor, so that a restart finds it again."""
        if tuple(session.floor) != session.saved_floor:
            self._errands.start("save stage", self._save_stage(session))

    async def _save_stage(self, session: LiveSession) -> None:
        async with session.saving:
            floor = tuple(session.floor)
            if floor != session.saved_floor:
                await self._store.save_stage(session.id, floor)
                session.saved_floor = floor

    # In

    def former(self, grant: Grant, resume_token: str | None) -> Participant | None:
        """Who a reloaded page was before, on the same invite; None if the token does not tell."""
        if resume_token is None:
            return None
        former = self._resumable.get(_digest(resume_token))
        return former if former is not None and former.grant.invite == grant.invite else None

    def known(self, session: LiveSession, grant: Grant, resume_token: str | None = None) -> Known:
        """Whether who comes has been let in before. Raises like `find_place`."""
        if (
            session.door is None
            or policy.moderates(grant.role)
            or self.former(grant, resume_token) is not None
        ):
            return Known.HERE
        seat, _ = self.find_place(session, grant)
        digest = None if resume_token is None else _digest(resume_token)
        return session.door.known(policy.participant_id(grant.invite, seat), grant.seats == 1, digest)

    def check_newcomer(self, session: LiveSession, grant: Grant) -> None:
        """Of who has not been in the session before. Raises LimitExceeded (`sessionLocked`, `serverBusy`)."""
        if session.door is not None and session.door.locked:
            raise LimitExceeded("Nobody new is let into this session.", "sessionLocked")
        if grant.role is Role.VIEWER and self._server_load.refuses:
            raise LimitExceeded("The server is at its limit and takes no more viewers now.", "serverBusy")

    def check_door(
        self, session: LiveSession, grant: Grant, resume_token: str | None, admitted: bool
    ) -> None:
        """Right before it comes in; what has no page cannot wait. Raises LimitExceeded (`sessionLocked`)."""
        if admitted or self.known(session, grant, resume_token) is not Known.NO:
            return
        self.check_newcomer(session, grant)
        if session.door is not None and session.door.lobby:
            raise LimitExceeded(
                "Here people are let in one by one: open this link as a page first.", "sessionLocked"
            )

    def find_place(
        self, session: LiveSession, grant: Grant, former: Participant | None = None
    ) -> tuple[int, Participant | None]:
        """The seat, and who sits there: that of `former` if there is one.

        Raises LimitExceeded (`sessionFull`), NotAuthorised (`inviteRevoked`)."""
        if former is not None:
            return former.seat, former
        sitting = [p for p in session.people.values() if p.grant.invite == grant.invite]
        barred = {seat for invite, seat in session.barred if invite == grant.invite}
        seat = choose_seat(grant, sitting, barred)
        replaced = session.people.get(policy.participant_id(grant.invite, seat))
        # A viewers' link has as many seats as the session: it must not shut out who leads it.
        waits = not policy.moderates(grant.role)
        if replaced is None and waits and session.occupied >= session.record.capacity:
            raise LimitExceeded("The session is full.", "sessionFull")
        return seat, replaced

    def enter(
        self,
        session: LiveSession,
        grant: Grant,
        name: str,
        language: messages.Language,
        outlet: Outlet | None,
        former: Participant | None = None,
    ) -> Participant:
        """Takes a place; without an outlet it is a device. Raises like `find_place`."""
        seat, replaced = self.find_place(session, grant, former)
        participant = Participant(
            id=policy.participant_id(grant.invite, seat),
            grant=grant,
            seat=seat,
            name=name,
            language=language,
            joined_at_ms=self._now_ms(),
            outlet=outlet,
            device=outlet is None,
        )
        seen = session.seen(participant.id)
        session.enter(participant, replaced, same_person=former is not None)
        if session.door is not None:
            session.door.came_in(participant.id, grant.seats == 1)
        if replaced is not None:
            self._dismiss(replaced, "joinedElsewhere", "This link was opened somewhere else.")
        if replaced is not None and (seen or session.seen(participant.id)):
            self._forwarding.refresh(session)
        else:
            self._forwarding.refresh_one(session, participant)
        self.keep_stage(session)
        _log.info("participant.joined", session=session.id, participant=participant.id, role=grant.role.value)
        return participant

    def new_resume_token(self, participant: Participant) -> str:
        """Good for one use; the one before is good no more. Only its hash is kept."""
        self._resumable.pop(participant.resume_digest, None)
        token = secrets.token_urlsafe(32)
        participant.resume_digest = _digest(token)
        self._resumable[participant.resume_digest] = participant
        return token

    def of_resume_token(self, token: str) -> Participant:
        """Whose it is; it is good until that one gets another. Raises NotFound (`resumeFailed`), BridgeError
        (`shuttingDown`)."""
        self._check_running()
        participant = self._resumable.get(_digest(token))
        if participant is None or participant.gone:
            raise NotFound("This cannot be resumed: join anew.", "resumeFailed")
        return participant

    # Out

    def exit(self, session: LiveSession, participant: Participant, reason: messages.LeaveReason) -> None:
        """Goes. Who was lost finds the floor again, unless another may come on that seat."""
        seen = session.seen(participant.id)
        session.exit(participant, reason, keeps_floor=reason == "lost" and participant.grant.seats == 1)
        if session.door is not None and reason in ("left", "lost") and participant.resume_digest:
            session.door.went_out(participant.resume_digest)
        self._dismiss(participant)
        if seen:
            self._forwarding.refresh(session)
        # Else nobody received anything of it: hundreds who are lost at one moment must not hold up the others.
        self.keep_stage(session)
        _log.info("participant.left", session=session.id, participant=participant.id, reason=reason)

    def throw_out(self, session: LiveSession, participant: Participant, code: str, text: str) -> None:
        """Is made to go, and told why."""
        if participant.outlet is not None:
            participant.outlet.close(code, text)
            participant.outlet = None
        self.exit(session, participant, "removed")

    def close_session(self, id: SessionId) -> None:
        """It is over for all who are in it."""
        session = self._sessions.pop(id, None)
        if session is None:
            return
        session.ended = True
        if session.door is not None:
            session.door.close("sessionEnded", "The session is over.")
        self._keeper.session_ended(session)
        session.tell_session()
        session.publications.clear()
        for player in list(session.players.values()):
            self._forwarding.stop(session, player)
        for participant in session.people.values():
            self._dismiss(participant, "sessionEnded", "The session is over.")
        _log.info("session.ended", session=id)

    async def close_session_soon(self, id: SessionId) -> None:
        """The same as an errand: after what is being answered now."""
        self.close_session(id)

    def close_invite(self, id: SessionId, invite: InviteId) -> None:
        """Nobody stays or comes on it."""
        session = self._sessions.get(id)
        if session is None:
            return
        session.revoked.add(invite)
        self.stop_players(session, invite)
        for participant in [p for p in session.people.values() if p.grant.invite == invite]:
            self.throw_out(session, participant, "inviteRevoked", "This invite was withdrawn.")
        for knock in session.knocks_on(invite):
            knock.outlet.close("inviteRevoked", "This invite was withdrawn.")

    def stop_players(self, session: LiveSession, invite: InviteId) -> None:
        """Ends whatever plays on an invite."""
        for player in list(session.players.values()):
            if player.grant.invite == invite:
                self._forwarding.stop(session, player)

    async def close_what_the_store_closed(self) -> None:
        """Sessions may be ended and invites withdrawn from the command line, beside the server."""
        if not self._sessions:
            return
        closed = await self._store.closed_among(list(self._sessions))
        for id in closed.sessions:
            self.close_session(id)
        for session in self.sessions():
            used = {participant.grant.invite for participant in session.people.values()}
            used |= {player.grant.invite for player in session.players.values()}
            used |= session.invites_waiting
            for invite in closed.invites & used:
                self.close_invite(session.id, invite)

    def forget_quiet(self, session: LiveSession, now_ms: int) -> None:
        """Drops a session that nobody has been in for long."""
        if (
            not session.occupied
            and not session.invites_waiting
            and now_ms - session.quiet_since_ms > FORGOTTEN_AFTER_MS
        ):
            self._keeper.forget(session)
            del self._sessions[session.id]

    def _dismiss(self, participant: Participant, code: str = "", text: str = "") -> None:
        participant.gone = True
        self._resumable.pop(participant.resume_digest, None)
        if participant.outlet is not None and code:
            participant.outlet.close(code, text)
        participant.outlet = None
        self._forwarding.dismiss(participant)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
