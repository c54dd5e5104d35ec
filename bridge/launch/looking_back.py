"""Puts together what is known of an event's attendance, for the server and the command line alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bridge.errors import NotFound
from bridge.ids import SessionId
from bridge.launch.book import EventBook
from bridge.launch.presences import Presences
from bridge.launch.report import Report, report


class LookingBack:
    """Reads the tables; names are opened and summed up in a thread."""

    def __init__(self, book: EventBook, presences: Presences, now_ms: Callable[[], int]) -> None:
        self._book = book
        self._presences = presences
        self._now_ms = now_ms

    async def report(self, session: SessionId) -> Report:
        """Of one event; who is there yet counts until now. Raises NotFound if its time is over."""
        if (await self._book.event(session)).attendance_removed_at_ms is not None:
            raise NotFound("Who was in this event was removed when the time to keep it was over.")
        rows = await self._presences.rows(session)
        points = await self._book.points(session, removed_too=True)
        checks, now_ms = await self._book.checks(session), self._now_ms()
        return await asyncio.to_thread(lambda: report(self._presences.opened(rows), points, checks, now_ms))
