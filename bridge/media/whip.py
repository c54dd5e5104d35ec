"""WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) over HTTP: request to call, result to response, nothing else.

It owns the ICE session's entity tag. It must not know rooms, tokens' contents or media: all that is behind `Doors`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote

from aiohttp import web

from bridge.errors import BridgeError, LimitExceeded, NotAuthorised, NotFound, ProtocolError, public_error
from bridge.media.contract import Description, Source
from bridge.media.sdp import MAX_SDP_BYTES, parse_fragment

SDP_TYPE = "application/sdp"
FRAGMENT_TYPE = "application/trickle-ice-sdpfrag"

MAX_NAME_CHARACTERS = 80
MAX_TOKEN_CHARACTERS = 4096
BODY_TIMEOUT_S = 10.0
# Entity tags are kept for this many resources; the least recently used is forgotten first, and its owner can still
# restart with `If-Match: *`.
MAX_RESOURCES = 20_000

VIDEO_SOURCES = frozenset({Source.ULTRASOUND, Source.CAMERA, Source.SCREEN, Source.MICROSCOPE})
AUDIO_SOURCES = frozenset({Source.MICROPHONE, Source.ULTRASOUND_SOUND})

# Any origin may call: what counts is the bearer token, and there are no cookies for a foreign page to ride on.
CORS_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Location, ETag, Accept-Post, Accept-Patch",
}
PREFLIGHT_HEADERS = {
    "Access-Control-Allow-Methods": "POST, PATCH, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
    "Access-Control-Max-Age": "86400",
}


@dataclass(frozen=True, slots=True)
class Opened:
    """A publishing or playing resource that was made. `resource` is its unguessable id, one path segment."""

    resource: str
    answer: Description


class Doors(Protocol):
    """How HTTP clients come into sessions. All methods raise `BridgeError` children and check the token."""

    async def publish(
        self, token: str, name: str | None, offer: Description, video: Source, audio: Source
    ) -> Opened:
        """Joins as a participant that publishes the offer's first video and audio as these sources."""

    async def play(
        self, token: str, offer: Description, source: Source | None, participant: str | None
    ) -> Opened:
        """Opens a player; `source` and `participant` None: what the stage shows, followed as that changes."""

    async def require(self, resource: str, token: str) -> None:
        """Raises unless the resource is there and the token's."""

    async def restart(self, resource: str, token: str, fragment: Description) -> Description:
        """ICE restart of a resource of either kind; returns the server's fragment."""

    async def close(self, resource: str, token: str) -> None:
        """Ends the resource: a publishing participant leaves, a player stops."""


@dataclass(slots=True)
class _IceSession:
    """What a conditional request is checked against: the server's tag, and the client's username fragment."""

    tag: str
    remote_ufrag: str


Handler = Callable[[web.Request], Awaitable[web.Response]]


def add_routes(app: web.Application, doors: Doors) -> None:
    """Adds `/whip` and `/whep` and their resources to the application."""
    endpoint = _Endpoint(doors)
    for kind, post in (("whip", endpoint.post_whip), ("whep", endpoint.post_whep)):
        app.router.add_post(f"/{kind}", _guarded(post))
        app.router.add_route("OPTIONS", f"/{kind}", _guarded(endpoint.options))
        app.router.add_patch(f"/{kind}/{{resource}}", _guarded(endpoint.patch))
        app.router.add_delete(f"/{kind}/{{resource}}", _guarded(endpoint.delete))
        app.router.add_route("OPTIONS", f"/{kind}/{{resource}}", _guarded(endpoint.options))


