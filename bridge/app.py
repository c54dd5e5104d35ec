"""The composition root, the only place that knows all parts: builds, wires, starts and stops them in order."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import IO

import structlog
from aiohttp import web

from bridge.admission import Pace
from bridge.attendanceapi import AttendanceApi
from bridge.audit import AUDIT_FOLDER, Audit, Entry, Event
from bridge.bus import Bus, LocalBus
from bridge.config import ConfigError, Settings
from bridge.consent import wording
from bridge.dicomweb import DicomWeb, Imaging, SendingDesk, open_imaging
from bridge.doors import RoomDoors
from bridge.eventapi import EventApi
from bridge.eventapi import Parts as EventParts
from bridge.gauges import Gauges
from bridge.guard import BadTokens, Clients, Handler, errors_middleware, security_headers
from bridge.health import Health
from bridge.http import Api
from bridge.imaging.gate import open_gate
from bridge.imaging.upkeep import Upkeep, open_upkeep
from bridge.launch.access import EventAccess
from bridge.launch.forgetting import Forgetting
from bridge.launch.linecheck import LineChecks
from bridge.launch.opening import Launch, open_launch
from bridge.linecheckapi import LineCheckApi
from bridge.load import Load, Measures
from bridge.media import whip
from bridge.media._native import RelayStats
from bridge.media.addresses import reachable_addresses
from bridge.media.engine import Engine, MediaSettings
from bridge.media.recorder import DiskRecorder
from bridge.media.snapshots import Stills
from bridge.metrics import Metrics, metrics_handler
from bridge.office import (
    SERVER_LOCK_FILE,
    Office,
    data_folder,
    open_office,
    remember_address,
    served_url,
)
from bridge.pages import Pages
from bridge.recordbook import RecordBook
from bridge.recorddesk import RunningRecordings
from bridge.recordings.endings import read_ending
from bridge.recordings.library import Library
from bridge.recordings.retention import KeepDays, keep_days_of, keep_shredding
from bridge.recordings.salvage import salvage_all
from bridge.recordkeeping import SYSTEM, RecordingRules, RecordKeeper
from bridge.replay import Replay
from bridge.rooms import Rooms
from bridge.signaling import Signaling
from bridge.studies import Studies
from bridge.studynews import StudyNews
from bridge.tls import Tls, open_tls
from bridge.vault import Vault
from bridge.wall import Wall

BACKLOG = 1024
"""Connections that wait to be accepted: a whole event comes back within the same seconds after a restart."""
KEEPALIVE_S = 75.0
FIRST_REQUEST_S = 15.0
"""A connection that has not sent a whole request by then is closed."""
HOUSEKEEPING_S = 1.0
CERTIFICATE_CHECK_S = 10.0
BUSY_LAG_S = 0.2
"""While sessions are live, an event loop that is usually so late has no room for line checks."""
RECORDER_STOPS_WITHIN_S = 2.0
"""After recordings had their time to be sealed: a disk that still refuses does so for longer than anybody waits."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. `url` is where this machine finds it, `urls` all of its addresses."""

    settings: Settings
    office: Office
    engine: Engine
    rooms: Rooms
    vault: Vault
    audit: Audit
    keeper: RecordKeeper
    library: Library
    imaging: Imaging
    bus: Bus
    tls: Tls | None
    port: int
    url: str
    urls: tuple[str, ...]


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Server]:
    """A server from its first to its last breath. Raises ConfigError if it cannot start."""
    async with AsyncExitStack() as stack:
        stack.enter_context(_sole_server(settings))
        tls = open_tls(settings)
        office = await stack.enter_async_context(open_office(settings))
        engine = _open_engine(settings)
        stack.push_async_callback(engine.close)
        bus = LocalBus()
        stack.push_async_callback(bus.close)
        vault, audit = await asyncio.to_thread(_open_vault, settings)
        stack.callback(audit.close)
        keep_days = keep_days_of(settings)
        await salvage_all(vault, audit, office.store, keep_days, now_ms)
        keeper, recorder = await stack.enter_async_context(
            _recording(settings, office, engine, vault, audit, keep_days)
        )
        studies = StudyNews(now_ms)
        launch = await stack.enter_async_context(open_launch(office.store, vault, now_ms))
        forgetting = Forgetting(office.store, launch.sealer, audit.record, settings.attendance_days, now_ms)
        rooms = Rooms(
            engine,
            office.store,
            keeper,
            studies,
            now_ms,
            witnesses=(launch.attendance,),
            pace=Pace(settings.joins_per_s, settings.joins_burst),
            memory=launch.memory,
            load=_load(settings),
        )
        library = Library(
            vault=vault,
            audit=audit,
            store=office.store,
            running=RunningRecordings(recorder, rooms.records),
            keep_days=keep_days,
            now_ms=now_ms,
        )
        stack.push_async_callback(library.close)
        imaging = await stack.enter_async_context(
            open_imaging(
                data_folder(settings),
                vault,
                office.store,
                audit,
                office.auth,
                library.accesses,
                cache_bytes=settings.picture_cache_mb << 20,
            )
        )
        studies.follow(imaging.archive.catalogue)
        rooms.readings.telling.note_look = library.accesses.note
        upkeep = await stack.enter_async_context(
            open_upkeep(settings, office.store, imaging.archive, audit, now_ms, forgets=(imaging.forget,))
        )
        await stack.enter_async_context(
            open_gate(settings, office.store, imaging.archive, audit, now_ms, upkeep.reported)
        )
        signaling = Signaling(rooms, office.auth, now_ms, _origins(settings))
        metrics = Metrics(lambda: _relay_stats(engine), rooms.counts, keeper.counts, recorder)
        line_checks = LineChecks(
            engine, lambda: rooms.counts().sessions > 0 and metrics.loop_lag.usual_s > BUSY_LAG_S, now_ms
        )
        stack.push_async_callback(line_checks.close)
        health = Health(
            engine.stats,
            office.store.check_writable,
            lambda: metrics.loop_lag.usual_s,
            lambda: keeper.counts().in_trouble > 0,
        )
        newcomers = _Newcomers()
        gauges = Gauges(lambda: metrics.loop_lag.usual_s, lambda: _relay_cpu_us(engine))
        desk = SendingDesk(imaging, studies.announce)
        wall = rooms.open_wall(Stills(engine, imaging.still))
        web_app = _web_app(
            settings,
            office,
            rooms,
            library,
            imaging,
            desk,
            upkeep,
            wall,
            launch,
            line_checks,
            audit,
            signaling,
            metrics,
            health,
            newcomers,
        )
        runner = web.AppRunner(
            web_app,
            access_log=None,
            keepalive_timeout=KEEPALIVE_S,
            shutdown_timeout=settings.shutdown_timeout_s,
        )
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        port = await _listen(runner, settings, tls)
        signaling.start()
        stack.push_async_callback(signaling.stop)
        stack.push_async_callback(lambda: launch.memory.write(rooms.sessions()))
        for task in (
            _keep_going("loop lag", metrics.loop_lag.run),
            _keep_going("housekeeping", lambda: _keep_house(health, newcomers, runner, rooms, gauges)),
            _keep_going("certificate", lambda: _watch_certificate(tls)),
            _keep_going("library", library.run),
            _keep_going("walls", wall.run),
            _keep_going("attendance", launch.attendance.run),
            _keep_going("memory of sessions", lambda: launch.memory.run(rooms.sessions)),
            _keep_going("line checks", line_checks.run),
            _keep_going("imaging", imaging.run),
            _keep_going("study jobs", upkeep.jobs.run),
            _keep_going("retention of studies", upkeep.keeping.keep_sweeping),
            _keep_going("retention of attendance", forgetting.run),
            _keep_going(
                "retention",
                lambda: keep_shredding(office.store, lambda id: library.shred(id, SYSTEM), now_ms),
            ),
        ):
            stack.push_async_callback(_cancel, asyncio.create_task(task))
        urls = _urls(settings, port)
        remember_address(settings, settings.public_url or urls[0])
        _log.info("server started", http_port=port, media_port=engine.port, tls=settings.tls)
        url = served_url(settings, port)
        yield Server(
            settings, office, engine, rooms, vault, audit, keeper, library, imaging, bus, tls, port, url, urls
        )
        _log.info("server stops")


