"""aiortc as publisher, subscriber and player through the real engine and relay."""

from __future__ import annotations

import asyncio

from av import AudioFrame, VideoFrame

from bridge.media.contract import PeerUp, Source, Subscription, TrackFlowing
from tests.media.webrtc import frames, publish, running_engine, subscribe


async def test_pictures_and_sound_arrive_at_a_subscriber() -> None:
    async with running_engine() as (engine, news):
        sender = await publish(engine, Source.ULTRASOUND, Source.MICROPHONE)
        await news.wait(PeerUp, lambda event: event.peer == sender.peer)
        video, audio = sender.tracks[Source.ULTRASOUND], sender.tracks[Source.MICROPHONE]
        await news.wait(TrackFlowing, lambda event: event.track == video.track and event.flowing)
        receiver = await subscribe(engine, news, Subscription(video.track), Subscription(audio.track))
        await news.wait(PeerUp, lambda event: event.peer == receiver.peer)
        tracks = {}
        for _ in range(2):
            track = await asyncio.wait_for(receiver.received.get(), 5)
            tracks[track.kind] = track
        pictures, sounds = await asyncio.gather(frames(tracks["video"], 30), frames(tracks["audio"], 30))
        assert {(p.width, p.height) for p in pictures if isinstance(p, VideoFrame)} == {(320, 240)}
        assert all(isinstance(s, AudioFrame) for s in sounds)
        await sender.connection.close()
        await receiver.connection.close()
