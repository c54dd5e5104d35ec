"""How long a receiver's pictures are held down after its link made one worse, lest they go up and down; pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

# After a picture was lowered none of the same receiver is raised for so long; each raise that did not last doubles it.
HOLD_S = 3.0
LONGEST_HOLD_S = 12.0
LASTED_S = 20.0


@dataclass(slots=True)
class Hold:
    """Times are of one clock in seconds. `length_s`: how long the newest hold is or was."""

    until_s: float = -math.inf
    length_s: float = HOLD_S
    raised_s: float = -math.inf

    def allows_raising(self, now_s: float) -> bool:
        return now_s >= self.until_s

    def raised(self, now_s: float) -> None:
        self.raised_s = now_s

    def lowered(self, now_s: float) -> None:
        lasted = now_s - self.raised_s > LASTED_S
        self.length_s = HOLD_S if lasted else min(self.length_s * 2, LONGEST_HOLD_S)
        self.until_s = now_s + self.length_s
