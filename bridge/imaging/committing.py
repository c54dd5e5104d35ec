"""Storage commitment on the server's side (PS3.4 J): says truthfully which objects are kept here for good, and hears
what others say of objects that they were sent.

Kept for good is what is sealed, durable and whole; what cannot be found in time is said not to be kept, and its sender
keeps it. Blocks, for use from threads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog

from bridge.audit import Audit, Entry, Event, Outcome
from bridge.config import DicomPeer
from bridge.errors import BridgeError
from bridge.imaging.archive import Archive
from bridge.imaging.catalogue import StudyEntry
from bridge.imaging.courier import Courier
from bridge.imaging.dimse.talk import Commit, Judgement, Notify
from bridge.imaging.statuses import NO_SUCH_OBJECT, OTHER_CLASS, PROCESSING_FAILED

SEARCH_WITHIN_S = 60.0
PAUSES_S = (0.0, 2.0, 30.0, 300.0)
"""Before each attempt at telling it."""
TELLING_LIMIT = 32
"""That are told at one time; who is not told asks again."""
_log = structlog.get_logger(__name__)

Reported = Callable[[str, Judgement], bool]
"""A destination's title, and what it said of objects that it was sent; False if nobody asked it."""


class Commitments:
    """For all associations of one gate."""

    def __init__(
        self, archive: Archive, audit: Audit, courier: Courier, title: str, reported: Reported
    ) -> None:
        """`title` is ours."""
        self._archive = archive
        self._audit = audit
        self._courier = courier
        self._title = title
        self._reported = reported
        self._closing = threading.Event()
        self._telling = threading.BoundedSemaphore(TELLING_LIMIT)

    def answer(
        self, peer: DicomPeer, who: str, commit: Commit, visible: Callable[[StudyEntry], bool]
    ) -> Judgement | None:
        """None if it is told on an association of our own. Raises VaultError, AuditError."""
        judgement = self._judged(commit, visible)
        kept, lost = len(judgement.committed), len(judgement.failed)
        outcome = Outcome.FAILED if lost else Outcome.DONE
        detail = {"committed": kept, "notKept": lost}
        self._audit.record(Entry(Event.OBJECT_VERIFIED, who, "studies/all", outcome, detail))
        if peer.port is None or peer.host == "*":
            return judgement
        if self._telling.acquire(blocking=False):
            notify = Notify(peer.title, peer.host, peer.port, judgement)
            threading.Thread(target=self._tell, args=(notify,), name="dicom-report", daemon=True).start()
        return None

    def heard(self, peer: DicomPeer, judgement: Judgement) -> bool:
        """False if nobody asked it."""
        return self._reported(peer.title, judgement)

    def close(self) -> None:
        """What was not told is not told any more; who asked asks again."""
        self._closing.set()

    def _judged(self, commit: Commit, visible: Callable[[StudyEntry], bool]) -> Judgement:
        wanted = {instance: sop_class for sop_class, instance in commit.objects}
        missing = set(wanted)
        committed: list[tuple[str, str]] = []
        failed: list[tuple[str, str, int]] = []
        deadline_s = time.monotonic() + SEARCH_WITHIN_S
        for entry in self._archive.catalogue.all():
            if not missing or time.monotonic() > deadline_s or self._closing.is_set():
                break
            if not visible(entry):
                continue
            for instance, sop_class in self._found(entry, missing).items():
                missing.discard(instance)
                if sop_class == wanted[instance]:
                    committed.append((sop_class, instance))
                else:
                    failed.append((wanted[instance], instance, OTHER_CLASS))
        is_over = time.monotonic() <= deadline_s and not self._closing.is_set()
        reason = NO_SUCH_OBJECT if is_over else PROCESSING_FAILED
        failed += [(wanted[instance], instance, reason) for instance in sorted(missing)]
        return Judgement(commit.transaction, committed, failed)

    def _found(self, entry: StudyEntry, missing: set[str]) -> dict[str, str]:
        try:
            with self._archive.open(entry.id) as reader:
                notes = [one.note for one in reader.instances()]
        except BridgeError:
            return {}  # Removed just now, or damaged: nothing of it can be promised.
        return {note.sop_instance: note.sop_class for note in notes if note.sop_instance in missing}

    def _tell(self, notify: Notify) -> None:
        try:
            for pause_s in PAUSES_S:
                if self._closing.wait(pause_s):
                    return
                try:
                    self._courier.notify(notify)
                    return
                except BridgeError as error:
                    _log.warning("commitment not told", code=error.code)
        except Exception as error:
            _log.error("commitment not told", reason=type(error).__name__)
        finally:
            self._telling.release()
