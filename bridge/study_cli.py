"""`bridge study`: for who answers for studies. It works whether or not the server runs.

What takes long or shreds is done by the server if one runs, and here if none does. Names are shown on request only.
Exit codes: 0 all is well, 1 something is wrong, damaged or refused, 2 wrong command line, settings or key files.
"""

from __future__ import annotations

import asyncio
import fcntl
import secrets
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import typer

from bridge.audit import Audit, Entry, Event, Outcome
from bridge.commands import WHERE, with_settings
from bridge.config import Settings
from bridge.errors import BridgeError, Conflict
from bridge.ids import SessionId
from bridge.imaging import gathering
from bridge.imaging.archive import Archive
from bridge.imaging.catalogue import Catalogue, StoreEntries, StudyEntry
from bridge.imaging.jobs import Stopped
from bridge.imaging.taking_out import NewFolder, take_out
from bridge.imaging.teaching.making import KEY_BYTES, Copied, Copies, Options, remark_of
from bridge.imaging.upkeep import Upkeep, open_upkeep
from bridge.imaging.workers import Workers
from bridge.office import SERVER_LOCK_FILE, Office, data_folder, open_office
from bridge.studies import job_shown, shown
from bridge.studyrows import OVER, JobKind, JobRecord, JobState
from bridge.terminal import date_of, progress_bar, run_to_end, size_of
from bridge.vault import ObjectId, ObjectKind, ObjectRef, Vault
from bridge.vault_cli import open_vault, operator, print_json, verify_all

LOOK_S = 0.3
"""How often it is looked how far a job is."""
_Result = TypeVar("_Result")

study_cli = typer.Typer(help="List, verify, export, send, hold and shred studies.", no_args_is_help=True)

_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Id = Annotated[str, typer.Argument(metavar="ID", help="The study's id, or its StudyInstanceUID.")]
_Job = Annotated[str, typer.Argument(metavar="JOB", help="As `jobs` lists it.")]
_Names = Annotated[bool, typer.Option("--names", help="Show whose it is. It is in the audit.")]


@study_cli.command("list")
@with_settings(WHERE)
def list_studies(
    settings: Settings,
    session: Annotated[str | None, typer.Option(metavar="ID", help="Only those of this session.")] = None,
    names: _Names = False,
    as_json: _Json = False,
) -> None:
    """List studies, the last to change first."""

    async def work() -> list[dict[str, Any]]:
        async with _opened(settings) as here:
            wanted = SessionId(session) if session is not None else None
            on = f"session/{wanted}" if wanted is not None else "studies/all"
            here.audit.record(Entry(Event.QUERIED, operator(), on, detail={"names": int(names)}))
            belonging = here.archive.catalogue.belonging
            entries = [
                each
                for each in here.archive.catalogue.all()
                if wanted is None or belonging(each.id).session == wanted
            ]
            return _rows(entries, await shown(entries, here.upkeep), names)

    rows = run_to_end(work())
    if as_json:
        print_json(rows)
        return
    for row in rows:
        typer.echo(
            f"{row['id']}  {date_of(row['lastAt'])}  {_plain('/'.join(row['modalities'])):<5}  {row['instances']:>5}  "
            f"{size_of(row['sizeBytes']):>10}  {'held' if row['hold'] else '':<4}  {row['session'] or '-':<16}"
            + (f"  {_named_as(row)}" if names else "")
        )


@study_cli.command()
@with_settings(WHERE)
def show(settings: Settings, id: _Id, names: _Names = False, as_json: _Json = False) -> None:
    """Show what lies in a study: its series and objects."""

    async def work() -> tuple[dict[str, Any], list[dict[str, Any]]]:
        async with _opened(settings) as here:
            entry = here.entry(id)
            here.audit.record(
                Entry(Event.OBJECT_ACCESSED, operator(), f"study/{entry.id}", detail={"names": int(names)})
            )
            (row,) = _rows([entry], await shown([entry], here.upkeep), names)
            return row, await asyncio.to_thread(_series, here.archive, entry)

    row, series = run_to_end(work())
    if as_json:
        print_json({**row, "parts": series})
        return
    typer.echo(f"{row['id']}  {row['studyInstanceUID']}")
    typer.echo(f"{date_of(row['firstAt'])} to {date_of(row['lastAt'])}, {size_of(row['sizeBytes'])}")
    typer.echo(f"session {row['session'] or '-'}, point {row['point'] or '-'}")
    until = row["retainUntil"]
    held = "held" if row["hold"] else f"kept until {date_of(until)}" if until else "kept until it is shredded"
    typer.echo(held)
    if names:
        typer.echo(_named_as(row))
    for one in series:
        typer.echo(f"  {_plain(one['modality']):<4} {one['instances']:>5} objects  {one['series']}")


