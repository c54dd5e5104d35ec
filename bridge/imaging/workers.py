"""A bounded pool of processes that read and decode what strangers sent, so that the server never does.

A worker that dies, hangs or wants too much is killed and replaced, and the call is told so in plain words. Calls
block, for use from threads. `worker.py` is the other side.
"""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec

import bridge
from bridge.errors import CODES, LimitExceeded
from bridge.imaging.errors import DicomError
from bridge.imaging.scratch import Scratch
from bridge.imaging.worker import MESSAGE_BYTES, READY, REPLY_LIMIT_BYTES, Reply, Request

MEMORY_BYTES = 1 << 30
"""What a call may take besides its payload. A frame of 65,535 by 65,535 is refused; a mammogram takes 100 MB."""
TIMEOUT_S = 30.0
START_TIMEOUT_S = 60.0
CALLS_LIMIT = 5_000
"""After so many a worker is replaced, whatever it may have leaked."""
PRELOADED = ("bridge.imaging.parsing",)
_replies = msgspec.msgpack.Decoder(Reply)
_encoder = msgspec.msgpack.Encoder()


class WorkerLost(DicomError):
    """A worker died or was killed over this object."""


class _Worker:
    """One process and the socket to it."""

    def __init__(self) -> None:
        line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.line = line
        self.calls = 0
        self._ready = False
        # Nothing of the server's environment: it may hold secrets.
        environment = {
            "PYTHONPATH": str(Path(bridge.__file__).resolve().parents[1]),
            "PATH": os.environ.get("PATH", ""),
            "LANG": "C.UTF-8",
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "MALLOC_ARENA_MAX": "2",
        }
        command = [sys.executable, "-m", "bridge.imaging.worker", str(theirs.fileno()), *PRELOADED]
        try:
            self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command,
                pass_fds=(theirs.fileno(),),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except BaseException:
            line.close()
            raise
        finally:
            theirs.close()

    def wait_ready(self) -> None:
        """Raises OSError if it does not come up."""
        if not self._ready:
            self.line.settimeout(START_TIMEOUT_S)
            if self.line.recv(len(READY)) != READY:
                raise ConnectionError("a worker did not start")
            self._ready = True

    def ask(self, request: Request, payload: Scratch, deadline_s: float) -> bytes:
        """Raises OSError if it died, TimeoutError if it is late, DicomError for what it said."""
        self.calls += 1
        self.line.settimeout(_left(deadline_s))
        socket.send_fds(self.line, [_encoder.encode(request)], [payload.seal()])
        self.line.settimeout(_left(deadline_s))
        message, files, _, _ = socket.recv_fds(self.line, 2 * MESSAGE_BYTES, 1)
        if not message:
            raise ConnectionError("a worker died")
        try:
            reply = _replies.decode(message)
        except (msgspec.DecodeError, UnicodeError):
            for file in files:
                os.close(file)
            raise ConnectionError("a worker does not make sense") from None
        if reply.leaving:
            self.calls = CALLS_LIMIT
        if files:
            with Scratch.received(files[0], REPLY_LIMIT_BYTES) as large:
                return bytes(large.view())
        if reply.code:
            raise DicomError(reply.text[:300], reply.code if reply.code in CODES else "damaged")
        return reply.body or b""

    def stop(self) -> None:
        self.line.close()
        self.process.kill()
        self.process.wait()


