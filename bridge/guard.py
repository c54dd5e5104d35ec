"""What every HTTP exchange passes: errors in the protocol's shape, security headers, and a limit on bad tokens.

It knows who a client is (its address, through trusted proxies only) and forgets it again: addresses are kept as keys
of the limiter for a minute and are never logged. Knows nothing of what the handlers do.
"""

from __future__ import annotations

import ipaddress
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import structlog
from aiohttp import web

from bridge.config import Settings
from bridge.connection import CLOSE_CODE
from bridge.errors import CODES, BridgeError, PublicError, public_error

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

HSTS_S = 365 * 24 * 3600
KNOWN_CLIENTS = 20_000
"""Addresses that the limiter remembers; the longest silent one is forgotten first."""
BAD_TOKEN_CLOSES = frozenset({4401, 4402, 4403})

PERMISSIONS = (
    "camera=(self), microphone=(self), fullscreen=(self), display-capture=(self), autoplay=(self), "
    "screen-wake-lock=(self), speaker-selection=(self), geolocation=(), payment=(), usb=(), serial=(), "
    "midi=(), browsing-topics=()"
)
_HOST = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")
_BY_STATUS = {404: "notFound", 408: "joinTimeout", 413: "tooLarge", 415: "wrongType", 429: "tooMany"}

_log = structlog.get_logger(__name__)


class Clients:
    """Who is on the other side of a request, seen through the proxies that the settings trust."""

    def __init__(self, settings: Settings) -> None:
        self._trusted = networks(settings.trusted_proxies)
        self._public_url = settings.public_url

    def address(self, request: web.BaseRequest) -> Address | None:
        """The client's own address; None if it cannot be known, as when a proxy that is not trusted stands between."""
        address = _ip(request.remote)
        forwarded = [
            part.strip()
            for header in request.headers.getall("X-Forwarded-For", ())
            for part in header.split(",")
        ]
        while address is not None and forwarded and contains(self._trusted, address):
            address = _ip(forwarded.pop())
        return address

    def is_direct(self, request: web.BaseRequest) -> bool:
        """Whether nobody, trusted or not, says to have forwarded this request."""
        return not any(name in request.headers for name in ("X-Forwarded-For", "Forwarded", "Via"))

    def is_https(self, request: web.BaseRequest) -> bool:
        """Whether the client's side of the connection is HTTPS."""
        if request.secure:
            return True
        peer = _ip(request.remote)
        by_proxy = peer is not None and contains(self._trusted, peer)
        return by_proxy and request.headers.get("X-Forwarded-Proto", "").lower() == "https"

    def base_url(self, request: web.BaseRequest) -> str:
        """The address under which this client sees the server, without a slash at the end."""
        if self._public_url:
            return self._public_url
        return f"{'https' if self.is_https(request) else 'http'}://{host(request)}"


