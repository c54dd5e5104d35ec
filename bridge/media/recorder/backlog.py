"""What waits for the disk: parts and events of all recordings, in bounded memory; no I/O.

When parts no longer fit, the oldest pictures go first, of one track up to where decoding can begin again, and sound
only when no pictures are left. What went is said in the note of the next part that is kept.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field

import structlog
from msgspec.structs import replace

from bridge.ids import RecordingId
from bridge.media.contract import RecordedTrack
from bridge.media.recording.parts import Gap, Init, Part
from bridge.recordings.layout import (
    GAPS_LIMIT,
    Event,
    EventsNote,
    GapNote,
    PartNote,
    StorageFailed,
    StorageRecovered,
    encode_events,
    encode_note,
)

# Two minutes of ten tracks of 1.5 Mbit/s; ten seconds of a hundred.
MEMORY_BYTES = 192 << 20
# What a part costs beside its content: its frames' marks above all.
PART_OVERHEAD_BYTES = 8_192
# More than a session says in hours; a disk that is away for longer loses the newest.
MAX_WAITING_EVENTS = 20_000
EVENTS_PER_PART = 500
# Losses this near to each other are told as one.
NEAR_US = 100_000
# Losses that may still grow together with another; late ones of another track lie within seconds.
SPANS_LIMIT = 1_000

_log = structlog.get_logger(__name__)


class LostTime:
    """How much time of a recording is missing, of any of its tracks. Safe for use by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spans: list[tuple[int, int]] = []
        self._total_us = 0

    def add(self, start_us: int, end_us: int) -> None:
        with self._lock:
            first = bisect_left(self._spans, start_us - NEAR_US, key=lambda span: span[1])
            last = first
            while last < len(self._spans) and self._spans[last][0] <= end_us + NEAR_US:
                span_start_us, span_end_us = self._spans[last]
                self._total_us -= span_end_us - span_start_us
                start_us, end_us = min(start_us, span_start_us), max(end_us, span_end_us)
                last += 1
            self._spans[first:last] = [(start_us, end_us)]
            self._total_us += end_us - start_us
            # The oldest grow no more: what they have counted is kept.
            del self._spans[:-SPANS_LIMIT]

    @property
    def total_ms(self) -> int:
        with self._lock:
            return self._total_us // 1_000


@dataclass(slots=True, eq=False, weakref_slot=True)
class PartEntry:
    """A part on its way to the disk. `before`: what was dropped between it and the part before."""

    part: Part
    before: Gap | None = None

    @property
    def init(self) -> Init | None:
        return self.part.init

    @property
    def body(self) -> bytes:
        return self.part.data

    @property
    def size_bytes(self) -> int:
        return len(self.part.data) + PART_OVERHEAD_BYTES

    def note(self, init: int) -> bytes:
        part, gaps = self.part, list(self.part.gaps)
        if self.before is not None:
            gaps.insert(0, self.before)
        return encode_note(
            PartNote(
                start_us=part.start_us,
                duration_us=part.duration_us,
                frames=len(part.frames),
                key=part.keyframe,
                damaged=part.damaged,
                layer=part.layer,
                init=init,
                steps_us=_steps_us(part),
                gaps=_gap_notes(gaps),
            )
        )

    @property
    def begins_decoding(self) -> bool:
        """Whether it can be understood without the part before, as well as that is possible with its source."""
        return self.part.keyframe or self.part.damaged


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class EventsEntry:
    """Events on their way to the disk."""

    body: bytes
    about: EventsNote
    init: None = None

    def note(self, init: int) -> bytes:
        return encode_note(self.about)


