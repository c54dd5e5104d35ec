"""Compressed pictures with nothing but what decoding needs: no comments or application segments of JPEG and JPEG-LS
(T.81 B.2.4.5, B.2.4.6), no comments of JPEG 2000 and HTJ2K (T.800 A.9.2), no boxes around them (T.800 I), nothing
behind them.

Pure. Pixels decode to the same values. What cannot be followed to its end is refused: it might hold words anywhere.
"""

from __future__ import annotations

import re

from bridge.imaging.errors import DicomError

_SYNTAX = "1.2.840.10008.1.2."
_RLE = _SYNTAX + "5"
"""Has no room for words."""
_JPEGS = frozenset(f"{_SYNTAX}4.{number}" for number in (*range(50, 67), 70, 80, 81))
_JPEGS_2000 = frozenset(f"{_SYNTAX}4.{number}" for number in (90, 91, 92, 93, 201, 202, 203))

# --- JPEG ------------------------------------------------------------------------------------------------------------

_START, _END = b"\xff\xd8", b"\xff\xd9"
_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_MARKER = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")
"""What ends the coded pixels of a scan: no restart, and no byte that was stuffed (T.81 B.1.1.5, T.87 A.1)."""
_FRAMES = frozenset((*range(0xC0, 0xD0), 0xF7)) - {0xC8}
"""Starts of frame, and among them the tables for Huffman and arithmetic coding (T.81 table B.1, T.87 C.1.1)."""
_NEEDED = _FRAMES | {_SCAN, 0xDB, 0xDC, 0xDD, 0xF8}
"""Quantisation, number of lines, restart interval, preset parameters of JPEG-LS."""
_DROPPED = frozenset((*range(0xE0, 0xF0), 0xFE))
"""Application segments and comments."""
_COLOURS = ((0xE0, b"JFIF\0", 14), (0xEE, b"Adobe", 12), (0xE8, b"mrfx", 5))
"""Application segments that say how pixels are meant, and how long they are if they say nothing else."""

# --- JPEG 2000 -------------------------------------------------------------------------------------------------------

_CODESTREAM, _END_OF_CODESTREAM = b"\xff\x4f", _END
_TILE, _DATA, _COMMENT, _TILE_LENGTHS = 0x90, 0x93, 0x64, 0x55
_MAIN = frozenset((0x50, 0x51, 0x52, 0x53, 0x55, 0x56, 0x57, 0x59, 0x5C, 0x5D, 0x5E, 0x5F, 0x60, 0x63))
_OF_TILE = frozenset((0x52, 0x53, 0x58, 0x5C, 0x5D, 0x5E, 0x5F, 0x61))
"""T.800 table A.2, T.814 A.3 and A.6."""
_TILE_HEAD_BYTES = 12
_SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
_BOX_OF_PICTURE, _BOX_OF_HEADER = b"jp2c", b"jp2h"
_BOXES_OF_MEANING = frozenset((b"pclr", b"cmap"))
"""Without them, the pixels would mean something else."""


def without_comments(stream: bytes, syntax: str) -> bytes:
    """The same picture of this transfer syntax. Raises DicomError."""
    if syntax == _RLE:
        return stream
    if syntax in _JPEGS:
        return _even(_segments_kept(stream))
    if syntax in _JPEGS_2000:
        return _even(_codestream_kept(_unboxed(stream)))
    raise DicomError("Pictures compressed like this cannot be searched for words beside them.", "unsupported")


def _segments_kept(stream: bytes) -> bytes:
    """All that a decoder of JPEG or JPEG-LS reads."""
    if not stream.startswith(_START):
        raise _damaged()
    made, at = bytearray(_START), 2
    while True:
        while stream[at : at + 2] == b"\xff\xff":
            at += 1
        if stream[at : at + 2] == _END:
            return bytes(made + _END)
        marker, end = _segment(stream, at)
        if marker == _SCAN:
            found = _MARKER.search(stream, end)
            if found is None:
                raise _damaged()
            end = found.start()
        if _is_kept(marker, stream[at + 4 : end]):
            made += stream[at:end]
        at = end


