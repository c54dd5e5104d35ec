"""Live media in memory, by the contract, for tests of policy; the real one is tested in `tests/media`.

And a house around rooms: the real store on a real file, the real tokens, and a clock that only tests move.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from bridge.admission import Pace
from bridge.audit import Entry
from bridge.auth import Auth, Grant
from bridge.consent import WORDING
from bridge.errors import Conflict, MediaError, NotFound, ProtocolError
from bridge.ids import RecordingId, RecordMode, Role, SessionFormat, SessionId, SessionKind
from bridge.media.contract import (
    Description,
    MediaEvent,
    Mid,
    OfferedTrack,
    OfferReady,
    PeerId,
    PublishAnswer,
    PublishedTrack,
    RecordedTrack,
    RecorderEvent,
    RecordingClosed,
    Source,
    Subscription,
    TrackId,
    TrackWish,
)
from bridge.messages import Wish
from bridge.participant import Participant
from bridge.recordbook import RecordBook
from bridge.recordings import layout
from bridge.recordings.endings import Ending
from bridge.recordkeeping import RecordingRules, RecordKeeper
from bridge.rooms import Rooms
from bridge.store import NewInvite, Store, sqlite_url
from bridge.studynews import StudyNews

KEY = bytes(range(32))
_Event = TypeVar("_Event", bound=layout.Event)
AUDIO = (Source.MICROPHONE, Source.ULTRASOUND_SOUND)


@dataclass
class FakePeer:
    kind: str
    tracks: dict[str, PublishedTrack] = field(default_factory=dict)
    wanted: tuple[Subscription, ...] = ()
    offered: tuple[TrackId, ...] = ()
    negotiation: int = 0
    outstanding: bool = False
    restarts: int = 0
    shown: tuple[TrackId | None, TrackId | None] = (None, None)


class FakeMedia:
    """Keeps what the contract says: numbers, unknown peers and tracks, failed calls that change nothing."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[MediaEvent] = asyncio.Queue(10_000)
        self.peers: dict[PeerId, FakePeer] = {}
        self.paused: set[TrackId] = set()
        self.subscribe_calls = 0
        self._ids = count(1)

    def forwarded(self, participant: Participant) -> set[TrackId]:
        """The tracks of which packets would really go to this participant."""
        if participant.subscriber is None:
            return set()
        wanted = self.peers[participant.subscriber.peer].wanted
        return {w.track for w in wanted if w.max_height != 0 and w.track not in self.paused}

    async def open_publisher(self) -> PeerId:
        return self._open("publisher")

    async def publish(self, peer: PeerId, offer: Description, wishes: Sequence[TrackWish]) -> PublishAnswer:
        entry = self._peer(peer, "publisher")
        _check(offer)
        kept = {
            wish.mid: entry.tracks.get(wish.mid)
            or PublishedTrack(
                TrackId(f"t{next(self._ids)}"),
                wish.mid,
                wish.source,
                "audio" if wish.source in AUDIO else "video",
                "opus" if wish.source in AUDIO else "VP8",
                ("l", "h") if wish.source is Source.ULTRASOUND else ("",),
            )
            for wish in wishes
        }
        entry.tracks = dict(kept)
        return PublishAnswer(Description(f"answer to {offer}"), tuple(kept.values()))

    async def open_subscriber(self) -> PeerId:
        return self._open("subscriber")

    def subscribe(self, peer: PeerId, wanted: Sequence[Subscription]) -> None:
        entry = self._peer(peer, "subscriber")
        self.subscribe_calls += 1
        for subscription in wanted:
            self._track(subscription.track)
        entry.wanted = tuple(wanted)
        self._offer(peer, entry)

    async def answer(self, peer: PeerId, negotiation: int, answer: Description) -> None:
        entry = self._peer(peer, "subscriber")
        if not entry.outstanding or negotiation != entry.negotiation:
            raise Conflict("older offer")
        _check(answer)
        entry.outstanding = False
        self._offer(peer, entry)

    def restart_subscriber(self, peer: PeerId) -> None:
        entry = self._peer(peer, "subscriber")
        entry.restarts += 1
        entry.outstanding, entry.offered = False, ()
        self._offer(peer, entry)

    async def open_player(self, offer: Description) -> tuple[PeerId, Description]:
        _check(offer)
        return self._open("player"), Description(f"answer to {offer}")

    def show(self, peer: PeerId, video: TrackId | None, audio: TrackId | None) -> None:
        entry = self._peer(peer, "player")
        for track in (video, audio):
            if track is not None:
                self._track(track)
        entry.shown = (video, audio)

    async def restart_peer(self, peer: PeerId, fragment: Description) -> Description:
        if peer not in self.peers:
            raise NotFound("no such peer")
        _check(fragment)
        return Description(f"fragment for {fragment}")

    def pause_track(self, track: TrackId, paused: bool) -> None:
        self._track(track)
        (self.paused.add if paused else self.paused.discard)(track)

    async def close_peer(self, peer: PeerId) -> None:
        self.peers.pop(peer, None)

    def _open(self, kind: str) -> PeerId:
        peer = PeerId(next(self._ids))
        self.peers[peer] = FakePeer(kind)
        return peer

    def _peer(self, peer: PeerId, kind: str) -> FakePeer:
        entry = self.peers.get(peer)
        if entry is None or entry.kind != kind:
            raise NotFound("no such peer")
        return entry

    def _track(self, track: TrackId) -> None:
        if not any(t.track == track for peer in self.peers.values() for t in peer.tracks.values()):
            raise NotFound("no such track")

    def _offer(self, peer: PeerId, entry: FakePeer) -> None:
        tracks = tuple(subscription.track for subscription in entry.wanted)
        if entry.outstanding or tracks == entry.offered:
            return
        entry.outstanding, entry.offered = True, tracks
        entry.negotiation += 1
        mids = tuple(OfferedTrack(Mid(str(i)), track) for i, track in enumerate(tracks))
        self.events.put_nowait(
            OfferReady(peer, entry.negotiation, Description(f"offer {entry.negotiation}"), mids)
        )