@study_cli.command()
@with_settings(WHERE)
def verify(
    settings: Settings,
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Which; else all.")] = None,
    as_json: _Json = False,
) -> None:
    """Open every byte of studies, and name each part that is missing, moved, repeated, cut or changed."""
    vault, audit = open_vault(settings)

    async def named(asked: list[str]) -> list[ObjectRef]:
        async with _opened(settings) as here:
            return [_ref(here.entry(id).id) for id in asked]

    refs = run_to_end(named(ids)) if ids else list(vault.objects(ObjectKind.STUDY))
    verify_all(vault, audit, refs, named=bool(ids), as_json=as_json)


@study_cli.command("export")
@with_settings(WHERE)
def export_study(
    settings: Settings,
    id: _Id,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="A new or empty folder.")],
) -> None:
    """Write a study's objects as files, in the clear and as they came. It is in the audit."""

    async def work() -> int:
        async with _opened(settings) as here:
            entry = here.entry(id)
            return await _stoppable(lambda check: _export(here, entry, output, check))

    count = run_to_end(work())
    typer.echo(f"Wrote {count} objects to {output}.")


@study_cli.command()
@with_settings(WHERE)
def shred(
    settings: Settings,
    id: _Id,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Make a study unreadable for ever; not while it arrives or is held."""
    study = _named(settings, id)
    if not yes:
        typer.confirm(f"Shred {study}? Nobody can ever read it again.", abort=True)
    _require_done(run_to_end(_job(settings, study, JobKind.SHRED, f"Shredding {study}")))
    typer.echo(f"Shredded {study}.")


@study_cli.command()
@with_settings(WHERE)
def hold(settings: Settings, id: _Id) -> None:
    """Put a study under legal hold: it is not shredded, however old it gets."""
    typer.echo(f"Held {_set_hold(settings, id, True)}: it is kept until it is released.")


@study_cli.command()
@with_settings(WHERE)
def release(settings: Settings, id: _Id) -> None:
    """Let a held study go: it is kept as long as others of its session's kind."""
    typer.echo(f"Released {_set_hold(settings, id, False)}.")


@study_cli.command()
@with_settings(WHERE)
def send(
    settings: Settings,
    id: _Id,
    to: Annotated[str, typer.Option(metavar="NAME", help="Of dicom_peers or dicom_web_peers.")],
    as_json: _Json = False,
) -> None:
    """Send a study on to a PACS. With a running server, Ctrl-C leaves it to go on."""

    async def work() -> JobRecord:
        async with _opened(settings) as here:
            here.upkeep.destinations.find(to)
            study = here.entry(id).id
        return await _job(settings, study, JobKind.SEND, f"Sending to {to}", destination=to)

    job = run_to_end(work())
    if as_json:
        print_json(job_shown(job))
    else:
        _require_done(job)
        typer.echo(f"Sent {job.done} objects to {to}.{_CONFIRMED.get(job.commitment, '')}")
    if job.state is JobState.FAILED:
        raise typer.Exit(1)


@study_cli.command()
@with_settings(WHERE)
def deidentify(
    settings: Settings,
    id: _Id,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FOLDER", help="A new or empty folder; else a new study is made."
        ),
    ] = None,
    shift_dates: Annotated[
        bool, typer.Option("--shift-dates", help="Shift all dates by the same days; else they are emptied.")
    ] = False,
    blank_top: Annotated[int, typer.Option(metavar="ROWS", help="Make the top rows of pictures black.")] = 0,
    looked: Annotated[
        bool, typer.Option("--looked", help="I have looked at every picture: no name is written into any.")
    ] = False,
    leave_out: Annotated[
        bool, typer.Option("--leave-out", help="Leave out pictures that may have a name written into them.")
    ] = False,
    in_session: Annotated[
        bool, typer.Option("--in-session", help="The copy belongs to the study's session; else to none.")
    ] = False,
) -> None:
    """Make a copy for teaching without anything that names the patient (DICOM PS3.15, Basic Profile)."""
    options = Options(shift_dates, blank_top, looked, leave_out, in_session)
    options.check()
    if output is not None:
        copied = run_to_end(_copy_to(settings, id, options, output))
        typer.echo(f"Wrote {copied.done} objects to {output}. {remark_of(copied)}".rstrip())
        return
    study = _named(settings, id)
    job = run_to_end(
        _job(settings, study, JobKind.COPY, f"Copying {study}", options=msgspec.to_builtins(options))
    )
    _require_done(job)
    typer.echo(f"Made {job.options['copy']} with {job.done} objects. {job.text}".rstrip())


