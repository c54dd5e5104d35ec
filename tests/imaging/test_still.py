"""Still pictures of live tracks' keyframes, made in a worker."""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction

import av
import msgspec
import numpy as np
import pytest
from PIL import Image

from bridge.imaging.errors import DicomError
from bridge.imaging.workers import Workers

STILL = "bridge.imaging.still:still"
ENCODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9", "h264": "libx264", "av1": "libsvtav1"}


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    pool = Workers(1)
    yield pool
    pool.close()


def keyframe(codec: str, width: int, height: int) -> bytes:
    """Left half orange, right half blue."""
    context = av.CodecContext.create(ENCODERS[codec], "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base = Fraction(1, 25)
    picture = np.empty((height, width, 3), np.uint8)
    picture[:, : width // 2], picture[:, width // 2 :] = (230, 120, 20), (20, 40, 200)
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    frame.pts = 0
    packets = [*context.encode(frame), *context.encode(None)]
    return bytes(packets[0])


def arguments(codec: str, record: bytes = b"") -> bytes:
    return msgspec.msgpack.encode((codec, record))


@pytest.mark.parametrize(
    ("size", "shown"),
    [((320, 180), (192, 108)), ((180, 320), (80, 144)), ((1280, 720), (192, 108)), ((96, 64), (96, 64))],
)
@pytest.mark.parametrize("codec", ENCODERS)
def test_a_keyframe_becomes_a_small_picture_of_the_same_shape_and_colours(
    workers: Workers, codec: str, size: tuple[int, int], shown: tuple[int, int]
) -> None:
    jpeg = workers.call(STILL, keyframe(codec, *size), arguments(codec))
    assert len(jpeg) < 12_000
    picture = Image.open(io.BytesIO(jpeg)).convert("RGB")
    assert picture.size == shown
    left, right = (
        np.array(picture.getpixel((picture.width * part // 4, picture.height // 2)), int) for part in (1, 3)
    )
    assert np.abs(left - (230, 120, 20)).max() < 40
    assert np.abs(right - (20, 40, 200)).max() < 40


@pytest.mark.parametrize("codec", ENCODERS)
@pytest.mark.parametrize("length", [0, 1, 30])
def test_what_is_no_whole_keyframe_is_refused(workers: Workers, codec: str, length: int) -> None:
    with pytest.raises(DicomError):
        workers.call(STILL, keyframe(codec, 320, 180)[:length], arguments(codec))
    assert workers.lost == 0


def test_a_huge_picture_costs_no_more_memory_than_a_worker_may_take(workers: Workers) -> None:
    with pytest.raises(DicomError):
        workers.call(STILL, keyframe("vp8", 8192, 4608), arguments("vp8"), memory_bytes=256 << 20)


def test_a_codec_that_is_not_spoken_is_refused(workers: Workers) -> None:
    with pytest.raises(DicomError):
        workers.call(STILL, b"\0" * 100, arguments("gif"))
