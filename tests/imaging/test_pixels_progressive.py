"""HTJ2K: exact, readable by other decoders, and a picture already when only its first bytes have come."""

from __future__ import annotations

import struct
import warnings

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import pixel_array
from pydicom.uid import UID

from bridge.imaging.pixels.decoding import decode_frame
from bridge.imaging.pixels.faults import PixelError
from bridge.imaging.pixels.format import HTJ2K_LOSSLESS_RPCL, PixelFormat
from bridge.imaging.pixels.native import Values
from bridge.imaging.pixels.progressive import Progressive, decode_preview, encode_progressive, resolution_ends
from tests.imaging.pictures import frame_bytes, named

CT = "693_UNCR.dcm"
OBJECTS = (
    CT,
    "MR2_UNCR.dcm",
    "RG1_UNCR.dcm",
    "US1_UNCR.dcm",
    "OBXXXX1A.dcm",
    "emri_small.dcm",
    "SC_rgb_16bit.dcm",
)


def encoded(name: str) -> tuple[PixelFormat, Values, Progressive]:
    dataset = named(name)
    form = PixelFormat.of(dataset)
    frame = decode_frame(form, frame_bytes(dataset, form, 0))
    return form, frame.values, encode_progressive(frame.values, frame.bits_stored)


def markers(data: bytes) -> dict[int, bytes]:
    """The segments of the main header."""
    found: dict[int, bytes] = {}
    at = 2
    while data[at : at + 2] != b"\xff\x90":
        marker, length = struct.unpack_from(">HH", data, at)
        found[marker] = data[at + 4 : at + 2 + length]
        at += 2 + length
    return found


def tile_part_lengths(body: bytes) -> list[int]:
    """Those of a TLM segment with tile numbers of 16 bits and lengths of 32."""
    assert body[1] == 0x60
    return [int.from_bytes(body[at + 2 : at + 6], "big") for at in range(2, len(body), 6)]


@pytest.mark.parametrize("name", OBJECTS)
def test_values_come_back_through_a_decoder_of_others(name: str) -> None:
    form, values, progressive = encoded(name)
    # OpenJPEG shares no line with the encoder, which is OpenJPH.
    decoded = imagecodecs.jpeg2k_decode(progressive.data, planar=False)
    np.testing.assert_array_equal(decoded, values)
    np.testing.assert_array_equal(decode_preview(progressive.data, 0), values)
    assert markers(progressive.data)[0xFF51][36] & 0x7F == form.bits_stored - 1


def test_pydicom_reads_an_object_made_of_it() -> None:
    form, values, progressive = encoded(CT)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(HTJ2K_LOSSLESS_RPCL)
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = form.rows, form.columns, 1
    dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", int(form.signed)
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, form.bits_stored, form.bits_stored - 1
    dataset.PixelData = encapsulate([progressive.data])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(pixel_array(dataset, decoding_plugin="pylibjpeg"), values)


@pytest.mark.parametrize("name", OBJECTS)
def test_it_is_what_the_standard_asks_of_rpcl(name: str) -> None:
    form, _, progressive = encoded(name)
    header = markers(progressive.data)
    levels = header[0xFF52][5]
    assert header[0xFF52][1] == 2, "progression is RPCL"
    assert header[0xFF52][9] == 1, "the reversible 5/3 wavelet"
    assert 0xFF55 in header, "tile-part lengths are there"
    assert min(form.rows, form.columns) >> levels <= 64
    lengths = tile_part_lengths(header[0xFF55])
    assert len(lengths) == levels + 1
    start = len(progressive.data) - 2 - sum(lengths)
    ends = [start + sum(lengths[: n + 1]) for n in range(levels + 1)]
    assert [*ends[:-1], len(progressive.data)] == list(progressive.ends)


