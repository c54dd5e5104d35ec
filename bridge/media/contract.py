"""All that rooms may know of live media: ids, wishes, news, and the one interface they call.

Session descriptions pass through as opaque strings (`Description`): who calls this never reads SDP (RFC 8866).
Nothing here does I/O; `engine.Engine` is the implementation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NewType, Protocol

from bridge.ids import RecordingId
from bridge.recordings import layout

PeerId = NewType("PeerId", int)
"""One peer connection: the publishing or the receiving half of a participant."""
TrackId = NewType("TrackId", str)
Description = NewType("Description", str)
Mid = NewType("Mid", str)

Kind = Literal["audio", "video"]


class Source(StrEnum):
    """What a track shows; wire and log names."""

    MICROPHONE = "microphone"
    CAMERA = "camera"
    ULTRASOUND = "ultrasound"
    ULTRASOUND_SOUND = "ultrasoundSound"
    SCREEN = "screen"
    MICROSCOPE = "microscope"


@dataclass(frozen=True, slots=True)
class TrackWish:
    """What a publisher says about one media section of its offer."""

    mid: Mid
    source: Source


@dataclass(frozen=True, slots=True)
class PublishedTrack:
    """A track of a publisher, as negotiated. `layers` are rids, lowest quality first; ("",) without simulcast."""

    track: TrackId
    mid: Mid
    source: Source
    kind: Kind
    codec: str
    layers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PublishAnswer:
    """The answer to a publisher's offer and all its tracks that are live after it."""

    answer: Description
    tracks: tuple[PublishedTrack, ...]


@dataclass(frozen=True, slots=True)
class Subscription:
    """One track that a subscriber shall receive.

    `max_height` is the picture height in pixels that its user looks at: 0 pauses the track, None takes the best.
    `priority` orders who keeps quality when the link is short: higher keeps longer. Audio is never given up.
    """

    track: TrackId
    max_height: int | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class OfferedTrack:
    """Which media section of an offer to a subscriber carries which track."""

    mid: Mid
    track: TrackId


# News from media, in order, on `Media.events`.


@dataclass(frozen=True, slots=True)
class OfferReady:
    """A new offer for a subscriber, to be answered by `Media.answer` with the same number.

    The number starts at 1 for a peer and grows; an answer to an older one is refused (RFC 8829 has no such number).
    """

    peer: PeerId
    negotiation: int
    offer: Description
    tracks: tuple[OfferedTrack, ...]


@dataclass(frozen=True, slots=True)
class PeerUp:
    """Media can flow: ICE and DTLS are through (again)."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class PeerDown:
    """Nothing came for the consent time (RFC 7675). The peer may come back: it is not closed."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class PeerClosed:
    """The other side closed DTLS, or its handshake failed; the peer is gone and its tracks with it."""

    peer: PeerId
    reason: str


@dataclass(frozen=True, slots=True)
class TrackFlowing:
    """The first packet of a track came (`flowing`), or none comes any more (not `flowing`)."""

    track: TrackId
    flowing: bool


@dataclass(frozen=True, slots=True)
class Levels:
    """Smoothed audio levels in dBov: 0 is the loudest, -127 silence (RFC 6464); only tracks that changed."""

    levels: tuple[tuple[TrackId, int], ...]


@dataclass(frozen=True, slots=True)
class Line:
    """The quality of one peer's link, about once a second while it changes.

    `quality` is 0 (lost), 1 (bad), 2 (weak) or 3 (good). Loss is a share, 0 to 1. `estimate_bps` is what the link
    towards the peer bears, 0 while unknown.
    """

    peer: PeerId
    quality: int
    rtt_ms: int
    loss: float
    estimate_bps: int


@dataclass(frozen=True, slots=True)
class Picture:
    """What a subscriber really gets of a track now; `limited` says that its line, not its wish, is the reason."""

    peer: PeerId
    track: TrackId
    layer: str | None
    limited: bool


MediaEvent = OfferReady | PeerUp | PeerDown | PeerClosed | TrackFlowing | Levels | Line | Picture


