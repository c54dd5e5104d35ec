"""One frame of any transfer syntax, decoded to its stored values.

What a frame says of itself is compared with what its object says before a codec sees it, so that a lying size is
refused and never allocated. Stored values are exact for whatever is lossless.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import imagecodecs
import numpy as np
from msgspec.structs import replace

from bridge.imaging.pixels.codestreams import Codestream, read_jpeg, read_jpeg2000
from bridge.imaging.pixels.faults import PixelError, plain_faults
from bridge.imaging.pixels.format import (
    HTJ2K_LOSSLESS,
    HTJ2K_LOSSLESS_RPCL,
    JPEG,
    JPEG_2000,
    JPEG_LS,
    NATIVE,
    RLE_LOSSLESS,
    VIDEO,
    PixelFormat,
)
from bridge.imaging.pixels.native import Values, native_values, stored_values
from bridge.imaging.pixels.video import video_frame

_RLE_HEADER = struct.Struct("<16I")


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """Stored values of one frame: (rows, columns), or (rows, columns, samples) for colours.

    `photometric` is what the values mean now: a codec may have undone the object's own transform.
    """

    values: Values
    photometric: str
    bits_stored: int


def decode_frame(form: PixelFormat, data: bytes, index: int = 0) -> Frame:
    """Decodes one frame.

    Args:
        form: the object's layout.
        data: the frame as stored: its bytes if native (bits moved so that the first is the lowest of the first byte),
            its fragments joined if compressed, the whole stream if video.
        index: the frame's number from 0, which matters for videos.

    Raises:
        PixelError: the frame is damaged, is not what its object says, or is of a kind that is not handled.
    """
    if not 0 <= index < form.frames:
        raise PixelError("There is no such frame.", "notFound")
    with plain_faults("The frame"):
        syntax = form.transfer_syntax
        if syntax in NATIVE:
            meaning = "YBR_FULL" if form.photometric == "YBR_FULL_422" else form.photometric
            return Frame(native_values(form, data), meaning, form.bits_stored)
        if syntax == RLE_LOSSLESS:
            return Frame(_rle(form, data), form.photometric, form.bits_stored)
        if syntax in JPEG:
            return _jpeg(form, data)
        if syntax in JPEG_LS:
            return _jpeg_ls(form, data)
        if syntax in JPEG_2000:
            return _jpeg2000(form, data)
        if syntax in VIDEO:
            return Frame(video_frame(form, data, index), "RGB", 8)
    raise PixelError("The picture is compressed in a way that is not handled.", "unsupported")


def _rle(form: PixelFormat, data: bytes) -> Values:
    """PS3.5 annex G: one run-length coded segment for each byte of each sample, the most significant one first."""
    width = form.bits_allocated // 8
    if form.is_float or width == 0 or len(data) < _RLE_HEADER.size:
        raise PixelError("The run-length coded frame is damaged.")
    count, *offsets = _RLE_HEADER.unpack_from(data)
    if count != form.samples * width or any(not 64 <= start <= len(data) for start in offsets[:count]):
        raise PixelError("The run-length coded frame does not fit its object.")
    cells = np.empty((form.pixels, form.samples, width), np.uint8)
    ends = [*offsets[1:count], len(data)]
    for segment, (start, end) in enumerate(zip(offsets[:count], ends, strict=True)):
        sample, byte = divmod(segment, width)
        # A run may go on into the byte that fills a segment, hence the room of one run.
        plane = imagecodecs.packbits_decode(data[start:end], out=form.pixels + 128)
        if len(plane) < form.pixels:
            raise PixelError("The run-length coded frame is cut off.")
        cells[:, sample, width - 1 - byte] = np.frombuffer(plane, np.uint8, form.pixels)
    values = cells.view(f"<u{width}").astype(f"=u{width}", copy=False)
    shape = (form.rows, form.columns) if form.samples == 1 else (form.rows, form.columns, form.samples)
    return stored_values(form, values.reshape(shape))


def _jpeg(form: PixelFormat, data: bytes) -> Frame:
    head = read_jpeg(data)
    head.check(form)
    if form.samples == 3:
        ycc = form.photometric.startswith("YBR") if head.ycc is None else head.ycc
        # Lossless JPEG has no colour transform of its own: its samples are what the object says.
        ycc = form.photometric.startswith("YBR") if head.lossless else ycc
        space = "YCBCR" if ycc else "RGB"
        values = imagecodecs.jpeg8_decode(data, colorspace=space, outcolorspace=space)
        return Frame(_as_said(form, head, values), "YBR_FULL" if ycc else "RGB", head.bits)
    return Frame(_as_said(form, head, imagecodecs.jpeg8_decode(data)), form.photometric, form.bits_stored)


def _jpeg_ls(form: PixelFormat, data: bytes) -> Frame:
    """A damaged scan can keep CharLS busy for some seconds whatever its size: only the worker's limit ends that."""
    head = read_jpeg(data)
    head.check(form)
    values = imagecodecs.jpegls_decode(data)
    if values.ndim == 3 and values.shape[0] == form.samples and values.shape[2] != form.samples:
        values = values.transpose(1, 2, 0)
    return Frame(_as_said(form, head, values), form.photometric, form.bits_stored)


def _jpeg2000(form: PixelFormat, data: bytes) -> Frame:
    head = read_jpeg2000(data)
    head.check(form)
    # OpenJPH is much the faster, but imagecodecs lets what strays out of range wrap round, as lossy values do.
    exact = head.high_throughput and form.transfer_syntax in (HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL)
    decode = imagecodecs.htj2k_decode if exact and head.reversible else imagecodecs.jpeg2k_decode
    values = decode(data, planar=False)
    undone = form.photometric in ("YBR_ICT", "YBR_RCT")
    return Frame(_as_said(form, head, values), "RGB" if undone else form.photometric, form.bits_stored)


def _as_said(form: PixelFormat, head: Codestream, values: Values) -> Values:
    """Brings a codec's values to the object's shape and sign.

    JPEG and JPEG-LS know no sign, and some objects contradict their JPEG 2000 frames: then the bits are right and
    their reading is not, so they are read again at the frame's own precision.
    """
    shape = (form.rows, form.columns) if form.samples == 1 else (form.rows, form.columns, form.samples)
    if values.shape != shape:
        raise PixelError("The compressed frame has another shape than the object says.")
    values = np.ascontiguousarray(values)
    as_signed = values.dtype.kind == "i"
    spare_bits = head.lossless and head.bits > form.bits_stored
    if as_signed == form.signed and not spare_bits:
        return values
    precision = min(head.bits, form.bits_stored, values.dtype.itemsize * 8)
    exact = replace(form, bits_stored=precision, high_bit=precision - 1)
    return stored_values(exact, values.view(f"u{values.dtype.itemsize}"))
