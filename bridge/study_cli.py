"""`bridge study`: for who answers for studies. It works whether or not the server runs.

What takes long or shreds is done by the server if one runs, and here if none does. Names are shown on request only.
Exit codes: 0 all is well, 1 something is wrong, damaged or refused, 2 wrong command line, settings or key files.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from bridge.audit import Entry, Event
from bridge.commands import WHERE, with_settings
from bridge.config import Settings
from bridge.ids import SessionId
from bridge.imaging.archive import Archive
from bridge.imaging.catalogue import StudyEntry
from bridge.studies import shown
from bridge.study_files_cli import deidentify, export
from bridge.study_jobs_cli import Id, Json, jobs, retry, send, shred, stop
from bridge.study_office import opened
from bridge.terminal import date_of, run_to_end, size_of
from bridge.vault import ObjectId, ObjectKind, ObjectRef
from bridge.vault_cli import open_vault, operator, print_json, verify_all

study_cli = typer.Typer(help="List, verify, export, send, hold and shred studies.", no_args_is_help=True)

_Names = Annotated[bool, typer.Option("--names", help="Show whose it is. It is in the audit.")]


@study_cli.command("list")
@with_settings(WHERE)
def list_studies(
    settings: Settings,
    session: Annotated[str | None, typer.Option(metavar="ID", help="Only those of this session.")] = None,
    names: _Names = False,
    as_json: Json = False,
) -> None:
    """List studies, the last to change first."""

    async def work() -> list[dict[str, Any]]:
        async with opened(settings) as here:
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
def show(settings: Settings, id: Id, names: _Names = False, as_json: Json = False) -> None:
    """Show what lies in a study: its series and objects."""

    async def work() -> tuple[dict[str, Any], list[dict[str, Any]]]:
        async with opened(settings) as here:
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
    as_json: Json = False,
) -> None:
    """Open every byte of studies, and name each part that is missing, moved, repeated, cut or changed."""
    vault, audit = open_vault(settings)

    async def named(asked: list[str]) -> list[ObjectRef]:
        async with opened(settings) as here:
            return [_ref(here.entry(id).id) for id in asked]

    refs = run_to_end(named(ids)) if ids else list(vault.objects(ObjectKind.STUDY))
    verify_all(vault, audit, refs, named=bool(ids), as_json=as_json)


@study_cli.command()
@with_settings(WHERE)
def hold(settings: Settings, id: Id) -> None:
    """Put a study under legal hold: it is not shredded, however old it gets."""
    typer.echo(f"Held {_set_hold(settings, id, True)}: it is kept until it is released.")


@study_cli.command()
@with_settings(WHERE)
def release(settings: Settings, id: Id) -> None:
    """Let a held study go: it is kept as long as others of its session's kind."""
    typer.echo(f"Released {_set_hold(settings, id, False)}.")


for _command in (export, deidentify, send, shred, jobs, stop, retry):
    study_cli.command()(_command)


def _set_hold(settings: Settings, id: str, held: bool) -> str:
    async def work() -> str:
        async with opened(settings) as here:
            study = here.entry(id).id
            await here.upkeep.keeping.hold(study, operator(), held)
            return study

    return run_to_end(work())


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
