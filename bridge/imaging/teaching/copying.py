"""For workers: one object in, its de-identified copy out (PS3.15 E.1), as a Part 10 file. Raises DicomError.

Pixels stay as they are stored, unless rows are to be made black: then they are decoded. What compressed pictures carry
beside their pixels, as comments of a camera, is taken out.
"""

from __future__ import annotations

import io

import msgspec
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import UID

from bridge.imaging.dicomweb.retelling import retold
from bridge.imaging.errors import DicomError
from bridge.imaging.part10 import IMPLEMENTATION_CLASS, IMPLEMENTATION_VERSION
from bridge.imaging.syntaxes import DEFLATED, EXPLICIT_LITTLE, IMPLICIT_LITTLE, syntax_of
from bridge.imaging.teaching.blanking import blank_top, without_embedded_overlays
from bridge.imaging.teaching.comments import without_comments
from bridge.imaging.teaching.scrubbing import Scrubber, Wish

COPY = "bridge.imaging.teaching.copying:copied"
_PLAIN = frozenset((EXPLICIT_LITTLE, IMPLICIT_LITTLE, DEFLATED))
_OFFSETS = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")
_wishes = msgspec.msgpack.Decoder(Wish)


def copied(payload: memoryview, arguments: bytes) -> bytes:
    """`arguments` are a `Wish` in MessagePack."""
    wish = _wishes.decode(arguments)
    try:
        dataset = dcmread(io.BytesIO(payload))
        syntax = str(dataset.file_meta.TransferSyntaxUID)
        has_pixels = "PixelData" in dataset
        if (wish.blank_rows and has_pixels and syntax not in _PLAIN) or not syntax_of(syntax).little:
            dataset = dcmread(io.BytesIO(retold(payload, EXPLICIT_LITTLE.encode("ascii"))))
            syntax = EXPLICIT_LITTLE
        if syntax in _PLAIN:
            without_embedded_overlays(dataset)
        if wish.blank_rows:
            blank_top(dataset, wish.blank_rows)
        elif has_pixels and syntax not in _PLAIN:
            _clean_frames(dataset, syntax)
        scrubber = Scrubber(wish)
        scrubber.scrub(dataset)
        return _written(dataset, EXPLICIT_LITTLE if syntax in _PLAIN else syntax)
    except DicomError:
        raise
    except Exception:
        raise DicomError("The object cannot be copied without what identifies the patient.") from None


def _clean_frames(dataset: FileDataset, syntax: str) -> None:
    if syntax_of(syntax).video:
        raise DicomError(
            "A video may show the patient and hold what names it; it is not copied.", "unsupported"
        )
    count = int(dataset.get("NumberOfFrames") or 1)
    extended = tuple(dataset[name].value for name in _OFFSETS) if _OFFSETS[0] in dataset else None
    frames = [
        without_comments(frame, syntax)
        for frame in generate_frames(dataset.PixelData, number_of_frames=count, extended_offsets=extended)
    ]
    for name in _OFFSETS:
        if name in dataset:
            delattr(dataset, name)
    dataset.PixelData = encapsulate(frames)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True


def _written(dataset: FileDataset, syntax: str) -> bytes:
    made = Dataset()
    # What it was read from may have been in another alphabet; the copy has hardly a letter beyond ASCII.
    dataset.SpecificCharacterSet = "ISO_IR 192"
    for element in dataset:
        made.add(element)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(str(dataset.SOPClassUID))
    meta.MediaStorageSOPInstanceUID = UID(str(dataset.SOPInstanceUID))
    meta.TransferSyntaxUID = UID(syntax)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION
    made.file_meta = meta
    file = io.BytesIO()
    made.save_as(file, implicit_vr=False, little_endian=True, enforce_file_format=True)
    return file.getvalue()
