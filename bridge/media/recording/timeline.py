"""Where on the session's clock a stream's RTP time stamps lie, told from when its packets arrived; no I/O, no clock.

The least delayed packets tell the truth (RFC 3550 section 6.4.1 on jitter; the relay's clock is one for all tracks), so
the offset is the smallest of the last seconds. Within a part it is one constant: frames keep the sender's own spacing,
and corrections, small ones, happen only between parts. Sound and pictures of one publisher take the same path, so what
the path adds is the same to both.
"""

from __future__ import annotations

from collections import deque

# The offset is the smallest of this long.
WINDOW_US = 10_000_000
BUCKET_US = 1_000_000
# Corrections below are not worth a seam.
DEAD_BAND_US = 4_000
# A packet can be late but never early, so a smaller offset is nearer the truth and taken soon; a greater one means
# clocks that drift (crystals: at most 0.1 ms a second) or a path that became longer, which must not stretch time.
MAX_DOWN_US = 20_000
MAX_UP_US_PER_S = 1_000
# Time stamps and arrival that part by this much at one packet: the source stood still, began anew, or the line did.
LEAP_US = 500_000
# After such a leap, the old offset is still right if the new one is this near: only the line had stood still.
SAME_US = 400_000
# What the line held back comes in a rush in which each frame is less late than the one before, until it has drained.
DRAINED_US = 300_000
LONGEST_DRAIN_US = 2_000_000

_HALF, _MASK = 1 << 31, (1 << 32) - 1


class StreamClock:
    """The clock of one RTP stream. `origin_us`: the session's zero on the clock of arrivals."""

    def __init__(self, rate_hz: int, origin_us: int) -> None:
        self.rate_hz = rate_hz
        self._origin_us = origin_us
        self._last: tuple[int, int, int] | None = None
        self._fresh = True
        self._leapt_us = 0
        self._improved_us = 0
        self._offset_us: int | None = None
        self._settled_us = 0
        self._least: deque[tuple[int, int]] = deque()

    def leaps(self, timestamp: int, arrived_us: int) -> bool:
        """Whether the part before must end here, since time stamps and arrival part; asked before `stamp`."""
        if self._last is None:
            return False
        last_timestamp, _, last_arrived_us = self._last
        step = _step(last_timestamp, timestamp)
        return abs(arrived_us - last_arrived_us - self.us(step)) > LEAP_US

    def stamp(self, timestamp: int, arrived_us: int) -> int:
        """Notes one frame, in the order of the stream. Returns its ticks, which never wrap."""
        if self.leaps(timestamp, arrived_us):
            self._fresh = True
            self._leapt_us = self._improved_us = arrived_us
            self._least.clear()
        ticks = timestamp
        if self._last is not None:
            last_timestamp, last_ticks, _ = self._last
            ticks = last_ticks + _step(last_timestamp, timestamp)
        self._last = (timestamp, ticks, arrived_us)
        self._note(arrived_us, arrived_us - self.us(ticks))
        return ticks

    def us(self, ticks: int) -> int:
        return ticks * 1_000_000 // self.rate_hz

    @property
    def settling(self) -> bool:
        """After a leap: whether it is too early to tell what it was, so that the part should stay open."""
        if not self._fresh or self._last is None:
            return False
        now_us = self._last[2]
        return now_us - self._improved_us < DRAINED_US and now_us - self._leapt_us < LONGEST_DRAIN_US

    def place(self, first_ticks: int) -> int:
        """Where on the session's clock a part begins whose first frame this is; corrects the offset where needed.

        To be called once a part, when all its frames are known: what came after the first tells how late that was.
        """
        self._offset_us = self._settle()
        return self.us(first_ticks) + self._offset_us - self._origin_us

    def _note(self, arrived_us: int, sample_us: int) -> None:
        if not self._least or arrived_us - self._least[-1][0] >= BUCKET_US:
            self._least.append((arrived_us, sample_us))
            while arrived_us - self._least[0][0] > WINDOW_US:
                self._least.popleft()
        elif sample_us < self._least[-1][1]:
            if self._least[-1][1] - sample_us >= DEAD_BAND_US:
                self._improved_us = arrived_us
            self._least[-1] = (self._least[-1][0], sample_us)

    def _settle(self) -> int:
        target_us = min(sample_us for _, sample_us in self._least)
        now_us = self._least[-1][0]
        elapsed_s = max(0, now_us - self._settled_us) / 1_000_000
        self._settled_us = now_us
        offset_us = self._offset_us
        fresh, self._fresh = self._fresh, False
        if offset_us is None:
            return target_us
        error_us = target_us - offset_us
        if fresh and abs(error_us) > SAME_US:
            return target_us
        if fresh or abs(error_us) < DEAD_BAND_US:
            return offset_us
        return offset_us + max(-MAX_DOWN_US, min(error_us, int(MAX_UP_US_PER_S * elapsed_s), MAX_DOWN_US))


def _step(earlier: int, later: int) -> int:
    """From one 32-bit time stamp to another, the short way round."""
    return (later - earlier + _HALF & _MASK) - _HALF
