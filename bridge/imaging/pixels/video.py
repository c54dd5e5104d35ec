"""One frame out of a video stream (MPEG-2, H.264 and H.265 in DICOM: PS3.5 sections 8.2.5 to 8.2.8).

The stream is opened as exactly the container that its first bytes show: FFmpeg's own guessing knows playlists and
other formats that open files and addresses.
"""

from __future__ import annotations

import io

import av
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from bridge.imaging.pixels.faults import PixelError
from bridge.imaging.pixels.format import H264, HEVC, PixelFormat

_CODECS = "h264,hevc,mpeg2video,mpeg1video"
_TS_PACKET_BYTES = 188
# From here on a stream that does not say its colours means those of high definition (BT.709).
_HIGH_DEFINITION_ROWS = 720
_UNSPECIFIED = 2


def video_frame(form: PixelFormat, stream: bytes, index: int) -> npt.NDArray[np.uint8]:
    """The frame `index` of a whole stream as RGB. All frames up to it are decoded.

    Raises:
        PixelError: the stream is not of the size that the object says, or has no such frame.
    """
    options = {"codec_whitelist": _CODECS, "protocol_whitelist": "", "enable_drefs": "0"}
    container_format = sniffed_container(form.transfer_syntax, stream)
    if container_format != "mov":
        del options["enable_drefs"]
    with av.open(io.BytesIO(stream), mode="r", format=container_format, options=options) as container:
        if not container.streams.video:
            raise PixelError("The object holds no video.")
        video = container.streams.video[0]
        decoder = video.codec_context
        if (decoder.height, decoder.width) != (form.rows, form.columns):
            raise PixelError("The video has another size than the object says.")
        decoder.options = {"max_pixels": str(form.pixels + 64 * (form.rows + form.columns))}
        decoder.thread_count = 1
        for number, frame in enumerate(container.decode(video)):
            if (frame.height, frame.width) != (form.rows, form.columns):
                raise PixelError("The video changes its size.")
            if number == index:
                return _rgb(frame)
    raise PixelError("The video ends before this frame.", "notFound")


def sniffed_container(transfer_syntax: str, stream: bytes) -> str:
    """FFmpeg's name of the container that the stream's first bytes show."""
    if stream[4:8] == b"ftyp":
        return "mov"
    if stream[:4] == b"\x00\x00\x01\xba":
        return "mpeg"
    if stream[:1] == b"G" and stream[_TS_PACKET_BYTES : _TS_PACKET_BYTES + 1] == b"G":
        return "mpegts"
    if transfer_syntax in HEVC:
        return "hevc"
    return "h264" if transfer_syntax in H264 else "mpegvideo"


def _rgb(frame: VideoFrame) -> npt.NDArray[np.uint8]:
    """Colours as the stream says they are meant; where it does not say, as its size lets expect."""
    matrix = frame.colorspace
    if matrix == _UNSPECIFIED:
        matrix = Colorspace.ITU709 if frame.height >= _HIGH_DEFINITION_ROWS else Colorspace.ITU601
    full = frame.color_range == ColorRange.JPEG
    picture = VideoReformatter().reformat(
        frame,
        format="rgb24",
        src_colorspace=matrix,
        src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
    )
    return np.asarray(picture.to_ndarray(), np.uint8)
