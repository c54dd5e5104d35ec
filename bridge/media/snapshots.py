"""Still pictures of live tracks: taps one until a keyframe of its lowest layer is whole; it is decoded elsewhere.

Implements `contract.Snapshots`. Nothing is decoded here: a keyframe is bytes from a stranger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from bridge.errors import NotFound
from bridge.media._native import TapPackets
from bridge.media.contract import TrackId
from bridge.media.intake import TapListener
from bridge.media.recording.depacketize import FrameAssembler
from bridge.media.recording.reorder import VIDEO_WAIT_US, Packet, ReorderWindow
from bridge.media.recording.samples import Codec, Sample

KEYFRAME_WITHIN_S = 3.0
"""The relay asks a publisher for one at most once a second; then a round trip, and the way on a thin line."""

Decode = Callable[[Codec, bytes, bytes], Awaitable[bytes]]
"""A keyframe and its decoder's configuration to a JPEG. Raises BridgeError for one that cannot be decoded."""


class Tapped(Protocol):
    """What of the engine is needed."""

    def set_tap(self, track: TrackId, listener: TapListener) -> Callable[[], None]: ...
    def request_keyframe(self, track: TrackId) -> None: ...


class Stills:
    """The still pictures of one engine."""

    def __init__(self, engine: Tapped, decode: Decode) -> None:
        self._engine = engine
        self._decode = decode

    async def take(self, track: TrackId) -> bytes:
        codec, sample = await self._keyframe(track)
        record = b"" if sample.configuration is None else sample.configuration.record
        return await self._decode(codec, sample.data, record)

    async def _keyframe(self, track: TrackId) -> tuple[Codec, Sample]:
        found: asyncio.Future[tuple[Codec, Sample]] = asyncio.get_running_loop().create_future()
        layers: dict[int, _Layer] = {}

        def hear(tapped: TapPackets) -> None:
            for packet in tapped.packets:
                if packet.codec == "opus":
                    continue  # every packet of sound stands by itself, as a keyframe does
                layer = layers.get(packet.layer)
                if layer is None or layer.codec != packet.codec:
                    layer = layers[packet.layer] = _Layer(packet.codec)
                # Of several, the lowest is whole first: it is by far the smallest.
                if (sample := layer.push(packet)) is not None and not found.done():
                    found.set_result((layer.codec, sample))

        end = self._engine.set_tap(track, hear)
        try:
            self._engine.request_keyframe(track)
            async with asyncio.timeout(KEYFRAME_WITHIN_S):
                return await found
        except TimeoutError:
            raise NotFound("No picture came of this track.") from None
        finally:
            end()


class _Layer:
    """Looks for the first whole keyframe of one layer."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self._window = ReorderWindow(VIDEO_WAIT_US)
        self._assembler = FrameAssembler(codec)

    def push(self, packet: Packet) -> Sample | None:
        for item in self._window.push(packet):
            for frame in self._assembler.push(item):
                if frame.sample.keyframe:
                    return frame.sample
        return None