_BOOTED_AT_NS = time.time_ns() - time.monotonic_ns()


def now_ms() -> int:
    """The server's clock: milliseconds since 1970 UTC as known at its start.

    It never jumps: a system clock that is set right must not make everybody look silent and lost.
    """
    return (_BOOTED_AT_NS + time.monotonic_ns()) // 1_000_000


def _web_app(
    settings: Settings,
    office: Office,
    rooms: Rooms,
    library: Library,
    imaging: Imaging,
    sending_desk: SendingDesk,
    upkeep: Upkeep,
    wall: Wall,
    launch: Launch,
    line_checks: LineChecks,
    audit: Audit,
    signaling: Signaling,
    metrics: Metrics,
    health: Health,
    newcomers: _Newcomers,
) -> web.Application:
    clients = Clients(settings)
    bad_tokens = BadTokens(settings.auth_failures_per_minute)
    app = web.Application(
        client_max_size=settings.request_limit_bytes,
        middlewares=[newcomers.middleware(), metrics.middleware(), errors_middleware(clients, bad_tokens)],
    )
    app.on_response_prepare.append(security_headers(settings, clients))
    api = Api(
        title=settings.title,
        store=office.store,
        auth=office.auth,
        desk=office.desk,
        live=rooms,
        clients=clients,
        health=health,
    )
    Replay(office.auth, office.store, library).add_routes(app)
    DicomWeb(imaging, clients.base_url, settings.allowed_origins).add_routes(app)
    sending_desk.add_routes(app)
    Studies(imaging.archive, imaging.access, upkeep).add_routes(app)
    access = EventAccess(office.auth, office.store, audit, library.accesses)
    EventApi(
        EventParts(
            auth=office.auth,
            access=access,
            book=launch.book,
            desk=office.desk,
            live=rooms,
            wall=wall,
            clients=clients,
            now_ms=now_ms,
            agenda_changed=rooms.events.agenda_changed,
        )
    ).add_routes(app)
    AttendanceApi(access, launch.attendance, launch.looking_back).add_routes(app)
    LineCheckApi(office.auth, line_checks, launch.book, now_ms).add_routes(app)
    app.on_shutdown.append(library.break_off)
    api.add_routes(app)
    app.router.add_get("/metrics", metrics_handler(metrics, clients, settings.metrics_allow))
    signaling.add_routes(app)
    whip.add_routes(app, RoomDoors(rooms, office.auth))
    Pages().add_routes(app)
    return app


