"""The wire schema of the WebSocket protocol (`docs/protocol.md`), its limits, and turning it from and to JSON. No I/O.

What is decoded here is well formed and within its limits, and nothing more: who may do what is not known here.
Messages of the client and of the server are two tagged unions by `type`; unknown fields are ignored (RFC 8259 JSON).
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from bridge.errors import LimitExceeded, ProtocolError, PublicError

SUBPROTOCOL = "bridge.v1"
MESSAGE_LIMIT_BYTES = 256 * 1024
SDP_LIMIT = 200 * 1024
"""Characters; leaves room for JSON's escapes of line ends within a message."""
TRACKS_LIMIT = 40
"""Media sections that one publisher may describe; the six sources, and as many again for each replacement."""
TEXT_LIMIT = 2000
NAME_LIMIT = 80
TOKEN_LIMIT = 4096
ID_LIMIT = 64

SourceName = Literal["microphone", "camera", "ultrasound", "ultrasoundSound", "screen", "microscope"]
KindName = Literal["audio", "video"]
RoleName = Literal["organiser", "hub", "satellite", "viewer"]
SessionKindName = Literal["advice", "consultation", "radiology", "pathology", "surgery", "training"]
FormatName = Literal["consult", "event"]
StateName = Literal["open", "ended"]
Language = Literal["vi", "ru", "en"]
PeerState = Literal["up", "down", "none"]
LeaveReason = Literal["left", "lost", "removed", "joinedElsewhere"]

RequestNumber = Annotated[int, Meta(ge=1, le=2**53)]
Sequence = Annotated[int, Meta(ge=0, le=2**53)]
Id = Annotated[str, Meta(min_length=1, max_length=ID_LIMIT)]
Name = Annotated[str, Meta(min_length=1, max_length=NAME_LIMIT)]
Sdp = Annotated[str, Meta(min_length=1, max_length=SDP_LIMIT)]
Token = Annotated[str, Meta(min_length=1, max_length=TOKEN_LIMIT)]
Milliseconds = Annotated[float, Meta(ge=-1e15, le=1e15)]


def _type_name(class_name: str) -> str:
    return class_name[0].lower() + class_name[1:]


class _Object(Struct, rename="camel"):
    """Anything that lies inside a message."""


# Objects


class SessionObject(_Object, kw_only=True):
    id: str
    title: str
    kind: SessionKindName
    format: FormatName
    state: StateName
    capacity: int
    started_at: int | None


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


# Client to server


class ClientMessage(
    Struct, kw_only=True, rename="camel", tag_field="type", tag=_type_name, omit_defaults=True
):
    """What every message of a client may carry: the number under which it wants its answer."""

    request: RequestNumber | UnsetType = UNSET


class Join(ClientMessage):
    token: Token
    name: Name
    language: Language
    client: Annotated[str, Meta(max_length=NAME_LIMIT)] = ""
    resume_token: Token | None = None


class Resume(ClientMessage):
    resume_token: Token
    seq: Sequence


class Leave(ClientMessage):
    pass


class PublishOffer(ClientMessage):
    sdp: Sdp
    tracks: Annotated[tuple[Wish, ...], Meta(max_length=TRACKS_LIMIT)]
    fresh: bool = False


class SetTrackMuted(ClientMessage):
    track: Id
    muted: bool


class SubscribeAnswer(ClientMessage):
    negotiation: Sequence
    sdp: Sdp


class SetSubscription(ClientMessage):
    track: Id
    max_height: Annotated[float, Meta(ge=0, le=100_000)]


class RestartSubscriber(ClientMessage):
    fresh: bool = False


class SetHand(ClientMessage):
    raised: bool
    participant: Id | None = None


class SendChat(ClientMessage):
    text: Annotated[str, Meta(min_length=1, max_length=TEXT_LIMIT)]


class GiveFloor(ClientMessage):
    participant: Id


class TakeFloor(ClientMessage):
    participant: Id


class BlockTrack(ClientMessage):
    track: Id
    blocked: bool


class RemoveParticipant(ClientMessage):
    participant: Id


class EndSession(ClientMessage):
    pass


class SetName(ClientMessage):
    name: Name


class ReportClock(ClientMessage):
    clock_offset_ms: Milliseconds


class SyncClock(ClientMessage):
    client_at: Milliseconds


AnyClientMessage = (
    Join
    | Resume
    | Leave
    | PublishOffer
    | SetTrackMuted
    | SubscribeAnswer
    | SetSubscription
    | RestartSubscriber
    | SetHand
    | SendChat
    | GiveFloor
    | TakeFloor
    | BlockTrack
    | RemoveParticipant
    | EndSession
    | SetName
    | ReportClock
    | SyncClock
)


# Server to client


class ServerMessage(Struct, kw_only=True, rename="camel", tag_field="type", tag=_type_name):
    """Anything that the server says."""


class Answer(ServerMessage, kw_only=True):
    """An answer to a request; it carries the request's number if it had one."""

    request: int | UnsetType = UNSET


class Change(ServerMessage, kw_only=True):
    """A numbered change. It is encoded once without its number, which `numbered` then writes for each receiver."""

    seq: int | UnsetType = UNSET


