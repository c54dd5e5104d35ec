"""What a live session shows of its recording, and whom it tells of what happens in it. Decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from bridge.ids import ParticipantId, RecordingId
from bridge.messages import ChatLine, LeaveReason, RecordingObject

if TYPE_CHECKING:
    from bridge.livesession import LiveSession


@dataclass(slots=True)
class Recording:
    """A recording that runs. `trouble` (None, `diskFull`, `readOnly`, `io`, `slow`): it cannot be written now."""

    id: RecordingId
    started_at_ms: int
    paused: bool = False
    trouble: str | None = None
    lost_ms: int = 0

    def to_wire(self, *, trouble_too: bool) -> RecordingObject:
        return RecordingObject(
            id=self.id,
            state="paused" if self.paused else "recording",
            started_at=self.started_at_ms,
            trouble=self.trouble if trouble_too else None,
            lost_ms=self.lost_ms,
        )


class Witness(Protocol):
    """Who keeps what happens. Nothing here waits or raises, and nothing may be missed because of it."""

    def changed(self, session: LiveSession) -> None:
        """People, names, consents, the stage, hands or tracks may be different now; may be told for nothing."""

    def left(self, session: LiveSession, whom: ParticipantId, reason: LeaveReason) -> None:
        """Somebody goes now, and why."""

    def said(self, session: LiveSession, line: ChatLine) -> None:
        """A line of chat."""


class Memory(Protocol):
    """Who knows how a session was before the server started again."""

    async def recall(self, session: LiveSession) -> None:
        """Puts that into a session that is loaded. What cannot be known any more is left as it is."""


class NoMemory:
    """Nothing is known of before."""

    async def recall(self, session: LiveSession) -> None:
        """Leaves it as it is."""


class Witnesses:
    """Several of them, told in their order."""

    def __init__(self, *witnesses: Witness) -> None:
        self._witnesses = witnesses

    def changed(self, session: LiveSession) -> None:
        for witness in self._witnesses:
            witness.changed(session)

    def left(self, session: LiveSession, whom: ParticipantId, reason: LeaveReason) -> None:
        for witness in self._witnesses:
            witness.left(session, whom, reason)

    def said(self, session: LiveSession, line: ChatLine) -> None:
        for witness in self._witnesses:
            witness.said(session, line)
