"""Where each frame lies in a file: from its size, an offset table, or the fragments themselves (PS3.5 8.2 and A.4).

What the header says of the picture is checked against the pixels that are there, so that nobody later allocates by a
lie. Pure.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise

from bridge.imaging.elements import Element
from bridge.imaging.errors import DicomError
from bridge.imaging.layout import FrameTable
from bridge.imaging.syntaxes import Syntax

SIDE_LIMIT = 65_535
_END_MARK = b"\xff\xd9"
_MARK_WINDOW = 10
"""An end mark may be followed by a little padding."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What the header says of the pixels; 0 for what it does not say. `extended` are the two tables of PS3.3
    C.7.6.3.1.8, as bytes."""

    rows: int
    columns: int
    frames: int
    samples: int
    bits_allocated: int
    photometric: str
    extended: tuple[bytes, bytes] | None


def frame_table(content: bytes | memoryview, pixels: Element, picture: Picture, syntax: Syntax) -> FrameTable:
    """Raises DicomError where the header and the pixels contradict each other."""
    if not (0 < picture.rows <= SIDE_LIMIT and 0 < picture.columns <= SIDE_LIMIT and picture.samples > 0):
        raise DicomError("The object has pixels, but does not say how many rows and columns.")
    if (pixels.fragments is not None) != syntax.encapsulated:
        raise DicomError("The object's pixels are not packed as its transfer syntax says.")
    if pixels.fragments is None:
        return _native(pixels, picture, syntax)
    if not pixels.fragments:
        raise DicomError("The object's pixel data are empty.")
    table, fragments = pixels.fragments[0], tuple(pixels.fragments[1:])
    if not fragments:
        raise DicomError("The object's pixel data are empty.")
    if syntax.video:
        return FrameTable("video", count=picture.frames, segments=(_flat(fragments),))
    rows = _grouped(content, table, fragments, picture, syntax)
    return FrameTable("encapsulated", count=len(rows), segments=rows)


def _native(pixels: Element, picture: Picture, syntax: Syntax) -> FrameTable:
    if picture.bits_allocated not in (1, 8, 16, 32, 64):
        raise DicomError("The object's pixels have a number of bits that is not known.")
    samples = 2 if picture.photometric == "YBR_FULL_422" and picture.samples == 3 else picture.samples
    frame_bits = picture.rows * picture.columns * samples * picture.bits_allocated
    if frame_bits * picture.frames > pixels.length * 8:
        raise DicomError("The object has fewer pixels than its rows, columns and frames need.")
    return FrameTable("deflated" if syntax.deflated else "native", pixels.offset, frame_bits, picture.frames)


def _grouped(
    content: bytes | memoryview,
    table: tuple[int, int],
    fragments: tuple[tuple[int, int], ...],
    picture: Picture,
    syntax: Syntax,
) -> tuple[tuple[int, ...], ...]:
    frames = picture.frames
    if picture.extended is not None and any(picture.extended):
        return _by_extended_table(picture.extended, fragments, frames)
    if frames == 1:
        return (_flat(fragments),)
    if table[1] == 4 * frames:
        offsets = struct.unpack(f"<{frames}L", content[table[0] : table[0] + table[1]])
        rows = _by_offsets(offsets, fragments)
        if rows is not None:
            return rows
    if len(fragments) == frames:
        return fragments
    if syntax.marked_end and len(fragments) > frames:
        rows = _by_end_marks(content, fragments)
        if len(rows) == frames:
            return rows
    raise DicomError("The object has another number of frames than it says.")


def _by_extended_table(
    extended: tuple[bytes, bytes], fragments: tuple[tuple[int, int], ...], frames: int
) -> tuple[tuple[int, ...], ...]:
    """Each frame is one fragment, and its true length is told without padding."""
    if len(extended[0]) != 8 * frames or len(extended[1]) != 8 * frames:
        raise DicomError("The object's table of frames does not fit its number of frames.")
    begin = fragments[0][0]
    known = {offset - begin: length for offset, length in fragments}
    rows = []
    for offset, length in zip(
        struct.unpack(f"<{frames}Q", extended[0]), struct.unpack(f"<{frames}Q", extended[1]), strict=True
    ):
        if length > known.get(offset, -1):
            raise DicomError("The object's table of frames points to where no frame is.")
        rows.append((begin + offset, length))
    return tuple(rows)


def _by_offsets(
    offsets: tuple[int, ...], fragments: tuple[tuple[int, int], ...]
) -> tuple[tuple[int, ...], ...] | None:
    """None if the table does not fit the fragments: some writers leave rubbish there."""
    begin = fragments[0][0]
    places = {offset - begin: index for index, (offset, _) in enumerate(fragments)}
    starts = [places.get(offset, -1) for offset in offsets]
    if starts[0] != 0 or any(later <= start for start, later in pairwise(starts)):
        return None
    ends = [*starts[1:], len(fragments)]
    return tuple(_flat(fragments[start:end]) for start, end in zip(starts, ends, strict=True))


def _by_end_marks(
    content: bytes | memoryview, fragments: tuple[tuple[int, int], ...]
) -> tuple[tuple[int, ...], ...]:
    rows: list[tuple[int, ...]] = []
    frame: list[tuple[int, int]] = []
    for offset, length in fragments:
        frame.append((offset, length))
        if _END_MARK in bytes(content[max(offset, offset + length - _MARK_WINDOW) : offset + length]):
            rows.append(_flat(frame))
            frame = []
    if frame:
        rows.append(_flat(frame))
    return tuple(rows)


def _flat(fragments: tuple[tuple[int, int], ...] | list[tuple[int, int]]) -> tuple[int, ...]:
    return tuple(number for fragment in fragments for number in fragment)
