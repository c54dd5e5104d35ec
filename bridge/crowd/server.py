"""The server that is measured: `bridge serve` as a process of its own, its API, its metrics and what the kernel says.

Its data folder is a temporary one that goes with it.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0
LOOK_EVERY_S = 0.1
HOST = "127.0.0.1"
CAPACITY_LIMIT = 10_000
"""The most that a server can be set to: what is measured is another limit."""
_STATISTICS_TIMEOUT_S = 10.0
_RELAY_CPU = "bridge_relay_cpu_seconds_total"
_STAFF_LINK = re.compile(r"Make sessions +http\S+#(\S+)")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# Where a process's parent, and its user and system time stand behind its name in /proc/PID/stat (proc(5)).
_PARENT, _USER, _SYSTEM = 1, 11, 12


@dataclass(frozen=True, slots=True)
class Reading:
    """The server's metrics at one moment (`time.monotonic`); histograms as [(upper bound in seconds, total)].

    `machine_cpu_s` is what all processes of the machine have used, `stolen_s` what the host of a virtual one kept back
    from them.
    """

    at_s: float
    cpu_s: float
    machine_cpu_s: float
    stolen_s: float
    memory_bytes: int
    values: dict[str, float]
    transit: list[tuple[float, float]]
    loop_lag: list[tuple[float, float]]


class MeasuredServer:
    """A running server."""

    def __init__(
        self, process: asyncio.subprocess.Process, address: str, log: Path, http: aiohttp.ClientSession
    ) -> None:
        self.address = address
        self.pid = process.pid
        self._log = log
        self._http = http
        self._staff_token = ""

    async def wait(self, process: asyncio.subprocess.Process) -> None:
        """Until it is up. Raises RuntimeError with what it said if it does not come up."""
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not await self._healthy():
            if process.returncode is not None or time.monotonic() > deadline_s:
                raise RuntimeError(f"the server did not start:\n{self._log.read_text(errors='replace')}")
            await asyncio.sleep(LOOK_EVERY_S)

    async def _healthy(self) -> bool:
        found = _STAFF_LINK.search(self._log.read_text(errors="replace"))
        if found is None:
            return False
        self._staff_token = found[1]
        try:
            async with self._http.get(f"{self.address}/healthz") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """One request of the staff."""
        headers = {"Authorization": f"Bearer {self._staff_token}"}
        async with self._http.post(f"{self.address}{path}", json=body, headers=headers) as answer:
            answer.raise_for_status()
            return dict(await answer.json())

    async def read(self) -> Reading:
        """At a moment when the relay has just told its statistics, which it does about once a second."""
        told = (await self._metrics()).values.get(_RELAY_CPU)
        for _ in range(int(_STATISTICS_TIMEOUT_S / LOOK_EVERY_S)):
            await asyncio.sleep(LOOK_EVERY_S)
            reading = await self._metrics()
            if reading.values.get(_RELAY_CPU) != told:
                return reading
        raise RuntimeError("the server's relay tells no statistics")

    async def _metrics(self) -> Reading:
        async with self._http.get(f"{self.address}/metrics") as answer:
            text = await answer.text()
        at_s = time.monotonic()
        cpu_s, memory_bytes = await asyncio.to_thread(_usage, self.pid)
        machine_cpu_s, stolen_s = _machine_cpu_s()
        values: dict[str, float] = {}
        histograms: dict[str, list[tuple[float, float]]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name.endswith("_bucket"):
                    if "route" not in sample.labels:
                        bucket = (float(sample.labels["le"]), sample.value)
                        histograms.setdefault(family.name, []).append(bucket)
                elif not sample.labels:
                    values[sample.name] = sample.value
        return Reading(
            at_s,
            cpu_s,
            machine_cpu_s,
            stolen_s,
            memory_bytes,
            values,
            histograms.get("bridge_relay_transit_seconds", []),
            histograms.get("bridge_loop_lag_seconds", []),
        )


@asynccontextmanager
async def measured_server(http: aiohttp.ClientSession) -> AsyncIterator[MeasuredServer]:
    """Starts one, and ends it with the block."""
    with tempfile.TemporaryDirectory(prefix="bridge-bench-") as folder:
        log = Path(folder) / "server.log"
        port, media_port = _free_port(socket.SOCK_STREAM), _free_port(socket.SOCK_DGRAM)
        address = f"http://{HOST}:{port}"
        settings = {
            "data_dir": folder,
            "host": HOST,
            "port": str(port),
            "media_host": HOST,
            "media_port": str(media_port),
            "public_url": address,
            "capacity_limit": str(CAPACITY_LIMIT),
            "log_format": "json",
            "log_level": "warning",
        }
        environment = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
        environment |= {f"BRIDGE_{name.upper()}": value for name, value in settings.items()}
        with log.open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "bridge", "serve", env=environment, stdout=out, stderr=out
            )
        try:
            server = MeasuredServer(process, address, log, http)
            await server.wait(process)
            yield server
        finally:
            await _stop(process)


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            process.kill()
            await process.wait()


def _free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _machine_cpu_s() -> tuple[float, float]:
    """All that is not idleness or waiting for disks, and what was stolen (proc(5), /proc/stat)."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    user, nice, system, _, _, *interrupts, stolen = ticks
    return sum((user, nice, system, *interrupts)) / _TICKS_PER_S, stolen / _TICKS_PER_S


def _usage(pid: int) -> tuple[float, int]:
    """CPU seconds and resident bytes of a process and all below it."""
    parents: dict[int, int] = {}
    usage: dict[int, tuple[float, int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            pages = int((entry / "statm").read_text().split()[1])
        except OSError:
            continue  # it has just ended
        number = int(entry.name)
        parents[number] = int(fields[_PARENT])
        ticks = int(fields[_USER]) + int(fields[_SYSTEM])
        usage[number] = (ticks / _TICKS_PER_S, pages * os.sysconf("SC_PAGE_SIZE"))
    family = {pid}
    for number in sorted(parents):
        if parents[number] in family:
            family.add(number)
    known = [usage[number] for number in family if number in usage]
    return sum(cpu_s for cpu_s, _ in known), sum(size for _, size in known)
