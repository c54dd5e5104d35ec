"""Compressed pictures without the texts that programs and cameras put beside the pixels: comments and application
segments of JPEG and JPEG-LS (T.81 B.2.4.5, B.2.4.6), comments of JPEG 2000 and HTJ2K (T.800 A.9.2). Pure.

Pixels decode to the same values; what is no such stream is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable

_JPEG, _JPEG_2000 = b"\xff\xd8", b"\xff\x4f"
_SOS, _COMMENT, _CODESTREAM_COMMENT, _TILE = 0xDA, 0xFE, 0x64, 0x90
_APPLICATION = range(0xE0, 0xF0)
_COLOURS = ((0xE0, b"JFIF\0", 14), (0xEE, b"Adobe", 12), (0xE8, b"mrfx", 5))
"""Application segments that say how pixels are meant, and how long they are if they say nothing else."""


def without_comments(stream: bytes) -> bytes:
    """The same picture."""
    if stream.startswith(_JPEG_2000):
        return _kept(stream, _TILE, lambda marker, _content: marker != _CODESTREAM_COMMENT)
    if stream.startswith(_JPEG):
        return _kept(stream, _SOS, _is_kept_of_jpeg)
    return stream


def _is_kept_of_jpeg(marker: int, content: bytes) -> bool:
    if marker in _APPLICATION:
        return any(
            marker == known and content.startswith(begin) and len(content) == length
            for known, begin, length in _COLOURS
        )
    return marker != _COMMENT


def _kept(stream: bytes, last: int, is_kept: Callable[[int, bytes], bool]) -> bytes:
    """The segments of the header that are kept, then everything from the `last` marker on."""
    made, at = bytearray(stream[:2]), 2
    while at + 4 <= len(stream):
        marker = stream[at + 1]
        if stream[at] != 0xFF:
            return stream
        if marker == 0xFF:  # Fill bytes may precede a marker.
            at += 1
            continue
        if marker == last:
            break
        end = at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        if end > len(stream):
            return stream
        if is_kept(marker, stream[at + 4 : end]):
            made += stream[at:end]
        at = end
    made += stream[at:]
    # A frame has an even number of bytes (PS3.5 A.4).
    return bytes(made) + b"\0" * (len(made) % 2)
