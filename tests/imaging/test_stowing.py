"""STOW-RS out, to a server that answers in all the ways that the standard and the world know."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bridge.app import running
from bridge.config import WebPeer
from bridge.imaging import stowing
from bridge.imaging.dimse.talk import Place
from bridge.imaging.errors import DicomError
from bridge.imaging.jobs import Later, Progress, Stopped
from bridge.imaging.scratch import Scratch
from bridge.imaging.stowing import UNANSWERED, Parcel, Stow
from bridge.studyrows import JobKind, JobRecord, JobState
from tests.house import House, settings_for
from tests.imaging.corpus import ct_slice

CT, JPEG = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.4.70"
STUDY = "1.2.826.0.1.3680043.8.498.83"


class Archive:
    """What it got, and what it says next."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.status = 200
        self.answer: bytes = b"{}"

    async def take(self, request: web.Request) -> web.Response:
        self.headers.append(dict(request.headers))
        self.bodies.append(await request.read())
        return web.Response(status=self.status, body=self.answer, content_type="application/dicom+json")


@pytest.fixture
def archive() -> Archive:
    return Archive()


@pytest.fixture
async def url(archive: Archive) -> AsyncIterator[str]:
    app = web.Application(client_max_size=2**30)
    app.router.add_post("/dicom-web/studies", archive.take)
    async with TestServer(app) as server:
        yield str(server.make_url("/dicom-web"))


def parcels(count: int = 2) -> list[Parcel]:
    return [
        Parcel(Place("s", f"1.2.{number}", CT, JPEG), JPEG, Scratch.of(b"object %d" % number))
        for number in range(count)
    ]


def told(stored: list[str], failed: dict[str, int]) -> bytes:
    answer: dict[str, Any] = {}
    if stored:
        answer["00081199"] = {
            "vr": "SQ",
            "Value": [{"00081155": {"vr": "UI", "Value": [uid]}} for uid in stored],
        }
    if failed:
        answer["00081198"] = {
            "vr": "SQ",
            "Value": [
                {"00081155": {"vr": "UI", "Value": [uid]}, "00081197": {"vr": "US", "Value": [reason]}}
                for uid, reason in failed.items()
            ],
        }
    return json.dumps(answer).encode()


def progress() -> Progress:
    job = JobRecord(
        id="j",
        kind=JobKind.SEND,
        study="s",
        session=None,
        who="staff",
        destination="WEB",
        options={},
        state=JobState.RUNNING,
    )
    return Progress(job, set())


@contextmanager
def holding(sent: list[Parcel]) -> Iterator[list[Parcel]]:
    try:
        yield sent
    finally:
        for parcel in sent:
            parcel.object.close()


async def send(url: str, sent: list[Parcel], token: Path | None = None) -> dict[str, int]:
    with holding(sent):
        return await Stow(WebPeer("WEB", url, token)).send(sent, progress())


async def test_each_object_is_answered_for(archive: Archive, url: str) -> None:
    archive.status = 202
    archive.answer = told(["1.2.0"], {"1.2.1": 0xC122})
    assert await send(url, parcels(3)) == {"1.2.0": 0, "1.2.1": 0xC122, "1.2.2": UNANSWERED}
    (body,) = archive.bodies
    boundary = archive.headers[0]["Content-Type"].partition('boundary="')[2].strip('"').encode()
    parts = body.split(b"--" + boundary)
    assert [part.partition(b"\r\n\r\n")[2].strip() for part in parts[1:-1]] == [
        b"object 0",
        b"object 1",
        b"object 2",
    ]
    assert parts[-1] == b"--\r\n"


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ("abc.def.ghi\n", "Bearer abc.def.ghi"),
        ("Basic user:pass word", "Basic dXNlcjpwYXNzIHdvcmQ="),
        ("Bearer xyz", "Bearer xyz"),
    ],
)
async def test_the_token_comes_from_a_file(
    archive: Archive, url: str, tmp_path: Path, said: str, sent: str
) -> None:
    file = tmp_path / "token"
    await asyncio.to_thread(file.write_text, said)
    archive.answer = told(["1.2.0"], {})
    await send(url, parcels(1), file)
    assert archive.headers[0]["Authorization"] == sent
    with pytest.raises(DicomError, match="token"):
        await send(url, parcels(1), tmp_path / "none")


@pytest.mark.parametrize("status", [429, 500, 503, 507])
async def test_who_takes_nothing_just_now_is_asked_again_later(
    archive: Archive, url: str, status: int
) -> None:
    archive.status = status
    with pytest.raises(Later):
        await send(url, parcels())


@pytest.mark.parametrize(
    ("status", "answer", "error"),
    [
        (401, b"", "does not let us in"),
        (404, b"", "answers 404"),
        (302, b"", "answers 302"),
        (200, b"<html>", "cannot be read"),
        (200, b"[1, 2]", "cannot be read"),
        (200, b'{"00081199": 7}', "cannot be read"),
        (200, b" " * (9 * 1024 * 1024), "more than can be read"),
    ],
)
async def test_what_makes_no_sense_is_no_success(
    archive: Archive, url: str, status: int, answer: bytes, error: str
) -> None:
    archive.status, archive.answer = status, answer
    with pytest.raises(DicomError, match=error):
        await send(url, parcels())


