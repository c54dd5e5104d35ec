"""`bridge study send`, `shred`, `jobs`, `stop` and `retry`: the long work on studies.

The server does it if one runs, and this process if none does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any

import typer

from bridge.commands import WHERE, with_settings
from bridge.config import Settings
from bridge.errors import BridgeError, Conflict
from bridge.studies import job_shown
from bridge.study_office import StudyOffice, alone, named, opened
from bridge.studyrows import OVER, JobKind, JobRecord, JobState
from bridge.terminal import date_of, progress_bar, run_to_end
from bridge.vault_cli import operator, print_json

LOOK_S = 0.3
"""How often it is looked how far a job is."""
_CONFIRMED = {
    "confirmed": " It says that it keeps them.",
    "asked": " It was asked whether it keeps them, and will tell the running server.",
}

Id = Annotated[str, typer.Argument(metavar="ID", help="The study's id, or its StudyInstanceUID.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Job = Annotated[str, typer.Argument(metavar="JOB", help="As `jobs` lists it.")]


@with_settings(WHERE)
def shred(
    settings: Settings,
    id: Id,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Make a study unreadable for ever; not while it arrives or is held."""
    study = named(settings, id)
    if not yes:
        typer.confirm(f"Shred {study}? Nobody can ever read it again.", abort=True)
    require_done(run_to_end(have_done(settings, study, JobKind.SHRED, f"Shredding {study}")))
    typer.echo(f"Shredded {study}.")


@with_settings(WHERE)
def send(
    settings: Settings,
    id: Id,
    to: Annotated[str, typer.Option(metavar="NAME", help="Of dicom_peers or dicom_web_peers.")],
    as_json: Json = False,
) -> None:
    """Send a study on to a PACS. With a running server, Ctrl-C leaves it to go on."""

    async def work() -> JobRecord:
        async with opened(settings) as here:
            here.upkeep.destinations.find(to)
            study = here.entry(id).id
        return await have_done(settings, study, JobKind.SEND, f"Sending to {to}", destination=to)

    job = run_to_end(work())
    if as_json:
        print_json(job_shown(job))
    else:
        require_done(job)
        typer.echo(f"Sent {job.done} objects to {to}.{_CONFIRMED.get(job.commitment, '')}")
    if job.state is JobState.FAILED:
        raise typer.Exit(1)


@with_settings(WHERE)
def jobs(settings: Settings, as_json: Json = False) -> None:
    """List what was sent on or is being sent, the newest first."""

    async def work() -> list[JobRecord]:
        async with opened(settings) as here:
            return await here.upkeep.rows.list_jobs()

    found = run_to_end(work())
    if as_json:
        print_json([job_shown(job) for job in found])
        return
    for job in found:
        typer.echo(
            f"{job.id}  {date_of(job.created_at_ms)}  {job.kind:<5}  {job.state:<10}  {job.done:>5}/{job.total:<5}  "
            f"{job.study}  {job.destination}  {job.text}"
        )


@with_settings(WHERE)
def stop(settings: Settings, job: _Job) -> None:
    """Stop what `jobs` lists; a running server does within a second."""

    async def work() -> None:
        async with opened(settings) as here:
            await here.upkeep.stop(job, operator())

    run_to_end(work())
    typer.echo(f"Stopped {job}.")


@with_settings(WHERE)
def retry(settings: Settings, job: _Job) -> None:
    """Have what failed or was stopped done by the server again, now or when it runs."""

    async def work() -> None:
        async with opened(settings) as here:
            await here.upkeep.retry(job, operator())

    run_to_end(work())
    typer.echo(f"To be done again: {job}.")


async def have_done(
    settings: Settings,
    study: str,
    kind: JobKind,
    text: str,
    *,
    destination: str = "",
    options: dict[str, Any] | None = None,
) -> JobRecord:
    """Has it done, by the running server or here; gives what became of it."""
    with alone(settings) as is_alone:
        async with opened(settings) as here:
            session = here.archive.catalogue.belonging(study).session
            job = await here.upkeep.start(
                kind, study, operator(), session=session, destination=destination, options=options
            )
            with progress_bar(text) as bar:
                if is_alone:
                    return await _done_here(here, job, bar)
                return await _done_there(here, job, bar)


async def _done_here(here: StudyOffice, job: JobRecord, bar: Callable[[int, int], None]) -> JobRecord:
    jobs = here.upkeep.jobs
    working = asyncio.create_task(jobs.work_off(job))
    try:
        while not working.done():
            await asyncio.wait([working], timeout=LOOK_S)
            now = jobs.shown(await here.upkeep.rows.get_job(job.id))
            bar(now.done + now.failed, now.total)
        return working.result()
    except asyncio.CancelledError:
        with suppress(Conflict):  # It is over, or a study is being shredded: that comes to its end.
            await jobs.stop(job.id)
        raise


async def _done_there(here: StudyOffice, job: JobRecord, bar: Callable[[int, int], None]) -> JobRecord:
    while True:
        now = await here.upkeep.rows.get_job(job.id)
        bar(now.done + now.failed, now.total)
        is_tried_again = now.state is JobState.WAITING and now.attempts
        if now.state in OVER or now.state is JobState.CONFIRMING or is_tried_again:
            return now
        await asyncio.sleep(LOOK_S)


def require_done(job: JobRecord) -> None:
    """Raises BridgeError if it failed."""
    if job.state is JobState.WAITING:
        raise BridgeError(f"{job.text} The server tries again; see: bridge study jobs", job.code or "tooMany")
    if job.state in (JobState.FAILED, JobState.STOPPED):
        raise BridgeError(job.text or "It was stopped.", job.code or "conflict")
