"""What an event is besides a session: who is next, how the stage is laid out, what is written over it, the questions.

Policy only, and in memory: no socket, no clock. What `docs/protocol.md` says under "Launch events" is decided here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bridge.errors import Conflict, NotFound
from bridge.ids import ParticipantId
from bridge.messages import LayoutName, LowerThirdObject, QuestionObject, QuestionStateName

QUESTIONS_KEPT = 200
"""The oldest that are done with go first."""
QUESTIONS_OPEN_EACH = 5


@dataclass(slots=True)
class Question:
    """Asked in writing; it outlives its asker's presence."""

    id: str
    participant: ParticipantId
    name: str
    point: str
    text: str
    asked_at_ms: int
    state: QuestionStateName = "open"

    def to_wire(self) -> QuestionObject:
        return QuestionObject(
            id=self.id,
            participant=self.participant,
            name=self.name,
            point=self.point,
            text=self.text,
            state=self.state,
            asked_at=self.asked_at_ms,
        )


class EventState:
    """The newest state of one event. Whoever calls has been let do so."""

    def __init__(self) -> None:
        self.cue: ParticipantId | None = None
        self.layout: LayoutName = "speaker"
        self.main: ParticipantId | None = None
        self.second: ParticipantId | None = None
        self.lower_third: LowerThirdObject | None = None
        self.hushed: set[ParticipantId] = set()
        """Whose microphones were blocked because they were off the stage; being given the floor lifts that."""
        self.gone_is_news = False
        """Somebody went, and what others are shown is different for it."""
        self.questions_are_news = False
        self.questions_told_at_ms = 0
        self._questions: dict[str, Question] = {}

    def forget(self, whom: ParticipantId) -> None:
        """Somebody is gone."""
        titled = self.lower_third is not None and self.lower_third.participant == whom
        self.gone_is_news |= titled or whom in (self.cue, self.main, self.second)
        self.cue = None if self.cue == whom else self.cue
        self.main = None if self.main == whom else self.main
        self.second = None if self.second == whom else self.second
        self.lower_third = None if titled else self.lower_third

    # Questions

    @property
    def shown(self) -> Question | None:
        """The one that everybody reads now."""
        return next((question for question in self._questions.values() if question.state == "shown"), None)

    def ask(self, question: Question) -> None:
        """Raises Conflict for one too many that wait for an answer."""
        waiting = sum(one.state == "open" for one in self.asked_by(question.participant))
        if waiting >= QUESTIONS_OPEN_EACH:
            raise Conflict("Some of your questions wait for their answers: withdraw one first.")
        if len(self._questions) >= QUESTIONS_KEPT:
            self._drop_one()
        self._questions[question.id] = question
        self.questions_are_news = True

    def _drop_one(self) -> None:
        """Raises Conflict if all of them are open."""
        done = (id for id, one in self._questions.items() if one.state in ("answered", "declined"))
        oldest = next(done, None)
        if oldest is None:
            raise Conflict("Too many questions wait for their answers.")
        del self._questions[oldest]

    def question(self, id: str) -> Question:
        """Raises NotFound."""
        found = self._questions.get(id)
        if found is None:
            raise NotFound("There is no such question.")
        return found

    def withdraw(self, question: Question) -> bool:
        """It was never asked; True if it was shown."""
        del self._questions[question.id]
        self.questions_are_news = True
        return question.state == "shown"

    def pick(self, question: Question, state: QuestionStateName) -> bool:
        """At most one is shown: the one before has its answer. True if what is shown is another."""
        before = self.shown
        if state == "shown" and before is not None and before is not question:
            before.state = "answered"
        question.state = state
        self.questions_are_news = True
        return before is not self.shown

    def asked_by(self, whom: ParticipantId) -> list[Question]:
        return [question for question in self._questions.values() if question.participant == whom]

    def asked(self) -> Iterable[Question]:
        """In the order in which they were asked."""
        return self._questions.values()