async def test_who_is_not_there_is_asked_again_later() -> None:
    with pytest.raises(Later):
        await send("http://127.0.0.1:9/dicom-web", parcels())


async def test_sending_does_not_begin_when_it_was_stopped(archive: Archive, url: str) -> None:
    stopped = progress()
    stopped.stop()
    with holding(parcels()) as sent, pytest.raises(Stopped):
        await Stow(WebPeer("WEB", url, None)).send(sent, stopped)
    assert not archive.bodies


# --- who does not go on -----------------------------------------------------------------------------------------------

SMALL, LARGE = 100, 32 * 1024 * 1024
"""A large one is more than the sockets of both sides hold."""
Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@asynccontextmanager
async def peer(serve: Peer) -> AsyncIterator[str]:
    """One that does with a connection what it likes, until the test is over."""
    tasks: set[asyncio.Task[None]] = set()

    def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(serve(reader, writer)))
        writers.append(writer)

    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(met, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/dicom-web"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        for writer in writers:
            writer.transport.abort()
        await asyncio.gather(*tasks, return_exceptions=True)


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads the first words and nothing more."""
    await reader.readline()
    await asyncio.Event().wait()


async def dribbling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads all, and never comes to an end with its answer."""
    await reader.readuntil(b"0\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Refuses before it has read what is sent, and reads no more."""
    await reader.readline()
    writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
    await asyncio.Event().wait()


def of_size(size_bytes: int) -> list[Parcel]:
    return [Parcel(Place("s", "1.2.1", CT, JPEG), JPEG, Scratch.of(bytes(size_bytes)))]


@pytest.mark.parametrize(("serve", "size_bytes"), [(silent, LARGE), (silent, SMALL), (dribbling, SMALL)])
async def test_who_does_not_go_on_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, serve: Peer, size_bytes: int
) -> None:
    monkeypatch.setattr(stowing, "STALL_S", 0.5)
    monkeypatch.setattr(stowing, "ANSWER_S", 0.5)
    async with asyncio.timeout(20), peer(serve) as url:
        with pytest.raises(Later):
            await send(url, of_size(size_bytes))


async def test_who_is_slow_but_goes_on_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stowing, "STALL_S", 1.0)

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        began_s, last = loop.time(), b""
        while not last.endswith(b"0\r\n\r\n"):
            last = (last + await reader.read(1024 * 1024))[-16:]
            # So long that a limit on the whole would have come.
            await asyncio.sleep(0.05 if loop.time() - began_s < 2.5 else 0)
        answer = told(["1.2.1"], {})
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
        await asyncio.Event().wait()

    async with asyncio.timeout(60), peer(slow) as url:
        assert await send(url, of_size(2 * LARGE)) == {"1.2.1": 0}


async def test_who_refuses_before_all_is_sent_is_believed_at_once() -> None:
    async with asyncio.timeout(20), peer(hasty) as url:
        with pytest.raises(DicomError, match="does not let us in"):
            await send(url, of_size(LARGE))


@pytest.mark.parametrize(("serve", "size_bytes"), [(silent, LARGE), (silent, SMALL), (dribbling, SMALL)])
async def test_a_stop_takes_effect_while_nothing_goes_on(serve: Peer, size_bytes: int) -> None:
    begun, stopped = asyncio.Event(), progress()

    async def serve_and_say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begun.set()
        await serve(reader, writer)

    async with asyncio.timeout(20), peer(serve_and_say) as url:
        with holding(of_size(size_bytes)) as sent:
            sending = asyncio.create_task(Stow(WebPeer("WEB", url, None)).send(sent, stopped))
            await begun.wait()
            await asyncio.to_thread(stopped.stop)
            with pytest.raises(Stopped):
                await sending


async def test_who_is_cancelled_is_cancelled() -> None:
    async with asyncio.timeout(20), peer(silent) as url:
        with holding(of_size(SMALL)) as sent:
            sending = asyncio.create_task(Stow(WebPeer("WEB", url, None)).send(sent, progress()))
            await asyncio.sleep(0)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending


async def test_a_server_stops_while_a_destination_does_not_go_on(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begun.set()
        await silent(reader, writer)

    async with peer(serve) as url:
        settings = settings_for(tmp_path, dicom_web_peers=(WebPeer("WEB", url, None),))
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(running(settings))
            client = await stack.enter_async_context(aiohttp.ClientSession())
            house = House(server, client)

            def keep() -> None:
                with server.imaging.archive.arrivals() as arrivals:
                    arrivals.keep(ct_slice(1, STUDY, STUDY + ".1", side=64))

            await asyncio.to_thread(keep)
            path, staff = f"/api/studies/{STUDY}/send", house.staff_token()
            assert (await house.ask("POST", path, staff, json={"to": "WEB"}))[0] == 202
            async with asyncio.timeout(30):
                await begun.wait()
            async with asyncio.timeout(15):
                await stack.aclose()
