"""Decoding is held against pydicom with the codecs of others (GDCM, Pillow, OpenJPEG, CharLS) and against dcmtk."""

from __future__ import annotations

import logging
import subprocess
import warnings
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from msgspec.structs import replace
from pydicom.pixels import pixel_array

from bridge.imaging.pixels.decoding import decode_frame
from bridge.imaging.pixels.faults import PixelError
from bridge.imaging.pixels.format import (
    DEFLATED_FRAMES,
    EXPLICIT_LITTLE,
    HTJ2K_LOSSLESS,
    JPEG_LS_LOSSLESS,
    PixelFormat,
)
from bridge.imaging.pixels.native import native_bytes
from tests.imaging.pictures import BROKEN, files_with_pixels, frame_bytes, named, read

# No decoder that pydicom can have reads twelve bits of lossy JPEG without fault.
TWELVE_BIT_JPEG = ("JPEG-lossy.dcm", "JPGExtended.dcm")
GREY = PixelFormat(EXPLICIT_LITTLE, 2, 3, 1, "MONOCHROME2", 16, 16, 15, False, False, 1)


def reference(path: Path, index: int) -> np.ndarray[Any, Any]:
    """The stored values as pydicom reads them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pixel_array(read(path), raw=True, index=index)


@pytest.mark.parametrize("name", sorted(set(files_with_pixels()) - BROKEN - set(TWELVE_BIT_JPEG)))
def test_stored_values_are_those_of_other_decoders(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    path = files_with_pixels()[name]
    dataset = read(path)
    form = PixelFormat.of(dataset)
    for index in sorted({0, form.frames // 2, form.frames - 1}):
        frame = decode_frame(form, frame_bytes(dataset, form, index), index)
        expected = reference(path, index)
        assert frame.values.shape == expected.shape
        assert (frame.values.dtype.kind, frame.values.dtype.itemsize) == (
            expected.dtype.kind,
            expected.dtype.itemsize,
        )
        np.testing.assert_array_equal(frame.values, expected)


@pytest.mark.parametrize("name", TWELVE_BIT_JPEG)
def test_lossy_jpeg_of_twelve_bits_is_as_dcmtk_reads_it(name: str, tmp_path: Path) -> None:
    plain = tmp_path / "plain.dcm"
    subprocess.run(["dcmdjpeg", files_with_pixels()[name], plain], check=True, capture_output=True)
    dataset = named(name)
    form = PixelFormat.of(dataset)
    values = decode_frame(form, frame_bytes(dataset, form, 0)).values
    expected = pixel_array(read(plain))
    # Two implementations of the inverse cosine transform may round apart by one.
    assert np.abs(values.astype(int) - expected.astype(int)).max() <= 1
    assert values.max() > 200


def test_the_list_of_objects_covers_the_syntaxes() -> None:
    syntaxes = {str(read(path).file_meta.TransferSyntaxUID) for path in files_with_pixels().values()}
    compressed = {f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 70, 80, 81, 90, 91)}
    native = {f"1.2.840.10008.1.2{tail}" for tail in ("", ".1", ".1.99", ".2", ".5")}
    assert compressed | native <= syntaxes
    assert len(files_with_pixels()) > 150


@pytest.mark.parametrize(
    "name", ["J2K_pixelrep_mismatch.dcm", "MR_small_jpeg_ls_lossless.dcm", "JPEG-LL.dcm"]
)
def test_a_sign_that_the_codec_does_not_know_is_restored(name: str) -> None:
    dataset = named(name)
    form = PixelFormat.of(dataset)
    values = decode_frame(form, frame_bytes(dataset, form, 0)).values
    assert form.signed
    assert values.dtype == np.int16


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    ("bits_stored", "high_bit"), [(12, 11), (12, 15), (10, 12), (16, 15), (1, 0), (1, 15)]
)
def test_bits_of_others_in_a_cell_are_cut_off(bits_stored: int, high_bit: int, signed: bool) -> None:
    form = replace(GREY, bits_stored=bits_stored, high_bit=high_bit, signed=signed)
    cells = np.random.default_rng(7).integers(0, 1 << 16, (2, 3), dtype=np.uint16)
    below = high_bit + 1 - bits_stored
    expected = [(int(cell) >> below) & ((1 << bits_stored) - 1) for cell in cells.ravel()]
    if signed:
        expected = [
            number - (1 << bits_stored) if number >> (bits_stored - 1) else number for number in expected
        ]
    values = decode_frame(form, cells.astype("<u2").tobytes()).values
    assert values.ravel().tolist() == expected


def test_one_bit_frames_need_not_fill_their_last_byte() -> None:
    form = replace(GREY, bits_allocated=1, bits_stored=1, high_bit=0, rows=3, columns=3)
    bits = np.random.default_rng(3).integers(0, 2, (3, 3), dtype=np.uint8)
    packed = np.packbits(bits.ravel(), bitorder="little").tobytes()
    np.testing.assert_array_equal(decode_frame(form, packed).values, bits)


def test_floating_point_values_stay_as_they_are() -> None:
    form = replace(GREY, bits_allocated=32, bits_stored=32, high_bit=31, is_float=True)
    numbers = np.array([[0.5, -1e30, 3], [np.inf, 0, 2]], "<f4")
    np.testing.assert_array_equal(decode_frame(form, numbers.tobytes()).values, numbers)


def test_a_frame_deflated_by_itself_is_inflated_to_its_size_and_no_further() -> None:
    form = replace(GREY, transfer_syntax=DEFLATED_FRAMES, rows=64, columns=64)
    values = np.arange(4096, dtype="<u2").reshape(64, 64)
    deflated = bytes(imagecodecs.deflate_encode(values.tobytes(), raw=True))
    np.testing.assert_array_equal(decode_frame(form, deflated).values, values)
    bomb = bytes(imagecodecs.deflate_encode(bytes(1 << 26), raw=True))
    assert decode_frame(form, bomb).values.nbytes == 8192


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("signed", [False, True])
def test_jpeg_ls_and_native_bytes_come_back(bits: int, signed: bool) -> None:
    low = -(1 << bits - 1) if signed else 0
    kind = ("i" if signed else "u") + ("1" if bits == 8 else "2")
    values = np.random.default_rng(bits).integers(low, low + (1 << bits), (33, 20)).astype(kind)
    allocated = 8 if bits == 8 else 16
    form = replace(
        GREY,
        rows=33,
        columns=20,
        signed=signed,
        bits_allocated=allocated,
        bits_stored=bits,
        high_bit=bits - 1,
    )
    np.testing.assert_array_equal(decode_frame(form, native_bytes(form, values)).values, values)
    jpeg_ls = bytes(imagecodecs.jpegls_encode(values.view(f"u{values.itemsize}")))
    decoded = decode_frame(replace(form, transfer_syntax=JPEG_LS_LOSSLESS), jpeg_ls)
    np.testing.assert_array_equal(decoded.values, values)


@pytest.mark.parametrize(
    ("photometric", "marker", "meaning"),
    [("RGB", "JFIF", "YBR_FULL"), ("YBR_FULL", "JFIF", "YBR_FULL"), ("YBR_FULL_422", "none", "YBR_FULL")],
)
def test_what_a_jpeg_says_of_its_colours_goes_before_what_the_object_says(
    photometric: str, marker: str, meaning: str
) -> None:
    colours = np.zeros((16, 16, 3), np.uint8)
    colours[:, :8] = (200, 30, 30)
    encoded = bytes(imagecodecs.jpeg8_encode(colours, level=95))
    if marker == "none":
        encoded = encoded[:2] + encoded[4 + int.from_bytes(encoded[4:6], "big") :]
    form = PixelFormat("1.2.840.10008.1.2.4.50", 16, 16, 3, photometric, 8, 8, 7, False, False, 1)
    assert decode_frame(form, encoded).photometric == meaning


def test_frames_beyond_the_last_are_not_there() -> None:
    with pytest.raises(PixelError) as caught:
        decode_frame(GREY, bytes(12), 1)
    assert caught.value.code == "notFound"


def test_a_syntax_that_is_not_known_is_refused_in_plain_words() -> None:
    with pytest.raises(PixelError) as caught:
        decode_frame(replace(GREY, transfer_syntax="1.2.3"), bytes(12))
    assert caught.value.code == "unsupported"


def test_htj2k_that_is_in_truth_jpeg_2000_is_read_too() -> None:
    values = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    form = replace(GREY, rows=64, columns=64, transfer_syntax=HTJ2K_LOSSLESS)
    encoded = bytes(imagecodecs.jpeg2k_encode(values, reversible=True, codecformat="j2k"))
    np.testing.assert_array_equal(decode_frame(form, encoded).values, values)
