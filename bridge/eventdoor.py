"""An event's door: whether people are let in one by one, or nobody new at all, who is known there, and who waits.

Policy only, and in memory: no socket, no store. Where those who wait stand in line decides `admission`.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Iterable
from dataclasses import dataclass, field

from bridge.auth import Grant
from bridge.ids import ParticipantId
from bridge.messages import WaitingObject
from bridge.participant import Outlet

PASSES_KEPT = 2000
"""Of those who left links of many: as many as may be invited to the largest event."""


class Known(enum.Enum):
    """Whether somebody has been let in before."""

    NO = enum.auto()
    BEFORE_RESTART = enum.auto()
    """Nobody asks it again, but it comes with all the others."""
    HERE = enum.auto()


@dataclass(slots=True, eq=False)
class Knock:
    """Somebody who asked to come in. It comes in when its `turn` is set."""

    id: str
    grant: Grant
    name: str
    outlet: Outlet
    since_at_ms: int
    door: EventDoor | None
    known: Known = Known.NO
    admitted: bool = False
    """A moderator said so."""
    paced: bool = False
    """It has waited in the queue already."""
    place_told: int = 0
    told_at_ms: int = 0
    turn: asyncio.Event = field(default_factory=asyncio.Event)

    def to_wire(self) -> WaitingObject:
        return WaitingObject(
            id=self.id,
            name=self.name,
            role=self.grant.role.value,
            point=self.grant.point,
            since_at=self.since_at_ms,
        )


class EventDoor:
    """The door of one event."""

    def __init__(self, lobby: bool, locked: bool, attended: Iterable[ParticipantId] = ()) -> None:
        self.lobby = lobby
        self.locked = locked
        self.knocks: dict[str, Knock] = {}
        """All who wait, for whatever reason."""
        self.in_lobby: dict[str, Knock] = {}
        """Of these, whom moderators may let in: the longest first."""
        self.lobby_is_news = False
        self.lobby_told_at_ms = 0
        self._expected = set(attended)
        """Whose seats were taken before a restart: one may come back on each."""
        self._inside: set[ParticipantId] = set()
        self._passes: dict[bytes, None] = {}

    def known(self, seat: ParticipantId, alone: bool, resume_digest: bytes | None) -> Known:
        """Whether who comes on this seat has been let in before. `alone`: its link has this seat only.

        On a link of many the seat proves nothing, for anybody with the link may take a free one.
        """
        if (alone and seat in self._inside) or resume_digest in self._passes:
            return Known.HERE
        return Known.BEFORE_RESTART if seat in self._expected else Known.NO

    def came_in(self, seat: ParticipantId, alone: bool) -> None:
        """Somebody took that seat."""
        self._expected.discard(seat)
        if alone:
            self._inside.add(seat)

    def went_out(self, resume_digest: bytes) -> None:
        """Somebody left who may come back with this."""
        self._passes[resume_digest] = None
        if len(self._passes) > PASSES_KEPT:
            del self._passes[next(iter(self._passes))]

    def wait_in_lobby(self, knock: Knock) -> None:
        self.in_lobby[knock.id] = knock
        self.lobby_is_news = True

    def leave_lobby(self, knock: Knock) -> None:
        """May be repeated."""
        if self.in_lobby.pop(knock.id, None) is not None:
            self.lobby_is_news = True

    def close(self, code: str, text: str) -> None:
        """Sends all away who wait."""
        for knock in self.knocks.values():
            knock.outlet.close(code, text)