class Media(Protocol):
    """Live media of one server. Methods raise `MediaError` for descriptions that cannot be used, `NotFound` for a
    peer or track that is not (any more) there; a failed call changes nothing.
    """

    events: asyncio.Queue[MediaEvent]
    """News, bounded: the reader must keep up; it is one task."""

    async def open_publisher(self) -> PeerId:
        """A new publishing peer, waiting for its offer."""

    async def publish(self, peer: PeerId, offer: Description, wishes: Sequence[TrackWish]) -> PublishAnswer:
        """Takes a publisher's offer: the first, one with other tracks, or an ICE restart (RFC 8829 section 4.1.8).

        Tracks keep their id as long as their mid goes on. A section without a wish is answered as
        inactive: nothing of it is received.
        """

    async def open_subscriber(self) -> PeerId:
        """A new receiving peer that is offered to, as `OfferReady` events."""

    def subscribe(self, peer: PeerId, wanted: Sequence[Subscription]) -> None:
        """Says all that this subscriber shall receive from now on; what is missing is taken away.

        A track that has just gone is no error here: its news may still be on the way to the caller.
        """

    async def answer(self, peer: PeerId, negotiation: int, answer: Description) -> None:
        """Takes the subscriber's answer to the offer with that number."""

    def restart_subscriber(self, peer: PeerId) -> None:
        """Makes a new offer with an ICE restart."""

    async def open_player(self, offer: Description) -> tuple[PeerId, Description]:
        """A receiving peer that makes the offer itself (WHEP): at most one video and one audio section, receive-only.

        Returns the answer. What it receives is said by `show`.
        """

    def show(self, peer: PeerId, video: TrackId | None, audio: TrackId | None) -> None:
        """Switches a player's picture and sound without renegotiation."""

    async def restart_peer(self, peer: PeerId, fragment: Description) -> Description:
        """ICE restart by a trickle-ice-sdpfrag (RFC 8840, RFC 9725 section 4.3.2); returns the server's fragment."""

    def pause_track(self, track: TrackId, paused: bool) -> None:
        """While paused nothing of the track is forwarded to anybody, whatever the publisher sends."""

    async def close_peer(self, peer: PeerId) -> None:
        """Ends a peer and its tracks; unknown ones are ignored."""


class Snapshots(Protocol):
    """Small still pictures of live tracks."""

    async def take(self, track: TrackId) -> bytes:
        """A JPEG of what the track shows now, by its lowest layer; the publisher is asked for a keyframe.

        Raises NotFound for a track that is gone or of which none came within three seconds, and BridgeError for one
        that cannot be decoded.
        """


# Recording


@dataclass(frozen=True, slots=True)
class RecordedTrack:
    """A track that belongs into a recording.

    While `held` (muted, blocked, paused) nothing of it is kept; it goes on in the same stream afterwards.
    """

    track: TrackId
    participant: str
    source: Source
    kind: Kind
    held: bool = False


@dataclass(frozen=True, slots=True)
class StorageChanged:
    """Recordings cannot be written, or (`trouble` None) can be again.

    `trouble` is `diskFull`, `readOnly`, `io` or `slow`. `lost_ms` is how much of this recording is missing so far.
    """

    recording: RecordingId
    trouble: str | None
    lost_ms: int


@dataclass(frozen=True, slots=True)
class RecordingClosed:
    """A recording is whole and sealed on disk."""

    recording: RecordingId
    duration_ms: int
    size_bytes: int


RecorderEvent = StorageChanged | RecordingClosed


class Recorder(Protocol):
    """Writes recordings, encrypted, from the relay's taps.

    Nothing here blocks, and a failing disk raises nothing: it is told on `events`, and recording goes on when the disk
    is back. An unknown recording is ignored.
    """

    events: asyncio.Queue[RecorderEvent]
    """News, bounded: the reader must keep up; it is one task."""

    def begin(self, recording: RecordingId, started: layout.RecordingStarted) -> None:
        """A new recording, whose clock is zero now."""

    def follow(self, recording: RecordingId, tracks: Sequence[RecordedTrack]) -> None:
        """Says all tracks that belong into it from now on; what is missing is ended."""

    def note(self, recording: RecordingId, event: layout.Event) -> None:
        """Keeps an event, at the present moment unless it has one."""

    def clock_ms(self, recording: RecordingId) -> int:
        """Now, on the recording's clock; 0 for an unknown one."""

    def end(self, recording: RecordingId, reason: layout.RecordingEnded) -> None:
        """Ends and seals it; `RecordingClosed` follows.

        Of this and of a track that ends or is held, what came in the last tenth of a second may not be kept: the relay
        hands tapped packets over in batches.
        """
