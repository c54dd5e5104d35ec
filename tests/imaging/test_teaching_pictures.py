"""Copies for teaching, the pictures: nothing is written into, beside or behind the pixels that are left."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import FileDataset

from bridge.imaging.errors import DicomError
from bridge.imaging.teaching.blanking import may_be_written_into
from bridge.imaging.teaching.comments import without_comments
from tests.imaging.corpus import file_of
from tests.imaging.namedstudy import copy_of, read, secret_slice

WORD = b"Nguyen Thi Hong"
BASELINE = "1.2.840.10008.1.2.4.50"


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("examples_ybr_color.dcm", 30),
        ("JPEG2000.dcm", 20),
        ("MR_small_RLE.dcm", 10),
        ("SC_rgb_rle_2frame.dcm", 5),
    ],
)
def test_rows_at_the_top_are_black_and_the_others_as_they_were(name: str, rows: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = Path(get_testdata_file(name)).read_bytes()
        before = read(content)
        made = read(copy_of(content, blank_rows=rows))
        frames = int(before.get("NumberOfFrames") or 1)
        old, new = before.pixel_array, made.pixel_array
        if frames == 1:
            old, new = old[None], new[None]
        assert made.BurnedInAnnotation == "NO"
        assert np.array_equal(old[:, rows:], new[:, rows:])
        assert not new[:, :rows].any()


def test_comments_beside_the_pixels_are_taken_out() -> None:
    dataset = read(Path(get_testdata_file("SC_rgb_jpeg_gdcm.dcm")).read_bytes())
    frame = next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1))
    word = b"Nguyen Thi Hong"
    ends = [2, frame.rindex(b"\xff\xd9")]
    for marker, at in [(marker, at) for marker in (b"\xff\xfe", b"\xff\xe1") for at in ends]:
        spoken = frame[:at] + marker + (len(word) + 2).to_bytes(2, "big") + word + frame[at:]
        cleaned = without_comments(spoken, BASELINE)
        assert word not in cleaned
        assert cleaned == without_comments(frame, BASELINE)
        dataset.PixelData = pydicom.encaps.encapsulate([spoken])
        with_comment = file_of(dataset)
        assert word in with_comment
        assert word not in copy_of(with_comment)


def frame_of(name: str) -> tuple[FileDataset, bytes, str]:
    dataset = read(Path(get_testdata_file(name)).read_bytes())
    frame = next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1))
    return dataset, frame, str(dataset.file_meta.TransferSyntaxUID)


def box(kind: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + kind + content


def in_boxes(codestream: bytes) -> bytes:
    """A JP2 file with a header that means nothing, and what people put beside it."""
    head = box(b"ftyp", b"jp2 \0\0\0\0jp2 ") + box(b"jp2h", box(b"res ", b"\0" * 18))
    signature = b"\0\0\0\x0cjP  \r\n\x87\n"
    return signature + head + box(b"xml ", WORD) + box(b"jp2c", codestream) + box(b"uuid", WORD)


def with_tile_comment(codestream: bytes) -> bytes:
    """One in the header of the first tile-part, whose length is told in two places."""
    at = codestream.index(b"\xff\x90\0\x0a")
    comment = b"\xff\x64" + (len(WORD) + 4).to_bytes(2, "big") + b"\0\1" + WORD
    told = codestream[at + 6 : at + 10]
    length = (int.from_bytes(told, "big") + len(comment)).to_bytes(4, "big") if any(told) else told
    lengths = b"\xff\x55\0\x08\0\x40" + length
    part = codestream[at : at + 6] + length + codestream[at + 10 : at + 12] + comment + codestream[at + 12 :]
    return codestream[:at] + lengths + part


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("SC_rgb_jpeg_gdcm.dcm", lambda frame: frame + WORD),
        ("SC_rgb_jpeg_gdcm.dcm", lambda frame: frame + frame[:2] + b"\xff\xfe\0\x11" + WORD + frame[2:]),
        ("MR_small_jpeg_ls_lossless.dcm", lambda frame: frame + WORD),
        ("JPEG2000.dcm", lambda frame: frame[: frame.rindex(b"\xff\xd9") + 2] + WORD),
        ("JPEG2000.dcm", in_boxes),
        ("JPEG2000.dcm", with_tile_comment),
        ("693_J2KR.dcm", with_tile_comment),
    ],
)
def test_nothing_stays_beside_or_behind_the_pixels(name: str, spoil: Callable[[bytes], bytes]) -> None:
    dataset, frame, syntax = frame_of(name)
    spoken = spoil(frame)
    assert WORD in spoken
    assert without_comments(spoken, syntax) == without_comments(frame, syntax)
    before = dataset.pixel_array
    dataset.PixelData = pydicom.encaps.encapsulate([spoken])
    made = copy_of(file_of(dataset))
    assert WORD not in made
    assert np.array_equal(read(made).pixel_array, before)


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("SC_rgb_jpeg_gdcm.dcm", lambda frame: WORD + frame),
        ("SC_rgb_jpeg_gdcm.dcm", lambda frame: frame[:2] + WORD + frame[2:]),
        ("SC_rgb_jpeg_gdcm.dcm", lambda frame: frame[:2] + b"\xff\xfe\0\x01" + WORD + frame[2:]),
        ("SC_rgb_jpeg_gdcm.dcm", lambda frame: frame[:2] + b"\xff\xf0\0\x11" + WORD + frame[2:]),
        ("SC_rgb_jpeg_gdcm.dcm", lambda frame: frame[: frame.rindex(b"\xff\xd9")] + WORD),
        ("SC_rgb_jpeg_gdcm.dcm", lambda frame: frame[:40]),
        ("SC_rgb_jpeg_gdcm.dcm", lambda frame: b""),
        ("JPEG2000.dcm", lambda frame: WORD + frame),
        ("JPEG2000.dcm", lambda frame: frame[:2] + WORD + frame[2:]),
        ("JPEG2000.dcm", lambda frame: frame[:2] + b"\xff\x65\0\x11" + WORD + frame[2:]),
        ("JPEG2000.dcm", lambda frame: frame[: frame.rindex(b"\xff\xd9")] + WORD + b"\xff\xd9"),
        ("JPEG2000.dcm", lambda frame: frame[:60]),
        ("JPEG2000.dcm", lambda frame: in_boxes(frame).replace(b"res ", b"pclr")),
        ("JPEG2000.dcm", lambda frame: in_boxes(frame).replace(b"jp2c", b"jp2x")),
        ("JPEG2000.dcm", lambda frame: in_boxes(frame)[:40]),
    ],
)
def test_a_picture_that_cannot_be_followed_to_its_end_is_not_copied(
    name: str, spoil: Callable[[bytes], bytes]
) -> None:
    dataset, frame, syntax = frame_of(name)
    with pytest.raises(DicomError):
        without_comments(spoil(frame), syntax)
    dataset.PixelData = pydicom.encaps.encapsulate([spoil(frame) or b"\0\0"])
    with pytest.raises(DicomError):
        copy_of(file_of(dataset))


def test_a_picture_in_a_syntax_that_cannot_be_searched_is_not_copied() -> None:
    with pytest.raises(DicomError, match="cannot be searched"):
        without_comments(b"\xff\x0a" + WORD, "1.2.840.10008.1.2.4.110")


def test_overlays_are_taken_out_also_from_between_the_bits_of_pixels() -> None:
    dataset = secret_slice()
    pixels = np.frombuffer(dataset.PixelData, "<u2") & 0x0FFF
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 0
    dataset.PixelData = (pixels | 0x8000).tobytes()
    dataset.add_new(0x60000010, "US", 64)
    dataset.add_new(0x60000011, "US", 64)
    dataset.add_new(0x60000102, "US", 15)
    dataset.add_new(0x60023000, "OW", b"Hong" * 4)
    made = read(copy_of(file_of(dataset)))
    assert made.PixelData == pixels.tobytes()
    assert not [element for element in made if element.tag.group & 0xFF00 == 0x6000]


@pytest.mark.parametrize(
    ("sop_class", "modality", "annotation", "refused"),
    [
        ("1.2.840.10008.5.1.4.1.1.2", "CT", "", False),
        ("1.2.840.10008.5.1.4.1.1.2", "CT", "YES", True),
        ("1.2.840.10008.5.1.4.1.1.6.1", "US", "", True),
        ("1.2.840.10008.5.1.4.1.1.3.1", "US", "NO", False),
        ("1.2.840.10008.5.1.4.1.1.7", "OT", "", True),
        ("1.2.840.10008.5.1.4.1.1.7.4", "OT", "NO", False),
        ("1.2.840.10008.5.1.4.1.1.77.1.4", "XC", "", True),
    ],
)
def test_pictures_that_may_have_a_name_in_them_are_known(
    sop_class: str, modality: str, annotation: str, refused: bool
) -> None:
    assert may_be_written_into(sop_class, modality, annotation) is refused
