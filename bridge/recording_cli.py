"""`bridge recording`: for who answers for recordings. It works whether or not the server runs.

Exit codes: 0 all is well, 1 something is wrong, damaged or refused, 2 wrong command line, settings or key files.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, BinaryIO, TypeVar

import typer

from bridge.audit import Entry, Event, Outcome
from bridge.commands import WHERE, with_settings
from bridge.config import Settings
from bridge.errors import BridgeError, Conflict
from bridge.ids import RecordingId, RecordingState, SessionId
from bridge.office import open_office
from bridge.recordings import layout, views
from bridge.recordings.export import SUFFIXES, Format, Patient, Report, export
from bridge.recordings.export.story import story_of
from bridge.recordings.index import RecordingReader
from bridge.recordings.library import Library
from bridge.recordings.marks import standing
from bridge.recordings.retention import keep_days_of
from bridge.store import SessionRecord
from bridge.terminal import date_of, progress_bar, run_to_end, size_of
from bridge.vault import Finding, ObjectKind, ObjectRef, Trouble
from bridge.vault_cli import open_vault, operator, print_json, rotate, tell, verify_all

_Result = TypeVar("_Result")

recording_cli = typer.Typer(help="List, verify, export, hold and shred recordings.", no_args_is_help=True)
recording_cli.command()(rotate)

_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Id = Annotated[str, typer.Argument(metavar="ID", help="The recording's id.")]
_FILE_MODE = 0o600
SESSIONS_AT_ONCE = 200


class _Nobody:
    """No recording is written by this process."""

    def note(self, recording: RecordingId, event: layout.Event) -> None:
        raise Conflict("This recording is still running.")

    def clock_ms(self, recording: RecordingId) -> int:
        return 0


@recording_cli.command("list")
@with_settings(WHERE)
def list_recordings(
    settings: Settings,
    session: Annotated[str | None, typer.Option(metavar="ID", help="Only those of this session.")] = None,
    as_json: _Json = False,
) -> None:
    """List recordings, the newest first."""

    async def work() -> list[dict[str, Any]]:
        async with open_office(settings) as office:
            wanted = SessionId(session) if session is not None else None
            rows = await office.store.list_recordings(wanted)
            ids = sorted({row.session for row in rows})
            sessions: dict[SessionId, SessionRecord] = {}
            for first in range(0, len(ids), SESSIONS_AT_ONCE):
                sessions |= await office.store.get_sessions(ids[first : first + SESSIONS_AT_ONCE])
        return [
            views.recorded(row, sessions[row.session], None, row.duration_ms, row.size_bytes) for row in rows
        ]

    rows = run_to_end(work())
    if as_json:
        print_json(rows)
        return
    for row in rows:
        typer.echo(
            f"{row['id']}  {row['state']:<8}  {date_of(row['startedAt'])}  {_length(row['endMs']):>8}  "
            f"{size_of(row['sizeBytes']):>9}  {'held' if row['hold'] else '':<4}  {row['title']}"
        )


@recording_cli.command()
@with_settings(WHERE)
def show(settings: Settings, id: _Id, as_json: _Json = False) -> None:
    """Show what lies in a recording: its tracks, marks, and what is damaged."""
    vault, audit = open_vault(settings)
    ref = _ref(id)
    with RecordingReader(vault.open(ref)) as reader:
        audit.record(Entry(Event.OBJECT_ACCESSED, operator(), str(ref)))
        events = reader.events()
        if as_json:
            about = {
                "id": ref.id,
                "beginMs": reader.begin_ms,
                "endMs": reader.end_ms,
                "sizeBytes": reader.size_bytes,
            }
            print_json({**about, **views.whole(reader, events)})
            return
        story = story_of(events)
        typer.echo(f"{ref.id}  {story.title or '(its beginning is lost)'}")
        typer.echo(
            f"from {date_of(story.started_at_ms + reader.begin_ms)}, {_length(reader.end_ms - reader.begin_ms)}, "
            f"{size_of(reader.size_bytes)}{'' if reader.sealed else ', not closed: running, or cut by a crash'}"
        )
        for track in reader.tracks:
            codecs = ", ".join(dict.fromkeys(note.codec for note in track.inits.values()))
            who = story.name_at(track.about.participant, track.begin_us) or track.about.participant
            typer.echo(
                f"  track {track.stream}: {track.about.source} of {who}, {codecs}, "
                f"{_length(track.begin_us // 1000)} to {_length(track.end_us // 1000)}, {size_of(track.size_bytes)}"
            )
        for mark in standing(reader.events_as_written()).values():
            typer.echo(f"  mark at {_length(int(mark.get('atMs') or 0))}: {mark.get('text', '')}")
        for finding in [*reader.findings(), *(each for track in reader.tracks for each in track.findings())]:
            typer.echo(f"  damaged: {finding.text}")


@recording_cli.command()
@with_settings(WHERE)
def verify(
    settings: Settings,
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Which; else all.")] = None,
    as_json: _Json = False,
) -> None:
    """Open every byte of recordings, and name each part that is missing, moved, repeated, cut or changed."""
    vault, audit = open_vault(settings)
    # A running server makes and shreds recordings meanwhile: what the database knew before must be there after.
    known = set() if ids else _known(settings)
    refs = [_ref(id) for id in ids] if ids else list(vault.objects(ObjectKind.RECORDING))
    gone = sorted(known - {ref.id for ref in refs})
    if gone:
        still = _known(settings)
        gone = [id for id in gone if id in still and not vault.exists(_ref(id))]
    for id in gone:
        text = "The database knows this recording, but nothing of it is stored."
        finding = Finding(Trouble.NOT_FOUND, None, None, text)
        audit.record(Entry(Event.OBJECT_VERIFIED, operator(), str(_ref(id)), Outcome.FAILED, {"findings": 1}))
        tell(_ref(id), [finding], as_json)
    verify_all(vault, audit, refs, named=bool(ids), as_json=as_json)
    if gone:
        raise typer.Exit(1)


@recording_cli.command("export")
@with_settings(WHERE)
def export_recording(
    settings: Settings,
    id: _Id,
    format: Annotated[
        Format, typer.Option(help="mkv: all as it was sent; mp4: for any player; dicom: one video.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="A new file; else the id in this folder."),
    ] = None,
    begin: Annotated[
        str | None, typer.Option(metavar="TIME", help="From here: 90s, 1:30 or 1:02:03.")
    ] = None,
    end: Annotated[str | None, typer.Option(metavar="TIME", help="To here.")] = None,
    track: Annotated[int | None, typer.Option(help="Only this track, as `show` numbers them.")] = None,
    patient_name: Annotated[str, typer.Option(help="DICOM: as in Nguyen^Van A.")] = "",
    patient_id: Annotated[str, typer.Option(help="DICOM: the patient's number.")] = "",
    birth_date: Annotated[str, typer.Option(help="DICOM: as in 19841231.")] = "",
    sex: Annotated[str, typer.Option(help="DICOM: F, M or O.")] = "",
    accession_number: Annotated[str, typer.Option(help="DICOM: the order it belongs to.")] = "",
    study_uid: Annotated[str, typer.Option(help="DICOM: the study it becomes part of.")] = "",
) -> None:
    """Write a recording to a file in the clear, for other programs. It is in the audit."""
    patient = _patient(patient_name, patient_id, birth_date, sex, accession_number, study_uid)
    begin_ms, end_ms = _time_ms(begin), _time_ms(end)
    vault, audit = open_vault(settings)
    ref = _ref(id)
    path = output if output is not None else Path(f"{ref.id}{SUFFIXES[format]}")
    detail: dict[str, int | str] = {"format": format.value}
    if track is not None:
        detail["track"] = track
    with RecordingReader(vault.open(ref)) as reader, _new_file(path) as file:
        audit.record(Entry(Event.OBJECT_EXPORTED, operator(), str(ref), Outcome.BEGUN, detail))
        try:
            with progress_bar(f"Exporting {ref.id}") as progress:
                report = export(
                    reader,
                    format,
                    file,
                    track=track,
                    begin_ms=begin_ms,
                    end_ms=end_ms,
                    patient=patient,
                    progress=progress,
                )
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            audit.record(Entry(Event.OBJECT_EXPORTED, operator(), str(ref), Outcome.FAILED, detail))
            raise
        lost = report.losses.counted()
        audit.record(Entry(Event.OBJECT_EXPORTED, operator(), str(ref), Outcome.DONE, detail | lost))
    _tell_report(path, report)


@recording_cli.command()
@with_settings(WHERE)
def shred(
    settings: Settings,
    id: _Id,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Make a recording unreadable for ever; not while it is running or held."""
    ref = _ref(id)
    if not yes:
        typer.confirm(f"Shred {ref.id}? Nobody can ever read it again.", abort=True)

    async def work(library: Library) -> None:
        await library.shred(RecordingId(ref.id), operator())

    _with_library(settings, work)
    typer.echo(f"Shredded {ref.id}.")


