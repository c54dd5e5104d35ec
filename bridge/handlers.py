"""What a participant may say, one small handler for each message: from the wire's fields to one call of rooms.

Each returns its answer, or None for `ok`; what it refuses it raises. Coming in is `signaling`'s.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from bridge import messages
from bridge.errors import ProtocolError
from bridge.media.contract import Description
from bridge.participant import Participant
from bridge.reading import Progress
from bridge.rooms import Rooms


@dataclass(frozen=True, slots=True)
class Call:
    """Where a message comes from."""

    rooms: Rooms
    participant: Participant
    now_ms: int


Answer = messages.Answer | None
Handler = Callable[[Call, Any], Awaitable[Answer]]


async def _publish_offer(call: Call, m: messages.PublishOffer) -> Answer:
    return await call.rooms.publish(call.participant, Description(m.sdp), m.tracks, m.fresh)


async def _set_track_muted(call: Call, m: messages.SetTrackMuted) -> Answer:
    call.rooms.set_track_muted(call.participant, m.track, m.muted)
    return None


async def _subscribe_answer(call: Call, m: messages.SubscribeAnswer) -> Answer:
    await call.rooms.accept_answer(call.participant, m.negotiation, Description(m.sdp))
    return None


async def _set_subscription(call: Call, m: messages.SetSubscription) -> Answer:
    call.rooms.set_subscription(call.participant, m.track, math.ceil(m.max_height))
    return None


async def _restart_subscriber(call: Call, m: messages.RestartSubscriber) -> Answer:
    call.rooms.restart_subscriber(call.participant, m.fresh)
    return None


async def _set_hand(call: Call, m: messages.SetHand) -> Answer:
    call.rooms.set_hand(call.participant, m.raised, m.participant)
    return None


async def _send_chat(call: Call, m: messages.SendChat) -> Answer:
    call.rooms.send_chat(call.participant, m.text)
    return None


async def _give_floor(call: Call, m: messages.GiveFloor) -> Answer:
    call.rooms.give_floor(call.participant, m.participant)
    return None


async def _take_floor(call: Call, m: messages.TakeFloor) -> Answer:
    call.rooms.take_floor(call.participant, m.participant)
    return None


async def _block_track(call: Call, m: messages.BlockTrack) -> Answer:
    call.rooms.block_track(call.participant, m.track, m.blocked)
    return None


async def _remove_participant(call: Call, m: messages.RemoveParticipant) -> Answer:
    await call.rooms.remove(call.participant, m.participant)
    return None


async def _end_session(call: Call, m: messages.EndSession) -> Answer:
    await call.rooms.end_by(call.participant)
    return None


async def _set_name(call: Call, m: messages.SetName) -> Answer:
    call.rooms.set_name(call.participant, m.name)
    return None


async def _report_clock(call: Call, m: messages.ReportClock) -> Answer:
    call.rooms.report_clock(call.participant, m.clock_offset_ms)
    return None


async def _sync_clock(call: Call, m: messages.SyncClock) -> Answer:
    return messages.Clock(client_at=m.client_at, server_time_at=call.now_ms)


async def _answer_consent(call: Call, m: messages.AnswerConsent) -> Answer:
    call.rooms.records.answer_consent(call.participant, m.agreed)
    return None


async def _start_recording(call: Call, m: messages.StartRecording) -> Answer:
    call.rooms.records.start(call.participant)
    return None


async def _pause_recording(call: Call, m: messages.PauseRecording) -> Answer:
    call.rooms.records.pause(call.participant, m.paused)
    return None


async def _stop_recording(call: Call, m: messages.StopRecording) -> Answer:
    call.rooms.records.stop(call.participant)
    return None


async def _add_mark(call: Call, m: messages.AddMark) -> Answer:
    return messages.MarkAdded(mark=call.rooms.records.add_mark(call.participant, m.text, m.at))


async def _remove_mark(call: Call, m: messages.RemoveMark) -> Answer:
    call.rooms.records.remove_mark(call.participant, m.mark)
    return None


async def _leave(call: Call, m: messages.Leave) -> Answer:
    call.rooms.leave(call.participant)
    return None


async def _already_in(call: Call, m: messages.ClientMessage) -> Answer:
    raise ProtocolError("This connection has joined already.")


async def _ask_lead(call: Call, m: messages.AskLead) -> Answer:
    call.rooms.readings.ask_lead(call.participant, m.asking, m.participant)
    return None


async def _give_lead(call: Call, m: messages.GiveLead) -> Answer:
    call.rooms.readings.give_lead(call.participant, m.participant)
    return None


async def _set_view(call: Call, m: messages.SetView) -> Answer:
    call.rooms.readings.set_view(call.participant, m.changes)
    return None


async def _report_reading(call: Call, m: messages.ReportReading) -> Answer:
    progress = Progress(m.following, m.preview, m.sharp, m.total) if m.open else None
    call.rooms.readings.report(call.participant, progress)
    return None


async def _set_cue(call: Call, m: messages.SetCue) -> Answer:
    call.rooms.events.set_cue(call.participant, m.participant)
    return None


async def _take_cue(call: Call, m: messages.TakeCue) -> Answer:
    call.rooms.events.take_cue(call.participant, m.participant, m.replacing)
    return None


async def _set_stage_layout(call: Call, m: messages.SetStageLayout) -> Answer:
    call.rooms.events.set_layout(call.participant, m.layout, m.main, m.second)
    return None


async def _set_lower_third(call: Call, m: messages.SetLowerThird) -> Answer:
    call.rooms.events.set_lower_third(call.participant, m.lower_third)
    return None


async def _mute_off_stage(call: Call, m: messages.MuteOffStage) -> Answer:
    call.rooms.events.mute_off_stage(call.participant)
    return None


async def _send_notice(call: Call, m: messages.SendNotice) -> Answer:
    call.rooms.events.send_notice(call.participant, m.participants or m.to, m.text)
    return None


async def _set_door(call: Call, m: messages.SetDoor) -> Answer:
    await call.rooms.admission.set_door(call.participant, lobby=m.lobby, locked=m.locked)
    return None


async def _admit(call: Call, m: messages.Admit) -> Answer:
    call.rooms.admission.admit(call.participant, m.waiting)
    return None


async def _turn_away(call: Call, m: messages.TurnAway) -> Answer:
    call.rooms.admission.turn_away(call.participant, m.waiting)
    return None


async def _ask_question(call: Call, m: messages.AskQuestion) -> Answer:
    return messages.QuestionAsked(question=call.rooms.events.ask(call.participant, m.text))


async def _withdraw_question(call: Call, m: messages.WithdrawQuestion) -> Answer:
    call.rooms.events.withdraw(call.participant, m.question)
    return None


async def _pick_question(call: Call, m: messages.PickQuestion) -> Answer:
    call.rooms.events.pick(call.participant, m.question, m.state)
    return None


HANDLERS: dict[type[messages.ClientMessage], Handler] = {
    messages.Join: _already_in,
    messages.Resume: _already_in,
    messages.Leave: _leave,
    messages.PublishOffer: _publish_offer,
    messages.SetTrackMuted: _set_track_muted,
    messages.SubscribeAnswer: _subscribe_answer,
    messages.SetSubscription: _set_subscription,
    messages.RestartSubscriber: _restart_subscriber,
    messages.SetHand: _set_hand,
    messages.SendChat: _send_chat,
    messages.GiveFloor: _give_floor,
    messages.TakeFloor: _take_floor,
    messages.BlockTrack: _block_track,
    messages.RemoveParticipant: _remove_participant,
    messages.EndSession: _end_session,
    messages.SetName: _set_name,
    messages.ReportClock: _report_clock,
    messages.SyncClock: _sync_clock,
    messages.AnswerConsent: _answer_consent,
    messages.StartRecording: _start_recording,
    messages.PauseRecording: _pause_recording,
    messages.StopRecording: _stop_recording,
    messages.AddMark: _add_mark,
    messages.RemoveMark: _remove_mark,
    messages.AskLead: _ask_lead,
    messages.GiveLead: _give_lead,
    messages.SetView: _set_view,
    messages.ReportReading: _report_reading,
    messages.SetCue: _set_cue,
    messages.TakeCue: _take_cue,
    messages.SetStageLayout: _set_stage_layout,
    messages.SetLowerThird: _set_lower_third,
    messages.MuteOffStage: _mute_off_stage,
    messages.SendNotice: _send_notice,
    messages.SetDoor: _set_door,
    messages.Admit: _admit,
    messages.TurnAway: _turn_away,
    messages.AskQuestion: _ask_question,
    messages.WithdrawQuestion: _withdraw_question,
    messages.PickQuestion: _pick_question,
}

COSTLY: frozenset[type[messages.ClientMessage]] = frozenset(
    {
        messages.PublishOffer,
        messages.RestartSubscriber,
        messages.SetTrackMuted,
        messages.SetHand,
        messages.SendChat,
        messages.SetName,
        messages.AnswerConsent,
        messages.StartRecording,
        messages.PauseRecording,
        messages.StopRecording,
        messages.AddMark,
        messages.RemoveMark,
        messages.AskLead,
        messages.GiveLead,
        messages.SetCue,
        messages.TakeCue,
        messages.SetStageLayout,
        messages.SetLowerThird,
        messages.MuteOffStage,
        messages.SendNotice,
        messages.SetDoor,
        messages.Admit,
        messages.TurnAway,
        messages.AskQuestion,
        messages.WithdrawQuestion,
        messages.PickQuestion,
    }
)
"""What hundreds of others may be told of, or makes a new peer connection: not to be done 20 times a second."""
OWN_RATE: frozenset[type[messages.ClientMessage]] = frozenset({messages.SetView})
"""What may come oftener than all else together, and does not count with it while it keeps to its own rate."""


def spend_allowance(call: Call, message: messages.ClientMessage) -> None:
    """Raises LimitExceeded (`tooMany`) for what comes too often from this participant."""
    kind, who = type(message), call.participant
    if kind in COSTLY:
        who.costly.spend(call.now_ms, "Too much at once: wait a moment.")
    elif kind is messages.SetView:
        who.view_changes.spend(call.now_ms, "The view changes too fast.")
    elif kind is messages.ReportReading:
        who.reports.spend(call.now_ms, "This is told too often.")
