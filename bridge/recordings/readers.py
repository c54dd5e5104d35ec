"""Open recordings, kept for a while so that the next part comes quickly, and the threads that read them.

Everything is bounded: threads, requests that wait for one, readers and what they hold in memory. It knows no rights.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from bridge.errors import LimitExceeded
from bridge.ids import RecordingId
from bridge.recordings.index import RecordingReader
from bridge.recordings.layout import ref_of
from bridge.vault import Vault

THREADS = 4
"""Reading waits for the disk, and decryption lets other threads run."""
WAITING_LIMIT = 256
READERS_LIMIT = 16
PARTS_LIMIT = 150_000
"""Of all readers; about a kilobyte each. An hour of six tracks has 22,000."""
IDLE_S = 60.0
FRESH_S = 0.2
"""So long a look at what was added is good for everybody."""

_Result = TypeVar("_Result")


@dataclass(slots=True)
class _Kept:
    reader: RecordingReader
    used_s: float
    refreshed_s: float


class Readers:
    """For one event loop."""

    def __init__(self, vault: Vault, now_s: Callable[[], float] = time.monotonic) -> None:
        self._vault = vault
        self._now_s = now_s
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="replay")
        self._waiting = 0
        self._kept: OrderedDict[RecordingId, _Kept] = OrderedDict()
        self._opening: dict[RecordingId, asyncio.Task[RecordingReader]] = {}

    async def run(self, work: Callable[[], _Result]) -> _Result:
        """Runs what blocks for the disk. Raises LimitExceeded if too many wait already."""
        if self._waiting >= WAITING_LIMIT:
            raise LimitExceeded("Too many recordings are being read just now; try again in a moment.")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1

    async def get(self, recording: RecordingId) -> RecordingReader:
        """As it was read last, or opened now. Raises VaultError, ConfigError."""
        kept = self._kept.get(recording)
        if kept is not None:
            self._kept.move_to_end(recording)
            kept.used_s = self._now_s()
            return kept.reader
        task = self._opening.get(recording)
        if task is None:
            task = self._opening[recording] = asyncio.create_task(self._open(recording))
            task.add_done_callback(lambda _task: self._opening.pop(recording, None))
        return await asyncio.shield(task)

    async def fresh(self, recording: RecordingId, *, within_s: float = FRESH_S) -> RecordingReader:
        """With all that was written until `within_s` ago. Raises VaultError, ConfigError."""
        reader = await self.get(recording)
        kept = self._kept.get(recording)
        if kept is None or self._now_s() - kept.refreshed_s >= within_s:
            await self.run(reader.refresh)
            if kept is not None:
                kept.refreshed_s = self._now_s()
        return reader

    def forget(self, recording: RecordingId) -> None:
        """Closes it; who has it in hand can still try to read."""
        kept = self._kept.pop(recording, None)
        if kept is not None:
            kept.reader.close()

    def let_idle_go(self) -> None:
        """To be called now and then."""
        now_s = self._now_s()
        for recording in [id for id, kept in self._kept.items() if now_s - kept.used_s >= IDLE_S]:
            self.forget(recording)

    def close(self) -> None:
        """Lets all go; what is being read is waited for."""
        self._pool.shutdown(cancel_futures=True)
        for recording in list(self._kept):
            self.forget(recording)

    async def _open(self, recording: RecordingId) -> RecordingReader:
        def opened() -> RecordingReader:
            return RecordingReader(self._vault.open(ref_of(recording)))

        reader = await self.run(opened)
        now_s = self._now_s()
        self._kept[recording] = _Kept(reader, now_s, now_s)
        self._make_room()
        return reader

    def _make_room(self) -> None:
        parts = sum(kept.reader.part_count for kept in self._kept.values())
        while len(self._kept) > 1 and (len(self._kept) > READERS_LIMIT or parts > PARTS_LIMIT):
            oldest = next(iter(self._kept))
            parts -= self._kept[oldest].reader.part_count
            self.forget(oldest)
