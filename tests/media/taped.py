"""What a recorder left in a vault, read by the vault alone; and a line into a recorder without a relay."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bridge.errors import NotFound
from bridge.ids import RecordingId, SessionFormat, SessionKind, new_id
from bridge.media.contract import PublishedTrack, RecordedTrack, RecorderEvent, Source, TrackId
from bridge.media.recorder import DiskRecorder
from bridge.recordings import layout
from bridge.vault import Vault
from tests.media.recording.sending import Sent

PATIENCE_S = 20.0


@dataclass
class TapedTrack:
    """One stream of a track. `runs`: each an initialisation segment and the parts after it."""

    note: layout.TrackNote
    ended: bool
    runs: list[tuple[layout.InitNote, bytes, list[tuple[layout.PartNote, bytes]]]] = field(
        default_factory=list
    )

    @property
    def parts(self) -> list[layout.PartNote]:
        return [note for _, _, parts in self.runs for note, _ in parts]

    @property
    def files(self) -> list[bytes]:
        """Each run as a file that can be played."""
        return [init + b"".join(body for _, body in parts) for _, init, parts in self.runs]

    @property
    def frames(self) -> int:
        return sum(part.frames for part in self.parts)

    @property
    def end_us(self) -> int:
        return max((part.start_us + part.duration_us for part in self.parts), default=0)

    @property
    def gaps(self) -> list[layout.GapNote]:
        return [gap for part in self.parts for gap in part.gaps]


@dataclass
class Tape:
    sealed: bool
    events: list[dict[str, Any]]
    tracks: list[TapedTrack]

    def of(self, source: Source) -> list[TapedTrack]:
        return [track for track in self.tracks if track.note.source == source]

    def types(self) -> list[str]:
        return [event["type"] for event in sorted(self.events, key=lambda event: event["atMs"])]


def play_back(vault: Vault, recording: RecordingId) -> Tape:
    """Opens each part of each stream; what cannot be opened raises."""
    stored = vault.open(layout.ref_of(recording))
    tape = Tape(stored.contents() is not None, [], [])
    for number in stored.streams():
        with stored.stream(number) as stream:
            track: TapedTrack | None = None
            for place, part in enumerate(stream.parts):
                assert part.number == place
                body = stream.read(part.number)
                match layout.decode_note(part.note):
                    case layout.EventsNote() as note:
                        events = layout.decode_events(body)
                        times = [event["atMs"] for event in events]
                        assert (min(times), max(times), len(times)) == (
                            note.from_ms,
                            note.until_ms,
                            note.count,
                        )
                        tape.events += events
                    case layout.TrackNote() as note:
                        assert place == 0
                        track = TapedTrack(note, stream.ended)
                        tape.tracks.append(track)
                    case layout.InitNote() as note:
                        assert track is not None
                        track.runs.append((note, body, []))
                        init = part.number
                    case layout.PartNote() as note:
                        assert track is not None
                        assert note.init == init
                        track.runs[-1][2].append((note, body))
    return tape


def started(title: str = "Tim thai, 24 tuần") -> layout.RecordingStarted:
    return layout.RecordingStarted(
        session="sessionsessionse",
        title=title,
        session_kind=SessionKind.CONSULTATION,
        session_format=SessionFormat.CONSULT,
        started_at=1_760_000_000_000,
    )


def new_recording() -> RecordingId:
    return RecordingId(new_id())


def recorded(published: PublishedTrack, *, held: bool = False) -> RecordedTrack:
    return RecordedTrack(published.track, "clinic", published.source, published.kind, held)


async def next_news(recorder: DiskRecorder) -> RecorderEvent:
    return await asyncio.wait_for(recorder.events.get(), PATIENCE_S)


async def until(met: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
    """Looks again and again, letting the event loop run."""
    deadline_s = time.monotonic() + timeout_s
    while not met():
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.02)


def bytes_on_disk(vault_folder: Path) -> int:
    return sum(path.stat().st_size for path in vault_folder.rglob("*.parts"))


@dataclass
class _Batch:
    """As `_native.TapPackets`."""

    packets: Sequence[Sent]


class Line:
    """Tracks that send what a test says: `recorder.Taps` without a relay."""

    def __init__(self, *tracks: str) -> None:
        self.asked: list[str] = []
        self._tracks = set(tracks)
        self._listeners: dict[str, list[Callable[[Any], None]]] = {}

    def set_tap(self, track: TrackId, listener: Callable[[Any], None]) -> Callable[[], None]:
        if track not in self._tracks:
            raise NotFound("There is no such track.")
        listeners = self._listeners.setdefault(track, [])
        listeners.append(listener)
        return lambda: listeners.remove(listener)

    def request_keyframe(self, track: TrackId) -> None:
        if track not in self._tracks:
            raise NotFound("There is no such track.")
        self.asked.append(track)

    def close(self, track: str) -> None:
        """The track goes as with its publisher."""
        self._tracks.discard(track)
        self._listeners.pop(track, None)

    def send(self, track: str, packets: Sequence[Sent]) -> None:
        """At once, whenever they say that they arrived."""
        for listener in list(self._listeners.get(track, ())):
            listener(_Batch(packets))

    async def play(self, tracks: dict[str, Sequence[Sent]]) -> None:
        """In real time, from now on; the first packet of all leaves at once."""
        first_us = min(packets[0].arrived_us for packets in tracks.values())
        shift_us = now_us() - first_us
        for track, packet in _in_order(tracks):
            at_us = packet.arrived_us + shift_us
            if at_us > now_us():
                await asyncio.sleep((at_us - now_us()) / 1_000_000)
            self.send(track, [replace(packet, arrived_us=at_us)])


def now_us() -> int:
    return time.monotonic_ns() // 1_000


def _in_order(tracks: dict[str, Sequence[Sent]]) -> Iterator[tuple[str, Sent]]:
    packets = [(track, packet) for track, sent in tracks.items() for packet in sent]
    yield from sorted(packets, key=lambda each: each[1].arrived_us)


def wish(
    track: str, kind: str = "video", source: Source = Source.ULTRASOUND, *, held: bool = False
) -> RecordedTrack:
    return RecordedTrack(TrackId(track), "clinic", source, "video" if kind == "video" else "audio", held)
