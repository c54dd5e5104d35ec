"""What participants ask of reading together: whether they may, what it then does, who is told. One method a message.

Only who may `read` asks, and only they are told. What a view is decides `reading`, what is new of studies `studynews`;
handlers reach this through `Rooms.readings`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import structlog
from msgspec import Raw

from bridge import messages
from bridge.errands import Errands
from bridge.errors import BridgeError, Conflict, NotAuthorised
from bridge.ids import SessionId
from bridge.livesession import LiveSession
from bridge.lobby import Lobby
from bridge.participant import Participant
from bridge.reading import Progress, Reading
from bridge.recordkeeping import RecordKeeper
from bridge.studynews import StudyNews
from bridge.studytelling import StudyTelling

LEADER_LOST_MS = 10_000
"""A line that comes back by itself has come back by then; nobody waits longer for who leads."""
READERS_TOLD_EVERY_MS = 500
READERS_AT_ONCE = 8
"""With more of them they are told less often: the list goes to each, and grows with each, on thin lines too."""
_log = structlog.get_logger(__name__)


class ReadingDesk:
    """The reading of studies in all sessions of this server."""

    def __init__(
        self,
        lobby: Lobby,
        keeper: RecordKeeper,
        studies: StudyNews,
        errands: Errands,
        now_ms: Callable[[], int],
    ) -> None:
        self.telling = StudyTelling(studies, errands, now_ms)
        """What readers are told of the session's studies."""
        self._lobby = lobby
        self._keeper = keeper
        self._studies = studies
        self._errands = errands
        self._now_ms = now_ms

    # What participants ask for

    def ask_lead(self, actor: Participant, asking: bool, whose: str | None) -> None:
        """Another's wish is turned down by who leads or moderates. Raises NotAuthorised, NotFound."""
        session = self._session_read_by(actor)
        reading = session.reading
        if whose is None or whose == actor.id:
            (reading.ask if asking else reading.ask_no_more)(actor.id)
        elif asking:
            raise NotAuthorised("Nobody asks for another.", "notAllowed")
        else:
            _require_lead(reading, actor)
            reading.ask_no_more(session.person(whose).id)
        self._tell_lead(session)

    def give_lead(self, actor: Participant, whom: str | None) -> None:
        """Raises NotAuthorised, NotFound, Conflict for one who does not read or is not connected."""
        session = self._session_read_by(actor)
        _require_lead(session.reading, actor)
        target = session.person(whom) if whom is not None else None
        if target is not None and not (target.reads and target.connected):
            raise Conflict("This participant cannot lead now.")
        session.reading.give(target.id if target is not None else None)
        self._tell_lead(session)

    def set_view(self, actor: Participant, changes: Mapping[str, Any]) -> None:
        """Who is refused for what it said is told what the others see, after the refusal.

        Raises NotAuthorised, ProtocolError, LimitExceeded.
        """
        session = self._session_read_by(actor)
        try:
            self._change_view(session, actor, changes)
        except BridgeError as error:
            # What only came too fast is said again by who said it.
            if error.code != "tooMany":
                self._errands.start("tell the view back", _tell_view(session.reading, actor))
            raise

    def _change_view(self, session: LiveSession, actor: Participant, changes: Mapping[str, Any]) -> None:
        reading = session.reading
        now_ms = self._now_ms()
        delta = reading.change(
            actor.id,
            changes,
            pay=lambda size_bytes: actor.view_bytes.spend(now_ms, "The view changes too much.", size_bytes),
        )
        if not delta.changes and not delta.whole:
            return
        if delta.whole:
            self._look_what_is_shown(session)
        news = _view_news(reading, delta.changes, whole=delta.whole)
        for reader in _readers(session):
            if reader is not actor:
                reader.tell(news)

    def report(self, actor: Participant, progress: Progress | None) -> None:
        """How far it is; None when it has closed the pictures. Raises NotAuthorised."""
        self._session_read_by(actor).reading.report(actor.id, progress)

    # Coming and time

    def catch_up(self, session: LiveSession, participant: Participant) -> None:
        """After the answer to `join` or `resume`: what no snapshot holds."""
        if not participant.reads:
            return
        reading = session.reading
        participant.tell(_lead_news(reading))
        participant.tell(_view_news(reading, reading.view, whole=True))
        participant.tell(_readers_news(reading))
        self.telling.owe_list(session.id, participant)

    def tick(self, session: LiveSession, now_ms: int) -> None:
        """What time brings to one session."""
        reading = session.reading
        if reading.is_untouched:
            return
        self._look_what_is_shown(session)
        leader = session.people.get(reading.leader) if reading.leader is not None else None
        lost_since_ms = leader.away_since_ms if leader is not None else None
        if leader is not None and lost_since_ms is not None and now_ms - lost_since_ms > LEADER_LOST_MS:
            reading.give(None)
        if reading.lead_is_news:
            self._tell_lead(session)
        pause_ms = READERS_TOLD_EVERY_MS * max(1, len(reading.readers) // READERS_AT_ONCE)
        if reading.readers_are_news and now_ms - reading.readers_told_at_ms >= pause_ms:
            reading.readers_are_news = False
            reading.readers_told_at_ms = now_ms
            _tell(session, _readers_news(reading))

    def tell_studies(self) -> None:
        """What is new of the studies of all sessions."""
        if self._studies.is_news:
            due = self._studies.due()
            for id in due.relisted:
                self._owe(id, self.telling.owe_list)
            for id, study in due.changed:
                self._owe(id, partial(self.telling.owe_study, study_uid=study.uid))
        self.telling.tick()

    # Telling

    def _look_what_is_shown(self, session: LiveSession) -> None:
        """Also as time goes on: a study may be put on view before it is the session's, or be shredded while it is."""
        reading = session.reading
        study = reading.study
        shown = self._studies.vault_id(session.id, study) if study is not None else ""
        if shown != reading.shown:
            reading.shown = shown
            self._keeper.changed(session)

    def _tell_lead(self, session: LiveSession) -> None:
        if session.reading.lead_is_news:
            session.reading.lead_is_news = False
            _tell(session, _lead_news(session.reading))
            self._keeper.changed(session)

    def _owe(self, id: SessionId, owe: Callable[[SessionId, Participant], None]) -> None:
        if (session := self._lobby.find(id)) is None:
            return
        for reader in _readers(session):
            try:
                owe(id, reader)
            except Exception:
                # The others, and all other sessions, are told nevertheless.
                _log.exception("studies.tell_failed", session=id)

    def _session_read_by(self, actor: Participant) -> LiveSession:
        """Raises NotAuthorised (`notAllowed`)."""
        session = self._lobby.session_of(actor)
        if not actor.reads:
            raise NotAuthorised("This link does not open studies.", "notAllowed")
        return session


def _require_lead(reading: Reading, actor: Participant) -> None:
    if actor.id != reading.leader and not actor.moderates:
        raise NotAuthorised("Only who leads or moderates may do this.", "notAllowed")


def _readers(session: LiveSession) -> list[Participant]:
    return [who for who in session.people.values() if who.reads]


def _tell(session: LiveSession, news: bytes) -> None:
    for reader in _readers(session):
        reader.tell(news)


def _lead_news(reading: Reading) -> bytes:
    return messages.encode(messages.ReadingChanged(leader=reading.leader, asking=tuple(reading.asking)))


async def _tell_view(reading: Reading, reader: Participant) -> None:
    reader.tell(_view_news(reading, reading.view, whole=True))


def _view_news(reading: Reading, changes: Mapping[str, bytes], *, whole: bool) -> bytes:
    slots = {name: Raw(value) for name, value in changes.items()}
    return messages.encode(messages.ViewChanged(by=reading.by, changes=slots, whole=whole))


def _readers_news(reading: Reading) -> bytes:
    return messages.encode(
        messages.ReadersChanged(
            readers=tuple(
                messages.ReaderObject(
                    participant=id,
                    following=progress.following,
                    preview=progress.preview,
                    sharp=progress.sharp,
                    total=progress.total,
                )
                for id, progress in reading.readers.items()
            )
        )
    )