def _open_engine(settings: Settings) -> Engine:
    try:
        return Engine(
            MediaSettings(
                host=settings.media_host,
                port=settings.media_port,
                public_addresses=settings.media_addresses,
                send=settings.media_send,
            )
        )
    except OSError as error:
        raise ConfigError(f"UDP port {settings.media_port} cannot be used: {_reason(error)}.") from error
    except ValueError as error:
        raise ConfigError(f"media_host cannot be used: {error}.") from error


def _load(settings: Settings) -> Load:
    strained = Measures(
        settings.load_lag_ms / 1000,
        settings.load_cpu_percent / 100,
        settings.load_relay_percent / 100,
        settings.load_memory_percent / 100,
    )
    return Load(strained, sheds=settings.load_shedding)


def _open_vault(settings: Settings) -> tuple[Vault, Audit]:
    """Raises ConfigError, as for a key file that others may read."""
    folder = data_folder(settings)
    return Vault(folder), Audit(folder / AUDIT_FOLDER)


@asynccontextmanager
async def _recording(
    settings: Settings, office: Office, engine: Engine, vault: Vault, audit: Audit, keep_days: KeepDays
) -> AsyncIterator[tuple[RecordKeeper, DiskRecorder]]:
    """Recordings can be made until the block ends; then all of them are ended and sealed."""
    recorder = DiskRecorder(engine, vault)
    rules = RecordingRules(
        keep_days,
        wording(
            {"vi": settings.consent_text_vi, "ru": settings.consent_text_ru, "en": settings.consent_text_en}
        ),
    )
    book = RecordBook(office.store, audit.record, lambda recording: read_ending(vault, recording))
    keeper = RecordKeeper(recorder, book, rules, now_ms)
    recorder.start()
    keeper.start()
    book.note(Entry(Event.APPLICATION_STARTED, SYSTEM))
    try:
        yield keeper, recorder
    finally:
        book.note(Entry(Event.APPLICATION_STOPPED, SYSTEM))
        await keeper.close()
        await recorder.close(RECORDER_STOPS_WITHIN_S)


