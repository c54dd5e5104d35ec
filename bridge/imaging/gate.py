"""The server's side of DICOM over the network: listens, runs the process that speaks it, and answers for the archive.

One thread an association. Who comes must be known by AE title and address; everything else is refused and audited. If
the process dies it is started again on the same port. Logs have no title, address or UID.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

import bridge
from bridge.audit import Audit, Entry, Event, Outcome
from bridge.config import ConfigError, DicomPeer, Settings
from bridge.imaging.archive import Archive
from bridge.imaging.committing import Commitments, Reported
from bridge.imaging.courier import Courier
from bridge.imaging.dimse.talk import Association, Line, LineClosed, Ready, Setup
from bridge.imaging.reception import Reception
from bridge.store import SessionId, Store

BACKLOG = 128
STORE_TIMEOUT_S = 30.0
SPARE_LINES = 32
"""Associations that are being told that they are too many."""
RESTART_S = (0.2, 10.0)
"""How long a process that died is waited with: at first, and at most if it does so again and again."""
HEALTHY_S = 60.0
REFUSALS_PER_MINUTE = 30
"""That are audited one by one; a device that is set wrong tries for days."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSettings:
    """What the operator decided."""

    host: str
    port: int
    title: str
    peers: tuple[DicomPeer, ...]
    associations: int
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_ca: Path | None = None


class Gate:
    """Open from `start` to `close`. Both block."""

    def __init__(
        self,
        settings: GateSettings,
        archive: Archive,
        audit: Audit,
        sessions_at: Callable[[str], list[SessionId]],
        reported: Reported = lambda _title, _judgement: False,
    ) -> None:
        """`sessions_at` gives the open sessions of a point, by its name; `reported` takes what others say that they
        keep."""
        self._settings = settings
        self._archive = archive
        self._audit = audit
        self._sessions_at = sessions_at
        courier = Courier(self._setup())
        self._commitments = Commitments(archive, audit, courier, settings.title, reported)
        self._lock = threading.Lock()
        self._lines: set[Line] = set()
        self._admitted = 0
        self._refusals: list[float] = []
        self._closing = threading.Event()
        self._ready = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: Line | None = None
        self._keeper: threading.Thread | None = None
        self._visits: set[threading.Thread] = set()
        self.port = 0
        self.starts = 0
        """How often the process was started."""

    def start(self) -> None:
        """Listens from here on. Raises ConfigError."""
        settings = self._settings
        for path in (settings.tls_cert, settings.tls_key, settings.tls_ca):
            if path is not None and not os.access(path, os.R_OK):
                raise ConfigError(f"The file {path} for DICOM's TLS cannot be read.")
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        both = settings.host == "::" and socket.has_dualstack_ipv6()
        try:
            self._listening = socket.create_server(
                (settings.host, settings.port), family=family, backlog=BACKLOG, dualstack_ipv6=both
            )
        except OSError as error:
            raise ConfigError(f"dicom_port {settings.port} cannot be used: {error.strerror}.") from error
        self.port = int(self._listening.getsockname()[1])
        self._archive.prepare()
        self._keeper = threading.Thread(target=self._keep_running, name="dicom", daemon=True)
        self._keeper.start()

    def wait_ready(self, timeout_s: float) -> bool:
        """Whether the process takes associations within that time."""
        return self._ready.wait(timeout_s)

    @property
    def pid(self) -> int | None:
        """Of the process, while it runs."""
        process = self._process
        return process.pid if process is not None else None

    def close(self) -> None:
        """Ends all associations; what was acknowledged is safe."""
        if self._keeper is None:
            return
        self._closing.set()
        self._commitments.close()
        with self._lock:
            lines = list(self._lines)
            if self._process is not None:
                self._process.kill()
            if self._control is not None:
                self._control.wake()
        for line in lines:
            line.wake()
        self._keeper.join()
        with self._lock:
            visits = list(self._visits)
        for visit in visits:
            visit.join()
        self._listening.close()

    # --- the process ---------------------------------------------------------------------------------------------

    def _keep_running(self) -> None:
        wait_s = RESTART_S[0]
        while not self._closing.is_set():
            began_s = time.monotonic()
            try:
                self._run_once()
            except Exception as error:
                # Without this thread nobody would be let in until the server is started again.
                _log.error("dicom process failed", reason=type(error).__name__)
            if self._closing.is_set():
                return
            wait_s = RESTART_S[0] if time.monotonic() - began_s > HEALTHY_S else min(2 * wait_s, RESTART_S[1])
            _log.warning("dicom process ended, starting it again", wait_s=wait_s)
            self._closing.wait(wait_s)

    def _run_once(self) -> None:
        """Until the process ends."""
        ours, theirs = Line.pair()
        line = Line(ours)
        try:
            with theirs:
                process = self._spawn(theirs)
        except BaseException:
            line.close()
            raise
        with self._lock:
            self._process, self._control = process, line
            if self._closing.is_set():
                process.kill()
        self.starts += 1
        try:
            line.send(self._setup(), self._listening.fileno())
            while True:
                said, file = line.receive()
                if isinstance(said, Ready):
                    self._ready.set()
                elif isinstance(said, Association) and file is not None:
                    self._take(socket.socket(fileno=file))
                else:
                    raise LineClosed
        except LineClosed:
            return
        finally:
            self._ready.clear()
            with self._lock:
                self._process = self._control = None
            process.kill()
            process.wait()
            line.close()

    def _spawn(self, line: socket.socket) -> subprocess.Popen[bytes]:
        # Nothing of the server's environment: it may hold secrets.
        environment = {
            "PYTHONPATH": str(Path(bridge.__file__).resolve().parents[1]),
            "PATH": os.environ.get("PATH", ""),
            "LANG": "C.UTF-8",
            "OPENBLAS_NUM_THREADS": "1",
            "MALLOC_ARENA_MAX": "2",
        }
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "bridge.imaging.dimse", str(line.fileno())],
            pass_fds=(line.fileno(),),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _setup(self) -> Setup:
        settings = self._settings
        files = (settings.tls_cert, settings.tls_key, settings.tls_ca)
        return Setup(settings.title, settings.associations, *(str(file) if file else "" for file in files))

    # --- associations --------------------------------------------------------------------------------------------

    def _take(self, end: socket.socket) -> None:
        line = Line(end)
        with self._lock:
            if len(self._lines) >= self._settings.associations + SPARE_LINES or self._closing.is_set():
                line.close()
                return
            self._lines.add(line)
            thread = threading.Thread(target=self._visit, args=(line,), name="dicom-association", daemon=True)
            self._visits.add(thread)
        try:
            thread.start()
        except RuntimeError:  # There is no room for another thread.
            with self._lock:
                self._lines.discard(line)
                self._visits.discard(thread)
            line.close()

    def _visit(self, line: Line) -> None:
        reception = Reception(
            line,
            self._archive,
            self._audit,
            self._sessions_at,
            self._settings.peers,
            self._admit,
            self._commitments,
        )
        try:
            reception.run()
        except LineClosed:
            pass
        except Exception as error:
            _log.error("association failed", reason=type(error).__name__)
        finally:
            with self._lock:
                self._lines.discard(line)
                self._visits.discard(threading.current_thread())
                self._admitted -= reception.is_admitted
            line.close()

    def _admit(self, calling: str, called: str, address: str) -> tuple[str, DicomPeer | None]:
        """Why not, or who it is."""
        if called.strip() != self._settings.title:
            return self._refused("called"), None
        peer = next((each for each in self._settings.peers if each.title == calling.strip()), None)
        if peer is None or not is_at(peer.host, address):
            return self._refused("calling"), None
        with self._lock:
            if self._admitted >= self._settings.associations:
                return "busy", None
            self._admitted += 1
        return "", peer

    def _refused(self, reason: str) -> str:
        now_s = time.monotonic()
        with self._lock:
            self._refusals = [at_s for at_s in self._refusals if now_s - at_s < 60.0]
            is_noted = len(self._refusals) < REFUSALS_PER_MINUTE
            if is_noted:
                self._refusals.append(now_s)
        if is_noted:
            _log.warning("association refused", reason=reason)
            detail: dict[str, int | str] = {"trouble": "unknownAe", "title": reason}
            self._audit.record(Entry(Event.SECURITY_ALERT, "ae:unknown", None, Outcome.REFUSED, detail))
        return reason


