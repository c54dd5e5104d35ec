"""What the HTTP interfaces share: the token of a request, its JSON body, its query, and JSON answers.

Everything is bounded and told apart by the errors of `docs/protocol.md`. Knows no paths and no rights.
"""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

import msgspec
from aiohttp import web
from msgspec import Struct

from bridge.errors import LimitExceeded, NotAuthorised, ProtocolError

BODY_TIMEOUT_S = 10.0
NUMBER_LIMIT = 2**53
"""What every client can count to."""

_Body = TypeVar("_Body", bound=Struct)


def bearer(request: web.Request) -> str:
    """The bearer token (RFC 6750). Raises NotAuthorised."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise NotAuthorised("A link's token is needed here.")
    return token.strip()


async def read_body(request: web.Request, shape: type[_Body]) -> _Body:
    """The JSON body. Raises ProtocolError (`malformed`, `wrongType`) or LimitExceeded (`tooLarge`)."""
    if request.content_type != "application/json":
        raise ProtocolError("The body must be application/json.", "wrongType")
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            body = await request.read()
    except TimeoutError:
        raise ProtocolError("The body did not arrive in time.", "joinTimeout") from None
    except web.HTTPRequestEntityTooLarge:
        raise LimitExceeded("The body is too large.", "tooLarge") from None
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as error:
        # msgspec quotes values of enumerations before the place; only the place goes back.
        where = str(error).rpartition("`$")[2].strip("`.")
        raise ProtocolError(
            f"The field {where} has a wrong value." if where else "A field is missing."
        ) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise ProtocolError("The body is not JSON.") from None


def json_answer(content: Any, status: int = 200) -> web.Response:
    """An answer in JSON."""
    return encoded_answer(encode(content), status)


def encode(content: Any) -> bytes:
    """JSON for `encoded_answer`: of what is long, not on the event loop."""
    return msgspec.json.encode(content)


def encoded_answer(body: bytes, status: int = 200) -> web.Response:
    """An answer in JSON that was encoded before."""
    return web.Response(status=status, body=body, content_type="application/json")


def file_answer(body: bytes, type: str, name: str) -> web.Response:
    """To be saved under this name, which says nothing of what is in it."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return web.Response(body=body, headers={"Content-Type": type, **headers})


def whole_number(request: web.Request, name: str, usual: int | None = None, least: int = 0) -> int:
    """A whole number of the query. Raises ProtocolError."""
    said = request.query.get(name)
    if said is None and usual is not None:
        return usual
    try:
        number = int(said if said is not None and len(said) <= 16 else "")
    except ValueError:
        raise ProtocolError(f"The query needs a whole number {name}.") from None
    if not least <= number <= NUMBER_LIMIT:
        raise ProtocolError(f"The number {name} is out of bounds.")
    return number


def flag(request: web.Request, name: str) -> bool:
    """Whether the query says `name=1`; it need not say it. Raises ProtocolError."""
    said = request.query.get(name, "0")
    if said not in ("0", "1"):
        raise ProtocolError(f"In the query {name} must be 0 or 1.")
    return said == "1"


async def read_bytes(request: web.Request, limit_bytes: int) -> bytes:
    """A body of any type, whatever other bodies may have. Raises ProtocolError, LimitExceeded (`tooLarge`)."""
    body = bytearray()
    if (request.content_length or 0) > limit_bytes:
        raise LimitExceeded("The body is too large.", "tooLarge")
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.content.iter_chunked(65_536):
                body += chunk
                if len(body) > limit_bytes:
                    raise LimitExceeded("The body is too large.", "tooLarge")
    except TimeoutError:
        raise ProtocolError("The body did not arrive in time.", "joinTimeout") from None
    return bytes(body)
