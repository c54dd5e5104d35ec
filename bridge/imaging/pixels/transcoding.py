"""A frame in another transfer syntax than it is kept in (PS3.18 8.7.3.5), without loss except for JPEG baseline.

What is lossless keeps stored values bit for bit, so measurements stay right. JPEG baseline has 8 bits: it is a
picture for the eye, windowed as the object wants it, and its values mean nothing more.
"""

from __future__ import annotations

import imagecodecs
import msgspec
import numpy as np

from bridge.imaging.pixels.decoding import Frame, decode_frame
from bridge.imaging.pixels.display import Display
from bridge.imaging.pixels.faults import PixelError, plain_faults
from bridge.imaging.pixels.format import (
    EXPLICIT_LITTLE,
    HTJ2K_LOSSLESS,
    HTJ2K_LOSSLESS_RPCL,
    JPEG_BASELINE,
    JPEG_LS_LOSSLESS,
    PixelFormat,
)
from bridge.imaging.pixels.native import native_bytes
from bridge.imaging.pixels.progressive import encode_progressive
from bridge.imaging.pixels.rendering import DEFAULT_QUALITY, encode_picture, picture_of

TARGETS = frozenset({EXPLICIT_LITTLE, JPEG_BASELINE, JPEG_LS_LOSSLESS, HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL})


class Transcoded(msgspec.Struct, frozen=True):
    """A frame in its new form, and what a dataset around it has to say of it.

    `preview_bytes`: as many of its first bytes are a quarter-size picture (HTJ2K; 0: none).
    `lossy`: the values are for the eye only (Lossy Image Compression "01", and no rescale any more).
    """

    data: bytes
    transfer_syntax: str
    photometric: str
    samples: int
    bits_allocated: int
    bits_stored: int
    signed: bool
    lossy: bool = False
    preview_bytes: int = 0


def transcode(
    form: PixelFormat,
    data: bytes,
    index: int,
    target: str,
    display: Display | None = None,
    quality: int = DEFAULT_QUALITY,
) -> Transcoded:
    """Brings one frame into another transfer syntax. `data` and `index` are as for `decode_frame`.

    Args:
        target: one of `TARGETS`.
        display: for JPEG baseline, how the values are to be shown.

    Raises:
        PixelError: the frame cannot be read, or `target` cannot hold it.
    """
    return transcode_frame(form, decode_frame(form, data, index), target, display, quality)


def transcode_frame(
    form: PixelFormat,
    frame: Frame,
    target: str,
    display: Display | None = None,
    quality: int = DEFAULT_QUALITY,
) -> Transcoded:
    """As `transcode`, from a frame that is decoded already."""
    if target not in TARGETS:
        raise PixelError("Frames are not made in this transfer syntax.", "unsupported")
    with plain_faults("The frame"):
        if target == EXPLICIT_LITTLE:
            return _native(form, frame)
        if target == JPEG_BASELINE:
            return _jpeg(frame, display or Display(inverted=frame.photometric == "MONOCHROME1"), quality)
        if frame.values.dtype.kind == "f" or frame.values.dtype.itemsize > 2 or form.bits_allocated == 1:
            raise PixelError("This picture's values do not fit into this transfer syntax.", "unsupported")
        if target == JPEG_LS_LOSSLESS:
            return _jpeg_ls(frame)
        return _htj2k(frame, target)


def _describe(frame: Frame, data: bytes, syntax: str, bits_stored: int, photometric: str) -> Transcoded:
    kind = frame.values.dtype
    samples = 1 if frame.values.ndim == 2 else frame.values.shape[2]
    return Transcoded(data, syntax, photometric, samples, kind.itemsize * 8, bits_stored, kind.kind == "i")


def _native(form: PixelFormat, frame: Frame) -> Transcoded:
    data = native_bytes(form, frame.values)
    described = _describe(frame, data, EXPLICIT_LITTLE, frame.bits_stored, frame.photometric)
    return msgspec.structs.replace(described, bits_allocated=1) if form.bits_allocated == 1 else described


def _jpeg_ls(frame: Frame) -> Transcoded:
    """The encoder takes whole cells only, so all of their bits count as stored; signs are kept by spreading them."""
    values = np.ascontiguousarray(frame.values)
    width = values.dtype.itemsize
    data = bytes(imagecodecs.jpegls_encode(values.view(f"u{width}")))
    return _describe(frame, data, JPEG_LS_LOSSLESS, width * 8, frame.photometric)


def _htj2k(frame: Frame, target: str) -> Transcoded:
    is_rgb = frame.photometric == "RGB"
    encoded = encode_progressive(frame.values, frame.bits_stored, decorrelate=is_rgb)
    photometric = "YBR_RCT" if is_rgb else frame.photometric
    described = _describe(frame, encoded.data, target, frame.bits_stored, photometric)
    return msgspec.structs.replace(described, preview_bytes=encoded.preview_bytes)


def _jpeg(frame: Frame, display: Display, quality: int) -> Transcoded:
    picture = picture_of(frame, display)
    colours = picture.ndim == 3
    return Transcoded(
        data=encode_picture(picture, "image/jpeg", quality),
        transfer_syntax=JPEG_BASELINE,
        photometric="YBR_FULL_422" if colours else "MONOCHROME2",
        samples=3 if colours else 1,
        bits_allocated=8,
        bits_stored=8,
        signed=False,
        lossy=True,
    )
