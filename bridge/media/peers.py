"""What the engine keeps of each peer, track and slot: plain state and its small rules, no relay, no loop.

`native` numbers are the relay's ids; everything else is in the contract's words.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from bridge.media.allocation import LayerMeasure
from bridge.media.contract import Kind, Mid, PeerId, PublishedTrack, Source, Subscription, TrackId
from bridge.media.holding import Hold
from bridge.media.negotiation import PublishedSection
from bridge.media.quality import LineQuality
from bridge.media.sdp_codecs import CodecRow
from bridge.media.sdp_sections import Remote
from bridge.media.sdp_subscriber import OfferedSlot, Slot
from bridge.media.transport import DtlsTransport

# Who keeps quality among pictures of equal priority; see `Subscription.priority`.
_SOURCE_RANK = {Source.ULTRASOUND: 2, Source.MICROSCOPE: 1, Source.SCREEN: 1}


@dataclass(frozen=True, slots=True)
class Credentials:
    """The server's half of an ICE session (RFC 8445 section 5.3): 48 and 128 bits of randomness."""

    ufrag: str
    pwd: str

    @classmethod
    def fresh(cls) -> Credentials:
        return cls(secrets.token_hex(6), secrets.token_hex(16))


@dataclass(slots=True, kw_only=True)
class Peer:
    """What all peers share. `connected`: checks arrive; `keyed`: DTLS is through; `up`: told so.

    `tagged` is the section that stands for the transport (RFC 8843 section 7.1), None before an offer.
    """

    id: PeerId
    ice: Credentials
    dtls: DtlsTransport
    session_id: int
    cname: str
    version: int = 0
    remote: Remote | None = None
    tagged: tuple[Mid, Kind] | None = None
    connected: bool = False
    keyed: bool = False
    up: bool = False
    line: LineQuality = field(default_factory=LineQuality)


@dataclass(slots=True, kw_only=True)
class Track:
    """A live track. `native` changes when its layers or codec do, `id` does not."""

    id: TrackId
    native: int
    peer: PeerId
    section: PublishedSection
    paused: bool = False
    flowing: set[int] = field(default_factory=set)
    measures: list[LayerMeasure]
    measures_used: tuple[LayerMeasure, ...] = ()

    @property
    def kind(self) -> Kind:
        return self.section.kind

    @property
    def codec(self) -> CodecRow:
        return self.section.codec

    @property
    def rids(self) -> tuple[str, ...]:
        return tuple(layer.rid or "" for layer in self.section.layers)

    @property
    def rank(self) -> int:
        return _SOURCE_RANK.get(self.section.source, 0)

    def published(self) -> PublishedTrack:
        section = self.section
        return PublishedTrack(
            self.id, section.mid, section.source, section.kind, section.codec.codec, self.rids
        )

    def measured_anew(self) -> bool:
        """Whether layers changed enough since the last allocation to allot again; notes that it was asked."""
        now = tuple(self.measures)
        changed = len(now) != len(self.measures_used) or any(
            new.height != old.height
            or abs(new.bitrate_bps - old.bitrate_bps) > max(old.bitrate_bps, 20_000) // 4
            for new, old in zip(now, self.measures_used, strict=True)
        )
        if changed:
            self.measures_used = now
        return changed


@dataclass(slots=True, kw_only=True)
class Receiving:
    """One of the relay's subscriptions: what it shows and what was allotted to it."""

    native: int
    peer: PeerId
    kind: Kind
    track: TrackId | None = None
    max_height: int | None = None
    priority: int = 0
    target: int | None = None
    target_known: bool = False
    limited: bool = False
    layer: int | None = None


@dataclass(slots=True, kw_only=True)
class SlotState:
    """A section of a subscriber. `assigned` is what it shall show; `receiving` exists once an answer took it."""

    slot: Slot
    codec: CodecRow
    assigned: TrackId | None = None
    stream: str = "-"
    receiving: Receiving | None = None

    def fits(self, track: Track) -> bool:
        """A free slot may be used again for any track of its kind, and of its H.264 profile."""
        if self.assigned is not None or self.slot.kind != track.kind:
            return False
        return track.codec.codec != "h264" or self.slot.h264_profile == track.codec.h264_profile

    def offered(self) -> OfferedSlot:
        return OfferedSlot(self.slot, self.codec.codec, self.stream, self.assigned)


@dataclass(slots=True, kw_only=True)
class Publisher(Peer):
    tracks: dict[Mid, Track] = field(default_factory=dict)
    extensions: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Receiver(Peer):
    """What subscribers and players share.

    `transport_cc`: its estimate is measured and probed here; otherwise it is only what the receiver guesses.
    """

    estimate_bps: int = 0
    transport_cc: bool = False
    guess_counts_until_s: float = 0.0
    hold: Hold = field(default_factory=Hold)
    probe_bps: int = 0

    def receivings(self) -> list[Receiving]:
        raise NotImplementedError


@dataclass(slots=True, kw_only=True)
class Subscriber(Receiver):
    """`offered` is what the last offer said; while it is `outstanding` no other is made."""

    wanted: dict[TrackId, Subscription] = field(default_factory=dict)
    refused: set[TrackId] = field(default_factory=set)
    slots: list[SlotState] = field(default_factory=list)
    negotiation: int = 0
    offered: tuple[OfferedSlot, ...] = ()
    outstanding: bool = False

    def receivings(self) -> list[Receiving]:
        return [state.receiving for state in self.slots if state.receiving is not None]

    def slot_of(self, track: TrackId) -> SlotState | None:
        return next((state for state in self.slots if state.assigned == track), None)


@dataclass(slots=True, kw_only=True)
class Player(Receiver):
    slots: dict[Kind, Receiving] = field(default_factory=dict)

    def receivings(self) -> list[Receiving]:
        return list(self.slots.values())


def fresh_ssrc() -> int:
    """A random one (RFC 3550 section 8.1), never 0, which the relay takes for absent."""
    return secrets.randbelow(0xFFFF_FFFF) + 1
