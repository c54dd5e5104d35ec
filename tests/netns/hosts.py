"""Two hosts (network namespaces) and the line between them, made for one test and removed after it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]
NEAR_ADDRESS = "10.77.0.1"
FAR_ADDRESS = "10.77.0.2"


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@dataclass
class Host:
    """One namespace with a loopback and an address on the line."""

    namespace: str
    device: str
    address: str

    def command(self, *words: str) -> list[str]:
        """The command line that runs `words` on this host."""
        return ["ip", "netns", "exec", self.namespace, *words]

    def move_to(self, address: str) -> None:
        """Takes another address, as a change of Wi-Fi does; the old one is gone at once."""
        ip("-n", self.namespace, "addr", "flush", "dev", self.device)
        ip("-n", self.namespace, "addr", "add", f"{address}/24", "dev", self.device)
        self.address = address

    def wrapper(self, folder: Path, program: str) -> Path:
        """A script that is `program` on this host, for those who want one path to start."""
        script = folder / f"{Path(program).name}-{self.namespace}"
        script.write_text(f'#!/bin/sh\nexec ip netns exec {self.namespace} {program} "$@"\n')
        script.chmod(0o755)
        return script


@dataclass
class Line:
    """The line between the hosts; `set` takes effect before it returns."""

    process: subprocess.Popen[str]
    near: Host
    far: Host
    _to: IO[str] = field(repr=False)
    _back: IO[str] = field(repr=False)

    def set(self, **setting: Any) -> None:
        """Any of delay_ms (one way), loss (share of packets), rate_bps, queue_ms, up."""
        self._to.write(json.dumps(setting) + "\n")
        self._to.flush()
        assert self._back.readline().strip() == "set"


@contextlib.contextmanager
def two_hosts(seed: int = 7) -> Iterator[Line]:
    """Two hosts on one line, which begins without loss or delay."""
    mark = f"{os.getpid() % 100000}"
    near = Host(f"bridge-near-{mark}", f"bn{mark}", NEAR_ADDRESS)
    far = Host(f"bridge-far-{mark}", f"bf{mark}", FAR_ADDRESS)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.netns.line", near.device, far.device, str(seed)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline().strip() == "ready"
        for host in (near, far):
            ip("netns", "add", host.namespace)
            ip("link", "set", host.device, "netns", host.namespace)
            ip("-n", host.namespace, "link", "set", "lo", "up")
            ip("-n", host.namespace, "addr", "add", f"{host.address}/24", "dev", host.device)
            ip("-n", host.namespace, "link", "set", host.device, "up")
        yield Line(process, near, far, process.stdin, process.stdout)
    finally:
        for host in (near, far):
            subprocess.run(["ip", "netns", "del", host.namespace], check=False, capture_output=True)
        process.stdin.close()
        process.wait(timeout=10)
        process.stdout.close()
