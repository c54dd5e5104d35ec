"""What lies in a recording: the notes of its parts, and the events of the session. Who writes and who reads agree here.

A recording is one object of the vault (`docs/recording-format.md`) with any number of streams, of two sorts:

- an *events* stream: every part has an `EventsNote`, and its body is a JSON array of events;
- a *track* stream: part 0 has a `TrackNote` and no body; a part with an `InitNote` holds an initialisation segment and
  is good for all `PartNote` parts after it, until the next one. So the bodies of a track stream, one after the other,
  are a valid WebM or MP4 file as long as its codec stays the same.

A track that was published anew has a stream of its own, with the same participant and source. After a crash or an
error there may be several events streams; events are read in the order of `at_ms`. All times are on the recording's
one clock: zero is when it began, pauses are part of it. Pure: no I/O.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct

from bridge.errors import BridgeError
from bridge.ids import RecordingId, SessionFormat, SessionKind
from bridge.vault import ObjectId, ObjectKind, ObjectRef

NOTE_LIMIT_BYTES = 1024
"""The vault's limit; frame times are left out of a note that would be longer."""
GAPS_LIMIT = 8
"""Gaps told in one note; the last one told then covers the rest."""


class UnreadableRecording(BridgeError):
    """What is stored cannot be understood, although it is whole."""

    def __init__(self, text: str) -> None:
        super().__init__(text, "damaged")


class _Note(Struct, frozen=True, kw_only=True, rename="camel", tag_field="k", omit_defaults=True):
    pass


class EventsNote(_Note, frozen=True, tag="events"):
    """`from_ms` and `until_ms` are the times of the first and the last event of the part."""

    from_ms: int
    until_ms: int
    count: int


class TrackNote(_Note, frozen=True, tag="track"):
    """Begins the stream of one track. `participant` is an id that the events tell more about."""

    track: str
    participant: str
    source: str
    kind: Literal["audio", "video"]


class InitNote(_Note, frozen=True, tag="init"):
    """The body is an initialisation segment. `media_type` is what Media Source Extensions are told."""

    media_type: str
    codec: str
    width: int = 0
    height: int = 0


class GapNote(Struct, frozen=True, array_like=True):
    """Nothing to show for this time: `lost` packets did not come, or the source was silent."""

    start_us: int
    duration_us: int
    reason: Literal["loss", "silence"]
    lost: int = 0


class PartNote(_Note, frozen=True, tag="part"):
    """About a second of a track.

    `frames`: how many. `key`: decoding can begin here. `damaged`: it refers to frames that were lost. `steps_us` are
    the durations of the frames, unless they did not fit; the first begins at `start_us`. `init` is the number of the
    part that holds its initialisation segment, so that its loss is noticed; 0 where that is not told.
    """

    start_us: int
    duration_us: int
    frames: int
    key: bool = False
    damaged: bool = False
    layer: int = 0
    init: int = 0
    steps_us: tuple[int, ...] = ()
    gaps: tuple[GapNote, ...] = ()


Note = EventsNote | TrackNote | InitNote | PartNote
_note_decoder: msgspec.json.Decoder[Note] = msgspec.json.Decoder(Note)
_encoder = msgspec.json.Encoder()


def encode_note(note: Note) -> bytes:
    """At most `NOTE_LIMIT_BYTES`."""
    encoded = _encoder.encode(note)
    if len(encoded) > NOTE_LIMIT_BYTES and isinstance(note, PartNote):
        encoded = _encoder.encode(msgspec.structs.replace(note, steps_us=()))
    return encoded


def decode_note(note: bytes) -> Note:
    """Raises UnreadableRecording."""
    try:
        return _note_decoder.decode(note)
    except (msgspec.DecodeError, UnicodeError):
        raise UnreadableRecording("A part of the recording is of an unknown sort.") from None


class Event(
    Struct, kw_only=True, rename="camel", tag_field="type", tag=lambda name: name[0].lower() + name[1:]
):
    """Something that happened. `at_ms` is on the recording's clock and set by the recorder where it is None."""

    at_ms: int | None = None


class RecordingStarted(Event):
    """`started_at` is in milliseconds since 1970 UTC: the recording's zero. A clip keeps the clock of what it was cut
    from; `clip_of` and its window `begin_ms`, `end_ms` say which."""

    session: str
    title: str
    session_kind: SessionKind
    session_format: SessionFormat
    started_at: int
    clip_of: str | None = None
    begin_ms: int = 0
    end_ms: int | None = None


class RecordingPaused(Event):
    by: str


class RecordingResumed(Event):
    by: str


class RecordingEnded(Event):
    reason: Literal["stopped", "sessionEnded", "alone", "shutdown", "salvaged"]


class ParticipantJoined(Event):
    """Told for everybody who is there when the recording begins, too. `name` is empty for who has not agreed."""

    participant: str
    name: str
    role: str
    point: str


class ParticipantLeft(Event):
    participant: str
    reason: str


class ParticipantRenamed(Event):
    participant: str
    name: str


class StageChanged(Event):
    """Who has the floor, in order: the chapters of a recording."""

    stage: tuple[str, ...]


class HandsChanged(Event):
    hands: tuple[str, ...]


class LeadChanged(Event):
    """Who leads the reading of studies from here on; empty for nobody."""

    participant: str
    name: str


class StudyShown(Event):
    """What is read together from here on, as who leads wants it. `study` is the archive's own id; empty for none."""

    participant: str
    name: str
    study: str


class ChatSent(Event):
    participant: str
    name: str
    text: str


class MarkAdded(Event):
    """A finding or any other moment to come back to; `at_ms` is that moment, `until_ms` its end if it lasted."""

    mark: str
    participant: str
    name: str
    text: str
    until_ms: int | None = None


class MarkRemoved(Event):
    mark: str
    participant: str


class ConsentAnswered(Event):
    """What a participant was asked, word for word, and what it said; `answered_at` in milliseconds since 1970 UTC."""

    participant: str
    name: str
    agreed: bool
    language: str
    wording: str
    answered_at: int


class StorageFailed(Event):
    """From here on something may be missing. `trouble` is `diskFull`, `readOnly`, `io` or `slow`."""

    trouble: str


class StorageRecovered(Event):
    lost_ms: int


AnyEvent = (
    RecordingStarted
    | RecordingPaused
    | RecordingResumed
    | RecordingEnded
    | ParticipantJoined
    | ParticipantLeft
    | ParticipantRenamed
    | StageChanged
    | HandsChanged
    | LeadChanged
    | StudyShown
    | ChatSent
    | MarkAdded
    | MarkRemoved
    | ConsentAnswered
    | StorageFailed
    | StorageRecovered
)


def encode_events(events: list[Event]) -> bytes:
    """The body of a part of an events stream."""
    return _encoder.encode(events)


def decode_events(body: bytes) -> list[dict[str, Any]]:
    """Events as JSON objects, those of later versions too. Raises UnreadableRecording."""
    try:
        return msgspec.json.decode(body, type=list[dict[str, Any]])
    except (msgspec.DecodeError, UnicodeError):
        raise UnreadableRecording("Events of the recording cannot be read.") from None


def event_of(event: dict[str, Any]) -> AnyEvent | None:
    """The event with its type, or None for one of a later version."""
    try:
        known: AnyEvent = msgspec.convert(event, AnyEvent)
    except msgspec.ValidationError:
        return None
    return known


def ref_of(recording: RecordingId) -> ObjectRef:
    """Where the vault keeps a recording. Raises ValueError for what is no id."""
    return ObjectRef(ObjectKind.RECORDING, ObjectId(recording))
