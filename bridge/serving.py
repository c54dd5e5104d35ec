"""`bridge serve`: runs the server until a signal ends it, says where it is found, keeps a demo clinic if asked."""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
import typer
import uvloop

from bridge.app import Server, now_ms, reload_certificate, running
from bridge.config import Settings
from bridge.desk import SessionWish
from bridge.ids import RecordMode, Role, SessionState
from bridge.store import InviteRecord

DEMO_TITLE = "Demo: live ultrasound"
DEMO_POINT = "Demo clinic"
DEMO_START_TIMEOUT_S = 20.0
DEMO_LOOK_EVERY_S = 0.1
JOIN_AT_ONCE = "&now"
"""Who opens the demo wants to see it, not to choose devices."""
DEMO_STOP_TIMEOUT_S = 3.0
DEMO_LEAST_LEFT_MS = 24 * 3600 * 1000
FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 30.0

_log = structlog.get_logger(__name__)


def run(settings: Settings, *, demo: bool = False) -> None:
    """Serves until SIGINT or SIGTERM. Raises ConfigError if the server cannot start."""
    _allow_many_connections()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, demo))


async def _serve(settings: Settings, demo: bool) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with running(settings) as server:
        # What was loaded stays: collections look only at what came since, which makes them short and soon.
        gc.collect()
        gc.freeze()
        loop.add_signal_handler(signal.SIGHUP, _hang_up, server)
        if demo:
            async with _demo_clinic(server) as hub:
                _announce(server, hub)
                await stopped.wait()
        else:
            _announce(server, None)
            await stopped.wait()


def _announce(server: Server, demo_hub: InviteRecord | None) -> None:
    desk = server.office.desk
    base = server.settings.public_url or server.url
    lines = ["", "Bridge is running."]
    if demo_hub is not None:
        lines.append(f"  Open as hub doctor     {desk.link(demo_hub, base)}&now")
    lines.append(f"  Make sessions          {desk.staff_link(base)}")
    others = [url for url in server.urls if url != base]
    if others:
        lines.append(f"  Also found at          {'  '.join(others)}")
    lines.append(f"  Sound and pictures     UDP port {server.engine.port}")
    if server.tls is not None:
        lines.append(f"  Certificate (SHA-256)  {server.tls.fingerprint()}")
    elif _camera_is_refused(server):
        lines.append("  Other machines get no camera without HTTPS: add --tls self-signed to try it out.")
    typer.echo("\n".join([*lines, ""]))
    sys.stdout.flush()


def _camera_is_refused(server: Server) -> bool:
    loopback = server.settings.host in ("127.0.0.1", "::1", "localhost")
    return not loopback and not server.settings.public_url.startswith("https:")


@asynccontextmanager
async def _demo_clinic(server: Server) -> AsyncIterator[InviteRecord]:
    """A demo session with a program at its satellite; gives the hub's invite."""
    hub, satellite = await _demo_invites(server)
    link = server.office.desk.link(satellite, server.url)
    # Its own server's certificate is not for the name it is called by here.
    keeping = asyncio.create_task(_keep_clinic(link, insecure=server.tls is not None))
    try:
        await _wait_for_clinic(server, satellite)
        yield hub
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def _demo_invites(server: Server) -> tuple[InviteRecord, InviteRecord]:
    """The demo session of the last start goes on, so that an open page finds it again."""
    store, desk = server.office.store, server.office.desk
    for session in await store.list_sessions():
        if session.title != DEMO_TITLE or session.state is not SessionState.OPEN:
            continue
        usable = {
            invite.role: invite for invite in await store.list_invites(session.id) if not invite.revoked
        }
        if {Role.HUB, Role.SATELLITE} <= usable.keys() and _still_good(usable[Role.HUB]):
            return usable[Role.HUB], usable[Role.SATELLITE]
    made = await desk.create_session(
        SessionWish(DEMO_TITLE, satellite_points=(DEMO_POINT,), record=RecordMode.AUTO)
    )
    return made.invites[Role.HUB], made.invites[Role.SATELLITE]


async def _wait_for_clinic(server: Server, satellite: InviteRecord) -> None:
    """Whoever opens the link that is printed next shall see a picture at once."""
    rooms = server.rooms
    try:
        async with asyncio.timeout(DEMO_START_TIMEOUT_S):
            # Rooms tell participants their news, and nobody else.
            while not (  # noqa: ASYNC110
                rooms.connected_on(satellite.session, satellite.id) and rooms.counts().tracks
            ):
                await asyncio.sleep(DEMO_LOOK_EVERY_S)
    except TimeoutError:
        _log.warning("demo clinic is late")


def _still_good(invite: InviteRecord) -> bool:
    return invite.expires_at_ms > now_ms() + DEMO_LEAST_LEFT_MS


async def _keep_clinic(link: str, insecure: bool) -> None:
    """Keeps a demo clinic running, in a process of its own: decoding and drawing must not hold up the server."""
    retry_s = FIRST_RETRY_S
    words = ["-m", "bridge", "demo", "-", *(["--insecure"] if insecure else [])]
    while True:
        clinic = await asyncio.create_subprocess_exec(
            sys.executable, *words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
        )
        try:
            # Not as an argument: every user of the machine may read those. The pipe stays open: when it closes,
            # because this server died, the clinic ends too.
            assert clinic.stdin is not None  # noqa: S101 (asked for above)
            clinic.stdin.write(f"{link}\n".encode())
            await clinic.wait()
        finally:
            await _end(clinic)
        _log.warning("demo clinic ended", exit_code=clinic.returncode, again_in_s=retry_s)
        await asyncio.sleep(retry_s)
        retry_s = min(retry_s * 2, LONGEST_RETRY_S)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(DEMO_STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _hang_up(server: Server) -> None:
    if server.tls is not None:
        reload_certificate(server.tls, force=True)


def _allow_many_connections() -> None:
    """Each connection is an open file; the usual soft limit of 1024 is less than an event."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
