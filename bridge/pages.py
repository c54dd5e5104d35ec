"""The pages of the browser client, as built from `web/` into `bridge/static`: held in memory, ready compressed.

Knows which paths are pages and how long each file may be kept; never looks up a path of a request on the disk.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

import structlog
from aiohttp import web

PAGES = ("/", "/join", "/check", "/session", "/replay", "/read", "/event")
"""Addresses that show the one page; what it shows is decided there."""
FOLDER = Path(__file__).parent / "static"
FILE_LIMIT_BYTES = 32 * 1024 * 1024
IMMUTABLE = "public, max-age=31536000, immutable"
"""For files whose name holds a hash of their content."""
REVALIDATE = "no-cache"
COMPRESSED_TYPES = (
    "text/",
    "application/javascript",
    "application/json",
    "application/manifest+json",
    "application/wasm",
    "image/svg",
)
TYPES = {
    ".js": "text/javascript",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
    ".webmanifest": "application/manifest+json",
}
"""The machine's own table is not to be trusted with these."""

_log = structlog.get_logger(__name__)

_NOT_BUILT = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Bridge</title>
<h1>The pages are not built yet</h1>
<p>The server runs, but its pages are missing. Build them with <code>make build</code> and load this page again.</p>
</html>
"""


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    compressed: bytes | None
    content_type: str
    charset: str | None
    etag: str
    cache: str


class Pages:
    """Serves the built client; takes up a new build when `index.html` changes."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._files: dict[str, _File] = {}
        self._built: tuple[int, int] | None = None
        self._reading = asyncio.Lock()

    def add_routes(self, app: web.Application) -> None:
        for page in PAGES:
            app.router.add_get(page, self._page)
        app.router.add_get("/{path:.+}", self._asset)

    async def refresh(self) -> None:
        """Reads the built files if they are not the ones in memory."""
        if self._stamp() == self._built:
            return
        async with self._reading:
            stamp = self._stamp()
            if stamp != self._built:
                self._files = await asyncio.to_thread(_read_all, self._folder)
                self._built = stamp
                _log.info("pages read", files=len(self._files))

    async def _page(self, request: web.Request) -> web.StreamResponse:
        await self.refresh()
        file = self._files.get("index.html")
        if file is None:
            return web.Response(status=503, text=_NOT_BUILT, content_type="text/html")
        return _respond(request, file)

    async def _asset(self, request: web.Request) -> web.StreamResponse:
        file = self._files.get(request.match_info["path"])
        if file is None:
            await self.refresh()
            file = self._files.get(request.match_info["path"])
        if file is None:
            raise web.HTTPNotFound
        return _respond(request, file)

    def _stamp(self) -> tuple[int, int] | None:
        try:
            status = (self._folder / "index.html").stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size


def _respond(request: web.Request, file: _File) -> web.Response:
    headers = {"ETag": file.etag, "Cache-Control": file.cache}
    if file.compressed is not None:
        headers["Vary"] = "Accept-Encoding"
    known = request.if_none_match or ()
    if any(tag.value in (file.etag.strip('"'), "*") for tag in known):
        return web.Response(status=304, headers=headers)
    body = file.content
    if file.compressed is not None and "gzip" in request.headers.get("Accept-Encoding", "").lower():
        headers["Content-Encoding"] = "gzip"
        body = file.compressed
    return web.Response(body=body, content_type=file.content_type, charset=file.charset, headers=headers)


def _read_all(folder: Path) -> dict[str, _File]:
    files: dict[str, _File] = {}
    for path in sorted(folder.rglob("*")):
        # A link could lead out of the folder.
        if path.is_symlink() or not path.is_file() or path.stat().st_size > FILE_LIMIT_BYTES:
            continue
        name = path.relative_to(folder).as_posix()
        files[name] = _read(path, hashed=name.startswith("assets/"))
    return files


def _read(path: Path, *, hashed: bool) -> _File:
    content = path.read_bytes()
    content_type = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    compressed = gzip.compress(content, 9, mtime=0) if content_type.startswith(COMPRESSED_TYPES) else None
    if compressed is not None and len(compressed) >= len(content):
        compressed = None
    return _File(
        content=content,
        compressed=compressed,
        content_type=content_type,
        charset="utf-8" if content_type.startswith("text/") else None,
        etag=f'"{hashlib.sha256(content).hexdigest()[:32]}"',
        cache=IMMUTABLE if hashed else REVALIDATE,
    )
