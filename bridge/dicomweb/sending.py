"""Answers that are made piece by piece by threads, and sent by the event loop; what waits to be sent is bounded, and so
is how long a client may take nothing."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import AsyncIterator, Generator, Iterable, Iterator
from contextlib import asynccontextmanager

from aiohttp import web
from multidict import CIMultiDict

from bridge.imaging.dicomweb.multipart import MultipartForm
from bridge.imaging.dicomweb.shelf import Threads
from bridge.imaging.dicomweb.wado import Piece, framed

BATCH_BYTES = 1024 * 1024
SLICE_BYTES = 256 * 1024
STALLED_S = 60.0
"""A client that does not take a slice in so long is not waited for: six connections may share a line of 256 kbit/s."""
_GZIP = 16 + zlib.MAX_WBITS


async def send_pieces(
    request: web.Request, threads: Threads, pieces: Iterator[Piece], type: str, *, multipart: bool
) -> web.StreamResponse:
    """All of them in one multipart answer, or the only one for itself.

    What fails before the first bytes is raised; after that the connection is broken, so that nobody takes half an
    answer for a whole one.
    """
    if multipart:
        form = MultipartForm(type)
        return await _send(request, threads, framed(form, pieces), {"Content-Type": form.content_type})
    piece = await threads.run(lambda: next(pieces))
    headers = {"Content-Type": piece.content_type}
    return await _send(request, threads, _only(piece, pieces), headers, piece.size_bytes)


async def send_json(
    request: web.Request,
    threads: Threads,
    gzipped: Iterator[bytes],
    content_type: str,
    warnings: Iterable[str] = (),
) -> web.StreamResponse:
    """An answer that is made compressed; unpacked again for the few that cannot do that."""
    headers = CIMultiDict({"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"})
    for warning in warnings:
        headers.add("Warning", warning)
    if "gzip" in request.headers.get("Accept-Encoding", "").lower():
        headers["Content-Encoding"] = "gzip"
        return await _send(request, threads, gzipped, headers)
    return await _send(request, threads, _unpacked(gzipped), headers)


def json_body(request: web.Request, gzipped: bytes, content_type: str) -> web.Response:
    """A short answer that is there compressed already."""
    headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
    if "gzip" in request.headers.get("Accept-Encoding", "").lower():
        headers["Content-Encoding"] = "gzip"
        return web.Response(body=gzipped, headers=headers)
    return web.Response(body=zlib.decompress(gzipped, _GZIP), headers=headers)


async def send_whole(
    request: web.Request, body: bytes, headers: dict[str, str] | CIMultiDict[str], status: int = 200
) -> web.StreamResponse:
    """An answer that is there."""
    # A plain `Response` sends its headers along with the first bytes.
    told = CIMultiDict(headers)
    told["Content-Length"] = str(len(body))
    response = web.Response(status=status, headers=told)
    async with _all_or_nothing(request):
        await response.prepare(request)
        await _write(response, body)
        await _end(response)
    return response


async def _send(
    request: web.Request,
    threads: Threads,
    content: Iterator[bytes],
    headers: dict[str, str] | CIMultiDict[str],
    size_bytes: int | None = None,
) -> web.StreamResponse:
    is_last = False
    try:
        batch, is_last = await threads.run(lambda: _batch(content))
        if is_last:
            return await send_whole(request, batch, headers)
        response = web.StreamResponse(headers=headers)
        response.content_length = size_bytes
        async with _all_or_nothing(request):
            await response.prepare(request)
            while batch:
                coming = asyncio.ensure_future(threads.run(lambda: _batch(content)))
                try:
                    await _write(response, batch)
                finally:
                    await asyncio.wait({coming})
                batch, is_last = coming.result()
            await _end(response)
        return response
    finally:
        if not is_last:  # The study that is read stays open until then.
            await asyncio.shield(asyncio.ensure_future(threads.run(lambda: _close(content))))


@asynccontextmanager
async def _all_or_nothing(request: web.Request) -> AsyncIterator[None]:
    try:
        yield
    except BaseException as error:
        if request.transport is not None:
            request.transport.abort()
        if isinstance(error, TimeoutError):
            raise ConnectionAbortedError("the client takes nothing") from error
        raise


async def _write(response: web.StreamResponse, body: bytes) -> None:
    """Raises TimeoutError."""
    view = memoryview(body)
    for at in range(0, len(view), SLICE_BYTES):
        async with asyncio.timeout(STALLED_S):
            await response.write(view[at : at + SLICE_BYTES])


async def _end(response: web.StreamResponse) -> None:
    async with asyncio.timeout(STALLED_S):
        await response.write_eof()


# --- for threads ---------------------------------------------------------------------------------------------------


def _only(piece: Piece, pieces: Iterator[Piece]) -> Iterator[bytes]:
    yield from piece.content
    _close(pieces)


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


def _unpacked(gzipped: Iterator[bytes]) -> Iterator[bytes]:
    inflater = zlib.decompressobj(_GZIP)
    try:
        for piece in gzipped:
            left = piece
            while left:
                yield inflater.decompress(left, BATCH_BYTES)
                left = inflater.unconsumed_tail
        yield inflater.flush()
    finally:
        _close(gzipped)


def _close(content: Iterator[object]) -> None:
    if isinstance(content, Generator):
        # A thread may be at it still if the server stops; then it goes with its last user.
        with contextlib.suppress(ValueError):
            content.close()