async def _copy_to(settings: Settings, id: str, options: Options, folder: Path) -> Copied:
    async with _opened(settings) as here:
        entry = here.entry(id)
        on, who = f"study/{entry.id}", operator()

        def work(check: Callable[[], None]) -> Copied:
            copied = Copied(0, 0, 0)
            with (
                progress_bar(f"Copying {entry.id}") as bar,
                here.archive.open(entry.id) as reader,
                NewFolder(folder, check) as out,
            ):
                copies = Copies(here.archive)
                # Nobody needs to make the same copy again: its key is thrown away.
                key, number = secrets.token_bytes(KEY_BYTES), secrets.randbelow(900_000) + 100_000
                for copied in copies.make(reader, options, key, number, lambda file: out.put("", file)):
                    bar(copied.done, copied.total)
                    check()
            return copied

        here.audit.record(Entry(Event.OBJECT_EXPORTED, who, on, Outcome.BEGUN, {"deidentified": 1}))
        try:
            copied = await _stoppable(work)
        except BaseException:
            here.audit.record(Entry(Event.OBJECT_EXPORTED, who, on, Outcome.FAILED, {"deidentified": 1}))
            raise
        detail = {"deidentified": 1, "objects": copied.done, "leftOut": copied.left_out}
        here.audit.record(Entry(Event.OBJECT_EXPORTED, who, on, Outcome.DONE, detail))
        return copied


@study_cli.command("jobs")
@with_settings(WHERE)
def list_jobs(settings: Settings, as_json: _Json = False) -> None:
    """List what was sent on or is being sent, the newest first."""

    async def work() -> list[JobRecord]:
        async with _opened(settings) as here:
            return await here.upkeep.rows.list_jobs()

    jobs = run_to_end(work())
    if as_json:
        print_json([job_shown(job) for job in jobs])
        return
    for job in jobs:
        typer.echo(
            f"{job.id}  {date_of(job.created_at_ms)}  {job.kind:<5}  {job.state:<10}  {job.done:>5}/{job.total:<5}  "
            f"{job.study}  {job.destination}  {job.text}"
        )


@study_cli.command("stop")
@with_settings(WHERE)
def stop_job(settings: Settings, job: _Job) -> None:
    """Stop what `jobs` lists; a running server does within a second."""

    async def work() -> None:
        async with _opened(settings) as here:
            await here.upkeep.stop(job, operator())

    run_to_end(work())
    typer.echo(f"Stopped {job}.")


@study_cli.command("retry")
@with_settings(WHERE)
def retry_job(settings: Settings, job: _Job) -> None:
    """Have what failed or was stopped done by the server again, now or when it runs."""

    async def work() -> None:
        async with _opened(settings) as here:
            await here.upkeep.retry(job, operator())

    run_to_end(work())
    typer.echo(f"To be done again: {job}.")


_CONFIRMED = {
    "confirmed": " It says that it keeps them.",
    "asked": " It was asked whether it keeps them, and will tell the running server.",
}


# --- what the commands share -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Here:
    """An installation's studies, open in this process."""

    office: Office
    vault: Vault
    audit: Audit
    archive: Archive
    upkeep: Upkeep

    def entry(self, id: str) -> StudyEntry:
        """Raises NotFound."""
        catalogue = self.archive.catalogue
        known = catalogue.known(id)
        return catalogue.get(known.id if known is not None else id.removeprefix("study/"))


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[_Here]:
    vault, audit = open_vault(settings)
    async with open_office(settings) as office:
        loop = asyncio.get_running_loop()
        workers = Workers(waiting=False)
        try:
            entries = StoreEntries(office.store, loop)
            archive = await asyncio.to_thread(lambda: _archive(vault, Catalogue(vault, entries), workers))
            async with open_upkeep(settings, office.store, archive, audit, _now_ms, patient=False) as upkeep:
                yield _Here(office, vault, audit, archive, upkeep)
        finally:
            await asyncio.to_thread(workers.close)


def _archive(vault: Vault, catalogue: Catalogue, workers: Workers) -> Archive:
    """With what a running server has taken in just now, and notes in the index only when it has come whole."""
    archive = Archive(vault, catalogue, workers)
    for entry in catalogue.unsettled():
        with suppress(BridgeError), archive.open(entry.id) as reader:
            known = gathering.entry_of(reader)
            if known is not None:
                catalogue.update(known)
    return archive


@contextmanager
def _alone(settings: Settings) -> Iterator[bool]:
    """Whether no server runs; none can start within the block then."""
    with (data_folder(settings) / SERVER_LOCK_FILE).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True


