"""The native crowd on an event loop: its members' transports with DTLS (RFC 5764) as the client, and its counts.

SDP and WebSockets are `member`'s. One certificate serves all: the server tells members apart by their ICE credentials.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from types import TracebackType

from bridge.crowd.reel import Frames
from bridge.crowd.sdp import Own, Server
from bridge.errors import MediaError
from bridge.media._native import Crowd, CrowdCounts, DtlsReceived, FirstFrame, PeerConnected
from bridge.media.transport import (
    CloseReason,
    DtlsTransport,
    fingerprint_of,
    make_certificate,
)

CONNECT_TIMEOUT_S = 15.0


class Crew:
    """All transports of this process. Use it as a context manager: leaving closes every socket."""

    def __init__(self, reel: list[tuple[str, int, Frames]]) -> None:
        self.native = Crowd(reel)
        self.certificate = make_certificate()
        self.fingerprint = fingerprint_of(self.certificate)
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count()
        self._links: dict[int, Link] = {}
        self._counting: list[asyncio.Future[CrowdCounts]] = []

    def __enter__(self) -> Crew:
        self._loop.add_reader(self.native.event_fd(), self._drain)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.remove_reader(self.native.event_fd())
        self.native.close()

    def link(self) -> Link:
        """A new transport, not yet open."""
        number = next(self._numbers)
        link = self._links[number] = Link(self, number)
        return link

    def drop(self, link: Link) -> None:
        self._links.pop(link.number, None)
        self.native.remove(link.number)

    async def counts(self) -> CrowdCounts:
        future: asyncio.Future[CrowdCounts] = self._loop.create_future()
        self._counting.append(future)
        self.native.count()
        return await future

    def _drain(self) -> None:
        for event in self.native.drain():
            if isinstance(event, CrowdCounts):
                future = self._counting.pop(0)
                if not future.done():
                    future.set_result(event)
                continue
            link = self._links.get(event.peer)
            if link is None:
                continue
            if isinstance(event, DtlsReceived):
                link.dtls.feed(event.datagram)
            elif isinstance(event, FirstFrame):
                link.first_frames_us[event.ssrc] = event.at_us
            elif isinstance(event, PeerConnected):
                link.connected.set()


class Link:
    """One transport: ICE, DTLS, keys. `first_frames_us` tells by SSRC when a picture could first be shown."""

    def __init__(self, crew: Crew, number: int) -> None:
        self.number = number
        self.connected = asyncio.Event()
        self.up = False
        self.first_frames_us: dict[int, int] = {}
        self.closed: CloseReason | None = None
        self.own = Own(secrets.token_hex(4), secrets.token_hex(16), crew.fingerprint)
        self._crew = crew
        native = crew.native
        self.dtls = DtlsTransport(
            crew.certificate,
            lambda datagram: native.send_dtls(number, datagram),
            # What the server's side calls local is remote here.
            lambda profile, theirs, ours: native.set_keys(number, profile, ours, theirs),
            self._on_closed,
            role="client",
        )

    def begin(self, server: Server) -> None:
        """Opens its socket and begins to ask the server."""
        own = self.own
        self._crew.native.add(
            self.number, server.host, server.port, server.ufrag, server.pwd, own.ufrag, own.pwd
        )

    async def connect(self, server: Server) -> None:
        """Until media can flow. Raises MediaError where the server does not answer or refuses."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self.connected.wait()
        except TimeoutError:
            raise MediaError("The relay did not answer.") from None
        self.up = await self.dtls.open(server.fingerprints, CONNECT_TIMEOUT_S)
        if not self.up:
            raise MediaError(f"DTLS failed: {self.closed}.")

    async def close(self) -> None:
        await self.dtls.close()
        self._crew.drop(self)

    def _on_closed(self, reason: CloseReason) -> None:
        self.closed, self.up = reason, False
