"""The `bridge` command. Each sub-command is a few lines that call the part which does it; errors are one sentence.

Exit codes: 0 done, 1 refused or failed, 2 wrong command line or settings.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from typer.core import TyperGroup

from bridge import config, logs
from bridge.commands import SERVING, WHERE, seconds, with_settings
from bridge.config import ConfigError, Settings
from bridge.desk import InviteWish, SessionWish
from bridge.errors import BridgeError
from bridge.ids import InviteId, RecordMode, Role, SessionFormat, SessionId, SessionKind
from bridge.office import base_url, open_office
from bridge.store import InviteRecord

_Result = TypeVar("_Result")

_ELSEWHERE = {
    "recording": "bridge.recording_cli:recording_cli",
    "event": "bridge.event_cli:event_cli",
    "drain": "bridge.drain_cli:drain_cli",
    "study": "bridge.study_cli:study_cli",
    "vault": "bridge.vault_cli:vault_cli",
    "audit": "bridge.vault_cli:audit_cli",
    "bench": "bridge.bench_cli:bench_cli",
}
"""Groups whose modules are loaded when one of their commands is wanted: pictures and datasets take long to load."""


class _Commands(TyperGroup):
    """What is here, and what is elsewhere."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *_ELSEWHERE]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in _ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        module, group = _ELSEWHERE[cmd_name].split(":")
        found = typer.main.get_command(getattr(importlib.import_module(module), group))
        found.name = cmd_name
        return found


