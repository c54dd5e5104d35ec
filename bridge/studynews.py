"""What is new of studies, on its way from the archive to the sessions they belong to.

Changes come from any thread and only leave a note; the rooms' pulse asks what is due. It knows nobody who is told, and
gives out nothing of a study whose session is not asked for.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from bridge import policy
from bridge.errors import NotFound
from bridge.ids import SessionId
from bridge.imaging.catalogue import Catalogue, StudyEntry
from bridge.messages import StudyObject

TOLD_EVERY_MS = 500
ARRIVING_MS = 3000
"""A modality that pauses for longer has sent what it has, or has lost its line."""
ANNOUNCED_LIMIT = 1000
"""Announcements that are remembered; the oldest goes first."""
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class News:
    """What is due. `changed` are studies that are new or grew, `relisted` sessions that a study has left."""

    changed: list[tuple[SessionId, StudyObject]] = field(default_factory=list)
    relisted: set[SessionId] = field(default_factory=set)


@dataclass(slots=True)
class _Known:
    """What was last told of a study."""

    session: SessionId | None
    instances: int
    grew_at_ms: int | None = None
    """None once nothing comes any more."""
    told_at_ms: int = 0
    told: StudyObject | None = None


class StudyNews:
    """The studies of all sessions. Any thread may call `changed` and `announce`, the rooms' loop the rest."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._catalogue: Catalogue | None = None
        self._lock = threading.Lock()
        self._dirty: set[str] = set()
        self._announced: OrderedDict[tuple[SessionId, str], int] = OrderedDict()
        self._known: dict[str, _Known] = {}
        self._of_session: dict[SessionId, dict[str, None]] = {}
        self._arriving: set[str] = set()
        self._failed: set[str] = set()

    def follow(self, catalogue: Catalogue) -> None:
        """From here on; what is there already is no news."""
        self._catalogue = catalogue
        catalogue.listen(self.changed)
        for entry in catalogue.all():
            self._settle(entry.id, entry.instances, catalogue.belonging(entry.id).session)

    def changed(self, study: str) -> None:
        """Something about a study is different, or it is gone; its id, as the archive has it."""
        with self._lock:
            self._dirty.add(study)

    def announce(self, session: SessionId, study_uid: str, expected: int) -> None:
        """Somebody begins to send a study that will have so many objects in all."""
        with self._lock:
            self._announced[session, study_uid] = expected
            self._announced.move_to_end((session, study_uid))
            if len(self._announced) > ANNOUNCED_LIMIT:
                self._announced.popitem(last=False)
        if self._catalogue is not None and (entry := self._catalogue.known(study_uid)) is not None:
            self.changed(entry.id)

    def of(self, session: SessionId) -> tuple[StudyObject, ...]:
        """All of a session, the last to change first."""
        entries = [entry for study in self._of_session.get(session, ()) if (entry := self._entry(study))]
        entries.sort(key=lambda entry: (-entry.last_at_ms, entry.id))
        return tuple(self._object(session, entry) for entry in entries)

    def one_of(self, session: SessionId, study_uid: str) -> StudyObject | None:
        """One of a session's; None if it is not (any more) there."""
        id = self.vault_id(session, study_uid)
        entry = self._entry(id) if id else None
        return self._object(session, entry) if entry is not None else None

    def vault_id(self, session: SessionId, study_uid: str) -> str:
        """The archive's own id of a study of this session; "" if there is none."""
        entry = self._catalogue.known(study_uid) if self._catalogue is not None else None
        return entry.id if entry is not None and entry.id in self._of_session.get(session, ()) else ""

    @property
    def is_news(self) -> bool:
        """Whether something has to be told, now or soon."""
        return bool(self._dirty or self._arriving)

    def due(self) -> News:
        """What has to be told now; to be called a few times a second."""
        news, now_ms = News(), self._now_ms()
        with self._lock:
            dirty, self._dirty = self._dirty, set()
        # Those that stopped arriving are told once more.
        quiet = {study for study in self._arriving if not self._is_arriving(study, now_ms)}
        for study in dirty | quiet:
            try:
                self._look(study, now_ms, news)
                self._failed.discard(study)
            except Exception:
                # The others are told, and this one is tried again.
                self.changed(study)
                if study not in self._failed:
                    self._failed.add(study)
                    _log.exception("study.news_failed", study=study)
        return news

    def _look(self, study: str, now_ms: int, news: News) -> None:
        entry = self._entry(study)
        before = self._known.get(study)
        if before is not None and now_ms - before.told_at_ms < TOLD_EVERY_MS:
            self.changed(study)
            return
        if entry is None or self._catalogue is None:
            self._drop(study, news)
            return
        session = self._catalogue.belonging(study).session
        if before is not None and before.session is not None and before.session != session:
            self._leave(study, before.session, news)
        known = self._settle(study, entry.instances, session)
        if before is None or entry.instances != before.instances:
            known.grew_at_ms = now_ms
            self._arriving.add(study)
        elif not self._is_arriving(study, now_ms):
            known.grew_at_ms = None
            self._arriving.discard(study)
        told = self._object(session, entry) if session is not None else None
        if (
            session is not None
            and told is not None
            and (before is None or told != before.told or session != before.session)
        ):
            known.told_at_ms = now_ms
            news.changed.append((session, told))
        known.told = told

    def _settle(self, study: str, instances: int, session: SessionId | None) -> _Known:
        before = self._known.get(study)
        known = self._known[study] = _Known(session, instances)
        if before is not None:
            known.grew_at_ms, known.told_at_ms = before.grew_at_ms, before.told_at_ms
        if session is not None:
            self._of_session.setdefault(session, {})[study] = None
        return known

    def _drop(self, study: str, news: News) -> None:
        """It was shredded, or holds nothing yet."""
        known = self._known.pop(study, None)
        self._arriving.discard(study)
        if known is not None and known.session is not None:
            self._leave(study, known.session, news)

    def _leave(self, study: str, session: SessionId, news: News) -> None:
        theirs = self._of_session.get(session, {})
        theirs.pop(study, None)
        if not theirs:
            self._of_session.pop(session, None)
        news.relisted.add(session)

    def _is_arriving(self, study: str, now_ms: int) -> bool:
        known = self._known.get(study)
        return known is not None and known.grew_at_ms is not None and now_ms - known.grew_at_ms < ARRIVING_MS

    def _entry(self, study: str) -> StudyEntry | None:
        if self._catalogue is None:
            return None
        try:
            return self._catalogue.get(study)
        except NotFound:
            return None

    def _object(self, session: SessionId, entry: StudyEntry) -> StudyObject:
        belonging = self._catalogue.belonging(entry.id) if self._catalogue is not None else None
        with self._lock:
            expected = self._announced.get((session, entry.uid))
        return StudyObject(
            uid=entry.uid,
            modalities=entry.modalities,
            description=policy.clean_mark(entry.facts.description),
            patient=policy.clean_mark(shown_name(entry.facts.patient_name)),
            date=entry.facts.study_date,
            series=entry.series,
            instances=entry.instances,
            # More came than was said: nothing is known of what is still to come.
            expected=expected if expected is not None and expected >= entry.instances else None,
            arriving=self._is_arriving(entry.id, self._now_ms()),
            point=belonging.point if belonging is not None else "",
            received_at=entry.first_at_ms,
        )


def shown_name(person: str) -> str:
    """A person's name (PS3.5 6.2.1) as people write it: of its first group with letters family, given and middle."""
    group = next((group for group in person.split("=") if group.strip(" ^")), "")
    return " ".join(" ".join(group.split("^")[:3]).split())