@asynccontextmanager
async def open_gate(
    settings: Settings,
    store: Store,
    archive: Archive,
    audit: Audit,
    now_ms: Callable[[], int],
    reported: Reported = lambda _title, _judgement: False,
) -> AsyncIterator[Gate | None]:
    """The gate as the settings say; None if they say no port. `reported` runs in threads. Raises ConfigError."""
    if not settings.dicom_port:
        yield None
        return
    loop = asyncio.get_running_loop()

    def sessions_at(point: str) -> list[SessionId]:
        asked = asyncio.run_coroutine_threadsafe(store.open_sessions_at(point, now_ms()), loop)
        return asked.result(STORE_TIMEOUT_S)

    decided = GateSettings(
        host=settings.dicom_host or settings.host,
        port=settings.dicom_port,
        title=settings.dicom_title,
        peers=settings.dicom_peers,
        associations=settings.dicom_associations,
        tls_cert=settings.dicom_tls_cert,
        tls_key=settings.dicom_tls_key,
        tls_ca=settings.dicom_tls_ca,
    )
    gate = Gate(decided, archive, audit, sessions_at, reported)
    await asyncio.to_thread(gate.start)
    try:
        yield gate
    finally:
        await asyncio.to_thread(gate.close)


def is_at(host: str, address: str) -> bool:
    """Whether a peer comes from where it should. A name may have several addresses."""
    if host == "*":
        return True
    came = _plain(address)
    with contextlib.suppress(ValueError):
        return _plain(str(ipaddress.ip_address(host))) == came
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return any(_plain(str(entry[4][0])) == came for entry in found)


def _plain(address: str) -> str:
    parsed = ipaddress.ip_address(re.sub(r"%.*", "", address))
    mapped = getattr(parsed, "ipv4_mapped", None)
    return str(mapped or parsed)
