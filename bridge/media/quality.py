"""How good a peer's link is, in four steps, from what the relay measures; pure."""

from __future__ import annotations

from dataclasses import dataclass

LOST, BAD, WEAK, GOOD = 0, 1, 2, 3

# Up to these the link is still good, or weak. With RTX, loss under 2 % is not seen; over 8 % speech suffers. Above
# 300 ms people talk into each other's words (ITU-T G.114 asks for 150 ms one way).
GOOD_LOSS, WEAK_LOSS = 0.02, 0.08
GOOD_RTT_MS, WEAK_RTT_MS = 300, 700
# Share of the new value, so that single bursts do not make the display flicker.
SMOOTHING = 0.4


@dataclass(slots=True)
class LineQuality:
    """Smoothed measurements of one peer, and what of them was told last."""

    rtt_ms: float = 0.0
    loss: float = 0.0
    estimate_bps: int = 0
    silent: bool = False
    told: tuple[int, int, float, int] | None = None

    def measure(self, rtt_us: int, loss: float, estimate_bps: int) -> None:
        if rtt_us > 0:
            rtt_ms = rtt_us / 1000
            self.rtt_ms = rtt_ms if self.rtt_ms == 0 else self.rtt_ms + SMOOTHING * (rtt_ms - self.rtt_ms)
        self.loss += SMOOTHING * (min(max(loss, 0.0), 1.0) - self.loss)
        self.estimate_bps = estimate_bps

    def grade(self) -> int:
        if self.silent:
            return LOST
        if self.loss <= GOOD_LOSS and self.rtt_ms <= GOOD_RTT_MS:
            return GOOD
        if self.loss <= WEAK_LOSS and self.rtt_ms <= WEAK_RTT_MS:
            return WEAK
        return BAD

    def news(self) -> tuple[int, int, float, int] | None:
        """(quality, rtt_ms, loss, estimate_bps) where it differs enough from what was told last to be worth telling."""
        grade = self.grade()
        if self.told is not None and not self._differs(grade, *self.told):
            return None
        self.told = now = (grade, round(self.rtt_ms), round(self.loss, 3), self.estimate_bps)
        return now

    def _differs(
        self, grade: int, told_grade: int, told_rtt_ms: int, told_loss: float, told_bps: int
    ) -> bool:
        return (
            grade != told_grade
            or abs(self.rtt_ms - told_rtt_ms) > max(10, told_rtt_ms // 5)
            or abs(self.loss - told_loss) >= 0.01
            or abs(self.estimate_bps - told_bps) > told_bps // 10
        )
