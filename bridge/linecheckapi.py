"""Line checks over HTTP (`docs/protocol.md`, "Line check"): a link tries its own line. A table of small handlers."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from aiohttp import web

from bridge import policy
from bridge.auth import Auth, Grant
from bridge.errors import ProtocolError
from bridge.exchange import bearer, json_answer, read_body, read_bytes
from bridge.launch.book import EventBook
from bridge.launch.grading import Measured, grade
from bridge.launch.linecheck import LASTS_S, LineChecks
from bridge.media.contract import Description
from bridge.media.sdp import MAX_SDP_BYTES

SDP_TYPE = "application/sdp"
_CHECK = "/api/linecheck/{check:[a-z0-9]{1,32}}"


class LineCheckApi:
    """The handlers; `add_routes` is the table."""

    def __init__(self, auth: Auth, checks: LineChecks, book: EventBook, now_ms: Callable[[], int]) -> None:
        self._auth = auth
        self._checks = checks
        self._book = book
        self._now_ms = now_ms

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/api/linecheck", self.begin)
        app.router.add_post(f"{_CHECK}/up", self.take_up)
        app.router.add_post(f"{_CHECK}/back", self.give_back)
        app.router.add_post(f"{_CHECK}/result", self.take_result)
        app.router.add_delete(_CHECK, self.end)

    async def begin(self, request: web.Request) -> web.Response:
        id = await self._checks.begin(await self._admitted(request))
        return json_answer({"check": id, "expiresInS": LASTS_S}, 201)

    async def take_up(self, request: web.Request) -> web.Response:
        grant = await self._admitted(request)
        return _sdp(await self._checks.take_up(grant, _id(request), await _offer(request)))

    async def give_back(self, request: web.Request) -> web.Response:
        grant = await self._admitted(request)
        return _sdp(await self._checks.give_back(grant, _id(request), await _offer(request)))

    async def take_result(self, request: web.Request) -> web.Response:
        grant = await self._admitted(request)
        measured = await read_body(request, Measured)
        await self._checks.end(grant, _id(request))
        measured.browser = policy.clean_mark(measured.browser)
        verdict = grade(measured)
        keeps = grant.seats == 1
        if keeps:
            kept = {**msgspec.to_builtins(verdict), "measured": msgspec.to_builtins(measured)}
            await self._book.keep_check(grant.session, grant.invite, self._now_ms(), kept)
        return json_answer({**msgspec.to_builtins(verdict), "kept": keeps})

    async def end(self, request: web.Request) -> web.Response:
        await self._checks.end(await self._admitted(request), _id(request))
        return web.Response(status=204)

    async def _admitted(self, request: web.Request) -> Grant:
        return await self._auth.admit(bearer(request))


def _id(request: web.Request) -> str:
    return request.match_info["check"]


async def _offer(request: web.Request) -> Description:
    if request.content_type.lower() != SDP_TYPE:
        raise ProtocolError(f"The body must be {SDP_TYPE}.", "wrongType")
    try:
        return Description((await read_bytes(request, MAX_SDP_BYTES)).decode("utf-8"))
    except UnicodeDecodeError:
        raise ProtocolError("The body is not UTF-8.") from None


def _sdp(answer: Description) -> web.Response:
    return web.Response(status=201, text=answer, content_type=SDP_TYPE)
