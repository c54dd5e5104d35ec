"""What a page asks when a person sends studies: what is there already, how much will come, large objects in pieces.

Small objects come by STOW-RS like everybody else's. Everything passes `Access`. A table of small handlers.
"""

from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from bridge.dicomweb.imaging import Imaging
from bridge.dicomweb.sending import json_body
from bridge.dicomweb.uploads import Upload
from bridge.errors import Conflict
from bridge.exchange import bearer, json_answer, read_body
from bridge.ids import SessionId
from bridge.imaging.access import Visitor
from bridge.imaging.dicomweb.stow import Failure
from bridge.imaging.unfinished import PIECE_LEAST_BYTES, PIECE_MOST_BYTES, Unfinished

BASE = "/api/studies"
EXPECTED_LIMIT = 1_000_000
_UID = "[0-9.]{1,64}"
_UPLOADS = f"{BASE}/uploads"
_UPLOAD = f"{_UPLOADS}/{{upload:[a-z0-9]{{1,32}}}}"

Announce = Callable[[SessionId, str, int], None]
"""Session, StudyInstanceUID and how many objects of it will have come in the end."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Announcement(Struct, rename="camel"):
    study: Annotated[str, Meta(pattern=f"^{_UID}$")]
    expected: Annotated[int, Meta(ge=1, le=EXPECTED_LIMIT)]


class _NewUpload(Struct, rename="camel"):
    key: Annotated[str, Meta(pattern="^[0-9A-Za-z_-]{16,128}$")]
    size_bytes: Annotated[int, Meta(ge=1, le=2**53)]


class SendingDesk:
    """The handlers; `add_routes` is the table."""

    def __init__(self, imaging: Imaging, announce: Announce) -> None:
        self._imaging = imaging
        self._access = imaging.access
        self._announce = announce

    def add_routes(self, app: web.Application) -> None:
        table: tuple[tuple[str, str, Handler], ...] = (
            ("POST", f"{BASE}/announce", self.announce),
            ("GET", f"{BASE}/{{study:{_UID}}}/instances", self.list_instances),
            ("POST", _UPLOADS, self.begin),
            ("HEAD", _UPLOAD, self.look),
            ("PATCH", _UPLOAD, self.take),
            ("DELETE", _UPLOAD, self.forget),
        )
        for method, path, handler in table:
            app.router.add_route(method, path, handler)

    async def announce(self, request: web.Request) -> web.Response:
        visitor = await self._access.sender(bearer(request))
        wish = await read_body(request, _Announcement)
        if visitor.session is not None:
            self._announce(visitor.session, wish.study, wish.expected)
        return web.Response(status=204)

    async def list_instances(self, request: web.Request) -> web.Response:
        visitor = await self._access.visitor(bearer(request))
        entry = await self._access.study(visitor, request.match_info["study"])

        def work() -> bytes:
            with self._imaging.shelf.study(entry.id) as study:
                found = [each.note.sop_instance for each in study.reader.instances()]
            return gzip.compress(msgspec.json.encode({"instances": found}), 1, mtime=0)

        return json_body(request, await self._imaging.reading.run(work), "application/json")

    async def begin(self, request: web.Request) -> web.Response:
        visitor = await self._access.sender(bearer(request))
        wish = await read_body(request, _NewUpload)
        await self._imaging.ledger.settle()
        unfinished, is_new = await self._imaging.pieces.begin(visitor.who, wish.key, wish.size_bytes)
        told = {
            "upload": unfinished.id,
            "offset": unfinished.received_bytes,
            "pieceBytes": {"least": PIECE_LEAST_BYTES, "most": PIECE_MOST_BYTES},
        }
        return json_answer(told, 201 if is_new else 200)

    async def look(self, request: web.Request) -> web.Response:
        _, unfinished = await self._found(request)
        return web.Response(headers=_place(unfinished))

    async def take(self, request: web.Request) -> web.Response:
        visitor, unfinished = await self._found(request)
        pieces = self._imaging.pieces
        try:
            if not unfinished.is_whole:
                await pieces.take(request, unfinished)
        except Conflict as error:
            body = {"error": {"code": error.code, "text": error.text}}
            response = json_answer(body, 409)
            response.headers.update(_place(unfinished))
            return response
        outcome: dict[str, Any] | None = None
        if unfinished.is_whole:
            upload = await pieces.keep(
                unfinished,
                lambda: self._access.gate(visitor),
                lambda upload: self._imaging.ledger.record(*upload.entries(visitor.who)),
            )
            outcome = _told(upload)
        response = json_answer({"offset": unfinished.received_bytes, "outcome": outcome})
        response.headers.update(_place(unfinished))
        return response

    async def forget(self, request: web.Request) -> web.Response:
        visitor, unfinished = await self._found(request)
        await self._imaging.pieces.forget(visitor.who, unfinished.id)
        return web.Response(status=204)

    async def _found(self, request: web.Request) -> tuple[Visitor, Unfinished]:
        visitor = await self._access.sender(bearer(request))
        return visitor, self._imaging.pieces.find(visitor.who, request.match_info["upload"])


def _place(unfinished: Unfinished) -> dict[str, str]:
    return {
        "Upload-Offset": str(unfinished.received_bytes),
        "Upload-Length": str(unfinished.size_bytes),
    }


def _told(upload: Upload) -> dict[str, Any]:
    result = upload.results[0]
    if isinstance(result, Failure):
        return {"kept": False, "code": result.code, "text": result.text}
    return {"kept": True}
