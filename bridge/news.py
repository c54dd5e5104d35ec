"""Media's news on its way to sessions and participants: one small handler for each kind of event of the contract.

What is about peers and tracks that are gone is passed over. It decides nothing but how often lines are told.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, singledispatchmethod

import structlog

from bridge import messages
from bridge.forwarding import Forwarding
from bridge.media.contract import (
    Levels,
    Line,
    MediaEvent,
    OfferReady,
    PeerClosed,
    PeerDown,
    PeerUp,
    Picture,
    Source,
    TrackFlowing,
    TrackId,
)
from bridge.participant import PendingOffer
from bridge.wiring import Wiring

LINE_TOLD_EVERY_MS = 10_000
"""Round trip and loss change all the time; a new class of quality is told with the next batch."""

_PUBLISHER_DOWN = messages.encode(messages.PublisherDown())
_log = structlog.get_logger(__name__)


class News:
    """Takes the events of one `Media`."""

    def __init__(self, wiring: Wiring, forwarding: Forwarding, now_ms: Callable[[], int]) -> None:
        self._wiring = wiring
        self._forwarding = forwarding
        self._now_ms = now_ms

    @singledispatchmethod
    def hear(self, event: MediaEvent) -> None:
        """Takes one event."""
        _log.warning("media.unknown_event", kind=type(event).__name__)

    @hear.register
    def _offer_ready(self, event: OfferReady) -> None:
        found = self._wiring.half(event.peer)
        if found is None:
            return
        _, participant, half = found
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
        if (playing := self._wiring.player(event.peer)) is not None:
            playing[1].down_since_ms = None
        if (found := self._wiring.half(event.peer)) is None:
            return
        session, participant, half = found
        half.down_since_ms, half.was_up = None, True
        if participant.device and not participant.connected:
            session.line_back(participant)
        session.touch(participant)

    @hear.register
    def _peer_down(self, event: PeerDown) -> None:
        if (playing := self._wiring.player(event.peer)) is not None:
            playing[1].down_since_ms = self._now_ms()
        if (found := self._wiring.half(event.peer)) is None:
            return
        session, participant, half = found
        if half.down_since_ms is None:
            half.down_since_ms = self._now_ms()
        if participant.device and participant.connected:
            session.line_lost(participant)
        if half is participant.publisher:
            participant.tell(_PUBLISHER_DOWN)
        session.touch(participant)

    @hear.register
    def _peer_closed(self, event: PeerClosed) -> None:
        if (playing := self._wiring.player(event.peer)) is not None:
            self._forwarding.stop(*playing)
        if (found := self._wiring.half(event.peer)) is None:
            return
        session, participant, half = found
        self._wiring.drop_peer(event.peer)
        if half is participant.publisher:
            participant.publisher = None
            self._forwarding.unpublish_all(session, participant)
            participant.tell(_PUBLISHER_DOWN)
        else:
            participant.subscriber, participant.offer, participant.wanted = None, None, ()

    @hear.register
    def _track_flowing(self, event: TrackFlowing) -> None:
        found = self._wiring.publication(event.track)
        if found is None or found[1].flowing == event.flowing:
            return
        session, publication = found
        publication.flowing = event.flowing
        publication.level_dbov = None
        if not event.flowing and publication.track.source is Source.MICROPHONE:
            session.speakers.forget(publication.participant)
        session.tell_track_changed(publication)

    @hear.register
    def _levels(self, event: Levels) -> None:
        now_ms = self._now_ms()
        for track, level_dbov in event.levels:
            if (found := self._wiring.publication(track)) is None:
                continue
            session, publication = found
            publication.level_dbov = level_dbov
            heard = publication.participant in session.floor and not publication.silent
            if heard and publication.track.source is Source.MICROPHONE:
                session.speakers.hear(publication.participant, level_dbov, now_ms)

    @hear.register
    def _line(self, event: Line) -> None:
        if (found := self._wiring.half(event.peer)) is None:
            return
        session, participant, half = found
        before = participant.quality
        half.line = event
        now_ms = self._now_ms()
        if participant.quality != before or now_ms - participant.line_told_at_ms >= LINE_TOLD_EVERY_MS:
            participant.line_told_at_ms = now_ms
            session.touch(participant)

    @hear.register
    def _picture(self, event: Picture) -> None:
        if (found := self._wiring.half(event.peer)) is None:
            return
        participant = found[1]
        participant.pictures[event.track] = _picture_news(event.track, event.layer, event.limited)
        participant.tell(participant.pictures[event.track])


@lru_cache(maxsize=1024)
def _picture_news(track: TrackId, layer: str | None, limited: bool) -> bytes:
    """Encoded once for the hundreds of viewers who are told the same."""
    return messages.encode(messages.PictureChanged(track=track, layer=layer, limited=limited))
