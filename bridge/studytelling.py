"""What each reader is still owed of studies: told as it is by then, once the audit has it that this reader looks.

One task for each reader, however much comes meanwhile and however long the audit takes; what the audit refuses stays
owed. It knows neither who reads nor what a study is, and keeps ids only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from bridge import messages
from bridge.errands import Errands
from bridge.ids import SessionId
from bridge.participant import Participant
from bridge.recordings.accesses import Look
from bridge.studynews import StudyNews

AGAIN_AFTER_MS = 5000
"""An audit that refused, because its disk is full perhaps, is not asked all the time."""

NoteLook = Callable[[Look], Awaitable[None]]
"""Writes into the audit who looks, and returns when it is there. Raises AuditError: nothing is shown then."""


@dataclass(slots=True)
class _Owed:
    """To one reader. `studies` are UIDs; `whole`: the list of all, which says everything of each."""

    session: SessionId
    whole: bool = False
    studies: dict[str, None] = field(default_factory=dict)
    under_way: bool = False
    again_at_ms: int = 0


class StudyTelling:
    """What is told of studies to all readers of this server."""

    def __init__(self, studies: StudyNews, errands: Errands, now_ms: Callable[[], int]) -> None:
        self.note_look: NoteLook | None = None
        """Set before anybody comes, where studies are kept; without it no studies are told."""
        self._studies = studies
        self._errands = errands
        self._now_ms = now_ms
        self._owed: dict[Participant, _Owed] = {}

    def owe_list(self, session: SessionId, reader: Participant) -> None:
        """All studies, instead of what was told before. That there are none names nobody: it is told at once."""
        if self.note_look is None or reader.outlet is None:
            return
        owed = self._owed.setdefault(reader, _Owed(session))
        owed.whole = True
        if self._studies.of(session):
            self._start(reader, owed)
        else:
            self._say(reader, owed)
            if not owed.under_way:
                del self._owed[reader]

    def owe_study(self, session: SessionId, reader: Participant, study_uid: str) -> None:
        """One that is new or different. Who is away is told everything on coming back."""
        if self.note_look is None or reader.outlet is None:
            return
        owed = self._owed.setdefault(reader, _Owed(session))
        owed.studies[study_uid] = None
        self._start(reader, owed)

    def tick(self) -> None:
        """Tries again what failed."""
        for reader, owed in list(self._owed.items()):
            if not owed.under_way and (reader.gone or reader.outlet is None):
                del self._owed[reader]
            elif self._now_ms() >= owed.again_at_ms:
                self._start(reader, owed)

    def _start(self, reader: Participant, owed: _Owed) -> None:
        if self.note_look is not None and not owed.under_way and self._now_ms() >= owed.again_at_ms:
            owed.under_way = True
            self._errands.start("tell studies", self._pay(reader, owed, self.note_look))

    async def _pay(self, reader: Participant, owed: _Owed, note_look: NoteLook) -> None:
        look = Look(f"participant:{reader.id}", f"session/{owed.session}", "lists")
        try:
            while (owed.whole or owed.studies) and not reader.gone:
                await note_look(look)
                self._say(reader, owed)
            del self._owed[reader]
        except Exception:
            owed.again_at_ms = self._now_ms() + AGAIN_AFTER_MS
            raise
        finally:
            owed.under_way = False

    def _say(self, reader: Participant, owed: _Owed) -> None:
        """As it is now: what was news when it became due may have been shredded since."""
        if owed.whole:
            news: list[messages.ServerMessage] = [
                messages.StudiesListed(studies=self._studies.of(owed.session))
            ]
        else:
            found = (self._studies.one_of(owed.session, uid) for uid in owed.studies)
            news = [messages.StudyChanged(study=study) for study in found if study is not None]
        owed.whole = False
        owed.studies.clear()
        if not reader.gone:
            for each in news:
                reader.tell(messages.encode(each))
