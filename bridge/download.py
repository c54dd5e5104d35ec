"""An export as the answer to a request: written by a thread, sent by the event loop, and never kept in between.

No file is made, so that nothing in the clear touches the server's disk, and what waits to be sent is bounded. What is
exported and who may have it is decided before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog
from aiohttp import web

from bridge.errors import BridgeError
from bridge.recordings.export import CONTENT_TYPES, SUFFIXES, Format, Sink
from bridge.recordings.library import Library

CHUNK_BYTES = 256 * 1024
CHUNKS_WAITING = 8
STALLED_S = 60.0
"""A client that has taken nothing for so long is not waited for."""

Write = Callable[[Sink], Any]

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

    async def next(self, writing: asyncio.Future[Any]) -> bytes:
        """The next chunk, or nothing when the thread is done. Raises what the thread raised."""
        if not self._chunks.empty():
            return self._chunks.get_nowait()
        taking = asyncio.ensure_future(self._chunks.get())
        await asyncio.wait({taking, writing}, return_when=asyncio.FIRST_COMPLETED)
        if taking.done():
            return taking.result()
        taking.cancel()
        await writing
        return self._chunks.get_nowait() if not self._chunks.empty() else b""

    def end(self) -> None:
        """From the event loop: nothing is taken any more."""
        self._ended = True
        while not self._chunks.empty():
            self._chunks.get_nowait()

    def _put(self, chunk: bytes) -> None:
        if self._ended:
            raise _Ended
        asyncio.run_coroutine_threadsafe(self._chunks.put(chunk), self._loop).result()


async def send_export(
    request: web.Request, library: Library, format: Format, name: str, write: Write
) -> tuple[web.StreamResponse, int]:
    """Answers with what `write` writes, as a download; gives the answer and how many bytes went out.

    Raises what `write` raises, and ConnectionError if the client is gone. Once something was sent the connection is
    broken then, so that nobody takes half a file for a whole one.
    """
    pipe = _Pipe(asyncio.get_running_loop())

    def work() -> None:
        write(pipe)
        pipe.flush()

    writing = asyncio.ensure_future(library.long_work(work))
    response = web.StreamResponse(
        headers={
            "Content-Type": CONTENT_TYPES[format],
            "Content-Disposition": f'attachment; filename="{name}{SUFFIXES[format]}"',
            "Cache-Control": "no-store",
        }
    )
    try:
        chunk = await pipe.next(writing)
        await response.prepare(request)
        while chunk:
            async with asyncio.timeout(STALLED_S):
                await response.write(chunk)
            chunk = await pipe.next(writing)
        await response.write_eof()
        return response, pipe.size_bytes
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