class Workers:
    """Safe for use by several threads."""

    def __init__(self, count: int | None = None, *, waiting: bool = True) -> None:
        """As many as the machine has processors, if not told. They start in the background, or if they are not to be
        `waiting`, when they are wanted: then a server without studies has none."""
        self._count = count if count is not None else max(2, os.cpu_count() or 2)
        # The one that was used last comes first: its caches are warm, and the others need not be started.
        self._idle: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        """None stands for one that does not run yet or could not be started, and is tried when it is wanted."""
        self._lock = threading.Lock()
        self._closed = False
        self._all: set[_Worker] = set()
        self.lost = 0
        """How many died or had to be killed."""
        for _ in range(self._count):
            if waiting:
                self._start()
            else:
                self._idle.put(None)

    def prepare(self) -> None:
        """Starts in the background those that do not run, because something is likely to come: the first to wait for
        one would wait for a second."""
        missing, idle = 0, list[_Worker]()
        with contextlib.suppress(queue.Empty):
            while True:
                worker = self._idle.get_nowait()
                if worker is None:
                    missing += 1
                else:
                    idle.append(worker)
        for _ in range(missing):
            self._start()
        for worker in reversed(idle):
            self._idle.put(worker)

    @property
    def pids(self) -> list[int]:
        with self._lock:
            return [worker.process.pid for worker in self._all]

    def call(
        self,
        function: str,
        payload: Scratch | bytes | bytearray | memoryview,
        arguments: bytes = b"",
        *,
        timeout_s: float = TIMEOUT_S,
        memory_bytes: int = MEMORY_BYTES,
    ) -> bytes:
        """Runs `module:function` of `bridge.imaging` in a worker; it is handed the payload without copying a Scratch.

        Raises DicomError for what the function said of the payload, WorkerLost if it took too much of anything, and
        LimitExceeded if no worker got free within the time, or none could be started.
        """
        if len(arguments) > MESSAGE_BYTES:
            raise ValueError("arguments are short; what is long is the payload")
        request = Request(function, arguments, memory_bytes, int(timeout_s) + 1)
        if isinstance(payload, Scratch):
            return self._call(request, payload, timeout_s)
        with Scratch.of(payload) as scratch:
            return self._call(request, scratch, timeout_s)

    def close(self) -> None:
        """Kills all of them; calls that are under way end as lost."""
        with self._lock:
            self._closed = True
            workers, self._all = self._all, set()
        for worker in workers:
            worker.process.kill()
        for worker in workers:
            worker.process.wait()
        while not self._idle.empty():
            with contextlib.suppress(queue.Empty):
                idle = self._idle.get_nowait()
                if idle is not None:
                    idle.line.close()

    def _call(self, request: Request, payload: Scratch, timeout_s: float) -> bytes:
        worker = self._take(timeout_s)
        kept = False
        try:
            _await_ready(worker)
            reply = worker.ask(request, payload, time.monotonic() + timeout_s)
            kept = True
            return reply
        except DicomError:
            kept = True
            raise
        except TimeoutError:
            raise WorkerLost("Reading the object took too long.", "tooLarge") from None
        except OSError:
            raise WorkerLost("Reading the object failed; it may be damaged on purpose.") from None
        finally:
            self._give_back(worker, kept)

    def _take(self, timeout_s: float) -> _Worker:
        if self._closed:
            raise LimitExceeded("The server is shutting down.", "shuttingDown")
        try:
            worker = self._idle.get(timeout=timeout_s)
        except queue.Empty:
            raise LimitExceeded("Too many objects are being read just now; try again in a moment.") from None
        if worker is not None:
            return worker
        try:
            return self._new()
        except OSError:
            self._idle.put(None)
            raise LimitExceeded("The server is short of memory; try again in a moment.") from None

    def _give_back(self, worker: _Worker, kept: bool) -> None:
        if kept and worker.calls < CALLS_LIMIT and not self._closed:
            self._idle.put(worker)
            return
        if not kept:
            self.lost += 1
        with self._lock:
            self._all.discard(worker)
        worker.stop()
        self._start()

    def _start(self) -> None:
        if self._closed:
            return
        try:
            self._idle.put(self._new())
        except OSError:
            self._idle.put(None)

    def _new(self) -> _Worker:
        with self._lock:
            if self._closed:
                raise LimitExceeded("The server is shutting down.", "shuttingDown")
            worker = _Worker()
            self._all.add(worker)
        return worker


def _await_ready(worker: _Worker) -> None:
    """Raises LimitExceeded: that one does not come up says nothing of the object."""
    try:
        worker.wait_ready()
    except OSError:
        raise LimitExceeded("Objects cannot be read just now; try again in a moment.") from None


def _left(deadline_s: float) -> float:
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s
