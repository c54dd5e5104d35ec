"""Who may see and send which study: the staff all, those who were invited to a session those of that session.

A viewer sees none. Who may not see a study is told that there is none. Every look is in the audit before anything is
shown, which has ids of its own and never a UID. Knows no HTTP.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bridge.audit import Audit, Entry, Event, Outcome
from bridge.auth import Auth, Role, SessionId
from bridge.errors import NotAuthorised, NotFound
from bridge.imaging.catalogue import Belonging, Catalogue, StudyEntry
from bridge.imaging.errors import NotOfClass
from bridge.imaging.layout import InstanceNote
from bridge.recordings.accesses import Accesses, Look

REMEMBERED_S = 2.0
"""So long a token that was good is not proved again: a viewer fetches hundreds of pictures within it."""
REMEMBERED_LIMIT = 4096
_MAY = frozenset((Role.ORGANISER, Role.HUB, Role.SATELLITE))
_NONE = "There is no such study."

Run = Callable[[Callable[[], None]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks, proved by a token. `session` None is the staff."""

    who: str
    session: SessionId | None
    role: Role | None
    point: str

    @property
    def is_staff(self) -> bool:
        return self.session is None

    def may_see(self, belonging: Belonging) -> bool:
        """Whether a study of this belonging is there for it."""
        return self.is_staff or (self.role in _MAY and belonging.session == self.session)


class Access:
    """For one event loop, except for its gates."""

    def __init__(
        self,
        auth: Auth,
        catalogue: Catalogue,
        accesses: Accesses,
        audit: Audit,
        run: Run,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._auth = auth
        self._catalogue = catalogue
        self._accesses = accesses
        self._audit = audit
        self._run = run
        self._now_s = now_s
        self._known: OrderedDict[bytes, tuple[float, Visitor]] = OrderedDict()
        self._claiming = threading.Lock()

    async def visitor(self, token: str) -> Visitor:
        """Raises NotAuthorised (also code `notAllowed`, for viewers)."""
        key = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        known = self._known.get(key)
        if known is not None and self._now_s() - known[0] < REMEMBERED_S:
            return known[1]
        self._known.pop(key, None)
        grant = await self._auth.replay(token)
        visitor = Visitor(grant.who, grant.session, grant.role, grant.point)
        if not visitor.is_staff and visitor.role not in _MAY:
            await self._accesses.note(Look(visitor.who, "studies/all", "refusals", refused=True))
            raise NotAuthorised("This link does not open studies.", "notAllowed")
        self._known[key] = (self._now_s(), visitor)
        if len(self._known) > REMEMBERED_LIMIT:
            self._known.popitem(last=False)
        return visitor

    async def sender(self, token: str) -> Visitor:
        """Who may send: nothing comes into a session that is over. Raises NotAuthorised, BridgeError."""
        visitor = await self.visitor(token)
        if not visitor.is_staff:
            await self._auth.admit(token)
        return visitor

    async def study(self, visitor: Visitor, uid: str, unit: str = "looks") -> StudyEntry:
        """The study that it may see, noted as looked at. Raises NotFound, AuditError."""
        entry = self._catalogue.known(uid)
        if entry is None or not entry.instances:
            raise NotFound(_NONE)
        on = f"study/{entry.id}"
        if not visitor.may_see(self._catalogue.belonging(entry.id)):
            await self._accesses.note(Look(visitor.who, on, "refusals", refused=True))
            raise NotFound(_NONE)
        await self._accesses.note(Look(visitor.who, on, unit))
        return entry

    def visible(self, visitor: Visitor) -> list[StudyEntry]:
        """All that are there for it, the last to change first."""
        belonging = self._catalogue.belonging
        return [entry for entry in self._catalogue.all() if visitor.may_see(belonging(entry.id))]

    async def note_query(self, visitor: Visitor) -> None:
        """Raises AuditError."""
        on = "studies/all" if visitor.session is None else f"session/{visitor.session}"
        await self.record(Entry(Event.QUERIED, visitor.who, on))

    async def note_refusal(self, visitor: Visitor, on: str = "studies/all") -> None:
        """That it asked for what it may not. Raises AuditError."""
        await self._accesses.note(Look(visitor.who, on, "refusals", refused=True))

    async def record(self, *entries: Entry) -> None:
        """Raises AuditError."""
        await self._run(lambda: self._audit.record(*entries))

    def gate(self, visitor: Visitor, study_uid: str = "") -> SessionGate:
        """For what it sends, if told so to one study only."""
        return SessionGate(self._catalogue, self._claiming, visitor, study_uid)


class SessionGate:
    """Lets a sender's objects into the studies of its session, and takes new ones for it.

    What is another session's, or came from elsewhere, is not added to by who may not see it.
    """

    def __init__(
        self, catalogue: Catalogue, claiming: threading.Lock, visitor: Visitor, study_uid: str
    ) -> None:
        self._catalogue = catalogue
        self._claiming = claiming
        self._visitor = visitor
        self._study_uid = study_uid

    def check(self, note: InstanceNote) -> None:
        """Raises NotOfClass."""
        if self._study_uid and note.study != self._study_uid:
            raise NotOfClass("The object is of another study than it was sent to.")

    def enter(self, study: StudyEntry) -> None:
        """Raises NotAuthorised (`notAllowed`), BridgeError."""
        visitor = self._visitor
        if visitor.is_staff or visitor.may_see(self._catalogue.belonging(study.id)):
            return
        with self._claiming:
            entry = self._catalogue.known(study.uid)
            is_new = entry is None or not entry.instances
            if is_new and self._catalogue.belonging(study.id).session is None:
                self._catalogue.assign(study.id, Belonging(visitor.session, visitor.point))
        if not visitor.may_see(self._catalogue.belonging(study.id)):
            raise NotAuthorised("This study cannot be added to by this link.", "notAllowed")


def imported(who: str, study: str, instances: int) -> Entry:
    """For the audit: so many objects of a study were taken in."""
    return Entry(Event.OBJECT_IMPORTED, who, f"study/{study}", detail={"instances": instances})


def refused(who: str, study: str, conflicts: int) -> Entry:
    """For the audit: so many objects had the SOPInstanceUID of another one."""
    on = f"study/{study}" if study else "studies/all"
    return Entry(Event.OBJECT_IMPORTED, who, on, Outcome.REFUSED, {"conflicts": conflicts})