@pytest.mark.parametrize("name", OBJECTS)
def test_each_prefix_decodes_to_the_smaller_picture_that_the_whole_gives(name: str) -> None:
    form, _, progressive = encoded(name)
    last = len(progressive.ends) - 1
    for skipped in range(last + 1):
        prefix = progressive.data[: progressive.ends[last - skipped]]
        small = decode_preview(prefix, skipped)
        np.testing.assert_array_equal(small, decode_preview(progressive.data, skipped))
        assert small.shape[:2] == (-(-form.rows // (1 << skipped)), -(-form.columns // (1 << skipped)))


def test_the_quarter_size_picture_of_a_ct_is_small_and_true() -> None:
    _, values, progressive = encoded(CT)
    preview = decode_preview(progressive.data[: progressive.preview_bytes], 2)
    assert preview.shape == (128, 128)
    assert progressive.preview_bytes < 15_000
    averaged = values.reshape(128, 4, 128, 4).mean((1, 3))
    inner = (averaged > -500) & (averaged < 1200)
    # The low band is a filtered picture of the same scale: it strays at edges only.
    assert np.median(np.abs(preview - averaged)[inner]) < 10


@pytest.mark.parametrize("bits", [8, 10, 16])
@pytest.mark.parametrize("signed", [False, True])
def test_black_and_white_beside_each_other_stay_so_in_a_preview(bits: int, signed: bool) -> None:
    low = -(1 << bits - 1) if signed else 0
    high = low + (1 << bits) - 1
    values = np.full((128, 128), low, f"{'i' if signed else 'u'}{1 if bits == 8 else 2}")
    values[37:93, 41:99] = high
    progressive = encode_progressive(values, bits)
    for skipped in (1, 2):
        preview = decode_preview(progressive.data, skipped).astype(int)
        assert preview[:8, :8].max() < low + (1 << bits) // 8
        assert preview[64 >> skipped, 64 >> skipped] > high - (1 << bits) // 8
        averaged = (
            values.astype(float)
            .reshape(128 >> skipped, 1 << skipped, 128 >> skipped, 1 << skipped)
            .mean((1, 3))
        )
        assert np.abs(preview - averaged).max() < 0.8 * (1 << bits)
        flat = (averaged == low) | (averaged == high)
        assert np.abs(preview - averaged)[flat].max() < (1 << bits) // 3


def test_lossy_htj2k_does_not_wrap_round_at_black_and_white() -> None:
    values = np.zeros((128, 128), np.uint8)
    values[37:93, 41:99] = 255
    encoded = bytes(imagecodecs.htj2k_encode(values, level=0.02, reversible=False))
    form = PixelFormat("1.2.840.10008.1.2.4.203", 128, 128, 1, "MONOCHROME2", 8, 8, 7, False, False, 1)
    decoded = decode_frame(form, encoded).values.astype(int)
    assert 0 < np.abs(decoded - values).max() < 40


def test_what_is_less_than_the_first_resolution_is_an_error() -> None:
    _, _, progressive = encoded(CT)
    with pytest.raises(PixelError):
        decode_preview(progressive.data[:40], 2)
    with pytest.raises(PixelError):
        resolution_ends(progressive.data[:40])


@settings(max_examples=60)
@given(
    rows=st.integers(1, 150),
    columns=st.integers(1, 150),
    bits=st.integers(1, 16),
    signed=st.booleans(),
    colours=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_any_size_and_depth_comes_back(
    rows: int, columns: int, bits: int, signed: bool, colours: bool, seed: int
) -> None:
    low = -(1 << bits - 1) if signed else 0
    shape = (rows, columns, 3) if colours else (rows, columns)
    kind = ("i" if signed else "u") + ("1" if bits <= 8 else "2")
    values = np.random.default_rng(seed).integers(low, low + (1 << bits), shape).astype(kind)
    progressive = encode_progressive(values, bits)
    np.testing.assert_array_equal(decode_preview(progressive.data, 0), values)
    assert list(progressive.ends) == sorted(progressive.ends)
    form = PixelFormat(
        HTJ2K_LOSSLESS_RPCL,
        rows,
        columns,
        3 if colours else 1,
        "YBR_RCT" if colours else "MONOCHROME2",
        8 * values.itemsize,
        bits,
        bits - 1,
        signed,
        False,
        1,
    )
    np.testing.assert_array_equal(decode_frame(form, progressive.data).values, values)
