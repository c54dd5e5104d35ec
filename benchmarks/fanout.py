"""How many viewers of one picture a relay thread holds: 500 at first, then 500 more, until packets are missing.

The real relay has one core for itself; publisher and viewers, the native crowd, have the other (needs two). Each
viewer has a socket, ICE checks and SRTP keys of its own (AES-128-GCM, handed over without a handshake), reads the
headers of all packets, decrypts one in sixteen, reports and asks again as a browser does. What is missing the viewers
count: between two pauses each must have had every packet that was published. A level in which anything was missing,
came only by retransmission, or was not there half a second after it was published, is not held. The last line is one
JSON object: the highest level that was.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import secrets
import select
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import cpu, stream
from benchmarks.relay import KEY_BYTES, PROFILE, quantile_ms
from bridge.media import _native

STEP = 500
EXTENSIONS = _native.ExtensionIds(abs_send_time=2, transport_wide_cc=3, mid=4)
EXTENSION_BYTES = 12
"""What the first two of these take; the third is only said at first."""
VIDEO = _native.PayloadType(96, "vp8", stream.CLOCK_HZ, 97)
HOST = "127.0.0.1"
PUBLISHER, TRACK = 0, 1
PUBLISHER_SSRC, VIEWERS_SSRC, VIEWERS_RTX_SSRC = 1, 100_000, 200_000
WARM_UP_S = 2.0
DRAIN_S = 0.5
"""What has not come by then is of no use to who looks on."""
SETTLE_S, SETTLE_TRIES = 0.5, 20
CONNECT_TIMEOUT_S = 60.0
STATISTICS_S = 1.5
"""The relay tells its own about once a second."""
SPARE_SOCKETS = 200
FULL_CORE = 0.9
"""A thread that takes more may be what loses packets."""


@dataclass(frozen=True)
class Moment:
    crowd: _native.CrowdCounts
    relay: _native.RelayStats
    relay_overflow: int
    """Datagrams that the kernel dropped because the relay's socket was full; and the viewers'."""
    viewers_overflow: int


@dataclass(frozen=True)
class Level:
    """What came between two pauses."""

    viewers: int
    published: int
    received: int
    repaired: int
    left_out: int
    """By the relay, for viewers who could not take more."""
    relay_overflow: int
    viewers_overflow: int
    relay_cores: float
    crowd_cores: float
    bytes_each: float
    transit_p50_ms: float
    transit_p99_ms: float

    @property
    def missing(self) -> int:
        return self.published * self.viewers - self.received

    @property
    def is_held(self) -> bool:
        return self.published > 0 and not (self.missing or self.repaired or self.left_out)

    @property
    def seconds(self) -> float:
        return self.published / stream.PACKETS_PER_SECOND

    def figures(self) -> dict[str, float]:
        pps = self.received / self.seconds
        return {
            "viewers": self.viewers,
            "pps": round(pps),
            "relay_cores": round(self.relay_cores, 3),
            "us_per_packet": round(self.relay_cores * 1e6 / pps, 3),
            "pps_per_core": round(pps / self.relay_cores),
        }

    def line(self) -> str:
        made = self.figures()
        said = (
            f"{self.viewers:5} viewers: {made['pps']} packets a second of {self.bytes_each:.0f} bytes,"
            f" relay {self.relay_cores:.2f} cores, {made['us_per_packet']:.2f} us a packet,"
            f" transit p50 {self.transit_p50_ms:.1f} ms, p99 {self.transit_p99_ms:.1f} ms;"
            f" crowd {self.crowd_cores:.2f} cores"
        )
        return said if self.is_held else f"{said}; {self.missing} missing, {self.repaired} came again"

    def why_not_held(self) -> str:
        """Who was at its end, as far as it shows."""
        is_loader = self.viewers_overflow > 0 or self.crowd_cores > FULL_CORE
        if is_loader and self.relay_cores > FULL_CORE:
            return (
                f"Both were at their end: the relay took {self.relay_cores:.2f} cores, the loader"
                f" {self.crowd_cores:.2f}."
            )
        if is_loader:
            return (
                f"THE LOADER WAS THE BOTTLENECK: its thread took {self.crowd_cores:.2f} cores, and its sockets"
                f" overflowed by {self.viewers_overflow} packets. The relay may hold more viewers than this."
            )
        return (
            f"The relay was at its end: {self.relay_cores:.2f} cores, {self.left_out} packets left out,"
            f" {self.relay_overflow} not read in time. The loader was not: {self.crowd_cores:.2f} cores."
        )


class Fan:
    """One publisher, and as many viewers as were added."""

    def __init__(self, relay_core: int, crowd_core: int) -> None:
        # Threads begin where the one runs that makes them.
        cpu.run_only_on(0, crowd_core)
        self.relay = _native.Relay(HOST, 0)
        self.crowd = _native.Crowd(stream.reel(EXTENSION_BYTES))
        self.viewers = 0
        self._connected = 0
        self._statistics: _native.RelayStats | None = None
        self._counted: list[_native.CrowdCounts] = []
        self._relay_thread = cpu.thread_of("bridge-relay")
        self._crowd_thread = cpu.thread_of("bridge-crowd")
        cpu.run_only_on(self._relay_thread, relay_core)
        self.is_preferred = cpu.prefer(self._crowd_thread)
        self._publish()

    def close(self) -> None:
        self.crowd.close()
        self.relay.close()

    def add_viewers(self, count: int) -> None:
        for viewer in range(self.viewers + 1, self.viewers + 1 + count):
            ours, theirs = self._connect(viewer)
            ssrc, rtx_ssrc = VIEWERS_SSRC + viewer, VIEWERS_RTX_SSRC + viewer
            self.relay.set_sending(viewer, EXTENSIONS, transport_cc=True, remb=False)
            self.relay.add_subscription(viewer, viewer, "video", "v", ssrc, rtx_ssrc, [VIDEO], "hub")
            self.relay.switch_subscription(viewer, TRACK)
            self.crowd.receive(viewer, EXTENSIONS, [("video", "vp8", ssrc, rtx_ssrc)])
            self.crowd.set_keys(viewer, PROFILE, ours, theirs)
        self.viewers += count
        deadline_s = time.monotonic() + CONNECT_TIMEOUT_S
        while self._connected < self.viewers + 1:
            if time.monotonic() > deadline_s:
                raise RuntimeError(f"only {self._connected} of {self.viewers + 1} could connect")
            self._listen(SETTLE_S)

    def measure(self, seconds: float) -> Level:
        """One level: publishes, pauses, publishes for so long, and pauses."""
        self._play(WARM_UP_S)
        self._settle()
        before = self._moment()
        relay_s, crowd_s = self._cpu_s()
        self._play(seconds)
        self._listen(DRAIN_S)
        relay_after_s, crowd_after_s = self._cpu_s()
        after = self._moment()
        published = after.crowd.sent - before.crowd.sent
        received = after.crowd.received - before.crowd.received
        published_s = published / stream.PACKETS_PER_SECOND
        return Level(
            viewers=self.viewers,
            published=published,
            received=received,
            repaired=after.crowd.recovered - before.crowd.recovered,
            left_out=after.relay.dropped_out - before.relay.dropped_out,
            relay_overflow=after.relay_overflow - before.relay_overflow,
            viewers_overflow=after.viewers_overflow - before.viewers_overflow,
            relay_cores=(relay_after_s - relay_s) / published_s,
            crowd_cores=(crowd_after_s - crowd_s) / published_s,
            bytes_each=(after.crowd.received_bytes - before.crowd.received_bytes) / max(1, received),
            transit_p50_ms=quantile_ms(before.relay, after.relay, 0.50),
            transit_p99_ms=quantile_ms(before.relay, after.relay, 0.99),
        )

    def _publish(self) -> None:
        ours, theirs = self._connect(PUBLISHER)
        self.relay.set_receiving(PUBLISHER, EXTENSIONS, [VIDEO])
        self.relay.add_track(TRACK, PUBLISHER, "video", "v", [_native.Layer(ssrc=PUBLISHER_SSRC)], nack=True)
        layers = [(stream.RID, PUBLISHER_SSRC, PUBLISHER_SSRC + 1)]
        self.crowd.publish(PUBLISHER, EXTENSIONS, video=("v", 96, 97, layers))
        self.crowd.set_layers(PUBLISHER, [])
        self.crowd.set_keys(PUBLISHER, PROFILE, ours, theirs)

    def _connect(self, peer: int) -> tuple[bytes, bytes]:
        """A new member, known to the relay; what it and what the relay encrypts with."""
        ufrag, pwd = secrets.token_hex(4), secrets.token_hex(16)
        ours, theirs = secrets.token_bytes(KEY_BYTES), secrets.token_bytes(KEY_BYTES)
        self.relay.add_peer(peer, ufrag, pwd)
        self.relay.set_keys(peer, PROFILE, theirs, ours)
        self.crowd.add(peer, HOST, self.relay.port, ufrag, pwd, secrets.token_hex(4))
        return ours, theirs

    def _play(self, seconds: float) -> None:
        self.crowd.set_layers(PUBLISHER, [stream.RID])
        self._listen(seconds)
        self.crowd.set_layers(PUBLISHER, [])

    def _settle(self) -> None:
        """Until nothing comes any more."""
        received = -1
        for _ in range(SETTLE_TRIES):
            self._listen(SETTLE_S)
            before, received = received, self._counts().received
            if received == before:
                return
        raise RuntimeError("packets still come long after the last was published")

    def _moment(self) -> Moment:
        """While nothing flows: what the relay counted it tells a second later."""
        crowd = self._counts()
        self._listen(STATISTICS_S)
        if self._statistics is None:
            raise RuntimeError("the relay tells no statistics")
        if self._statistics.panics or self._statistics.events_dropped or crowd.wrong:
            raise RuntimeError("the relay did not forward rightly")
        relay_overflow, viewers_overflow = overflows(Path("/proc/self/net/udp").read_text(), self.relay.port)
        return Moment(crowd, self._statistics, relay_overflow, viewers_overflow)

    def _cpu_s(self) -> tuple[float, float]:
        """Of the relay's thread and the crowd's."""
        pid = os.getpid()
        return cpu.thread_cpu_s(pid, self._relay_thread), cpu.thread_cpu_s(pid, self._crowd_thread)

    def _counts(self) -> _native.CrowdCounts:
        self.crowd.count()
        deadline_s = time.monotonic() + CONNECT_TIMEOUT_S
        while not self._counted:
            if time.monotonic() > deadline_s:
                raise RuntimeError("the crowd does not answer")
            self._listen(0.01)
        return self._counted.pop()

    def _listen(self, seconds: float) -> None:
        """Takes what relay and crowd tell, for so long."""
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0:
            select.select([self.relay.event_fd(), self.crowd.event_fd()], [], [], left_s)
            for event in self.relay.drain():
                if isinstance(event, _native.Stats):
                    self._statistics = event.relay
            for news in self.crowd.drain():
                if isinstance(news, _native.PeerConnected):
                    self._connected += 1
                elif isinstance(news, _native.CrowdCounts):
                    self._counted.append(news)


def overflows(table: str, relay_port: int) -> tuple[int, int]:
    """Datagrams that found no room in the socket at this port, and in all others (proc(5), /proc/net/udp)."""
    relay = others = 0
    for row in table.splitlines()[1:]:
        fields = row.split()
        drops = int(fields[-1])
        if int(fields[1].rpartition(":")[2], 16) == relay_port:
            relay += drops
        else:
            others += drops
    return relay, others


def allow_sockets(viewers: int) -> int:
    """Lets this process have a socket for each; how many viewers that is for."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = viewers + SPARE_SOCKETS
    possible = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))
    return possible - SPARE_SOCKETS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=STEP, help="viewers at first")
    parser.add_argument("--step", type=int, default=STEP, help="viewers more in each level")
    parser.add_argument("--most", type=int, default=10_000, help="viewers at most")
    parser.add_argument("--seconds", type=float, default=8, help="measured in each level")
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        parser.error("the relay needs one core, and its viewers another")
    most = allow_sockets(arguments.most)
    print(f"{cpu.model()}; load before: {os.getloadavg()[0]:.1f}", flush=True)
    best: Level | None = None
    fan = Fan(relay_core=cores[1], crowd_core=cores[0])
    if not fan.is_preferred:
        print("What else runs here may make the viewers lose packets: they may not be preferred.", flush=True)
    try:
        for viewers in range(arguments.first, most + 1, arguments.step):
            fan.add_viewers(viewers - fan.viewers)
            level = fan.measure(arguments.seconds)
            print(level.line(), flush=True)
            if not level.is_held:
                print(level.why_not_held(), flush=True)
                break
            best = level
        else:
            print("All of these were held: the relay was not at its end.", flush=True)
    finally:
        fan.close()
    if best is None:
        sys.exit("Packets were missing from the first level on.")
    print(json.dumps(best.figures()))


if __name__ == "__main__":
    main()