def _check(description: Description) -> None:
    if "malformed" in description:
        raise ProtocolError("not SDP")
    if "unusable" in description:
        raise MediaError("no common codec")


@dataclass
class FakeRecording:
    started: layout.RecordingStarted
    begun_at_ms: int
    events: list[layout.Event] = field(default_factory=list)
    followed: tuple[RecordedTrack, ...] = ()
    ended: str | None = None

    def of(self, kind: type[_Event]) -> list[_Event]:
        """The events of a kind, in their order."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def ending(self) -> Ending:
        """What would be read from it."""
        pauses = [e for e in self.events if isinstance(e, layout.RecordingPaused | layout.RecordingResumed)]
        return Ending(self.ended, bool(pauses) and isinstance(pauses[-1], layout.RecordingPaused))

    @property
    def open(self) -> set[tuple[str, Source]]:
        """Whose tracks are kept at this moment."""
        return {(track.participant, track.source) for track in self.followed if not track.held}


class FakeRecorder:
    """Keeps in memory what it is told, by the contract: an unknown recording is ignored, an ended one is unknown."""

    def __init__(self, clock: Clock) -> None:
        self.events: asyncio.Queue[RecorderEvent] = asyncio.Queue(1000)
        self.recordings: dict[RecordingId, FakeRecording] = {}
        self.seals = True
        self._clock = clock

    @property
    def newest(self) -> FakeRecording:
        return list(self.recordings.values())[-1]

    @property
    def running(self) -> list[FakeRecording]:
        return [recording for recording in self.recordings.values() if recording.ended is None]

    def begin(self, recording: RecordingId, started: layout.RecordingStarted) -> None:
        assert recording not in self.recordings
        self.recordings[recording] = FakeRecording(started, self._clock())

    def follow(self, recording: RecordingId, tracks: Sequence[RecordedTrack]) -> None:
        if (known := self._known(recording)) is not None:
            known.followed = tuple(tracks)

    def note(self, recording: RecordingId, event: layout.Event) -> None:
        if (known := self._known(recording)) is not None:
            if event.at_ms is None:
                event.at_ms = self.clock_ms(recording)
            known.events.append(event)

    def clock_ms(self, recording: RecordingId) -> int:
        known = self._known(recording)
        return 0 if known is None else self._clock() - known.begun_at_ms

    def end(self, recording: RecordingId, reason: layout.RecordingEnded) -> None:
        if (known := self._known(recording)) is not None:
            duration_ms = self.clock_ms(recording)
            known.ended, known.followed = reason.reason, ()
            if self.seals:
                self.events.put_nowait(RecordingClosed(recording, duration_ms, 1000))

    def _known(self, recording: RecordingId) -> FakeRecording | None:
        known = self.recordings.get(recording)
        return known if known is not None and known.ended is None else None


class Clock:
    """Moved by tests only."""

    def __init__(self) -> None:
        self.now_ms = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now_ms


class Client:
    """The outlet of one participant, and what it was told."""

    def __init__(self) -> None:
        self.joined: dict[str, Any] = {}
        self.told: list[dict[str, Any]] = []
        self.closed: str | None = None
        self._news = asyncio.Event()

    def send(self, data: bytes) -> None:
        assert self.closed is None, "told something after it was closed"
        self.told.append(msgspec.json.decode(data))
        self._news.set()

    async def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Waits until something is told; for tests in which time is real."""
        async with asyncio.timeout(10):
            while True:
                for message in self.take():
                    if wanted(message):
                        return message
                self._news.clear()
                await self._news.wait()

    def close(self, code: str, text: str) -> None:
        assert text
        self.closed = code

    def take(self, *types: str) -> list[dict[str, Any]]:
        """What was told since the last call, of these types."""
        told, self.told = self.told, []
        return [message for message in told if not types or message["type"] in types]


