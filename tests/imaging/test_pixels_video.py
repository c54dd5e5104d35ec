"""Single frames out of video streams, made by FFmpeg's encoders from pictures that are known."""

from __future__ import annotations

import io
from typing import Any

import av
import numpy as np
import pytest

from bridge.imaging.pixels.decoding import decode_frame
from bridge.imaging.pixels.faults import PixelError
from bridge.imaging.pixels.format import PixelFormat

H264_UID = "1.2.840.10008.1.2.4.102"
HEVC_UID = "1.2.840.10008.1.2.4.107"
MPEG2_UID = "1.2.840.10008.1.2.4.100"
FRAMES = 12


def form_of(syntax: str, rows: int = 96, columns: int = 128, frames: int = FRAMES) -> PixelFormat:
    return PixelFormat(syntax, rows, columns, 3, "YBR_PARTIAL_420", 8, 8, 7, False, False, frames)


def picture(number: int) -> np.ndarray[Any, Any]:
    """A colour that grows with the frame's number, and a white corner."""
    pixels = np.full((96, 128, 3), (20 * number, 128, 255 - 20 * number), np.uint8)
    pixels[:24, :24] = 255
    return pixels


def stream(container: str, codec: str) -> bytes:
    """The frames in order, with B-frames where the codec has them."""
    target = io.BytesIO()
    with av.open(target, "w", format=container) as output:
        track = output.add_stream(codec, rate=25)
        track.width, track.height, track.pix_fmt = 128, 96, "yuv420p"
        track.bit_rate = 4_000_000
        for number in range(FRAMES):
            for packet in track.encode(av.VideoFrame.from_ndarray(picture(number), format="rgb24")):
                output.mux(packet)
        for packet in track.encode():
            output.mux(packet)
    return target.getvalue()


@pytest.mark.parametrize(
    ("container", "codec", "syntax"),
    [
        ("h264", "libx264", H264_UID),
        ("mp4", "libx264", H264_UID),
        ("mpegts", "libx264", H264_UID),
        ("hevc", "libx265", HEVC_UID),
        ("mpeg2video", "mpeg2video", MPEG2_UID),
        ("vob", "mpeg2video", MPEG2_UID),
    ],
)
def test_any_frame_of_any_usual_stream_is_found(container: str, codec: str, syntax: str) -> None:
    data = stream(container, codec)
    for number in (0, 5, FRAMES - 1):
        frame = decode_frame(form_of(syntax), data, number)
        assert frame.photometric == "RGB"
        middle = frame.values[60:90, 60:120].reshape(-1, 3).mean(0)
        assert np.abs(middle - (20 * number, 128, 255 - 20 * number)).max() < 12
        assert frame.values[4:16, 4:16].mean() > 240


def test_a_stream_of_another_size_or_with_fewer_frames_is_refused() -> None:
    data = stream("h264", "libx264")
    with pytest.raises(PixelError):
        decode_frame(form_of(H264_UID, rows=480, columns=640), data)
    with pytest.raises(PixelError) as caught:
        decode_frame(form_of(H264_UID, frames=500), data, 400)
    assert caught.value.code == "notFound"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a video",
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        b"\x00\x00\x00\x18ftypisom" + bytes(64),
    ],
)
def test_what_is_no_video_is_refused_without_looking_elsewhere(data: bytes) -> None:
    with pytest.raises(PixelError):
        decode_frame(form_of(H264_UID), data)


def test_a_stream_that_is_cut_gives_its_frames_up_to_there() -> None:
    data = stream("h264", "libx264")
    frame = decode_frame(form_of(H264_UID), data[: len(data) * 2 // 3])
    assert frame.values.shape == (96, 128, 3)
    with pytest.raises(PixelError):
        decode_frame(form_of(H264_UID), data[: len(data) // 3], FRAMES - 1)
