"""Which part of an answer is wanted: `Range` and `If-Range` (RFC 9110 14.2, 13.1.5), and `level` for pictures. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from aiohttp import web

from bridge.errors import BridgeError, ProtocolError, public_error
from bridge.guard import error_response
from bridge.imaging.frames import Outline

LEVEL_LIMIT = 5
_SPAN = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


class Unsatisfiable(Exception):
    """Nothing of so many bytes lies in the range that was asked for."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(size_bytes)
        self.size_bytes = size_bytes

    def response(self) -> web.Response:
        error = BridgeError("There is nothing in this range of bytes.", "malformed")
        response = error_response(public_error(error), 416)
        response.headers["Content-Range"] = f"bytes */{self.size_bytes}"
        return response


@dataclass(frozen=True, slots=True)
class PartWish:
    """What a request wants of its answer. A range counts before a level; several ranges and nonsense count as none."""

    span: tuple[int | None, int | None] | None
    if_range: str
    level: int | None

    @classmethod
    def of(cls, request: web.BaseRequest) -> PartWish:
        """Raises ProtocolError."""
        return cls(
            _span(request.headers.get("Range", "")), request.headers.get("If-Range", ""), level_of(request)
        )

    def is_for_part(self, tag: str) -> bool:
        """Whether the answer, of this tag, is to be called a part, even if it holds all."""
        if self.span is None:
            return self.level is not None
        return self.if_range in ("", tag)

    def of_outline(self, outline: Outline) -> tuple[int, int]:
        """From where to where. Raises Unsatisfiable."""
        cut = self.of_bytes(outline.size_bytes, etag(outline.tag))
        if cut is None and self.span is None and self.level is not None:
            return 0, outline.prefix_bytes(self.level)
        return cut or (0, outline.size_bytes)

    def of_bytes(self, size_bytes: int, tag: str = "") -> tuple[int, int] | None:
        """From where to where by the range alone; None for all of it. Raises Unsatisfiable."""
        if self.span is None or (self.if_range and self.if_range != tag):
            return None
        first, last = self.span
        if first is None:
            start, stop = max(0, size_bytes - (last or 0)), size_bytes
        else:
            start, stop = first, size_bytes if last is None else min(size_bytes, last + 1)
        if start >= stop:
            raise Unsatisfiable(size_bytes)
        return start, stop


def etag(tag: str) -> str:
    return f'"{tag}"'


def level_of(request: web.BaseRequest) -> int | None:
    """Raises ProtocolError."""
    said = request.query.get("level")
    if said is None:
        return None
    if not (len(said) == 1 and said.isascii() and said.isdigit() and int(said) <= LEVEL_LIMIT):
        raise ProtocolError(f"The level is a number from 0 to {LEVEL_LIMIT}.")
    return int(said)


def _span(header: str) -> tuple[int | None, int | None] | None:
    found = _SPAN.fullmatch(header.strip())
    if found is None or found[0].endswith("=-"):
        return None
    first, last = (int(text) if text else None for text in found.groups())
    return None if first is not None and last is not None and last < first else (first, last)
