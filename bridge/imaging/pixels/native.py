"""Uncompressed frames: from their bytes to stored values and back (PS3.5 section 8.1 and annex D)."""

from __future__ import annotations

import math
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from bridge.imaging.pixels.faults import PixelError
from bridge.imaging.pixels.format import DEFLATED_FRAMES, EXPLICIT_BIG, PixelFormat

Values = npt.NDArray[Any]


def native_values(form: PixelFormat, data: bytes) -> Values:
    """The stored values of one uncompressed frame, with samples last. One-bit frames begin at the first bit.

    Raises:
        PixelError: there are fewer bytes than the frame needs.
    """
    if form.transfer_syntax == DEFLATED_FRAMES:
        data = _inflate(data, math.ceil(form.native_bits / 8))
    if form.bits_allocated == 1:
        return _one_bit(form, data)
    if form.swapped_words:
        data = _swap_words(data)
    length = form.native_bits // 8
    if len(data) < length:
        raise PixelError("The frame is cut off.")
    order = ">" if form.transfer_syntax == EXPLICIT_BIG else "<"
    kind = "f" if form.is_float else "u"
    cells: Values = np.frombuffer(
        data, f"{order}{kind}{form.bits_allocated // 8}", length * 8 // form.bits_allocated
    )
    cells = cells.astype(cells.dtype.newbyteorder("="), copy=False)
    if form.photometric == "YBR_FULL_422":
        return _spread_422(form, cells)
    if form.samples == 1:
        cells = cells.reshape(form.rows, form.columns)
    elif form.planar:
        cells = cells.reshape(form.samples, form.rows, form.columns).transpose(1, 2, 0)
    else:
        cells = cells.reshape(form.rows, form.columns, form.samples)
    return cells if form.is_float else stored_values(form, cells)


def stored_values(form: PixelFormat, cells: Values) -> Values:
    """Cuts stored values out of unsigned cells: bits above and below them are somebody else's (PS3.5 8.1.1)."""
    below = form.high_bit + 1 - form.bits_stored
    width = cells.dtype.itemsize * 8
    if below:
        cells = cells >> cells.dtype.type(below)
    unused = width - form.bits_stored
    if not form.signed:
        kept: Values = cells if unused <= 0 else cells & cells.dtype.type((1 << form.bits_stored) - 1)
        return kept
    signed: Values = np.ascontiguousarray(cells).view(f"i{cells.dtype.itemsize}")
    if unused <= 0:
        return signed
    spare = signed.dtype.type(unused)
    spread: Values = np.right_shift(np.left_shift(signed, spare), spare)
    return spread


def native_bytes(form: PixelFormat, values: Values) -> bytes:
    """Stored values as a little-endian frame, samples side by side; a one-bit frame fills its last byte with zeros."""
    if form.bits_allocated == 1:
        return np.packbits(values.astype(np.uint8, copy=False).ravel(), bitorder="little").tobytes()
    return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()


def _one_bit(form: PixelFormat, data: bytes) -> Values:
    length = math.ceil(form.pixels / 8)
    if len(data) < length:
        raise PixelError("The frame is cut off.")
    packed = np.frombuffer(_swap_words(data) if form.swapped_words else data, np.uint8, length)
    return np.unpackbits(packed, bitorder="little", count=form.pixels).reshape(form.rows, form.columns)


def _swap_words(data: bytes) -> bytes:
    """8-bit pixels out of big-endian words. A frame of odd length has to bring the byte that shares its last word."""
    if len(data) % 2:
        raise PixelError("Frames of odd length in big-endian words are not handled.", "unsupported")
    return np.frombuffer(data, np.uint16).byteswap().tobytes()


def _spread_422(form: PixelFormat, cells: Values) -> Values:
    """Y1 Y2 Cb Cr for each two pixels (PS3.3 C.7.6.3.1.2)."""
    if form.columns % 2 or form.planar:
        raise PixelError("The picture's columns do not fit its kind of colours.")
    pairs = cells.reshape(form.rows, form.columns // 2, 4)
    values = np.empty((form.rows, form.columns, 3), cells.dtype)
    values[:, 0::2, 0] = pairs[..., 0]
    values[:, 1::2, 0] = pairs[..., 1]
    values[:, :, 1] = np.repeat(pairs[..., 2], 2, axis=1)
    values[:, :, 2] = np.repeat(pairs[..., 3], 2, axis=1)
    return values


def _inflate(data: bytes, limit_bytes: int) -> bytes:
    """A frame that was deflated by itself (PS3.5 A.4.13), to no more than its size."""
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, limit_bytes)
