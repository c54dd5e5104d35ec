"""One connected person or device: its place, its two peer connections, its numbered changes. Makes no decisions.

Knows its connection only as an `Outlet`, its media only as ids of the contract, and no clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from bridge import policy
from bridge.allowance import Allowance
from bridge.auth import Grant
from bridge.errors import NotFound
from bridge.ids import ParticipantId
from bridge.media.contract import Line, OfferReady, PeerId, PublishedTrack, Source, Subscription, TrackId
from bridge.messages import ConsentName, Language, ParticipantObject, PeerState, TrackObject, numbered

HISTORY_LIMIT = 2000
HISTORY_MS = 60_000
"""A connection may be dead for 30 s before that is noticed, and is then waited for another 30 s."""

COSTLY_BURST = 40
COSTLY_PER_S = 2.0
"""Of what is told to everybody or makes a new connection: more than anybody clicks, also when a page begins anew."""


VIEW_BURST = 60
VIEW_PER_S = 25.0
"""Of changes to the common view: as often as a hand on the wheel, and what waited while a line stood still."""
VIEW_BURST_BYTES = 192 * 1024
VIEW_BYTES_PER_S = 48 * 1024
"""Each reader is sent as much: a full view twice at once, and after that what a measurement under the hand needs."""
REPORT_BURST = 5
REPORT_PER_S = 1.0


class Outlet(Protocol):
    """The way to one client. Neither method waits or raises: what cannot be sent ends the connection."""

    def send(self, data: bytes) -> None:
        """Queues one encoded message."""

    def close(self, code: str, text: str) -> None:
        """Sends what is queued, says why, and closes."""


class Journal:
    """The changes one participant was told, numbered without gaps, kept for a while for resuming."""

    def __init__(self) -> None:
        self.seq = 0
        # Without their numbers: hundreds of journals then share the bytes of one change.
        self._kept: deque[tuple[int, bytes]] = deque(maxlen=HISTORY_LIMIT)

    def append(self, change: bytes, now_ms: int) -> bytes:
        """The change with its number."""
        self.seq += 1
        while self._kept and now_ms - self._kept[0][0] > HISTORY_MS:
            self._kept.popleft()
        self._kept.append((now_ms, change))
        return numbered(change, self.seq)

    def since(self, seq: int) -> tuple[bytes, ...]:
        """All changes after that number. Raises NotFound (`resumeFailed`) if they are not all here any more."""
        missing = self.seq - seq
        if missing < 0 or missing > len(self._kept):
            raise NotFound("Too much was missed: join anew.", "resumeFailed")
        wanted = islice(self._kept, len(self._kept) - missing, None)
        return tuple(numbered(change, number) for number, (_, change) in enumerate(wanted, seq + 1))


@dataclass(slots=True)
class Half:
    """A peer connection of a participant."""

    peer: PeerId
    down_since_ms: int | None
    """Not yet up counts as down."""
    was_up: bool = False
    answered: bool = False
    line: Line | None = None


@dataclass(slots=True)
class PendingOffer:
    """An offer to a subscriber that is not answered. `number` is what the client sees, over all its connections."""

    number: int
    ready: OfferReady
    data: bytes


@dataclass(slots=True)
class Publication:
    """A track offered in a session."""

    participant: ParticipantId
    track: PublishedTrack
    muted: bool
    blocked: bool
    flowing: bool = False
    level_dbov: int | None = None
    """Of sound, how loud it is now; None before anything was heard."""
    layers_told: tuple[str, ...] = field(init=False)
    """What its publisher was told to send; all of them until then."""

    def __post_init__(self) -> None:
        self.layers_told = self.track.layers

    @property
    def silent(self) -> bool:
        """Nothing of it may be forwarded."""
        return self.muted or self.blocked

    def to_wire(self) -> TrackObject:
        return TrackObject(
            id=self.track.track,
            participant=self.participant,
            source=self.track.source.value,
            kind=self.track.kind,
            muted=self.muted,
            blocked=self.blocked,
            flowing=self.flowing,
            layers=tuple(rid for rid in self.track.layers if rid),
            codec=self.track.codec,
        )


@dataclass(frozen=True, slots=True)
class ConsentAnswer:
    """What somebody answered when asked whether it may be recorded, and in which language it was asked."""

    agreed: bool
    language: Language
    at_ms: int


@dataclass(slots=True, eq=False)
class Participant:
    """Present from joining until it left; the same id may come again as another object of this class.

    A `device` (a WHIP encoder) has no outlet and lives as long as its publisher connection.
    """

    id: ParticipantId
    grant: Grant
    seat: int
    name: str
    language: Language
    joined_at_ms: int
    outlet: Outlet | None
    device: bool = False
    gone: bool = False
    asked: bool = False
    """Whether it must agree before anything of it is recorded."""
    answer: ConsentAnswer | None = None
    away_since_ms: int | None = None
    clock_offset_ms: float | None = None
    resume_digest: bytes = b""
    journal: Journal = field(default_factory=Journal)
    publisher: Half | None = None
    published_before: bool = False
    subscriber: Half | None = None
    opening: bool = False
    offer: PendingOffer | None = None
    offers_made: int = 0
    wanted: tuple[Subscription, ...] = ()
    heights: dict[TrackId, int] = field(default_factory=dict)
    blocked_sources: set[Source] = field(default_factory=set)
    """What moderators muted; the session keeps it for its seat."""
    pictures: dict[TrackId, bytes] = field(default_factory=dict)
    line_told_at_ms: int = 0
    costly: Allowance = field(init=False)
    view_changes: Allowance = field(init=False)
    view_bytes: Allowance = field(init=False)
    reports: Allowance = field(init=False)

    def __post_init__(self) -> None:
        self.costly = Allowance(COSTLY_BURST, COSTLY_PER_S, self.joined_at_ms)
        self.view_changes = Allowance(VIEW_BURST, VIEW_PER_S, self.joined_at_ms)
        self.view_bytes = Allowance(VIEW_BURST_BYTES, VIEW_BYTES_PER_S, self.joined_at_ms)
        self.reports = Allowance(REPORT_BURST, REPORT_PER_S, self.joined_at_ms)

    @property
    def connected(self) -> bool:
        return self.away_since_ms is None

    @property
    def moderates(self) -> bool:
        return policy.moderates(self.grant.role)

    @property
    def reads(self) -> bool:
        """Whether it reads studies with the others; an encoder has no eyes."""
        return not self.device and policy.reads(self.grant.role)

    @property
    def consent(self) -> ConsentName | None:
        """None where nobody is asked. Devices are taken as agreed: somebody set them up to be seen."""
        if not self.asked:
            return None
        if self.device:
            return "given"
        return "pending" if self.answer is None else "given" if self.answer.agreed else "declined"

    @property
    def quality(self) -> int | None:
        """Of the worse of its two connections, as far as known."""
        known = [quality_of(half) for half in (self.publisher, self.subscriber) if half is not None]
        return min((quality for quality in known if quality is not None), default=None)

    def change(self, change: bytes, now_ms: int) -> None:
        """Tells an encoded change, now or when it resumes."""
        if self.device:
            return
        data = self.journal.append(change, now_ms)
        if self.outlet is not None:
            self.outlet.send(data)

    def tell(self, news: bytes) -> None:
        """Tells something of which only the newest counts."""
        if self.outlet is not None:
            self.outlet.send(news)

    def to_wire(self) -> ParticipantObject:
        lines = [half.line for half in (self.publisher, self.subscriber) if half is not None and half.line]
        return ParticipantObject(
            id=self.id,
            name=self.name,
            role=self.grant.role.value,
            point=self.grant.point,
            connected=self.connected,
            quality=self.quality,
            rtt_ms=max((line.rtt_ms for line in lines), default=None),
            loss=max((round(line.loss, 3) for line in lines), default=None),
            clock_offset_ms=self.clock_offset_ms,
            language=self.language,
            consent=self.consent,
        )


def quality_of(half: Half) -> int | None:
    """0 (lost) to 3 (good), None while unknown."""
    if half.was_up and half.down_since_ms is not None:
        return 0
    return None if half.line is None else half.line.quality


def state_of(half: Half | None) -> PeerState:
    """As told to a client that resumes."""
    if half is None:
        return "none"
    return "up" if half.down_since_ms is None else "down"
