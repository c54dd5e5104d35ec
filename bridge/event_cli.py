"""`bridge event`: an event's points and attendance for who runs the installation, whether or not the server runs.

Exit codes: 0 done, 1 refused or something is wrong with a line, 2 wrong command line, settings or key files.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from bridge.audit import Audit, Entry, Event
from bridge.commands import WHERE, with_settings
from bridge.config import Settings
from bridge.errors import BridgeError, Conflict, LimitExceeded
from bridge.ids import SessionFormat, SessionId, SessionState
from bridge.launch.book import Imported
from bridge.launch.links import link_table
from bridge.launch.opening import EventBooks, open_books
from bridge.launch.points import SHEET_LIMIT_BYTES, Sheet, read_sheet
from bridge.launch.reportsheets import people_table, report_tables
from bridge.launch.sheets import csv_of, language_named, xlsx_of
from bridge.office import Office, base_url, open_office
from bridge.store import SessionRecord
from bridge.terminal import run_to_end
from bridge.vault_cli import open_vault, operator

event_cli = typer.Typer(help="Points and attendance of launch events.", no_args_is_help=True)
points_cli = typer.Typer(
    help="Take points in from CSV, and give them out with their links.", no_args_is_help=True
)
event_cli.add_typer(points_cli, name="points")

_Session = Annotated[str, typer.Argument(metavar="EVENT", help="The session's id.")]
_Language = Annotated[str, typer.Option(help="Of the headers, and the separator: vi, ru or en.")]
_Into = Annotated[Path, typer.Argument(metavar="FILE", help="Where to write; it must not be there yet.")]
_FILE_MODE = 0o600


@dataclass(frozen=True, slots=True)
class _Here:
    office: Office
    books: EventBooks
    audit: Audit
    session: SessionRecord

    async def note(self, event: Event, rows: int) -> None:
        entry = Entry(event, operator(), f"session/{self.session.id}", detail={"rows": rows})
        await asyncio.to_thread(self.audit.record, entry)


@points_cli.command("import")
@with_settings(WHERE)
def import_points(
    settings: Settings,
    session: _Session,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A CSV file.", exists=True, dir_okay=False)],
    charset: Annotated[
        str | None, typer.Option(help="If it is not UTF-8: windows-1251, windows-1258.")
    ] = None,
    preview: Annotated[bool, typer.Option("--preview", help="Only say what would change.")] = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Take away points that are not in the file.")
    ] = False,
) -> None:
    """Take the points of an event in; known ones keep their links."""
    if file.stat().st_size > SHEET_LIMIT_BYTES:
        raise LimitExceeded(f"The file has more than {SHEET_LIMIT_BYTES} bytes.", "tooLarge")
    sheet = read_sheet(file.read_bytes(), charset)
    for problem in sheet.problems:
        typer.echo(f"line {problem.line}: {problem.text}", err=True)
    if remove and sheet.problems:
        raise Conflict("Nothing was changed: with --remove no line may have a problem.")

    async def work() -> Imported:
        async with _opened(settings, session) as here:
            return await _take_in(here, sheet, preview=preview, remove=remove)

    done = run_to_end(work())
    gone = len(done.gone) if remove else 0
    plan = done.plan
    typer.echo(
        f"{len(plan.added)} added, {len(plan.changed)} changed, {len(plan.unchanged)} unchanged, {gone} removed"
        f"{' (nothing was done yet)' if preview else ''}"
    )
    if sheet.problems:
        raise typer.Exit(1)


@points_cli.command("export")
@with_settings(WHERE)
def export_points(settings: Settings, session: _Session, into: _Into, language: _Language = "en") -> None:
    """Write all points with their links as CSV."""
    spoken = language_named(language)

    async def work() -> int:
        async with _opened(settings, session) as here:
            points = await here.books.book.points(here.session.id)
            await here.note(Event.OBJECT_EXPORTED, len(points))
            base, desk = base_url(settings), here.office.desk
            _write(into, csv_of(link_table(points, lambda one: desk.link(one, base), spoken), spoken))
            return len(points)

    typer.echo(f"{run_to_end(work())} points written to {into}")


@event_cli.command()
@with_settings(WHERE)
def attendance(
    settings: Settings,
    session: _Session,
    into: _Into,
    language: _Language = "en",
    offset: Annotated[int, typer.Option(min=-840, max=840, help="Minutes east of UTC.")] = 0,
) -> None:
    """Write who was there, as CSV or, if FILE ends so, XLSX."""
    spoken = language_named(language)

    async def work() -> int:
        async with _opened(settings, session) as here:
            report = await here.books.looking_back.report(here.session.id)
            await here.note(Event.OBJECT_EXPORTED, len(report.rows))
            if into.suffix.lower() == ".xlsx":
                _write(into, xlsx_of(report_tables(report, spoken, offset)))
            else:
                _write(into, csv_of(people_table(report, spoken, offset), spoken))
            return len(report.rows)

    typer.echo(f"{run_to_end(work())} people written to {into}")


async def _take_in(here: _Here, sheet: Sheet, *, preview: bool, remove: bool) -> Imported:
    book, session = here.books.book, here.session
    if preview:
        return await book.preview(session.id, sheet)
    if session.state is SessionState.ENDED:
        raise BridgeError("This session is over.", "sessionEnded")
    starts_at_ms = (await book.event(session.id)).starts_at_ms
    done = await book.import_points(
        session.id,
        sheet,
        lambda point: here.office.desk.point_invite(point, starts_at_ms),
        _now_ms(),
        remove=remove,
    )
    await here.note(Event.OBJECT_IMPORTED, len(sheet.rows))
    return done


@asynccontextmanager
async def _opened(settings: Settings, session: str) -> AsyncIterator[_Here]:
    """Raises NotFound, and Conflict for a consult."""
    vault, audit = open_vault(settings)
    async with open_office(settings) as office:
        record = await office.store.get_session(SessionId(session))
        if record.format is not SessionFormat.EVENT:
            raise Conflict("This session is a consult: only events have this.")
        yield _Here(office, await open_books(office.store, vault, _now_ms), audit, record)


def _write(into: Path, data: bytes) -> None:
    """Raises Conflict if it is there already, and BridgeError if it cannot be written: part of a list is no list."""
    try:
        descriptor = os.open(into, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE)
    except FileExistsError:
        raise Conflict(f"{into} is there already.") from None
    except OSError as error:
        raise BridgeError(f"{into} cannot be made: {error.strerror}.", "storageFailed") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException as error:
        into.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise BridgeError(f"{into} cannot be written: {error.strerror}.", "storageFailed") from error
        raise


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
