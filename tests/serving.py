"""A real server as a process of its own, with its own data folder and free ports, for tests from outside."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0


PORTS = range(12_000, 32_000)
"""Below those that the kernel gives to whoever asks for any, who would take the port of a server that restarts."""
_next_port = itertools.count(random.SystemRandom().randrange(len(PORTS)))


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port that is free now, and that nobody else comes upon soon."""
    for number in itertools.islice(_next_port, len(PORTS)):
        with socket.socket(socket.AF_INET, kind) as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", PORTS[number % len(PORTS)]))
            return int(probe.getsockname()[1])
    raise AssertionError("no port is free")


@dataclass
class Server:
    """One installation: start, stop, kill and start again keep its data and ports."""

    data_dir: Path
    host: str = "127.0.0.1"
    prefix: Sequence[str] = ()
    """What its command line begins with, as to run it in a namespace."""
    settings: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    media_port: int = field(default_factory=lambda: free_port(socket.SOCK_DGRAM))
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def log(self) -> str:
        """Everything it wrote so far."""
        return (self.data_dir / "test.log").read_text(errors="replace")

    def environment(self) -> dict[str, str]:
        own = {
            "data_dir": str(self.data_dir),
            "host": self.host,
            "port": str(self.port),
            "media_host": self.host,
            "media_port": str(self.media_port),
            "public_url": self.address,
            "log_format": "json",
            **self.settings,
        }
        return {**os.environ, **{f"BRIDGE_{name.upper()}": value for name, value in own.items()}}

    def start(self, *options: str) -> Server:
        """Starts it, with more options of `bridge serve`, and waits until it is healthy."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with (self.data_dir / "test.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, sys.executable, "-m", "bridge", "serve", *options],
                cwd=ROOT,
                env=self.environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not self._healthy():
            if self.process.poll() is not None or time.monotonic() > deadline_s:
                raise AssertionError(f"the server did not start:\n{self.log}")
            time.sleep(0.05)
        return self

    def _healthy(self) -> bool:
        if self.prefix:  # its address is not reachable from here; its own health is asked there
            command = [*self.prefix, sys.executable, "-c", _ASK_HEALTH, self.address]
            return subprocess.run(command, capture_output=True, check=False).returncode == 0
        try:
            with urllib.request.urlopen(f"{self.address}/healthz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> int:
        """Ends it and returns its exit code."""
        assert self.process is not None
        self.process.send_signal(sign)
        code = self.process.wait(timeout=STOP_TIMEOUT_S)
        self.process = None
        return code

    def printed_link(self, label: str) -> str:
        """A link that the newest start printed after a label."""
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not (found := re.findall(rf"{label} +(http\S+)", self.log)):
            assert time.monotonic() < deadline_s, self.log
            time.sleep(0.05)
        return str(found[-1])

    async def until_logged(self, words: str, timeout_s: float = START_TIMEOUT_S) -> None:
        """Waits until a line of the log holds these words."""
        deadline_s = time.monotonic() + timeout_s
        while words not in self.log:
            assert time.monotonic() < deadline_s, self.log
            await asyncio.sleep(0.05)

    def command(self, *words: str) -> str:
        """Runs `bridge WORDS` on this installation and returns what it printed."""
        done = self._run(words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def refused(self, *words: str) -> str:
        """What `bridge WORDS` has against it."""
        done = self._run(words)
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stderr

    def _run(self, words: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "bridge", *words],
            cwd=ROOT,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def staff_token(self) -> str:
        """Of who runs it: as it printed when it started, or as the command line says if it does not run."""
        printed = self.process is not None
        link = self.printed_link("Make sessions") if printed else self.command("staff", "link").strip()
        return link.partition("#")[2]

    def create_session(self, title: str = "Echo with Sơn La", *options: str) -> dict[str, Any]:
        """A session with its four tokens and links.

        By HTTP, which is quicker; by the command line if there are options for it, or the server is not to be reached.
        """
        if options or self.prefix or self.process is None or self.process.poll() is not None:
            made: dict[str, Any] = json.loads(
                self.command("session", "create", "--title", title, "--json", *options)
            )
            return made
        request = urllib.request.Request(
            f"{self.address}/api/sessions",
            json.dumps({"title": title}).encode(),
            {"Authorization": f"Bearer {self.staff_token()}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=START_TIMEOUT_S) as answer:
            made = json.load(answer)
        return made


_ASK_HEALTH = """
import sys, urllib.request
sys.exit(0 if urllib.request.urlopen(sys.argv[1] + "/healthz", timeout=2).status == 200 else 1)
"""


@contextlib.contextmanager
def running_server(data_dir: Path, **options: Any) -> Iterator[Server]:
    """A started server, ended with the block however that ends."""
    server = Server(data_dir, **options).start()
    try:
        yield server
    finally:
        if server.process is not None:
            server.process.kill()
            server.process.wait(timeout=STOP_TIMEOUT_S)
