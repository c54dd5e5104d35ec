"""Puts the packets of one stream in order again and waits a bounded while for late ones; what stays missing is said.

Time is the packets' own arrival; it knows no clock and no codec.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from bridge.media.recording.samples import Codec

# The relay asks for a lost packet again after each round trip. Longer waiting would put what came since at risk.
VIDEO_WAIT_US = 700_000
# Sound is not retransmitted: only overtaking needs patience.
AUDIO_WAIT_US = 200_000
# The first packets may overtake each other too, and nothing says yet which is the first.
START_WAIT_US = 100_000
# Bounds of what waits behind a hole.
MAX_HELD_PACKETS = 2_048
MAX_HELD_BYTES = 2 << 20
# A longer jump is a stream that began anew (the relay gives it numbers far up), not so many packets lost.
MAX_HOLE = 1_000


class Packet(Protocol):
    """What a tap gives (`_native.TapPacket`)."""

    @property
    def layer(self) -> int: ...
    @property
    def codec(self) -> Codec: ...
    @property
    def arrived_us(self) -> int: ...
    @property
    def sequence(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def marker(self) -> bool: ...
    @property
    def keyframe_start(self) -> bool: ...
    @property
    def payload(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Hole:
    """Packets that did not come. `packets` 0: the stream began anew, so that it is not known how many."""

    packets: int


class ReorderWindow:
    """`late` counts packets that came after they had been given up, and duplicates."""

    def __init__(self, wait_us: int) -> None:
        self.late = 0
        self._wait_us = wait_us
        self._expected = -1
        self._started_us: int | None = None
        self._highest = 0
        self._held: dict[int, Packet] = {}
        self._held_bytes = 0
        self._hole_since_us = 0

    def push(self, packet: Packet) -> list[Packet | Hole]:
        """What is in order now; usually just this packet."""
        if packet.sequence == self._expected and not self._held:
            self._highest = packet.sequence
            self._expected += 1
            return [packet]
        return list(self._unusual(packet))

    def expire(self, now_us: int) -> list[Packet | Hole]:
        """What is let go because it waited long enough for what is missing."""
        if self._expected < 0:
            waited = self._started_us is not None and now_us - self._started_us >= START_WAIT_US
            return self._start() if waited else []
        return list(self._give_up(lambda: now_us - self._hole_since_us >= self._wait_us))

    def flush(self) -> list[Packet | Hole]:
        return [*self._start(), *self._give_up(lambda: True)]

    def _start(self) -> list[Packet | Hole]:
        if self._expected < 0 and self._held:
            self._expected = min(self._held)
        return list(self._release())

    def _unusual(self, packet: Packet) -> Iterator[Packet | Hole]:
        if packet.sequence < self._expected or packet.sequence in self._held:
            self.late += 1
            return
        if self._started_us is None:
            self._started_us, self._highest = packet.arrived_us, packet.sequence
        if packet.sequence > self._highest + MAX_HOLE:
            yield from self._start()
            yield from self._give_up(lambda: True)
            yield Hole(0)
            self._expected = packet.sequence
        if not self._held:
            self._hole_since_us = packet.arrived_us
        self._highest = max(self._highest, packet.sequence)
        self._held[packet.sequence] = packet
        self._held_bytes += len(packet.payload)
        if self._expected >= 0:
            yield from self._release()
        yield from self.expire(packet.arrived_us)
        if self._expected < 0 and len(self._held) > MAX_HELD_PACKETS:
            yield from self._start()
        yield from self._give_up(
            lambda: len(self._held) > MAX_HELD_PACKETS or self._held_bytes > MAX_HELD_BYTES
        )

    def _release(self) -> Iterator[Packet | Hole]:
        """What follows without a hole."""
        released = False
        while (packet := self._held.pop(self._expected, None)) is not None:
            released = True
            self._expected += 1
            self._held_bytes -= len(packet.payload)
            yield packet
        if released and self._held:
            # The next hole was seen when the packet behind it came.
            self._hole_since_us = self._held[min(self._held)].arrived_us

    def _give_up(self, due: Callable[[], bool]) -> Iterator[Packet | Hole]:
        while self._held and due():
            following = min(self._held)
            yield Hole(following - self._expected)
            self._expected = following
            yield from self._release()
