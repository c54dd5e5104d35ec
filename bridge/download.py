"""An export as the answer to a request: written by a thread, sent by the event loop, and never kept in between.

No file is made, so that nothing in the clear touches the server's disk, and what waits to be sent is bounded. What is
exported and who may have it is decided before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import structlog
from aiohttp import web

from bridge.errors import BridgeError
from bridge.recordings.export import CONTENT_TYPES, SUFFIXES, Format, Sink
from bridge.recordings.library import Library

CHUNK_BYTES = 256 * 1024
CHUNKS_WAITING = 8
STALLED_S = 60.0
"""A client that has taken nothing for so long is not waited for."""

LOOK_S = 1.0
"""So often a client that gets nothing yet is looked after: encoding anew may take long before the first byte."""

_Told = TypeVar("_Told")
Write = Callable[[Sink, Callable[[], None]], _Told]
"""Writes the file, on a thread. It calls the second argument now and then, which raises when nobody wants the rest."""

_log = structlog.get_logger(__name__)


class _Ended(Exception):
    """Nobody takes the rest."""


class _Pipe:
    """A sink for a thread whose content comes out on the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue(CHUNKS_WAITING)
        self._waiting = bytearray()
        self._ended = False
        self.size_bytes = 0

    def write(self, content: bytes, /) -> None:
        """From the thread; waits until there is room."""
        self.size_bytes += len(content)
        self._waiting += content
        while len(self._waiting) >= CHUNK_BYTES:
            self._put(bytes(self._waiting[:CHUNK_BYTES]))
            del self._waiting[:CHUNK_BYTES]

    def flush(self) -> None:
        """From the thread, when all is written."""
        if self._waiting:
            self._put(bytes(self._waiting))
            self._waiting.clear()

    def wanted(self) -> None:
        """From the thread, where it writes nothing for long. Raises what ends it when nothing is taken any more."""
        if self._ended:
            raise _Ended

    async def next(self, writing: asyncio.Future[Any], look: Callable[[], None]) -> bytes:
        """The next chunk, or nothing when the thread is done. Raises what the thread raised, and what `look` raises,
        which is called now and then while there is nothing."""
        if not self._chunks.empty():
            return self._chunks.get_nowait()
        taking = asyncio.ensure_future(self._chunks.get())
        try:
            while not taking.done() and not writing.done():
                look()
                await asyncio.wait({taking, writing}, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
            if taking.done():
                return taking.result()
        finally:
            taking.cancel()
        await writing
        return self._chunks.get_nowait() if not self._chunks.empty() else b""

    def end(self) -> None:
        """From the event loop: nothing is taken any more."""
        self._ended = True
        while not self._chunks.empty():
            self._chunks.get_nowait()

    def _put(self, chunk: bytes) -> None:
        self.wanted()
        asyncio.run_coroutine_threadsafe(self._chunks.put(chunk), self._loop).result()


@dataclass(frozen=True, slots=True)
class Sent(Generic[_Told]):
    """An answer that went out whole. `told` is what `write` gave."""

    response: web.StreamResponse
    size_bytes: int
    told: _Told


async def send_export(
    request: web.Request,
    library: Library,
    format: Format,
    name: str,
    write: Write[_Told],
    check: Callable[[], Awaitable[None]],
) -> Sent[_Told]:
    """Answers with what `write` writes, as a download; `check` raises if it must not count as whole after all.

    Raises what these two raise, and ConnectionError if the client is gone. Once something was sent the connection is
    broken then, so that nobody takes half a file for a whole one.
    """
    pipe = _Pipe(asyncio.get_running_loop())

    def work() -> _Told:
        told = write(pipe, pipe.wanted)
        pipe.flush()
        return told

    def look() -> None:
        if request.transport is None:
            raise ConnectionResetError("the client is gone")

    writing = asyncio.ensure_future(library.long_work(work))
    response = web.StreamResponse(
        headers={
            "Content-Type": CONTENT_TYPES[format],
            "Content-Disposition": f'attachment; filename="{name}{SUFFIXES[format]}"',
            "Cache-Control": "no-store",
        }
    )
    try:
        chunk = await pipe.next(writing, look)
        await response.prepare(request)
        while chunk:
            async with asyncio.timeout(STALLED_S):
                await response.write(chunk)
            chunk = await pipe.next(writing, look)
        told = await writing
        await check()
        async with asyncio.timeout(STALLED_S):
            await response.write_eof()
        return Sent(response, pipe.size_bytes, told)
    except BaseException as error:
        if response.prepared and request.transport is not None:
            request.transport.abort()
        if isinstance(error, TimeoutError):
            raise ConnectionAbortedError("the client takes nothing") from error
        raise
    finally:
        pipe.end()
        await _finish(writing)


async def _finish(writing: asyncio.Future[Any]) -> None:
    """Waits for the thread, whose failure was told already or has nobody to be told to."""
    results = await asyncio.gather(writing, return_exceptions=True)
    if isinstance(results[0], Exception) and not isinstance(results[0], BridgeError | _Ended):
        _log.error("export failed", error=type(results[0]).__name__)
