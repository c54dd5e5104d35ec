"""Compressed pictures without the texts that programs and cameras put beside the pixels: comments and application
segments of JPEG and JPEG-LS (T.81 B.2.4.5, B.2.4.6), comments of JPEG 2000 and HTJ2K (T.800 A.9.2). Pure.

Pixels decode to the same values; what is no such stream is left as it is.
"""

from __future__ import annotations

import re

_JPEG, _JPEG_2000 = b"\xff\xd8", b"\xff\x4f"
_SCAN, _END_OF_IMAGE, _COMMENT, _CODESTREAM_COMMENT, _TILE = 0xDA, 0xD9, 0xFE, 0x64, 0x90
_FILL = b"\xff\xff"
_MARKER = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")
"""What ends the coded pixels of a scan: no restart, and no byte that was stuffed (T.81 B.1.1.5, T.87 A.1)."""
_APPLICATION = range(0xE0, 0xF0)
_COLOURS = ((0xE0, b"JFIF\0", 14), (0xEE, b"Adobe", 12), (0xE8, b"mrfx", 5))
"""Application segments that say how pixels are meant, and how long they are if they say nothing else."""


def without_comments(stream: bytes) -> bytes:
    """The same picture."""
    if stream.startswith(_JPEG_2000):
        return _header_kept(stream)
    if stream.startswith(_JPEG):
        return _segments_kept(stream)
    return stream


def _header_kept(stream: bytes) -> bytes:
    """The main header of JPEG 2000 without comments; lengths that are counted begin after it."""
    made, at = bytearray(stream[:2]), 2
    while at + 4 <= len(stream) and stream[at + 1] != _TILE:
        end = _end(stream, at)
        if end is None:
            return stream
        if stream[at + 1] != _CODESTREAM_COMMENT:
            made += stream[at:end]
        at = end
    return _even(made + stream[at:])


def _segments_kept(stream: bytes) -> bytes:
    """All segments of JPEG or JPEG-LS but those that may hold words, also between its scans."""
    made, at = bytearray(stream[:2]), 2
    while at + 4 <= len(stream):
        if stream[at : at + 2] == _FILL:
            at += 1
            continue
        marker, end = stream[at + 1], _end(stream, at)
        if marker == _END_OF_IMAGE:
            break
        if end is None:
            return stream
        if marker == _SCAN:
            found = _MARKER.search(stream, end)
            end = found.start() if found is not None else len(stream)
        if _is_kept(marker, stream[at + 4 : end]):
            made += stream[at:end]
        at = end
    return _even(made + stream[at:])


def _is_kept(marker: int, content: bytes) -> bool:
    if marker in _APPLICATION:
        return any(
            marker == known and content.startswith(begin) and len(content) == length
            for known, begin, length in _COLOURS
        )
    return marker != _COMMENT


def _end(stream: bytes, at: int) -> int | None:
    """Of the segment there; None if there is none."""
    end = at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
    return end if stream[at] == 0xFF and end <= len(stream) else None


def _even(made: bytes | bytearray) -> bytes:
    """A frame has an even number of bytes (PS3.5 A.4)."""
    return bytes(made) + b"\0" * (len(made) % 2)
