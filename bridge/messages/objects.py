"""Words, limits and objects of the protocol that messages of both sides are made of (`docs/protocol.md`, Objects)."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

SUBPROTOCOL = "bridge.v1"
MESSAGE_LIMIT_BYTES = 256 * 1024
SDP_LIMIT = 200 * 1024
"""Characters; leaves room for JSON's escapes of line ends within a message."""
TRACKS_LIMIT = 40
"""Media sections that one publisher may describe; the six sources, and as many again for each replacement."""
TEXT_LIMIT = 2000
NAME_LIMIT = 80
MARK_LIMIT = 200
NOTICE_LIMIT = 500
"""Of a notice and of a question in writing: what is read in a moment."""
LINE_LIMIT = 120
"""Of one line of a lower third."""
PEOPLE_LIMIT = 1000
"""More than one message names of those in a session."""
TOKEN_LIMIT = 4096
ID_LIMIT = 64
PICTURES_LIMIT = 1_000_000
"""More pictures than any study has."""

SourceName = Literal["microphone", "camera", "ultrasound", "ultrasoundSound", "screen", "microscope"]
KindName = Literal["audio", "video"]
RoleName = Literal["organiser", "hub", "satellite", "viewer"]
SessionKindName = Literal["advice", "consultation", "radiology", "pathology", "surgery", "training"]
FormatName = Literal["consult", "event"]
StateName = Literal["open", "ended"]
Language = Literal["vi", "ru", "en"]
PeerState = Literal["up", "down", "none"]
RecordName = Literal["auto", "manual", "never"]
RecordingStateName = Literal["recording", "paused"]
ConsentName = Literal["pending", "given", "declined"]
LeaveReason = Literal["left", "lost", "removed", "joinedElsewhere"]
LayoutName = Literal["speaker", "pair", "ultrasound", "grid"]
QuestionStateName = Literal["open", "shown", "answered", "declined"]
AudienceName = Literal["everybody", "points", "viewers"]
WaitingReason = Literal["lobby", "pacing"]
LoadName = Literal["calm", "strained", "full"]

RequestNumber = Annotated[int, Meta(ge=1, le=2**53)]
Sequence = Annotated[int, Meta(ge=0, le=2**53)]
Id = Annotated[str, Meta(min_length=1, max_length=ID_LIMIT)]
Name = Annotated[str, Meta(min_length=1, max_length=NAME_LIMIT)]
Sdp = Annotated[str, Meta(min_length=1, max_length=SDP_LIMIT)]
Token = Annotated[str, Meta(min_length=1, max_length=TOKEN_LIMIT)]
Milliseconds = Annotated[float, Meta(ge=-1e15, le=1e15)]


def type_name(class_name: str) -> str:
    return class_name[0].lower() + class_name[1:]


class _Object(Struct, rename="camel"):
    """Anything that lies inside a message."""


class RecordingObject(_Object, kw_only=True):
    id: str
    state: RecordingStateName
    started_at: int
    trouble: str | None
    lost_ms: int


class SessionObject(_Object, kw_only=True):
    id: str
    title: str
    kind: SessionKindName
    format: FormatName
    state: StateName
    capacity: int
    started_at: int | None
    record: RecordName
    consent: bool
    recording: RecordingObject | None
    lobby: bool
    locked: bool


class WaitingObject(_Object, kw_only=True):
    id: str
    name: str
    role: RoleName
    point: str
    since_at: int


class ParticipantObject(_Object, kw_only=True):
    id: str
    name: str
    role: RoleName
    point: str
    connected: bool
    quality: int | None
    rtt_ms: int | None
    loss: float | None
    clock_offset_ms: float | None
    language: Language
    consent: ConsentName | None


class TrackObject(_Object, kw_only=True):
    id: str
    participant: str
    source: SourceName
    kind: KindName
    muted: bool
    blocked: bool
    flowing: bool
    layers: tuple[str, ...]
    codec: str


class ChatLine(_Object, kw_only=True):
    id: str
    from_: str = msgspec.field(name="from")
    name: str
    text: str
    sent_at: int


class MarkObject(_Object, kw_only=True):
    id: str
    participant: str
    name: str
    text: str
    at: int


class StudyObject(_Object, kw_only=True):
    uid: str
    modalities: tuple[str, ...]
    description: str
    patient: str
    date: str
    series: int
    instances: int
    expected: int | None
    arriving: bool
    point: str
    received_at: int


class ReaderObject(_Object, kw_only=True):
    participant: str
    following: bool
    preview: int
    sharp: int
    total: int


class LowerThirdObject(_Object, kw_only=True):
    """Two lines of text over one participant's picture; said by clients and by the server."""

    participant: Id
    title: Annotated[str, Meta(min_length=1, max_length=LINE_LIMIT)]
    subtitle: Annotated[str, Meta(max_length=LINE_LIMIT)] = ""


class QuestionObject(_Object, kw_only=True):
    id: str
    participant: str
    name: str
    point: str
    text: str
    state: QuestionStateName
    asked_at: int


class NoticeObject(_Object, kw_only=True):
    id: str
    name: str
    text: str
    sent_at: int


class Wish(_Object, kw_only=True):
    mid: Annotated[str, Meta(min_length=1, max_length=32)]
    source: SourceName
    muted: bool = False


class MidTrack(_Object, kw_only=True):
    mid: str
    track: str


class Speaker(_Object, kw_only=True):
    participant: str
    level: int
