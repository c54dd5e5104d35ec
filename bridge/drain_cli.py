"""`bridge drain`: empties a running server before maintenance, over its own HTTP interface with a staff token.

Exit codes: 0 done, 1 the server cannot be reached or refuses, 2 wrong command line or settings.
"""

from __future__ import annotations

import ssl
from typing import Any

import aiohttp
import typer

from bridge.commands import WHERE, with_settings
from bridge.config import Settings
from bridge.errors import CODES, BridgeError
from bridge.office import base_url, open_office
from bridge.terminal import run_to_end
from bridge.tls import self_signed_context

TOKEN_GOOD_S = 60
WITHIN_S = 10.0

drain_cli = typer.Typer(
    help="Empty the server before maintenance: what is live goes on, and nothing new begins.",
    no_args_is_help=True,
)


@drain_cli.command("on")
@with_settings(WHERE)
def drain_on(settings: Settings) -> None:
    """Let nothing new begin; /healthz says so with 503, so that load balancers send nobody."""
    _say(run_to_end(_ask(settings, True)))


@drain_cli.command("off")
@with_settings(WHERE)
def drain_off(settings: Settings) -> None:
    """Let people come again."""
    _say(run_to_end(_ask(settings, False)))


@drain_cli.command("status")
@with_settings(WHERE)
def drain_status(settings: Settings) -> None:
    """Say whether the server is being emptied, and who is still there."""
    _say(run_to_end(_ask(settings, None)))


async def _ask(settings: Settings, draining: bool | None) -> dict[str, Any]:
    async with open_office(settings) as office:
        token = office.auth.staff_token(TOKEN_GOOD_S)
    url = f"{base_url(settings)}/api/drain"
    headers = {"Authorization": f"Bearer {token}"}
    method, body = ("GET", None) if draining is None else ("POST", {"draining": draining})
    trusted: ssl.SSLContext | bool = self_signed_context(settings) or True
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(WITHIN_S)) as http,
            http.request(method, url, json=body, headers=headers, ssl=trusted) as answer,
        ):
            said: dict[str, Any] = await answer.json()
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise BridgeError(f"No server answers at {base_url(settings)}: does it run?", "notFound") from error
    if "error" in said:
        code = said["error"]["code"]
        raise BridgeError(said["error"]["text"], code if code in CODES else "internal")
    return said


def _say(said: dict[str, Any]) -> None:
    state = "The server is being emptied" if said["draining"] else "The server takes people"
    sessions, participants = said["sessions"], said["participants"]
    typer.echo(f"{state}: {sessions} sessions are live, with {participants} participants.")
