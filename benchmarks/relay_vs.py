"""What forwarding one picture to N viewers costs Bridge, and what it costs Janus with the same viewers, side by side.

Three servers in turn: Janus as shipped (a thread a viewer), Janus with two event loops, and the whole of `bridge serve`
with a real session. They run in one network namespace and the viewers in another (needs root), as Janus takes no
loopback. Viewers are the native crowd: ICE, DTLS, AES-128-GCM, reports and retransmission as each server negotiates
them. Each server is fed 180 packets a second as six a frame, of 1112 bytes at the viewer. What counts is the CPU time
of the server's processes from the first packet to half a second after the last, for each packet that viewers received;
medians of the rounds. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import aiohttp
import uvloop
from aiortc.rtcdtlstransport import SRTP_AEAD_AES_128_GCM

from benchmarks import cpu, stream
from benchmarks.bridge_side import EXTENSION_BYTES, RELAY_THREAD, running_bridge
from benchmarks.hosts import NEAR_ADDRESS, Host, joined_hosts
from benchmarks.janus import COMMAND, running_janus
from bridge.crowd.crew import Crew

VIEWERS = (10, 50, 100, 150)
ROUNDS = 3
TUNED_EVENT_LOOPS = 2
WARM_UP_S = 2.0
DRAIN_S = 0.5
SETTLE_S, SETTLE_TRIES = 0.5, 20
JOINING_AT_ONCE = 10
SOCKETS = 4096
BUSY_CORES = 0.2
"""If others take more, a server's threads wait for each other and wake less often: all figures are other ones then."""
ROOT = Path(__file__).resolve().parents[1]

BRIDGE, JANUS, JANUS_TUNED = "bridge", "janus", "janus_tuned"
NAMES = {
    JANUS: "Janus as shipped",
    JANUS_TUNED: f"Janus, {TUNED_EVENT_LOOPS} event loops",
    BRIDGE: "Bridge, whole server",
}


class Side(Protocol):
    """A running server that forwards one picture."""

    pid: int

    async def add_viewer(self) -> None: ...

    def play(self, on: bool) -> None:
        """Whether it is fed from now on."""

    async def fed(self) -> int:
        """How many packets it was fed with, since it began."""


Start = Callable[[Host, Path, aiohttp.ClientSession, Crew], AbstractAsyncContextManager[Side]]
SIDES: dict[str, Start] = {
    JANUS: functools.partial(running_janus, event_loops=0),
    JANUS_TUNED: functools.partial(running_janus, event_loops=TUNED_EVENT_LOOPS),
    BRIDGE: running_bridge,
}


@dataclass(frozen=True, slots=True)
class Used:
    """CPU seconds: of a server and all below it, of its relay thread if it has one, of this process, of everything."""

    server_s: float
    relay_s: float
    own_s: float
    machine_s: float

    @classmethod
    def until_now(cls, pid: int) -> Used:
        server_s = sum(map(cpu.process_cpu_s, cpu.family(pid)))
        return cls(
            server_s, cpu.named_thread_cpu_s(pid, RELAY_THREAD), time.process_time(), cpu.machine_cpu_s()
        )

    def since(self, before: Used) -> Used:
        return Used(
            self.server_s - before.server_s,
            self.relay_s - before.relay_s,
            self.own_s - before.own_s,
            self.machine_s - before.machine_s,
        )


@dataclass(frozen=True, slots=True)
class Measured:
    """One server with so many viewers, once."""

    side: str
    viewers: int
    fed: int
    received: int
    repaired: int
    bytes_each: float
    used: Used
    seconds: float

    @property
    def others_cores(self) -> float:
        """What processes took that are neither server nor viewers."""
        return max(0.0, self.used.machine_s - self.used.server_s - self.used.own_s) / self.seconds

    @property
    def us(self) -> float:
        return self.used.server_s * 1e6 / self.received

    def line(self) -> str:
        relay_us = self.used.relay_s * 1e6 / self.received
        relay = f" (relay thread {relay_us:.2f})" if relay_us else ""
        missing = self.fed * self.viewers - self.received
        return (
            f"  {NAMES[self.side]:<22} {self.viewers:4} viewers: {self.us:6.2f} us a packet{relay},"
            f" {self.received} packets of {self.bytes_each:.0f} bytes, {missing} missing, {self.repaired} came again;"
            f" others {self.others_cores:.2f} cores"
        )


def summary(measured: Sequence[Measured]) -> dict[str, dict[str, float]]:
    """By number of viewers: medians of each server, and how many times less Bridge takes than each other one."""
    made = {}
    for viewers in sorted({each.viewers for each in measured}):
        us: dict[str, list[float]] = {}
        for each in measured:
            if each.viewers == viewers:
                us.setdefault(each.side, []).append(each.us)
        medians = {side: statistics.median(values) for side, values in us.items()}
        made[str(viewers)] = {f"{side}_us": round(medians[side], 2) for side in sorted(medians)}
        for name, side in (("ratio", JANUS), ("ratio_tuned", JANUS_TUNED)):
            if BRIDGE in medians and side in medians:
                made[str(viewers)][name] = round(medians[side] / medians[BRIDGE], 1)
    return made


