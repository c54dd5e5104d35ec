"""STOW-RS out, to a server that answers in all the ways that the standard and the world know."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bridge.config import WebPeer
from bridge.imaging.dimse.talk import Place
from bridge.imaging.errors import DicomError
from bridge.imaging.jobs import Later, Stopped
from bridge.imaging.scratch import Scratch
from bridge.imaging.stowing import UNANSWERED, Parcel, Stow

CT, JPEG = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.4.70"


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


async def send(url: str, sent: list[Parcel], token: Path | None = None) -> dict[str, int]:
    try:
        return await Stow(WebPeer("WEB", url, token)).send(sent, lambda: None)
    finally:
        for parcel in sent:
            parcel.object.close()


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


async def test_sending_is_broken_off_between_two_pieces(url: str) -> None:
    sent = parcels()

    def stop() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        await Stow(WebPeer("WEB", url, None)).send(sent, stop)
    for parcel in sent:
        parcel.object.close()
