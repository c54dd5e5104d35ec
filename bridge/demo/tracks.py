"""Endless tracks for aiortc from loops of frames and samples, paced by the clock."""

from __future__ import annotations

import asyncio
import fractions
import time

import av
import numpy as np
from aiortc import MediaStreamTrack

from bridge.demo.pictures import Cine
from bridge.demo.sound import RATE_HZ, Samples

VIDEO_CLOCK_HZ = 90_000
PTIME_S = 0.02
LATE_S = 1.0
"""Further behind than this (a suspended machine) the loop takes up from now instead of catching up."""


class _Paced:
    """Says when the n-th unit of a fixed length is due."""

    def __init__(self, unit_s: float) -> None:
        self._unit_s = unit_s
        self._start_s: float | None = None
        self._count = 0

    async def next(self) -> int:
        """Waits until the next unit is due and returns its number."""
        now_s = time.monotonic()
        if self._start_s is None:
            self._start_s = now_s
        due_s = self._start_s + self._count * self._unit_s
        if due_s > now_s:
            await asyncio.sleep(due_s - now_s)
        elif now_s - due_s > LATE_S:
            self._count = int((now_s - self._start_s) / self._unit_s)
        self._count += 1
        return self._count - 1


class CineTrack(MediaStreamTrack):
    """A loop of pictures as a video track; `shown` counts the frames given out."""

    kind = "video"

    def __init__(self, cine: Cine) -> None:
        super().__init__()
        self._cine = cine
        self._pace = _Paced(cine.frame_time_s)
        self.shown = 0

    async def recv(self) -> av.VideoFrame:
        number = await self._pace.next()
        stored = self._cine.frames[number % len(self._cine.frames)]
        # A frame of its own: an encoder may still hold the one before while the loop comes round.
        frame = av.VideoFrame.from_ndarray(stored.to_ndarray(), format="yuv420p")
        frame.pts = round(number * self._cine.frame_time_s * VIDEO_CLOCK_HZ)
        frame.time_base = fractions.Fraction(1, VIDEO_CLOCK_HZ)
        self.shown += 1
        return frame


class VoiceTrack(MediaStreamTrack):
    """A loop of samples as an audio track, 20 ms at a time."""

    kind = "audio"

    def __init__(self, samples: Samples) -> None:
        super().__init__()
        self._size = int(RATE_HZ * PTIME_S)
        whole = len(samples) // self._size * self._size
        self._blocks = samples[:whole].reshape(-1, 1, self._size)
        self._pace = _Paced(PTIME_S)

    async def recv(self) -> av.AudioFrame:
        number = await self._pace.next()
        block = np.ascontiguousarray(self._blocks[number % len(self._blocks)])
        frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        frame.pts = number * self._size
        frame.time_base = fractions.Fraction(1, RATE_HZ)
        return frame
