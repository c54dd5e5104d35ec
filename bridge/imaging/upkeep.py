"""What is done with studies besides taking them in and reading them, for the server and the command line alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bridge.audit import Audit, Entry, Event, Outcome
from bridge.config import Settings
from bridge.errors import BridgeError, LimitExceeded
from bridge.ids import SessionId, SessionKind
from bridge.imaging.archive import Archive
from bridge.imaging.committing import Reported
from bridge.imaging.courier import Courier
from bridge.imaging.destinations import Destinations
from bridge.imaging.dicomweb.shelf import Threads
from bridge.imaging.dimse.talk import Judgement, Setup
from bridge.imaging.jobs import AT_ONCE, Ending, Jobs, Progress, Work
from bridge.imaging.keeping import Forget, Keeping
from bridge.imaging.onward import Onward
from bridge.imaging.teaching.making import Copying
from bridge.store import Store
from bridge.studyrows import JobKind, JobRecord, JobState, StudyRows

THREADS = 2
WAITING_LIMIT = 500
ANSWER_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Upkeep:
    """For one event loop."""

    rows: StudyRows
    keeping: Keeping
    jobs: Jobs
    destinations: Destinations
    reported: Reported
    """For the gate, in its threads: what others say of objects that they were sent."""
    now_ms: Callable[[], int]
    record: Callable[[Entry], Awaitable[None]]

    async def start(
        self,
        kind: JobKind,
        study: str,
        who: str,
        *,
        session: SessionId | None = None,
        destination: str = "",
        options: dict[str, Any] | None = None,
    ) -> JobRecord:
        """A new job, begun soon. Raises LimitExceeded."""
        waiting = await self.rows.list_jobs(states=(JobState.WAITING, JobState.RUNNING), limit=WAITING_LIMIT)
        if len(waiting) >= WAITING_LIMIT:
            raise LimitExceeded("Too much is waiting to be done with studies; try again later.")
        job = await self.rows.add_job(
            kind,
            study,
            who,
            now_ms=self.now_ms(),
            session=session,
            destination=destination,
            options=options,
            numbered=kind is JobKind.COPY,
        )
        self.jobs.nudge()
        return job

    async def stop(self, job: str, who: str) -> JobRecord:
        """Raises NotFound, Conflict, AuditError; see `Jobs.stop`."""
        return await self._change(job, who, "stopped", self.jobs.stop)

    async def retry(self, job: str, who: str) -> JobRecord:
        """Raises NotFound, Conflict, AuditError; see `Jobs.retry`."""
        return await self._change(job, who, "retried", self.jobs.retry)

    async def _change(
        self, job: str, who: str, named: str, change: Callable[[str], Awaitable[None]]
    ) -> JobRecord:
        """Announced before it is done, for an audit that cannot be written forbids it."""
        on = f"study/{(await self.rows.get_job(job)).study}"
        detail: dict[str, int | str] = {"job": job, named: 1}
        await self.record(Entry(Event.OBJECT_CHANGED, who, on, Outcome.BEGUN, detail))
        try:
            await change(job)
        except BridgeError:
            await self.record(Entry(Event.OBJECT_CHANGED, who, on, Outcome.REFUSED, detail))
            raise
        await self.record(Entry(Event.OBJECT_CHANGED, who, on, Outcome.DONE, detail))
        return await self.rows.get_job(job)


@asynccontextmanager
async def open_upkeep(
    settings: Settings,
    store: Store,
    archive: Archive,
    audit: Audit,
    now_ms: Callable[[], int],
    *,
    forgets: Iterable[Forget] = (),
    patient: bool = True,
) -> AsyncIterator[Upkeep]:
    """`forgets` are told of a study that is shredded; who is not `patient` tries nothing again."""
    rows = StudyRows(store)
    threads = Threads("upkeep", THREADS)

    def keep_days(kind: SessionKind) -> int:
        return int(getattr(settings, f"study_days_{kind.value}"))

    keeping = Keeping(
        archive=archive,
        rows=rows,
        audit=audit,
        run=threads.run,
        keep_days=keep_days,
        now_ms=now_ms,
        forgets=forgets,
    )

    async def shred(job: JobRecord, _progress: Progress) -> Ending:
        await keeping.shred(job.study, job.who)
        return Ending()

    destinations = Destinations(settings)
    sending = ThreadPoolExecutor(AT_ONCE + 1, thread_name_prefix="onward")
    onward = Onward(archive, rows, audit, Courier(_setup(settings)), destinations, now_ms, sending)
    works: dict[JobKind, Work] = {
        JobKind.SHRED: shred,
        JobKind.SEND: onward,
        JobKind.COPY: Copying(archive, rows, audit, now_ms, sending, keeping.shred),
    }
    jobs = Jobs(rows, works, now_ms, patient=patient)
    keeping.forgets.append(jobs.forget)

    async def record(entry: Entry) -> None:
        await threads.run(lambda: audit.record(entry))

    reported = _reported(jobs, asyncio.get_running_loop())
    try:
        yield Upkeep(rows, keeping, jobs, destinations, reported, now_ms, record)
    finally:
        await jobs.close()
        sending.shutdown()
        threads.close()


def _setup(settings: Settings) -> Setup:
    files = (settings.dicom_tls_cert, settings.dicom_tls_key, settings.dicom_tls_ca)
    return Setup(settings.dicom_title, 1, *(str(file) if file else "" for file in files))


def _reported(jobs: Jobs, loop: asyncio.AbstractEventLoop) -> Reported:
    def reported(title: str, judgement: Judgement) -> bool:
        committed = len({instance for _, instance in judgement.committed})
        asked = jobs.confirmed(title, judgement.transaction, committed)
        return asyncio.run_coroutine_threadsafe(asked, loop).result(ANSWER_TIMEOUT_S)

    return reported
