"""What is done with studies besides taking them in and reading them, for the server and the command line alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bridge.audit import Audit
from bridge.config import Settings
from bridge.ids import SessionKind
from bridge.imaging.archive import Archive
from bridge.imaging.dicomweb.shelf import Threads
from bridge.imaging.jobs import Ending, Jobs, Progress
from bridge.imaging.keeping import Forget, Keeping
from bridge.store import Store
from bridge.studyrows import JobKind, JobRecord, StudyRows

THREADS = 2


@dataclass(frozen=True, slots=True)
class Upkeep:
    """For one event loop."""

    rows: StudyRows
    keeping: Keeping
    jobs: Jobs


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

    jobs = Jobs(rows, {JobKind.SHRED: shred}, now_ms, patient=patient)
    try:
        yield Upkeep(rows, keeping, jobs)
    finally:
        await jobs.close()
        threads.close()
