"""Whether a picture may have a name written into it, and the blackening of the rows at its top. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from bridge.imaging.errors import DicomError

_US = "1.2.840.10008.5.1.4.1.1.6."
_OLD_US = ("1.2.840.10008.5.1.4.1.1.3", "1.2.840.10008.5.1.4.1.1.3.1", "1.2.840.10008.5.1.4.1.1.6")
_SC = "1.2.840.10008.5.1.4.1.1.7"
_VL = "1.2.840.10008.5.1.4.1.1.77."
_DRAWN_MODALITIES = frozenset(("US", "IVUS", "SC", "OT", "ES", "XC"))
_REST = frozenset(("MONOCHROME2", "RGB", "PALETTE COLOR"))


def may_be_written_into(sop_class: str, modality: str, annotation: str, face: str = "") -> bool:
    """`annotation` and `face` are Burned In Annotation and Recognizable Visual Features: YES, NO or nothing."""
    if annotation == "YES" or face == "YES":
        return True
    if annotation == "NO":
        return False
    is_drawn = sop_class in _OLD_US or sop_class == _SC or sop_class.startswith((_US, _SC + ".", _VL))
    return is_drawn or modality in _DRAWN_MODALITIES


def blank_top(dataset: Dataset, rows: int) -> None:
    """Makes so many rows at the top of every frame black, in pixels that are not compressed. Raises DicomError."""
    if "PixelData" not in dataset:
        return
    bits, samples = int(dataset.BitsAllocated), int(dataset.SamplesPerPixel)
    photometric = str(dataset.PhotometricInterpretation).strip()
    height, width = int(dataset.Rows), int(dataset.Columns)
    rows = min(rows, height)
    unit = bits // 8
    black = _black(dataset, photometric, unit)
    if bits not in (8, 16, 32) or black is None:
        raise DicomError("The pictures are of a sort whose rows cannot be made black.", "unsupported")
    pixels = bytearray(dataset.PixelData)
    is_planar = samples > 1 and int(dataset.get("PlanarConfiguration") or 0) == 1
    planes = [black[index * unit : (index + 1) * unit] for index in range(samples)] if is_planar else [black]
    plane_bytes = height * width * (unit if is_planar else unit * samples)
    frames = max(1, int(dataset.get("NumberOfFrames") or 1))
    if len(pixels) < frames * len(planes) * plane_bytes:
        raise DicomError("The object does not hold all of its frames.")
    at = 0
    for _ in range(frames):
        for pattern in planes:
            top = pattern * (rows * width)
            pixels[at : at + len(top)] = top
            at += plane_bytes
    dataset.PixelData = bytes(pixels)
    dataset.BurnedInAnnotation = "NO"


def without_embedded_overlays(dataset: Dataset) -> None:
    """Clears the bits of pixels that are not compressed in which older objects hold overlays (PS3.5 8.1.2, retired)."""
    has_overlay = any(
        (element.tag.group & 0xFF00) == 0x6000 and element.tag.element == 0x0102 and element.value
        for element in dataset
    )
    stored, high = int(dataset.get("BitsStored") or 0), int(dataset.get("HighBit") or 0)
    unit = {8: "u1", 16: "<u2"}.get(int(dataset.get("BitsAllocated") or 0))
    if not has_overlay or unit is None or "PixelData" not in dataset:
        return
    mask = ((1 << stored) - 1) << (high + 1 - stored)
    pixels = np.frombuffer(dataset.PixelData, unit) & mask
    dataset.PixelData = pixels.astype(unit).tobytes()


def _black(dataset: Dataset, photometric: str, unit: int) -> bytes | None:
    """One black pixel, all its samples."""
    samples: Any = int(dataset.SamplesPerPixel)
    if photometric == "MONOCHROME1":
        signed = int(dataset.get("PixelRepresentation") or 0)
        most = (1 << (int(dataset.BitsStored) - signed)) - 1
        return most.to_bytes(unit, "little")
    if photometric in _REST:
        return bytes(unit * samples)
    if photometric == "YBR_FULL" and unit == 1:
        return b"\0\x80\x80"
    return None
