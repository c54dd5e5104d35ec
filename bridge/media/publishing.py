"""Takes publishers' offers: tracks appear, change and go; knows the relay and the tables, not who listens to news."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bridge.errors import MediaError
from bridge.media._native import ExtensionIds
from bridge.media.allocation import LayerMeasure
from bridge.media.contract import Description, Mid, PeerId, PublishAnswer, TrackId, TrackWish
from bridge.media.negotiation import PublishedSection, PublisherPlan, answer_publisher
from bridge.media.peers import Credentials, Publisher, Track
from bridge.media.registry import Registry, payloads

# Told of every track whose subscribers have to be offered to anew.
OnChange = Callable[[TrackId], None]


class Publishing:
    """All publishers of one engine."""

    def __init__(self, registry: Registry, on_change: OnChange) -> None:
        self._registry = registry
        self._on_change = on_change

    def publish(self, peer: PeerId, offer: Description, wishes: Sequence[TrackWish]) -> PublishAnswer:
        """See `contract.Media.publish`. Nothing is changed before the whole offer is understood."""
        publisher = self._registry.peer(peer, Publisher)
        plan = self._plan(publisher, offer, wishes)
        publisher.version += 1
        publisher.remote, publisher.tagged = plan.remote, plan.tagged
        relay = self._registry.relay
        relay.set_receiving(int(peer), ExtensionIds(**plan.extensions), payloads(plan.codecs))
        # Who gives no transport-wide feedback a place is told a rate by REMB instead, where it understands that.
        remb = any("goog-remb" in row.feedback for row in plan.codecs)
        relay.set_sending(int(peer), ExtensionIds(), transport_cc=False, remb=remb)
        sections = {section.mid: section for section in plan.sections}
        for mid, track in list(publisher.tracks.items()):
            section = sections.get(mid)
            if section is None or section.source is not track.section.source or section.kind != track.kind:
                del publisher.tracks[mid]
                self._registry.remove_track(track)
                self._on_change(track.id)
        for mid, section in sections.items():
            self._add_or_change(publisher, mid, section)
        tracks = tuple(publisher.tracks[mid].published() for mid in sections)
        return PublishAnswer(plan.answer, tracks)

    def _plan(self, publisher: Publisher, offer: Description, wishes: Sequence[TrackWish]) -> PublisherPlan:
        local = self._registry.local(publisher)
        version = publisher.version + 1
        plan = answer_publisher(offer, wishes, local, publisher.session_id, version)
        known = publisher.remote
        if known is None:
            return plan
        if set(plan.remote.fingerprints) != set(known.fingerprints):
            raise MediaError("A connection keeps its certificate: a new one needs a new connection.")
        if plan.remote.ufrag == known.ufrag:
            return plan
        # An ICE restart is answered with new credentials (RFC 8445 section 9); DTLS goes on.
        fresh = Credentials.fresh()
        previous, publisher.ice = publisher.ice, fresh
        try:
            local = self._registry.local(publisher)
            plan = answer_publisher(offer, wishes, local, publisher.session_id, version)
        except BaseException:
            publisher.ice = previous
            raise
        self._registry.relay.restart_ice(int(publisher.id), fresh.ufrag, fresh.pwd)
        return plan

    def _add_or_change(self, publisher: Publisher, mid: Mid, section: PublishedSection) -> None:
        registry = self._registry
        track = publisher.tracks.get(mid)
        measures = [LayerMeasure() for _ in section.layers]
        if track is None:
            track = Track(
                id=registry.next_track(),
                native=registry.next_native(),
                peer=publisher.id,
                section=section,
                measures=measures,
            )
            registry.add_track(publisher, track)
            return
        if track.section == section:
            return
        # The same track in another shape (codec, layers): the relay gets a new one, everybody else keeps the id.
        registry.remove_track(track)
        track.section, track.native = section, registry.next_native()
        track.measures, track.measures_used = measures, ()
        track.flowing.clear()
        registry.add_track(publisher, track)
        self._on_change(track.id)
