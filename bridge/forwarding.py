"""Who receives what: keeps the wishes told to media in step with the sessions, and brings its news to them.

Descriptions (SDP) and offers' numbers pass through unread. It decides by the stage and by `policy`; it knows nothing
of tokens, sockets and the store.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import singledispatchmethod

import structlog

from bridge import messages, policy
from bridge.auth import Grant
from bridge.errands import Errands
from bridge.errors import Conflict, NotAuthorised, NotFound, ProtocolError
from bridge.ids import ParticipantId, Role
from bridge.livesession import LiveSession
from bridge.media.contract import (
    Description,
    Levels,
    Line,
    Media,
    MediaEvent,
    Mid,
    OfferReady,
    PeerClosed,
    PeerDown,
    PeerId,
    PeerUp,
    Picture,
    PublishAnswer,
    Source,
    Subscription,
    TrackFlowing,
    TrackId,
    TrackWish,
)
from bridge.participant import Half, Participant, PendingOffer, Publication
from bridge.players import Player, choose

LINE_TOLD_EVERY_MS = 10_000
"""Round trip and loss change all the time; a new class of quality is told with the next batch."""

_log = structlog.get_logger(__name__)


class Forwarding:
    """The media side of all sessions of this server."""

    def __init__(self, media: Media, errands: Errands, now_ms: Callable[[], int]) -> None:
        self._media = media
        self._errands = errands
        self._now_ms = now_ms
        self._owners: dict[PeerId, tuple[LiveSession, Participant | Player]] = {}
        self._sessions: dict[TrackId, LiveSession] = {}

    # Publishing

    async def publish(
        self,
        session: LiveSession,
        participant: Participant,
        offer: Description,
        wishes: Sequence[messages.Wish],
        fresh: bool,
    ) -> messages.PublishAnswer:
        """Takes a publisher's offer. Raises NotAuthorised, Conflict, and what media raises."""
        require_publishable(participant.grant.role, session.on_stage(participant), wishes)
        old = participant.publisher
        if old is None and participant.published_before and not fresh:
            raise Conflict("This publisher connection is gone: begin a new one.")
        reused = None if fresh or old is None else old.peer
        peer, result = await self.negotiate(reused, offer, wishes)
        if participant.gone or participant.publisher is not old:
            if reused is None:
                await self._media.close_peer(peer)
            raise Conflict("This publisher connection was replaced.")
        if reused is None:
            if old is not None:
                session.unpublish(participant, session.published_by(participant))
                self._close(old.peer)
            self.adopt_publisher(session, participant, peer)
        self.take_tracks(session, participant, result, wishes)
        tracks = tuple(messages.MidTrack(mid=track.mid, track=track.track) for track in result.tracks)
        return messages.PublishAnswer(sdp=result.answer, tracks=tracks)

    async def negotiate(
        self, peer: PeerId | None, offer: Description, wishes: Sequence[messages.Wish]
    ) -> tuple[PeerId, PublishAnswer]:
        """Lets media answer; without a peer on a new one, which does not outlive a failure."""
        asked = [TrackWish(Mid(wish.mid), Source(wish.source)) for wish in wishes]
        if peer is not None:
            return peer, await self._media.publish(peer, offer, asked)
        peer = await self._media.open_publisher()
        try:
            result = await self._media.publish(peer, offer, asked)
            for track in result.tracks:
                if track.kind != policy.kind_of(track.source):
                    raise ProtocolError(f"A {track.source.value} is no {track.kind}.")
        except BaseException:
            await self._media.close_peer(peer)
            raise
        return peer, result

    def adopt_publisher(self, session: LiveSession, participant: Participant, peer: PeerId) -> None:
        """From now on this is the participant's publisher connection."""
        participant.publisher = Half(peer, self._now_ms())
        participant.published_before = True
        self._owners[peer] = (session, participant)

    def take_tracks(
        self,
        session: LiveSession,
        participant: Participant,
        result: PublishAnswer,
        wishes: Sequence[messages.Wish],
    ) -> None:
        """Brings the session's publications in step with what media answered."""
        live = {track.track: track for track in result.tracks}
        ended = [pub for pub in session.published_by(participant) if pub.track.track not in live]
        session.unpublish(participant, ended)
        muted = {wish.mid for wish in wishes if wish.muted}
        for track in result.tracks:
            known = session.publications.get(track.track)
            if known is not None:
                self.set_muted(session, known, track.mid in muted)
                continue
            blocked = track.source in participant.blocked_sources
            publication = Publication(participant.id, track, track.mid in muted, blocked)
            self._sessions[track.track] = session
            self._pause(publication)
            session.publish(publication)
        for pub in ended:
            self._sessions.pop(pub.track.track, None)
        self.refresh(session)

    def set_muted(self, session: LiveSession, publication: Publication, muted: bool) -> None:
        """By its publisher. A muted track is not forwarded, whatever its publisher sends."""
        if publication.muted != muted:
            publication.muted = muted
            self._pause(publication)
            session.tell_track_changed(publication)
            self._show_players(session)

    def set_blocked(self, session: LiveSession, publication: Publication, blocked: bool) -> None:
        """By a moderator; it holds for whatever the participant publishes as this source later on."""
        owner = session.people[publication.participant]
        if blocked:
            owner.blocked_sources.add(publication.track.source)
        else:
            owner.blocked_sources.discard(publication.track.source)
        if publication.blocked != blocked:
            publication.blocked = blocked
            self._pause(publication)
            session.tell_track_changed(publication)
            self._show_players(session)

    def _pause(self, publication: Publication) -> None:
        with contextlib.suppress(NotFound):
            self._media.pause_track(publication.track.track, publication.silent)

    # Receiving

    def refresh(self, session: LiveSession) -> None:
        """Tells media what everybody receives, after the stage or its tracks changed."""
        stage_tracks = session.stage_tracks()
        everything = [(pub, _subscription(pub, None)) for pub in stage_tracks]
        for participant in session.people.values():
            self._want(session, participant, everything)
        self._show_players(session, stage_tracks)

    def refresh_one(self, session: LiveSession, participant: Participant) -> None:
        """The same for one who came or changed its wishes."""
        everything = [(pub, _subscription(pub, None)) for pub in session.stage_tracks()]
        self._want(session, participant, everything)

    def set_height(
        self, session: LiveSession, participant: Participant, publication: Publication, height: int
    ) -> None:
        participant.heights[publication.track.track] = height
        self.refresh_one(session, participant)

    def restart_subscriber(self, session: LiveSession, participant: Participant, fresh: bool) -> None:
        """A new offer will come: with an ICE restart, or for a new connection."""
        half = participant.subscriber
        if half is not None and not fresh:
            try:
                self._media.restart_subscriber(half.peer)
                return
            except NotFound:
                _log.info("subscriber.vanished", participant=participant.id)
        self._drop_subscriber(participant)
        self.refresh_one(session, participant)

    async def accept_answer(self, participant: Participant, number: int, answer: Description) -> None:
        """Raises Conflict for any but the newest offer, and what media raises."""
        offer = participant.offer
        half = participant.subscriber
        if offer is None or offer.number != number or half is None or half.peer != offer.ready.peer:
            raise Conflict("This answers an older offer.")
        await self._media.answer(offer.ready.peer, offer.ready.negotiation, answer)
        half.answered = True
        if participant.offer is offer:
            participant.offer = None

    def _want(
        self,
        session: LiveSession,
        participant: Participant,
        everything: Sequence[tuple[Publication, Subscription]],
    ) -> None:
        if participant.device or participant.gone:
            return
        heights = participant.heights
        wanted = tuple(
            _subscription(pub, heights[pub.track.track]) if pub.track.track in heights else subscription
            for pub, subscription in everything
            if pub.participant != participant.id
        )
        if wanted == participant.wanted:
            return
        tracks = {subscription.track for subscription in wanted}
        participant.heights = {track: height for track, height in heights.items() if track in tracks}
        participant.pictures = {t: picture for t, picture in participant.pictures.items() if t in tracks}
        if participant.subscriber is not None:
            self._subscribe(participant, participant.subscriber, wanted)
        elif wanted and not participant.opening:
            participant.opening = True
            self._errands.start("open subscriber", self._open_subscriber(session, participant))

    async def _open_subscriber(self, session: LiveSession, participant: Participant) -> None:
        try:
            peer = await self._media.open_subscriber()
        finally:
            participant.opening = False
        if participant.gone:
            await self._media.close_peer(peer)
            return
        participant.subscriber = Half(peer, self._now_ms())
        self._owners[peer] = (session, participant)
        self.refresh_one(session, participant)

    def _subscribe(self, participant: Participant, half: Half, wanted: tuple[Subscription, ...]) -> None:
        try:
            self._media.subscribe(half.peer, wanted)
            participant.wanted = wanted
        except NotFound:
            # A peer went away and its news is still on the way; what that brings ends in another refresh.
            participant.wanted = ()

    def _drop_subscriber(self, participant: Participant) -> None:
        if participant.subscriber is not None:
            self._close(participant.subscriber.peer)
        participant.subscriber, participant.offer, participant.wanted = None, None, ()

    # Players

    async def play(
        self,
        session: LiveSession,
        grant: Grant,
        offer: Description,
        source: Source | None,
        participant: ParticipantId | None,
    ) -> tuple[Player, Description]:
        """A player that follows the stage. Raises what media raises."""
        peer, answer = await self._media.open_player(offer)
        player = Player(peer, grant, source, participant, self._now_ms())
        session.players[peer] = player
        self._owners[peer] = (session, player)
        self._show_players(session)
        return player, answer

    def stop(self, session: LiveSession, player: Player) -> None:
        """Ends a player; may be repeated."""
        session.players.pop(player.peer, None)
        self._close(player.peer)

    def _show_players(self, session: LiveSession, stage_tracks: Sequence[Publication] | None = None) -> None:
        if not session.players:
            return
        tracks = session.stage_tracks() if stage_tracks is None else stage_tracks
        for player in session.players.values():
            video, audio = choose(player, tracks, session.speakers.main)
            if (video, audio) != (player.video, player.audio):
                with contextlib.suppress(NotFound):
                    self._media.show(player.peer, video, audio)
                    player.video, player.audio = video, audio

    def follow_speaker(self, session: LiveSession) -> None:
        """Lets players follow who speaks."""
        self._show_players(session)

    # Ending

    def dismiss(self, participant: Participant) -> None:
        """Closes the connections of one who is gone."""
        if participant.publisher is not None:
            self._close(participant.publisher.peer)
            participant.publisher = None
        self._drop_subscriber(participant)

    async def restart_ice(self, peer: PeerId, fragment: Description) -> Description:
        """Of a WHIP or WHEP resource."""
        return await self._media.restart_peer(peer, fragment)

    def forget_tracks(self, session: LiveSession) -> None:
        """Of a session that is over."""
        self._sessions = {track: of for track, of in self._sessions.items() if of is not session}

    def _close(self, peer: PeerId) -> None:
        if self._owners.pop(peer, None) is not None:
            self._errands.start("close peer", self._media.close_peer(peer))

    # News from media

    @singledispatchmethod
    def hear(self, event: MediaEvent) -> None:
        """Takes one event; what is about peers and tracks that are gone is passed over."""
        _log.warning("media.unknown_event", kind=type(event).__name__)

    @hear.register
    def _offer_ready(self, event: OfferReady) -> None:
        _, participant, half = self._half(event.peer)
        if participant is None or half is not participant.subscriber or half is None:
            return
        participant.offers_made += 1
        offer = messages.SubscribeOffer(
            negotiation=participant.offers_made,
            sdp=event.offer,
            tracks=tuple(messages.MidTrack(mid=track.mid, track=track.track) for track in event.tracks),
            fresh=not half.answered,
        )
        participant.offer = PendingOffer(participant.offers_made, event, messages.encode(offer))
        participant.tell(participant.offer.data)

    @hear.register
    def _peer_up(self, event: PeerUp) -> None:
        session, participant, half = self._half(event.peer)
        if session is None:
            return
        if half is None or participant is None:
            session.players[event.peer].down_since_ms = None
            return
        half.down_since_ms, half.was_up = None, True
        if participant.device and not participant.connected:
            session.line_back(participant)
        session.touch(participant)

    @hear.register
    def _peer_down(self, event: PeerDown) -> None:
        session, participant, half = self._half(event.peer)
        if session is None:
            return
        if half is None or participant is None:
            session.players[event.peer].down_since_ms = self._now_ms()
            return
        if half.down_since_ms is None:
            half.down_since_ms = self._now_ms()
        if participant.device and participant.connected:
            session.line_lost(participant)
        if half is participant.publisher:
            participant.tell(messages.encode(messages.PublisherDown()))
        session.touch(participant)

    @hear.register
    def _peer_closed(self, event: PeerClosed) -> None:
        session, participant, half = self._half(event.peer)
        if session is None:
            return
        self._owners.pop(event.peer, None)
        if participant is None:
            session.players.pop(event.peer, None)
            return
        if half is participant.publisher:
            participant.publisher = None
            session.unpublish(participant, session.published_by(participant))
            participant.tell(messages.encode(messages.PublisherDown()))
            self.refresh(session)
        else:
            participant.subscriber, participant.offer, participant.wanted = None, None, ()

    @hear.register
    def _track_flowing(self, event: TrackFlowing) -> None:
        session = self._sessions.get(event.track)
        publication = None if session is None else session.publications.get(event.track)
        if session is None or publication is None or publication.flowing == event.flowing:
            return
        publication.flowing = event.flowing
        if not event.flowing and publication.track.source is Source.MICROPHONE:
            session.speakers.forget(publication.participant)
        session.tell_track_changed(publication)

    @hear.register
    def _levels(self, event: Levels) -> None:
        now_ms = self._now_ms()
        for track, level_dbov in event.levels:
            session = self._sessions.get(track)
            publication = None if session is None else session.publications.get(track)
            if session is None or publication is None or publication.silent:
                continue
            of_stage = publication.participant in session.floor
            if of_stage and publication.track.source is Source.MICROPHONE:
                session.speakers.hear(publication.participant, level_dbov, now_ms)

    @hear.register
    def _line(self, event: Line) -> None:
        session, participant, half = self._half(event.peer)
        if session is None or participant is None or half is None:
            return
        before = participant.quality
        half.line = event
        now_ms = self._now_ms()
        if participant.quality != before or now_ms - participant.line_told_at_ms >= LINE_TOLD_EVERY_MS:
            participant.line_told_at_ms = now_ms
            session.touch(participant)

    @hear.register
    def _picture(self, event: Picture) -> None:
        _, participant, half = self._half(event.peer)
        if participant is None or half is not participant.subscriber:
            return
        news = messages.PictureChanged(track=event.track, layer=event.layer, limited=event.limited)
        participant.pictures[event.track] = messages.encode(news)
        participant.tell(participant.pictures[event.track])

    def _half(self, peer: PeerId) -> tuple[LiveSession | None, Participant | None, Half | None]:
        session, owner = self._owners.get(peer, (None, None))
        if not isinstance(owner, Participant):
            return session, None, None
        for half in (owner.publisher, owner.subscriber):
            if half is not None and half.peer == peer:
                return session, owner, half
        return None, None, None


def require_publishable(role: Role, on_stage: bool, wishes: Sequence[messages.Wish]) -> None:
    """Raises NotAuthorised (`notAllowed`), or Conflict for two tracks of one source."""
    allowed = policy.publishable(role, on_stage)
    sources = [Source(wish.source) for wish in wishes]
    for source in sources:
        if source not in allowed:
            raise NotAuthorised(f"This participant may not publish {source.value}.", "notAllowed")
    if len(set(sources)) != len(sources):
        raise Conflict("There is one track of each source.")


def _subscription(publication: Publication, height: int | None) -> Subscription:
    return Subscription(publication.track.track, height, policy.PRIORITY[publication.track.source])