@recording_cli.command()
@with_settings(WHERE)
def hold(settings: Settings, id: _Id) -> None:
    """Put a recording under legal hold: it is not shredded, however old it gets."""
    _set_hold(settings, id, True)
    typer.echo(f"Held {id}: it is kept until it is released.")


@recording_cli.command()
@with_settings(WHERE)
def release(settings: Settings, id: _Id) -> None:
    """Let a held recording go: it is kept as long as others of its kind."""
    _set_hold(settings, id, False)
    typer.echo(f"Released {id}.")


def _set_hold(settings: Settings, id: str, held: bool) -> None:
    ref = _ref(id)

    async def work(library: Library) -> None:
        await library.hold(await library.recording(RecordingId(ref.id)), operator(), held)

    _with_library(settings, work)


def _with_library(settings: Settings, work: Callable[[Library], Awaitable[None]]) -> None:
    vault, audit = open_vault(settings)

    async def run() -> None:
        async with open_office(settings) as office:
            library = Library(
                vault=vault,
                audit=audit,
                store=office.store,
                running=_Nobody(),
                keep_days=keep_days_of(settings),
                now_ms=lambda: int(time.time() * 1000),
            )
            try:
                await work(library)
            finally:
                await library.close()

    run_to_end(run())


def _known(settings: Settings) -> set[str]:
    """The recordings that should be there: of what runs, or died before it came to the disk, there may be nothing."""

    async def work() -> set[str]:
        async with open_office(settings) as office:
            rows = await office.store.list_recordings()
        over = (RecordingState.ENDED, RecordingState.CUT)
        return {row.id for row in rows if row.state in over and row.size_bytes}

    return run_to_end(work())


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """A file that was not there before, only for its owner; taken away again if what is written to it fails."""
    try:
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
    except FileExistsError:
        raise Conflict(f"There is {path} already; it is not overwritten.") from None
    except OSError as error:
        raise BridgeError(f"{path} cannot be made: {error.strerror}.", "storageFailed") from None
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        with os.fdopen(opened, "w+b") as file:
            yield file
    except OSError as error:
        path.unlink(missing_ok=True)
        raise BridgeError(f"{path} cannot be written: {error.strerror}.", "storageFailed") from None
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(number: int, frame: FrameType | None) -> None:
    """SIGTERM takes the half file away, as Ctrl-C does."""
    raise KeyboardInterrupt


