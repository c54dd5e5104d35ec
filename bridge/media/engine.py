"""The engine of live media: `contract.Media` on top of the native relay.

It owns the relay, the certificate and all peers, reads the relay's events, and puts the parts together: `publishing`,
`subscribing`, `steering`, `intake`, DTLS. It must not know rooms, participants or sockets.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar

from bridge.errors import ProtocolError
from bridge.media import _native
from bridge.media.addresses import reachable_addresses
from bridge.media.contract import (
    Description,
    Kind,
    MediaEvent,
    PeerClosed,
    PeerId,
    PublishAnswer,
    Subscription,
    TrackId,
    TrackWish,
)
from bridge.media.intake import Intake, TapListener
from bridge.media.negotiation import answer_player
from bridge.media.peers import (
    Credentials,
    Peer,
    Player,
    Publisher,
    Receiver,
    Receiving,
    Subscriber,
    fresh_ssrc,
)
from bridge.media.publishing import Publishing
from bridge.media.registry import Registry, sending_extensions
from bridge.media.sdp import parse_fragment
from bridge.media.sdp_sections import Remote
from bridge.media.sdp_write import fragment as write_fragment
from bridge.media.steering import Steering
from bridge.media.subscribing import Subscribing
from bridge.media.transport import (
    HANDSHAKE_TIMEOUT_S,
    CloseReason,
    DtlsTransport,
    Profile,
    fingerprint_of,
    make_certificate,
)

P = TypeVar("P", bound=Peer)


@dataclass(frozen=True, slots=True)
class MediaSettings:
    """`host` "" listens on all interfaces; port 0 takes a free one.

    `public_addresses` are what peers reach (behind a 1:1 NAT, or to choose among several); empty: this machine's own.
    """

    host: str = ""
    port: int = 0
    public_addresses: tuple[str, ...] = ()
    send: Literal["auto", "sendto", "sendmmsg", "gso"] = "auto"
    handshake_timeout_s: float = HANDSHAKE_TIMEOUT_S


class Engine:
    """Made on a running event loop; raises OSError when the port cannot be bound. `contract.Media` says the rest."""

    events: asyncio.Queue[MediaEvent]

    def __init__(self, settings: MediaSettings) -> None:
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        addresses = reachable_addresses(settings.host, settings.public_addresses)
        self._certificate = make_certificate()
        self._relay = _native.Relay(settings.host, settings.port, send=settings.send)
        self._registry = Registry(self._relay, fingerprint_of(self._certificate), addresses, self._relay.port)
        self.events = self._registry.events
        self._steering = Steering(self._registry, self._loop)
        self._subscribing = Subscribing(self._registry, self._steering, self._loop, self._shake_hands)
        self._publishing = Publishing(self._registry, self._subscribing.track_changed)
        self._peer_numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[object]] = set()
        self._closed = False
        self._intake = Intake(self._registry, self._steering, self._loop)

    @property
    def port(self) -> int:
        """The UDP port that all media uses."""
        return self._relay.port

    def stats(self) -> _native.Stats | None:
        """The relay's newest statistics, about a second old; None before the first."""
        return self._intake.stats

    @property
    def news_dropped(self) -> int:
        """News lost because nobody read them; stays 0 in health."""
        return self._registry.news_dropped

    @property
    def peer_count(self) -> int:
        return len(self._registry.peers)

    async def close(self) -> None:
        """Says goodbye to all peers and stops the relay; may be repeated."""
        if self._closed:
            return
        self._closed = True
        self._intake.close()
        self._steering.close()
        for peer in list(self._registry.peers.values()):
            await peer.dtls.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._registry.peers.clear()
        self._relay.close()

    # --- publishers ---

    async def open_publisher(self) -> PeerId:
        return self._add(Publisher).id

    async def publish(self, peer: PeerId, offer: Description, wishes: Sequence[TrackWish]) -> PublishAnswer:
        publisher = self._registry.peer(peer, Publisher)
        first = publisher.remote is None
        answer = self._publishing.publish(peer, offer, wishes)
        for track in [track for track in self._intake.taps if track not in self._registry.tracks]:
            del self._intake.taps[track]
        for published in answer.tracks:
            if published.track in self._intake.taps:
                self._relay.set_tap(self._registry.tracks[published.track].native, True)
        if first and publisher.remote is not None:
            self._shake_hands(publisher, publisher.remote)
        return answer

    def pause_track(self, track: TrackId, paused: bool) -> None:
        found = self._registry.track(track)
        found.paused = paused
        self._relay.pause_track(found.native, paused)

    # --- subscribers ---

    async def open_subscriber(self) -> PeerId:
        return self._add(Subscriber).id

    def subscribe(self, peer: PeerId, wanted: Sequence[Subscription]) -> None:
        self._subscribing.subscribe(peer, wanted)

    async def answer(self, peer: PeerId, negotiation: int, answer: Description) -> None:
        self._subscribing.answer(peer, negotiation, answer)

    def restart_subscriber(self, peer: PeerId) -> None:
        self._subscribing.restart(peer)

    # --- players ---

    async def open_player(self, offer: Description) -> tuple[PeerId, Description]:
        player = self._add(Player)
        try:
            answer = self._answer_player(player, offer)
        except BaseException:
            await self.close_peer(player.id)
            raise
        return player.id, answer

    def show(self, peer: PeerId, video: TrackId | None, audio: TrackId | None) -> None:
        player = self._registry.peer(peer, Player)
        wanted: tuple[tuple[Kind, TrackId | None], ...] = (("video", video), ("audio", audio))
        tracks = [(kind, self._registry.track(name) if name is not None else None) for kind, name in wanted]
        for kind, track in tracks:
            if track is not None and track.kind != kind:
                raise ProtocolError(f"The track is not {kind}.")
        for kind, track in tracks:
            entry = player.slots.get(kind)
            if entry is not None and entry.track != (track.id if track is not None else None):
                self._registry.show(entry, track)
        self._steering.soon(player)

    # --- all peers ---

    async def restart_peer(self, peer: PeerId, fragment: Description) -> Description:
        known = self._registry.peer(peer, Peer)
        asked = parse_fragment(fragment)
        if asked.ufrag is None or asked.pwd is None or known.tagged is None or known.remote is None:
            raise ProtocolError("An ICE restart brings a new ice-ufrag and ice-pwd.")
        known.ice = Credentials.fresh()
        known.remote = Remote(asked.ufrag, known.remote.fingerprints)
        self._relay.restart_ice(int(peer), known.ice.ufrag, known.ice.pwd)
        return write_fragment(self._registry.local(known), *known.tagged)

    async def close_peer(self, peer: PeerId) -> None:
        known = self._registry.peers.get(peer)
        if known is not None:
            await known.dtls.close()
            self._forget(known)

    # --- taps ---

    def set_tap(self, track: TrackId, listener: TapListener) -> Callable[[], None]:
        """Hands all packets of a track, decrypted, in batches to `listener`, on the event loop; it must not block.

        Returns what ends it. The tap goes on when the track changes its shape, and ends with the track.
        """
        native = self._registry.track(track).native
        listeners = self._intake.taps.setdefault(track, [])
        listeners.append(listener)
        self._relay.set_tap(native, True)
        return lambda: self._end_tap(track, listener)

    def request_keyframe(self, track: TrackId) -> None:
        """Asks the publisher for a keyframe: what a tap needs to begin with."""
        self._relay.request_keyframe(self._registry.track(track).native)

    def _end_tap(self, track: TrackId, listener: TapListener) -> None:
        listeners = self._intake.taps.get(track, [])
        if listener in listeners:
            listeners.remove(listener)
        if (
            not listeners
            and self._intake.taps.pop(track, None) is not None
            and track in self._registry.tracks
        ):
            self._relay.set_tap(self._registry.tracks[track].native, False)

    # --- making and ending peers ---

    def _add(self, kind: type[P]) -> P:
        self._registry.require_room()
        peer = PeerId(next(self._peer_numbers))
        dtls = DtlsTransport(
            self._certificate,
            partial(self._relay.send_dtls, int(peer)),
            partial(self._keys_agreed, peer),
            partial(self._dtls_over, peer),
            # Subscribers are told of by their participant's WebSocket; a publisher's end is to be seen at once, and
            # encoders and players have nothing else to say it by.
            listening=kind is not Subscriber,
        )
        made = kind(
            id=peer,
            ice=Credentials.fresh(),
            dtls=dtls,
            session_id=secrets.randbits(62) + 1,
            cname=secrets.token_hex(8),
        )
        self._registry.peers[peer] = made
        self._relay.add_peer(int(peer), made.ice.ufrag, made.ice.pwd)
        return made

    def _answer_player(self, player: Player, offer: Description) -> Description:
        ssrcs = [fresh_ssrc() for _ in range(3)]
        player.version += 1
        local = self._registry.local(player)
        plan = answer_player(offer, ssrcs, player.cname, local, player.session_id, player.version)
        extensions = sending_extensions(plan.extensions)
        self._relay.set_sending(int(player.id), extensions, transport_cc=plan.transport_cc, remb=plan.remb)
        player.transport_cc = plan.transport_cc
        for slot in plan.slots:
            receiving = Receiving(native=self._registry.next_native(), peer=player.id, kind=slot.kind)
            self._registry.add_receiving(
                receiving, slot.mid, slot.ssrc, slot.rtx_ssrc, slot.codecs, player.cname
            )
            player.slots[slot.kind] = receiving
        player.remote, player.tagged = plan.remote, plan.tagged
        self._shake_hands(player, plan.remote)
        return plan.answer

    def _forget(self, peer: Peer) -> None:
        """Takes a peer and all that hangs on it out of the tables and the relay; unknown ones are ignored."""
        if self._registry.peers.pop(peer.id, None) is None:
            return
        if isinstance(peer, Publisher):
            for track in list(peer.tracks.values()):
                self._intake.taps.pop(track.id, None)
                self._registry.remove_track(track)
                self._subscribing.track_changed(track.id)
        elif isinstance(peer, Receiver):
            self._registry.drop_receiver(peer)
        self._relay.remove_peer(int(peer.id))

    # --- DTLS ---

    def _shake_hands(self, peer: Peer, remote: Remote) -> None:
        self._spawn(peer.dtls.open(remote.fingerprints, self._settings.handshake_timeout_s))

    def _keys_agreed(self, peer: PeerId, profile: Profile, local: bytes, remote: bytes) -> None:
        known = self._registry.peers.get(peer)
        if known is not None:
            self._relay.set_keys(int(peer), profile, local, remote)
            known.keyed = True
            self._intake.tell_up(known)

    def _dtls_over(self, peer: PeerId, reason: CloseReason) -> None:
        known = self._registry.peers.get(peer)
        if known is not None:
            self._forget(known)
            self._spawn(known.dtls.close())
            self._registry.tell(PeerClosed(peer, reason))

    def _spawn(self, work: Coroutine[object, object, object]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
