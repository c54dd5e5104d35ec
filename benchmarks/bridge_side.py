"""Bridge as a measured server: `bridge serve`, an event with one point on the stage that sends a single layer, viewers.

All come by the public protocol. The point's microphone is muted, as only the picture is compared.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks import stream
from benchmarks.hosts import Host
from bridge.crowd import sdp
from bridge.crowd.crew import Crew
from bridge.crowd.member import Heights, Member
from bridge.media import _native
from tests.serving import Server

EXTENSION_BYTES = 12
"""What the relay adds to each packet's header for a viewer of the crowd."""
RELAY_THREAD = "bridge-relay"
PORT, MEDIA_PORT = 8080, 8443
JOIN_TIMEOUT_S = 30.0
CAPACITY = 1000
SETTINGS = {
    "log_level": "warning",
    # How viewers are let in is not measured here.
    "joins_per_s": "1000",
    "joins_burst": "1000",
}


class Bridge:
    """A running one, with its publisher and its viewers."""

    def __init__(self, server: Server, http: aiohttp.ClientSession, crew: Crew) -> None:
        assert server.process is not None
        self.pid = server.process.pid
        self._server = server
        self._http = http
        self._crew = crew
        self._heights = Heights()
        self._members: list[Member] = []
        self._camera: _Camera | None = None
        self._viewers_token = ""

    async def begin(self) -> None:
        """Makes the event, and puts the point on its stage."""
        made = await self._create_session()
        organiser = Member(
            self._crew,
            self._http,
            self._server.address,
            made["tokens"]["organiser"],
            "Organiser",
            "organiser",
            self._heights,
        )
        await self._come(organiser)
        camera = self._camera = _Camera(
            self._crew,
            self._http,
            self._server.address,
            made["tokens"]["satellite"],
            "Point",
            "point",
            self._heights,
            watching=False,
        )
        await self._come(camera)
        await organiser.request("giveFloor", participant=camera.id)
        self._viewers_token = made["tokens"]["viewer"]

    async def end(self) -> None:
        await asyncio.gather(*(member.close() for member in self._members))

    async def add_viewer(self) -> None:
        """Raises BridgeError if it is refused."""
        name = f"Viewer {len(self._members)}"
        await self._come(
            Member(
                self._crew,
                self._http,
                self._server.address,
                self._viewers_token,
                name,
                "viewer",
                self._heights,
            )
        )

    def play(self, on: bool) -> None:
        if self._camera is not None:
            self._camera.play(on)

    async def fed(self) -> int:
        """How many packets it was sent."""
        return (await self._crew.counts()).sent

    async def _come(self, member: Member) -> None:
        self._members.append(member)
        await member.come(asyncio.get_running_loop().time() + JOIN_TIMEOUT_S)

    async def _create_session(self) -> dict[str, Any]:
        async with self._http.post(
            f"{self._server.address}/api/sessions",
            json={
                "title": "Side by side",
                "format": "event",
                "kind": "training",
                "capacity": CAPACITY,
                "record": "never",
            },
            headers={"Authorization": f"Bearer {self._server.staff_token()}"},
        ) as answer:
            answer.raise_for_status()
            return dict(await answer.json())


class _Camera(Member):
    """A point whose camera sends one layer, when it is told to and not when the server wants it."""

    _number: int | None = None

    def play(self, on: bool) -> None:
        if self._number is not None:
            self._crew.native.set_layers(self._number, [stream.RID] if on else [])

    async def _publish(self) -> None:
        link = self._publisher = self._crew.link()
        answer = await self.request(
            "publishOffer",
            sdp=sdp.write_offer(link.own, [stream.RID]),
            fresh=True,
            tracks=[
                {"mid": sdp.AUDIO_MID, "source": "microphone", "muted": True},
                {"mid": sdp.VIDEO_MID, "source": "camera", "muted": False},
            ],
        )
        server = sdp.read_answer(answer["sdp"])
        link.begin(server)
        codec = sdp.VP8
        self._crew.native.publish(
            link.number,
            _native.ExtensionIds(**sdp.publishing_extensions()),
            video=(sdp.VIDEO_MID, codec.payload_type, codec.rtx_payload_type, [(stream.RID, 1, 2)]),
        )
        self._number = link.number
        self.play(False)
        await link.connect(server)


@asynccontextmanager
async def running_bridge(
    host: Host, folder: Path, http: aiohttp.ClientSession, crew: Crew
) -> AsyncIterator[Bridge]:
    """Starts one there, with an event in it, and ends it with the block."""
    server = Server(
        folder,
        host=host.address,
        prefix=host.command(),
        settings=SETTINGS,
        port=PORT,
        media_port=MEDIA_PORT,
    )
    try:
        await asyncio.to_thread(server.start)
        bridge = Bridge(server, http, crew)
        try:
            await bridge.begin()
            yield bridge
        finally:
            await bridge.end()
    finally:
        if server.process is not None:
            await asyncio.to_thread(server.stop)
