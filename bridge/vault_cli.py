"""`bridge vault` and `bridge audit`: for who answers for what is stored. They work whether or not the server runs.

Exit codes: 0 all is well, 1 something is wrong or refused, 2 wrong command line, settings or key files.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track

from bridge import audit as auditing
from bridge.audit import AUDIT_FOLDER, Anchor, Audit, Entry, Event, Outcome, parse_anchor
from bridge.commands import WHERE, with_settings
from bridge.config import ConfigError, Settings
from bridge.errors import NotFound
from bridge.office import data_folder
from bridge.vault import Finding, ObjectRef, Trouble, Vault, VaultError, parse_ref, read_identities
from bridge.vault.keys import check_recipient

vault_cli = typer.Typer(help="Who may open what is stored, and whether it is whole.", no_args_is_help=True)
audit_cli = typer.Typer(help="Who did what, and whether that list is whole.", no_args_is_help=True)

_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_NO_HARM = {Trouble.UNSEALED, Trouble.UNENDED, Trouble.CUT}
"""Of an object that is being written or whose writer died: told, but what was kept is whole."""


@vault_cli.command()
@with_settings(WHERE)
def recipients(
    settings: Settings,
    add: Annotated[
        list[str] | None, typer.Option(metavar="AGE1...", help="Let this one open it too.")
    ] = None,
    remove: Annotated[list[str] | None, typer.Option(metavar="AGE1...", help="No longer this one.")] = None,
    as_json: _Json = False,
) -> None:
    """List who may open what is stored, or change it; `bridge vault rotate` brings older objects after."""
    vault, audit = open_vault(settings)
    ring = vault.keyring
    added, removed = _checked(add), _checked(remove)
    offline = ring.recipients()
    unknown = set(removed) - set(offline)
    if unknown:
        raise NotFound(f"{min(unknown)} is not among the recipients.")
    if added or removed:
        detail = {"added": len(added), "removed": len(removed)}
        audit.record(Entry(Event.RECIPIENTS_CHANGED, operator(), detail=detail))
        ring.set_recipients([each for each in [*offline, *added] if each not in removed])
        offline = ring.recipients()
    behind = sum(not _is_current(vault, ref) for ref in vault.objects())
    if as_json:
        print_json({"server": ring.server_recipient(), "offline": offline, "toRotate": behind})
        return
    typer.echo(f"{ring.server_recipient()}  this server")
    for each in offline:
        typer.echo(f"{each}  offline")
    if not offline:
        typer.echo("There is no offline recipient: should the server's identity be lost, all is lost.")
    if behind:
        typer.echo(f"Not wrapped to exactly these: {behind} objects. Run: bridge vault rotate")


@vault_cli.command()
@with_settings(WHERE)
def rotate(
    settings: Settings,
    new_identity: Annotated[
        bool, typer.Option("--new-identity", help="Give the server a new identity, and forget the old one.")
    ] = False,
    identity: Annotated[
        Path | None, typer.Option(metavar="FILE", help="An age identity that opens what the server cannot.")
    ] = None,
) -> None:
    """Wrap every data key anew to today's recipients. Content is not rewritten; it can be run at any time."""
    foreign = _identities(identity)
    vault, audit = open_vault(settings, restoring=bool(foreign))
    done = vault.rotate(audit, operator(), new_identity=new_identity, foreign=foreign)
    typer.echo(f"Wrapped {done.rewrapped} keys anew; {done.unchanged} were right already.")
    for finding in done.failed:
        typer.echo(finding.text)
    if done.failed:
        typer.echo(f"Could not be opened: {len(done.failed)} keys. Old identities are kept.")
        raise typer.Exit(1)