def _tell_report(path: Path, report: Report) -> None:
    length = _length(report.end_ms - report.begin_ms)
    typer.echo(f"Wrote {path}: {length} from {_length(report.begin_ms)} on, tracks: {report.tracks}.")
    for remark in report.remarks:
        typer.echo(remark)
    if report.losses.parts:
        for text in report.losses.texts:
            typer.echo(f"Left out: {text}")
        more = report.losses.parts - len(report.losses.texts)
        typer.echo(f"Damaged parts are not in the file{f', {more} more' if more else ''}.")
    if report.losses.frames:
        typer.echo(f"Pictures and packets of sound that could not be decoded: {report.losses.frames}.")
    if report.losses:
        raise typer.Exit(1)


def _ref(id: str) -> ObjectRef:
    try:
        return layout.ref_of(RecordingId(id.removeprefix("recording/")))
    except ValueError:
        raise typer.BadParameter(f"{id!r} is no id of a recording, such as abcdefgh234567ab") from None


def _time_ms(text: str | None) -> int | None:
    """A time on the recording's clock: `90s`, `90`, `1:30`, `1:02:03.5`."""
    if text is None:
        return None
    if match := re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)s?", text):
        return round(float(match[1]) * 1_000)
    if match := re.fullmatch(r"(?:(\d{1,3}):)?(\d{1,4}):([0-5]\d(?:\.\d{1,3})?)", text):
        return round((int(match[1] or 0) * 3600 + int(match[2]) * 60 + float(match[3])) * 1_000)
    raise typer.BadParameter(f"{text!r} is no time; say for example 90s, 1:30 or 1:02:03")


def _patient(name: str, id: str, birth_date: str, sex: str, accession_number: str, study_uid: str) -> Patient:
    """Raises typer.BadParameter for what DICOM could not hold (PS3.5 6.2)."""
    if birth_date and not re.fullmatch(r"\d{8}", birth_date):
        raise typer.BadParameter("a birth date is written as in 19841231")
    if sex not in ("", "F", "M", "O"):
        raise typer.BadParameter("sex is F, M or O")
    if study_uid and not (len(study_uid) <= 64 and re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+", study_uid)):
        raise typer.BadParameter("that is no UID")
    for what, text, limit in (("name", name, 64), ("number", id, 64), ("order", accession_number, 16)):
        if len(text) > limit or "\\" in text or not text.isprintable():
            raise typer.BadParameter(f"the {what} has at most {limit} characters, and no backslash")
    return Patient(name, id, birth_date, sex, accession_number, study_uid)


def _length(length_ms: int) -> str:
    minutes, seconds = divmod(length_ms // 1000, 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
