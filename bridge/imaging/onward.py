"""Sends a study on to a PACS, as a job: by C-STORE with storage commitment (PS3.4 B, J), or by STOW-RS.

Objects go as they are kept, or decoded where the other side takes no compressed ones. Every start and end is in the
audit.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from bridge.audit import Audit, Entry, Event, Outcome
from bridge.config import DicomPeer, WebPeer
from bridge.errors import BridgeError, NotFound
from bridge.imaging.archive import Archive
from bridge.imaging.courier import Courier
from bridge.imaging.destinations import Destinations
from bridge.imaging.dimse.talk import Errand, Judgement, Place, Places, Sent
from bridge.imaging.errors import DicomError
from bridge.imaging.jobs import Ending, Progress
from bridge.imaging.outgoing import Outgoing
from bridge.imaging.stowing import BYTES_AT_ONCE, OBJECTS_AT_ONCE, SYNTAX_NOT_TAKEN, Parcel, Stow
from bridge.imaging.syntaxes import EXPLICIT_LITTLE
from bridge.studyrows import JobRecord, StudyRows

_T = TypeVar("_T")


class Onward:
    """The work of jobs that send; for one event loop."""

    def __init__(
        self,
        archive: Archive,
        rows: StudyRows,
        audit: Audit,
        courier: Courier,
        destinations: Destinations,
        now_ms: Callable[[], int],
        threads: ThreadPoolExecutor,
    ) -> None:
        """`threads` are as many as there may be jobs at once, and one more."""
        self._archive = archive
        self._rows = rows
        self._audit = audit
        self._courier = courier
        self._destinations = destinations
        self._now_ms = now_ms
        self._threads = threads

    async def __call__(self, job: JobRecord, progress: Progress) -> Ending:
        """Raises Later, DicomError, NotFound, AuditError, Stopped."""
        peer = self._destinations.find(job.destination)
        sending = _Sending(progress)
        detail: dict[str, int | str] = {
            "to": "destination:" + re.sub(r"[^A-Za-z0-9._-]", "_", job.destination),
            "job": job.id,
        }
        await self._note(job, Outcome.BEGUN, detail)
        try:
            if isinstance(peer, DicomPeer):
                await self._by_dicom(job, peer, sending)
            else:
                await self._by_web(job, peer, sending)
        except BaseException:
            with contextlib.suppress(BridgeError):
                await asyncio.shield(self._note(job, Outcome.FAILED, detail | sending.counted()))
            raise
        await self._note(job, Outcome.FAILED if sending.failed else Outcome.DONE, detail | sending.counted())
        return sending.ending(job)

    # --- by DICOM ------------------------------------------------------------------------------------------------

    async def _by_dicom(self, job: JobRecord, peer: DicomPeer, sending: _Sending) -> None:
        transaction = f"2.25.{secrets.randbits(122)}"  # Names nobody (PS3.5 B.2).
        # Written down first: the answer may be quicker than all that follows.
        await self._rows.change_job(job.id, self._now_ms(), transaction=transaction, commitment="")
        sending.transaction = transaction

        def work() -> None:
            with Outgoing(self._archive, job.study) as outgoing:
                places = outgoing.places()
                left = sending.begin(places)
                before = [
                    (each.sop_class, each.sop_instance)
                    for each in places
                    if each.sop_instance in sending.progress.taken
                ]
                found = Places(left or places, peer.host, peer.port or 0)
                self._courier.deliver(
                    Errand(peer.title, found, transaction, before if left else []),
                    sending.progress,
                    lambda asked: outgoing.file(asked.sop_instance, asked.transfer_syntax),
                    sending.sent,
                    sending.judged,
                )

        await self._run(work)

    # --- by STOW-RS ----------------------------------------------------------------------------------------------

    async def _by_web(self, job: JobRecord, peer: WebPeer, sending: _Sending) -> None:
        outgoing = await self._run(lambda: Outgoing(self._archive, job.study))
        stow = Stow(peer)
        with outgoing:
            left = sending.begin(await self._run(outgoing.places))
            plain: list[Place] = []
            await self._post(stow, outgoing, left, sending, "", plain)
            await self._post(stow, outgoing, plain, sending, EXPLICIT_LITTLE, [])

    async def _post(
        self,
        stow: Stow,
        outgoing: Outgoing,
        places: list[Place],
        sending: _Sending,
        syntax: str,
        again: list[Place],
    ) -> None:
        """`again` is filled with those to be tried in a plain transfer syntax."""
        left = list(places)
        while left:
            parcels: list[Parcel] = []
            try:
                await self._run(lambda: _fill(parcels, outgoing, left, sending, syntax))  # noqa: B023 - run at once
                if not parcels:
                    continue
                results = await stow.send(parcels, sending.progress)
            finally:
                for parcel in parcels:
                    parcel.object.close()
            for parcel in parcels:
                reason = results[parcel.place.sop_instance]
                if reason in SYNTAX_NOT_TAKEN and not syntax and parcel.transfer_syntax != EXPLICIT_LITTLE:
                    again.append(parcel.place)
                else:
                    sending.sent(Sent(parcel.place.sop_instance, reason))

    async def _run(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _note(self, job: JobRecord, outcome: Outcome, detail: dict[str, int | str]) -> None:
        entry = Entry(Event.OBJECT_TRANSFERRED, job.who, f"study/{job.study}", outcome, detail)
        await self._run(lambda: self._audit.record(entry))


class _Sending:
    """How far it is."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.failed = 0
        self.transaction = ""
        self.is_asked = False
        self.judgement: Judgement | None = None
        self._done = 0
        self._total = 0

    def begin(self, places: list[Place]) -> list[Place]:
        """Those that are left to be sent. Raises NotFound."""
        if not places:
            raise NotFound("The study holds nothing.")
        left = [place for place in places if place.sop_instance not in self.progress.taken]
        self._total, self._done = len(places), len(places) - len(left)
        self._say()
        return left

    def sent(self, sent: Sent) -> None:
        """Raises Stopped."""
        # A warning, as of changed values, is still a success (PS3.4 B.2.3).
        if sent.status == 0 or (sent.status > 0 and sent.status & 0xF000 == 0xB000):
            self.progress.taken.add(sent.sop_instance)
            self._done = len(self.progress.taken)
        else:
            self.failed += 1
        self._say()

    def judged(self, judgement: Judgement) -> None:
        if judgement.transaction != self.transaction:
            return
        self.is_asked = True
        if judgement.committed or judgement.failed:
            self.judgement = judgement

    def counted(self) -> dict[str, int | str]:
        return {"objects": self._done, "failed": self.failed}

    def ending(self, job: JobRecord) -> Ending:
        """Raises DicomError if not all of it was taken."""
        if self.failed:
            text = f"The destination did not take {self.failed} of {self._total} objects."
            raise DicomError(text, "storageFailed")
        if self.judgement is not None and self.judgement.failed:
            self.progress.taken.difference_update(each[1] for each in self.judgement.failed)
            text = f"The destination does not keep {len(self.judgement.failed)} of {self._total} objects."
            raise DicomError(text, "storageFailed")
        if self.judgement is not None:
            return Ending(commitment="confirmed")
        return Ending(commitment="asked" if self.is_asked else "")

    def _say(self) -> None:
        self.progress.say(self._done, self.failed, self._total)


def _fill(
    parcels: list[Parcel], outgoing: Outgoing, left: list[Place], sending: _Sending, syntax: str
) -> None:
    """Takes from `left` what goes into one request."""
    size_bytes = 0
    while left and len(parcels) < OBJECTS_AT_ONCE and size_bytes < BYTES_AT_ONCE:
        sending.progress.check()
        place = left.pop(0)
        try:
            object = outgoing.file(place.sop_instance, syntax)
        except DicomError:
            sending.sent(Sent(place.sop_instance, -1))
            continue
        parcels.append(Parcel(place, syntax or place.transfer_syntax, object))
        size_bytes += object.size_bytes