def _is_kept(marker: int, content: bytes) -> bool:
    if marker in _NEEDED:
        return True
    if marker not in _DROPPED:
        raise _damaged()
    return any(
        marker == known and content.startswith(begin) and len(content) == length
        for known, begin, length in _COLOURS
    )


def _codestream_kept(stream: bytes) -> bytes:
    """All that a decoder of JPEG 2000 reads; tile-parts say how long they are."""
    if not stream.startswith(_CODESTREAM):
        raise _damaged()
    head, at = _header_kept(stream, 2, _MAIN, _TILE)
    made, is_changed = bytearray(), False
    while stream[at : at + 2] == bytes((0xFF, _TILE)):
        part, end = _tile_part_kept(stream, at)
        is_changed = is_changed or len(part) != end - at
        made += part
        at = end
    if stream[at : at + 2] != _END_OF_CODESTREAM or not made:
        raise _damaged()
    # Those lengths are only for who looks for a tile, and would now be wrong.
    kept = [segment for segment in head if not (is_changed and segment[1] == _TILE_LENGTHS)]
    return b"".join((_CODESTREAM, *kept, made, _END_OF_CODESTREAM))


def _header_kept(stream: bytes, at: int, known: frozenset[int], last: int) -> tuple[list[bytes], int]:
    """The segments up to a marker, without comments; and where that is."""
    kept = []
    while stream[at : at + 2] != bytes((0xFF, last)):
        marker, end = _segment(stream, at)
        if marker != _COMMENT:
            if marker not in known:
                raise _damaged()
            kept.append(stream[at:end])
        at = end
    return kept, at


def _tile_part_kept(stream: bytes, at: int) -> tuple[bytes, int]:
    """One tile-part with its own length; and where the next begins (T.800 A.4.2)."""
    length = int.from_bytes(stream[at + 6 : at + 10], "big")
    kept, data = _header_kept(stream, at + _TILE_HEAD_BYTES, _OF_TILE, _DATA)
    # The last one need not say it; no byte pair in coded pixels looks like the end of the picture.
    end = at + length if length else stream.find(_END_OF_CODESTREAM, data)
    if end < data + 2 or end > len(stream):
        raise _damaged()
    rest = b"".join((*kept, stream[data:end]))
    told = (_TILE_HEAD_BYTES + len(rest)).to_bytes(4, "big") if length else bytes(4)
    return stream[at : at + 6] + told + stream[at + 10 : at + _TILE_HEAD_BYTES] + rest, end


def _unboxed(stream: bytes) -> bytes:
    """The codestream itself, which is what DICOM has anyway (PS3.5 A.4.4)."""
    if not stream.startswith(_SIGNATURE):
        return stream
    for kind, content in _boxes(stream):
        if kind == _BOX_OF_HEADER and any(inner in _BOXES_OF_MEANING for inner, _ in _boxes(content)):
            break
        if kind == _BOX_OF_PICTURE:
            return content
    raise _damaged()


def _boxes(content: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 0
    while at + 8 <= len(content):
        length, head = int.from_bytes(content[at : at + 4], "big"), 8
        if length == 1:
            length, head = int.from_bytes(content[at + 8 : at + 16], "big"), 16
        end = at + length if length else len(content)
        if end < at + head or end > len(content):
            raise _damaged()
        found.append((content[at + 4 : at + 8], content[at + head : end]))
        if content[at + 4 : at + 8] == _BOX_OF_PICTURE:
            break
        at = end
    return found


def _segment(stream: bytes, at: int) -> tuple[int, int]:
    """The marker there, and where its segment ends."""
    length = int.from_bytes(stream[at + 2 : at + 4], "big")
    end = at + 2 + length
    if at + 4 > len(stream) or stream[at] != 0xFF or length < 2 or end > len(stream):
        raise _damaged()
    return stream[at + 1], end


def _damaged() -> DicomError:
    return DicomError("A compressed picture is not as its standard says; what lies beside it cannot be seen.")


def _even(made: bytes) -> bytes:
    """A frame has an even number of bytes (PS3.5 A.4)."""
    return made + b"\0" * (len(made) % 2)
