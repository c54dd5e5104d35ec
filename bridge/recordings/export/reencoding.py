"""Pictures of any codec and of changing size into H.264 of one size, at the times that they had.

Good enough to look at closely again (constant quality), without frames out of order. It knows frames, not containers.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
from av.filter import Graph

from bridge.recordings.export.lanes import Losses
from bridge.recordings.export.muxing import US
from bridge.recordings.export.unpacking import Frame, Setup

QUALITY_CRF = "18"
"""Of x264: visually without loss for most pictures."""
KEYFRAME_EVERY = 60
DECODED_LIMIT_PIXELS = 5_120 * 2_880
"""Whoever sends pictures says how large they are, and may lie: a few bytes must not cost gigabytes."""
ENCODED_LIMIT_PIXELS = 4_096 * 2_304
"""Larger ones are made smaller; as it was sent, Matroska has everything."""
_DECODERS = {"h264": "h264", "vp8": "vp8", "vp9": "vp9", "av1": "libdav1d"}
_ENCODED_TIME_BASE = Fraction(1, 90_000)
_USUAL_RATE = Fraction(30)


def settings(
    width: int, height: int, rate: Fraction | None = None, level: str | None = None
) -> dict[str, Any]:
    """For `Movie.add_encoded` with `libx264`: High profile, 4:2:0, times as they come."""
    options = {"preset": "faster", "crf": QUALITY_CRF, "profile": "high"}
    if level is not None:
        options["level"] = level
    return {
        "width": width,
        "height": height,
        "pix_fmt": "yuv420p",
        "time_base": _ENCODED_TIME_BASE,
        "framerate": rate or _USUAL_RATE,
        "gop_size": KEYFRAME_EVERY,
        "max_b_frames": 0,
        "options": options,
    }


class Reencoder:
    """Decodes one lane's frames and encodes them to `stream`; those that cannot be decoded are left out and counted."""

    def __init__(self, stream: Any, width: int, height: int, losses: Losses) -> None:
        self._stream = stream
        self._losses = losses
        self._size = (width, height)
        self._decoder: Any = None
        self._setup: Setup | None = None
        self._graph: tuple[tuple[int, int, str], Graph] | None = None
        self._last_us = -1
        self.frames = 0
        """How many pictures were encoded."""

    def take(self, frame: Frame) -> list[Any]:
        """The packets that are ready."""
        packets: list[Any] = []
        if self._decoder is None or (frame.setup != self._setup and frame.keyframe):
            packets += self._drain()
            self._decoder, self._setup = _decoder(frame.setup), frame.setup
        packet = av.Packet(frame.data)
        packet.time_base, packet.pts, packet.dts = US, frame.at_us, frame.at_us
        packet.duration = frame.duration_us
        try:
            pictures = self._decoder.decode(packet)
        except av.error.FFmpegError:
            self._losses.frames += 1
            return packets
        return packets + [each for picture in pictures for each in self._encode(picture)]

    def finish(self) -> list[Any]:
        """The rest."""
        return [*self._drain(), *self._stream.encode(None)]

    def _drain(self) -> list[Any]:
        if self._decoder is None:
            return []
        try:
            pictures = self._decoder.decode(None)
        except av.error.FFmpegError:
            self._losses.frames += 1
            return []
        return [each for picture in pictures for each in self._encode(picture)]

    def _encode(self, picture: Any) -> list[Any]:
        at_us = max(picture.pts, self._last_us + 1_000)
        self._last_us = at_us
        duration_us = picture.duration
        fitted = self._fitted(picture)
        fitted.pts, fitted.duration = _ticks(at_us), _ticks(duration_us)
        fitted.time_base = _ENCODED_TIME_BASE
        # Which pictures are keyframes is the encoder's own choice.
        fitted.pict_type = av.video.frame.PictureType.NONE
        self.frames += 1
        return list(self._stream.encode(fitted))

    def _fitted(self, picture: Any) -> Any:
        """In the file's size, with bars where the shape is another."""
        width, height = self._size
        if (picture.width, picture.height, picture.format.name) == (width, height, "yuv420p"):
            return picture
        kind = (picture.width, picture.height, picture.format.name)
        if self._graph is None or self._graph[0] != kind:
            self._graph = kind, _graph(kind, self._size)
        graph = self._graph[1]
        graph.push(picture)
        return graph.pull()


def _decoder(setup: Setup) -> Any:
    decoder = av.CodecContext.create(_DECODERS[setup.codec], "r")
    decoder.options = {"max_pixels": str(DECODED_LIMIT_PIXELS)}
    if setup.codec == "h264":
        decoder.extradata = setup.avc_record
    return decoder


def _graph(kind: tuple[int, int, str], size: tuple[int, int]) -> Graph:
    graph = Graph()
    width, height, pixels = kind
    source = graph.add_buffer(
        width=width, height=height, format=av.VideoFormat(pixels, width, height), time_base=US
    )
    fit = f"{size[0]}:{size[1]}:force_original_aspect_ratio=decrease:force_divisible_by=2:flags=bicubic"
    scale = graph.add("scale", fit)
    pad = graph.add("pad", f"{size[0]}:{size[1]}:(ow-iw)/2:(oh-ih)/2")
    form = graph.add("format", "yuv420p")
    graph.link_nodes(source, scale, pad, form, graph.add("buffersink"))
    graph.configure()
    return graph


def _ticks(value_us: int) -> int:
    return value_us * _ENCODED_TIME_BASE.denominator // 1_000_000


def largest(setups: list[Setup]) -> tuple[int, int]:
    """The size that all pictures fit in without loss, as H.264 wants it: even; within what is decoded and encoded."""
    shown = [each for each in setups if each.width * each.height <= DECODED_LIMIT_PIXELS]
    best = max(shown or setups, key=lambda each: each.width * each.height)
    width, height = best.width, best.height
    while width * height > ENCODED_LIMIT_PIXELS:
        width, height = width * 3 // 4, height * 3 // 4
    return max(2, width + width % 2), max(2, height + height % 2)