cli = typer.Typer(
    name="bridge",
    cls=_Commands,
    help="Live medical consultation between hospitals.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
session_cli = typer.Typer(help="Make, list and end sessions.", no_args_is_help=True)
invite_cli = typer.Typer(help="Make, list and withdraw invites.", no_args_is_help=True)
staff_cli = typer.Typer(help="For who runs this installation.", no_args_is_help=True)
cli.add_typer(session_cli, name="session")
cli.add_typer(invite_cli, name="invite")
cli.add_typer(staff_cli, name="staff")

_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_ExpiresIn = Annotated[
    str | None, typer.Option("--expires-in", metavar="TIME", help="How long links are good: 90m, 12h, 7d.")
]
_Session = Annotated[str, typer.Argument(metavar="SESSION", help="The session's id.")]


@cli.command()
@with_settings(SERVING)
def serve(
    settings: Settings,
    demo: Annotated[
        bool, typer.Option("--demo", help="Start a demo clinic, and print a link to see it.")
    ] = False,
) -> None:
    """Serve until stopped (Ctrl-C or SIGTERM); SIGHUP reads certificate files again."""
    from bridge import serving

    logs.configure(settings.log_format, settings.log_level)
    serving.run(settings, demo=demo)


@session_cli.command("create")
@with_settings(WHERE)
def session_create(
    settings: Settings,
    title: Annotated[str, typer.Option(help="What the session is called.")],
    kind: Annotated[SessionKind | None, typer.Option(help="What it is for.")] = None,
    format: Annotated[SessionFormat | None, typer.Option(help="A consult of a few, or an event.")] = None,
    capacity: Annotated[int | None, typer.Option(help="How many people it holds.")] = None,
    expires_in: _ExpiresIn = None,
    satellite_point: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A satellite's point; may be repeated.")
    ] = None,
    record: Annotated[
        RecordMode | None, typer.Option(help="Whether it is recorded: by itself, when told to, or never.")
    ] = None,
    consent: Annotated[
        bool | None, typer.Option(help="Whether everybody is asked before anything of them is recorded.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Make a session and its links; the server need not run."""
    points = tuple(satellite_point or ())
    wish = SessionWish(title, kind, format, capacity, seconds(expires_in), points, record, consent)

    async def work() -> None:
        async with open_office(settings) as office:
            made = await office.desk.create_session(wish)
            base = base_url(settings)
            if as_json:
                _print_json(office.desk.created(made, base))
                return
            typer.echo(f"Session {made.session.id}: {made.session.title}")
            for invite in (*made.invites.values(), *made.more):
                typer.echo(f"  {_named(invite):<30} {office.desk.link(invite, base)}")

    _run(work())


@session_cli.command("list")
@with_settings(WHERE)
def session_list(settings: Settings, as_json: _Json = False) -> None:
    """List sessions: open ones first, the newest first."""

    async def work() -> None:
        async with open_office(settings) as office:
            sessions = await office.store.list_sessions()
        if as_json:
            _print_json(
                [
                    {
                        "id": session.id,
                        "title": session.title,
                        "kind": session.kind,
                        "format": session.format,
                        "state": session.state,
                        "capacity": session.capacity,
                        "createdAt": session.created_at_ms,
                        "startedAt": session.started_at_ms,
                        "record": session.record,
                        "consent": session.consent,
                    }
                    for session in sessions
                ]
            )
            return
        for session in sessions:
            made = datetime.fromtimestamp(session.created_at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
            typer.echo(f"{session.id}  {session.state:<5}  {made} UTC  {session.format:<7}  {session.title}")

    _run(work())


@session_cli.command("end")
@with_settings(WHERE)
def session_end(settings: Settings, session: _Session) -> None:
    """End a session for good; a running server sends everybody home within a few seconds."""

    async def work() -> None:
        async with open_office(settings) as office:
            await office.desk.end_session(SessionId(session))

    _run(work())


@invite_cli.command("create")
@with_settings(WHERE)
def invite_create(
    settings: Settings,
    session: _Session,
    role: Annotated[Role, typer.Option(help="What it makes of who opens it.")],
    point: Annotated[str, typer.Option(help="Name of the point it is for.")] = "",
    seats: Annotated[int, typer.Option(help="How many may be connected on it at once.")] = 1,
    expires_in: _ExpiresIn = None,
    as_json: _Json = False,
) -> None:
    """Make one more link into a session."""
    wish = InviteWish(role, point, seats, seconds(expires_in))

    async def work() -> None:
        async with open_office(settings) as office:
            invite = await office.desk.create_invite(SessionId(session), wish)
            link = office.desk.link(invite, base_url(settings))
            if as_json:
                _print_json({"invite": invite.id, "token": office.desk.token(invite), "link": link})
            else:
                typer.echo(link)

    _run(work())


@invite_cli.command("list")
@with_settings(WHERE)
def invite_list(settings: Settings, session: _Session, as_json: _Json = False) -> None:
    """List a session's invites with their links."""

    async def work() -> None:
        async with open_office(settings) as office:
            await office.store.get_session(SessionId(session))
            invites = await office.store.list_invites(SessionId(session))
            base = base_url(settings)
            if as_json:
                _print_json([_invite_row(invite, office.desk.link(invite, base)) for invite in invites])
                return
            for invite in invites:
                shown = "withdrawn" if invite.revoked else office.desk.link(invite, base)
                typer.echo(f"{invite.id}  {_named(invite):<30}  {shown}")

    _run(work())


@invite_cli.command("revoke")
@with_settings(WHERE)
def invite_revoke(settings: Settings, session: _Session, invite: str) -> None:
    """Withdraw an invite; a running server disconnects who came on it within a few seconds."""

    async def work() -> None:
        async with open_office(settings) as office:
            record = await office.desk.invite_of(SessionId(session), InviteId(invite))
            await office.store.revoke_invite(record.id)

    _run(work())


@staff_cli.command("link")
@with_settings(WHERE)
def staff_link(settings: Settings) -> None:
    """Print a link to the page where sessions are made."""

    async def work() -> None:
        async with open_office(settings) as office:
            typer.echo(office.desk.staff_link(base_url(settings)))

    _run(work())


@cli.command("settings")
def show_settings() -> None:
    """Print every setting with its default, as docs/settings.md."""
    typer.echo(config.document(), nl=False)


@cli.command()
@with_settings(SERVING)
def check(settings: Settings, as_json: _Json = False) -> None:
    """Prove this installation by a loopback call through the real relay, and say what is wrong."""
    from bridge.check import run

    logs.configure(settings.log_format, "error")
    raise typer.Exit(run(settings, json=as_json))


@cli.command()
def demo(
    link: Annotated[
        str, typer.Argument(help="A satellite's link; - reads it from standard input, and ends with that.")
    ],
    insecure: Annotated[bool, typer.Option("--insecure", help="Believe any certificate.")] = False,
) -> None:
    """Take part as a demo clinic that plays a real ultrasound loop, until stopped."""
    from bridge.demo.satellite import run_satellite, run_satellite_of

    tls = not insecure
    try:
        _run(run_satellite_of(sys.stdin.fileno(), tls) if link == "-" else run_satellite(link, tls))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def main() -> None:
    """Entry point of the `bridge` command."""
    # Whatever is made here, the database not least, is nobody else's to read.
    os.umask(0o077)
    try:
        cli()
    except ConfigError as error:
        _fail(str(error), 2)
    except BridgeError as error:
        _fail(error.text, 1)


def _run(work: Coroutine[Any, Any, _Result]) -> _Result:
    logs.configure(level="warning")
    return asyncio.run(work)


def _fail(sentence: str, code: int) -> NoReturn:
    typer.echo(f"bridge: {sentence}", err=True)
    sys.exit(code)


def _print_json(content: object) -> None:
    typer.echo(json.dumps(content, ensure_ascii=False))


def _named(invite: InviteRecord) -> str:
    return f"{invite.role} ({invite.point})" if invite.point else str(invite.role)


def _invite_row(invite: InviteRecord, link: str) -> dict[str, object]:
    return {
        "id": invite.id,
        "role": invite.role,
        "point": invite.point,
        "seats": invite.seats,
        "expiresAt": invite.expires_at_ms,
        "revoked": invite.revoked,
        "link": link,
    }


if __name__ == "__main__":
    main()