@vault_cli.command("verify")
@with_settings(WHERE)
def verify_objects(
    settings: Settings,
    objects: Annotated[
        list[str] | None, typer.Argument(metavar="[KIND/ID]...", help="Such as recording/abcd...; else all.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Open every byte of what is stored, and name all that is missing, moved, repeated, cut or changed."""
    vault, audit = open_vault(settings)
    named = _refs(objects)
    verify_all(vault, audit, named or list(vault.objects()), named=bool(named), as_json=as_json)


@audit_cli.command("verify")
@with_settings(WHERE)
def verify_audit(
    settings: Settings,
    anchor: Annotated[
        str | None, typer.Option(metavar="N:HASH", help="An end that was printed earlier and kept elsewhere.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Check that nothing in the audit was changed, removed, inserted or moved; prints its end, to be kept elsewhere."""
    point = _anchor(anchor)
    folder, key = _audit(settings)
    verdict = auditing.verify(folder, key, point)
    outcome = Outcome.FAILED if verdict.findings else Outcome.DONE
    Audit(folder).record(
        Entry(Event.AUDIT_USED, operator(), outcome=outcome, detail={"events": verdict.events})
    )
    if as_json:
        print_json(
            {
                "events": verdict.events,
                "end": str(verdict.end) if verdict.end else None,
                "torn": verdict.torn,
                "findings": [asdict(finding) for finding in verdict.findings],
            }
        )
    else:
        for finding in verdict.findings:
            where = f"{finding.file}, line {finding.line}: " if finding.file else ""
            typer.echo(f"{where}{finding.text}")
        if verdict.torn:
            typer.echo(f"Lines that a crash broke off, which is no harm: {verdict.torn}.")
        harm = f"faults: {len(verdict.findings)}" if verdict.findings else "nothing is missing or changed"
        typer.echo(f"Events: {verdict.events}; {harm}. The end is {verdict.end}.")
    if verdict.findings:
        raise typer.Exit(1)


@audit_cli.command()
@with_settings(WHERE)
def show(
    settings: Settings,
    last: Annotated[int, typer.Option(min=1, max=100_000, help="How many, the newest ones.")] = 50,
    event: Annotated[Event | None, typer.Option(help="Only of this kind.")] = None,
    on: Annotated[str | None, typer.Option(metavar="KIND/ID", help="Only about this object.")] = None,
    who: Annotated[str | None, typer.Option(metavar="ID", help="Only by this one.")] = None,
    as_json: _Json = False,
) -> None:
    """Print events, the oldest first. Looking is an event too."""
    folder, key = _audit(settings)
    wanted = {"event": event.value if event else None, "on": on, "who": who}
    kept: deque[dict[str, Any]] = deque(maxlen=last)
    for line in auditing.read_lines(folder, key):
        if all(value is None or line.content[name] == value for name, value in wanted.items()):
            kept.append(line.content)
    Audit(folder).record(Entry(Event.AUDIT_USED, operator(), detail={"shown": len(kept)}))
    for content in kept:
        if as_json:
            print_json(content)
            continue
        detail = " ".join(f"{name}={value}" for name, value in content["detail"].items())
        outcome = Outcome(content["outcome"]).name.lower()
        typer.echo(
            f"{content['n']:>7}  {content['at']}  {content['event']:<20}  {outcome:<7}  {content['who']}  "
            f"{content['on'] or '-'}  {detail}".rstrip()
        )


def verify_all(vault: Vault, audit: Audit, refs: Sequence[ObjectRef], *, named: bool, as_json: bool) -> None:
    """Verifies these, tells what was found, and ends the command with 1 if there is harm.

    Unless they were `named` one by one, those that a running server has shredded meanwhile are passed over. Raises
    NotFound.
    """
    console = Console(stderr=True)
    shown = track(refs, "Verifying", console=console, transient=True, disable=not console.is_terminal)
    verified = harmed = 0
    for ref in shown:
        found, harm = _found_in(vault, ref)
        if not vault.exists(ref):
            if named:
                raise NotFound(f"There is no {ref}.")
            continue
        verified += 1
        harmed += harm
        audit.record(
            Entry(
                Event.OBJECT_VERIFIED,
                operator(),
                str(ref),
                Outcome.FAILED if harm else Outcome.DONE,
                {"findings": len(found)},
            )
        )
        tell(ref, found, as_json)
    if not as_json:
        typer.echo(f"Verified {verified} objects: " + (f"{harmed} harmed." if harmed else "no harm found."))
    if harmed:
        raise typer.Exit(1)


def _found_in(vault: Vault, ref: ObjectRef) -> tuple[list[Finding], bool]:
    """What is wrong with it, and whether that is harm. A running server may be writing or shredding it: harm is what a
    second look finds, too."""
    found: list[Finding] = []
    for _ in range(2):
        try:
            found = list(vault.verify(ref))
        except VaultError as error:
            if error.trouble is not Trouble.NOT_FOUND:
                raise
            found = [Finding(error.trouble, None, None, error.text)]
        if all(finding.trouble in _NO_HARM for finding in found):
            return found, False
    return found, True


def open_vault(settings: Settings, *, restoring: bool = False) -> tuple[Vault, Audit]:
    """The vault and the audit of an installation. Raises ConfigError."""
    folder = data_folder(settings)
    return Vault(folder, restoring=restoring), Audit(folder / AUDIT_FOLDER)


def _audit(settings: Settings) -> tuple[Path, bytes]:
    folder = data_folder(settings) / AUDIT_FOLDER
    return folder, auditing.load_key(folder, make=True)


def operator() -> str:
    """Who sits at the command line, for the audit."""
    return f"operator:{os.getuid()}"


def _refs(texts: Sequence[str] | None) -> list[ObjectRef]:
    try:
        return [parse_ref(text) for text in texts or ()]
    except ValueError:
        raise typer.BadParameter("an object is named as in recording/abcdefgh234567ab") from None


def _checked(texts: Sequence[str] | None) -> list[str]:
    return [check_recipient(text) for text in texts or ()]


def _identities(path: Path | None) -> list[Any]:
    if path is None:
        return []
    try:
        return read_identities(path)
    except FileNotFoundError:
        raise ConfigError(f"There is no identity {path}.") from None


def _anchor(text: str | None) -> Anchor | None:
    try:
        return parse_anchor(text) if text is not None else None
    except ValueError:
        raise typer.BadParameter("an anchor is N:HASH, as `bridge audit verify` prints the end") from None


def _is_current(vault: Vault, ref: ObjectRef) -> bool:
    try:
        return vault.is_current(ref)
    except VaultError as error:
        return error.trouble is Trouble.KEY_MISSING


def tell(ref: ObjectRef, found: list[Finding], as_json: bool) -> None:
    """Prints what is wrong with one object."""
    if as_json:
        print_json({"object": str(ref), "findings": [asdict(finding) for finding in found]})
    else:
        for finding in found:
            typer.echo(f"{ref}: {finding.text}")


def print_json(content: object) -> None:
    """One line of JSON on standard output."""
    typer.echo(json.dumps(content, ensure_ascii=False))
