"""Long work on studies: tried again later and later, given up, confirmed, refused, stopped, and begun again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import BridgeError, Conflict, LimitExceeded, NotFound
from bridge.imaging.errors import DicomError
from bridge.imaging.jobs import (
    ATTEMPTS,
    CONFIRM_WITHIN_MS,
    FIRST_PAUSE_MS,
    IDLE_LOOK_S,
    Ending,
    Jobs,
    Later,
    Progress,
    Stopped,
)
from bridge.store import Store, sqlite_url
from bridge.studyrows import JobKind, JobRecord, JobState, StudyRows

STUDY, TO = "a" * 16, "PACS"


@dataclass
class Shop:
    """Jobs whose work does what a test says, on a clock of its own."""

    rows: StudyRows
    now_ms: int = 1_000_000
    endings: list[Ending | Exception] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    waits: bool = False
    is_deaf: bool = False

    def __post_init__(self) -> None:
        self.jobs = self.opened()

    def opened(self) -> Jobs:
        works = dict.fromkeys((JobKind.SEND, JobKind.SHRED), self.work)
        return Jobs(self.rows, works, lambda: self.now_ms)

    async def work(self, job: JobRecord, progress: Progress) -> Ending:
        progress.say(1, 0, 3)
        self.begun.set()
        if self.is_deaf:
            await asyncio.Event().wait()
        while self.waits:
            await asyncio.sleep(0)
            progress.check()
        ending = self.endings.pop(0)
        if isinstance(ending, Exception):
            raise ending
        progress.say(3, 0, 3)
        return ending

    async def add(self, transaction: str = "", kind: JobKind = JobKind.SEND) -> JobRecord:
        job = await self.rows.add_job(kind, STUDY, "staff", now_ms=self.now_ms, destination=TO)
        if transaction:
            await self.rows.change_job(job.id, self.now_ms, transaction=transaction)
        return job

    async def done(self, job: JobRecord) -> JobRecord:
        return await self.jobs.work_off(await self.rows.get_job(job.id))


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    store = await Store.open(sqlite_url(tmp_path / "bridge.db"))
    made = Shop(StudyRows(store))
    yield made
    made.waits = False
    await made.jobs.close()
    await store.close()


async def test_what_may_pass_is_tried_again_later_and_later_and_then_given_up(shop: Shop) -> None:
    job = await shop.add()
    for attempt in range(1, ATTEMPTS + 1):
        shop.endings = [Later("Not now.") if attempt % 2 else LimitExceeded("Not now.")]
        told = await shop.done(job)
        assert told.attempts == attempt
        if attempt < ATTEMPTS:
            pause_ms = FIRST_PAUSE_MS * 2 ** (attempt - 1)
            assert (told.state, told.due_at_ms) == (JobState.WAITING, shop.now_ms + pause_ms)
            shop.now_ms += pause_ms
    assert (told.state, told.code, told.text) == (JobState.FAILED, "tooMany", "Not now.")
    shop.endings = [Ending()]
    await shop.jobs.retry(job.id)
    told = await shop.done(job)
    assert (told.state, told.attempts, told.code, told.done) == (JobState.DONE, 1, "", 3)
    with pytest.raises(Conflict):
        await shop.jobs.retry(job.id)


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (DicomError("They refuse.", "notAllowed"), "notAllowed", "They refuse."),
        (NotFound("It is gone."), "notFound", "It is gone."),
        (RuntimeError("a secret"), "internal", "Something went wrong on the server."),
    ],
)
async def test_what_will_not_pass_fails_at_once_and_plainly(
    shop: Shop, error: Exception, code: str, text: str
) -> None:
    shop.endings = [error]
    told = await shop.done(await shop.add())
    assert (told.state, told.code, told.text) == (JobState.FAILED, code, text)


async def test_what_was_sent_waits_until_the_other_side_says_that_it_keeps_it(shop: Shop) -> None:
    job = await shop.add("2.25.1")
    shop.endings = [Ending(commitment="asked")]
    assert (await shop.done(job)).state is JobState.CONFIRMING
    assert not await shop.jobs.confirmed(TO, "2.25.2", 3)
    assert not await shop.jobs.confirmed("ANOTHER", "2.25.1", 3)
    assert not await shop.jobs.confirmed(TO, "", 3)
    assert await shop.jobs.confirmed(TO, "2.25.1", 3)
    told = await shop.rows.get_job(job.id)
    assert (told.state, told.commitment) == (JobState.DONE, "confirmed")
    assert not await shop.jobs.confirmed(TO, "2.25.1", 1), "what is over is over"


async def test_what_is_not_kept_by_the_other_side_is_no_success(shop: Shop) -> None:
    job = await shop.add("2.25.1")
    shop.endings = [Ending(commitment="asked")]
    await shop.done(job)
    assert await shop.jobs.confirmed(TO, "2.25.1", 2)
    told = await shop.rows.get_job(job.id)
    assert (told.state, told.commitment) == (JobState.FAILED, "refused")
    assert told.text == "The destination does not keep 1 of 3 objects."


@pytest.mark.parametrize(("kept", "state"), [(3, JobState.DONE), (0, JobState.FAILED)])
async def test_an_answer_that_is_quicker_than_the_end_of_sending_counts(
    shop: Shop, kept: int, state: JobState
) -> None:
    job = await shop.add("2.25.1")
    shop.waits, shop.endings = True, [Ending(commitment="asked")]
    working = asyncio.create_task(shop.done(job))
    await shop.begun.wait()
    assert await shop.jobs.confirmed(TO, "2.25.1", kept)
    shop.waits = False
    told = await working
    assert told.state is state
    refused = ("storageFailed", "The destination does not keep 3 of 3 objects.")
    assert (told.code, told.text) == (refused if state is JobState.FAILED else ("", ""))


async def running(shop: Shop, job: JobRecord, is_so: Callable[[JobRecord], bool]) -> JobRecord:
    loop = asyncio.create_task(shop.jobs.run())
    try:
        async with asyncio.timeout(20):
            while not is_so(told := await shop.rows.get_job(job.id)):  # noqa: ASYNC110  # another process may write it
                await asyncio.sleep(0.02)
            return told
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)


async def test_who_never_says_whether_it_keeps_it_is_not_waited_for_for_ever(shop: Shop) -> None:
    job = await shop.add("2.25.1")
    shop.endings = [Ending(commitment="asked")]
    await shop.done(job)
    shop.now_ms += CONFIRM_WITHIN_MS + 1
    told = await running(shop, job, lambda told: told.state is JobState.DONE)
    assert told.commitment == "silent"


async def test_what_a_dead_server_was_doing_is_done_again(shop: Shop) -> None:
    job = await shop.add()
    await shop.rows.change_job(job.id, shop.now_ms, state=JobState.RUNNING.value)
    shop.endings = [Ending()]
    assert (await running(shop, job, lambda told: told.state is JobState.DONE)).done == 3


async def test_work_that_is_under_way_is_not_begun_again_after_an_error(shop: Shop) -> None:
    job = await shop.add()
    shop.waits, shop.endings = True, [Ending(), Ending()]
    loop = asyncio.create_task(shop.jobs.run())
    await shop.begun.wait()
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)
    shop.begun.clear()
    again = asyncio.create_task(shop.jobs.run())
    try:
        async with asyncio.timeout(20):
            while not shop.jobs._written:  # noqa: ASYNC110  # of the second loop's first round
                await asyncio.sleep(0.02)
            assert (await shop.rows.get_job(job.id)).state is JobState.RUNNING
            shop.waits = False
            while shop.jobs._running:  # noqa: ASYNC110  # nothing tells of it
                await asyncio.sleep(0.02)
    finally:
        again.cancel()
        await asyncio.gather(again, return_exceptions=True)
    assert not shop.begun.is_set()
    told = await shop.rows.get_job(job.id)
    assert (told.state, told.attempts, len(shop.endings)) == (JobState.DONE, 1, 1)


async def test_while_there_is_nothing_to_do_the_list_is_rarely_looked_at_but_a_new_job_begins_at_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.imaging.jobs.LOOK_S", 0.001)
    list_jobs, looks = shop.rows.list_jobs, 0

    async def counted(**asked: Any) -> list[JobRecord]:
        nonlocal looks
        looks += 1
        return await list_jobs(**asked)

    monkeypatch.setattr(shop.rows, "list_jobs", counted)
    loop = asyncio.create_task(shop.jobs.run())
    try:
        for _ in range(50):
            await list_jobs()
        assert looks == 1
        shop.endings = [Ending()]
        await shop.add()
        shop.jobs.nudge()
        async with asyncio.timeout(IDLE_LOOK_S / 2):
            await shop.begun.wait()
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)


async def test_what_another_process_adds_is_seen_by_itself(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.imaging.jobs.LOOK_S", 1000)
    monkeypatch.setattr("bridge.imaging.jobs.IDLE_LOOK_S", 0.01)
    loop = asyncio.create_task(shop.jobs.run())
    try:
        for _ in range(10):
            await shop.rows.list_jobs()
        shop.endings = [Ending()]
        await shop.add()
        async with asyncio.timeout(20):
            await shop.begun.wait()
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)


async def test_what_is_being_shredded_is_not_stopped(shop: Shop) -> None:
    job = await shop.add(kind=JobKind.SHRED)
    shop.waits, shop.endings = True, [Ending()]
    working = asyncio.create_task(shop.done(job))
    await shop.begun.wait()
    with pytest.raises(Conflict, match="being shredded"):
        await shop.jobs.stop(job.id)
    shop.waits = False
    assert (await working).state is JobState.DONE
    with pytest.raises(Conflict, match="over already"):
        await shop.jobs.stop(job.id)
    waiting = await shop.add(kind=JobKind.SHRED)
    await shop.jobs.stop(waiting.id)
    assert (await shop.rows.get_job(waiting.id)).state is JobState.STOPPED


async def test_work_that_does_not_hear_of_the_end_is_broken_off(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.imaging.jobs.CLOSE_S", 0.05)
    job = await shop.add()
    shop.is_deaf = True
    working = asyncio.create_task(shop.done(job))
    await shop.begun.wait()
    async with asyncio.timeout(10):
        await shop.jobs.close()
    assert (await working).state is JobState.RUNNING, "to be done again"


@pytest.mark.parametrize("is_moving", [True, False])
async def test_another_process_stops_a_job_too(shop: Shop, is_moving: bool) -> None:
    job = await shop.add()
    shop.waits = True
    beside = shop.opened()

    loop = asyncio.create_task(shop.jobs.run())
    try:
        await shop.begun.wait()
        async with asyncio.timeout(20):
            while not is_moving and not shop.jobs._written:  # noqa: ASYNC110  # all is written, and nothing comes
                await asyncio.sleep(0.02)
        await beside.stop(job.id)
        async with asyncio.timeout(20):
            while shop.jobs._running:  # noqa: ASYNC110  # nothing tells of it
                await asyncio.sleep(0.02)
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
    assert (await shop.rows.get_job(job.id)).state is JobState.STOPPED


async def test_a_server_that_stops_leaves_its_work_to_the_next_one(shop: Shop) -> None:
    job = await shop.add()
    shop.waits = True
    working = asyncio.create_task(shop.done(job))
    await shop.begun.wait()
    await shop.jobs.close()
    await working
    assert (await shop.rows.get_job(job.id)).state is JobState.RUNNING
    shop.waits, shop.endings, shop.jobs = False, [Ending()], shop.opened()
    assert (await running(shop, job, lambda told: told.state is JobState.DONE)).done == 3


async def test_what_was_stopped_is_not_taken_for_paused_when_the_server_stops_right_after(shop: Shop) -> None:
    paused, ended = Progress(await shop.add(), set()), Progress(await shop.add(), set())
    ended.stop()
    for progress in (paused, ended):
        progress.pause()
        with pytest.raises(Stopped):
            progress.check()
    assert (paused.is_paused, ended.is_paused) == (True, False)


async def test_jobs_of_a_kind_are_numbered_without_a_gap(shop: Shop) -> None:
    made = [
        await shop.rows.add_job(JobKind.COPY, STUDY, "staff", now_ms=1, options={"x": 1}, numbered=True)
        for _ in range(3)
    ]
    assert [job.options for job in made] == [{"x": 1, "number": number} for number in (1, 2, 3)]
    with pytest.raises(NotFound):
        await shop.rows.get_job("none")
    assert issubclass(Stopped, Exception)
    assert not issubclass(Stopped, BridgeError)
