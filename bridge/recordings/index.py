"""What lies in one recording, known from its headers: the tracks with their parts, and the events.

It opens notes, and the bodies of events only; pictures and sound are read part by part when somebody asks. It follows a
recording that is still being written, and what is damaged is named and stepped over. It knows no rights and no HTTP.
Everything blocks for the disk.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from bridge.recordings.layout import (
    EventsNote,
    InitNote,
    Note,
    PartNote,
    RecordingStarted,
    TrackNote,
    UnreadableRecording,
    decode_events,
    decode_note,
    event_of,
)
from bridge.vault import (
    DISK_TROUBLES,
    Finding,
    ObjectReader,
    ObjectRef,
    Part,
    StreamReader,
    StreamSummary,
    Trouble,
    VaultError,
)

OPEN_STREAMS = 24
"""Streams that are being written and stay open between two looks; of more, the file is opened and scanned anew."""
UNKNOWN_SOURCE = "unknown"
"""Of a track whose first part is lost."""

_OF_A_CRASH = {Trouble.UNENDED, Trouble.CUT}
_LOSSES = {Trouble.MISSING, Trouble.ALTERED, Trouble.CUT_SHORT}


@dataclass(frozen=True, slots=True)
class PartEntry:
    """About a second of a track. `init` is the part with its initialisation segment, None if that one is lost."""

    part: Part
    init: int | None

    @property
    def number(self) -> int:
        return self.part.number

    @property
    def size_bytes(self) -> int:
        return self.part.body_bytes

    @property
    def note(self) -> PartNote:
        """Decoded at each use: a long recording has many."""
        note = decode_note(self.part.note)
        if not isinstance(note, PartNote):
            raise UnreadableRecording("A part of the recording is of another sort than it was.")
        return note


class TrackIndex:
    """One stream of a track. Safe for use by several threads; it grows by `RecordingReader.refresh`."""

    def __init__(self, stored: ObjectReader, stream: int) -> None:
        self._stored = stored
        self.stream = stream
        self._about: TrackNote | None = None
        self._inits: dict[int, tuple[Part, InitNote]] = {}
        self._entries: dict[int, PartEntry] = {}
        self._findings: list[Finding] = []
        self._latest_init: int | None = None
        self._begin_us: int | None = None
        self.live = True
        """More may come."""
        self.end_us = 0
        self.size_bytes = 0
        """Of all bodies."""

    @property
    def about(self) -> TrackNote:
        """Whose track it is; if that is lost, what its parts show of it."""
        if self._about is not None:
            return self._about
        sound = any(note.media_type.startswith("audio/") for _, note in list(self._inits.values()))
        kind: Literal["audio", "video"] = "audio" if sound else "video"
        return TrackNote(track="", participant="", source=UNKNOWN_SOURCE, kind=kind)

    @property
    def inits(self) -> dict[int, InitNote]:
        """What stands in the parts that hold initialisation segments, by their number."""
        return {number: note for number, (_, note) in list(self._inits.items())}

    @property
    def parts(self) -> list[PartEntry]:
        """Pictures or sound, in order; initialisation segments are not among them."""
        return list(self._entries.values())

    @property
    def begin_us(self) -> int:
        return self._begin_us if self._begin_us is not None else self.end_us

    def entry(self, number: int) -> PartEntry | None:
        """The part of pictures or sound with this number."""
        return self._entries.get(number)

    def read(self, number: int) -> bytes:
        """A part's bytes, or an initialisation segment's. Raises VaultError, which names what is wrong with it."""
        entry = self._entries.get(number)
        part = entry.part if entry is not None else self._inits.get(number, (None, None))[0]
        if part is not None:
            try:
                return self._stored.read(self.stream, part)
            except VaultError as error:
                if error.trouble is not Trouble.NOT_FOUND:
                    raise
                # It was there: somebody has taken it away since.
                text = f"Stream {self.stream}, part {number} is missing."
                raise VaultError(Trouble.MISSING, text) from None
        for finding in self.findings():
            if finding.part == number:
                raise VaultError(finding.trouble, finding.text)
        raise VaultError(Trouble.NOT_FOUND, f"Stream {self.stream} has no part {number}.")

    def findings(self) -> list[Finding]:
        """What the headers show to be wrong; what a crash leaves, or is still being written, is not."""
        return list(self._findings)

    def _take(self, part: Part, note: Note) -> None:
        number = part.number
        match note:
            case TrackNote():
                self._about = note
            case InitNote():
                self._inits[number] = (part, note)
                self._latest_init = number
                self.size_bytes += part.body_bytes
            case PartNote():
                init = note.init or self._latest_init
                self._entries[number] = PartEntry(part, init if init in self._inits else None)
                self.size_bytes += part.body_bytes
                self.end_us = max(self.end_us, note.start_us + note.duration_us)
                if self._begin_us is None or note.start_us < self._begin_us:
                    self._begin_us = note.start_us
            case EventsNote():
                raise UnreadableRecording("An event stands in a track.")


class _Stream:
    """What was read of one stream so far, whatever its sort turns out to be."""

    def __init__(self, stored: ObjectReader, number: int) -> None:
        self._stored = stored
        self.number = number
        self.track: TrackIndex | None = None
        self.events: list[dict[str, Any]] = []
        self.findings: list[Finding] = []
        self.size_bytes = 0
        self.reader: StreamReader | None = None
        self.final = False
        self._taken: list[Part] = []
        self._unreadable: list[Finding] = []

    def refresh(self, row: StreamSummary | None) -> None:
        """Takes in what was added. `row` is the stream in the sealed list of contents: nothing comes after it."""
        if self.final:
            return
        if self.reader is None:
            self.reader = self._stored.stream(self.number)
        else:
            self.reader.refresh()
        ended = self.reader.ended
        parts, found = self.reader.parts, self.reader.findings()
        known = len(self._taken)
        if known and (len(parts) < known or parts[known - 1].header.raw != self._taken[-1].header.raw):
            self._forget()
            known = 0
        for part in parts[known:]:
            self._take(part)
        self._taken = parts
        self.final = ended or row is not None
        self._look_for_damage(found, row)
        if self.track is not None:
            self.track.live = not self.final
            self.track._findings = self.findings
        if self.final:
            self.close()
            self._taken = []

    def close(self) -> None:
        reader, self.reader = self.reader, None
        if reader is not None:
            reader.close()

    def _forget(self) -> None:
        """Its writer took back what it could not make durable, or the file was altered under our eyes."""
        self.events = []
        self._unreadable = []
        self.size_bytes = 0
        if self.track is not None:
            self.track = TrackIndex(self._stored, self.number)

    def _take(self, part: Part) -> None:
        self.size_bytes += part.header.frame_bytes
        try:
            note = decode_note(part.note)
            if isinstance(note, EventsNote):
                self.events += decode_events(self._stored.read(self.number, part))
            else:
                self.track = self.track or TrackIndex(self._stored, self.number)
                self.track._take(part, note)
        except UnreadableRecording as error:
            self._unreadable.append(Finding(Trouble.ALTERED, self.number, part.number, error.text))
        except VaultError as error:
            if error.trouble in DISK_TROUBLES:
                raise
            self._unreadable.append(Finding(error.trouble, self.number, part.number, error.text))

    def _look_for_damage(self, found: list[Finding], row: StreamSummary | None) -> None:
        if row is None or not row.ended:
            found = [finding for finding in found if finding.trouble not in _OF_A_CRASH]
        have = len(self._taken)
        if row is not None and have < row.parts and not any(each.trouble in _LOSSES for each in found):
            text = f"Stream {self.number} has lost its end: parts {have} to {row.parts - 1} are missing."
            found = [*found, Finding(Trouble.MISSING, self.number, have, text)]
        self.findings = [*found, *self._unreadable]


class RecordingReader:
    """One recording. Safe for use by several threads; each call blocks for the disk."""

    def __init__(self, stored: ObjectReader) -> None:
        """Reads all headers. Raises VaultError if the disk fails."""
        self._stored = stored
        self._lock = threading.Lock()
        self._streams: dict[int, _Stream] = {}
        self._contents: dict[int, StreamSummary] | None = None
        self._findings: list[Finding] = []
        self._started: RecordingStarted | None = None
        self._let_go = False
        self.refresh()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets files go, without waiting for a `refresh` under way, which does so itself then. Parts can still be read,
        and whoever refreshes it opens again what that needs, for so long only."""
        self._let_go = True
        if self._lock.acquire(blocking=False):
            try:
                for stream in self._streams.values():
                    stream.close()
            finally:
                self._lock.release()

    @property
    def ref(self) -> ObjectRef:
        return self._stored.ref

    def refresh(self) -> None:
        """Takes in what was written meanwhile. Raises VaultError if the disk fails."""
        try:
            with self._lock:
                self._read_on()
        finally:
            # Without the lock: who lets it go and does not get the lock leaves it to whoever has it.
            if self._let_go:
                self.close()

    @property
    def sealed(self) -> bool:
        """Whether it was closed by its writer; marks may still be added."""
        return self._contents is not None

    @property
    def started(self) -> RecordingStarted:
        """How it began. Raises UnreadableRecording if that is lost; all else can still be read."""
        if self._started is None:
            raise UnreadableRecording("The beginning of the recording cannot be read.")
        return self._started

    @property
    def tracks(self) -> list[TrackIndex]:
        """In the order in which they came into the recording."""
        return [stream.track for stream in self._ordered() if stream.track is not None]

    def track(self, stream: int) -> TrackIndex | None:
        """The track of this stream."""
        found = self._streams.get(stream)
        return found.track if found is not None else None

    def events(self) -> list[dict[str, Any]]:
        """All events in the order of time."""
        return sorted(self.events_as_written(), key=_at_ms)

    def events_as_written(self, first: int = 0) -> list[dict[str, Any]]:
        """From this one on, in the order in which they were written, to which more are only ever appended."""
        return [event for stream in self._ordered() for event in stream.events][first:]

    @property
    def begin_ms(self) -> int:
        """Where its window begins on its clock: 0, except of a clip."""
        return self._started.begin_ms if self._started is not None else 0

    @property
    def end_ms(self) -> int:
        """Where its window ends; so far, if it is still running."""
        if self._started is not None and self._started.end_ms is not None:
            return self._started.end_ms
        media_us = max((track.end_us for track in self.tracks), default=0)
        # It may have run on with nothing to be seen or heard.
        noted_ms = max((_at_ms(event) for event in self.events_as_written()), default=0)
        return max(media_us // 1000, noted_ms, self.begin_ms)

    @property
    def size_bytes(self) -> int:
        """What it takes on disk."""
        return sum(stream.size_bytes for stream in self._ordered())

    @property
    def part_count(self) -> int:
        """How much there is to know of it, for who keeps several readers."""
        return sum(len(track._entries) for track in self.tracks)

    def findings(self) -> list[Finding]:
        """What is wrong with it as a whole and with its events; tracks tell of themselves."""
        of_events = [each for stream in self._ordered() if stream.track is None for each in stream.findings]
        return [*self._findings, *of_events]

    def _read_on(self) -> None:
        numbers = self._stored.streams()
        self._read_contents(numbers)
        rows = self._contents or {}
        for number in numbers:
            if number not in self._streams:
                self._streams[number] = _Stream(self._stored, number)
            self._streams[number].refresh(rows.get(number))
            self._bound_open_files()
        self._started = self._started or self._find_started()

    def _ordered(self) -> Sequence[_Stream]:
        return [self._streams[number] for number in sorted(self._streams)]

    def _find_started(self) -> RecordingStarted | None:
        for stream in self._ordered():
            for event in stream.events:
                known = event_of(event)
                if isinstance(known, RecordingStarted):
                    return known
        return None

    def _read_contents(self, numbers: list[int]) -> None:
        """The sealed list, anew where streams have come since."""
        if self._contents is not None and set(numbers) <= self._contents.keys():
            return
        self._findings = []
        try:
            rows = self._stored.contents()
        except (VaultError, ValueError, TypeError) as error:
            if isinstance(error, VaultError) and error.trouble in DISK_TROUBLES:
                raise
            text = "The list of streams is altered."
            self._findings.append(Finding(Trouble.ALTERED, None, None, text))
            rows = []
        self._contents = {row.stream: row for row in rows} if rows is not None else None
        for lost in sorted((self._contents or {}).keys() - set(numbers)):
            self._findings.append(Finding(Trouble.STREAM_MISSING, lost, None, f"Stream {lost} is missing."))

    def _bound_open_files(self) -> None:
        opened = [stream for stream in self._streams.values() if stream.reader is not None]
        for stream in opened[: max(0, len(opened) - OPEN_STREAMS)]:
            stream.close()


def _at_ms(event: dict[str, Any]) -> int:
    at_ms = event.get("atMs")
    return at_ms if isinstance(at_ms, int) else 0
