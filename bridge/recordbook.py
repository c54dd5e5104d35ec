"""The book of recordings: their rows in the store and their lines in the audit, written behind the live session's back.

A database or disk that fails holds nobody up: what could not be written is tried again, in its order. What can never be
written is given up: at the next start the store learns from what lies on the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

from bridge.audit import Entry
from bridge.errors import Conflict, NotFound
from bridge.ids import RecordingId, RecordingState, SessionId
from bridge.recordings.endings import Ending
from bridge.store import RecordingRecord, Store

AGAIN_AFTER_S = 5.0
STOP_WITHIN_S = 5.0
"""A disk that hangs must not keep a server from stopping; the next start goes by what lies on the disk."""
PENDING_LIMIT = 5000
"""Writes that wait while the database fails. More are given up: the next start goes by what lies on the disk."""

_log = structlog.get_logger(__name__)


class RecordBook:
    """Writes one thing after the other. `write_audit` and `read_ending` may block."""

    def __init__(
        self,
        store: Store,
        write_audit: Callable[[Entry], None],
        read_ending: Callable[[RecordingId], Ending],
    ) -> None:
        self._store = store
        self._write_audit = write_audit
        self._read_ending = read_ending
        self._waiting: asyncio.Queue[tuple[str, Callable[[], Awaitable[None]]]] = asyncio.Queue(PENDING_LIMIT)
        self._stopping = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to write; needs a running loop."""
        self._writer = asyncio.create_task(self._write(), name="record book")

    async def stop(self) -> None:
        """Writes what waits, but tries nothing twice any more."""
        self._stopping.set()
        if self._writer is not None:
            try:
                async with asyncio.timeout(STOP_WITHIN_S):
                    await self._waiting.join()
            except TimeoutError:
                _log.error("recordbook.given_up", what="all that waited", count=self._waiting.qsize())
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)

    async def settle(self) -> None:
        """Waits until all is written."""
        await self._waiting.join()

    async def newest(self, session: SessionId) -> RecordingRecord | None:
        """The newest recording of a session that is no clip. Raises what the database raises."""
        recordings = await self._store.list_recordings(session)
        return next((recording for recording in recordings if recording.clip_of is None), None)

    async def ending(self, recording: RecordingId) -> Ending:
        """How it ended. Raises what vault and disk raise."""
        return await asyncio.to_thread(self._read_ending, recording)

    def begun(self, recording: RecordingRecord, entry: Entry) -> None:
        """A recording that runs now."""

        async def add() -> None:
            with contextlib.suppress(Conflict):
                await self._store.add_recording(recording)

        self._put("add recording", add)
        self.note(entry)

    def closed(self, recording: RecordingRecord) -> None:
        """A recording that is over."""

        async def close() -> None:
            try:
                await self._store.close_recording(
                    recording.id,
                    RecordingState.ENDED,
                    duration_ms=recording.duration_ms,
                    size_bytes=recording.size_bytes,
                    retain_until_ms=recording.retain_until_ms,
                )
            except NotFound:
                # Its beginning was given up.
                await self._store.add_recording(recording)

        self._put("close recording", close)

    def note(self, entry: Entry) -> None:
        """A line of the audit."""
        self._put("write audit", lambda: asyncio.to_thread(self._write_audit, entry))

    def _put(self, what: str, write: Callable[[], Awaitable[None]]) -> None:
        try:
            self._waiting.put_nowait((what, write))
        except asyncio.QueueFull:
            _log.error("recordbook.given_up", what=what)

    async def _write(self) -> None:
        while True:
            what, write = await self._waiting.get()
            while not await self._try(what, write) and not self._stopping.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(AGAIN_AFTER_S):
                        await self._stopping.wait()
            self._waiting.task_done()

    async def _try(self, what: str, write: Callable[[], Awaitable[None]]) -> bool:
        try:
            await write()
        except (NotFound, Conflict, ValueError, TypeError) as error:
            # No waiting cures that, and everything else would wait behind it.
            _log.error("recordbook.given_up", what=what, error=type(error).__name__)
        except Exception as error:
            # Whatever the driver or the disk raises means the same here.
            _log.error("recordbook.failed", what=what, error=type(error).__name__)
            return False
        return True
