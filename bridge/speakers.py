"""Who speaks, from audio levels (RFC 6464) over time. Pure: the time is an argument."""

from __future__ import annotations

from bridge.ids import ParticipantId

THRESHOLD_DBOV = -50
"""Quiet speech into a laptop lies around -40, a ward's background under -55."""
HOLD_MS = 600
"""A pause between words is no end of speaking."""
SHORTEST_INTERVAL_MS = 334
"""At most three updates a second."""
SILENCE_DBOV = -127


class Speakers:
    """The speakers of one session."""

    def __init__(self) -> None:
        self._levels: dict[ParticipantId, int] = {}
        self._heard_at_ms: dict[ParticipantId, int] = {}
        self._told: tuple[tuple[ParticipantId, int], ...] = ()
        self._told_at_ms = -SHORTEST_INTERVAL_MS
        self._main: ParticipantId | None = None

    @property
    def told(self) -> tuple[tuple[ParticipantId, int], ...]:
        """The speakers last told, with their levels in dBov, loudest first."""
        return self._told

    @property
    def main(self) -> ParticipantId | None:
        """Who to show: stays while that one speaks on, and in silence."""
        return self._main

    def hear(self, participant: ParticipantId, level_dbov: int, now_ms: int) -> None:
        """A new level; it stands until the next one."""
        before = self._levels.get(participant, SILENCE_DBOV)
        self._levels[participant] = level_dbov
        if level_dbov > THRESHOLD_DBOV or before > THRESHOLD_DBOV:
            self._heard_at_ms[participant] = now_ms

    def forget(self, participant: ParticipantId) -> None:
        """Its microphone is gone, muted or no longer forwarded."""
        self._levels.pop(participant, None)
        self._heard_at_ms.pop(participant, None)
        if self._main == participant:
            self._main = None

    def update(self, now_ms: int) -> tuple[tuple[ParticipantId, int], ...] | None:
        """The speakers if they changed and it is time to tell, else None."""
        if now_ms - self._told_at_ms < SHORTEST_INTERVAL_MS or not (self._levels or self._told):
            return None
        speaking = self._speaking(now_ms)
        names = [name for name, _ in speaking]
        if self._main not in names and names:
            self._main = names[0]
        if speaking == self._told:
            return None
        self._told, self._told_at_ms = speaking, now_ms
        return speaking

    def _speaking(self, now_ms: int) -> tuple[tuple[ParticipantId, int], ...]:
        speaking = [
            (name, level)
            for name, level in self._levels.items()
            if level > THRESHOLD_DBOV or now_ms - self._heard_at_ms.get(name, now_ms - HOLD_MS) < HOLD_MS
        ]
        return tuple(sorted(speaking, key=lambda speaker: -speaker[1]))
