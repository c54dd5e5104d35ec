"""How near its limit this server is: calm, strained, or full, from what is measured about once a second.

Pure: measures and time are arguments. What follows from a level is `forwarding`'s and `lobby`'s.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from bridge.messages import LoadName

RISES_AFTER_MS = 3_000
"""One long pause, as of a full collection or a disk, is no load."""
FALLS_AFTER_MS = 10_000
"""What was shed comes back at once when the level falls: it must not fall for a moment only."""
RELIEF = 0.8
"""A level is left when all measures are under this share of its limits."""
VIEWERS_HEIGHT = 360
"""What viewers get at most while the server is strained: the lower layers of whatever is shown."""

_LEVELS: tuple[LoadName, ...] = ("calm", "strained", "full")


@dataclass(frozen=True, slots=True)
class Measures:
    """Shares are from 0 to 1: of all cores, of the one core that the relay's thread can use, of the memory."""

    loop_lag_s: float
    process_cpu: float
    relay_cpu: float
    memory: float

    def reaches(self, limits: Measures, share: float = 1.0) -> bool:
        """Whether any of them is at this share of its limit."""
        return (
            self.loop_lag_s >= limits.loop_lag_s * share
            or self.process_cpu >= limits.process_cpu * share
            or self.relay_cpu >= limits.relay_cpu * share
            # Memory is not given back: nearly under the limit is as good as it gets.
            or self.memory >= limits.memory
        )


STRAINED = Measures(0.3, 0.9, 0.8, 0.93)
FULL_LAG = 10 / 3
"""The event loop may be so many times later before the server is full: a second, where a third of it is strain."""
FULL_SHARE = 0.6
"""Of what is left above the limits of strain, and is used when the server is full."""


def full(strained: Measures) -> Measures:
    """The limits of a full server, from those of a strained one."""

    def above(limit: float) -> float:
        return limit + (1 - limit) * FULL_SHARE

    return Measures(
        strained.loop_lag_s * FULL_LAG,
        above(strained.process_cpu),
        above(strained.relay_cpu),
        above(strained.memory),
    )


class Load:
    """The level of one server. `sheds` False: it is told, and nothing follows from it."""

    def __init__(self, strained: Measures = STRAINED, *, sheds: bool = True) -> None:
        self._sheds = sheds
        self._limits = {"strained": strained, "full": full(strained)}
        self._level = 0
        self._recent: deque[tuple[int, Measures]] = deque(maxlen=100)

    @property
    def level(self) -> LoadName:
        return _LEVELS[self._level]

    @property
    def number(self) -> int:
        """0 calm, 1 strained, 2 full."""
        return self._level

    @property
    def shrinks(self) -> bool:
        """Viewers get smaller pictures."""
        return self._sheds and self._level > 0

    @property
    def refuses(self) -> bool:
        """No more viewers come in."""
        return self._sheds and self._level > 1

    def note(self, measures: Measures, now_ms: int) -> bool:
        """Takes one second's measures; True if the level is another now."""
        self._recent.append((now_ms, measures))
        before = self._level
        if self._level < 2 and self._lasts(RISES_AFTER_MS, now_ms, self._rises):
            self._level += 1
        elif self._level > 0 and self._lasts(FALLS_AFTER_MS, now_ms, self._relieved):
            self._level -= 1
        if self._level != before:
            # The next step waits for as long again.
            self._recent.clear()
        return self._level != before

    def _rises(self, measures: Measures) -> bool:
        return measures.reaches(self._limits[_LEVELS[self._level + 1]])

    def _relieved(self, measures: Measures) -> bool:
        return not measures.reaches(self._limits[self.level], RELIEF)

    def _lasts(self, for_ms: int, now_ms: int, true: Callable[[Measures], bool]) -> bool:
        """Whether it has been so for this long, and was looked at all the while."""
        for at_ms, measures in reversed(self._recent):
            if not true(measures):
                return False
            if now_ms - at_ms >= for_ms:
                return True
        return False
