"""Answers for the archive on one association's line: keeps what is sent, finds and hands out what is asked for.

What was done is in the audit, with ids of our own. Runs in a thread of its own and blocks for disk and workers.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from itertools import islice

import structlog

from bridge.audit import Audit, Entry, Event, Outcome
from bridge.config import DicomPeer
from bridge.errors import BridgeError, Conflict, NotFound
from bridge.imaging.archive import Archive, Arrivals
from bridge.imaging.catalogue import Belonging, StudyEntry
from bridge.imaging.committing import Commitments
from bridge.imaging.dimse.talk import (
    ROWS_AT_ONCE,
    Commit,
    Done,
    Fetch,
    Find,
    Hello,
    Judgement,
    Keep,
    Line,
    LineClosed,
    Locate,
    Message,
    Place,
    Places,
    Rows,
    Welcome,
    expected,
)
from bridge.imaging.errors import NotOfClass
from bridge.imaging.layout import INSTANCE_LIMIT_BYTES, InstanceNote
from bridge.imaging.questions import Asked, Questions
from bridge.imaging.scratch import Scratch
from bridge.imaging.statuses import PROCESSING_FAILED, status_of
from bridge.imaging.study import StudyReader
from bridge.store import SessionId

UNKNOWN_DESTINATION = 0xA801
_log = structlog.get_logger(__name__)
_Admit = Callable[[str, str, str], tuple[str, DicomPeer | None]]


class Reception:
    """For one association."""

    def __init__(
        self,
        line: Line,
        archive: Archive,
        audit: Audit,
        sessions_at: Callable[[str], list[SessionId]],
        peers: tuple[DicomPeer, ...],
        admit: _Admit,
        commitments: Commitments,
    ) -> None:
        self.is_admitted = False
        self._line = line
        self._archive = archive
        self._audit = audit
        self._sessions_at = sessions_at
        self._peers = peers
        self._admit = admit
        self._commitments = commitments
        self._peer = DicomPeer("", "", None, "")
        self._who = "ae:unknown"
        self._questions = Questions(archive, self._may_see)
        self._announced: tuple[str, str] = ("", "")
        self._kept: Counter[str] = Counter()
        self._sent: Counter[str] = Counter()
        self._located: set[tuple[str, str]] = set()
        self._reader: StudyReader | None = None

    def run(self) -> None:
        """Until the association is over. Raises LineClosed, AuditError."""
        said, _ = self._line.receive()
        hello = expected(said, Hello)
        reason, peer = self._admit(hello.calling, hello.called, hello.address)
        if peer is None:
            self._line.send(Welcome(reason))
            return
        self.is_admitted = True
        self._peer = peer
        self._who = "ae:" + re.sub(r"[^A-Za-z0-9._-]", "_", peer.title)
        self._line.send(Welcome())
        try:
            with self._archive.arrivals() as arrivals:
                while True:
                    self._answer(arrivals, *self._line.receive())
        finally:
            self._close_reader()
            self._note_done()

    def _answer(self, arrivals: Arrivals, said: Message, file: int | None) -> None:
        if isinstance(said, Keep) and file is not None:
            self._line.send(self._keep(arrivals, said, file))
            return
        if file is not None:
            os.close(file)
        if isinstance(said, Fetch):
            self._fetch(said)
        elif isinstance(said, Find):
            self._line.send(self._guarded(lambda: self._find(said)))
        elif isinstance(said, Locate):
            failed = self._guarded(lambda: self._locate(said))
            if failed.status:
                self._line.send(failed)
        elif isinstance(said, Commit):
            self._commit(said)
        elif isinstance(said, Judgement):
            self._line.send(self._guarded(lambda: self._heard(said)))
        else:
            raise LineClosed

    def _guarded(self, work: Callable[[], None]) -> Done:
        try:
            work()
            return Done()
        except LineClosed:
            raise
        except BridgeError as error:
            return Done(status_of(error), error.text)
        except Exception as error:
            _log.error("request failed", reason=type(error).__name__)
            return Done(PROCESSING_FAILED, "Something went wrong on the server.")

    # --- keeping -------------------------------------------------------------------------------------------------

    def _keep(self, arrivals: Arrivals, asked: Keep, file: int) -> Done:
        self._announced = (asked.sop_class, asked.sop_instance)

        def keep() -> None:
            try:
                kept = arrivals.keep(arrivals.received(file), self)
            except Conflict:
                alert = {"trouble": "sameUidOtherObject"}
                self._note(Event.SECURITY_ALERT, None, Outcome.REFUSED, alert)
                raise
            self._kept[kept.study] += kept.is_new

        return self._guarded(keep)

    def check(self, note: InstanceNote) -> None:
        """For the archive, of an object that was read."""
        if (note.sop_class, note.sop_instance) != self._announced:
            raise NotOfClass("The object is not the one that was announced.")

    def enter(self, study: StudyEntry) -> None:
        """For the archive: the study that an object comes into. The first is noted before it does."""
        if study.id in self._kept:
            return
        catalogue = self._archive.catalogue
        old = catalogue.belonging(study.id)
        session = old.session
        if session is None and self._peer.point:
            sessions = self._sessions_at(self._peer.point)
            session = sessions[0] if len(sessions) == 1 else None
        new = Belonging(session, old.point or self._peer.point)
        self._note(Event.OBJECT_IMPORTED, study.id, Outcome.BEGUN, {})
        if new != old:
            catalogue.assign(study.id, new)
        self._kept[study.id] = 0

    # --- finding and handing out ---------------------------------------------------------------------------------

    def _may_see(self, study: StudyEntry) -> bool:
        return not self._peer.point or self._archive.catalogue.belonging(study.id).point == self._peer.point

    def _find(self, asked: Find) -> None:
        rows = self._questions.find(Asked(asked.patients, asked.level, asked.keys))
        self._note(Event.QUERIED, None, Outcome.BEGUN, {})
        found = 0
        while batch := list(islice(rows, ROWS_AT_ONCE)):
            found += len(batch)
            only = [{tag: text for tag, text in row.items() if tag in asked.keys} for row in batch]
            self._line.send(Rows(only))
        self._note(Event.QUERIED, None, Outcome.DONE, {"matches": found})

    def _locate(self, asked: Locate) -> None:
        peer = self._peer
        if asked.destination:
            named = next((each for each in self._peers if each.title == asked.destination), None)
            if named is None or named.port is None or named.host == "*":
                self._note(Event.OBJECT_TRANSFERRED, None, Outcome.REFUSED, {"trouble": "unknownDestination"})
                self._line.send(Done(UNKNOWN_DESTINATION, "The destination is not known here."))
                return
            peer = named
        found = self._questions.locate(Asked(asked.patients, asked.level, asked.keys))
        self._note_done()
        to = "ae:" + re.sub(r"[^A-Za-z0-9._-]", "_", peer.title)
        counted = Counter(study for study, _ in found)
        for study, objects in counted.items():
            self._note(Event.OBJECT_TRANSFERRED, study, Outcome.BEGUN, {"to": to, "objects": objects})
        self._located = {(study, instance.note.sop_instance) for study, instance in found}
        places = [
            Place(study, one.note.sop_instance, one.note.sop_class, one.note.transfer_syntax)
            for study, one in found
        ]
        self._line.send(Places(places, peer.host, peer.port or 0))

    def _fetch(self, asked: Fetch) -> None:
        """Only what was located, and so audited, on this association."""
        if (asked.study, asked.sop_instance) not in self._located:
            raise LineClosed
        told: list[Scratch] = []
        with ExitStack() as held:

            def fetch() -> None:
                object = held.enter_context(Scratch(INSTANCE_LIMIT_BYTES))
                if self._reader is None or self._reader.id != asked.study:
                    self._close_reader()
                    self._reader = self._archive.reader(asked.study)
                for piece in self._reader.iterate(self._reader.instance(asked.sop_instance)):
                    object.write(piece)
                if asked.transfer_syntax:
                    object = held.enter_context(self._archive.rewritten(object, asked.transfer_syntax))
                told.append(object)

            done = self._guarded(fetch)
            self._sent[asked.study] += not done.status
            self._line.send(done, None if done.status else told[0].seal())

    # --- storage commitment ----------------------------------------------------------------------------------------

    def _commit(self, asked: Commit) -> None:
        judged: list[Judgement | None] = []
        failed = self._guarded(
            lambda: judged.append(self._commitments.answer(self._peer, self._who, asked, self._may_see))
        )
        self._line.send(judged[0] if judged and judged[0] is not None else failed)

    def _heard(self, judgement: Judgement) -> None:
        if not self._commitments.heard(self._peer, judgement):
            raise NotFound("Nobody asked that.")

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    # --- audit ---------------------------------------------------------------------------------------------------

    def _note(
        self, event: Event, study: str | None, outcome: Outcome, detail: Mapping[str, int | str]
    ) -> None:
        on = f"study/{study}" if study is not None else None
        self._audit.record(Entry(event, self._who, on, outcome, detail))

    def _note_done(self) -> None:
        """How much of what was announced came to pass."""
        for event, counted in ((Event.OBJECT_IMPORTED, self._kept), (Event.OBJECT_TRANSFERRED, self._sent)):
            for study, objects in counted.items():
                self._note(event, study, Outcome.DONE, {"objects": objects})
        self._sent.clear()
        self._kept.clear()
