"""`multipart/related` bodies (RFC 2387, RFC 2046 section 5.1) as they are read and written, piece by piece. Pure.

What comes in is from strangers: everything but the content of the parts is bounded.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from typing import Literal

from bridge.errors import ProtocolError

HEADERS_LIMIT_BYTES = 8 * 1024
PREAMBLE_LIMIT_BYTES = 64 * 1024
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,199}[0-9A-Za-z'()+_,./:=?-]")
"""RFC 2046 has 70 characters at most, and Orthanc sends 73."""
_CUT = "The request's body is cut off."


@dataclass(frozen=True, slots=True)
class PartBegins:
    """Headers of the next part, their names in lower case."""

    headers: dict[str, str]

    @property
    def media_type(self) -> str:
        return media_type(self.headers.get("content-type", ""))[0]


class PartEnds:
    """The part is whole."""


Event = PartBegins | memoryview | PartEnds
"""Content comes as views, which hold until the next `feed`."""


def media_type(header: str) -> tuple[str, dict[str, str]]:
    """A Content-Type, and its parameters with their names in lower case."""
    message = Message()
    message["Content-Type"] = header.replace("\r", " ").replace("\n", " ")[:1000]
    try:
        pairs = message.get_params(failobj=[])
    except (ValueError, IndexError):
        pairs = []
    said = header.partition(";")[0].strip().lower()
    return said, {name.lower(): value for name, value in pairs[1:] if isinstance(value, str)}


class MultipartParser:
    """Bytes in, events out."""

    def __init__(self, content_type: str) -> None:
        """Raises ProtocolError if this is no multipart body, code `wrongType`."""
        said, parameters = media_type(content_type)
        if said != "multipart/related":
            raise ProtocolError("The body must be multipart/related.", "wrongType")
        boundary = parameters.get("boundary", "")
        if not _BOUNDARY.fullmatch(boundary):
            raise ProtocolError("The body's boundary is missing or wrong.")
        self.type = parameters.get("type", "").lower()
        """Of the parts, as the whole says."""
        self._delimiter = f"\r\n--{boundary}".encode("ascii")
        # A delimiter may stand at the very beginning, without the line end before it.
        self._held = b"\r\n"
        self._state: Literal["preamble", "delimiter", "headers", "content", "done"] = "preamble"
        self._skipped_bytes = 0

    def feed(self, data: bytes) -> Iterator[Event]:
        """To be iterated to its end. Raises ProtocolError."""
        data = self._held + data if self._held else data
        at = 0
        while self._state != "done":
            if self._state in ("preamble", "content"):
                stop, found = self._until_delimiter(data, at)
                yield from self._passed(data, at, stop)
                if not found:
                    at = stop
                    break
                at = stop + len(self._delimiter)
                if self._state == "content":
                    yield PartEnds()
                self._state = "delimiter"
            elif self._state == "delimiter":
                if len(data) - at < 2:
                    break
                self._state = "done" if data[at : at + 2] == b"--" else "headers"
            else:
                end = data.find(b"\r\n\r\n", at)
                if end < 0:
                    if len(data) - at > HEADERS_LIMIT_BYTES:
                        raise ProtocolError("A part of the body has no end to its headers.")
                    break
                yield PartBegins(_headers(data[at:end]))
                at = end + 4
                # An empty part's delimiter follows at once, its line end being that of the headers.
                if data.startswith(self._delimiter[2:], at):
                    at -= 2
                self._state = "content"
        self._held = data[at:] if self._state != "done" else b""

    def finish(self) -> None:
        """Raises ProtocolError if the body is not whole."""
        if self._state != "done":
            raise ProtocolError(_CUT)

    def _until_delimiter(self, data: bytes, at: int) -> tuple[int, bool]:
        """Where the delimiter is, or up to where there is certainly none."""
        found = data.find(self._delimiter, at)
        if found >= 0:
            return found, True
        return max(at, len(data) - len(self._delimiter) + 1), False

    def _passed(self, data: bytes, at: int, stop: int) -> Iterator[memoryview]:
        if self._state == "content":
            if stop > at:
                yield memoryview(data)[at:stop]
            return
        self._skipped_bytes += stop - at
        if self._skipped_bytes > PREAMBLE_LIMIT_BYTES:
            raise ProtocolError("The body does not begin with its boundary.")


def _headers(block: bytes) -> dict[str, str]:
    """The delimiter's own line may end in blanks; the headers follow it."""
    padding, *lines = block.decode("latin-1").split("\r\n")
    if padding.strip(" \t") or len(block) > HEADERS_LIMIT_BYTES:
        raise ProtocolError("The body's parts are not divided as its boundary says.")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise ProtocolError("A part of the body has a header that cannot be read.")
        headers[name.strip().lower()] = value.strip()
    return headers


# --- writing -------------------------------------------------------------------------------------------------------


class MultipartForm:
    """The frame around the parts of an answer."""

    def __init__(self, type: str) -> None:
        self._boundary = secrets.token_hex(16)
        self.content_type = f'multipart/related; type="{type}"; boundary={self._boundary}'

    def opening(
        self, content_type: str, size_bytes: int | None = None, location: str = "", span: str = ""
    ) -> bytes:
        """What stands before a part's content, whose end needs nothing more."""
        lines = [f"\r\n--{self._boundary}", f"Content-Type: {content_type}"]
        if size_bytes is not None:
            lines.append(f"Content-Length: {size_bytes}")
        if location:
            lines.append(f"Content-Location: {location}")
        if span:
            lines.append(f"Content-Range: {span}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")

    @property
    def closing(self) -> bytes:
        """What stands at the end of all."""
        return f"\r\n--{self._boundary}--\r\n".encode("ascii")