class EventsBacklog:
    """Events of one recording. Safe for use by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: deque[Event] = deque()
        self._returned: deque[EventsEntry] = deque()
        self._failed = False

    def put(self, event: Event) -> None:
        """Takes an event that has its time."""
        with self._lock:
            if len(self._events) >= MAX_WAITING_EVENTS:
                _log.error("recording event lost", kind=type(event).__name__)
                return
            if isinstance(event, StorageFailed | StorageRecovered):
                self._failed = isinstance(event, StorageFailed)
            self._events.append(event)

    def recovered(self, at_ms: int, lost_ms: int) -> None:
        """Says that the disk is back, if it was said to have failed: nobody may be able to when a recording ends."""
        if self._failed:
            self.put(StorageRecovered(at_ms=at_ms, lost_ms=lost_ms))

    @property
    def empty(self) -> bool:
        return not self._events and not self._returned

    def take(self) -> EventsEntry | None:
        """What is to be written next."""
        with self._lock:
            if self._returned:
                return self._returned.popleft()
            events = [self._events.popleft() for _ in range(min(EVENTS_PER_PART, len(self._events)))]
        if not events:
            return None
        times_ms = [event.at_ms or 0 for event in events]
        note = EventsNote(from_ms=min(times_ms), until_ms=max(times_ms), count=len(events))
        return EventsEntry(encode_events(events), note)

    def give_back(self, entries: list[EventsEntry]) -> None:
        """What could not be written, to be taken again in the same order."""
        with self._lock:
            self._returned.extendleft(reversed(entries))

    def written(self, entries: list[EventsEntry]) -> None:
        """What is safe."""


@dataclass(slots=True, eq=False)
class RecordingBacklog:
    """All that waits of one recording. `trouble` and `finished` go from one thread to another.

    `finished`: nothing more comes than what waits.
    """

    recording: RecordingId
    origin_us: int
    lost: LostTime = field(default_factory=LostTime)
    events: EventsBacklog = field(default_factory=EventsBacklog)
    tracks: deque[TrackBacklog] = field(default_factory=deque)
    """Those that the writing thread has not seen yet."""
    trouble: str | None = None
    finished: bool = False
    ended_ms: int = 0

    def note(self, event: Event, now_ms: int) -> None:
        self.events.put(event if event.at_ms is not None else replace(event, at_ms=now_ms))


class TrackBacklog:
    """Parts of one track, counted in the memory of all. Safe for use by several threads."""

    def __init__(self, memory: Memory, recording: RecordingBacklog, track: RecordedTrack) -> None:
        self.recording = recording
        self.track = track
        self.ended = False
        self._memory = memory
        self._entries: deque[PartEntry] = deque()
        self._dropped: Gap | None = None
        self._waits_for_key = False

    @property
    def empty(self) -> bool:
        return not self._entries

    @property
    def rank(self) -> tuple[bool, int]:
        """Who is to give up memory first: pictures, and the oldest."""
        oldest_us = self._entries[0].part.start_us if self._entries else 0
        return self.track.kind == "audio", self.recording.origin_us + oldest_us

    def put(self, part: Part) -> bool:
        """Takes a part. Returns whether a keyframe is wanted, since nothing can be kept without one."""
        with self._memory.lock:
            entry = PartEntry(part)
            self._memory.used_bytes += entry.size_bytes
            if self._waits_for_key and not entry.begins_decoding:
                self._forget(entry)
                return True
            self._waits_for_key = False
            entry.before, self._dropped = self._dropped, None
            self._entries.append(entry)
            self._memory.shrink()
            return self._waits_for_key

    def take(self) -> PartEntry | None:
        """What is to be written next; it counts until it was `written`."""
        with self._memory.lock:
            return self._entries.popleft() if self._entries else None

    def give_back(self, entries: list[PartEntry]) -> None:
        """What could not be written, to be taken again in the same order unless memory is short."""
        with self._memory.lock:
            self._entries.extendleft(reversed(entries))
            self._memory.shrink()

    def written(self, entries: list[PartEntry]) -> None:
        """What is safe."""
        with self._memory.lock:
            self._memory.used_bytes -= sum(entry.size_bytes for entry in entries)

    def drop_oldest(self) -> None:
        """With the memory's lock held: gives up the oldest part and what cannot be decoded without it."""
        self._forget(self._entries.popleft())
        while self._entries and not self._entries[0].begins_decoding:
            self._forget(self._entries.popleft())
        if self._entries:
            first = self._entries[0]
            first.before, self._dropped = _joined(self._dropped, first.before), None
        else:
            self._waits_for_key = True

    def _forget(self, entry: PartEntry) -> None:
        part = entry.part
        self._memory.used_bytes -= entry.size_bytes
        self.recording.lost.add(part.start_us, part.start_us + part.duration_us)
        gone = _joined(entry.before, Gap(part.start_us, part.duration_us, "loss", 0))
        self._dropped = _joined(self._dropped, gone)


class Memory:
    """What all tracks' parts together may take."""

    def __init__(self, limit_bytes: int = MEMORY_BYTES) -> None:
        self.lock = threading.Lock()
        self.used_bytes = 0
        self._limit_bytes = limit_bytes
        self._tracks: set[TrackBacklog] = set()

    def add(self, recording: RecordingBacklog, track: RecordedTrack) -> TrackBacklog:
        made = TrackBacklog(self, recording, track)
        with self.lock:
            self._tracks.add(made)
        return made

    def remove(self, track: TrackBacklog) -> None:
        """Of which nothing waits any more, or nothing that waits is wanted."""
        while (entry := track.take()) is not None:
            track.written([entry])
        with self.lock:
            self._tracks.discard(track)

    def shrink(self) -> None:
        """With the lock held."""
        while self.used_bytes > self._limit_bytes:
            victim = min((each for each in self._tracks if not each.empty), key=_rank, default=None)
            if victim is None:
                return  # The rest is being written.
            victim.drop_oldest()


def _rank(track: TrackBacklog) -> tuple[bool, int]:
    return track.rank


def _joined(first: Gap | None, second: Gap | None) -> Gap | None:
    """One gap for two."""
    if first is None or second is None:
        return first or second
    start_us = min(first.start_us, second.start_us)
    end_us = max(first.start_us + first.duration_us, second.start_us + second.duration_us)
    return Gap(start_us, end_us - start_us, "loss", first.lost_packets + second.lost_packets)


def _steps_us(part: Part) -> tuple[int, ...]:
    """Where sound was filled in, its frames do not follow each other."""
    if part.filled or not part.frames:
        return ()
    starts_us = [mark.start_us for mark in part.frames]
    ends_us = [*starts_us[1:], part.start_us + part.duration_us]
    return tuple(end_us - start_us for start_us, end_us in zip(starts_us, ends_us, strict=True))


def _gap_notes(gaps: list[Gap]) -> tuple[GapNote, ...]:
    if len(gaps) > GAPS_LIMIT:
        first, rest = gaps[: GAPS_LIMIT - 1], gaps[GAPS_LIMIT - 1 :]
        end_us = max(gap.start_us + gap.duration_us for gap in rest)
        lost = sum(gap.lost_packets for gap in rest)
        gaps = [*first, Gap(rest[0].start_us, end_us - rest[0].start_us, "loss", lost)]
    return tuple(GapNote(gap.start_us, gap.duration_us, gap.reason, gap.lost_packets) for gap in gaps)
