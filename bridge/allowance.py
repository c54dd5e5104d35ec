"""How much of something somebody may do: so much at once, and so much more a second. Pure: the time is an argument."""

from __future__ import annotations

from bridge.errors import LimitExceeded


class Allowance:
    """A bucket that refills with time."""

    __slots__ = ("_burst", "_counted_ms", "_left", "_per_s")

    def __init__(self, burst: float, per_s: float, now_ms: int) -> None:
        self._burst = self._left = burst
        self._per_s = per_s
        self._counted_ms = now_ms

    def spend(self, now_ms: int, text: str, amount: float = 1) -> None:
        """Takes so much. Raises LimitExceeded (`tooMany`) with this text, and takes nothing, if there is less."""
        elapsed_ms = max(0, now_ms - self._counted_ms)
        self._left = min(self._burst, self._left + elapsed_ms * self._per_s / 1000)
        self._counted_ms = now_ms
        if self._left < amount:
            raise LimitExceeded(text)
        self._left -= amount

    def is_whole(self, now_ms: int) -> bool:
        """Nothing is spent of it any more: a new one is as good."""
        return self._left + max(0, now_ms - self._counted_ms) * self._per_s / 1000 >= self._burst

    def give_back(self) -> None:
        """What was spent last does not count here after all."""
        self._left = min(self._burst, self._left + 1)
