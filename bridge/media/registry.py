"""The tables of one engine: peers, tracks and the relay's ids, and how news leaves; no policy, no SDP.

Everything runs on the event loop's thread, so that nothing here locks.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

import structlog

from bridge.errors import LimitExceeded, NotFound
from bridge.media._native import ExtensionIds, Layer, PayloadType, Relay
from bridge.media.contract import Levels, Line, MediaEvent, PeerId, Picture, TrackId
from bridge.media.peers import Peer, Publisher, Receiver, Receiving, Subscriber, Track
from bridge.media.sdp_codecs import CodecRow
from bridge.media.sdp_sections import LayerRow
from bridge.media.sdp_write import Local

# Three peers for each of the 600 points that are planned for, and as many again.
MAX_PEERS = 4_000
MAX_NEWS = 20_000
# Above this share of the queue what only shows a momentary value is left out: its reader is behind anyway.
DROPPABLE_SHARE = 0.5

_log = structlog.get_logger(__name__)

P = TypeVar("P", bound=Peer)


class Registry:
    """Who is there. Raises NotFound for what is not (any more)."""

    def __init__(self, relay: Relay, fingerprint: str, addresses: tuple[str, ...], port: int) -> None:
        self.relay = relay
        self.events: asyncio.Queue[MediaEvent] = asyncio.Queue(MAX_NEWS)
        self.peers: dict[PeerId, Peer] = {}
        self.tracks: dict[TrackId, Track] = {}
        self.tracks_by_native: dict[int, Track] = {}
        self.receivings: dict[int, Receiving] = {}
        self.watchers: dict[TrackId, set[int]] = {}
        self.news_dropped = 0
        self._fingerprint = fingerprint
        self._addresses = addresses
        self._port = port
        self._numbers = itertools.count(1)

    def next_native(self) -> int:
        """Ids for the relay; one series for all, so that no two things are ever taken for each other in a log."""
        return next(self._numbers)

    def next_track(self) -> TrackId:
        return TrackId(secrets.token_hex(8))

    def require_room(self) -> None:
        if len(self.peers) >= MAX_PEERS:
            raise LimitExceeded("The server has no room for another connection.", "sessionFull")

    def peer(self, peer: PeerId, kind: type[P]) -> P:
        found = self.peers.get(peer)
        if not isinstance(found, kind):
            raise NotFound("There is no such connection.")
        return found

    def track(self, track: TrackId) -> Track:
        found = self.tracks.get(track)
        if found is None:
            raise NotFound("There is no such track.")
        return found

    def local(self, peer: Peer) -> Local:
        return Local(peer.ice.ufrag, peer.ice.pwd, self._fingerprint, self._addresses, self._port)

    def receivers_of(self, track: TrackId) -> Iterator[Receiver]:
        """Peers that show this track now."""
        for native in self.watchers.get(track, ()):
            receiving = self.receivings.get(native)
            peer = self.peers.get(receiving.peer) if receiving is not None else None
            if isinstance(peer, Receiver):
                yield peer

    def subscribers_wanting(self, track: TrackId) -> Iterator[Subscriber]:
        for peer in self.peers.values():
            if isinstance(peer, Subscriber) and track in peer.wanted:
                yield peer

    def show(self, receiving: Receiving, track: Track | None) -> None:
        """Switches one of the relay's subscriptions and keeps the tables straight."""
        if receiving.track is not None:
            self.watchers.get(receiving.track, set()).discard(receiving.native)
        receiving.track = track.id if track is not None else None
        receiving.target_known = False
        receiving.limited = False
        receiving.layer = None
        if track is not None:
            self.watchers.setdefault(track.id, set()).add(receiving.native)
        self.relay.switch_subscription(receiving.native, track.native if track is not None else None)

    def add_track(self, publisher: Publisher, track: Track) -> None:
        self.tracks[track.id] = track
        publisher.tracks[track.section.mid] = track
        self.bind_native(track)

    def bind_native(self, track: Track) -> None:
        """Makes the relay's side of a track, as its section now says."""
        section = track.section
        self.tracks_by_native[track.native] = track
        self.relay.add_track(
            track.native,
            int(track.peer),
            section.kind,
            section.mid,
            _layers(section.layers),
            nack=section.nack,
        )
        if track.paused:
            self.relay.pause_track(track.native, True)

    def remove_track(self, track: Track) -> None:
        """Takes a track away from the relay and from everybody who shows it."""
        for native in list(self.watchers.pop(track.id, ())):
            receiving = self.receivings.get(native)
            if receiving is not None:
                self.show(receiving, None)
        self.tracks.pop(track.id, None)
        self.tracks_by_native.pop(track.native, None)
        self.relay.remove_track(track.native)

    def add_receiving(
        self, receiving: Receiving, mid: str, ssrc: int, rtx_ssrc: int, codecs: Iterable[CodecRow], cname: str
    ) -> None:
        self.receivings[receiving.native] = receiving
        self.relay.add_subscription(
            receiving.native,
            int(receiving.peer),
            receiving.kind,
            mid,
            ssrc,
            rtx_ssrc,
            payloads(codecs),
            cname,
        )

    def drop_receiving(self, receiving: Receiving) -> None:
        """Ends one of the relay's subscriptions."""
        self.show(receiving, None)
        self.receivings.pop(receiving.native, None)
        self.relay.remove_subscription(receiving.native)

    def drop_receiver(self, receiver: Receiver) -> None:
        for receiving in receiver.receivings():
            if receiving.track is not None:
                self.watchers.get(receiving.track, set()).discard(receiving.native)
            self.receivings.pop(receiving.native, None)

    def tell(self, event: MediaEvent) -> None:
        """Puts news on the queue. What only shows a momentary value is dropped first when the reader is behind."""
        if isinstance(event, Levels | Line | Picture) and self.events.qsize() > MAX_NEWS * DROPPABLE_SHARE:
            self.news_dropped += 1
            return
        try:
            self.events.put_nowait(event)
        except asyncio.QueueFull:
            self.news_dropped += 1
            _log.error("news_dropped", kind=type(event).__name__)

    @property
    def congested(self) -> bool:
        return self.events.qsize() > MAX_NEWS * DROPPABLE_SHARE


def payloads(codecs: Iterable[CodecRow]) -> list[PayloadType]:
    return [
        PayloadType(row.payload_type, row.codec, row.clock_rate_hz, row.rtx_payload_type) for row in codecs
    ]


def sending_extensions(table: Mapping[str, int]) -> ExtensionIds:
    """What we write towards a receiver: stream ids of simulcast mean nothing there."""
    return ExtensionIds(**{name: number for name, number in table.items() if "rid" not in name})


def _layers(rows: Iterable[LayerRow]) -> list[Layer]:
    return [Layer(rid=row.rid, ssrc=row.ssrc, rtx_ssrc=row.rtx_ssrc) for row in rows]
