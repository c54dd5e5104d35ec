"""Where an exported file goes: something that takes bytes, and that can perhaps go back to what it took.

Nothing here makes a file; who exports says where content in the clear may lie.
"""

from __future__ import annotations

import io
from typing import Protocol


class Sink(Protocol):
    """Takes a file from its beginning to its end. One with `seekable()` true has `seek` and `tell` too."""

    def write(self, content: bytes, /) -> object:
        """Takes all of it."""


class PlainSink:
    """Only onwards, whatever the sink below could do: for an answer that goes out over a network."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def write(self, content: bytes) -> int:
        self._sink.write(bytes(content))
        return len(content)


class SinkFrom:
    """The part of a seekable sink from a place on, as a file of its own."""

    def __init__(self, sink: io.BufferedIOBase, start: int) -> None:
        self._sink = sink
        self._start = start
        self.size_bytes = 0

    def write(self, content: bytes) -> int:
        self._sink.write(bytes(content))
        self.size_bytes = max(self.size_bytes, self.tell())
        return len(content)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_CUR:
            offset += self.tell()
        elif whence == io.SEEK_END:
            offset += self.size_bytes
        return self._sink.seek(self._start + offset) - self._start

    def tell(self) -> int:
        return self._sink.tell() - self._start


def seekable(sink: Sink) -> io.BufferedIOBase | None:
    """The sink itself, if it can go back."""
    if isinstance(sink, io.BufferedIOBase) and sink.seekable():
        return sink
    return None
