"""What the server says: answers, numbered changes, and news of which only the newest counts."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Raw, Struct, UnsetType

from bridge.messages.objects import (
    ChatLine,
    LayoutName,
    LeaveReason,
    LoadName,
    LowerThirdObject,
    MarkObject,
    MidTrack,
    NoticeObject,
    ParticipantObject,
    PeerState,
    QuestionObject,
    ReaderObject,
    SessionObject,
    Speaker,
    StudyObject,
    TrackObject,
    WaitingObject,
    WaitingReason,
    type_name,
)


class ServerMessage(Struct, kw_only=True, rename="camel", tag_field="type", tag=type_name):
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
    consent_wording: str | None
    marks: tuple[MarkObject, ...]


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


class MarkAdded(Answer):
    mark: MarkObject


class QuestionAsked(Answer):
    question: str


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
    """`points`: how many points are here."""

    count: int
    points: int


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


class MarksChanged(Change):
    marks: tuple[MarkObject, ...]


class NoticeReceived(Change):
    notice: NoticeObject


class AgendaChanged(Change):
    """The run of show has another version: it is asked for over HTTP."""

    version: int


class LayersWanted(Change):
    """`layers`: rids, "" of a track without simulcast."""

    track: str
    layers: tuple[str, ...]


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


class StudiesListed(ServerMessage):
    studies: tuple[StudyObject, ...]


class StudyChanged(ServerMessage):
    study: StudyObject


class ReadingChanged(ServerMessage):
    leader: str | None
    asking: tuple[str, ...]


class ViewChanged(ServerMessage):
    """`changes` may hold values that are encoded already (`Raw`)."""

    by: str | None
    changes: dict[str, Any]
    whole: bool


class ReadersChanged(ServerMessage):
    readers: tuple[ReaderObject, ...]


class EventChanged(ServerMessage):
    """What everybody in an event follows. `next`: who receives this is the cue."""

    layout: LayoutName
    main: str | None
    second: str | None
    lower_third: LowerThirdObject | None
    question: QuestionObject | None
    next: bool


class DeskChanged(ServerMessage):
    """What moderators of an event share besides. `waiting` are those in the lobby, the longest first."""

    cue: str | None
    waiting: tuple[WaitingObject, ...]
    load: LoadName


class Waiting(ServerMessage):
    """Before `joined`: why somebody is not in yet, and how many come in before; 0 where that is not known."""

    reason: WaitingReason
    place: int


class QuestionsChanged(ServerMessage):
    questions: tuple[QuestionObject, ...]


AnyServerMessage = (
    Joined
    | Resumed
    | PublishAnswer
    | Clock
    | MarkAdded
    | QuestionAsked
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
    | MarksChanged
    | NoticeReceived
    | AgendaChanged
    | LayersWanted
    | SubscribeOffer
    | SpeakersChanged
    | PictureChanged
    | PublisherDown
    | StudiesListed
    | StudyChanged
    | ReadingChanged
    | ViewChanged
    | ReadersChanged
    | EventChanged
    | DeskChanged
    | Waiting
    | QuestionsChanged
)
