"""When a session is recorded: by itself or when told to, until it is over; and what people are told of it.

What goes into a recording is `minutes`' matter, the store's rows are `recordbook`'s, and writing is the recorder's.
A recorder, database or disk that fails never stops the live session.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import structlog

from bridge.audit import Entry, Event
from bridge.errands import Errands
from bridge.errors import Conflict
from bridge.ids import (
    ParticipantId,
    RecordingId,
    RecordingState,
    RecordMode,
    SessionId,
    SessionKind,
    new_id,
)
from bridge.livesession import LiveSession
from bridge.media.contract import Recorder, RecorderEvent, RecordingClosed, StorageChanged
from bridge.messages import ChatLine, Language, LeaveReason
from bridge.minutes import Minutes
from bridge.recordbook import RecordBook
from bridge.recordings import layout
from bridge.recordings.retention import KeepDays, retain_until_ms
from bridge.store import RecordingRecord
from bridge.witness import Recording

ALONE_MS = 2 * 60_000
"""A line that is lost for longer than anybody waits; until then it is the same consultation."""
GOES_ON_WITHIN_MS = 3600_000
"""What a crash or restart broke off goes on in a new recording; who opens the session a day later begins another thing.
"""
AGAIN_AFTER_MS = 5000
"""After a recording that could not begin."""
SEAL_WITHIN_S = 8.0
"""How long a stopping server waits for its recordings to be sealed. What takes longer is salvaged at the next start."""
SYSTEM = "system"

_EndReason = Literal["stopped", "sessionEnded", "alone", "shutdown"]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RecordingRules:
    """What the settings say: for how long recordings are kept, and what people are asked."""

    keep_days: KeepDays
    wording: Mapping[Language, str]


@dataclass(frozen=True, slots=True)
class RecordingCounts:
    """How recording goes: how many run, how many of those cannot be written now, and what is missing of all so far."""

    running: int
    in_trouble: int
    lost_ms: int


@dataclass(slots=True)
class _Kept:
    """What is known of a session beside its own state."""

    session: LiveSession
    minutes: Minutes | None = None
    stopped: bool = False
    """Somebody stopped the recording: it does not begin by itself."""
    goes_on: bool = False
    """A crash or a restart broke a recording off: it goes on with whoever comes back first."""
    paused: bool = False
    """It was paused then, and goes on so."""
    looking_back: bool = False
    """That is not known yet: nothing begins by itself."""
    not_before_ms: int = 0
    """When it is tried again to begin one by itself."""
    company_until_ms: int = 0
    """When two were last here, or the recording began."""


@dataclass(slots=True)
class _Open:
    """A recording that is not sealed yet."""

    record: RecordingRecord
    kind: SessionKind
    lost_ms: int = 0
    trouble: str | None = None
    sealed: asyncio.Event = field(default_factory=asyncio.Event)


class RecordKeeper:
    """The recordings of all sessions of this server."""

    def __init__(
        self, recorder: Recorder, book: RecordBook, rules: RecordingRules, now_ms: Callable[[], int]
    ) -> None:
        self.rules = rules
        self._recorder = recorder
        self._book = book
        self._now_ms = now_ms
        self._started_at_ms = now_ms()
        self._kept: dict[SessionId, _Kept] = {}
        self._open: dict[RecordingId, _Open] = {}
        self._lost_ms = 0
        self._errands = Errands()
        self._reader: asyncio.Task[None] | None = None

    # Sessions

    async def take_up(self, session: LiveSession) -> None:
        """A session that somebody comes to, before anybody is in it."""
        kept = self._kept[session.id] = _Kept(session)
        try:
            newest = await self._book.newest(session.id)
        except Exception as error:
            # Whatever the database raises: people come in all the same.
            _log.error("recording.unknown_past", session=session.id, error=type(error).__name__)
            return
        if newest is not None and newest.started_at_ms < self._started_at_ms:
            ended_at_ms = newest.started_at_ms + newest.duration_ms
            salvaged = newest.state is not RecordingState.RUNNING
            if not salvaged or self._now_ms() - ended_at_ms <= GOES_ON_WITHIN_MS:
                # Reading there takes a moment, and somebody waits to be let in.
                kept.looking_back = True
                self._errands.start("look back", self._look_back(kept, newest))

    async def _look_back(self, kept: _Kept, newest: RecordingRecord) -> None:
        """How the last recording of the server's life before ended, and whether people wanted it to."""
        broken_off = newest.state in (RecordingState.CUT, RecordingState.RUNNING)
        # Should it not be readable: what somebody may have paused does not go on unasked.
        stopped, paused = False, broken_off
        try:
            ending = await self._book.ending(newest.id)
            broken_off = broken_off or ending.because == "shutdown"
            stopped = ending.because == "stopped"
            paused = broken_off and ending.paused
        finally:
            # Unless somebody has decided meanwhile.
            if kept.looking_back:
                kept.goes_on, kept.stopped, kept.paused = broken_off, stopped, paused
                kept.looking_back = False

    def forget(self, session: LiveSession) -> None:
        """Nobody has been there for long."""
        self._end(self._kept.pop(session.id, None), "alone")

    def session_ended(self, session: LiveSession) -> None:
        """It is over; whoever is told of that is told of this too."""
        kept = self._kept.pop(session.id, None)
        self._end(kept, "sessionEnded", tell=False)

    def look(self, session: LiveSession) -> None:
        """Begins and ends what time or company decides; to be called a few times a second."""
        kept = self._kept.get(session.id)
        if kept is None or session.record.record is RecordMode.NEVER:
            return
        anybody, here = _company(session)
        if not anybody:
            kept.stopped = False
        now_ms = self._now_ms()
        if here >= 2:
            kept.company_until_ms = now_ms
        if kept.minutes is None:
            if now_ms >= kept.not_before_ms and self._shall_begin(kept, here):
                self._begin_by_itself(kept, now_ms)
        elif now_ms - kept.company_until_ms >= ALONE_MS:
            self._end(kept, "alone")

    def _shall_begin(self, kept: _Kept, here: int) -> bool:
        mode = kept.session.record.record
        if mode is RecordMode.NEVER or kept.stopped or kept.looking_back:
            return False
        return here >= (1 if kept.goes_on else 2) and (kept.goes_on or mode is RecordMode.AUTO)

    # What people ask for

    def begin(self, session: LiveSession, by: ParticipantId) -> None:
        """Begins, or goes on after a pause. Raises Conflict where nothing may be recorded."""
        kept = self._kept.get(session.id)
        if kept is None or session.record.record is RecordMode.NEVER:
            raise Conflict("This session is set up never to be recorded.")
        if kept.minutes is None:
            self._begin(kept, _who(by))
        elif kept.minutes.paused:
            self.pause(session, False, by)

    def pause(self, session: LiveSession, paused: bool, by: ParticipantId) -> None:
        """Raises Conflict if it is not recorded."""
        minutes = self.minutes_of(session)
        if minutes.paused == paused:
            return
        if paused:
            minutes.pause(by)
        else:
            minutes.resume(by)
        if session.recording is not None:
            session.recording.paused = paused
        self._book.note(
            Entry(Event.OBJECT_CHANGED, _who(by), _ref(minutes.id), detail={"paused": int(paused)})
        )
        session.tell_session()

    def stop(self, session: LiveSession, by: ParticipantId) -> None:
        """Ends it; it does not begin again by itself."""
        kept = self._kept.get(session.id)
        if kept is not None:
            kept.stopped, kept.looking_back = True, False
            if kept.minutes is not None:
                self._book.note(
                    Entry(Event.OBJECT_CHANGED, _who(by), _ref(kept.minutes.id), detail={"stopped": 1})
                )
            self._end(kept, "stopped")

    def minutes_of(self, session: LiveSession) -> Minutes:
        """Of the recording that runs. Raises Conflict if none does."""
        kept = self._kept.get(session.id)
        if kept is None or kept.minutes is None:
            raise Conflict("This session is not being recorded now.")
        return kept.minutes

    def consent_answered(self, session: LiveSession, who: ParticipantId, agreed: bool) -> None:
        """Puts an answer into the audit; into the recording it comes as a change of the session."""
        detail: dict[str, int | str] = {"agreed": int(agreed)}
        self._book.note(Entry(Event.CONSENT_ANSWERED, _who(who), f"session/{session.id}", detail=detail))

    # What happens in sessions

    def changed(self, session: LiveSession) -> None:
        """Something may be different now."""
        self._keep(session, Minutes.catch_up)

    def left(self, session: LiveSession, whom: ParticipantId, reason: LeaveReason) -> None:
        """Somebody went."""
        self._keep(session, lambda minutes: minutes.left(whom, reason))

    def said(self, session: LiveSession, line: ChatLine) -> None:
        """A line of chat."""
        self._keep(session, lambda minutes: minutes.said(line))

    def _keep(self, session: LiveSession, keep: Callable[[Minutes], None]) -> None:
        """Whatever goes wrong with the recording, who talks with each other does not notice."""
        kept = self._kept.get(session.id)
        if kept is None or kept.minutes is None:
            return
        try:
            keep(kept.minutes)
        except Exception:
            _log.exception("recording.missed", recording=kept.minutes.id)

    # Beginning and ending

    def _begin_by_itself(self, kept: _Kept, now_ms: int) -> None:
        """One session that cannot be recorded must not stop the time of the others."""
        try:
            self._begin(kept, SYSTEM)
        except Exception:
            kept.not_before_ms = now_ms + AGAIN_AFTER_MS
            _log.exception("recording.not_begun", session=kept.session.id)

    def _begin(self, kept: _Kept, by: str) -> None:
        session, now_ms = kept.session, self._now_ms()
        id = RecordingId(new_id())
        record = RecordingRecord(id, session.id, RecordingState.RUNNING, now_ms)
        paused = kept.paused and by == SYSTEM
        minutes = Minutes(self._recorder, id, session, self.rules.wording, paused=paused)
        # First of all: nobody is told of a recording that there is not.
        minutes.begin(now_ms)
        kept.minutes = minutes
        kept.stopped = kept.goes_on = kept.paused = kept.looking_back = False
        kept.company_until_ms = now_ms
        self._open[id] = _Open(record, session.record.kind)
        self._book.begun(record, Entry(Event.OBJECT_CREATED, by, _ref(id)))
        session.recording = Recording(id, now_ms, paused)
        if session.marks:
            session.marks.clear()
            session.tell_marks()
        session.tell_session()
        _log.info("recording.begun", session=session.id, recording=id, by_itself=by == SYSTEM)

    def _end(self, kept: _Kept | None, reason: _EndReason, *, tell: bool = True) -> None:
        if kept is None or kept.minutes is None:
            return
        minutes, kept.minutes = kept.minutes, None
        minutes.end(layout.RecordingEnded(reason=reason))
        kept.session.recording = None
        if tell:
            kept.session.tell_session()
        _log.info("recording.ended", session=kept.session.id, recording=minutes.id, reason=reason)

    # The recorder's news

    def start(self) -> None:
        """Begins to take the recorder's news; needs a running loop."""
        self._book.start()
        self._reader = asyncio.create_task(self._read(), name="recorder news")

    async def close(self) -> None:
        """Ends all recordings and waits until they are sealed, at most a few seconds."""
        for kept in list(self._kept.values()):
            self._end(kept, "shutdown", tell=False)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SEAL_WITHIN_S):
                for recording in list(self._open.values()):
                    await recording.sealed.wait()
        if self._open:
            _log.error("recording.not_sealed", recordings=len(self._open))
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        await self._book.stop()

    async def _read(self) -> None:
        while True:
            event = await self._recorder.events.get()
            try:
                self.hear(event)
            except Exception:
                _log.exception("recording.event_failed", kind=type(event).__name__)

    def hear(self, event: RecorderEvent) -> None:
        """Takes one piece of the recorder's news."""
        recording = self._open.get(event.recording)
        if recording is None:
            return
        if isinstance(event, StorageChanged):
            self._storage_changed(recording, event)
        else:
            self._closed(recording, event)

    def _storage_changed(self, recording: _Open, event: StorageChanged) -> None:
        if event.trouble != recording.trouble:
            tell = _log.info if event.trouble is None else _log.error
            tell("recording.storage", recording=event.recording, trouble=event.trouble, lost_ms=event.lost_ms)
        self._lost_ms += max(0, event.lost_ms - recording.lost_ms)
        recording.trouble, recording.lost_ms = event.trouble, event.lost_ms
        kept = self._kept.get(recording.record.session)
        shown = None if kept is None else kept.session.recording
        if kept is not None and shown is not None and shown.id == event.recording:
            shown.trouble, shown.lost_ms = event.trouble, event.lost_ms
            kept.session.tell_session()

    def _closed(self, recording: _Open, event: RecordingClosed) -> None:
        record = recording.record
        ended_at_ms = record.started_at_ms + event.duration_ms
        closed = replace(
            record,
            state=RecordingState.ENDED,
            duration_ms=event.duration_ms,
            size_bytes=event.size_bytes,
            retain_until_ms=retain_until_ms(self.rules.keep_days, recording.kind, ended_at_ms),
        )
        del self._open[event.recording]
        self._book.closed(closed)
        recording.sealed.set()
        _log.info("recording.sealed", recording=event.recording, duration_ms=event.duration_ms)

    def counts(self) -> RecordingCounts:
        return RecordingCounts(
            sum(kept.minutes is not None for kept in self._kept.values()),
            sum(recording.trouble is not None for recording in self._open.values()),
            self._lost_ms,
        )

    async def settle(self) -> None:
        """Waits until all that is under way is done."""
        await self._errands.settle()
        await self._book.settle()


def _company(session: LiveSession) -> tuple[bool, int]:
    """Whether there are people, encoders aside, and how many of them are connected; no more than two are counted."""
    anybody, here = False, 0
    for who in session.people.values():
        if not who.device:
            anybody = True
            here += who.connected
            if here == 2:
                break
    return anybody, here


def _who(participant: ParticipantId) -> str:
    return f"participant:{participant}"


def _ref(recording: RecordingId) -> str:
    return str(layout.ref_of(recording))