async def _job(
    settings: Settings,
    study: str,
    kind: JobKind,
    text: str,
    *,
    destination: str = "",
    options: dict[str, Any] | None = None,
) -> JobRecord:
    """Has it done, by the running server or here; gives what became of it."""
    with _alone(settings) as alone:
        async with _opened(settings) as here:
            session = here.archive.catalogue.belonging(study).session
            job = await here.upkeep.start(
                kind, study, operator(), session=session, destination=destination, options=options
            )
            with progress_bar(text) as bar:
                if alone:
                    return await _done_here(here, job, bar)
                return await _done_there(here, job, bar)


async def _done_here(here: _Here, job: JobRecord, bar: Callable[[int, int], None]) -> JobRecord:
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


async def _done_there(here: _Here, job: JobRecord, bar: Callable[[int, int], None]) -> JobRecord:
    while True:
        now = await here.upkeep.rows.get_job(job.id)
        bar(now.done + now.failed, now.total)
        is_tried_again = now.state is JobState.WAITING and now.attempts
        if now.state in OVER or now.state is JobState.CONFIRMING or is_tried_again:
            return now
        await asyncio.sleep(LOOK_S)


def _require_done(job: JobRecord) -> None:
    """Raises BridgeError if it failed."""
    if job.state is JobState.WAITING:
        raise BridgeError(f"{job.text} The server tries again; see: bridge study jobs", job.code or "tooMany")
    if job.state in (JobState.FAILED, JobState.STOPPED):
        raise BridgeError(job.text or "It was stopped.", job.code or "conflict")


def _named(settings: Settings, id: str) -> str:
    async def work() -> str:
        async with _opened(settings) as here:
            return here.entry(id).id

    return run_to_end(work())


def _set_hold(settings: Settings, id: str, held: bool) -> str:
    async def work() -> str:
        async with _opened(settings) as here:
            study = here.entry(id).id
            await here.upkeep.keeping.hold(study, operator(), held)
            return study

    return run_to_end(work())


async def _stoppable(work: Callable[[Callable[[], None]], _Result]) -> _Result:
    """Does it in a thread; what it is given raises when somebody stops the command. Then it clears away and ends.

    Raises BridgeError if it was told to end.
    """
    stopped = threading.Event()

    def check() -> None:
        if stopped.is_set():
            raise Stopped

    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGHUP)
    for number in signals:
        loop.add_signal_handler(number, stopped.set)
    working = loop.run_in_executor(None, work, check)
    try:
        return await asyncio.shield(working)
    except Stopped:
        raise BridgeError("It was stopped; nothing of it was left behind.", "conflict") from None
    except asyncio.CancelledError:  # By Ctrl-C.
        stopped.set()
        await asyncio.wait([working])
        with suppress(Exception):
            working.result()
        raise
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


def _export(here: _Here, entry: StudyEntry, folder: Path, check: Callable[[], None]) -> int:
    on, who = f"study/{entry.id}", operator()
    here.audit.record(Entry(Event.OBJECT_EXPORTED, who, on, Outcome.BEGUN))
    try:
        with progress_bar(f"Exporting {entry.id}") as bar, here.archive.open(entry.id) as reader:
            count = take_out(reader, folder, bar, check)
    except BaseException:
        here.audit.record(Entry(Event.OBJECT_EXPORTED, who, on, Outcome.FAILED))
        raise
    here.audit.record(Entry(Event.OBJECT_EXPORTED, who, on, detail={"objects": count}))
    return count


def _series(archive: Archive, entry: StudyEntry) -> list[dict[str, Any]]:
    with archive.open(entry.id) as reader:
        return [
            {
                "series": uid,
                "modality": instances[0].note.modality,
                "instances": len(instances),
                "sizeBytes": sum(one.note.size_bytes for one in instances),
                "transferSyntaxes": sorted({one.note.transfer_syntax for one in instances}),
            }
            for uid, instances in reader.series().items()
        ]


def _rows(entries: list[StudyEntry], rows: list[dict[str, Any]], names: bool) -> list[dict[str, Any]]:
    if not names:
        return rows
    facts = {entry.id: entry.facts for entry in entries}
    return [
        row
        | {
            "patientName": facts[row["id"]].patient_name,
            "patientId": facts[row["id"]].patient_id,
            "birthDate": facts[row["id"]].birth_date,
            "description": facts[row["id"]].description,
        }
        for row in rows
    ]


def _named_as(row: dict[str, Any]) -> str:
    return "  ".join(_plain(row[name]) for name in ("patientName", "patientId", "birthDate", "description"))


def _plain(text: str) -> str:
    """What strangers wrote, without what would make a terminal do something."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _ref(study: str) -> ObjectRef:
    return ObjectRef(ObjectKind.STUDY, ObjectId(study))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