class BadTokens:
    """Counts refused tokens by client address: a bucket that refills in a minute.

    Good tokens always pass, so that one machine cannot lock out its whole hospital behind the same address.
    """

    def __init__(self, per_minute: int, now_s: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._now_s = now_s
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def note(self, address: Address | None) -> bool:
        """Notes one refused token; True if this client has shown too many."""
        key = _network_key(address)
        now_s = self._now_s()
        level, at_s = self._buckets.pop(key, (0.0, now_s))
        level = max(0.0, level - (now_s - at_s) * self._per_minute / 60) + 1
        over = level > self._per_minute
        self._buckets[key] = (min(level, self._per_minute + 1.0), now_s)
        if len(self._buckets) > KNOWN_CLIENTS:
            self._buckets.popitem(last=False)
        return over


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Settings' networks, ready to compare."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def contains(those: Sequence[Network], address: Address) -> bool:
    """Whether one of the networks holds the address."""
    return any(address in network for network in those)


def host(request: web.BaseRequest) -> str:
    """The Host header if it is a host and port, else what the socket says: it goes into headers and links."""
    said = request.headers.get("Host", "")
    return said if _HOST.fullmatch(said) else "localhost"


def error_response(error: PublicError, status: int | None = None) -> web.Response:
    """An error as the protocol says it (`docs/protocol.md`, "Errors")."""
    response = web.Response(
        status=status or error.http,
        body=msgspec.json.encode({"error": {"code": error.code, "text": error.text}}),
        content_type="application/json",
    )
    if error.http == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if error.http in (429, 503):
        response.headers["Retry-After"] = "10"
    return response


def errors_middleware(
    clients: Clients, bad_tokens: BadTokens
) -> Callable[..., Awaitable[web.StreamResponse]]:
    """Turns whatever a handler raises into the protocol's error, and counts refused tokens."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await _answer(request, handler)
        if not _refused_token(response):
            return response
        if not bad_tokens.note(clients.address(request)) or response.prepared:
            return response
        too_many = BridgeError("Too many wrong links were tried from here; wait a minute.", "tooMany")
        return error_response(public_error(too_many))

    return middleware


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except BridgeError as error:
        return error_response(public_error(error))
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _from_http_exception(error)
    except ConnectionError:
        # The client has gone; nobody reads this answer.
        return error_response(public_error(BridgeError("The connection was lost.", "malformed")))
    except Exception as error:
        route = request.match_info.route.resource
        _log.exception("request failed", method=request.method, route=route.canonical if route else None)
        return error_response(public_error(error))


def _from_http_exception(error: web.HTTPException) -> web.Response:
    code = _BY_STATUS.get(error.status, "malformed" if error.status < 500 else "internal")
    if code == "internal":
        return error_response(public_error(error), error.status)
    texts = {"notFound": "There is nothing here.", "tooLarge": "The request is too large."}
    text = texts.get(code, "The request cannot be understood.")
    response = error_response(PublicError(code, text, CODES[code].http, None), error.status)
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


def _refused_token(response: web.StreamResponse) -> bool:
    if isinstance(response, web.WebSocketResponse):
        return response.get(CLOSE_CODE) in BAD_TOKEN_CLOSES
    return response.status == 401


def security_headers(
    settings: Settings, clients: Clients
) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """The `on_response_prepare` signal that puts the security headers on everything that leaves."""

    async def prepare(request: web.Request, response: web.StreamResponse) -> None:
        headers = response.headers
        headers["Server"] = "bridge"
        headers["X-Content-Type-Options"] = "nosniff"
        headers["X-Frame-Options"] = "DENY"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Permissions-Policy"] = PERMISSIONS
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        headers["Content-Security-Policy"] = _content_policy(request, response)
        headers.setdefault("Cache-Control", "no-store")
        # A self-signed certificate has to be clicked through, which this header would forbid for a year.
        if clients.is_https(request) and settings.tls != "self-signed":
            headers["Strict-Transport-Security"] = f"max-age={HSTS_S}"

    return prepare


def _content_policy(request: web.Request, response: web.StreamResponse) -> str:
    if request.path.endswith(".js") and response.status in (200, 304):
        # A worker has the policy of its own script: that of pictures compiles WebAssembly, and none fetches.
        return "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; frame-ancestors 'none'"
    # 304 has no type of its own, and what it says replaces what the browser kept of the page.
    # aiohttp would take a third of a millisecond to find this out, with the parser for mail.
    type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if type != "text/html" and response.status != 304:
        return "default-src 'none'; frame-ancestors 'none'"
    # Not every browser counts the WebSocket of the same host as 'self'.
    here = host(request)
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' blob:; "
        f"media-src 'self' blob: mediastream:; connect-src 'self' wss://{here} ws://{here}; worker-src 'self'; "
        "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _ip(text: str | None) -> Address | None:
    try:
        address = ipaddress.ip_address((text or "").partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _network_key(address: Address | None) -> str:
    """Who counts as one client: an IPv4 address, or the /64 that one IPv6 customer has to itself."""
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
