"""Clients of the engine made of aiortc: nothing of them is the server's own code."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeVar

import numpy as np
from aiortc import (
    AudioStreamTrack,
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
    VideoStreamTrack,
)
from av import VideoFrame

from bridge.media.contract import (
    Description,
    MediaEvent,
    OfferReady,
    PeerId,
    PublishedTrack,
    Source,
    Subscription,
    TrackWish,
)
from bridge.media.engine import Engine, MediaSettings

TIMEOUT_S = 15.0

E = TypeVar("E")


class MovingPicture(VideoStreamTrack):
    """A bar that moves, so that no two frames are the same."""

    def __init__(self, width: int = 320, height: int = 240, grey: int = 40) -> None:
        super().__init__()
        self._size = (width, height)
        self._grey = grey
        self._count = 0

    async def recv(self) -> VideoFrame:
        pts, time_base = await self.next_timestamp()
        width, height = self._size
        image = np.full((height, width, 3), self._grey, np.uint8)
        left = self._count * 7 % (width - 32)
        image[:, left : left + 32] = (220, 180, 60)
        self._count += 1
        frame = VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = pts, Fraction(time_base)
        return frame


@dataclass
class News:
    """Reads the engine's news and keeps it, so that tests can wait for what they need in any order."""

    engine: Engine
    seen: list[MediaEvent] = field(default_factory=list)
    offers: dict[PeerId, asyncio.Queue[OfferReady]] = field(default_factory=dict)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def run(self) -> None:
        while True:
            event = await self.engine.events.get()
            async with self.changed:
                self.seen.append(event)
                self.changed.notify_all()
            if isinstance(event, OfferReady):
                self.offers_of(event.peer).put_nowait(event)

    def offers_of(self, peer: PeerId) -> asyncio.Queue[OfferReady]:
        return self.offers.setdefault(peer, asyncio.Queue())

    async def wait(self, kind: type[E], match: Callable[[E], bool] = lambda _: True, since: int = 0) -> E:
        """The first news of this kind that matches, old or new."""

        def found() -> E | None:
            return next((e for e in self.seen[since:] if isinstance(e, kind) and match(e)), None)

        async with asyncio.timeout(TIMEOUT_S), self.changed:
            await self.changed.wait_for(lambda: found() is not None)
        result = found()
        assert result is not None
        return result


@contextlib.asynccontextmanager
async def running_engine(settings: MediaSettings | None = None) -> AsyncIterator[tuple[Engine, News]]:
    engine = Engine(settings or MediaSettings(host="127.0.0.1"))
    news = News(engine)
    reader = asyncio.create_task(news.run())
    try:
        yield engine, news
    finally:
        await engine.close()
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)


@dataclass
class Publishing:
    peer: PeerId
    connection: RTCPeerConnection
    tracks: dict[Source, PublishedTrack]


async def publish(
    engine: Engine,
    *sources: Source,
    prefer: str | None = None,
    width: int = 320,
    grey: int = 40,
    change: Callable[[str], str] = str,
) -> Publishing:
    """Publishes these sources by aiortc: moving pictures on a grey ground, and silence."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    senders = []
    for source in sources:
        audio = source in (Source.MICROPHONE, Source.ULTRASOUND_SOUND)
        track: MediaStreamTrack = AudioStreamTrack() if audio else MovingPicture(width, 240, grey)
        senders.append((source, connection.addTrack(track)))
    if prefer is not None:
        prefer_codec(connection, prefer)
    await connection.setLocalDescription(await connection.createOffer())
    mids = {t.sender: t.mid for t in connection.getTransceivers()}
    wishes = [TrackWish(mids[sender], source) for source, sender in senders]
    peer = await engine.open_publisher()
    answer = await engine.publish(peer, Description(change(connection.localDescription.sdp)), wishes)
    await connection.setRemoteDescription(RTCSessionDescription(answer.answer, "answer"))
    return Publishing(peer, connection, {track.source: track for track in answer.tracks})


def prefer_codec(connection: RTCPeerConnection, name: str) -> None:
    from aiortc import RTCRtpSender

    for transceiver in connection.getTransceivers():
        if transceiver.kind == "video":
            codecs = RTCRtpSender.getCapabilities("video").codecs
            wanted = [codec for codec in codecs if codec.mimeType.lower() in (f"video/{name}", "video/rtx")]
            transceiver.setCodecPreferences(wanted)


@dataclass
class Subscribing:
    """A subscriber that answers every offer. `received` gets each track that aiortc reports."""

    engine: Engine
    news: News
    peer: PeerId
    connection: RTCPeerConnection
    received: asyncio.Queue[MediaStreamTrack]
    offers: list[OfferReady] = field(default_factory=list)

    async def answer_next(self) -> OfferReady:
        offer = await asyncio.wait_for(self.news.offers_of(self.peer).get(), TIMEOUT_S)
        self.offers.append(offer)
        await self.connection.setRemoteDescription(RTCSessionDescription(offer.offer, "offer"))
        await self.connection.setLocalDescription(await self.connection.createAnswer())
        await self.engine.answer(
            self.peer, offer.negotiation, Description(self.connection.localDescription.sdp)
        )
        return offer


@dataclass
class Playing:
    peer: PeerId
    connection: RTCPeerConnection
    tracks: dict[str, MediaStreamTrack]


async def play(engine: Engine, *kinds: str) -> Playing:
    """A WHEP player: it makes the offer itself."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    tracks: dict[str, MediaStreamTrack] = {}
    connection.on("track", lambda track: tracks.setdefault(track.kind, track))
    for kind in kinds or ("video", "audio"):
        connection.addTransceiver(kind, direction="recvonly")
    await connection.setLocalDescription(await connection.createOffer())
    peer, answer = await engine.open_player(Description(connection.localDescription.sdp))
    await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    return Playing(peer, connection, tracks)


async def subscribe(engine: Engine, news: News, *wanted: Subscription) -> Subscribing:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    received: asyncio.Queue[MediaStreamTrack] = asyncio.Queue()
    connection.on("track", received.put_nowait)
    peer = await engine.open_subscriber()
    subscriber = Subscribing(engine, news, peer, connection, received)
    engine.subscribe(peer, wanted)
    await subscriber.answer_next()
    return subscriber


async def frames(track: MediaStreamTrack, count: int) -> list[object]:
    """That many decoded frames, however long the first takes."""
    async with asyncio.timeout(TIMEOUT_S):
        return [await track.recv() for _ in range(count)]
