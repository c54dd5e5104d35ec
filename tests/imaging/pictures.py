"""Objects with pixels: every one of pydicom and pydicom-data, cut into frames by pydicom, and made ones."""

from __future__ import annotations

import math
import warnings
from functools import cache
from pathlib import Path

import data_store
import pydicom
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame

from bridge.imaging.pixels.format import NATIVE, PixelFormat

PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_ROOTS = (Path(pydicom.__file__).parent / "data", Path(data_store.__file__).parent)
# What is broken on purpose; pydicom cannot read their pixels either.
BROKEN = frozenset({"MR_truncated.dcm", "JPEG2000-embedded-sequence-delimiter.dcm", "badVR.dcm"})


@cache
def files_with_pixels() -> dict[str, Path]:
    """By name. Only objects that say their transfer syntax and have a picture."""
    found: dict[str, Path] = {}
    for root in _ROOTS:
        for path in sorted(root.rglob("*")):
            if path.is_file() and path.suffix not in (".py", ".pyc", ".json", ".txt") and _has_picture(path):
                found[path.name] = path
    return found


def _has_picture(path: Path) -> bool:
    with path.open("rb") as file:
        if file.read(132)[128:] != b"DICM":
            return False
    dataset = read(path)
    return "BitsAllocated" in dataset and any(name in dataset for name in PIXELS)


def read(path: Path) -> Dataset:
    """The dataset; what pydicom thinks of its values is not the matter here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(path)


def named(name: str) -> Dataset:
    """A dataset by its file's name."""
    return read(files_with_pixels()[name])


def frame_bytes(dataset: Dataset, form: PixelFormat, index: int) -> bytes:
    """One frame as stored, cut out by pydicom or by PS3.5's own arithmetic."""
    pixels: bytes = dataset[next(name for name in PIXELS if name in dataset)].value
    if form.transfer_syntax in NATIVE:
        bits = form.native_bits
        start = index * bits // 8
        # A frame of odd length is followed by the byte that fills its word.
        return pixels[start : math.ceil((index + 1) * bits / 8) + bits // 8 % 2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bytes(get_frame(pixels, index, number_of_frames=form.frames))
