"""What an event is besides a session: who is next, how the stage is laid out, what is written over it, the questions.

Policy only, and in memory: no socket, no clock; others store what is to be kept. What `docs/protocol.md` says under
"Events" is decided here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from bridge.errors import Conflict, NotFound
from bridge.ids import ParticipantId
from bridge.messages import LayoutName, LowerThirdObject, QuestionObject, QuestionStateName

QUESTIONS_KEPT = 200
"""The oldest that are done with go first."""
QUESTIONS_OPEN_EACH = 5
RETURN_WITHIN_MS = 60_000
"""After a restart: of whom something is shown, or who is next, and is not back by then, has gone."""

NOBODY = ParticipantId("")
"""No participant has this id."""


@dataclass(slots=True)
class Question:
    """Asked in writing; it outlives its asker's presence. `participant` is NOBODY once somebody else has that seat."""

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


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """What of an event outlives a restart."""

    layout: LayoutName
    cue: ParticipantId | None
    main: ParticipantId | None
    second: ParticipantId | None
    lower_third: LowerThirdObject | None
    hushed: tuple[ParticipantId, ...]
    questions: tuple[Question, ...]


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
        self._recalled_at_ms: int | None = None

    def kept(self) -> KeptEvent:
        """What `recall` takes."""
        return KeptEvent(
            self.layout,
            self.cue,
            self.main,
            self.second,
            self.lower_third,
            tuple(sorted(self.hushed)),
            tuple(self._questions.values()),
        )

    def recall(self, kept: KeptEvent, now_ms: int) -> None:
        """Goes on as it was before a restart; whom it names is expected back."""
        self.layout, self.cue, self.main, self.second = kept.layout, kept.cue, kept.main, kept.second
        self.lower_third, self.hushed = kept.lower_third, set(kept.hushed)
        self._questions = {question.id: question for question in kept.questions[-QUESTIONS_KEPT:]}
        self._recalled_at_ms = now_ms

    def waited_for_missing(self, now_ms: int) -> bool:
        """Whether those whom a restart lost had their time to come back, and are not given up yet."""
        return self._recalled_at_ms is not None and now_ms - self._recalled_at_ms >= RETURN_WITHIN_MS

    def give_up_missing(self, there: Collection[ParticipantId]) -> None:
        """Forgets whom a restart lost."""
        self._recalled_at_ms = None
        titled = None if self.lower_third is None else ParticipantId(self.lower_third.participant)
        for whom in (self.cue, self.main, self.second, titled):
            if whom is not None and whom not in there:
                self.forget(whom)

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

    def disown(self, seat: ParticipantId) -> None:
        """Somebody else sits there now, whose the questions asked from it are not."""
        for question in self.asked_by(seat):
            question.participant = NOBODY
            self.questions_are_news = True

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
