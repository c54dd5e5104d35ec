"""A line between two TUN devices with a delay, loss, a rate and an off switch; runs as a process of its own.

Used instead of the kernel's netem, which not every kernel has. Settings come as JSON lines on standard input, so that a
test can change the line while it is in use. Loss is drawn from a seeded generator; order is kept.

    python -m tests.netns.line DEVICE DEVICE SEED
"""

from __future__ import annotations

import fcntl
import heapq
import itertools
import json
import os
import random
import select
import struct
import sys
import time
from dataclasses import dataclass, field

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
MTU_BYTES = 2048
QUEUE_PACKETS = 2000
"""A real bottleneck's buffer: what comes on top is lost."""


@dataclass
class Setting:
    """What the line does with each packet, the same both ways. `rate_bps` 0 means without a limit.

    `queue_ms` is how long a packet may wait for its turn on a line with a rate; what would wait longer is lost. 0 means
    that only the number of packets bounds the queue.
    """

    delay_ms: float = 0.0
    loss: float = 0.0
    rate_bps: float = 0.0
    queue_ms: float = 0.0
    up: bool = True


@dataclass
class Way:
    """One direction: packets wait here until they are due."""

    out: int
    setting: Setting
    chance: random.Random
    waiting: list[tuple[float, int, bytes]] = field(default_factory=list)
    free_at_s: float = 0.0
    order: itertools.count[int] = field(default_factory=itertools.count)

    def take(self, packet: bytes, now_s: float) -> None:
        setting = self.setting
        lost = self.chance.random() < setting.loss
        if lost or not setting.up or len(self.waiting) >= QUEUE_PACKETS:
            return
        leaves_s = max(now_s, self.free_at_s)
        if setting.queue_ms and leaves_s - now_s > setting.queue_ms / 1000:
            return
        if setting.rate_bps:
            leaves_s += len(packet) * 8 / setting.rate_bps
            self.free_at_s = leaves_s
        heapq.heappush(self.waiting, (leaves_s + setting.delay_ms / 1000, next(self.order), packet))

    def give(self, now_s: float) -> None:
        while self.waiting and self.waiting[0][0] <= now_s:
            packet = heapq.heappop(self.waiting)[2]
            try:
                os.write(self.out, packet)
            except OSError:
                continue  # the device is down for a moment: that packet is lost, as on a real line


def open_tun(name: str) -> int:
    """A TUN device without packet information, made here; the caller moves it to a namespace."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return device


def run(names: tuple[str, str], seed: int) -> None:
    """Pumps packets until standard input ends."""
    setting = Setting()
    left, right = (open_tun(name) for name in names)
    ways = {
        left: Way(right, setting, random.Random(seed)),
        right: Way(left, setting, random.Random(seed + 1)),
    }
    print("ready", flush=True)
    poll = select.poll()
    for source in (left, right, 0):
        poll.register(source, select.POLLIN)
    while True:
        now_s = time.monotonic()
        due = [way.waiting[0][0] for way in ways.values() if way.waiting]
        timeout_ms = max(0.0, (min(due) - now_s) * 1000) if due else 100.0
        for source, _ in poll.poll(timeout_ms):
            if source == 0:
                line = sys.stdin.readline()
                if not line:
                    return
                for key, value in json.loads(line).items():
                    setattr(setting, key, value)
                print("set", flush=True)
            else:
                read_all(source, ways[source])
        now_s = time.monotonic()
        for way in ways.values():
            way.give(now_s)


def read_all(source: int, way: Way) -> None:
    for _ in range(256):
        try:
            packet = os.read(source, MTU_BYTES)
        except BlockingIOError:
            return
        except OSError:
            return  # the device is down
        way.take(packet, time.monotonic())


if __name__ == "__main__":
    run((sys.argv[1], sys.argv[2]), int(sys.argv[3]))
