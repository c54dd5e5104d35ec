"""What a program sees and hears of a track it receives."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from bridge.client import Participant

FRAME_TIMEOUT_S = 15.0


@dataclass(frozen=True)
class Pictures:
    """Frames of a video: their size and how many differ from the one before."""

    width: int
    height: int
    frames: int
    moved: int


def track_of(participant: Participant, source: str, publisher: str) -> str | None:
    """The id of somebody's track of a source, once it is known and received."""
    for identity, track in participant.tracks.items():
        if (
            track["source"] == source
            and track["participant"] == publisher
            and identity in participant.received
        ):
            return identity
    return None


async def receive(participant: Participant, source: str, publisher: str) -> MediaStreamTrack:
    """Waits until a track is received and returns it."""
    identity = await participant.until(lambda: track_of(participant, source, publisher))
    return participant.received[identity]


async def pictures(track: MediaStreamTrack, count: int = 15) -> Pictures:
    """Takes `count` frames."""
    moved, before, frame = 0, None, None
    for _ in range(count):
        frame = await asyncio.wait_for(track.recv(), FRAME_TIMEOUT_S)
        assert isinstance(frame, av.VideoFrame)
        now = frame.to_ndarray(format="gray")[::8, ::8].astype(np.int16)
        if before is not None and before.shape == now.shape and np.abs(now - before).sum() > 200:
            moved += 1
        before = now
    assert isinstance(frame, av.VideoFrame)
    return Pictures(frame.width, frame.height, count, moved)


async def loudest(track: MediaStreamTrack, seconds: float = 3.0) -> float:
    """The loudest 20 ms (root mean square, 0 to 1) of some seconds of sound."""
    best = 0.0
    for _ in range(int(seconds * 50)):
        frame = await asyncio.wait_for(track.recv(), FRAME_TIMEOUT_S)
        assert isinstance(frame, av.AudioFrame)
        samples = frame.to_ndarray().astype(np.float64) / 32768
        best = max(best, float(np.sqrt((samples**2).mean())))
    return best


async def goes_silent(track: MediaStreamTrack, within_s: float = 3.0, quiet_s: float = 1.0) -> None:
    """Nothing more comes: after at most `within_s` there is a pause of `quiet_s`."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + within_s
    while loop.time() < deadline_s:
        try:
            await asyncio.wait_for(track.recv(), quiet_s)
        except (TimeoutError, MediaStreamError):
            return
    raise AssertionError(f"frames still come after {within_s} s")
