"""What goes into one recording: keeps what the recorder knows in step with the session, and out of it what must not in.

Not kept: anything while it is paused, and of who was asked and has not agreed picture, sound, name and chat. When to
record is not decided here.
"""

from __future__ import annotations

from collections.abc import Mapping

from bridge.ids import ParticipantId, RecordingId
from bridge.livesession import LiveSession
from bridge.media.contract import RecordedTrack, Recorder
from bridge.messages import ChatLine, Language, LeaveReason, MarkObject
from bridge.participant import ConsentAnswer, Participant
from bridge.recordings import layout


class Minutes:
    """One recording while it runs. It remembers what the recording knows, and notes only what is new."""

    def __init__(
        self,
        recorder: Recorder,
        id: RecordingId,
        session: LiveSession,
        wording: Mapping[Language, str],
        *,
        paused: bool = False,
    ) -> None:
        self.id = id
        self.paused = paused
        self._recorder = recorder
        self._session = session
        self._wording = wording
        self._names: dict[ParticipantId, str] = {}
        self._answers: dict[ParticipantId, ConsentAnswer] = {}
        self._reasons: dict[ParticipantId, LeaveReason] = {}
        self._stage: tuple[ParticipantId, ...] = ()
        self._hands: tuple[ParticipantId, ...] = ()
        self._leader = ""
        self._study = ""
        self._tracks: tuple[RecordedTrack, ...] = ()

    def begin(self, now_ms: int) -> None:
        """The recording's zero is now; who is there and what is shown is noted."""
        record = self._session.record
        started = layout.RecordingStarted(
            session=record.id,
            title=record.title,
            session_kind=record.kind,
            session_format=record.format,
            started_at=now_ms,
        )
        self._recorder.begin(self.id, started)
        try:
            if self.paused:
                self._note(layout.RecordingPaused(by=""))
            self.catch_up()
        except BaseException:
            self.end(layout.RecordingEnded(reason="stopped"))
            raise

    def catch_up(self) -> None:
        """Notes what is different since the last time, and says which tracks belong in."""
        try:
            if not self.paused:
                self._note_people()
                self._note_places()
                self._note_reading()
        finally:
            # Whatever goes wrong with the notes, nobody is kept who does not agree any more.
            self._follow()

    def pause(self, by: str) -> None:
        self._note(layout.RecordingPaused(by=by))
        self.paused = True
        self._follow()

    def resume(self, by: str) -> None:
        self.paused = False
        self._note(layout.RecordingResumed(by=by))
        self.catch_up()

    def left(self, whom: ParticipantId, reason: LeaveReason) -> None:
        """Somebody is gone, for this reason."""
        self._reasons[whom] = reason
        self.catch_up()

    def said(self, line: ChatLine) -> None:
        """A line of who has not agreed is not kept."""
        sender = self._session.people.get(ParticipantId(line.from_))
        if not self.paused and sender is not None and _agrees(sender):
            self._note(layout.ChatSent(participant=line.from_, name=line.name, text=line.text))

    def mark(self, mark: MarkObject, by: Participant, now_ms: int) -> None:
        """At its moment, which may be a while ago."""
        clock_ms = self._recorder.clock_ms(self.id)
        self._note(
            layout.MarkAdded(
                at_ms=max(0, clock_ms - max(0, now_ms - mark.at)),
                mark=mark.id,
                participant=by.id,
                name=_kept_name(by),
                text=mark.text,
            )
        )

    def unmark(self, mark: str, by: Participant) -> None:
        self._note(layout.MarkRemoved(mark=mark, participant=by.id))

    def end(self, reason: layout.RecordingEnded) -> None:
        self._recorder.end(self.id, reason)

    def _note_people(self) -> None:
        people = self._session.people
        for id in [id for id in self._names if id not in people]:
            del self._names[id]
            self._answers.pop(id, None)
            self._note(layout.ParticipantLeft(participant=id, reason=self._reasons.get(id, "left")))
        self._reasons.clear()
        for id, who in people.items():
            name = _kept_name(who)
            if id not in self._names:
                role, point = who.grant.role.value, who.grant.point
                self._note(layout.ParticipantJoined(participant=id, name=name, role=role, point=point))
                self._names[id] = name
            # Before the name that it allows.
            self._note_answer(who)
            if self._names[id] != name:
                self._note(layout.ParticipantRenamed(participant=id, name=name))
                self._names[id] = name

    def _note_answer(self, who: Participant) -> None:
        answer = who.answer
        if answer is None or self._answers.get(who.id) == answer:
            return
        self._answers[who.id] = answer
        self._note(
            layout.ConsentAnswered(
                participant=who.id,
                name=_kept_name(who),
                agreed=answer.agreed,
                language=answer.language,
                wording=self._wording[answer.language],
                answered_at=answer.at_ms,
            )
        )

    def _note_places(self) -> None:
        stage, hands = self._session.stage, tuple(self._session.hands)
        if stage != self._stage:
            self._stage = stage
            self._note(layout.StageChanged(stage=stage))
        if hands != self._hands:
            self._hands = hands
            self._note(layout.HandsChanged(hands=hands))

    def _note_reading(self) -> None:
        reading = self._session.reading
        who, name = self._named(reading.leader)
        if who != self._leader:
            self._leader = who
            self._note(layout.LeadChanged(participant=who, name=name))
        if reading.shown != self._study:
            self._study = reading.shown
            who, name = self._named(reading.by)
            self._note(layout.StudyShown(participant=who, name=name, study=reading.shown))

    def _named(self, who: ParticipantId | None) -> tuple[str, str]:
        found = self._session.people.get(who) if who is not None else None
        return (found.id, _kept_name(found)) if found is not None else ("", "")

    def _follow(self) -> None:
        people = self._session.people
        tracks = tuple(
            RecordedTrack(
                publication.track.track,
                publication.participant,
                publication.track.source,
                publication.track.kind,
                held=self.paused or publication.silent or not _agrees(people[publication.participant]),
            )
            for publication in self._session.stage_tracks()
        )
        if tracks != self._tracks:
            self._tracks = tracks
            self._recorder.follow(self.id, tracks)

    def _note(self, event: layout.Event) -> None:
        self._recorder.note(self.id, event)


def _agrees(who: Participant) -> bool:
    return who.consent in (None, "given")


def _kept_name(who: Participant) -> str:
    return who.name if _agrees(who) else ""
