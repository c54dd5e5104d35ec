"""Clients that take or send hardly anything, or want too much at once: they cost what they may and no more."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from pydicom.uid import generate_uid

from bridge.dicomweb import sending, uploads
from bridge.dicomweb.sending import send_pieces, send_whole
from bridge.errors import BridgeError, ProtocolError
from bridge.imaging.dicomweb.matching import query_of
from bridge.imaging.dicomweb.qido import Finder
from bridge.imaging.dicomweb.shelf import OpenStudy, Shelf, Threads
from bridge.imaging.dicomweb.wado import Piece
from bridge.imaging.workers import Workers
from tests.imaging.corpus import archive_in, ct_slice
from tests.imaging.webclients import Web, body_of, staff_token
from tests.serving import running_server

BODY = bytes(24 << 20)
"""More than the kernel holds for a client that does not read."""


@asynccontextmanager
async def served(*, in_pieces: bool) -> AsyncIterator[tuple[int, asyncio.Future[BaseException | None]]]:
    """A server that answers with `BODY`: its port, and how the answer ended."""
    ended: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
    threads = Threads("test", 1)

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            if in_pieces:
                pieces = iter([Piece("text/plain", (BODY,), len(BODY))])
                response = await send_pieces(request, threads, pieces, "text/plain", multipart=False)
            else:
                response = await send_whole(request, BODY, {"Content-Type": "text/plain"})
        except BaseException as error:
            ended.set_result(error)
            raise
        ended.set_result(None)
        return response

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield runner.addresses[0][1], ended
    finally:
        await runner.cleanup()
        threads.close()


@pytest.mark.parametrize("in_pieces", [False, True])
async def test_who_takes_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, in_pieces: bool) -> None:
    monkeypatch.setattr(sending, "STALLED_S", 0.3)
    async with served(in_pieces=in_pieces) as (port, ended):
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        error = await asyncio.wait_for(ended, 20)
        assert isinstance(error, ConnectionAbortedError)
        writer.close()


@pytest.mark.parametrize("in_pieces", [False, True])
async def test_who_takes_little_by_little_gets_everything(
    monkeypatch: pytest.MonkeyPatch, in_pieces: bool
) -> None:
    monkeypatch.setattr(sending, "STALLED_S", 1.0)
    async with served(in_pieces=in_pieces) as (port, ended):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in head
        got_bytes = 0
        began_s = time.monotonic()
        while got_bytes < len(BODY):
            got_bytes += len(await reader.readexactly(1 << 20))
            await asyncio.sleep(0.1)  # That is the line's speed, and nothing is waited for.
        assert time.monotonic() - began_s > sending.STALLED_S, "slower than any single limit"
        assert await asyncio.wait_for(ended, 20) is None
        writer.close()


async def test_a_body_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    content = StreamReader(
        cast(BaseProtocol, SimpleNamespace(_reading_paused=False, resume_reading=lambda: None)), 2**16
    )
    ticks = count(0, 20)
    pace = uploads._Pace(cast(Any, SimpleNamespace(content=content)), lambda: float(next(ticks)))
    for _ in range(2):  # Twenty seconds each.
        content.feed_data(b"x")
        assert await pace.next() == b"x"
    content.feed_data(bytes(uploads.SLOWEST_BYTES))
    assert await pace.next()
    for _ in range(2):
        content.feed_data(b"x")
        assert await pace.next() == b"x"
    content.feed_data(b"x")
    with pytest.raises(ProtocolError) as caught:
        await pace.next()
    assert caught.value.code == "joinTimeout"


def test_one_sender_leaves_room_for_others(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server, ExitStack() as lines:
        staff = Web(server, staff_token(server))
        hub = Web(server, server.create_session()["tokens"]["hub"])
        study, series = generate_uid(), generate_uid()
        body, type = body_of([ct_slice(1, study, series, side=64)])
        head = (
            f"POST /dicom-web/studies HTTP/1.1\r\nHost: {server.host}\r\nContent-Length: {len(body)}\r\n"
            f"Content-Type: {type}\r\nAuthorization: Bearer {staff.token}\r\n\r\n"
        ).encode()
        for _ in range(uploads.SHARE):
            line = lines.enter_context(socket.create_connection((server.host, server.port)))
            line.sendall(head + body[:100])
        deadline_s = time.monotonic() + 20
        while staff.send(ct_slice(2, study, series, side=64)).status_code != 429:
            assert time.monotonic() < deadline_s
        assert hub.send(ct_slice(3, generate_uid(), generate_uid(), side=64)).status_code == 200
        lines.close()
        while staff.send(ct_slice(4, study, series, side=64)).status_code != 200:
            assert time.monotonic() < deadline_s


# --- searches ------------------------------------------------------------------------------------------------------


@contextmanager
def two_studies(folder: Path, workers: Workers) -> Iterator[tuple[Shelf, list[str]]]:
    """One of CT, one of MR; and the ids of those that were opened."""
    opened: list[str] = []

    class Watched(Shelf):
        @contextmanager
        def study(self, study: str) -> Iterator[OpenStudy]:
            opened.append(study)
            with super().study(study) as found:
                yield found

    with archive_in(folder, workers) as archive:
        with archive.arrivals() as arrivals:
            for kind in ("CT", "MR"):
                study = f"1.2.{len(kind)}{ord(kind[0])}"
                arrivals.keep(ct_slice(1, study, study + ".1", side=32, Modality=kind))
        shelf = Watched(archive)
        try:
            yield shelf, opened
        finally:
            shelf.close()


def test_a_search_opens_only_studies_that_may_hold_what_is_asked_for(
    tmp_path: Path, workers: Workers
) -> None:
    with two_studies(tmp_path / "data", workers) as (shelf, opened):
        entries = shelf._archive.catalogue.all()
        finder = Finder(shelf, query_of([("Modality", "MR"), ("includefield", "SeriesDescription")]), "")
        assert len(finder.series(entries, with_study=True).rows) == 1
        assert len(opened) == 1
        everything = Finder(shelf, query_of([("Modality", "MR,CT")]), "")
        assert len(everything.series(entries, with_study=True).rows) == 2
        none = Finder(shelf, query_of([("SOPClassUID", "1.2.3")]), "")
        assert none.instances(entries, with_study=True, with_series=True).rows == []
        assert len(opened) == 3


def test_a_search_that_takes_too_long_says_so(tmp_path: Path, workers: Workers) -> None:
    with two_studies(tmp_path / "data", workers) as (shelf, _):
        entries = shelf._archive.catalogue.all()
        ticks = count(0, 15)
        finder = Finder(shelf, query_of([("Rows", "32")]), "", lambda: float(next(ticks)))
        with pytest.raises(BridgeError, match="narrow it") as caught:
            finder.instances(entries, with_study=True, with_series=True)
        assert caught.value.code == "tooLarge"