class _Endpoint:
    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._ice: OrderedDict[str, _IceSession] = OrderedDict()

    async def options(self, request: web.Request) -> web.Response:
        headers = {"Accept-Post": SDP_TYPE, "Accept-Patch": FRAGMENT_TYPE, **PREFLIGHT_HEADERS}
        return web.Response(
            status=204 if "Access-Control-Request-Method" in request.headers else 200, headers=headers
        )

    async def post_whip(self, request: web.Request) -> web.Response:
        token = _bearer(request)
        name = request.query.get("name") or None
        if name is not None and len(name) > MAX_NAME_CHARACTERS:
            raise LimitExceeded(f"A name has at most {MAX_NAME_CHARACTERS} characters.", "tooLarge")
        video = _source(request, "source", VIDEO_SOURCES) or Source.ULTRASOUND
        audio = _source(request, "audio", AUDIO_SOURCES) or Source.MICROPHONE
        offer = await _body(request, SDP_TYPE)
        return self._created("whip", offer, await self._doors.publish(token, name, offer, video, audio))

    async def post_whep(self, request: web.Request) -> web.Response:
        token = _bearer(request)
        source = _source(request, "source", VIDEO_SOURCES)
        participant = request.query.get("participant") or None
        if participant is not None and len(participant) > MAX_NAME_CHARACTERS:
            raise NotFound("There is no such participant.")
        offer = await _body(request, SDP_TYPE)
        return self._created("whep", offer, await self._doors.play(token, offer, source, participant))

    async def patch(self, request: web.Request) -> web.Response:
        token = _bearer(request)
        resource = request.match_info["resource"]
        condition = request.headers.get("If-Match")
        if condition is None:
            raise ProtocolError(
                "PATCH needs If-Match: the ETag, or * to restart ICE.", "preconditionRequired"
            )
        await self._doors.require(resource, token)
        fragment = await _body(request, FRAGMENT_TYPE)
        parsed = parse_fragment(fragment)
        session = self._ice.get(resource)
        if condition.strip() not in ("*", '"*"'):
            if session is None or session.tag not in (part.strip() for part in condition.split(",")):
                raise ProtocolError("If-Match names an older ICE session.", "preconditionFailed")
            if parsed.ufrag in (None, session.remote_ufrag):
                # Trickled candidates: an ICE-lite server learns addresses from checks and needs none of them.
                return web.Response(status=204, headers={"ETag": session.tag})
        if parsed.ufrag is None or parsed.pwd is None:
            raise ProtocolError("An ICE restart brings a new ice-ufrag and ice-pwd.")
        answer = await self._doors.restart(resource, token, fragment)
        tag = self._remember(resource, answer, parsed.ufrag)
        return web.Response(text=answer, content_type=FRAGMENT_TYPE, headers={"ETag": tag})

    async def delete(self, request: web.Request) -> web.Response:
        resource = request.match_info["resource"]
        await self._doors.close(resource, _bearer(request))
        self._ice.pop(resource, None)
        return web.Response(status=200)

    def _created(self, kind: str, offer: Description, opened: Opened) -> web.Response:
        tag = self._remember(opened.resource, opened.answer, parse_fragment(offer).ufrag or "")
        return web.Response(
            status=201,
            text=opened.answer,
            content_type=SDP_TYPE,
            headers={"Location": f"/{kind}/{quote(opened.resource, safe='')}", "ETag": tag},
        )

    def _remember(self, resource: str, answer: Description, remote_ufrag: str) -> str:
        # The server's username fragment names the ICE session; hashed, because a tag may end up in logs of proxies.
        ufrag = parse_fragment(answer).ufrag or ""
        tag = f'"{hashlib.sha256(ufrag.encode()).hexdigest()[:16]}"'
        self._ice[resource] = _IceSession(tag, remote_ufrag)
        self._ice.move_to_end(resource)
        if len(self._ice) > MAX_RESOURCES:
            self._ice.popitem(last=False)
        return tag


def _guarded(handler: Handler) -> Handler:
    """Turns errors into their documented body and adds the headers that every response carries."""

    async def guarded(request: web.Request) -> web.Response:
        try:
            response = await handler(request)
        except BridgeError as error:
            known = public_error(error)
            body = {"error": {"code": known.code, "text": known.text}}
            response = web.json_response(body, status=known.http)
            if known.http == 401:
                response.headers["WWW-Authenticate"] = "Bearer"
        response.headers.update(CORS_HEADERS)
        response.headers["Cache-Control"] = "no-store"
        return response

    return guarded


def _bearer(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or len(token) > MAX_TOKEN_CHARACTERS:
        raise NotAuthorised("A bearer token is needed.")
    return token


def _source(request: web.Request, field: str, allowed: frozenset[Source]) -> Source | None:
    value = request.query.get(field)
    if not value:
        return None
    for source in allowed:
        if source.value == value:
            return source
    raise ProtocolError(f"{field} must be one of {', '.join(sorted(source.value for source in allowed))}.")


async def _body(request: web.Request, content_type: str) -> Description:
    if request.content_type.lower() != content_type:
        raise ProtocolError(f"The body must be {content_type}.", "wrongType")
    if request.content_length is not None and request.content_length > MAX_SDP_BYTES:
        raise LimitExceeded("The body is too large.", "tooLarge")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.content.iter_chunked(16_384):
                body += chunk
                if len(body) > MAX_SDP_BYTES:
                    raise LimitExceeded("The body is too large.", "tooLarge")
        return Description(body.decode("utf-8"))
    except TimeoutError:
        raise ProtocolError("The body did not arrive in time.") from None
    except UnicodeDecodeError:
        raise ProtocolError("The body is not UTF-8.") from None
