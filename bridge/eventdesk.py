"""What people ask of an event: who is next, the stage's layout, notices, questions. Whether they may, and who is told.

One method a message; handlers reach this through `Rooms.events`. What an event's state is decides `eventstate`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from itertools import islice

from bridge import messages, policy
from bridge.errors import Conflict, LimitExceeded, NotAuthorised
from bridge.eventstate import EventState, Question
from bridge.forwarding import Forwarding
from bridge.ids import ParticipantId, Role, SessionId
from bridge.livesession import LiveSession, require_moderator
from bridge.load import Load
from bridge.lobby import Lobby
from bridge.media.contract import Source
from bridge.participant import Participant, Publication

QUESTIONS_TOLD_EVERY_MS = 500
LOBBY_TOLD_EVERY_MS = 1000
LOBBY_LISTED = 600
"""The longest waiting; the others are listed as these come in."""


class EventDesk:
    """The events among the sessions of this server."""

    def __init__(self, lobby: Lobby, forwarding: Forwarding, now_ms: Callable[[], int], load: Load) -> None:
        self._load = load
        self._lobby = lobby
        self._forwarding = forwarding
        self._now_ms = now_ms

    def agenda_changed(self, id: SessionId, version: int) -> None:
        """Somebody changed the run of show: other moderators fetch it."""
        session = self._lobby.find(id)
        if session is not None:
            session.tell_to(_moderators(session), messages.AgendaChanged(version=version))

    def load_changed(self, session: LiveSession) -> None:
        """The server is nearer to its limit, or further from it."""
        if session.event is not None:
            self._tell_desk(session, session.event)

    # Who is next

    def set_cue(self, actor: Participant, whom: str | None) -> None:
        """Moderators see its picture from now on, and it is told that it is next. Raises NotFound, Conflict."""
        session, event = self._moderated(actor)
        target = None if whom is None else session.person(whom)
        if target is not None and session.on_stage(target):
            raise Conflict("This participant is on the stage already.")
        self._move_cue(session, event, target)

    def take_cue(self, actor: Participant, cue: str, replacing: str | None) -> None:
        """The cue comes on the stage and, in the same step, `replacing` goes from it. All of it or nothing.

        Raises NotFound, and Conflict where nobody is next, or by now somebody else, or the stage is full."""
        session, event = self._moderated(actor)
        target = None if event.cue is None else session.people.get(event.cue)
        if target is None:
            raise Conflict("Nobody is next.")
        if target.id != cue:
            raise Conflict("Somebody else is next now.")
        leaving = None if replacing is None else session.person(replacing)
        if leaving is None or not session.on_stage(leaving):
            session.require_place_on_stage()
        else:
            session.take_floor(leaving)
        session.give_floor(target)
        self._unhush(session, target)
        event.cue = None
        self._forwarding.refresh(session)
        self._lobby.keep_stage(session)
        self._tell_event(session, event, [target])
        self._tell_desk(session, event)

    def given_floor(self, session: LiveSession, whom: Participant) -> None:
        """Somebody came on the stage by another way."""
        event = session.event
        if event is None:
            return
        self._unhush(session, whom)
        if event.cue == whom.id:
            event.cue = None
            self._tell_event(session, event, [whom])
            self._tell_desk(session, event)

    def _move_cue(self, session: LiveSession, event: EventState, target: Participant | None) -> None:
        before = None if event.cue is None else session.people.get(event.cue)
        if before is target and (target is not None or event.cue is None):
            return
        event.cue = None if target is None else target.id
        self._forwarding.refresh(session)
        self._tell_event(session, event, [one for one in (before, target) if one is not None])
        self._tell_desk(session, event)

    # The stage

    def set_layout(
        self, actor: Participant, layout: messages.LayoutName, main: str | None, second: str | None
    ) -> None:
        """Raises NotFound, and Conflict for those who are not on the stage."""
        session, event = self._moderated(actor)
        event.main, event.second = self._staged(session, main), self._staged(session, second)
        event.layout = layout
        self._tell_event(session, event)

    def set_lower_third(self, actor: Participant, lower_third: messages.LowerThirdObject | None) -> None:
        """Raises NotFound, ProtocolError for a title without letters, LimitExceeded (`tooLarge`)."""
        session, event = self._moderated(actor)
        if lower_third is not None:
            session.person(lower_third.participant)
            title = policy.clean_name(lower_third.title)
            if len(title) > messages.LINE_LIMIT:
                # Some letters are longer once they are normalised; what is kept must be readable again.
                raise LimitExceeded("The title is too long.", "tooLarge")
            lower_third = messages.LowerThirdObject(
                participant=lower_third.participant,
                title=title,
                subtitle=policy.clean_mark(lower_third.subtitle),
            )
        event.lower_third = lower_third
        self._tell_event(session, event)

    def mute_off_stage(self, actor: Participant) -> None:
        """Blocks the microphones of all who are off the stage now, until they get the floor."""
        session, event = self._moderated(actor)
        for publication in list(session.publications.values()):
            off = publication.participant not in session.stage
            if off and publication.track.source is Source.MICROPHONE and not publication.blocked:
                event.hushed.add(publication.participant)
                self._forwarding.set_blocked(session, publication, True)

    def blocked_by_hand(self, session: LiveSession, publication: Publication) -> None:
        """A moderator decided about this one: the floor does not change that."""
        if session.event is not None and publication.track.source is Source.MICROPHONE:
            session.event.hushed.discard(publication.participant)

    def _unhush(self, session: LiveSession, whom: Participant) -> None:
        """Lifts what `mute_off_stage` did, of one who has the floor now."""
        if session.event is None or whom.id not in session.event.hushed:
            return
        session.event.hushed.discard(whom.id)
        whom.blocked_sources.discard(Source.MICROPHONE)
        for publication in session.published_by(whom):
            if publication.track.source is Source.MICROPHONE:
                self._forwarding.set_blocked(session, publication, False)

    # Words

    def send_notice(self, actor: Participant, to: messages.AudienceName | tuple[str, ...], text: str) -> None:
        """To some or all, who read it at once. Raises NotFound for somebody who is not here, ProtocolError."""
        session, _ = self._moderated(actor)
        notice = messages.NoticeObject(
            id=secrets.token_hex(6),
            name=actor.name,
            text=policy.clean_text(text),
            sent_at=self._now_ms(),
        )
        session.tell_to(self._addressees(session, to), messages.NoticeReceived(notice=notice))

    def _addressees(
        self, session: LiveSession, to: messages.AudienceName | tuple[str, ...]
    ) -> list[Participant]:
        if isinstance(to, tuple):
            return list({id: session.person(id) for id in to}.values())
        roles = {
            "everybody": frozenset(Role),
            "points": frozenset({Role.SATELLITE}),
            "viewers": frozenset({Role.VIEWER}),
        }[to]
        return [who for who in session.people.values() if who.grant.role in roles]

    def ask(self, actor: Participant, text: str) -> str:
        """A question in writing; its id. Raises Conflict for one too many, ProtocolError."""
        session = self._lobby.session_of(actor)
        event = self._event_of(session)
        question = Question(
            id=secrets.token_hex(6),
            participant=actor.id,
            name=actor.name,
            point=actor.grant.point,
            text=policy.clean_text(text),
            asked_at_ms=self._now_ms(),
        )
        event.ask(question)
        self._tell_own_questions(event, actor)
        return question.id

    def withdraw(self, actor: Participant, id: str) -> None:
        """One's own; moderators any. Raises NotFound, NotAuthorised."""
        session = self._lobby.session_of(actor)
        event = self._event_of(session)
        question = event.question(id)
        if question.participant != actor.id and not actor.moderates:
            raise NotAuthorised("This is another participant's question.", "notAllowed")
        if event.withdraw(question):
            self._tell_event(session, event)
        self._tell_asker(session, event, question)

    def pick(self, actor: Participant, id: str, state: messages.QuestionStateName) -> None:
        """Shows a question to everybody, or says what became of it. Raises NotFound."""
        session, event = self._moderated(actor)
        question, before = event.question(id), event.shown
        if event.pick(question, state):
            self._tell_event(session, event)
        for one in {question.id: question, before.id if before else "": before or question}.values():
            self._tell_asker(session, event, one)

    # Coming, going, time

    def catch_up(self, session: LiveSession, participant: Participant) -> None:
        """After the answer to `join` or `resume`."""
        event = session.event
        if event is None:
            return
        participant.tell(_event_news(event, next=participant.id == event.cue))
        if participant.moderates:
            participant.tell(self._desk_news(session, event))
            participant.tell(_questions_news(event.asked()))
        elif event.asked_by(participant.id):
            self._tell_own_questions(event, participant)

    def tick(self, session: LiveSession, now_ms: int) -> None:
        """What time brings to one session."""
        event = session.event
        if event is None:
            return
        if event.waited_for_missing(now_ms):
            event.give_up_missing({*session.people, *session.floor})
        if event.gone_is_news:
            event.gone_is_news = False
            self._tell_event(session, event)
            self._tell_desk(session, event)
        door = session.door
        if door is not None and door.lobby_is_news and now_ms - door.lobby_told_at_ms >= LOBBY_TOLD_EVERY_MS:
            door.lobby_is_news, door.lobby_told_at_ms = False, now_ms
            self._tell_desk(session, event)
        if event.questions_are_news and now_ms - event.questions_told_at_ms >= QUESTIONS_TOLD_EVERY_MS:
            event.questions_are_news, event.questions_told_at_ms = False, now_ms
            _tell(_moderators(session), _questions_news(event.asked()))

    # Telling

    def _tell_event(
        self, session: LiveSession, event: EventState, who: Iterable[Participant] | None = None
    ) -> None:
        plain, next_too = _event_news(event, next=False), _event_news(event, next=True)
        for participant in session.people.values() if who is None else who:
            participant.tell(next_too if participant.id == event.cue else plain)

    def _tell_desk(self, session: LiveSession, event: EventState) -> None:
        _tell(_moderators(session), self._desk_news(session, event))

    def _desk_news(self, session: LiveSession, event: EventState) -> bytes:
        knocks = () if session.door is None else islice(session.door.in_lobby.values(), LOBBY_LISTED)
        waiting = tuple(knock.to_wire() for knock in knocks)
        return messages.encode(messages.DeskChanged(cue=event.cue, waiting=waiting, load=self._load.level))

    def _tell_asker(self, session: LiveSession, event: EventState, question: Question) -> None:
        asker = session.people.get(question.participant)
        if asker is not None:
            self._tell_own_questions(event, asker)

    def _tell_own_questions(self, event: EventState, asker: Participant) -> None:
        if not asker.moderates:
            asker.tell(_questions_news(event.asked_by(asker.id)))

    # Who may

    def _moderated(self, actor: Participant) -> tuple[LiveSession, EventState]:
        """Raises NotAuthorised (`notAllowed`), Conflict in a consult."""
        session = self._lobby.session_of(actor)
        require_moderator(actor)
        return session, self._event_of(session)

    def _event_of(self, session: LiveSession) -> EventState:
        if session.event is None:
            raise Conflict("This session is a consult: only events have this.")
        return session.event

    def _staged(self, session: LiveSession, id: str | None) -> ParticipantId | None:
        if id is None:
            return None
        participant = session.person(id)
        if not session.on_stage(participant):
            raise Conflict("This participant is not on the stage.")
        return participant.id


def _moderators(session: LiveSession) -> list[Participant]:
    return [who for who in session.people.values() if who.moderates]


def _tell(who: Iterable[Participant], news: bytes) -> None:
    for participant in who:
        participant.tell(news)


def _event_news(event: EventState, *, next: bool) -> bytes:
    shown = event.shown
    return messages.encode(
        messages.EventChanged(
            layout=event.layout,
            main=event.main,
            second=event.second,
            lower_third=event.lower_third,
            question=None if shown is None else shown.to_wire(),
            next=next,
        )
    )


def _questions_news(questions: Iterable[Question]) -> bytes:
    return messages.encode(
        messages.QuestionsChanged(questions=tuple(question.to_wire() for question in questions))
    )
