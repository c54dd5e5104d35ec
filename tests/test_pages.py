"""The pages as files of a build: which paths, which headers, and what a new build changes."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from yarl import URL

from bridge.pages import IMMUTABLE, PAGES, REVALIDATE, Pages

INDEX = '<!doctype html><script type="module" src="/assets/main-1a2b.js"></script>'
SCRIPT = "console.log('xin chào');\n" * 50


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    built = tmp_path / "static"
    (built / "assets").mkdir(parents=True)
    (built / "index.html").write_text(INDEX)
    (built / "assets" / "main-1a2b.js").write_text(SCRIPT)
    (built / "assets" / "inter.woff2").write_bytes(os.urandom(500))
    (built / "icon.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (tmp_path / "secret.key").write_text("secret")
    (built / "leak").symlink_to(tmp_path / "secret.key")
    return built


@pytest.fixture
async def url(folder: Path) -> AsyncIterator[str]:
    app = web.Application()
    Pages(folder).add_routes(app)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


@pytest.fixture
async def client() -> AsyncIterator[ClientSession]:
    async with ClientSession(auto_decompress=False) as session:
        yield session


@pytest.mark.parametrize("page", PAGES)
async def test_every_page_is_the_one_document_asked_for_each_time(
    client: ClientSession, url: str, page: str
) -> None:
    async with client.get(url + page) as response:
        assert response.status == 200
        assert response.content_type == "text/html"
        assert response.headers["Cache-Control"] == REVALIDATE
        assert await response.text() == INDEX


async def test_assets_may_be_kept_for_ever_and_come_compressed(client: ClientSession, url: str) -> None:
    async with client.get(f"{url}/assets/main-1a2b.js", headers={"Accept-Encoding": "gzip"}) as response:
        assert response.headers["Cache-Control"] == IMMUTABLE
        assert response.headers["Content-Encoding"] == "gzip"
        assert response.headers["Vary"] == "Accept-Encoding"
        assert response.content_type == "text/javascript"
        assert len(await response.read()) < len(SCRIPT)
    async with client.get(f"{url}/assets/main-1a2b.js", headers={"Accept-Encoding": "identity"}) as response:
        assert "Content-Encoding" not in response.headers
        assert await response.text() == SCRIPT


async def test_what_does_not_shrink_is_sent_as_it_is(client: ClientSession, url: str) -> None:
    async with client.get(f"{url}/assets/inter.woff2", headers={"Accept-Encoding": "gzip"}) as response:
        assert response.content_type == "font/woff2"
        assert "Content-Encoding" not in response.headers
        assert len(await response.read()) == 500


async def test_what_is_known_is_not_sent_again(client: ClientSession, url: str) -> None:
    async with client.get(f"{url}/icon.svg") as response:
        etag = response.headers["ETag"]
    async with client.get(f"{url}/icon.svg", headers={"If-None-Match": etag}) as response:
        assert (response.status, await response.read()) == (304, b"")
    async with client.get(f"{url}/icon.svg", headers={"If-None-Match": '"other"'}) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/leak",
        "/nothing",
        "/assets/",
        "/../secret.key",
        "/%2e%2e/secret.key",
        "/assets/..%2f..%2fsecret.key",
        "//etc/passwd",
        "/assets/main-1a2b.js%00",
    ],
)
async def test_nothing_outside_the_build_is_reached(client: ClientSession, url: str, path: str) -> None:
    async with client.get(URL(url + path, encoded=True)) as response:
        assert response.status == 404


async def test_a_new_build_is_taken_up(client: ClientSession, url: str, folder: Path) -> None:
    async with client.get(f"{url}/") as response:
        assert response.status == 200
    (folder / "assets" / "main-9z.js").write_text("new")
    (folder / "index.html").write_text(INDEX.replace("1a2b", "9z"))
    async with client.get(f"{url}/assets/main-9z.js") as response:
        assert await response.text() == "new"
    async with client.get(f"{url}/join") as response:
        assert "main-9z" in await response.text()


async def test_a_missing_build_is_explained(client: ClientSession, tmp_path: Path) -> None:
    app = web.Application()
    Pages(tmp_path / "none").add_routes(app)
    async with TestServer(app) as server, client.get(server.make_url("/join")) as response:
        assert response.status == 503
        assert "make build" in await response.text()
