"""What the demo satellite shows: the frames of a DICOM ultrasound loop, and a drawn consulting room.

Pure: frames come out as `av.VideoFrame`s, nothing here knows of time or network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pydicom
import pydicom.data
import pydicom.examples
from pydicom.encaps import generate_frames
from pydicom.uid import JPEGBaseline8Bit

Image = npt.NDArray[np.uint8]

CINE_FILE = "color3d_jpeg_baseline.dcm"
DEFAULT_FRAME_TIME_MS = 1000 / 30
ROOM_SIZE = (320, 240)
ROOM_FRAMES = 40
"""One breath of the patient; played at 10 frames a second it takes four seconds."""


@dataclass(frozen=True, slots=True)
class Cine:
    """A loop of frames (yuv420p, all of one size) and the time between two, in seconds."""

    frames: tuple[av.VideoFrame, ...]
    frame_time_s: float


def cine_path() -> Path:
    """The ultrasound loop of `pydicom-data`, or the shorter one that ships inside pydicom."""
    found = pydicom.data.get_testdata_file(CINE_FILE, download=False)
    return Path(str(found)) if found else Path(str(pydicom.examples.get_path("ybr_color")))


def read_cine(path: Path) -> Cine:
    """Reads a JPEG baseline multi-frame object (DICOM PS3.5 section A.4.1) as its frames were stored.

    Raises ValueError for any other transfer syntax.
    """
    dataset = pydicom.dcmread(path)
    if dataset.file_meta.TransferSyntaxUID != JPEGBaseline8Bit:
        raise ValueError("the loop is not in JPEG baseline")
    decoder = av.CodecContext.create("mjpeg", "r")
    frames: list[av.VideoFrame] = []
    for stored in generate_frames(dataset.PixelData, number_of_frames=int(dataset.NumberOfFrames)):
        for frame in decoder.decode(av.Packet(stored)):
            # The stored range is 0 to 255; WebRTC carries 16 to 235, and the browser widens it again.
            frames.append(frame.reformat(format="yuv420p", src_color_range="JPEG", dst_color_range="MPEG"))
    frame_time_ms = float(dataset.get("FrameTime") or DEFAULT_FRAME_TIME_MS)
    return Cine(tuple(frames), frame_time_ms / 1000)


def draw_room() -> Cine:
    """A consulting room as a still life that breathes: wall, window, couch, a patient and a screen's glow."""
    return Cine(tuple(_to_frame(_room(i / ROOM_FRAMES)) for i in range(ROOM_FRAMES)), 0.1)


def _room(phase: float) -> Image:
    """One picture, (height, width, 3) RGB; `phase` 0 to 1 is the place in the breath."""
    width, height = ROOM_SIZE
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    breath = math.sin(2 * math.pi * phase)
    picture = np.empty((height, width, 3), np.float32)
    picture[:] = np.array([196, 203, 200], np.float32)
    picture -= (np.hypot(x - 90, y - 60) * 0.28)[..., None]
    _paint(picture, _box(x, y, 30, 24, 118, 112), (176, 206, 226))
    _paint(picture, _box(x, y, 72, 24, 76, 112) | _box(x, y, 30, 66, 118, 70), (226, 229, 228))
    _paint(picture, _box(x, y, 0, 196, width, height), (120, 112, 104))
    _paint(picture, _box(x, y, 40, 164, 300, 206), (84, 116, 128))
    _paint(picture, _ellipse(x, y, 180, 160 - 2 * breath, 92, 26 + 2 * breath), (214, 222, 226))
    _paint(picture, _ellipse(x, y, 76, 146, 21, 18), (206, 164, 138))
    _paint(picture, _ellipse(x, y, 72, 140, 22, 15) & (x < 72), (64, 50, 44))
    _paint(picture, _box(x, y, 236, 52, 306, 108), (38, 42, 46))
    fan = (np.abs(x - 271) < (y - 56) * 0.6) & (np.hypot(x - 271, y - 56) < 46) & (y > 58)
    _paint(picture, fan, (120 + 30 * breath,) * 3)
    _paint(picture, _box(x, y, 268, 108, 274, 196), (60, 64, 68))
    arm = np.abs((y - 132) - (x - 232) * -0.55 + 3 * breath) < 7
    _paint(picture, arm & (x > 186) & (x < 250), (92, 148, 156))
    _paint(picture, _ellipse(x, y, 188, 156 + 3 * breath, 9, 7), (216, 178, 152))
    return np.clip(picture, 0, 255).astype(np.uint8)


def _box(x: npt.NDArray[np.float32], y: npt.NDArray[np.float32], *corners: float) -> npt.NDArray[np.bool_]:
    left, top, right, bottom = corners
    return (x >= left) & (x < right) & (y >= top) & (y < bottom)


def _ellipse(x: npt.NDArray[np.float32], y: npt.NDArray[np.float32], *shape: float) -> npt.NDArray[np.bool_]:
    centre_x, centre_y, radius_x, radius_y = shape
    return ((x - centre_x) / radius_x) ** 2 + ((y - centre_y) / radius_y) ** 2 < 1


def _paint(
    picture: npt.NDArray[np.float32], where: npt.NDArray[np.bool_], colour: tuple[float, float, float]
) -> None:
    picture[where] = np.array(colour, np.float32)


def _to_frame(picture: Image) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
