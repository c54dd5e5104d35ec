"""What participants ask of the recording: whether they may, and what it then does. One method for each message.

When a session is recorded decides `recordkeeping`; handlers reach this through `Rooms.records`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from bridge import messages, policy
from bridge.errors import Conflict, LimitExceeded, NotAuthorised, NotFound
from bridge.ids import RecordingId
from bridge.livesession import LiveSession
from bridge.lobby import Lobby
from bridge.media.contract import Recorder
from bridge.participant import Participant
from bridge.recordings import layout
from bridge.recordkeeping import RecordKeeper

MARKS_LIMIT = 500
"""Of one recording: a mark every half minute of four hours. All of them are told at each change."""


class RecordDesk:
    """The recordings of this server as participants may handle them."""

    def __init__(self, lobby: Lobby, keeper: RecordKeeper, now_ms: Callable[[], int]) -> None:
        self._lobby = lobby
        self._keeper = keeper
        self._now_ms = now_ms

    def answer_consent(self, participant: Participant, agreed: bool) -> None:
        """Raises Conflict where nobody is asked."""
        session = self._lobby.session_of(participant)
        session.answer_consent(participant, agreed)
        self._keeper.consent_answered(session, participant.id, agreed)

    def start(self, actor: Participant) -> None:
        """Raises NotAuthorised, or Conflict in a session that is never recorded."""
        self._keeper.begin(self._session_recorded_by(actor), actor.id)

    def pause(self, actor: Participant, paused: bool) -> None:
        """Raises NotAuthorised, or Conflict if it is not recorded."""
        self._keeper.pause(self._session_recorded_by(actor), paused, actor.id)

    def stop(self, actor: Participant) -> None:
        """Raises NotAuthorised."""
        self._keeper.stop(self._session_recorded_by(actor), actor.id)

    def add_mark(self, actor: Participant, text: str, at_ms: float | None) -> messages.MarkObject:
        """At a moment of the recording that runs. Raises NotAuthorised, Conflict, LimitExceeded."""
        session = self._session_recorded_by(actor)
        minutes = self._keeper.minutes_of(session)
        if minutes.paused or session.recording is None:
            raise Conflict("The recording is paused: nothing is kept now.")
        if len(session.marks) >= MARKS_LIMIT:
            raise LimitExceeded(f"A recording has at most {MARKS_LIMIT} marks.")
        now_ms = self._now_ms()
        wished_ms = now_ms if at_ms is None else int(at_ms)
        mark = messages.MarkObject(
            id=secrets.token_hex(6),
            participant=actor.id,
            name=actor.name,
            text=policy.clean_mark(text),
            at=min(now_ms, max(session.recording.started_at_ms, wished_ms)),
        )
        session.marks.append(mark)
        minutes.mark(mark, actor, now_ms)
        session.tell_marks()
        return mark

    def remove_mark(self, actor: Participant, id: str) -> None:
        """Whoever set it. Raises NotAuthorised, NotFound, or Conflict when its recording is over."""
        session = self._session_recorded_by(actor)
        mark = next((mark for mark in session.marks if mark.id == id), None)
        if mark is None:
            raise NotFound("There is no such mark.")
        self._keeper.minutes_of(session).unmark(id, actor)
        session.marks.remove(mark)
        session.tell_marks()

    def marked_elsewhere(self, recording: RecordingId, event: layout.Event) -> None:
        """Who replays a recording while it runs has set or removed a mark: its session shows that too."""
        for session in self._lobby.sessions():
            running = session.recording
            if running is None or running.id != recording:
                continue
            if isinstance(event, layout.MarkAdded) and len(session.marks) < MARKS_LIMIT:
                mark = messages.MarkObject(
                    id=event.mark,
                    participant=event.participant,
                    name=event.name,
                    text=event.text,
                    at=running.started_at_ms + (event.at_ms or 0),
                )
                session.marks.append(mark)
            elif isinstance(event, layout.MarkRemoved):
                session.marks[:] = [mark for mark in session.marks if mark.id != event.mark]
            session.tell_marks()

    def _session_recorded_by(self, actor: Participant) -> LiveSession:
        """Raises NotAuthorised (`notAllowed`)."""
        session = self._lobby.session_of(actor)
        if not actor.moderates:
            raise NotAuthorised("Only moderators may record and mark.", "notAllowed")
        return session


class RunningRecordings:
    """Recordings that run, for who replays them meanwhile (`bridge.recordings.library.Running`)."""

    def __init__(self, recorder: Recorder, desk: RecordDesk) -> None:
        self._recorder = recorder
        self._desk = desk

    def note(self, recording: RecordingId, event: layout.Event) -> None:
        """Keeps an event, and tells the session of a mark."""
        self._recorder.note(recording, event)
        self._desk.marked_elsewhere(recording, event)

    def clock_ms(self, recording: RecordingId) -> int:
        """Now, on the recording's clock; 0 for an unknown one."""
        return self._recorder.clock_ms(recording)
