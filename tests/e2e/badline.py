"""A line between browser and server that is as thin as wanted and can be cut: plain TCP, byte by byte what both say."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

CHUNK_BYTES = 16 * 1024


class Line:
    """Passes connections on to a server. `up_bytes_per_s` is what the browser may send, by all of them together."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._ends: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy_until_s = 0.0
        self.is_cut = False
        self.up_bytes_per_s: float | None = None
        self.up_bytes = 0
        self.port = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Everything that is under way is gone, and nobody comes through until `mend`."""
        self.is_cut = True
        for end in self._ends:
            end.transport.abort()

    def mend(self) -> None:
        self.is_cut = False

    async def passing(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.transport.abort()
            return
        self._ends |= {writer, far_writer}
        try:
            await asyncio.gather(
                self._pump(reader, far_writer, up=True), self._pump(far_reader, writer, up=False)
            )
        finally:
            self._ends -= {writer, far_writer}
            for end in (writer, far_writer):
                end.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                if up:
                    self.up_bytes += len(chunk)
                    await self._wait(len(chunk))
                writer.write(chunk)
                await writer.drain()
            writer.write_eof()

    async def _wait(self, size_bytes: int) -> None:
        if self.up_bytes_per_s is None:
            return
        now_s = asyncio.get_running_loop().time()
        self._busy_until_s = max(self._busy_until_s, now_s) + size_bytes / self.up_bytes_per_s
        await asyncio.sleep(self._busy_until_s - now_s)


@contextlib.asynccontextmanager
async def bad_line(host: str, port: int) -> AsyncIterator[Line]:
    """One that is perfect until told otherwise."""
    line = Line(host, port)
    server = await asyncio.start_server(line.passing, "127.0.0.1", 0)
    line.port = server.sockets[0].getsockname()[1]
    try:
        yield line
    finally:
        server.close()
        line.cut()
