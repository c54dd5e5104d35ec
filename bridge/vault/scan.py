"""Finds the parts in a stream's file by their headers, whatever was done to the file, and says what is wrong with it.

Every header is proved by opening its note, so that this needs no body and is cheap. Damage is stepped over: the
scan goes on at the next part that proves itself. It can be continued while the file grows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from bridge.vault.errors import Finding, Trouble
from bridge.vault.parts import (
    END,
    HEADER_BYTES,
    MAGIC,
    NOTE_LIMIT_BYTES,
    TAG_BYTES,
    Header,
    StreamKeys,
    parse_header,
)

_LONGEST_START = HEADER_BYTES + NOTE_LIMIT_BYTES + TAG_BYTES
_SEARCH_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Part:
    """Where one whole part lies, and its note. `number` counts from 0 in its stream."""

    number: int
    offset_bytes: int
    body_bytes: int
    note: bytes
    header: Header


class Scan:
    """What is known of one stream's file. Not safe for use by several threads at once."""

    def __init__(self, keys: StreamKeys, descriptor: int) -> None:
        self._keys = keys
        self._file = descriptor
        self.parts: dict[int, Part] = {}
        """Whole parts with content, by number. Their bodies are not proved yet."""
        self.end: Part | None = None
        """The end of the stream, if it was closed."""
        self._next_number = 0
        self._offset = 0
        """Up to here all is understood."""
        self._last: Part | None = None
        """The part that ends at `_offset`, if it proved itself."""
        self._findings: list[Finding] = []
        self._lost: dict[int, Trouble] = {}
        self._size = 0

    def advance(self) -> None:
        """Takes in what the file has grown by. Raises OSError."""
        # A file that has become shorter needs a new scan: its writer took back what it could not make durable.
        size = os.fstat(self._file).st_size
        if size == self._size:
            return
        self._size = size
        while self._offset < size:
            header = self._header_at(self._offset)
            note = self._note_at(self._offset, header) if header is not None else None
            if header is None or note is None:
                if self._is_torn(self._offset) or not self._step_over():
                    return
                continue
            self._take(header, note, self._offset)
            self._offset += header.frame_bytes

    @property
    def size_bytes(self) -> int:
        """The size of the file as it was scanned."""
        return self._size

    @property
    def is_cut(self) -> bool:
        """Whether the file ends in the midst of a part."""
        return self._offset < self._size and self._is_torn(self._offset)

    def findings(self) -> list[Finding]:
        """What is wrong so far. A file that is being written is `unended`, and perhaps `cut` for a moment."""
        found = [*self._findings, *(self._finding(trouble, part) for part, trouble in self._lost.items())]
        tail_bytes = self._size - self._offset
        if tail_bytes:
            if self.end is not None:
                found.append(self._extra(tail_bytes, "after the end"))
            elif self.is_cut:
                found.append(self._cut(tail_bytes))
            else:
                found.append(self._finding(Trouble.ALTERED, self._next_number))
        if self.end is None:
            found.append(
                Finding(
                    Trouble.UNENDED,
                    self._keys.stream,
                    None,
                    f"Stream {self._keys.stream} has no end after {len(self.parts)} parts.",
                )
            )
        return found

    # --- one place in the file ---------------------------------------------------------------------------------

    def _header_at(self, offset: int) -> Header | None:
        header = parse_header(os.pread(self._file, HEADER_BYTES, offset))
        return header if header is not None and offset + header.frame_bytes <= self._size else None

    def _note_at(self, offset: int, header: Header) -> bytes | None:
        if header.owner != self._keys.owner:
            return None
        sealed = os.pread(self._file, header.note_bytes + TAG_BYTES, offset + HEADER_BYTES)
        return self._keys.open_note(header, sealed)

    def _is_torn(self, offset: int) -> bool:
        """Whether from here to the end lies the beginning of a part that was being written."""
        start = os.pread(self._file, min(_LONGEST_START, self._size - offset), offset)
        if len(start) < HEADER_BYTES:
            return start.startswith(MAGIC[: len(start)])
        header = parse_header(start)
        if header is None:
            return not any(start) and self._is_zero(offset)
        if header.owner != self._keys.owner or offset + header.frame_bytes <= self._size:
            return False
        sealed = start[HEADER_BYTES : header.body_offset]
        whole = len(sealed) == header.note_bytes + TAG_BYTES
        if whole and self._keys.open_note(header, sealed) is None:
            return False
        # Nothing was ever written behind a torn part: what has a part behind it is damaged.
        return next(self._magics(offset + HEADER_BYTES), None) is None

    def _is_zero(self, offset: int) -> bool:
        """Blocks that a power failure left without content read as zeros."""
        while offset < self._size:
            if any(os.pread(self._file, _SEARCH_BYTES, offset)):
                return False
            offset += _SEARCH_BYTES
        return True

    # --- damage ------------------------------------------------------------------------------------------------

    def _step_over(self) -> bool:
        """Goes to the next part behind damage, and notes what was lost; False if there is none."""
        # If bytes were taken out of the last part, the next one begins before that one's end.
        begin = self._last.offset_bytes + self._last.header.body_offset if self._last else self._offset
        for broken, offset in enumerate(self._magics(begin)):
            header = self._header_at(offset)
            if header is not None and self._note_at(offset, header) is not None:
                self._note_damage(offset, header, broken)
                return True
            if header is not None and self._is_foreign(offset, header):
                self._findings.append(self._foreign(header))
                self._offset, self._last = offset + header.frame_bytes, None
                return True
        return False

    def _note_damage(self, offset: int, header: Header, broken: int) -> None:
        if self._last is not None and offset < self._offset:
            self.parts.pop(self._last.number, None)
            self._lost[self._last.number] = Trouble.CUT_SHORT
        elif header.number <= self._next_number:
            self._findings.append(self._extra(offset - self._offset, f"before part {header.number}"))
        else:
            # What was there in place of the parts that are missing now; the rest of them is not there at all.
            for number in range(self._next_number, header.number)[: max(1, broken)]:
                self._lost[number] = Trouble.ALTERED
        self._offset, self._last = offset, None

    def _is_foreign(self, offset: int, header: Header) -> bool:
        """Whether this is somebody else's part, and no damaged one of our own."""
        if header.owner == self._keys.owner:
            return False
        # Its lengths are not proved: where a part begins before its end, they are not to be believed.
        if next(self._magics(offset + HEADER_BYTES), self._size) < offset + header.frame_bytes:
            return False
        mended = parse_header(header.raw.replace(header.owner, self._keys.owner, 1))
        return mended is None or self._note_at(offset, mended) is None

    def _magics(self, offset: int) -> Iterator[int]:
        """Where parts may begin from here on."""
        while offset < self._size:
            window = os.pread(self._file, _SEARCH_BYTES + len(MAGIC) - 1, offset)
            at = window.find(MAGIC)
            while at >= 0:
                yield offset + at
                at = window.find(MAGIC, at + 1)
            offset += _SEARCH_BYTES

    # --- what was found ----------------------------------------------------------------------------------------

    def _take(self, header: Header, note: bytes, offset: int) -> None:
        number = header.number
        part = Part(number, offset, header.body_bytes, note, header)
        self._last = part
        if number in self.parts or (self.end is not None and number == self.end.number):
            self._findings.append(self._finding(Trouble.REPEATED, number))
            return
        if number < self._next_number:
            self._lost.pop(number, None)
            self._findings.append(self._finding(Trouble.MOVED, number))
        else:
            for lost in range(self._next_number, number):
                self._lost.setdefault(lost, Trouble.MISSING)
            self._next_number = number + 1
        if header.flags & END:
            self.end = part
        else:
            self.parts[number] = part

    def _finding(self, trouble: Trouble, part: int) -> Finding:
        stream = self._keys.stream
        return Finding(trouble, stream, part, f"Stream {stream}, part {part} {_SAYS[trouble]}.")

    def _extra(self, extra_bytes: int, where: str) -> Finding:
        stream = self._keys.stream
        text = f"Stream {stream} has {extra_bytes} bytes {where} that belong to no part."
        return Finding(Trouble.EXTRA, stream, None, text)

    def _cut(self, tail_bytes: int) -> Finding:
        stream, part = self._keys.stream, self._next_number
        text = f"Stream {stream} is cut in part {part}; the {tail_bytes} bytes of it are kept."
        return Finding(Trouble.CUT, stream, part, text)

    def _foreign(self, header: Header) -> Finding:
        stream, place = self._keys.stream, self._next_number
        same_object = header.owner[:-4] == self._keys.owner[:-4]
        whose = f"of stream {header.stream}" if same_object else "of another object"
        text = f"Stream {stream} has a part {whose} in the place of part {place}."
        return Finding(Trouble.FOREIGN, stream, place, text)


_SAYS = {
    Trouble.MISSING: "is missing",
    Trouble.MOVED: "is not in its place",
    Trouble.REPEATED: "is there twice",
    Trouble.ALTERED: "is altered",
    Trouble.CUT_SHORT: "is cut short",
}
