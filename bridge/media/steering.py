"""Sets each receiver's layers by policy (`allocation`), and tells what receivers really get; no SDP, no DTLS."""

from __future__ import annotations

import asyncio

from bridge.media._native import LayerStats, PeerStats
from bridge.media.allocation import DEFAULT_AUDIO_BPS, LayerMeasure, Wanted, allocate
from bridge.media.contract import Line, PeerId, Picture
from bridge.media.peers import Peer, Publisher, Receiver, Receiving, Track
from bridge.media.registry import Registry

# Changes are gathered this long, then worked off in chunks, so that 500 estimates at once do not hold up the loop.
GATHER_S = 0.1
CHUNK = 50
# A need that moves by less than this share is no news for the relay's probing.
PROBE_STEP = 0.1
# A receiver's own guess (REMB) is no more than one and a half times what is sent to it, so that it can never grow while
# pictures are held back for it. It counts only while packets are really lost, and this long after.
GUESS_LOSS = 0.04
GUESS_COUNTS_S = 30.0


class Steering:
    """The layers of all receivers of one engine."""

    def __init__(self, registry: Registry, loop: asyncio.AbstractEventLoop) -> None:
        self._registry = registry
        self._loop = loop
        self._due: dict[PeerId, None] = {}
        self._timer: asyncio.Handle | None = None

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due.clear()

    def soon(self, receiver: Receiver) -> None:
        """Allots this receiver's layers anew within a moment."""
        self._due[receiver.id] = None
        if self._timer is None:
            self._timer = self._loop.call_later(GATHER_S, self._work_off)

    def estimated(self, peer: int, estimate_bps: int) -> None:
        receiver = self._registry.peers.get(PeerId(peer))
        if isinstance(receiver, Receiver) and receiver.estimate_bps != estimate_bps:
            receiver.estimate_bps = estimate_bps
            self.soon(receiver)

    def layer_changed(self, native: int, layer: int | None) -> None:
        """What the relay really sends from now on."""
        receiving = self._registry.receivings.get(native)
        if receiving is not None and receiving.layer != layer:
            receiving.layer = layer
            self._tell_picture(receiving)

    def measured(self, layers: list[LayerStats]) -> None:
        """Takes the relay's statistics of what publishers send."""
        touched: dict[int, Track] = {}
        for stats in layers:
            track = self._registry.tracks_by_native.get(stats.track)
            if track is not None and stats.layer < len(track.measures):
                # A portrait picture is looked at by its shorter side too.
                height = min(stats.width, stats.height) if stats.width and stats.height else stats.height
                track.measures[stats.layer] = LayerMeasure(stats.bitrate_bps, height)
                touched[stats.track] = track
        for track in touched.values():
            if track.measured_anew():
                for receiver in self._registry.receivers_of(track.id):
                    self.soon(receiver)

    def lines(self, peers: list[PeerStats]) -> None:
        """Grades everybody's link, and looks again at who is held back by it."""
        for stats in peers:
            peer = self._registry.peers.get(PeerId(stats.peer))
            if peer is None:
                continue
            loss = stats.loss_in if isinstance(peer, Publisher) else stats.loss_out
            peer.line.measure(stats.rtt_us, loss, stats.estimate_bps)
            if peer.up:
                self.tell_line(peer)
            if isinstance(peer, Receiver) and self._is_held_back(peer):
                self.soon(peer)

    def _is_held_back(self, receiver: Receiver) -> bool:
        guessed = not receiver.transport_cc and receiver.line.loss > GUESS_LOSS
        if guessed:
            return True
        # Of everybody, each second: a loop costs half of what a generator does.
        for receiving in receiver.receivings():  # noqa: SIM110
            if receiving.limited:
                return True
        return False

    def tell_line(self, peer: Peer) -> None:
        news = peer.line.news()
        if news is not None:
            self._registry.tell(Line(peer.id, *news))

    def _work_off(self) -> None:
        self._timer = None
        for peer in list(self._due)[:CHUNK]:
            del self._due[peer]
            receiver = self._registry.peers.get(peer)
            if isinstance(receiver, Receiver):
                self._allot(receiver)
        if self._due:
            self._timer = self._loop.call_later(0, self._work_off)

    def _allot(self, receiver: Receiver) -> None:
        audio_bps = 0
        wanted: list[Wanted] = []
        shown: dict[int, Receiving] = {}
        for receiving in receiver.receivings():
            track = self._registry.tracks.get(receiving.track) if receiving.track is not None else None
            if track is None:
                continue
            if receiving.kind == "audio":
                audio_bps += track.measures[0].bitrate_bps or DEFAULT_AUDIO_BPS
                continue
            top = len(track.measures) - 1
            shown[receiving.native] = receiving
            wanted.append(
                Wanted(
                    receiving.native,
                    (receiving.priority, track.rank),
                    receiving.max_height,
                    tuple(track.measures),
                    receiving.target if receiving.target_known else top,
                )
            )
        now_s = self._loop.time()
        estimate_bps = self._trusted_estimate(receiver, now_s)
        result = allocate(estimate_bps, audio_bps, wanted, may_raise=receiver.hold.allows_raising(now_s))
        steps = [
            self._apply(shown[key], target.layer, target.limited) for key, target in result.targets.items()
        ]
        if any(step < 0 for step in steps):
            receiver.hold.lowered(now_s)
        elif any(step > 0 for step in steps):
            receiver.hold.raised(now_s)
        if abs(result.probe_bps - receiver.probe_bps) > receiver.probe_bps * PROBE_STEP:
            receiver.probe_bps = result.probe_bps
            self._registry.relay.set_probe_limit(int(receiver.id), result.probe_bps)

    def _trusted_estimate(self, receiver: Receiver, now_s: float) -> int:
        """0 (unknown) where the estimate is a guess that nothing speaks for."""
        if receiver.transport_cc:
            return receiver.estimate_bps
        if receiver.line.loss > GUESS_LOSS:
            receiver.guess_counts_until_s = now_s + GUESS_COUNTS_S
        return receiver.estimate_bps if now_s < receiver.guess_counts_until_s else 0

    def _apply(self, receiving: Receiving, layer: int | None, limited: bool) -> int:
        """Returns -1 where the link made it worse, 1 where it is better than before."""
        step = 0
        if receiving.target_known and _rank(layer) != _rank(receiving.target):
            step = 1 if _rank(layer) > _rank(receiving.target) else -1 if limited else 0
        if not receiving.target_known or receiving.target != layer:
            receiving.target, receiving.target_known = layer, True
            self._registry.relay.set_layer(receiving.native, layer)
        if receiving.limited != limited:
            receiving.limited = limited
            self._tell_picture(receiving)
        return step

    def _tell_picture(self, receiving: Receiving) -> None:
        track = self._registry.tracks.get(receiving.track) if receiving.track is not None else None
        if track is None or receiving.kind == "audio":
            return
        index = receiving.layer
        name = track.rids[index] if index is not None and index < len(track.rids) else None
        self._registry.tell(Picture(receiving.peer, track.id, name, receiving.limited))


def _rank(layer: int | None) -> int:
    return -1 if layer is None else layer