async def _listen(runner: web.AppRunner, settings: Settings, tls: Tls | None) -> int:
    context = tls.context if tls is not None else None
    try:
        if settings.host == "::" or (settings.host == "" and socket.has_dualstack_ipv6()):
            # The event loop alone would take IPv6 only.
            both = socket.create_server(
                ("::", settings.port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG
            )
            await web.SockSite(runner, both, ssl_context=context, backlog=BACKLOG).start()
        else:
            host = settings.host or "0.0.0.0"  # noqa: S104  # what an empty host says
            await web.TCPSite(runner, host, settings.port, ssl_context=context, backlog=BACKLOG).start()
    except OSError as error:
        raise ConfigError(f"TCP port {settings.port} cannot be used: {_reason(error)}.") from error
    return int(runner.addresses[0][1])


def _urls(settings: Settings, port: int) -> tuple[str, ...]:
    """Where the server is found: as set first; on every address of the machine if it listens on all."""
    own = served_url(settings, port)
    everywhere = (
        [served_url(settings, port, address) for address in reachable_addresses(settings.host, ())]
        if settings.host in ("", "0.0.0.0", "::")  # noqa: S104  # compared with, not bound to
        else []
    )
    first = [settings.public_url] if settings.public_url else []
    return tuple(dict.fromkeys([*first, own, *everywhere]))


def _origins(settings: Settings) -> tuple[str, ...]:
    return tuple(origin for origin in (*settings.allowed_origins, settings.public_url) if origin)


def _relay_stats(engine: Engine) -> RelayStats | None:
    stats = engine.stats()
    return stats.relay if stats is not None else None


def _relay_cpu_us(engine: Engine) -> int | None:
    relay = _relay_stats(engine)
    return None if relay is None else relay.thread_cpu_us


def _reason(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "another program has it"
    return os.strerror(error.errno) if error.errno else str(error)


def _sole_server(settings: Settings) -> IO[str]:
    """Holds the data folder's lock while open: two servers on one store would overwrite each other's stages."""
    file = (data_folder(settings) / SERVER_LOCK_FILE).open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise ConfigError(f"Another server runs on the data folder {settings.data_dir}.") from error
    return file


class _Newcomers:
    """Connections that have not made a whole request yet. aiohttp would wait for it for ever."""

    def __init__(self) -> None:
        self._known: set[object] = set()
        self._since_s: dict[object, float] = {}

    def middleware(self) -> Callable[..., Awaitable[web.StreamResponse]]:
        @web.middleware
        async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._known.add(request.protocol)
            return await handler(request)

        return note

    def send_away(self, server: web.Server | None, now_s: float) -> None:
        """Closes those that have taken too long."""
        connections = server.connections if server is not None else []
        self._known.intersection_update(connections)
        self._since_s = {
            connection: self._since_s.get(connection, now_s)
            for connection in connections
            if connection not in self._known
        }
        for connection in connections if self._since_s else ():
            if now_s - self._since_s.get(connection, now_s) > FIRST_REQUEST_S:
                connection.force_close()


async def _keep_house(
    health: Health, newcomers: _Newcomers, runner: web.AppRunner, rooms: Rooms, gauges: Gauges
) -> None:
    """All in one turn: a server that waits wakes up for it once."""
    while True:
        health.watch()
        newcomers.send_away(runner.server, time.monotonic())
        await asyncio.sleep(HOUSEKEEPING_S)
        rooms.note_load(gauges.read())


async def _watch_certificate(tls: Tls | None) -> None:
    while tls is not None:
        await asyncio.sleep(CERTIFICATE_CHECK_S)
        reload_certificate(tls)


def reload_certificate(tls: Tls, *, force: bool = False) -> None:
    """Takes up changed certificate files; what cannot be used is logged and the old certificate goes on."""
    try:
        if tls.reload_if_changed(force):
            _log.info("certificate loaded again")
    except ConfigError as error:
        _log.error("certificate not loaded", reason=str(error))


async def _keep_going(name: str, task: Callable[[], Awaitable[None]]) -> None:
    """Runs a task of the server's own; one failure is logged and it begins again."""
    while True:
        try:
            await task()
            return
        except Exception:
            _log.exception("task failed", task=name)
            await asyncio.sleep(HOUSEKEEPING_S)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
