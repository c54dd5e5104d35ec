"""What a client will take (PS3.18 8.7.3 and 8.7.4), and what it gets: media types and transfer syntaxes. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bridge.errors import BridgeError
from bridge.imaging.pixels.format import (
    ENCAPSULATED_UNCOMPRESSED,
    EXPLICIT_LITTLE,
    HTJ2K_LOSSLESS,
    IMPLICIT_LITTLE,
    JPEG_2000,
    JPEG_LS,
    JPEG_LS_LOSSLESS,
    MPEG2,
    RLE_LOSSLESS,
    VIDEO,
)
from bridge.imaging.pixels.transcoding import TARGETS

OCTETS = "application/octet-stream"
DICOM = "application/dicom"
ANY = "*/*"
RANGES_LIMIT = 64
_AS_THEY_ARE = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE, ENCAPSULATED_UNCOMPRESSED})
"""Whose frames are the bytes of explicit little endian."""
_USUAL = {"image/jls": JPEG_LS_LOSSLESS, "image/jphc": HTJ2K_LOSSLESS}
"""What a type stands for that comes without a transfer syntax, of those that are made here without loss."""
_PIECE = re.compile(r'\s*([^\s;,="]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?\s*([;,]|$)')


@dataclass(frozen=True, slots=True)
class Range:
    """One thing of an Accept header. `type` is of the parts if it is `multipart`."""

    type: str
    multipart: bool = False
    transfer_syntax: str | None = None
    q: float = 1.0


def ranges_of(headers: Iterable[str]) -> list[Range]:
    """All that is acceptable, the best first; everything where nothing is said."""
    found: list[Range] = []
    for header in headers:
        found.extend(_ranges(header))
    wanted = [each for each in found[:RANGES_LIMIT] if each.q > 0]
    return sorted(wanted, key=lambda each: -each.q) if found else [Range(ANY)]


def _ranges(header: str) -> Iterator[Range]:
    at = 0
    words: list[tuple[str, str]] = []
    while at < len(header) and (piece := _PIECE.match(header, at)):
        name, quoted, plain, end = piece.groups()
        words.append((name.lower(), quoted if quoted is not None else plain or ""))
        at = piece.end()
        if end != ";":
            yield _range(words)
            words = []
    if words:
        yield _range(words)


def _range(words: list[tuple[str, str]]) -> Range:
    said = words[0][0]
    parameters = dict(words[1:])
    try:
        q = min(1.0, max(0.0, float(parameters.get("q", "1"))))
    except ValueError:
        q = 0.0
    syntax = parameters.get("transfer-syntax")
    if said == "multipart/related":
        return Range(parameters.get("type", ANY).lower(), True, syntax, q)
    return Range(said, False, syntax, q)


def media_type_of(transfer_syntax: str) -> str:
    """Of frames in it (PS3.18 tables 8.7.3-2 to 8.7.3-5)."""
    if transfer_syntax in VIDEO:
        return "video/mpeg" if transfer_syntax in MPEG2 else "video/mp4"
    if transfer_syntax == RLE_LOSSLESS:
        return "image/dicom-rle"
    if transfer_syntax in JPEG_LS:
        return "image/jls"
    if transfer_syntax in JPEG_2000:
        number = int(transfer_syntax.rpartition(".")[2])
        return "image/jphc" if number > 200 else "image/jp2" if number < 92 else "image/jpx"
    number_text = transfer_syntax.removeprefix("1.2.840.10008.1.2.4.")
    if number_text.isdigit() and len(number_text) < 4:
        number = int(number_text)
        if 50 <= number <= 70:
            return "image/jpeg"
        if 110 <= number <= 112:
            return "image/jxl"
    return OCTETS


@dataclass(frozen=True, slots=True)
class FrameChoice:
    """How frames are given. `target` is empty for as they are stored."""

    type: str
    transfer_syntax: str
    target: str
    multipart: bool

    @property
    def content_type(self) -> str:
        return f"{self.type}; transfer-syntax={self.transfer_syntax}"


def frame_choice(ranges: Iterable[Range], stored: str, count: int) -> FrameChoice:
    """For so many frames that are stored in a transfer syntax. Raises BridgeError (`unsupported`)."""
    for each in ranges:
        if not each.multipart and count > 1 and each.type != ANY:
            continue
        chosen = _in_range(each, stored)
        if chosen is not None:
            type, syntax, target = chosen
            return FrameChoice(type, syntax, target, each.multipart or each.type == ANY)
    raise not_acceptable()


def not_acceptable() -> BridgeError:
    """To be raised where nothing fits."""
    return BridgeError("This cannot be given in any form that was asked for.", "unsupported")


def _in_range(each: Range, stored: str) -> tuple[str, str, str] | None:
    """Type, transfer syntax and target. A video has no frames as stored: they are decoded."""
    own = media_type_of(stored)
    wanted = each.transfer_syntax
    is_video = stored in VIDEO
    if not is_video and wanted in (None, "*", stored) and each.type in (ANY, own) and own != OCTETS:
        return own, stored, ""
    if not is_video and own.startswith("image/") and each.type == "image/*" and wanted in (None, "*", stored):
        return own, stored, ""
    if each.type in (ANY, OCTETS):
        return _octets(wanted, stored, is_video)
    target = wanted if wanted is not None else _USUAL.get(each.type, "")
    if target in TARGETS and media_type_of(target) == each.type:
        return each.type, target, target
    return None


def _octets(wanted: str | None, stored: str, is_video: bool) -> tuple[str, str, str] | None:
    if stored in _AS_THEY_ARE and wanted in (None, "*", EXPLICIT_LITTLE, stored):
        return OCTETS, EXPLICIT_LITTLE, ""
    if not is_video and wanted in ("*", stored):
        return OCTETS, stored, ""
    if wanted in (None, "*", EXPLICIT_LITTLE):
        return OCTETS, EXPLICIT_LITTLE, EXPLICIT_LITTLE
    return None


def rendered_choice(ranges: Iterable[Range], offered: tuple[str, ...]) -> str:
    """One of the media types that can be made. Raises BridgeError (`unsupported`)."""
    for each in ranges:
        for type in offered:
            if each.type in (ANY, type, type.partition("/")[0] + "/*"):
                return type
    raise not_acceptable()


def object_choice(ranges: Iterable[Range]) -> tuple[list[str], bool]:
    """For whole objects: which transfer syntaxes are taken ("*" for as stored), the best first, and whether in parts.

    Where none is named the object comes as it is stored. Raises BridgeError (`unsupported`).
    """
    wanted: list[str] = []
    multipart: bool | None = None
    for each in ranges:
        if each.type not in (ANY, DICOM, "application/*"):
            continue
        in_parts = each.multipart or each.type != DICOM
        if multipart is None:
            multipart = in_parts
        if in_parts == multipart:
            wanted.append(each.transfer_syntax or "*")
    if multipart is None:
        raise not_acceptable()
    return wanted, multipart


def require_json(ranges: Iterable[Range]) -> None:
    """Raises BridgeError (`unsupported`) unless the JSON model is taken."""
    rendered_choice(ranges, ("application/dicom+json", "application/json"))
