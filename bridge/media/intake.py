"""Reads the relay's events in batches and brings each to whom it concerns; makes no decisions of its own.

It never holds up the event loop (bounded work a turn) and rests while nobody reads the news: the relay's buffer is
bounded and counts what it loses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from bridge.media import _native
from bridge.media.contract import Levels, PeerDown, PeerId, PeerUp, TrackFlowing, TrackId
from bridge.media.peers import Peer
from bridge.media.registry import Registry
from bridge.media.steering import Steering

EVENTS_PER_TURN = 500
CONGESTED_PAUSE_S = 0.05

TapListener = Callable[[_native.TapPackets], None]

_log = structlog.get_logger(__name__)


class Intake:
    """The reader of one relay. `stats` is the newest statistics event."""

    def __init__(self, registry: Registry, steering: Steering, loop: asyncio.AbstractEventLoop) -> None:
        self.stats: _native.Stats | None = None
        self.taps: dict[TrackId, list[TapListener]] = {}
        self._registry = registry
        self._relay = registry.relay
        self._steering = steering
        self._loop = loop
        self._backlog: list[_native.Event] = []
        self._event_fd = self._relay.event_fd()
        self._reading = False
        self._closed = False
        self._handlers: Mapping[type, Callable[[Any], None]] = {
            _native.DtlsReceived: self._dtls_received,
            _native.PeerConnected: self._peer_connected,
            _native.PeerSilent: self._peer_silent,
            _native.TrackStarted: self._track_started,
            _native.TrackStalled: self._track_stalled,
            _native.LayerChanged: self._layer_changed,
            _native.AudioLevels: self._audio_levels,
            _native.Estimates: self._estimates,
            _native.TapPackets: self._tap_packets,
            _native.Stats: self._stats_arrived,
        }
        self._set_reading(True)

    def close(self) -> None:
        self._closed = True
        self._set_reading(False)
        self._backlog.clear()

    def tell_up(self, peer: Peer) -> None:
        """Says once that media can flow, when both ICE and DTLS are through."""
        if peer.connected and peer.keyed and not peer.up:
            peer.up = True
            self._registry.tell(PeerUp(peer.id))

    # --- reading ---

    def _set_reading(self, on: bool) -> None:
        if on and not self._reading:
            self._loop.add_reader(self._event_fd, self._readable)
        elif not on and self._reading:
            self._loop.remove_reader(self._event_fd)
        self._reading = on

    def _readable(self) -> None:
        if self._registry.congested:
            self._set_reading(False)
            self._loop.call_later(CONGESTED_PAUSE_S, self._resume)
            return
        self._backlog = self._relay.drain()
        self._work_off()

    def _work_off(self) -> None:
        turn, self._backlog = self._backlog[:EVENTS_PER_TURN], self._backlog[EVENTS_PER_TURN:]
        for event in turn:
            handler = self._handlers.get(type(event))
            if handler is None:
                continue
            try:
                handler(event)
            except Exception:
                # One peer's trouble must not end the reading for all.
                _log.exception("relay_event_failed", kind=type(event).__name__)
        if self._backlog:
            # Otherwise it goes on listening: to stop and begin again is more work than what usually comes.
            self._set_reading(False)
            self._loop.call_soon(self._work_off)
        else:
            self._resume()

    def _resume(self) -> None:
        if not self._closed:
            self._set_reading(True)

    # --- events ---

    def _dtls_received(self, event: _native.DtlsReceived) -> None:
        peer = self._registry.peers.get(PeerId(event.peer))
        if peer is not None:
            peer.dtls.feed(event.datagram)

    def _peer_connected(self, event: _native.PeerConnected) -> None:
        peer = self._registry.peers.get(PeerId(event.peer))
        if peer is not None:
            peer.connected, peer.line.silent = True, False
            self.tell_up(peer)

    def _peer_silent(self, event: _native.PeerSilent) -> None:
        peer = self._registry.peers.get(PeerId(event.peer))
        if peer is None:
            return
        peer.connected, peer.line.silent = False, True
        if peer.up:
            peer.up = False
            self._registry.tell(PeerDown(peer.id))
            self._steering.tell_line(peer)

    def _track_started(self, event: _native.TrackStarted) -> None:
        track = self._registry.tracks_by_native.get(event.track)
        if track is not None:
            if not track.flowing:
                self._registry.tell(TrackFlowing(track.id, True))
            track.flowing.add(event.layer)

    def _track_stalled(self, event: _native.TrackStalled) -> None:
        track = self._registry.tracks_by_native.get(event.track)
        if track is not None and track.flowing:
            track.flowing.discard(event.layer)
            if not track.flowing:
                self._registry.tell(TrackFlowing(track.id, False))

    def _layer_changed(self, event: _native.LayerChanged) -> None:
        self._steering.layer_changed(event.subscription, event.layer)

    def _audio_levels(self, event: _native.AudioLevels) -> None:
        known = ((self._registry.tracks_by_native.get(native), level) for native, level in event.levels)
        news = tuple((track.id, -level) for track, level in known if track is not None)
        if news:
            self._registry.tell(Levels(news))

    def _estimates(self, event: _native.Estimates) -> None:
        for peer, estimate_bps in event.estimates:
            self._steering.estimated(peer, estimate_bps)

    def _tap_packets(self, event: _native.TapPackets) -> None:
        track = self._registry.tracks_by_native.get(event.track)
        for listener in list(self.taps.get(track.id, ())) if track is not None else ():
            listener(event)

    def _stats_arrived(self, event: _native.Stats) -> None:
        self.stats = event
        self._steering.measured(event.layers)
        self._steering.lines(event.peers)
