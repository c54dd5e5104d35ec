"""What a client may say: one class a message, their union tagged by `type`."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from bridge.messages.objects import (
    MARK_LIMIT,
    NAME_LIMIT,
    NOTICE_LIMIT,
    PEOPLE_LIMIT,
    PICTURES_LIMIT,
    TEXT_LIMIT,
    TRACKS_LIMIT,
    AudienceName,
    Id,
    Language,
    LayoutName,
    LowerThirdObject,
    Milliseconds,
    Name,
    QuestionStateName,
    RequestNumber,
    Sdp,
    Sequence,
    Token,
    Wish,
    type_name,
)

Pictures = Annotated[int, Meta(ge=0, le=PICTURES_LIMIT)]


class ClientMessage(
    Struct, kw_only=True, rename="camel", tag_field="type", tag=type_name, omit_defaults=True
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


class AnswerConsent(ClientMessage):
    agreed: bool


class StartRecording(ClientMessage):
    pass


class PauseRecording(ClientMessage):
    paused: bool


class StopRecording(ClientMessage):
    pass


class AddMark(ClientMessage):
    text: Annotated[str, Meta(max_length=MARK_LIMIT)]
    at: Milliseconds | None = None


class RemoveMark(ClientMessage):
    mark: Id


class AskLead(ClientMessage):
    asking: bool
    participant: Id | None = None


class GiveLead(ClientMessage):
    participant: Id | None


class SetView(ClientMessage):
    """What the slots may be called and hold is for who keeps them to say."""

    changes: dict[str, Any]


class ReportReading(ClientMessage):
    following: bool
    preview: Pictures
    sharp: Pictures
    total: Pictures
    open: bool = True


class SetCue(ClientMessage):
    participant: Id | None


class TakeCue(ClientMessage):
    """`participant` is whom the moderator sees as next: another may have cued somebody else meanwhile."""

    participant: Id
    replacing: Id | None = None


class SetStageLayout(ClientMessage):
    layout: LayoutName
    main: Id | None = None
    second: Id | None = None


class SetLowerThird(ClientMessage):
    lower_third: LowerThirdObject | None


class MuteOffStage(ClientMessage):
    pass


class SendNotice(ClientMessage):
    """To these `participants`, or, with none, to all of `to`."""

    text: Annotated[str, Meta(min_length=1, max_length=NOTICE_LIMIT)]
    to: AudienceName = "everybody"
    participants: Annotated[tuple[Id, ...], Meta(max_length=PEOPLE_LIMIT)] = ()


class SetDoor(ClientMessage):
    """What is left out stays as it is: another moderator may have changed it meanwhile."""

    lobby: bool | None = None
    locked: bool | None = None


class Admit(ClientMessage):
    """These of who waits, or, with none, all."""

    waiting: Annotated[tuple[Id, ...], Meta(max_length=PEOPLE_LIMIT)] = ()


class TurnAway(ClientMessage):
    waiting: Id


class AskQuestion(ClientMessage):
    text: Annotated[str, Meta(min_length=1, max_length=NOTICE_LIMIT)]


class WithdrawQuestion(ClientMessage):
    question: Id


class PickQuestion(ClientMessage):
    question: Id
    state: QuestionStateName


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
    | AnswerConsent
    | StartRecording
    | PauseRecording
    | StopRecording
    | AddMark
    | RemoveMark
    | AskLead
    | GiveLead
    | SetView
    | ReportReading
    | SetCue
    | TakeCue
    | SetStageLayout
    | SetLowerThird
    | MuteOffStage
    | SendNotice
    | SetDoor
    | Admit
    | TurnAway
    | AskQuestion
    | WithdrawQuestion
    | PickQuestion
)
