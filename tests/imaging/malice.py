"""Objects that are taken for whole and do harm only when somebody looks at them: they eat memory or time."""

from __future__ import annotations

import io

import numpy as np
import pydicom
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, RLELossless, generate_uid

from tests.imaging.corpus import ct_slice, file_of

VAST = 60_000
"""Rows and columns: 3.6 GB of pixels, which take 28 MB as runs of zeros."""
SCANS_SIDE, SCANS = 4_096, 20_000
"""Each scan passes over the whole picture once more, and takes some tens of bytes."""


def eats_memory() -> bytes:
    """RLE (PS3.5 annex G): each two bytes are 128 zeros."""
    runs = b"\x81\x00" * (VAST * VAST // 128)
    header = np.zeros(16, "<u4")
    header[:2] = 1, 64
    return _grey(VAST, str(RLELossless), header.tobytes() + runs)


def eats_time() -> bytes:
    """A progressive JPEG (ITU-T T.81 annex G) whose last scan comes again and again."""
    buffer = io.BytesIO()
    Image.new("L", (SCANS_SIDE, SCANS_SIDE), 128).save(buffer, "JPEG", progressive=True)
    picture = buffer.getvalue()
    last = picture.rindex(b"\xff\xda")
    scan = picture[last:-2]
    return _grey(SCANS_SIDE, str(JPEGBaseline8Bit), picture[:-2] + scan * SCANS + b"\xff\xd9")


def lies_about_its_size() -> bytes:
    """A JPEG whose own header tells of the largest picture that there can be."""
    buffer = io.BytesIO()
    Image.new("L", (64, 64), 128).save(buffer, "JPEG")
    picture = bytearray(buffer.getvalue())
    frame = picture.index(b"\xff\xc0")
    picture[frame + 5 : frame + 9] = b"\xff\xff\xff\xff"
    return _grey(64, str(JPEGBaseline8Bit), bytes(picture))


def _grey(side: int, syntax: str, frame: bytes) -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(ct_slice(1, generate_uid(), generate_uid(), side=16)))
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    dataset.Rows = dataset.Columns = side
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    del dataset.PixelPaddingValue
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    return file_of(dataset)


LOOKED_AT = {
    "eats memory": eats_memory,
    "eats time": eats_time,
    "lies about its size": lies_about_its_size,
}
