"""All live sessions of this server: who is let in, comes back, leaves, and may do what to whom.

Policy only: no socket, no session description is read, no clock (`now_ms` is injected and `tick` is called by others).
A session is loaded from the store when its first participant comes; what must outlive a restart is saved there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import structlog
from msgspec import Raw

from bridge import messages, policy
from bridge.admission import Admission, Pace
from bridge.auth import Grant
from bridge.errands import Errands
from bridge.errors import BridgeError, LimitExceeded, NotAuthorised, NotFound
from bridge.eventdesk import EventDesk
from bridge.eventdoor import Knock
from bridge.forwarding import Forwarding, require_publishable
from bridge.ids import InviteId, SessionId
from bridge.livesession import LiveSession, require_moderator
from bridge.load import VIEWERS_HEIGHT, Load, Measures
from bridge.lobby import Lobby
from bridge.media.contract import Description, Media, MediaEvent, PeerClosed, Snapshots, Source
from bridge.news import News
from bridge.participant import Outlet, Participant, state_of
from bridge.players import Player
from bridge.readingdesk import ReadingDesk
from bridge.recorddesk import RecordDesk
from bridge.recordkeeping import RecordKeeper
from bridge.store import Store
from bridge.studynews import StudyNews
from bridge.wall import Wall
from bridge.wiring import Wiring
from bridge.witness import Memory, Witness, Witnesses

RESUME_WITHIN_S = 30
DEVICE_WAITS_MS = 30_000
"""An encoder or player whose line is down is waited for as long as a browser."""
PLAYERS_PER_SEAT = 3
"""Of one invite: a wall, a desk and a spare, so that one link cannot take all places of a session."""
LINES_LOOKED_AT_EVERY_MS = 1000
"""Who is lost has been for half a minute."""
STORE_LOOKED_AT_EVERY_MS = 5000
"""Sessions may be ended and invites withdrawn from the command line, beside the server."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """Somebody came in. `answer` is for it alone."""

    participant: Participant
    answer: messages.Joined | messages.Resumed


@dataclass(frozen=True, slots=True)
class Counts:
    """How much is going on."""

    sessions: int
    participants: int
    tracks: int
    waiting: int = 0
    """To come in."""
    load: int = 0
    """0 calm, 1 strained, 2 full."""


class Rooms:
    """The sessions of this server."""

    def __init__(
        self,
        media: Media,
        store: Store,
        keeper: RecordKeeper,
        studies: StudyNews,
        now_ms: Callable[[], int],
        witnesses: Sequence[Witness] = (),
        pace: Pace | None = None,
        memory: Memory | None = None,
        load: Load | None = None,
    ) -> None:
        self._store = store
        self._now_ms = now_ms
        self._media = media
        self._keeper = keeper
        self._errands = Errands()
        wiring = Wiring()
        self._forwarding = Forwarding(media, wiring, keeper, self._errands, now_ms)
        self._news = News(wiring, self._forwarding, now_ms)
        self.load = load or Load()
        """How near its limit this server is."""
        self._lobby = Lobby(store, self._forwarding, keeper, self._errands, now_ms, self.load)
        self._lobby.witness = Witnesses(keeper, *witnesses)
        self._lobby.memory = memory or self._lobby.memory
        self.records = RecordDesk(self._lobby, keeper, now_ms)
        """What participants ask of the recording."""
        self.readings = ReadingDesk(self._lobby, keeper, studies, self._errands, now_ms)
        """What they ask of reading together."""
        self.events = EventDesk(self._lobby, self._forwarding, now_ms, self.load)
        """What they ask of an event."""
        self.admission = Admission(self._lobby, store, pace or Pace(), now_ms)
        """Who waits to come in, and what moderators ask of the door."""
        self._lines_looked_at_ms = 0
        self._store_looked_at_ms = 0

    # Coming in and going

    async def join(
        self,
        grant: Grant,
        name: str,
        language: messages.Language,
        outlet: Outlet,
        resume_token: str | None = None,
        knock: Knock | None = None,
    ) -> Entry:
        """Lets a client in; with the resume token of before a reload, on the same seat. `knock`: its turn has come.

        Raises NotAuthorised, LimitExceeded (`sessionFull`, `sessionLocked`), BridgeError (`sessionEnded`,
        `shuttingDown`), ProtocolError for a name without letters. Send the answer before anything else, then call
        `catch_up`.
        """
        cleaned = policy.clean_name(name)
        session = await self._lobby.open(grant, again=knock is not None)
        self._lobby.check_door(session, grant, resume_token, knock is not None and knock.admitted)
        former = self._lobby.former(grant, resume_token)
        participant = self._lobby.enter(session, grant, cleaned, language, outlet, former)
        token = self._lobby.new_resume_token(participant)
        wording = self._keeper.rules.wording[language]
        return Entry(participant, session.snapshot(participant, token, RESUME_WITHIN_S, wording))

    async def join_device(
        self,
        grant: Grant,
        name: str,
        offer: Description,
        wishes: Sequence[messages.Wish],
    ) -> tuple[Participant, Description]:
        """Lets an encoder in that says all in its first offer. Nobody is replaced by one that cannot be used."""
        cleaned = policy.clean_name(name)
        session = await self._lobby.open(grant)
        self._lobby.check_door(session, grant, None, admitted=False)
        seat, _ = self._lobby.find_place(session, grant)
        on_stage = policy.participant_id(grant.invite, seat) in session.floor
        require_publishable(grant.role, on_stage, wishes)
        peer, result = await self._forwarding.negotiate(None, offer, wishes)
        try:
            self._lobby.check_open(session, grant)
            self._lobby.check_door(session, grant, None, admitted=False)
            participant = self._lobby.enter(session, grant, cleaned, "en", None)
        except BaseException:
            await self._media.close_peer(peer)
            raise
        self._forwarding.adopt_publisher(session, participant, peer)
        self._forwarding.take_tracks(session, participant, result, wishes)
        return participant, result.answer

    async def resume(self, token: str, seq: int, outlet: Outlet) -> Entry:
        """Goes on where the connection was lost. Raises NotFound (`resumeFailed`)."""
        participant = self._lobby.of_resume_token(token)
        session = self._lobby.session_of(participant)
        missed = participant.journal.since(seq)
        older, participant.outlet = participant.outlet, outlet
        if older is not None:
            older.close("joinedElsewhere", "This was resumed on another connection.")
        else:
            session.line_back(participant)
        answer = messages.Resumed(
            resume_token=self._lobby.new_resume_token(participant),
            missed=tuple(Raw(change) for change in missed),
            server_time_at=self._now_ms(),
            publisher=state_of(participant.publisher),
            subscriber=state_of(participant.subscriber),
        )
        return Entry(participant, answer)

    def catch_up(self, participant: Participant) -> None:
        """After the answer to `join` or `resume`: what no snapshot holds, and offers that were not answered."""
        session = self._lobby.session_of(participant)
        session.tell_audience_to(participant)
        if session.speakers.told:
            participant.tell(session.speakers_news())
        for picture in participant.pictures.values():
            participant.tell(picture)
        self.readings.catch_up(session, participant)
        self.events.catch_up(session, participant)
        if participant.offer is not None:
            participant.tell(participant.offer.data)

    def disconnected(self, participant: Participant, outlet: Outlet, *, page_gone: bool = False) -> None:
        """Its connection is lost; it may resume for a while. `page_gone`: what it sent and received has ended."""
        if participant.gone or participant.outlet is not outlet:
            return
        participant.outlet = None
        session = self._lobby.session_of(participant)
        if page_gone:
            self._forwarding.hang_up(session, participant)
        session.line_lost(participant)

    def leave(self, participant: Participant) -> None:
        """Goes for good; may be repeated."""
        if not participant.gone:
            self._lobby.exit(self._lobby.session_of(participant), participant, "left")

    # What participants ask for

    async def publish(
        self,
        participant: Participant,
        offer: Description,
        wishes: Sequence[messages.Wish],
        fresh: bool,
    ) -> messages.PublishAnswer:
        """Takes an offer of its publisher connection."""
        session = self._lobby.session_of(participant)
        return await self._forwarding.publish(session, participant, offer, wishes, fresh)

    async def accept_answer(self, participant: Participant, number: int, answer: Description) -> None:
        """Takes its answer to the newest offer."""
        self._lobby.session_of(participant)
        await self._forwarding.accept_answer(participant, number, answer)

    def set_track_muted(self, participant: Participant, track: str, muted: bool) -> None:
        """Its own track. Raises NotAuthorised for another's, or to unmute against a moderator's block."""
        session = self._lobby.session_of(participant)
        publication = session.publication(track)
        if publication.participant != participant.id:
            raise NotAuthorised("This is another participant's track.", "notAllowed")
        if publication.blocked and not muted:
            raise NotAuthorised("A moderator muted this track.", "notAllowed")
        self._forwarding.set_muted(session, publication, muted)

    def set_subscription(self, participant: Participant, track: str, max_height: int) -> None:
        """How high the picture is shown there, in pixels; 0 pauses."""
        session = self._lobby.session_of(participant)
        self._forwarding.set_height(session, participant, session.publication(track), max_height)

    def restart_subscriber(self, participant: Participant, fresh: bool) -> None:
        """A new offer comes as soon as there is something to receive."""
        self._forwarding.restart_subscriber(self._lobby.session_of(participant), participant, fresh)

    def set_hand(self, participant: Participant, raised: bool, whose: str | None) -> None:
        session = self._lobby.session_of(participant)
        if whose is None or whose == participant.id:
            (session.raise_hand if raised else session.lower_hand)(participant)
            return
        require_moderator(participant)
        if raised:
            raise NotAuthorised("Nobody raises another's hand.", "notAllowed")
        session.lower_hand(session.person(whose))

    def send_chat(self, participant: Participant, text: str) -> None:
        self._lobby.session_of(participant).chat(participant, text)

    def set_name(self, participant: Participant, name: str) -> None:
        self._lobby.session_of(participant).rename(participant, name)

    def report_clock(self, participant: Participant, clock_offset_ms: float) -> None:
        session = self._lobby.session_of(participant)
        if participant.clock_offset_ms != clock_offset_ms:
            participant.clock_offset_ms = clock_offset_ms
            session.touch(participant)

    def give_floor(self, actor: Participant, whom: str) -> None:
        session = self._lobby.session_of(actor)
        require_moderator(actor)
        target = session.person(whom)
        session.give_floor(target)
        self.events.given_floor(session, target)
        self._forwarding.refresh(session)
        self._lobby.keep_stage(session)

    def take_floor(self, actor: Participant, whom: str) -> None:
        """From another by moderators; anybody may step down."""
        session = self._lobby.session_of(actor)
        if whom != actor.id:
            require_moderator(actor)
        session.take_floor(session.person(whom))
        self._forwarding.refresh(session)
        self._lobby.keep_stage(session)

    def block_track(self, actor: Participant, track: str, blocked: bool) -> None:
        session = self._lobby.session_of(actor)
        require_moderator(actor)
        publication = session.publication(track)
        self._forwarding.set_blocked(session, publication, blocked)
        self.events.blocked_by_hand(session, publication)

    async def remove(self, actor: Participant, whom: str) -> None:
        """Removes for good: the invite is withdrawn, or of an invite for many the one seat."""
        session = self._lobby.session_of(actor)
        require_moderator(actor)
        target = session.person(whom)
        if target is actor:
            raise NotAuthorised("To go yourself, leave.", "notAllowed")
        if target.grant.seats == 1:
            session.revoked.add(target.grant.invite)
            await self._store.revoke_invite(target.grant.invite)
            self._lobby.stop_players(session, target.grant.invite)
        session.barred.add((target.grant.invite, target.seat))
        if not target.gone:
            self._lobby.throw_out(session, target, "removed", "A moderator removed this participant.")

    async def end_by(self, actor: Participant) -> None:
        """Ends the session for all, right after this returned: its answer goes out before the end does."""
        session = self._lobby.session_of(actor)
        require_moderator(actor)
        await self._store.end_session(session.id, self._now_ms())
        self._errands.start("close session", self._lobby.close_session_soon(session.id))

    def sessions(self) -> Iterable[LiveSession]:
        """All that are loaded."""
        return self._lobby.sessions()

    def open_wall(self, snapshots: Snapshots) -> Wall:
        """The walls of this server's events; what runs it is the caller's."""
        return Wall(self._lobby, snapshots, self._now_ms)

    # Players

    async def play(
        self, grant: Grant, offer: Description, source: Source | None, participant: str | None
    ) -> tuple[Player, Description]:
        """A player that follows the stage. Raises LimitExceeded (`sessionFull`, `tooMany`), NotFound."""
        session = await self._lobby.open(grant)
        self._lobby.check_door(session, grant, None, admitted=False)
        whose = None if participant is None else session.person(participant).id
        self._check_room_for_player(session, grant)
        player, answer = await self._forwarding.play(session, grant, offer, source, whose)
        try:
            # Others may have come while media answered.
            self._lobby.check_open(session, grant)
            if session.occupied > session.record.capacity:
                raise LimitExceeded("The session is full.", "sessionFull")
            self._check_places_of_link(session, grant, 0)
        except BridgeError:
            self._forwarding.stop(session, player)
            raise
        return player, answer

    def stop_player(self, player: Player) -> None:
        """Ends a player; may be repeated."""
        session = self._lobby.find(player.grant.session)
        if session is not None:
            self._forwarding.stop(session, player)

    def is_playing(self, player: Player) -> bool:
        session = self._lobby.find(player.grant.session)
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
        self._check_places_of_link(session, grant, 1)

    def _check_places_of_link(self, session: LiveSession, grant: Grant, more: int) -> None:
        of_invite = sum(player.grant.invite == grant.invite for player in session.players.values())
        if of_invite + more > grant.seats * PLAYERS_PER_SEAT:
            raise LimitExceeded("This link plays in too many places.", "tooMany")

    # What staff ask for

    def connected(self, session: SessionId) -> int:
        """How many are connected, players among them."""
        live = self._lobby.find(session)
        return 0 if live is None else sum(p.connected for p in live.people.values()) + len(live.players)

    def connected_on(self, session: SessionId, invite: InviteId) -> int:
        """How many of them came on this invite."""
        live = self._lobby.find(session)
        if live is None:
            return 0
        players = sum(player.grant.invite == invite for player in live.players.values())
        return players + sum(p.connected and p.grant.invite == invite for p in live.people.values())

    def invites_connected(self, session: SessionId) -> frozenset[InviteId]:
        """Those on which somebody is connected, players not counted."""
        live = self._lobby.find(session)
        people = () if live is None else live.people.values()
        return frozenset(participant.grant.invite for participant in people if participant.connected)

    def participants(self, session: SessionId) -> list[messages.ParticipantObject]:
        """All of them, as who moderates sees them."""
        live = self._lobby.find(session)
        return [] if live is None else [participant.to_wire() for participant in live.people.values()]

    def recording(self, session: SessionId) -> messages.RecordingObject | None:
        """The one that runs, as who may record sees it."""
        live = self._lobby.find(session)
        return None if live is None or live.recording is None else live.recording.to_wire(trouble_too=True)

    def counts(self) -> Counts:
        live = [session for session in self._lobby.sessions() if session.occupied]
        return Counts(
            len(live),
            sum(p.connected for session in live for p in session.people.values()),
            sum(len(session.publications) for session in live),
            self.admission.waiting,
            self.load.number,
        )

    @property
    def draining(self) -> bool:
        """Whether nothing new begins."""
        return self._lobby.draining

    def drain(self, draining: bool) -> None:
        """Lets nobody come into sessions without anybody, or lets them again; sessions with somebody go on."""
        self._lobby.draining = draining
        _log.info("draining.changed", draining=draining)

    async def end_session(self, id: SessionId) -> None:
        """Ends it in the store and for all who are in it. Raises NotFound."""
        await self._store.end_session(id, self._now_ms())
        self._lobby.close_session(id)

    async def revoke_invite(self, id: SessionId, invite: InviteId) -> None:
        """Withdraws it in the store and disconnects whoever came on it. Raises NotFound."""
        await self._store.revoke_invite(invite)
        self._lobby.close_invite(id, invite)

    # Time and news

    def tick(self) -> None:
        """Does what time brings; to be called a few times a second."""
        now_ms = self._now_ms()
        if is_due := now_ms - self._lines_looked_at_ms >= LINES_LOOKED_AT_EVERY_MS:
            self._lines_looked_at_ms = now_ms
        for session in self._lobby.sessions():
            try:
                if is_due:
                    self._drop_lost(session, now_ms)
                    self._lobby.forget_quiet(session, now_ms)
                self._tick_session(session, now_ms)
            except Exception:
                # The time of all other sessions goes on.
                _log.exception("session.tick_failed", session=session.id)
        self.admission.tick(now_ms)
        self.readings.tell_studies()
        if now_ms - self._store_looked_at_ms >= STORE_LOOKED_AT_EVERY_MS:
            self._store_looked_at_ms = now_ms
            self._errands.start("look for closed sessions", self._lobby.close_what_the_store_closed())

    def _tick_session(self, session: LiveSession, now_ms: int) -> None:
        session.tell_batches(now_ms)
        if session.players:
            self._forwarding.follow_speaker(session)
        self._keeper.look(session)
        self.readings.tick(session, now_ms)
        self.events.tick(session, now_ms)

    def _drop_lost(self, session: LiveSession, now_ms: int) -> None:
        for participant in list(session.people.values()):
            if participant.device:
                half = participant.publisher
                if half is None:
                    self._lobby.exit(session, participant, "left")
                elif half.down_since_ms is not None and now_ms - half.down_since_ms > DEVICE_WAITS_MS:
                    self._lobby.exit(session, participant, "lost")
            elif (
                participant.away_since_ms is not None
                and now_ms - participant.away_since_ms > RESUME_WITHIN_S * 1000
            ):
                self._lobby.exit(session, participant, "lost")
        for player in list(session.players.values()):
            if player.down_since_ms is not None and now_ms - player.down_since_ms > DEVICE_WAITS_MS:
                self._forwarding.stop(session, player)

    def note_load(self, measures: Measures) -> None:
        """Takes what was measured; sheds what viewers can do without, or gives it back."""
        if not self.load.note(measures, self._now_ms()):
            return
        self._forwarding.viewers_height = VIEWERS_HEIGHT if self.load.shrinks else None
        for session in self._lobby.sessions():
            self._forwarding.refresh(session)
            self.events.load_changed(session)
        _log.warning("load.changed", level=self.load.level)

    async def follow_media(self) -> None:
        """Takes media's news for ever."""
        while True:
            self.hear(await self._media.events.get())

    def hear(self, event: MediaEvent) -> None:
        """Takes one piece of news. One that cannot be taken does not stop the next."""
        if isinstance(event, PeerClosed):
            # An encoder goes with its connection: nobody is to see it for longer.
            self._lines_looked_at_ms = 0
        try:
            self._news.hear(event)
        except Exception:
            _log.exception("media.event_failed", kind=type(event).__name__)

    def shut_down(self) -> None:
        """Tells all who are connected that the server stops; nobody comes in any more."""
        self._lobby.stopping = True
        for session in self._lobby.sessions():
            for participant in session.people.values():
                if participant.outlet is not None:
                    participant.outlet.close("shuttingDown", "The server stops or restarts.")

    async def settle(self) -> None:
        """Waits for work that nobody waited for, such as saving the stage."""
        await self._errands.settle()
        await self._keeper.settle()
