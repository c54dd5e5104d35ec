"""Which pictures can be decoded: after a loss none until a keyframe; and when to ask the publisher for one.

What refers to lost pictures shows wrong ones. A wrong picture could be taken for a finding, one that stands still
cannot.
"""

from __future__ import annotations

from bridge.media.recording.depacketize import Frame

# A sender that answers no request (intra refresh, a plain encoder): what it sends is kept after this, and marked.
PATIENCE_US = 4_000_000
# Without loss too: how far a replay has to decode to show any one moment.
KEYFRAME_EVERY_US = 4_000_000
FIRST_RETRY_US = 1_000_000
LONGEST_RETRY_US = 8_000_000
# From a keyframe's first packet to its last, on a thin line.
PROMISED_US = 1_000_000


class DecodableGate:
    """`waiting`: a keyframe is needed. `damaged`: what is let through refers to lost pictures. `skipped` counts the
    pictures held back."""

    def __init__(self) -> None:
        self.damaged = False
        self.skipped = 0
        self._began = False
        self._waiting_since_us: int | None = None
        self.waiting = True

    def admits(self, frame: Frame) -> bool:
        if frame.sample.keyframe:
            self._let_through(damaged=False)
            return True
        if frame.broken:
            self.waiting = True
        if not self.waiting:
            return True
        if self._waiting_since_us is None:
            self._waiting_since_us = frame.arrived_us
        configured = self._began or frame.sample.configuration is not None
        if configured and frame.arrived_us - self._waiting_since_us >= PATIENCE_US:
            self._let_through(damaged=True)
            return True
        self.skipped += 1
        return False

    def _let_through(self, damaged: bool) -> None:
        self._began, self.waiting, self._waiting_since_us = True, False, None
        self.damaged = damaged


class KeyframeAsking:
    """When to ask the publisher of a track for a keyframe: at once when one is needed, then ever more rarely."""

    def __init__(self) -> None:
        self._last_keyframe_us: int | None = None
        self._asked_us: int | None = None
        self._retry_us = FIRST_RETRY_US
        self._promised_us: int | None = None

    def promised(self, now_us: int) -> None:
        """A keyframe has begun to arrive."""
        self._promised_us = now_us

    def keyframe(self, now_us: int) -> None:
        self._last_keyframe_us = now_us
        self._retry_us = FIRST_RETRY_US

    def due(self, needed: bool, now_us: int) -> bool:
        """Whether to ask now; if so, it counts as asked."""
        last_us = self._last_keyframe_us
        if self._promised_us is not None and now_us - self._promised_us < PROMISED_US:
            return False
        if not needed and last_us is not None and now_us - last_us < KEYFRAME_EVERY_US:
            return False
        if self._asked_us is not None and now_us - self._asked_us < self._retry_us:
            return False
        if self._asked_us is not None and (last_us is None or last_us < self._asked_us):
            self._retry_us = min(2 * self._retry_us, LONGEST_RETRY_US)
        self._asked_us = now_us
        return True