class Joined(Answer):
    participant: str
    resume_token: str
    resume_within_s: int
    seq: int
    server_time_at: int
    session: SessionObject
    participants: tuple[ParticipantObject, ...]
    tracks: tuple[TrackObject, ...]
    stage: tuple[str, ...]
    hands: tuple[str, ...]
    chat: tuple[ChatLine, ...]
    permissions: tuple[str, ...]


class Resumed(Answer):
    """`missed` holds changes that are encoded and numbered already."""

    resume_token: str
    missed: tuple[Raw, ...]
    server_time_at: int
    publisher: PeerState
    subscriber: PeerState


class PublishAnswer(Answer):
    sdp: str
    tracks: tuple[MidTrack, ...]


class Clock(Answer):
    client_at: float
    server_time_at: int


class Ok(Answer):
    pass


class Error(Answer):
    code: str
    text: str


class ParticipantJoined(Change):
    participant: ParticipantObject


class ParticipantLeft(Change):
    participant: str
    reason: LeaveReason


class ParticipantChanged(Change):
    participant: ParticipantObject


class AudienceChanged(Change):
    count: int


class TrackPublished(Change):
    track: TrackObject


class TrackChanged(Change):
    track: TrackObject


class TrackUnpublished(Change):
    track: str


class StageChanged(Change):
    stage: tuple[str, ...]


class HandsChanged(Change):
    hands: tuple[str, ...]


class ChatSent(Change):
    line: ChatLine


class SessionChanged(Change):
    session: SessionObject


class PermissionsChanged(Change):
    permissions: tuple[str, ...]


class SubscribeOffer(ServerMessage):
    negotiation: int
    sdp: str
    tracks: tuple[MidTrack, ...]
    fresh: bool


class SpeakersChanged(ServerMessage):
    speakers: tuple[Speaker, ...]


class PictureChanged(ServerMessage):
    track: str
    layer: str | None
    limited: bool


class PublisherDown(ServerMessage):
    pass


AnyServerMessage = (
    Joined
    | Resumed
    | PublishAnswer
    | Clock
    | Ok
    | Error
    | ParticipantJoined
    | ParticipantLeft
    | ParticipantChanged
    | AudienceChanged
    | TrackPublished
    | TrackChanged
    | TrackUnpublished
    | StageChanged
    | HandsChanged
    | ChatSent
    | SessionChanged
    | PermissionsChanged
    | SubscribeOffer
    | SpeakersChanged
    | PictureChanged
    | PublisherDown
)


# From and to JSON


class _Envelope(Struct):
    request: object = None


_client_decoder: msgspec.json.Decoder[AnyClientMessage] = msgspec.json.Decoder(AnyClientMessage)
_server_decoder: msgspec.json.Decoder[AnyServerMessage] = msgspec.json.Decoder(AnyServerMessage)
_envelope_decoder = msgspec.json.Decoder(_Envelope)
_encoder = msgspec.json.Encoder()


def decode_client(data: str | bytes) -> AnyClientMessage:
    """Raises ProtocolError (`malformed`) or LimitExceeded (`tooLarge`); the text names the field, never its value."""
    if len(data) > MESSAGE_LIMIT_BYTES:
        raise LimitExceeded(f"A message has at most {MESSAGE_LIMIT_BYTES // 1024} KiB.", "tooLarge")
    try:
        return _client_decoder.decode(data)
    except msgspec.ValidationError as error:
        raise _refusal(str(error)) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise ProtocolError("The message is not JSON.") from None


def request_of(data: str | bytes) -> int | None:
    """The request number of a message that could not be decoded, so that its error can still be told apart."""
    try:
        request = _envelope_decoder.decode(data).request
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return request if type(request) is int and 1 <= request <= 2**53 else None


def encode(message: ServerMessage | ClientMessage) -> bytes:
    """One JSON object in UTF-8."""
    return _encoder.encode(message)


def numbered(change: bytes, seq: int) -> bytes:
    """An encoded change with its number written in: the costly part is encoded once however many receive it."""
    return b'{"seq":%d,%b' % (seq, change[1:])


def decode_server(data: str | bytes) -> AnyServerMessage:
    """For clients written in Python. Raises ProtocolError, also for a type that is not known."""
    try:
        return _server_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise ProtocolError("The server's message is not in the protocol.") from None


def error_message(error: PublicError, request: int | None) -> Error:
    """What a client is told of an error."""
    return Error(code=error.code, text=error.text, request=UNSET if request is None else request)


def _refusal(reason: str) -> ProtocolError | LimitExceeded:
    """msgspec says what was expected and where (`$.name`), and quotes values of enumerations, which stay here."""
    what, _, where = reason.partition(" - at ")
    field = where.strip("`").removeprefix("$").lstrip(".")
    if "length <=" in what:
        return LimitExceeded(f"The field {field} is over its limit.", "tooLarge")
    if field == "type":
        return ProtocolError("There is no such message type.")
    if what.startswith("Object missing required field"):
        return ProtocolError(f"A field is missing: {what.rpartition(' ')[2].strip('`')}.")
    return ProtocolError(
        f"The field {field} has a wrong value." if field else "The message is not in the protocol."
    )
