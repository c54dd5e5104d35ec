"""Long work on studies that outlives the server: a durable list, worked off a few at a time, stopped and begun again.

What the work is, others say; a failure that may pass is tried again, later and later. Knows no rights.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from bridge.errors import BridgeError, Conflict, LimitExceeded, public_error
from bridge.studyrows import OVER, JobKind, JobRecord, JobState, StudyRows

AT_ONCE = 2
LOOK_S = 1.0
"""While there is something to do: how often progress is written down, and what waits is looked at."""
IDLE_LOOK_S = 5.0
"""How soon one is seen that another process added, while there is nothing to do."""
ATTEMPTS = 8
FIRST_PAUSE_MS = 15_000
"""Before the second attempt; doubled for each one after it."""
CONFIRM_WITHIN_MS = 24 * 3600 * 1000
"""So long the other side may take to say that it keeps what it was sent."""
TAKEN_LIMIT = 256
"""Jobs of which is remembered what the other side has already."""
CLOSE_S = 20.0
"""So long work may take to stop when the server does."""
_TEXT_LIMIT = 300

_log = structlog.get_logger(__name__)


class Later(BridgeError):
    """It failed, and may succeed if it is tried again."""

    default_code = "tooMany"


class Stopped(Exception):
    """Somebody stopped the work, or the server stops."""


class Progress:
    """Of one job at work; for its threads too."""

    def __init__(self, job: JobRecord, taken: set[str]) -> None:
        self.job = job
        self.taken = taken
        """What needs not be done again at another attempt."""
        self.counts = (0, 0, 0)
        self._stopped = threading.Event()
        self.on_stop: Callable[[], object] = lambda: None
        self.why = ""
        """It was stopped because this happened, and not by who may stop it."""
        self.is_paused = False
        """The server stops; the work is to be done again."""

    def say(self, done: int, failed: int, total: int) -> None:
        """How far it is. Raises Stopped."""
        self.counts = (done, failed, total)
        self.check()

    def check(self) -> None:
        """Raises Stopped."""
        if self._stopped.is_set():
            raise Stopped

    def stop(self) -> None:
        self._stopped.set()
        self.on_stop()

    def pause(self) -> None:
        """The server stops. What somebody stopped before stays so, and is cleared away."""
        self.is_paused = not self._stopped.is_set()
        self.stop()


@dataclass(frozen=True, slots=True)
class Ending:
    """How the work ended that did not fail."""

    text: str = ""
    commitment: str = ""
    transaction: str = ""

    @property
    def state(self) -> JobState:
        return JobState.CONFIRMING if self.commitment == "asked" else JobState.DONE


Work = Callable[[JobRecord, Progress], Awaitable[Ending]]


class Jobs:
    """For one event loop; `run` works until it is cancelled, `close` waits for what is under way to stop."""

    def __init__(
        self,
        rows: StudyRows,
        works: Mapping[JobKind, Work],
        now_ms: Callable[[], int],
        *,
        patient: bool = True,
    ) -> None:
        """Who is not `patient` lets work fail that could be tried again."""
        self._rows = rows
        self._works = works
        self._now_ms = now_ms
        self._patient = patient
        self._running: dict[str, tuple[asyncio.Task[None], Progress]] = {}
        self._written: dict[str, tuple[int, int, int]] = {}
        self._taken: OrderedDict[str, set[str]] = OrderedDict()
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Works off what is due, for ever. After an error it may be called again."""
        await self._rows.resume_jobs(self._now_ms(), list(self._running))
        while True:
            self._wake.clear()
            await self._write_progress()
            found = await self._rows.list_jobs(states=(JobState.WAITING, JobState.CONFIRMING), limit=2000)
            waiting = [job for job in found if job.state is JobState.WAITING]
            self._start_due(waiting)
            await self._give_up_waiting(job for job in found if job.state is JobState.CONFIRMING)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S if self._running or waiting else IDLE_LOOK_S):
                    await self._wake.wait()

    async def work_off(self, job: JobRecord) -> JobRecord:
        """This one, now; gives what became of it."""
        self._start(job)
        task, _ = self._running[job.id]
        await asyncio.wait([task])
        return await self._rows.get_job(job.id)

    def nudge(self) -> None:
        """There is a new one."""
        self._wake.set()

    def shown(self, job: JobRecord) -> JobRecord:
        """With the progress of this moment."""
        running = self._running.get(job.id)
        if running is None or job.state is not JobState.RUNNING:
            return job
        done, failed, total = running[1].counts
        return replace(job, done=done, failed=failed, total=total)

    async def stop(self, job: str) -> None:
        """Raises NotFound, Conflict if it is over, or cannot be undone any more."""
        is_final = (await self._rows.get_job(job)).kind is JobKind.SHRED
        before = [JobState.WAITING] if is_final else [state for state in JobState if state not in OVER]
        if not await self._rows.change_job(job, self._now_ms(), before, state=JobState.STOPPED.value):
            is_over = (await self._rows.get_job(job)).state in OVER
            raise Conflict(
                "This is over already." if is_over else "The study is being shredded; that cannot be stopped."
            )
        running = self._running.get(job)
        if running is not None:
            running[1].stop()

    async def retry(self, job: str) -> None:
        """Raises NotFound, Conflict unless it failed or was stopped."""
        await self._rows.get_job(job)
        if job in self._running:
            raise Conflict("This is still being stopped; try again in a moment.")
        again = {"state": JobState.WAITING.value, "attempts": 0, "code": "", "text": "", "commitment": ""}
        over = (JobState.FAILED, JobState.STOPPED)
        now_ms = self._now_ms()
        if not await self._rows.change_job(job, now_ms, over, due_at_ms=now_ms, **again):
            raise Conflict("Only what failed or was stopped can be tried again.")
        self.nudge()

    async def confirmed(self, destination: str, transaction: str, committed: int) -> bool:
        """The other side said of how many objects it keeps them; False if nobody asked it."""
        if not transaction:
            return False
        jobs = await self._rows.list_jobs(transaction=transaction)
        states = (JobState.RUNNING, JobState.CONFIRMING)
        for job in jobs:
            if job.destination != destination:
                continue
            # What the store knows of the number of objects is a second old.
            refused = max(0, self.shown(job).total - committed)
            if refused:
                self._taken.pop(job.id, None)
            known = {"commitment": "confirmed"}
            ending = JobState.DONE
            if refused:
                text = f"The destination does not keep {refused} of {committed + refused} objects."
                known = {"commitment": "refused", "code": "storageFailed", "text": text}
                ending = JobState.FAILED
            # It may be so quick that the job is not yet waiting for it.
            if await self._rows.change_job(job.id, self._now_ms(), states[:1], **known):
                return True
            return await self._rows.change_job(
                job.id, self._now_ms(), states[1:], state=ending.value, **known
            )
        return False

    def forget(self, study: str) -> None:
        """Of one that is being shredded: nothing more is done with it. From any thread."""
        for _, progress in list(self._running.values()):
            if progress.job.study == study and progress.job.kind is not JobKind.SHRED:
                progress.why = "The study was shredded meanwhile."
                progress.stop()

    async def close(self) -> None:
        """What is under way is to be done again at the next start; what does not hear of it is broken off."""
        running = list(self._running.values())
        for _, progress in running:
            progress.pause()
        tasks = [task for task, _ in running]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=CLOSE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    # --- work ----------------------------------------------------------------------------------------------------

    def _start_due(self, waiting: Sequence[JobRecord]) -> None:
        for job in reversed(waiting):
            if len(self._running) >= AT_ONCE:
                return
            if job.due_at_ms <= self._now_ms() and job.id not in self._running:
                self._start(job)

    def _start(self, job: JobRecord) -> None:
        taken = self._taken.setdefault(job.id, set())
        self._taken.move_to_end(job.id)
        while len(self._taken) > TAKEN_LIMIT:
            self._taken.popitem(last=False)
        progress = Progress(job, taken)
        task = asyncio.create_task(self._work(job, progress), name=f"study job {job.id}")
        self._running[job.id] = (task, progress)

    async def _work(self, job: JobRecord, progress: Progress) -> None:
        job = replace(job, attempts=job.attempts + 1)
        waiting = (JobState.WAITING,)
        try:
            begun = {"state": JobState.RUNNING.value, "attempts": job.attempts, "code": "", "text": ""}
            if not await self._rows.change_job(job.id, self._now_ms(), waiting, **begun):
                return
            try:
                ending = await self._works[job.kind](job, progress)
            except Stopped:
                await self._stopped(job, progress)
                return
            except Exception as error:
                await self._failed(job, progress, error)
                return
            await self._ended(job, progress, ending)
        except Exception as error:
            _log.error("study job lost", job=job.id, reason=type(error).__name__)
        finally:
            del self._running[job.id]
            self._written.pop(job.id, None)
            self.nudge()

    async def _stopped(self, job: JobRecord, progress: Progress) -> None:
        await self._rows.change_job(job.id, self._now_ms(), (), **_counted(progress))
        if progress.why:
            failed = {"state": JobState.FAILED.value, "code": "notFound", "text": progress.why}
            await self._rows.change_job(job.id, self._now_ms(), (JobState.RUNNING,), **failed)

    async def _ended(self, job: JobRecord, progress: Progress, ending: Ending) -> None:
        known = await self._rows.get_job(job.id)
        commitment = known.commitment if known.commitment in ("confirmed", "refused") else ending.commitment
        ending = replace(ending, commitment=commitment)
        said = {"commitment": commitment, "text": ending.text[:_TEXT_LIMIT]}
        state = ending.state
        if commitment == "refused":  # With code and text, which were written when it was said.
            said, state = {"commitment": commitment}, JobState.FAILED
        await self._rows.change_job(
            job.id, self._now_ms(), (JobState.RUNNING,), state=state.value, **said, **_counted(progress)
        )
        if state is JobState.DONE:
            self._taken.pop(job.id, None)

    async def _failed(self, job: JobRecord, progress: Progress, error: Exception) -> None:
        told = public_error(error)
        again = isinstance(error, Later | LimitExceeded) and self._patient and job.attempts < ATTEMPTS
        if told.code == "internal":
            _log.error("study job failed", job=job.id, reason=type(error).__name__)
        pause_ms = FIRST_PAUSE_MS * 2 ** (job.attempts - 1) if again else 0
        await self._rows.change_job(
            job.id,
            self._now_ms(),
            (JobState.RUNNING,),
            state=(JobState.WAITING if again else JobState.FAILED).value,
            due_at_ms=self._now_ms() + pause_ms,
            code=told.code,
            text=told.text[:_TEXT_LIMIT],
            **_counted(progress),
        )

    async def _write_progress(self) -> None:
        """And sees what another process stopped, which it does also while no object goes forward."""
        for job, (_, progress) in list(self._running.items()):
            counts = progress.counts
            if self._written.get(job) == counts:
                is_going_on = (await self._rows.get_job(job)).state not in OVER
            else:
                self._written[job] = counts
                going_on = (JobState.RUNNING, JobState.WAITING)
                is_going_on = await self._rows.change_job(job, self._now_ms(), going_on, **_counted(progress))
            if not is_going_on:
                progress.stop()

    async def _give_up_waiting(self, confirming: Iterable[JobRecord]) -> None:
        for job in confirming:
            if self._now_ms() - job.changed_at_ms > CONFIRM_WITHIN_MS:
                text = "Everything was sent; the destination never said that it keeps it."
                silent = {"state": JobState.DONE.value, "commitment": "silent", "text": text}
                await self._rows.change_job(job.id, self._now_ms(), (JobState.CONFIRMING,), **silent)


def _counted(progress: Progress) -> dict[str, int]:
    done, failed, total = progress.counts
    return {"done": done, "failed": failed, "total": total}
