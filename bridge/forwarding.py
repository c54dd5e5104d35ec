"""Who receives what: keeps the wishes told to media in step with the sessions, and brings its news to them.

Descriptions (SDP) and offers' numbers pass through unread. It decides by the stage and by `policy`; it knows nothing
of tokens, sockets and the store.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

import structlog

from bridge import messages, policy
from bridge.auth import Grant
from bridge.errands import Errands
from bridge.errors import Conflict, NotAuthorised, NotFound, ProtocolError
from bridge.ids import ParticipantId, Role
from bridge.livesession import LiveSession
from bridge.media.contract import (
    Description,
    Media,
    Mid,
    PeerId,
    PublishAnswer,
    Source,
    Subscription,
    TrackId,
    TrackWish,
)
from bridge.participant import Half, Participant, Publication
from bridge.players import Player, choose
from bridge.wiring import Wiring
from bridge.witness import Witness

_log = structlog.get_logger(__name__)


class Forwarding:
    """The media side of all sessions of this server."""

    def __init__(
        self, media: Media, wiring: Wiring, witness: Witness, errands: Errands, now_ms: Callable[[], int]
    ) -> None:
        self._media = media
        self._witness = witness
        self._wiring = wiring
        self._errands = errands
        self._now_ms = now_ms
        self.viewers_height: int | None = None
        """What viewers off the stage get at most; None is no limit."""

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
        old = participant.publisher
        published = [] if fresh else [pub.track.source for pub in session.published_by(participant)]
        require_publishable(participant.grant.role, session.on_stage(participant), wishes, published)
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
        self._wiring.add_peer(peer, session, participant)

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
        self._wiring.drop_unpublished()
        muted = {wish.mid for wish in wishes if wish.muted}
        for track in result.tracks:
            known = session.publications.get(track.track)
            if known is not None:
                self.set_muted(session, known, track.mid in muted)
                continue
            blocked = track.source in participant.blocked_sources
            publication = Publication(participant.id, track, track.mid in muted, blocked)
            self._wiring.add_track(track.track, session)
            self._pause(publication)
            session.publish(publication)
        if session.seen(participant.id):
            self.refresh(session)
        else:
            # Nobody receives it: hundreds of points publish within seconds.
            session.tell_layers()
            self._witness.changed(session)

    def unpublish_all(self, session: LiveSession, participant: Participant) -> None:
        """Its publisher connection is gone."""
        session.unpublish(participant, session.published_by(participant))
        self._wiring.drop_unpublished()
        if session.seen(participant.id):
            self.refresh(session)
        else:
            self._witness.changed(session)

    def set_muted(self, session: LiveSession, publication: Publication, muted: bool) -> None:
        """By its publisher. A muted track is not forwarded, whatever its publisher sends."""
        if publication.muted != muted:
            publication.muted = muted
            self._tell_silent(session, publication)

    def set_blocked(self, session: LiveSession, publication: Publication, blocked: bool) -> None:
        """By a moderator; it holds for whatever the participant publishes as this source later on."""
        owner = session.people[publication.participant]
        if blocked:
            owner.blocked_sources.add(publication.track.source)
        else:
            owner.blocked_sources.discard(publication.track.source)
        if publication.blocked != blocked:
            publication.blocked = blocked
            self._tell_silent(session, publication)

    def _tell_silent(self, session: LiveSession, publication: Publication) -> None:
        self._pause(publication)
        session.tell_track_changed(publication)
        self._show_players(session)
        self._witness.changed(session)

    def _pause(self, publication: Publication) -> None:
        with contextlib.suppress(NotFound):
            self._media.pause_track(publication.track.track, publication.silent)

    # Receiving

    def refresh(self, session: LiveSession) -> None:
        """Tells media what everybody receives, after the stage or its tracks changed."""
        stage_tracks = session.stage_tracks()
        everything = _unsaid(session, stage_tracks)
        preview = _preview(session)
        for participant in session.people.values():
            self._want(session, participant, everything + preview if participant.moderates else everything)
        session.tell_layers()
        self._show_players(session, stage_tracks)
        self._witness.changed(session)

    def refresh_one(self, session: LiveSession, participant: Participant) -> None:
        """The same for one who came or changed its wishes."""
        everything = _unsaid(session, session.stage_tracks())
        self._want(
            session, participant, everything + _preview(session) if participant.moderates else everything
        )

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
        cap = self.viewers_height
        if cap is not None and participant.grant.role is Role.VIEWER and not session.on_stage(participant):
            wanted = tuple(_capped(subscription, cap) for subscription in wanted)
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
        self._wiring.add_peer(peer, session, participant)
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
        self._wiring.add_peer(peer, session, player)
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

    def hang_up(self, session: LiveSession, participant: Participant) -> None:
        """Closes the connections of one who may come back with others."""
        if participant.publisher is not None:
            self._close(participant.publisher.peer)
            participant.publisher = None
            self.unpublish_all(session, participant)
        self._drop_subscriber(participant)

    def dismiss(self, participant: Participant) -> None:
        """Closes the connections of one who is gone."""
        if participant.publisher is not None:
            self._close(participant.publisher.peer)
            participant.publisher = None
        if participant.published_before:
            self._wiring.drop_unpublished()
        self._drop_subscriber(participant)

    async def restart_ice(self, peer: PeerId, fragment: Description) -> Description:
        """Of a WHIP or WHEP resource."""
        return await self._media.restart_peer(peer, fragment)

    def _close(self, peer: PeerId) -> None:
        if self._wiring.drop_peer(peer):
            self._errands.start("close peer", self._media.close_peer(peer))


def require_publishable(
    role: Role, on_stage: bool, wishes: Sequence[messages.Wish], published: Sequence[Source] = ()
) -> None:
    """Raises NotAuthorised (`notAllowed`), or Conflict for two tracks of one source.

    What is `published` may go on: who lost the floor keeps its publications, unforwarded.
    """
    allowed = {*policy.publishable(role, on_stage), *published}
    sources = [Source(wish.source) for wish in wishes]
    for source in sources:
        if source not in allowed:
            raise NotAuthorised(f"This participant may not publish {source.value}.", "notAllowed")
    if len(set(sources)) != len(sources):
        raise Conflict("There is one track of each source.")


def _preview(session: LiveSession) -> list[tuple[Publication, Subscription]]:
    """Of an event, what its moderators see and hear besides the stage: who comes next."""
    cue = None if session.event is None else session.people.get(session.event.cue or ParticipantId(""))
    if cue is None or session.on_stage(cue):
        return []
    return _unsaid(session, session.published_by(cue))


def _unsaid(
    session: LiveSession, publications: Sequence[Publication]
) -> list[tuple[Publication, Subscription]]:
    """What is received of them by who has not said how high it shows them."""
    height = policy.UNSAID_HEIGHT[session.record.format]
    return [(pub, _subscription(pub, height)) for pub in publications]


def _capped(subscription: Subscription, height: int) -> Subscription:
    asked = subscription.max_height
    return replace(subscription, max_height=height if asked is None else min(asked, height))


def _subscription(publication: Publication, height: int | None) -> Subscription:
    return _shared(publication.track.track, height, policy.PRIORITY[publication.track.source])


@lru_cache(maxsize=1024)
def _shared(track: TrackId, height: int | None, priority: int) -> Subscription:
    """One object for the same wish of hundreds of viewers."""
    return Subscription(track, height, priority)
