"""Answers that are made piece by piece by threads, and sent by the event loop; what waits to be sent is bounded."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import Generator, Iterator

from aiohttp import web

from bridge.imaging.dicomweb.multipart import MultipartForm
from bridge.imaging.dicomweb.shelf import Threads
from bridge.imaging.dicomweb.wado import Piece, framed

BATCH_BYTES = 1024 * 1024
STALLED_S = 60.0
"""A client that has taken nothing for so long is not waited for."""


async def send_pieces(
    request: web.Request, threads: Threads, pieces: Iterator[Piece], type: str, *, multipart: bool
) -> web.StreamResponse:
    """All of them in one multipart answer, or the only one for itself.

    What fails before the first bytes is raised; after that the connection is broken, so that nobody takes half an
    answer for a whole one.
    """
    if multipart:
        form = MultipartForm(type)
        return await _send(request, threads, framed(form, pieces), form.content_type)
    piece = await threads.run(lambda: next(pieces))
    content = _only(piece, pieces)
    return await _send(request, threads, content, piece.content_type, piece.size_bytes)


def _only(piece: Piece, pieces: Iterator[Piece]) -> Iterator[bytes]:
    yield from piece.content
    _close(pieces)


async def _send(
    request: web.Request,
    threads: Threads,
    content: Iterator[bytes],
    content_type: str,
    size_bytes: int | None = None,
) -> web.StreamResponse:
    is_last = False
    try:
        batch, is_last = await threads.run(lambda: _batch(content))
        headers = {"Content-Type": content_type}
        if is_last:
            return web.Response(body=batch, headers=headers)
        response = web.StreamResponse(headers=headers)
        response.content_length = size_bytes
        try:
            await response.prepare(request)
            while batch:
                coming = asyncio.ensure_future(threads.run(lambda: _batch(content)))
                try:
                    async with asyncio.timeout(STALLED_S):
                        await response.write(batch)
                finally:
                    await asyncio.wait({coming})
                batch, is_last = coming.result()
            await response.write_eof()
        except BaseException as error:
            if request.transport is not None:
                request.transport.abort()
            if isinstance(error, TimeoutError):
                raise ConnectionAbortedError("the client takes nothing") from error
            raise
        return response
    finally:
        if not is_last:  # The study that is read stays open until then.
            await asyncio.shield(asyncio.ensure_future(threads.run(lambda: _close(content))))


def _batch(content: Iterator[bytes]) -> tuple[bytes, bool]:
    """The next bytes, and whether there are no more."""
    gathered: list[bytes] = []
    size_bytes = 0
    for each in content:
        gathered.append(each)
        size_bytes += len(each)
        if size_bytes >= BATCH_BYTES:
            return b"".join(gathered), False
    return b"".join(gathered), True


def _close(content: Iterator[object]) -> None:
    if isinstance(content, Generator):
        # A thread may be at it still if the server stops; then it goes with its last user.
        with contextlib.suppress(ValueError):
            content.close()


def json_body(request: web.Request, gzipped: bytes, content_type: str) -> web.Response:
    """An answer that is there compressed already."""
    headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
    if "gzip" in request.headers.get("Accept-Encoding", "").lower():
        headers["Content-Encoding"] = "gzip"
        return web.Response(body=gzipped, headers=headers)
    return web.Response(body=gzip.decompress(gzipped), headers=headers)
