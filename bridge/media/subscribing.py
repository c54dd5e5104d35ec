"""Keeps subscribers' offers in step with what they shall receive; knows the relay and the tables, not the transport.

One offer is outstanding a subscriber; what is asked for meanwhile waits and goes into one next offer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from sys import intern

import structlog

from bridge.errors import Conflict, LimitExceeded, MediaError
from bridge.media.contract import Description, Mid, OfferedTrack, OfferReady, PeerId, Subscription, TrackId
from bridge.media.peers import Credentials, Receiving, SlotState, Subscriber, Track, fresh_ssrc
from bridge.media.registry import Registry, sending_extensions
from bridge.media.sdp_codecs import BASELINE
from bridge.media.sdp_sections import Remote
from bridge.media.sdp_subscriber import (
    MAX_SLOTS,
    SLOTS_BEFORE_REUSE,
    OfferedSlot,
    Slot,
    offer_subscriber,
    read_answer,
    slot_codecs,
)
from bridge.media.steering import Steering

MAX_WANTED = 500
# Offers made in one turn of the loop: when a track of an event ends, all its viewers are offered to at once.
OFFERS_PER_TURN = 10

_log = structlog.get_logger(__name__)

# Told once, when it is known who the subscriber is: DTLS may begin.
OnRemote = Callable[[Subscriber, Remote], None]


class Subscribing:
    """All subscribers of one engine."""

    def __init__(
        self, registry: Registry, steering: Steering, loop: asyncio.AbstractEventLoop, on_remote: OnRemote
    ) -> None:
        self._registry = registry
        self._steering = steering
        self._loop = loop
        self._on_remote = on_remote
        self._due: dict[PeerId, None] = {}

    def subscribe(self, peer: PeerId, wanted: Sequence[Subscription]) -> None:
        """See `contract.Media.subscribe`. A wish for a track that has just gone is kept and stays without effect."""
        if len(wanted) > MAX_WANTED:
            raise LimitExceeded("Too many tracks are asked for.")
        subscriber = self._registry.peer(peer, Subscriber)
        subscriber.wanted = {wish.track: wish for wish in wanted}
        subscriber.refused.intersection_update(subscriber.wanted)
        for state in subscriber.slots:
            if state.assigned is not None and state.assigned not in subscriber.wanted:
                self._release(state)
        self._update_wishes(subscriber)
        self._schedule(subscriber)

    def track_changed(self, track: TrackId) -> None:
        """A track went, or came back in another shape: who shows it is offered to anew."""
        for subscriber in self._registry.subscribers_wanting(track):
            subscriber.refused.discard(track)
            state = subscriber.slot_of(track)
            if state is not None:
                self._release(state)
            self._schedule(subscriber)

    def restart(self, peer: PeerId) -> None:
        """A new offer with new ICE credentials, also in place of one that waits for its answer."""
        subscriber = self._registry.peer(peer, Subscriber)
        subscriber.ice = Credentials.fresh()
        self._registry.relay.restart_ice(int(peer), subscriber.ice.ufrag, subscriber.ice.pwd)
        self._assign(subscriber)
        if subscriber.slots:
            self._offer(subscriber)

    def answer(self, peer: PeerId, negotiation: int, answer: Description) -> None:
        """See `contract.Media.answer`."""
        subscriber = self._registry.peer(peer, Subscriber)
        if not subscriber.outstanding or negotiation != subscriber.negotiation:
            raise Conflict("This answers an older offer.")
        taken = read_answer(answer, subscriber.offered)
        known = subscriber.remote
        if (
            known is not None
            and taken.remote is not None
            and set(taken.remote.fingerprints) != set(known.fingerprints)
        ):
            raise MediaError("A connection keeps its certificate: a new one needs a new connection.")
        subscriber.outstanding = False
        if taken.receives:
            subscriber.transport_cc = taken.transport_cc
            self._registry.relay.set_sending(
                int(peer),
                sending_extensions(taken.extensions),
                transport_cc=taken.transport_cc,
                remb=taken.remb,
            )
        for state, offered in zip(subscriber.slots, subscriber.offered, strict=False):
            if offered.track is not None:
                self._settle(subscriber, state, offered, taken.receives.get(state.slot.mid))
        if taken.remote is not None:
            subscriber.remote = taken.remote
            if known is None:
                self._on_remote(subscriber, taken.remote)
        self._update_wishes(subscriber)
        self._schedule(subscriber)

    def _settle(
        self, subscriber: Subscriber, state: SlotState, offered: OfferedSlot, rtx: bool | None
    ) -> None:
        """Starts what the answer took. `rtx` None: it did not take this section."""
        if state.assigned is None or state.assigned != offered.track:
            return  # given up since the offer; the next one says so
        track = self._registry.tracks.get(state.assigned)
        if track is None:
            return
        if rtx is None:
            _log.info("track_refused", peer=subscriber.id, codec=offered.codec)
            subscriber.refused.add(state.assigned)
            self._release(state)
            return
        slot = state.slot
        if state.receiving is None:
            state.receiving = Receiving(
                native=self._registry.next_native(), peer=subscriber.id, kind=slot.kind
            )
            rtx_ssrc = slot.rtx_ssrc if rtx else 0
            self._registry.add_receiving(
                state.receiving, slot.mid, slot.ssrc, rtx_ssrc, slot_codecs(slot), subscriber.cname
            )
        if state.receiving.track != track.id:
            self._registry.show(state.receiving, track)

    def _release(self, state: SlotState) -> None:
        state.assigned = None
        if state.receiving is not None:
            self._registry.show(state.receiving, None)

    def _update_wishes(self, subscriber: Subscriber) -> None:
        for state in subscriber.slots:
            wish = subscriber.wanted.get(state.assigned) if state.assigned is not None else None
            if wish is not None and state.receiving is not None:
                state.receiving.max_height, state.receiving.priority = wish.max_height, wish.priority
        self._steering.soon(subscriber)

    def _schedule(self, subscriber: Subscriber) -> None:
        if not self._due:
            self._loop.call_soon(self._work_off)
        self._due[subscriber.id] = None

    def _work_off(self) -> None:
        for peer in list(self._due)[:OFFERS_PER_TURN]:
            del self._due[peer]
            subscriber = self._registry.peers.get(peer)
            if isinstance(subscriber, Subscriber) and not subscriber.outstanding:
                self._reconcile(subscriber)
        if self._due:
            self._loop.call_soon(self._work_off)

    def _reconcile(self, subscriber: Subscriber) -> None:
        self._assign(subscriber)
        if tuple(state.offered() for state in subscriber.slots) != subscriber.offered:
            self._offer(subscriber)

    def _assign(self, subscriber: Subscriber) -> None:
        """Gives every wanted track a slot: a free one that fits, or a new one."""
        for state in subscriber.slots:
            if state.assigned is not None and state.assigned not in self._registry.tracks:
                self._release(state)
        assigned = {state.assigned for state in subscriber.slots}
        for name in subscriber.wanted:
            track = self._registry.tracks.get(name)
            if track is None or name in assigned or name in subscriber.refused:
                continue
            chosen = self._slot_for(subscriber, track)
            if chosen is None:
                _log.warning("no_slot_left", peer=subscriber.id)
                return
            chosen.assigned = name
            chosen.codec = track.codec
            # Pictures of one machine and its sound are played in step; a doctor's voice does not wait for them.
            # Interned: all viewers' slots that show this hold one string.
            chosen.stream = intern(f"{track.peer}-{track.section.source.value.removesuffix('Sound')}")

    def _slot_for(self, subscriber: Subscriber, track: Track) -> SlotState | None:
        slots = subscriber.slots
        if len(slots) >= SLOTS_BEFORE_REUSE:
            free = next((state for state in slots if state.fits(track)), None)
            if free is not None:
                self._renew(free)
                return free
        if len(slots) >= MAX_SLOTS:
            return None
        made = _new_slot(len(slots), track)
        slots.append(made)
        return made

    def _renew(self, state: SlotState) -> None:
        """A section that is used again gets SSRCs of its own.

        Chromium drops the receiver of an inactive section; one made anew for the same SSRC decodes but never shows.
        """
        if state.receiving is not None:
            self._registry.drop_receiving(state.receiving)
            state.receiving = None
        rtx_ssrc = fresh_ssrc() if state.slot.rtx_ssrc else 0
        state.slot = replace(state.slot, ssrc=fresh_ssrc(), rtx_ssrc=rtx_ssrc)

    def _offer(self, subscriber: Subscriber) -> None:
        subscriber.negotiation += 1
        subscriber.version += 1
        subscriber.offered = tuple(state.offered() for state in subscriber.slots)
        subscriber.outstanding = True
        local = self._registry.local(subscriber)
        offer = offer_subscriber(
            subscriber.offered, subscriber.cname, local, subscriber.session_id, subscriber.version
        )
        tracks = tuple(
            OfferedTrack(offered.slot.mid, TrackId(offered.track))
            for offered in subscriber.offered
            if offered.track is not None
        )
        self._registry.tell(OfferReady(subscriber.id, subscriber.negotiation, offer, tracks))


def _new_slot(index: int, track: Track) -> SlotState:
    video = track.kind == "video"
    profile = track.codec.h264_profile or BASELINE
    slot = Slot(Mid(str(index)), track.kind, fresh_ssrc(), fresh_ssrc() if video else 0, profile)
    return SlotState(slot=slot, codec=track.codec)