async def measure_side(
    name: str, server_host: Host, viewers: Sequence[int], seconds: float, folder: Path
) -> list[Measured]:
    """One server from its start to its end, with more and more viewers."""
    measured: list[Measured] = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        with Crew(stream.reel(EXTENSION_BYTES)) as crew:
            # The certificate keeps the context of its first handshake: all of them offer this profile alone.
            crew.certificate._create_ssl_context([SRTP_AEAD_AES_128_GCM])
            async with SIDES[name](server_host, folder, http, crew) as side:
                there = 0
                for count in viewers:
                    await add_viewers(side, count - there)
                    there = count
                    measured.append(await measure(name, side, crew, count, seconds))
                    print(measured[-1].line(), flush=True)
    return measured


async def add_viewers(side: Side, count: int) -> None:
    turns = asyncio.Semaphore(JOINING_AT_ONCE)

    async def one() -> None:
        async with turns:
            await side.add_viewer()

    await asyncio.gather(*(one() for _ in range(count)))


async def measure(name: str, side: Side, crew: Crew, viewers: int, seconds: float) -> Measured:
    await until_all_see(side, crew, viewers)
    await until_silent(crew)
    before, fed = await crew.counts(), await side.fed()
    began_s, used = time.monotonic(), Used.until_now(side.pid)
    side.play(True)
    await asyncio.sleep(seconds)
    side.play(False)
    await asyncio.sleep(DRAIN_S)
    took_s, used = time.monotonic() - began_s, Used.until_now(side.pid).since(used)
    after, fed_after = await crew.counts(), await side.fed()
    received = after.received - before.received
    if after.wrong or not received:
        raise RuntimeError(f"{NAMES[name]} did not send what viewers can decrypt")
    return Measured(
        side=name,
        viewers=viewers,
        fed=fed_after - fed,
        received=received,
        repaired=after.recovered - before.recovered,
        bytes_each=(after.received_bytes - before.received_bytes) / received,
        used=used,
        seconds=took_s,
    )


async def until_all_see(side: Side, crew: Crew, viewers: int) -> None:
    """Feeds it until every viewer receives, and a while longer."""
    side.play(True)
    for _ in range(SETTLE_TRIES):
        await asyncio.sleep(SETTLE_S)
        counts = await crew.counts()
        if counts.flowing == viewers:
            await asyncio.sleep(WARM_UP_S)
            side.play(False)
            return
    raise RuntimeError(f"only {counts.flowing} of {viewers} viewers see anything")


async def until_silent(crew: Crew) -> None:
    received = -1
    for _ in range(SETTLE_TRIES):
        await asyncio.sleep(SETTLE_S)
        before, received = received, (await crew.counts()).received
        if received == before:
            return
    raise RuntimeError("packets still come long after the last was fed")


async def compare(
    server_host: Host,
    servers: Sequence[str],
    viewers: Sequence[int],
    rounds: int,
    seconds: float,
    folder: Path,
) -> list[Measured]:
    measured: list[Measured] = []
    for number in range(1, rounds + 1):
        print(f"round {number} of {rounds}; load before: {os.getloadavg()[0]:.1f}", flush=True)
        for name in servers:
            place = folder / f"{name}-{number}"
            measured += await measure_side(name, server_host, viewers, seconds, place)
    return measured


def run_in_viewers_host(arguments: argparse.Namespace) -> None:
    """What the other process does: it stands where the viewers are."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(SOCKETS, hard), hard))
    server_host = Host(arguments.server_namespace, "", NEAR_ADDRESS)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        measured = runner.run(
            compare(
                server_host,
                arguments.servers,
                arguments.viewers,
                arguments.rounds,
                arguments.seconds,
                arguments.folder,
            )
        )
    busy = max(each.others_cores for each in measured)
    if busy > BUSY_CORES:
        print(
            f"THE MACHINE WAS BUSY: others took up to {busy:.1f} cores."
            " These are not the figures of a quiet machine."
        )
    print(json.dumps({"n": summary(measured)}))


def run_on_two_hosts() -> int:
    """Makes both hosts, and does the same again in the viewers'; ends everything, whatever happens."""
    with tempfile.TemporaryDirectory(prefix="bridge-bench-") as folder, joined_hosts() as (near, far):
        inside = ["--server-namespace", near.namespace, "--folder", folder]
        command = far.command(sys.executable, "-m", "benchmarks.relay_vs", *sys.argv[1:], *inside)
        process = subprocess.Popen(command, cwd=ROOT)
        try:
            return process.wait()
        finally:
            if process.poll() is None:
                process.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--viewers", type=int, nargs="+", default=list(VIEWERS), metavar="N")
    parser.add_argument("--servers", choices=list(SIDES), nargs="+", default=list(SIDES), metavar="SERVER")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=8, help="measured, for each N")
    parser.add_argument("--server-namespace", default="", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.viewers.sort()
    if arguments.server_namespace:
        run_in_viewers_host(arguments)
        return
    if os.geteuid() != 0:
        parser.error("network namespaces need root")
    if arguments.servers != [BRIDGE] and shutil.which(COMMAND) is None:
        parser.error(f"{COMMAND} is not installed: apt-get install {COMMAND}")
    print(cpu.model(), flush=True)
    # Whoever ends it wants the namespaces gone, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(run_on_two_hosts())


if __name__ == "__main__":
    main()
