"""All live sessions of this server: who is let in, comes back, leaves, and may do what to whom.

Policy only: no socket, no session description is read, no clock (`now_ms` is injected and `tick` is called by others).
A session is loaded from the store when its first participant comes; what must outlive a restart is saved there.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from msgspec import Raw

from bridge import messages, policy
from bridge.auth import Grant
from bridge.errands import Errands
from bridge.errors import BridgeError, LimitExceeded, NotAuthorised, NotFound
from bridge.forwarding import Forwarding, require_publishable
from bridge.ids import InviteId, SessionId, SessionState
from bridge.livesession import LiveSession, require_moderator
from bridge.media.contract import Description, Media, MediaEvent, Source
from bridge.participant import Outlet, Participant, state_of
from bridge.players import Player
from bridge.seats import choose_seat
from bridge.store import Store

RESUME_WITHIN_S = 30
DEVICE_WAITS_MS = 30_000
"""An encoder or player whose line is down is waited for as long as a browser."""
PLAYERS_PER_SEAT = 3
"""Of one invite: a wall, a desk and a spare, so that one link cannot take all places of a session."""
STORE_LOOKED_AT_EVERY_MS = 2000
"""Sessions may be ended and invites withdrawn from the command line, beside the server."""
FORGOTTEN_AFTER_MS = 6 * 3600 * 1000
"""A session without anybody is dropped from memory; its chat and its bans are lost then."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """Somebody came in. `answer` is for it alone; `then` are messages to send right after it."""

    participant: Participant
    answer: messages.Joined | messages.Resumed


@dataclass(frozen=True, slots=True)
class Counts:
    """How much is going on."""

    sessions: int
    participants: int
    tracks: int


class Rooms:
    """The sessions of this server."""

    def __init__(self, media: Media, store: Store, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._now_ms = now_ms
        self._media = media
        self._errands = Errands()
        self._forwarding = Forwarding(media, self._errands, now_ms)
        self._sessions: dict[SessionId, LiveSession] = {}
        self._loading: dict[SessionId, asyncio.Lock] = {}
        self._resumable: dict[bytes, Participant] = {}
        self._store_looked_at_ms = 0
        self._stopping = False

    # Coming in and going

    async def join(
        self, grant: Grant, name: str, language: messages.Language, outlet: Outlet | None
    ) -> Entry:
        """Lets a client in. Raises NotAuthorised, LimitExceeded (`sessionFull`), BridgeError (`sessionEnded`,
        `shuttingDown`), ProtocolError for a name without letters. Send the answer before anything else, then call
        `catch_up`.
        """
        cleaned = policy.clean_name(name)
        session = await self._open(grant)
        participant = self._enter(session, grant, cleaned, language, outlet, device=False)
        token = self._new_resume_token(participant)
        return Entry(participant, session.snapshot(participant, token, RESUME_WITHIN_S))

    async def join_device(
        self,
        grant: Grant,
        name: str,
        offer: Description,
        wishes: Sequence[messages.Wish],
    ) -> tuple[Participant, Description]:
        """Lets an encoder in that says all in its first offer. Nobody is replaced by one that cannot be used."""
        cleaned = policy.clean_name(name)
        session = await self._open(grant)
        seat, _ = self._find_place(session, grant)
        on_stage = policy.participant_id(grant.invite, seat) in session.floor
        require_publishable(grant.role, on_stage, wishes)
        peer, result = await self._forwarding.negotiate(None, offer, wishes)
        try:
            self._check_open(session, grant)
            participant = self._enter(session, grant, cleaned, "en", None, device=True)
        except BaseException:
            await self._media.close_peer(peer)
            raise
        self._forwarding.adopt_publisher(session, participant, peer)
        self._forwarding.take_tracks(session, participant, result, wishes)
        return participant, result.answer

    async def resume(self, token: str, seq: int, outlet: Outlet) -> Entry:
        """Goes on where the connection was lost. Raises NotFound (`resumeFailed`)."""
        participant = self._resumable.pop(_digest(token), None)
        if participant is None or participant.gone:
            raise NotFound("This cannot be resumed: join anew.", "resumeFailed")
        session = self._session_of(participant)
        missed = participant.journal.since(seq)
        older, participant.outlet = participant.outlet, outlet
        if older is not None:
            older.close("joinedElsewhere", "This was resumed on another connection.")
        else:
            session.line_back(participant)
        answer = messages.Resumed(
            resume_token=self._new_resume_token(participant),
            missed=tuple(Raw(change) for change in missed),
            server_time_at=self._now_ms(),
            publisher=state_of(participant.publisher),
            subscriber=state_of(participant.subscriber),
        )
        return Entry(participant, answer)

    def catch_up(self, participant: Participant) -> None:
        """After the answer to `join` or `resume`: what no snapshot holds, and offers that were not answered."""
        session = self._session_of(participant)
        session.tell_audience_to(participant)
        if session.speakers.told:
            participant.tell(session.speakers_news())
        for picture in participant.pictures.values():
            participant.tell(picture)
        if participant.offer is not None:
            participant.tell(participant.offer.data)

    def disconnected(self, participant: Participant, outlet: Outlet) -> None:
        """Its connection is lost; it may resume for a while."""
        if participant.gone or participant.outlet is not outlet:
            return
        participant.outlet = None
        self._session_of(participant).line_lost(participant)

    def leave(self, participant: Participant) -> None:
        """Goes for good; may be repeated."""
        if not participant.gone:
            self._exit(self._session_of(participant), participant, "left")

    def _enter(
        self,
        session: LiveSession,
        grant: Grant,
        name: str,
        language: messages.Language,
        outlet: Outlet | None,
        *,
        device: bool,
    ) -> Participant:
        seat, replaced = self._find_place(session, grant)
        participant = Participant(
            id=policy.participant_id(grant.invite, seat),
            grant=grant,
            seat=seat,
            name=name,
            language=language,
            joined_at_ms=self._now_ms(),
            outlet=outlet,
            device=device,
        )
        if device:
            participant.line_told_at_ms = self._now_ms()
        session.enter(participant, replaced)
        if replaced is not None:
            self._dismiss(replaced, "joinedElsewhere", "This link was opened somewhere else.")
            self._forwarding.refresh(session)
        else:
            self._forwarding.refresh_one(session, participant)
        self._keep_stage(session)
        _log.info("participant.joined", session=session.id, participant=participant.id, role=grant.role.value)
        return participant

    def _find_place(self, session: LiveSession, grant: Grant) -> tuple[int, Participant | None]:
        sitting = [p for p in session.people.values() if p.grant.invite == grant.invite]
        barred = {seat for invite, seat in session.barred if invite == grant.invite}
        seat = choose_seat(grant, sitting, barred)
        replaced = session.people.get(policy.participant_id(grant.invite, seat))
        if replaced is None and session.occupied >= session.record.capacity:
            raise LimitExceeded("The session is full.", "sessionFull")
        return seat, replaced

    def _exit(self, session: LiveSession, participant: Participant, reason: messages.LeaveReason) -> None:
        keeps_floor = reason == "lost" and participant.grant.seats == 1
        session.exit(participant, reason, keeps_floor=keeps_floor)
        self._dismiss(participant)
        self._forwarding.refresh(session)
        self._keep_stage(session)
        _log.info("participant.left", session=session.id, participant=participant.id, reason=reason)

    def _dismiss(self, participant: Participant, code: str = "", text: str = "") -> None:
        participant.gone = True
        self._resumable.pop(participant.resume_digest, None)
        if participant.outlet is not None and code:
            participant.outlet.close(code, text)
        participant.outlet = None
        self._forwarding.dismiss(participant)

    def _new_resume_token(self, participant: Participant) -> str:
        self._resumable.pop(participant.resume_digest, None)
        token = secrets.token_urlsafe(32)
        participant.resume_digest = _digest(token)
        self._resumable[participant.resume_digest] = participant
        return token

    # Sessions

    async def _open(self, grant: Grant) -> LiveSession:
        self._check_running()
        session = self._sessions.get(grant.session)
        if session is None:
            lock = self._loading.setdefault(grant.session, asyncio.Lock())
            async with lock:
                session = self._sessions.get(grant.session) or await self._load(grant.session)
            self._loading.pop(grant.session, None)
        self._check_open(session, grant)
        return session

    async def _load(self, id: SessionId) -> LiveSession:
        record = await self._store.get_session(id)
        if record.state is SessionState.ENDED:
            raise BridgeError("This session is over.", "sessionEnded")
        session = LiveSession(record, self._now_ms)
        if session.started_at_ms is None:
            session.started_at_ms = self._now_ms()
            await self._store.start_session(id, session.started_at_ms)
        closed = await self._store.closed_among([id])
        session.revoked |= closed.invites
        self._sessions[id] = session
        return session

    def _check_open(self, session: LiveSession, grant: Grant) -> None:
        self._check_running()
        if session.ended:
            raise BridgeError("This session is over.", "sessionEnded")
        if grant.invite in session.revoked:
            raise NotAuthorised("This invite was withdrawn.", "inviteRevoked")

    def _check_running(self) -> None:
        if self._stopping:
            raise BridgeError("The server is stopping.", "shuttingDown")

    def _session_of(self, participant: Participant) -> LiveSession:
        session = self._sessions.get(participant.grant.session)
        if participant.gone or session is None:
            raise NotFound("This participant is not in the session any more.")
        return session

    def _keep_stage(self, session: LiveSession) -> None:
        if tuple(session.floor) != session.saved_floor:
            self._errands.start("save stage", self._save_stage(session))

    async def _save_stage(self, session: LiveSession) -> None:
        async with self._loading.setdefault(session.id, asyncio.Lock()):
            floor = tuple(session.floor)
            if floor != session.saved_floor:
                await self._store.save_stage(session.id, floor)
                session.saved_floor = floor

    # What participants ask for

    async def publish(
        self,
        participant: Participant,
        offer: Description,
        wishes: Sequence[messages.Wish],
        fresh: bool,
    ) -> messages.PublishAnswer:
        """Takes an offer of its publisher connection."""
        session = self._session_of(participant)
        return await self._forwarding.publish(session, participant, offer, wishes, fresh)

    async def accept_answer(self, participant: Participant, number: int, answer: Description) -> None:
        """Takes its answer to the newest offer."""
        self._session_of(participant)
        await self._forwarding.accept_answer(participant, number, answer)

    def set_track_muted(self, participant: Participant, track: str, muted: bool) -> None:
        """Its own track. Raises NotAuthorised for another's, or to unmute against a moderator's block."""
        session = self._session_of(participant)
        publication = session.publication(track)
        if publication.participant != participant.id:
            raise NotAuthorised("This is another participant's track.", "notAllowed")
        if publication.blocked and not muted:
            raise NotAuthorised("A moderator muted this track.", "notAllowed")
        self._forwarding.set_muted(session, publication, muted)

    def set_subscription(self, participant: Participant, track: str, max_height: int) -> None:
        """How high the picture is shown there, in pixels; 0 pauses."""
        session = self._session_of(participant)
        self._forwarding.set_height(session, participant, session.publication(track), max_height)

    def restart_subscriber(self, participant: Participant, fresh: bool) -> None:
        """A new offer comes as soon as there is something to receive."""
        self._forwarding.restart_subscriber(self._session_of(participant), participant, fresh)

    def set_hand(self, participant: Participant, raised: bool, whose: str | None) -> None:
        session = self._session_of(participant)
        if whose is None or whose == participant.id:
            (session.raise_hand if raised else session.lower_hand)(participant)
            return
        require_moderator(participant)
        if raised:
            raise NotAuthorised("Nobody raises another's hand.", "notAllowed")
        session.lower_hand(session.person(whose))

    def send_chat(self, participant: Participant, text: str) -> None:
        self._session_of(participant).chat(participant, text)

    def set_name(self, participant: Participant, name: str) -> None:
        self._session_of(participant).rename(participant, name)

    def report_clock(self, participant: Participant, clock_offset_ms: float) -> None:
        session = self._session_of(participant)
        if participant.clock_offset_ms != clock_offset_ms:
            participant.clock_offset_ms = clock_offset_ms
            session.touch(participant)

    def give_floor(self, actor: Participant, whom: str) -> None:
        session = self._session_of(actor)
        require_moderator(actor)
        session.give_floor(session.person(whom))
        self._forwarding.refresh(session)
        self._keep_stage(session)

    def take_floor(self, actor: Participant, whom: str) -> None:
        """From another by moderators; anybody may step down."""
        session = self._session_of(actor)
        if whom != actor.id:
            require_moderator(actor)
        session.take_floor(session.person(whom))
        self._forwarding.refresh(session)
        self._keep_stage(session)

    def block_track(self, actor: Participant, track: str, blocked: bool) -> None:
        session = self._session_of(actor)
        require_moderator(actor)
        self._forwarding.set_blocked(session, session.publication(track), blocked)

    async def remove(self, actor: Participant, whom: str) -> None:
        """Removes for good: the invite is withdrawn, or of an invite for many the one seat."""
        session = self._session_of(actor)
        require_moderator(actor)
        target = session.person(whom)
        if target is actor:
            raise NotAuthorised("To go yourself, leave.", "notAllowed")
        if target.grant.seats == 1:
            session.revoked.add(target.grant.invite)
            await self._store.revoke_invite(target.grant.invite)
            self._stop_players(session, target.grant.invite)
        session.barred.add((target.grant.invite, target.seat))
        if not target.gone:
            self._throw_out(session, target, "removed", "A moderator removed this participant.")

    async def end_by(self, actor: Participant) -> None:
        """Ends the session for all, right after this returned: its answer goes out before the end does."""
        session = self._session_of(actor)
        require_moderator(actor)
        await self._store.end_session(session.id, self._now_ms())
        self._errands.start("close session", self._close_session_soon(session.id))

    def _throw_out(self, session: LiveSession, participant: Participant, code: str, text: str) -> None:
        if participant.outlet is not None:
            participant.outlet.close(code, text)
            participant.outlet = None
        self._exit(session, participant, "removed")

    # Players

    async def play(
        self, grant: Grant, offer: Description, source: Source | None, participant: str | None
    ) -> tuple[Player, Description]:
        """A player that follows the stage. Raises LimitExceeded (`sessionFull`, `tooMany`), NotFound."""
        session = await self._open(grant)
        whose = None if participant is None else session.person(participant).id
        self._check_room_for_player(session, grant)
        player, answer = await self._forwarding.play(session, grant, offer, source, whose)
        try:
            self._check_open(session, grant)
            if session.occupied > session.record.capacity:
                raise LimitExceeded("The session is full.", "sessionFull")
        except BridgeError:
            self._forwarding.stop(session, player)
            raise
        return player, answer

    def stop_player(self, player: Player) -> None:
        """Ends a player; may be repeated."""
        session = self._sessions.get(player.grant.session)
        if session is not None:
            self._forwarding.stop(session, player)

    def is_playing(self, player: Player) -> bool:
        session = self._sessions.get(player.grant.session)
        return session is not None and player.peer in session.players

    async def restart_ice(self, of: Participant | Player, fragment: Description) -> Description:
        """ICE restart of an encoder or player. Raises NotFound and what media raises."""
        peer = of.peer if isinstance(of, Player) else None if of.publisher is None else of.publisher.peer
        if peer is None or (isinstance(of, Participant) and of.gone):
            raise NotFound("There is no such resource.")
        return await self._forwarding.restart_ice(peer, fragment)

    def _check_room_for_player(self, session: LiveSession, grant: Grant) -> None:
        if session.occupied >= session.record.capacity:
            raise LimitExceeded("The session is full.", "sessionFull")
        of_invite = sum(player.grant.invite == grant.invite for player in session.players.values())
        if of_invite >= grant.seats * PLAYERS_PER_SEAT:
            raise LimitExceeded("This link plays in too many places.", "tooMany")

    @staticmethod
    def _uses(session: LiveSession, invite: InviteId) -> bool:
        grants = [p.grant for p in session.people.values()] + [p.grant for p in session.players.values()]
        return any(grant.invite == invite for grant in grants)

    def _stop_players(self, session: LiveSession, invite: InviteId) -> None:
        for player in list(session.players.values()):
            if player.grant.invite == invite:
                self._forwarding.stop(session, player)

    # What staff ask for

    def connected(self, session: SessionId) -> int:
        """How many are connected, players among them."""
        live = self._sessions.get(session)
        return 0 if live is None else sum(p.connected for p in live.people.values()) + len(live.players)

    def connected_on(self, session: SessionId, invite: InviteId) -> int:
        """How many of them came on this invite."""
        live = self._sessions.get(session)
        if live is None:
            return 0
        players = sum(player.grant.invite == invite for player in live.players.values())
        return players + sum(p.connected and p.grant.invite == invite for p in live.people.values())

    def participants(self, session: SessionId) -> list[messages.ParticipantObject]:
        """All of them, as who moderates sees them."""
        live = self._sessions.get(session)
        return [] if live is None else [participant.to_wire() for participant in live.people.values()]

    def counts(self) -> Counts:
        live = [session for session in self._sessions.values() if session.occupied]
        return Counts(
            len(live),
            sum(p.connected for session in live for p in session.people.values()),
            sum(len(session.publications) for session in live),
        )

    async def end_session(self, id: SessionId) -> None:
        """Ends it in the store and for all who are in it. Raises NotFound."""
        await self._store.end_session(id, self._now_ms())
        self._close_session(id)

    async def revoke_invite(self, id: SessionId, invite: InviteId) -> None:
        """Withdraws it in the store and disconnects whoever came on it. Raises NotFound."""
        await self._store.revoke_invite(invite)
        self._close_invite(id, invite)

    async def _close_session_soon(self, id: SessionId) -> None:
        self._close_session(id)

    def _close_session(self, id: SessionId) -> None:
        session = self._sessions.pop(id, None)
        if session is None:
            return
        session.ended = True
        session.tell_session()
        for player in list(session.players.values()):
            self._forwarding.stop(session, player)
        for participant in session.people.values():
            self._dismiss(participant, "sessionEnded", "The session is over.")
        self._forwarding.forget_tracks(session)
        _log.info("session.ended", session=id)

    def _close_invite(self, id: SessionId, invite: InviteId) -> None:
        session = self._sessions.get(id)
        if session is None:
            return
        session.revoked.add(invite)
        self._stop_players(session, invite)
        for participant in [p for p in session.people.values() if p.grant.invite == invite]:
            self._throw_out(session, participant, "inviteRevoked", "This invite was withdrawn.")

    # Time and news

    def tick(self) -> None:
        """Does what time brings; to be called a few times a second."""
        now_ms = self._now_ms()
        for session in list(self._sessions.values()):
            self._drop_lost(session, now_ms)
            session.tell_batches(now_ms)
            self._forwarding.follow_speaker(session)
            if not session.occupied and now_ms - session.quiet_since_ms > FORGOTTEN_AFTER_MS:
                del self._sessions[session.id]
        if self._sessions and now_ms - self._store_looked_at_ms >= STORE_LOOKED_AT_EVERY_MS:
            self._store_looked_at_ms = now_ms
            self._errands.start("look for closed sessions", self._close_what_the_store_closed())

    def _drop_lost(self, session: LiveSession, now_ms: int) -> None:
        for participant in list(session.people.values()):
            if participant.device:
                half = participant.publisher
                if half is None:
                    self._exit(session, participant, "left")
                elif half.down_since_ms is not None and now_ms - half.down_since_ms > DEVICE_WAITS_MS:
                    self._exit(session, participant, "lost")
            elif (
                participant.away_since_ms is not None
                and now_ms - participant.away_since_ms > RESUME_WITHIN_S * 1000
            ):
                self._exit(session, participant, "lost")
        for player in list(session.players.values()):
            if player.down_since_ms is not None and now_ms - player.down_since_ms > DEVICE_WAITS_MS:
                self._forwarding.stop(session, player)

    async def _close_what_the_store_closed(self) -> None:
        closed = await self._store.closed_among(list(self._sessions))
        for id in closed.sessions:
            self._close_session(id)
        for session in list(self._sessions.values()):
            for invite in closed.invites - session.revoked:
                if self._uses(session, invite):
                    self._close_invite(session.id, invite)

    async def follow_media(self) -> None:
        """Takes media's news for ever."""
        while True:
            self.hear(await self._media.events.get())

    def hear(self, event: MediaEvent) -> None:
        """Takes one piece of news. One that cannot be taken does not stop the next."""
        try:
            self._forwarding.hear(event)
        except Exception:
            _log.exception("media.event_failed", kind=type(event).__name__)

    def shut_down(self) -> None:
        """Tells all who are connected that the server stops; nobody comes in any more."""
        self._stopping = True
        for session in self._sessions.values():
            for participant in session.people.values():
                if participant.outlet is not None:
                    participant.outlet.close("shuttingDown", "The server stops or restarts.")

    async def settle(self) -> None:
        """Waits for work that nobody waited for, such as saving the stage."""
        await self._errands.settle()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
