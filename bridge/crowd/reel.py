"""The pictures that a crowd's cameras send: a drawn head that moves, really encoded (VP8, RFC 6386), in layers.

Each layer begins with a keyframe and has no other, as a browser sends one only when asked; so what the server asks for
is what it gets. The same reel serves all cameras.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
from av.video.codeccontext import VideoCodecContext

Frames = list[tuple[bool, bytes]]
Plane = npt.NDArray[np.uint8]

REEL_S = 8
WIDTH, HEIGHT, FRAMES_PER_SECOND = 960, 540, 24
_NO_KEYFRAME = 1_000_000
_SHELVES = 160
"""Things in the room behind: they make a keyframe as large as a real room's."""
_SENSOR_NOISE = 4
"""In steps of 256: without it an encoder has little to do after the first frame."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One simulcast layer: what of it browsers send at such a size."""

    rid: str
    width: int
    height: int
    frames_per_second: int
    bitrate_bps: int


LAYERS = (
    Layer("l", 240, 136, 8, 60_000),
    Layer("m", 480, 270, 24, 300_000),
    Layer("h", WIDTH, HEIGHT, FRAMES_PER_SECOND, 900_000),
)
"""Lowest first, of a camera of 960x540 (`docs/protocol.md`, Publishing)."""


def encode(seconds: int = REEL_S) -> list[tuple[str, int, Frames]]:
    """All layers in the form that the native crowd takes. Takes seconds of a core: call it in a thread."""
    encoders = [_encoder(layer) for layer in LAYERS]
    reel: list[Frames] = [[] for _ in LAYERS]
    room = _Room(seconds * FRAMES_PER_SECOND)
    for number in range(room.count):
        picture = room.draw(number)
        for layer, encoder, frames in zip(LAYERS, encoders, reel, strict=True):
            step = FRAMES_PER_SECOND // layer.frames_per_second
            if number % step == 0:
                frame = picture.reformat(width=layer.width, height=layer.height)
                frame.pts = number // step
                frames += [(packet.is_keyframe, bytes(packet)) for packet in encoder.encode(frame)]
    return [(layer.rid, layer.frames_per_second, frames) for layer, frames in zip(LAYERS, reel, strict=True)]


def _encoder(layer: Layer) -> VideoCodecContext:
    encoder = av.CodecContext.create("libvpx", "w")
    encoder.width, encoder.height, encoder.pix_fmt = layer.width, layer.height, "yuv420p"
    encoder.framerate = Fraction(layer.frames_per_second)
    encoder.time_base = Fraction(1, layer.frames_per_second)
    encoder.bit_rate = layer.bitrate_bps
    encoder.gop_size = _NO_KEYFRAME
    encoder.thread_count = 1
    # As a browser encodes a call: constant rate, nothing held back.
    encoder.options = {
        "deadline": "realtime",
        "cpu-used": "8",
        "lag-in-frames": "0",
        "keyint_min": str(_NO_KEYFRAME),
        "minrate": str(layer.bitrate_bps),
        "maxrate": str(layer.bitrate_bps),
        "bufsize": str(layer.bitrate_bps),
    }
    return encoder


class _Room:
    """Somebody who speaks before shelves; ends where it began, so that the loop has no jump."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._random = np.random.default_rng(1)
        self._luma = self._shelves(WIDTH, HEIGHT)
        self._blue, self._red = (self._shelves(WIDTH // 2, HEIGHT // 2) // 4 + 96 for _ in range(2))
        self._noise = self._random.integers(
            -_SENSOR_NOISE, _SENSOR_NOISE, (HEIGHT + 64, WIDTH + 64), np.int16
        )

    def draw(self, number: int) -> av.VideoFrame:
        turn = 2 * math.pi * number / self.count
        x, y = WIDTH // 2 + int(50 * math.sin(2 * turn)), int(HEIGHT * 0.42 + 12 * math.sin(5 * turn))
        luma, blue, red = self._luma.copy(), self._blue.copy(), self._red.copy()
        for centre, size, colour in (
            ((WIDTH // 2, HEIGHT), (230, 200), (205, 125, 128)),
            ((x, y), (85, 115), (165, 110, 150)),
            ((x, y + 60), (28, 4 + int(6 * (1 + math.sin(20 * turn)))), (50, 128, 130)),
        ):
            _ellipse(luma, centre, size, colour[0])
            half = (centre[0] // 2, centre[1] // 2), (size[0] // 2, max(1, size[1] // 2))
            _ellipse(blue, *half, colour[1])
            _ellipse(red, *half, colour[2])
        down, across = self._random.integers(0, 64, 2)
        noise = self._noise[down : down + HEIGHT, across : across + WIDTH]
        noisy = (luma + noise).clip(16, 235).astype(np.uint8)
        planes = np.concatenate([plane.reshape(-1) for plane in (noisy, blue, red)])
        return av.VideoFrame.from_ndarray(planes.reshape(HEIGHT * 3 // 2, WIDTH), format="yuv420p")

    def _shelves(self, width: int, height: int) -> Plane:
        plane = np.full((height, width), 90, np.uint8)
        for _ in range(_SHELVES):
            left, top = self._random.integers(0, (width, height))
            across, down = self._random.integers((4, 8), (width // 12, height // 5))
            plane[top : top + down, left : left + across] = self._random.integers(40, 200)
        return plane


def _ellipse(plane: Plane, centre: tuple[int, int], size: tuple[int, int], value: int) -> None:
    (x, y), (width, height) = centre, size
    top, left = max(0, y - height), max(0, x - width)
    part = plane[top : y + height, left : x + width]
    down, across = np.ogrid[top : top + part.shape[0], left : left + part.shape[1]]
    part[((across - x) / width) ** 2 + ((down - y) / height) ** 2 < 1] = value
