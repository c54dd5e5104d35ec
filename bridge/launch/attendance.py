"""Keeps who is in an event from when to when, and how good its line is, while it happens.

It is told of comings and goings as a `Witness` and only notes them then; a task writes about once a second, in one
transaction however many came. What a dead server left open is closed at the next start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa
import structlog

from bridge.ids import ParticipantId, SessionFormat, SessionId, new_id
from bridge.launch.presences import Presence, Presences
from bridge.livesession import LiveSession
from bridge.messages import ChatLine, LeaveReason
from bridge.participant import Participant

WRITTEN_EVERY_S = 1.0
LOOKED_EVERY_MS = 5_000
"""At lines."""
SEEN_EVERY_MS = 20_000
"""Written of all who are there: what a crash makes uncertain."""
UNWRITTEN_LIMIT = 20_000
"""Presences that are over and wait for a database that fails; more are given up."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _There:
    """One presence while it goes on."""

    id: str
    who: Participant
    name: str
    joined_at_ms: int
    seen_at_ms: int
    left_at_ms: int | None = None
    line_ms: list[int] = field(default_factory=lambda: [0, 0, 0])
    """Good, weak, bad."""
    written: bool = False

    def row(self) -> Presence:
        grant = self.who.grant
        good_ms, weak_ms, bad_ms = self.line_ms
        return Presence(
            id=self.id,
            session=grant.session,
            participant=self.who.id,
            invite=grant.invite,
            role=grant.role,
            point=grant.point,
            name=self.name,
            joined_at_ms=self.joined_at_ms,
            left_at_ms=self.left_at_ms,
            seen_at_ms=self.seen_at_ms,
            good_ms=good_ms,
            weak_ms=weak_ms,
            bad_ms=bad_ms,
            device=self.who.device,
        )


@dataclass(slots=True, eq=False)
class _Watched:
    session: LiveSession
    there: dict[ParticipantId, _There] = field(default_factory=dict)


class Attendance:
    """Of all events of this server. Implements `bridge.witness.Witness`."""

    def __init__(self, presences: Presences, now_ms: Callable[[], int]) -> None:
        self._presences = presences
        self._now_ms = now_ms
        self._watched: dict[SessionId, _Watched] = {}
        self._unwritten: dict[str, _There] = {}
        self._looked_at_ms = now_ms()
        self._seen_at_ms = now_ms()
        self._writing = asyncio.Lock()

    @property
    def unwritten(self) -> int:
        """Presences that wait to be written."""
        return len(self._unwritten)

    # Told by sessions

    def changed(self, session: LiveSession) -> None:
        """Notes who is new, and who has another name."""
        if session.record.format is not SessionFormat.EVENT:
            return
        watched = self._watched.get(session.id)
        if watched is None or watched.session is not session:
            watched = self._watched[session.id] = _Watched(session)
        for id, who in session.people.items():
            there = watched.there.get(id)
            if there is None or there.who is not who or there.name != who.name:
                watched.there[id] = self._noted(there, who)

    def left(self, session: LiveSession, whom: ParticipantId, reason: LeaveReason) -> None:
        """Notes who is gone. Who was lost was there until its line broke."""
        watched = self._watched.get(session.id)
        there = None if watched is None else watched.there.pop(whom, None)
        if there is not None:
            broke_at_ms = there.who.away_since_ms if reason == "lost" else None
            self._gone(there, self._now_ms() if broke_at_ms is None else broke_at_ms)

    def said(self, session: LiveSession, line: ChatLine) -> None:
        """Not kept here."""

    # Time

    async def run(self) -> None:
        """Looks and writes, for ever. A database that fails is tried again."""
        while True:
            await asyncio.sleep(WRITTEN_EVERY_S)
            self.look()
            await self.write()

    def look(self) -> None:
        """Notes what time brings: sessions that ended, lines."""
        now_ms = self._now_ms()
        for id, watched in list(self._watched.items()):
            if watched.session.ended:
                for there in watched.there.values():
                    self._gone(there, now_ms)
                watched.there.clear()
            if not watched.there:
                del self._watched[id]
        passed_ms = now_ms - self._looked_at_ms
        if passed_ms < LOOKED_EVERY_MS:
            return
        self._looked_at_ms = now_ms
        is_due = now_ms - self._seen_at_ms >= SEEN_EVERY_MS
        if is_due:
            self._seen_at_ms = now_ms
        for watched in self._watched.values():
            for there in watched.there.values():
                self._look_at(there, passed_ms, now_ms)
                if is_due:
                    self._unwritten[there.id] = there

    async def write(self) -> None:
        """Writes what is new. What cannot be written now is kept for the next time."""
        if not self._unwritten and not self._writing.locked():
            return
        async with self._writing:
            taken, self._unwritten = self._unwritten, {}
            if not taken:
                return
            new = [there for there in taken.values() if not there.written]
            changed = [there for there in taken.values() if there.written]
            try:
                await self._presences.write([each.row() for each in new], [each.row() for each in changed])
            except asyncio.CancelledError:
                # The server stops; `close` writes it.
                self._keep(taken)
                raise
            except Exception as error:
                # Whatever the driver raises means the same here.
                _log.error("attendance.failed", error=type(error).__name__, count=len(taken))
                if isinstance(error, sa.exc.IntegrityError):
                    await self._look_which_are_written(new)
                self._keep(taken)
                return
            for there in new:
                there.written = True

    async def close(self) -> None:
        """The server stops: all go now."""
        now_ms = self._now_ms()
        for watched in self._watched.values():
            for there in watched.there.values():
                self._gone(there, now_ms)
        self._watched.clear()
        await self.write()
        if self._unwritten:
            # By now it is known what was written when the server broke off.
            await self.write()

    async def _look_which_are_written(self, new: Sequence[_There]) -> None:
        """Some were after all, when the database said that they could not be; the others still are to be."""
        try:
            written = await self._presences.written([there.id for there in new])
        except Exception as error:
            _log.error("attendance.failed", error=type(error).__name__, count=len(new))
            return
        for there in new:
            there.written = there.id in written

    def _noted(self, there: _There | None, who: Participant) -> _There:
        """A coming, a reload, a name that was changed, or somebody else on a link that was open a moment ago."""
        now_ms = self._now_ms()
        if there is not None and there.who is not who and there.name != who.name:
            broke_at_ms = there.who.away_since_ms
            self._gone(there, now_ms if broke_at_ms is None else broke_at_ms)
            there = None
        if there is None:
            there = _There(new_id(), who, who.name, now_ms, now_ms)
        there.who, there.name = who, who.name
        self._unwritten[there.id] = there
        return there

    def _look_at(self, there: _There, passed_ms: int, now_ms: int) -> None:
        who = there.who
        if not who.connected:
            return
        there.seen_at_ms = now_ms
        quality = who.quality
        if quality is not None:
            there.line_ms[{3: 0, 2: 1}.get(quality, 2)] += min(passed_ms, now_ms - there.joined_at_ms)

    def _gone(self, there: _There, at_ms: int) -> None:
        there.left_at_ms = max(at_ms, there.joined_at_ms)
        there.seen_at_ms = max(there.left_at_ms, there.seen_at_ms)
        self._unwritten[there.id] = there

    def _keep(self, taken: dict[str, _There]) -> None:
        kept = taken | self._unwritten
        over = [id for id, there in kept.items() if there.left_at_ms is not None]
        for id in over[: max(0, len(over) - UNWRITTEN_LIMIT)]:
            _log.error("attendance.given_up")
            del kept[id]
        self._unwritten = kept
