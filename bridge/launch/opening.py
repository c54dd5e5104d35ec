"""What launch events need before and after they are live, for a running server and for the command line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bridge.imaging.catalogue import installation_key
from bridge.launch.attendance import Attendance
from bridge.launch.book import EventBook
from bridge.launch.looking_back import LookingBack
from bridge.launch.memory import SessionMemory
from bridge.launch.presences import Presences
from bridge.launch.sealing import PURPOSE, Sealer
from bridge.store import Store
from bridge.vault import Vault


@dataclass(frozen=True, slots=True)
class EventBooks:
    """What is stored of events, with the key to its names."""

    book: EventBook
    presences: Presences
    looking_back: LookingBack
    memory: SessionMemory
    sealer: Sealer


@dataclass(frozen=True, slots=True)
class Launch(EventBooks):
    """The same where sessions are live."""

    attendance: Attendance


async def open_books(store: Store, vault: Vault, now_ms: Callable[[], int]) -> EventBooks:
    """Raises VaultError, ConfigError."""
    sealer = Sealer(await asyncio.to_thread(installation_key, vault, PURPOSE))
    book, presences = EventBook(store, sealer), Presences(store, sealer)
    memory = SessionMemory(store, sealer, now_ms)
    return EventBooks(book, presences, LookingBack(book, presences, now_ms), memory, sealer)


@asynccontextmanager
async def open_launch(store: Store, vault: Vault, now_ms: Callable[[], int]) -> AsyncIterator[Launch]:
    """Keeps who is in events until the block ends. Raises VaultError, ConfigError."""
    books = await open_books(store, vault, now_ms)
    await books.presences.close_open()
    attendance = Attendance(books.presences, now_ms)
    try:
        yield Launch(books.book, books.presences, books.looking_back, books.memory, books.sealer, attendance)
    finally:
        await attendance.close()
