"""The organisers' wall of an event: a small picture of every point, some seconds old, while somebody looks at it.

Pictures are taken one after the other, evenly spread, and only the newest of each is kept, in memory. Who may look is
asked before. It knows media by its contract only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from bridge.errors import BridgeError
from bridge.ids import ParticipantId, Role, SessionId
from bridge.livesession import LiveSession
from bridge.lobby import Lobby
from bridge.media.contract import Snapshots, Source
from bridge.participant import Publication

EVERY_MS = 5_000
"""How old a picture gets before another one is taken."""
AFTER_FAILURE_MS = 20_000
"""A camera that gave no picture is not asked again at once."""
WATCHED_FOR_MS = 20_000
"""After somebody last asked for the pictures of a wall, none are taken any more."""
AT_ONCE = 16
"""Forty a second in all, each under way for the third of a second that a keyframe takes to come."""
TICK_S = 0.1
SILENT_DBOV = -60
"""Below it nobody speaks."""
ANSWER_LIMIT_BYTES = 1 << 20

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Still:
    """`number` grows with every picture of the wall."""

    participant: ParticipantId
    number: int
    taken_at_ms: int
    jpeg: bytes


@dataclass(slots=True)
class _Watched:
    """One event's wall while somebody looks at it."""

    looked_at_ms: int
    number: int = 0
    stills: dict[ParticipantId, Still] = field(default_factory=dict)
    due_ms: dict[ParticipantId, int] = field(default_factory=dict)
    under_way: set[ParticipantId] = field(default_factory=set)


class Wall:
    """The walls of this server."""

    def __init__(self, lobby: Lobby, snapshots: Snapshots, now_ms: Callable[[], int]) -> None:
        self._lobby = lobby
        self._snapshots = snapshots
        self._now_ms = now_ms
        self._watched: dict[SessionId, _Watched] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._somebody_looks = asyncio.Event()

    def look(self, session: SessionId, after: int) -> tuple[int, list[Still]]:
        """The pictures taken after that number, the oldest first, and the number to ask with the next time."""
        wall = self._watched.setdefault(session, _Watched(self._now_ms()))
        wall.looked_at_ms = self._now_ms()
        self._somebody_looks.set()
        if after > wall.number:
            # Of before a restart, or before nobody looked.
            after = 0
        fresh = sorted(
            (one for one in wall.stills.values() if one.number > after), key=lambda one: one.number
        )
        size_bytes = 0
        for count, one in enumerate(fresh):
            size_bytes += len(one.jpeg)
            if size_bytes > ANSWER_LIMIT_BYTES and count > 0:
                return fresh[count - 1].number, fresh[:count]
        return wall.number, fresh

    def levels(self, session: SessionId) -> dict[ParticipantId, int]:
        """How loud the points are, in dBov; those that are silent or muted are left out."""
        live = self._lobby.find(session)
        if live is None:
            return {}
        return {
            publication.participant: publication.level_dbov
            for publication in live.publications.values()
            if publication.level_dbov is not None
            and publication.level_dbov > SILENT_DBOV
            and not publication.silent
        }

    async def run(self) -> None:
        """Takes pictures while somebody looks; ends by being cancelled."""
        try:
            while True:
                if not self._watched:
                    self._somebody_looks.clear()
                    await self._somebody_looks.wait()
                self._tick()
                await asyncio.sleep(TICK_S)
        finally:
            for task in self._tasks:
                task.cancel()

    def _tick(self) -> None:
        now_ms = self._now_ms()
        for id, wall in list(self._watched.items()):
            session = self._lobby.find(id)
            if session is None or now_ms - wall.looked_at_ms > WATCHED_FOR_MS:
                del self._watched[id]
                continue
            cameras = _cameras(session)
            for gone in wall.stills.keys() - cameras.keys():
                del wall.stills[gone]
            wall.due_ms = {who: due_ms for who, due_ms in wall.due_ms.items() if who in cameras}
            # A tick's share of them, so that they stay spread.
            share = max(1, round(len(cameras) * TICK_S * 1000 / EVERY_MS))
            for who in sorted(cameras, key=lambda who: wall.due_ms.get(who, 0)):
                if share == 0 or len(self._tasks) >= AT_ONCE or wall.due_ms.get(who, 0) > now_ms:
                    break
                if who not in wall.under_way:
                    share -= 1
                    self._start(wall, who, cameras[who])
        if self._watched:
            # The first to be served is the last the next time, where there is not enough for all.
            first = next(iter(self._watched))
            self._watched[first] = self._watched.pop(first)

    def _start(self, wall: _Watched, who: ParticipantId, camera: Publication) -> None:
        wall.due_ms[who] = self._now_ms() + EVERY_MS
        wall.under_way.add(who)
        task = asyncio.get_running_loop().create_task(self._take(wall, who, camera))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self, wall: _Watched, who: ParticipantId, camera: Publication) -> None:
        try:
            jpeg = await self._snapshots.take(camera.track.track)
        except BridgeError as error:
            wall.due_ms[who] = self._now_ms() + AFTER_FAILURE_MS
            _log.debug("wall.no_picture", participant=who, code=error.code)
        except Exception:
            # Whatever it is, it is one point's: nobody waits for this task, and the others' pictures go on.
            wall.due_ms[who] = self._now_ms() + AFTER_FAILURE_MS
            _log.exception("wall.failed", participant=who)
        else:
            wall.number += 1
            wall.stills[who] = Still(who, wall.number, self._now_ms(), jpeg)
        finally:
            wall.under_way.discard(who)


def _cameras(session: LiveSession) -> dict[ParticipantId, Publication]:
    """Of the points: their cameras that are on and send."""
    found: dict[ParticipantId, Publication] = {}
    for publication in session.publications.values():
        owner = session.people.get(publication.participant)
        is_point = owner is not None and owner.grant.role is Role.SATELLITE
        if (
            is_point
            and publication.track.source is Source.CAMERA
            and publication.flowing
            and not publication.silent
        ):
            found[publication.participant] = publication
    return found
