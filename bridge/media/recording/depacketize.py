"""Frames of one layer from its packets in order (RFC 3550: one time stamp a frame, the marker ends it).

Each codec's own module takes the payload headers off. It knows nothing of layers, time lines or containers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bridge.media.recording.av1 import Av1Depacketizer
from bridge.media.recording.h264 import H264Depacketizer
from bridge.media.recording.opus import OpusDepacketizer
from bridge.media.recording.reorder import Hole, Packet
from bridge.media.recording.samples import Codec, Depacketizer, MalformedPayload, Sample
from bridge.media.recording.vpx import Vp8Depacketizer, Vp9Depacketizer

# Far over any keyframe of a live picture; a longer one is an attack on memory.
MAX_FRAME_BYTES = 2 << 20
MAX_FRAME_PACKETS = 4_096

_DEPACKETIZERS: Mapping[Codec, Callable[[], Depacketizer]] = {
    "h264": H264Depacketizer,
    "vp8": Vp8Depacketizer,
    "vp9": Vp9Depacketizer,
    "av1": Av1Depacketizer,
    "opus": OpusDepacketizer,
}


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole frame. `arrived_us` is when its first packet came.

    `lost_packets` and `broken` tell of what is missing between it and the frame before: broken frames, lost packets,
    or a stream that began anew.
    """

    timestamp: int
    arrived_us: int
    sample: Sample
    lost_packets: int = 0
    broken: bool = False


class FrameAssembler:
    def __init__(self, codec: Codec) -> None:
        self._depacketizer = _DEPACKETIZERS[codec]()
        # Each packet of sound is whole in itself; its marker means something else (RFC 7587 section 4.2).
        self._single = codec == "opus"
        self._payloads: list[bytes] = []
        self._bytes = 0
        self._timestamp = -1
        self._arrived_us = 0
        # The rest of this frame is of no use.
        self._spoilt: int | None = None
        self._lost_packets = 0
        self._broken = False

    def push(self, item: Packet | Hole) -> list[Frame]:
        """None, one or (where a marker was missing) two frames."""
        if isinstance(item, Hole):
            self._hole(item)
            return []
        frames: list[Frame] = []
        if self._payloads and item.timestamp != self._timestamp:
            # The sender sets no markers.
            self._finish(frames)
        if item.timestamp == self._spoilt or not item.payload:
            return frames
        self._spoilt = None
        if not self._payloads:
            self._timestamp, self._arrived_us = item.timestamp, item.arrived_us
        self._arrived_us = min(self._arrived_us, item.arrived_us)
        self._payloads.append(item.payload)
        self._bytes += len(item.payload)
        if item.marker or self._single:
            self._finish(frames)
        elif self._bytes > MAX_FRAME_BYTES or len(self._payloads) > MAX_FRAME_PACKETS:
            self._spoil()
        return frames

    def flush(self) -> list[Frame]:
        """The frame whose marker did not come, if it is whole."""
        frames: list[Frame] = []
        if self._payloads:
            self._finish(frames)
        return frames

    def _hole(self, hole: Hole) -> None:
        self._lost_packets += hole.packets
        self._broken = True
        if self._payloads:
            self._spoil()

    def _spoil(self) -> None:
        self._broken = True
        self._spoilt = self._timestamp
        self._clear()

    def _finish(self, frames: list[Frame]) -> None:
        try:
            sample = self._depacketizer.sample(self._payloads)
        except MalformedPayload:
            self._broken = True
            self._clear()
            return
        if sample is not None:
            frames.append(Frame(self._timestamp, self._arrived_us, sample, self._lost_packets, self._broken))
            self._lost_packets, self._broken = 0, False
        self._clear()

    def _clear(self) -> None:
        self._payloads = []
        self._bytes = 0
