"""One keyframe of a live video in, one small JPEG out. Run in a worker: it decodes what strangers sent."""

from __future__ import annotations

from typing import Literal

import av
import imagecodecs
import msgspec
import numpy as np
from msgspec import Struct

from bridge.imaging.errors import DicomError

SIDE_LIMIT = 4096
"""Of what is decoded, in pixels: a keyframe of a lowest layer has some hundreds."""
WIDTH_LIMIT, HEIGHT_LIMIT = 192, 144
QUALITY = 60

_DECODERS = {"vp8": "vp8", "vp9": "vp9", "h264": "h264", "av1": "libdav1d"}


class Wanted(Struct, frozen=True, array_like=True):
    """`record`: the decoder's configuration where the container of the codec has one (`avcC`, `av1C`)."""

    codec: Literal["vp8", "vp9", "h264", "av1"]
    record: bytes = b""


def still(payload: memoryview, arguments: bytes) -> bytes:
    """A JPEG of at most 192 by 144 pixels. Raises DicomError (`damaged`, `tooLarge`)."""
    wanted = msgspec.msgpack.decode(arguments, type=Wanted)
    context = av.CodecContext.create(_DECODERS[wanted.codec], "r")
    if not isinstance(context, av.VideoCodecContext):
        raise TypeError("a picture's codec")
    context.thread_count = 1
    context.extradata = wanted.record or None
    try:
        frames = [*context.decode(av.Packet(bytes(payload))), *context.decode(None)]
    except (av.FFmpegError, ValueError, EOFError):
        raise DicomError("The picture cannot be decoded.") from None
    if not frames:
        raise DicomError("The picture cannot be decoded.")
    frame = frames[0]
    if max(frame.width, frame.height) > SIDE_LIMIT:
        raise DicomError("The picture is too large.", "tooLarge")
    scale = min(1.0, WIDTH_LIMIT / frame.width, HEIGHT_LIMIT / frame.height)
    width, height = (max(2, round(side * scale / 2) * 2) for side in (frame.width, frame.height))
    small = frame.reformat(width=width, height=height, format="rgb24").to_ndarray()
    return bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(small), level=QUALITY, subsampling="420"))
