"""Two hosts of a measurement's own on this machine: network namespaces joined by a veth pair (veth(4)); needs root.

Unlike loopback, their addresses are such as every ICE agent takes. They go with the block, and with them whatever still
runs there.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

NEAR_ADDRESS, FAR_ADDRESS = "10.78.0.1", "10.78.0.2"
_PREFIX_BITS = 24
_COMMAND_TIMEOUT_S = 10.0
_END_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Host:
    namespace: str
    device: str
    address: str

    def command(self, *words: str) -> list[str]:
        """The command line that runs `words` on this host; the process is the one that is started."""
        return ["ip", "netns", "exec", self.namespace, *words]


@contextlib.contextmanager
def joined_hosts() -> Iterator[tuple[Host, Host]]:
    """Both, up and with a line between them that neither loses nor delays. Raises RuntimeError if that is refused."""
    mark = os.getpid()
    near = Host(f"bridge-server-{mark}", f"bs{mark}", NEAR_ADDRESS)
    far = Host(f"bridge-viewers-{mark}", f"bv{mark}", FAR_ADDRESS)
    try:
        for host in (near, far):
            _ip("netns", "add", host.namespace)
        _ip("-n", near.namespace, "link", "add", near.device, "type", "veth", "peer", "name", far.device)
        _ip("-n", near.namespace, "link", "set", far.device, "netns", far.namespace)
        for host in (near, far):
            _ip("-n", host.namespace, "addr", "add", f"{host.address}/{_PREFIX_BITS}", "dev", host.device)
            for device in ("lo", host.device):
                _ip("-n", host.namespace, "link", "set", device, "up")
        yield near, far
    finally:
        for host in (near, far):
            _remove(host)


def _remove(host: Host) -> None:
    """Ends what runs there, then takes it away; a line goes with its first end."""
    deadline_s = time.monotonic() + _END_TIMEOUT_S
    for sign in (signal.SIGTERM, signal.SIGKILL):
        while (pids := _pids(host)) and time.monotonic() < deadline_s:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, sign)
            time.sleep(0.1)
        deadline_s += _END_TIMEOUT_S
    subprocess.run(
        ["ip", "netns", "del", host.namespace], check=False, capture_output=True, timeout=_COMMAND_TIMEOUT_S
    )


def _pids(host: Host) -> list[int]:
    done = subprocess.run(
        ["ip", "netns", "pids", host.namespace],
        check=False,
        capture_output=True,
        text=True,
        timeout=_COMMAND_TIMEOUT_S,
    )
    return [int(pid) for pid in done.stdout.split()]


def _ip(*words: str) -> None:
    done = subprocess.run(
        ["ip", *words], check=False, capture_output=True, text=True, timeout=_COMMAND_TIMEOUT_S
    )
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")
