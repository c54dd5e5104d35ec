"""Transcoded frames mean what the stored ones meant, and say rightly what they are."""

from __future__ import annotations

import warnings

import imagecodecs
import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import pixel_array
from pydicom.uid import UID

from bridge.imaging.pixels.decoding import decode_frame
from bridge.imaging.pixels.display import Display
from bridge.imaging.pixels.faults import PixelError
from bridge.imaging.pixels.format import (
    EXPLICIT_LITTLE,
    HTJ2K_LOSSLESS,
    HTJ2K_LOSSLESS_RPCL,
    JPEG_BASELINE,
    JPEG_LS_LOSSLESS,
    PixelFormat,
)
from bridge.imaging.pixels.rendering import picture_of
from bridge.imaging.pixels.transcoding import Transcoded, transcode
from tests.imaging.pictures import frame_bytes, named

LOSSLESS = (EXPLICIT_LITTLE, JPEG_LS_LOSSLESS, HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL)
OBJECTS = (
    "693_UNCR.dcm",
    "MR_small_bigendian.dcm",
    "MR2_J2KR.dcm",
    "RG3_UNCR.dcm",
    "OBXXXX1A_rle.dcm",
    "color-pl.dcm",
    "US1_J2KR.dcm",
    "SC_rgb_expb_16bit.dcm",
    "JPEG-LL.dcm",
    "examples_ybr_color.dcm",
    "J2K_pixelrep_mismatch.dcm",
)


def dataset_of(form: PixelFormat, made: Transcoded) -> Dataset:
    """An object around one frame, with only what the transcoding says of it."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(made.transfer_syntax)
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = form.rows, form.columns, made.samples
    dataset.PhotometricInterpretation, dataset.PixelRepresentation = made.photometric, int(made.signed)
    dataset.BitsAllocated, dataset.BitsStored = made.bits_allocated, made.bits_stored
    dataset.HighBit = made.bits_stored - 1
    if made.samples > 1:
        dataset.PlanarConfiguration = 0
    compressed = made.transfer_syntax != EXPLICIT_LITTLE
    padded = made.data + b"\0" * (len(made.data) % 2)
    dataset.PixelData = encapsulate([made.data]) if compressed else padded
    dataset["PixelData"].VR = "OB" if made.bits_allocated <= 8 else "OW"
    return dataset


@pytest.mark.parametrize("target", LOSSLESS)
@pytest.mark.parametrize("name", OBJECTS)
def test_lossless_syntaxes_keep_every_value_for_other_readers(name: str, target: str) -> None:
    dataset = named(name)
    form = PixelFormat.of(dataset)
    data = frame_bytes(dataset, form, 0)
    stored = decode_frame(form, data)
    made = transcode(form, data, 0, target)
    assert not made.lossy
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seen = pixel_array(dataset_of(form, made), raw=True)
    np.testing.assert_array_equal(seen, stored.values)


@pytest.mark.parametrize(
    "name", ["693_UNCR.dcm", "RG1_UNCR.dcm", "OBXXXX1A.dcm", "US1_UNCR.dcm", "liver_1frame.dcm"]
)
def test_jpeg_baseline_is_the_picture_that_the_eye_is_to_see(name: str) -> None:
    dataset = named(name)
    form = PixelFormat.of(dataset)
    data = frame_bytes(dataset, form, 0)
    display = Display.of(dataset)
    made = transcode(form, data, 0, JPEG_BASELINE, display)
    assert made.lossy
    assert made.photometric in ("MONOCHROME2", "YBR_FULL_422")
    picture = picture_of(decode_frame(form, data), display)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seen = pixel_array(dataset_of(form, made))
    assert np.abs(seen.astype(int) - picture.astype(int)).mean() < 3


def test_jpeg_baseline_without_a_display_keeps_black_and_white_where_they_are() -> None:
    form = PixelFormat(EXPLICIT_LITTLE, 16, 16, 1, "MONOCHROME1", 8, 8, 7, False, False, 1)
    made = transcode(form, bytes(128) + b"\xff" * 128, 0, JPEG_BASELINE)
    seen = imagecodecs.jpeg8_decode(made.data)
    assert seen[0, 0] > 250
    assert seen[15, 15] < 5


@pytest.mark.parametrize("target", [HTJ2K_LOSSLESS_RPCL, JPEG_LS_LOSSLESS])
@pytest.mark.parametrize("name", ["rtdose_1frame.dcm", "liver_1frame.dcm", "SC_rgb_32bit.dcm"])
def test_what_does_not_fit_is_refused(name: str, target: str) -> None:
    dataset = named(name)
    form = PixelFormat.of(dataset)
    with pytest.raises(PixelError) as caught:
        transcode(form, frame_bytes(dataset, form, 0), 0, target)
    assert caught.value.code == "unsupported"


def test_one_bit_pictures_stay_one_bit_when_native() -> None:
    dataset = named("liver_1frame.dcm")
    form = PixelFormat.of(dataset)
    data = frame_bytes(dataset, form, 0)
    made = transcode(form, data, 0, EXPLICIT_LITTLE)
    assert made.bits_allocated == 1
    assert made.data == data


def test_syntaxes_that_are_not_made_are_refused() -> None:
    form = PixelFormat(EXPLICIT_LITTLE, 1, 2, 1, "MONOCHROME2", 8, 8, 7, False, False, 1)
    with pytest.raises(PixelError) as caught:
        transcode(form, bytes(2), 0, "1.2.840.10008.1.2.4.90")
    assert caught.value.code == "unsupported"


def test_the_preview_of_htj2k_is_told() -> None:
    dataset = named("693_UNCR.dcm")
    form = PixelFormat.of(dataset)
    made = transcode(form, frame_bytes(dataset, form, 0), 0, HTJ2K_LOSSLESS_RPCL)
    assert 0 < made.preview_bytes < len(made.data) // 7
