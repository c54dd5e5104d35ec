"""`bridge study export` and `deidentify`: studies written as files where somebody said, or copied for teaching.

The one place of the command line where pictures leave the vault. Who stops it finds nothing half-written.
"""

from __future__ import annotations

import asyncio
import secrets
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import typer

from bridge.audit import Entry, Event, Outcome
from bridge.commands import WHERE, with_settings
from bridge.config import Settings
from bridge.errors import BridgeError
from bridge.imaging.catalogue import StudyEntry
from bridge.imaging.jobs import Stopped
from bridge.imaging.taking_out import NewFolder, take_out
from bridge.imaging.teaching.making import KEY_BYTES, Copied, Copies, Options, remark_of
from bridge.study_jobs_cli import Id, have_done, require_done
from bridge.study_office import StudyOffice, named, opened
from bridge.studyrows import JobKind
from bridge.terminal import progress_bar, run_to_end
from bridge.vault_cli import operator

_Result = TypeVar("_Result")


@with_settings(WHERE)
def export(
    settings: Settings,
    id: Id,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="A new or empty folder.")],
) -> None:
    """Write a study's objects as files, in the clear and as they came. It is in the audit."""

    async def work() -> int:
        async with opened(settings) as here:
            entry = here.entry(id)
            return await _stoppable(lambda check: _export(here, entry, output, check))

    count = run_to_end(work())
    typer.echo(f"Wrote {count} objects to {output}.")


@with_settings(WHERE)
def deidentify(
    settings: Settings,
    id: Id,
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
    study = named(settings, id)
    job = run_to_end(
        have_done(settings, study, JobKind.COPY, f"Copying {study}", options=msgspec.to_builtins(options))
    )
    require_done(job)
    typer.echo(f"Made {job.options['copy']} with {job.done} objects. {job.text}".rstrip())


async def _copy_to(settings: Settings, id: str, options: Options, folder: Path) -> Copied:
    async with opened(settings) as here:
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


def _export(here: StudyOffice, entry: StudyEntry, folder: Path, check: Callable[[], None]) -> int:
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