@dataclass
class House:
    """Rooms with everything around them."""

    rooms: Rooms
    media: FakeMedia
    store: Store
    auth: Auth
    session: SessionId
    clock: Clock
    recorder: FakeRecorder
    keeper: RecordKeeper
    studies: StudyNews
    written: list[Entry] = field(default_factory=list)
    """The audit."""

    @property
    def now_ms(self) -> int:
        return self.clock.now_ms

    async def grant(self, role: Role, seats: int = 1, point: str = "") -> Grant:
        """A new invite's."""
        wish = NewInvite(role, point, seats, self.now_ms + 3_600_000)
        invite = await self.store.create_invite(self.session, wish, self.now_ms)
        return await self.auth.admit(self.auth.invite_token(invite))

    async def join(
        self,
        role: Role | Grant,
        name: str = "Somebody",
        *,
        caught_up: bool = True,
        resume_token: str | None = None,
    ) -> tuple[Participant, Client]:
        """Joins on a new invite of that role, or on a given grant."""
        grant = role if isinstance(role, Grant) else await self.grant(role)
        client = Client()
        entry = await self.rooms.join(grant, name, "en", client, resume_token)
        client.joined = msgspec.json.decode(msgspec.json.encode(entry.answer))
        if caught_up:
            self.rooms.catch_up(entry.participant)
            client.told.clear()
        return entry.participant, client

    async def publish(self, participant: Participant, *sources: Source, muted: bool = False) -> list[TrackId]:
        """Publishes these sources, on the connection there is."""
        wishes = [Wish(mid=str(i), source=source.value, muted=muted) for i, source in enumerate(sources)]
        answer = await self.rooms.publish(participant, Description("offer"), wishes, fresh=False)
        await self.settle()
        return [TrackId(track.track) for track in answer.tracks]

    async def settle(self) -> None:
        """Lets everything that is under way happen."""
        await self.rooms.settle()
        while not self.media.events.empty():
            self.rooms.hear(self.media.events.get_nowait())
            await self.rooms.settle()
        while not self.recorder.events.empty():
            self.keeper.hear(self.recorder.events.get_nowait())
            await self.rooms.settle()

    async def hear(self, *events: MediaEvent) -> None:
        for event in events:
            self.media.events.put_nowait(event)
        await self.settle()

    async def pass_time(self, ms: int, step_ms: int = 100) -> None:
        """Lets time pass, with the pulse that the server would have."""
        for _ in range(0, ms, step_ms):
            self.clock.now_ms += step_ms
            self.rooms.tick()
        await self.settle()


@asynccontextmanager
async def a_house(
    folder: Path,
    session_format: SessionFormat = SessionFormat.CONSULT,
    capacity: int = 50,
    record: RecordMode = RecordMode.MANUAL,
    consent: bool = False,
    pace: Pace | None = None,
) -> AsyncIterator[House]:
    """A server's rooms with one open session."""
    store = await Store.open(sqlite_url(folder / "bridge.db"))
    clock = Clock()
    try:
        session, _ = await store.create_session(
            title="Morning consult",
            kind=SessionKind.CONSULTATION,
            format=session_format,
            capacity=capacity,
            at_ms=clock(),
            record=record,
            consent=consent,
        )
        media, recorder, written = FakeMedia(), FakeRecorder(clock), list[Entry]()
        keeper = _keeper(recorder, store, written, clock, {})
        studies = StudyNews(clock)
        rooms = Rooms(media, store, keeper, studies, clock, pace=pace)
        auth = Auth(KEY, store, clock)
        house = House(rooms, media, store, auth, session.id, clock, recorder, keeper, studies, written)
        yield house
        await house.settle()
        await house.keeper.close()
    finally:
        await store.close()


def restart(house: House) -> None:
    """The server was killed and started again on the same store."""
    house.clock.now_ms += 1000
    before = {id: recording.ending for id, recording in house.recorder.recordings.items()}
    house.media, house.recorder = FakeMedia(), FakeRecorder(house.clock)
    house.keeper = _keeper(house.recorder, house.store, house.written, house.clock, before)
    house.studies = StudyNews(house.clock)
    house.rooms = Rooms(house.media, house.store, house.keeper, house.studies, house.clock)


def _keeper(
    recorder: FakeRecorder,
    store: Store,
    written: list[Entry],
    clock: Clock,
    before: Mapping[RecordingId, Ending],
) -> RecordKeeper:
    rules = RecordingRules(lambda kind: 10 if kind is SessionKind.CONSULTATION else 0, WORDING)
    book = RecordBook(store, written.append, before.__getitem__)
    keeper = RecordKeeper(recorder, book, rules, clock)
    keeper.start()
    return keeper
