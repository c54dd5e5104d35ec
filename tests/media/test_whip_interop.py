"""An encoder that is not ours (ffmpeg) publishes over WHIP, a player that is not ours (aiortc) receives over WHEP."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.rtcdtlstransport import RTCCertificate
from av import VideoFrame
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bridge.errors import NotFound
from bridge.media.contract import Description, PeerId, PublishedTrack, Source
from bridge.media.engine import Engine
from bridge.media.negotiation import encoder_wishes
from bridge.media.whip import Opened, add_routes
from tests.media.webrtc import TIMEOUT_S, frames, running_engine

ENCODER = Path(__file__).parent / "whip_encoder.py"
AUTHORISED = {"Authorization": "Bearer good"}


@dataclass
class EngineDoors:
    """Doors straight onto the engine, without rooms: what is published last is what is played."""

    engine: Engine
    published: asyncio.Queue[tuple[PublishedTrack, ...]] = field(default_factory=asyncio.Queue)
    shown: tuple[PublishedTrack, ...] = ()
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def publish(
        self, token: str, name: str | None, offer: Description, video: Source, audio: Source
    ) -> Opened:
        peer = await self.engine.open_publisher()
        answer = await self.engine.publish(peer, offer, encoder_wishes(offer, video, audio))
        self.shown = answer.tracks
        self.published.put_nowait(answer.tracks)
        return Opened(str(peer), answer.answer)

    async def play(
        self, token: str, offer: Description, source: Source | None, participant: str | None
    ) -> Opened:
        peer, answer = await self.engine.open_player(offer)
        tracks = {track.kind: track.track for track in self.shown}
        self.engine.show(peer, tracks.get("video"), tracks.get("audio"))
        return Opened(str(peer), answer)

    async def restart(self, resource: str, token: str, fragment: Description) -> Description:
        return await self.engine.restart_peer(PeerId(int(resource)), fragment)

    async def close(self, resource: str, token: str) -> None:
        if not resource.isdecimal():
            raise NotFound("Gone.")
        await self.engine.close_peer(PeerId(int(resource)))
        self.closed.set()


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[tuple[EngineDoors, str]]:
    async with running_engine() as (engine, _):
        doors = EngineDoors(engine)
        app = web.Application()
        add_routes(app, doors)
        async with TestServer(app) as server:
            yield doors, str(server.make_url("")).rstrip("/")


def write_certificate(folder: Path) -> tuple[str, str]:
    certificate = RTCCertificate.generateCertificate()
    cert, key = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(certificate._cert.public_bytes(Encoding.PEM))
    key.write_bytes(certificate._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return str(cert), str(key)


async def test_ffmpeg_publishes_and_a_player_sees_and_hears_it(tmp_path: Path) -> None:
    async with serving() as (doors, url), ClientSession() as http:
        certificate = write_certificate(tmp_path)
        encoder = await asyncio.create_subprocess_exec(
            sys.executable, ENCODER, f"{url}/whip", "good", "8", *certificate
        )
        try:
            tracks = await asyncio.wait_for(doors.published.get(), TIMEOUT_S)
            assert {track.codec for track in tracks} == {"h264", "opus"}

            player = RTCPeerConnection(RTCConfiguration(iceServers=[]))
            received: dict[str, MediaStreamTrack] = {}
            player.on("track", lambda track: received.setdefault(track.kind, track))
            for kind in ("video", "audio"):
                player.addTransceiver(kind, direction="recvonly")
            await player.setLocalDescription(await player.createOffer())
            headers = AUTHORISED | {"Content-Type": "application/sdp"}
            async with http.post(
                f"{url}/whep", data=player.localDescription.sdp, headers=headers
            ) as response:
                assert response.status == 201
                location = response.headers["Location"]
                await player.setRemoteDescription(RTCSessionDescription(await response.text(), "answer"))
            pictures, sounds = await asyncio.gather(
                frames(received["video"], 30), frames(received["audio"], 50)
            )
            assert len(sounds) == 50
            greys = {int(p.to_ndarray(format="gray")[0, 0]) for p in pictures if isinstance(p, VideoFrame)}
            assert len(greys) > 10  # the encoder's picture changes its grey with every frame

            async with http.delete(f"{url}{location}", headers=AUTHORISED) as response:
                assert response.status == 200
            await player.close()
            doors.closed.clear()
            assert await asyncio.wait_for(encoder.wait(), TIMEOUT_S) == 0
            # ffmpeg ends with the DELETE that RFC 9725 asks for.
            await asyncio.wait_for(doors.closed.wait(), TIMEOUT_S)
            assert doors.engine.peer_count == 0
        finally:
            if encoder.returncode is None:
                encoder.kill()
                await encoder.wait()
