"""Which simulcast layer of a track is kept: the highest that flows, changed only at a keyframe; pure decisions."""

from __future__ import annotations

# The current layer stands still if others flowed on for this long after its last packet.
STALLED_US = 750_000
# A layer counts as flowing while its last packet is no older.
FLOWING_US = 500_000


class LayerChoice:
    def __init__(self) -> None:
        self.current: int | None = None
        self._last_us: dict[int, int] = {}

    def arrived(self, layer: int, now_us: int) -> bool:
        """Notes a packet. Returns whether it may come to matter: it is of the layer kept or of one that may follow."""
        self._last_us[layer] = now_us
        return self.current is None or layer >= self.current or self._stalled(now_us)

    def takes(self, layer: int, now_us: int) -> bool:
        """Whether a keyframe of this layer makes it the one that is kept."""
        if self.current is None or layer >= self.current:
            return True
        if not self._stalled(now_us):
            return False
        flowing = [known for known, last_us in self._last_us.items() if now_us - last_us < FLOWING_US]
        return layer >= max(flowing, default=layer)

    def _stalled(self, now_us: int) -> bool:
        if self.current is None:
            return False
        return now_us - self._last_us.get(self.current, now_us) >= STALLED_US
