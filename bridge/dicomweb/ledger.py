"""What of the objects that were kept still has to be written into the audit.

An object that is sealed stays, whatever the audit's disk does; and who sends it again sends nothing new. So what could
not be written is owed, and tried again: for whoever sends next, before anything more is taken, and now and then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from bridge.audit import Entry

Write = Callable[..., Awaitable[None]]
"""Entries. Raises AuditError, BridgeError; then none of them counts as written."""


class Ledger:
    """For one event loop. What is owed is bounded by the uploads that run at one time: all others settle first."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._owed: list[Entry] = []
        self._writing = asyncio.Lock()

    @property
    def owed(self) -> int:
        """How many entries."""
        return len(self._owed)

    async def record(self, *entries: Entry) -> None:
        """Returns when the audit has these; goes on if who waits for it goes away.

        Raises AuditError, BridgeError: nothing may be told as kept then.
        """
        self._owed += entries
        await asyncio.shield(asyncio.ensure_future(self.settle()))

    async def settle(self) -> None:
        """Writes what is owed. Raises AuditError, BridgeError."""
        async with self._writing:
            if entries := tuple(self._owed):
                await self._write(*entries)
                del self._owed[: len(entries)]
