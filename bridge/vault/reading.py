"""Reads the streams of one object: by part, by range, or all of it to verify. It changes nothing on disk.

What is wrong is named part by part, and everything else stays readable.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from bridge.vault.errors import Finding, Trouble, VaultError, disk_errors
from bridge.vault.parts import (
    END,
    FIXED,
    HEADER_BYTES,
    NOTE_LIMIT_BYTES,
    OVERHEAD_BYTES,
    TAG_BYTES,
    Header,
    StreamKeys,
    parse_header,
)
from bridge.vault.scan import Part, Scan


class _OpenFile:
    """One file that is open for reading."""

    def __init__(self, path: Path, stream: int) -> None:
        try:
            with disk_errors():
                self._file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except VaultError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise VaultError(Trouble.NOT_FOUND, f"There is no stream {stream}.") from None
            raise
        self._closed = False

    @property
    def descriptor(self) -> int:
        return self._file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            os.close(self._file)


class StreamReader(_OpenFile):
    """The parts of one stream, by number. Safe for use by several threads; each call blocks for the disk."""

    def __init__(self, keys: StreamKeys, path: Path, *, from_disk: bool = False) -> None:
        """Opens and scans the file. Raises VaultError.

        `from_disk`: as the disk has it. After a write that failed, memory may hold what never came there.
        """
        super().__init__(path, keys.stream)
        self._keys = keys
        self._lock = threading.Lock()
        self._scan = Scan(keys, self._file)
        try:
            if from_disk:
                self._forget_memory()
            self.refresh()
        except BaseException:
            self.close()
            raise

    @property
    def stream(self) -> int:
        return self._keys.stream

    @property
    def ended(self) -> bool:
        """Whether the stream was closed by its writer. If not, it is being written, or it is cut."""
        return self._scan.end is not None

    @property
    def end_note(self) -> bytes:
        """The note of the end, empty before."""
        end = self._scan.end
        return end.note if end is not None else b""

    @property
    def parts(self) -> list[Part]:
        """All whole parts, in their order; those that are lost are left out."""
        with self._lock:
            return [self._scan.parts[number] for number in sorted(self._scan.parts)]

    def refresh(self) -> None:
        """Takes in what a writer has added meanwhile. Raises VaultError."""
        with self._lock, disk_errors():
            if os.fstat(self._file).st_size < self._scan.size_bytes:
                # Its writer took back what it could not make durable.
                self._scan = Scan(self._keys, self._file)
            self._scan.advance()

    def findings(self) -> list[Finding]:
        """What the headers show to be wrong; bodies are proved as they are read."""
        with self._lock, disk_errors():
            return self._scan.findings()

    def read(self, number: int) -> bytes:
        """The content of one part. Raises VaultError, which names what is wrong with it."""
        body = self._body(number)
        if body is None:
            # Its writer may have taken the part back and put another in its place.
            with self._lock, disk_errors():
                self._scan = Scan(self._keys, self._file)
                self._scan.advance()
            body = self._body(number)
        if body is None:
            raise VaultError(Trouble.ALTERED, f"Stream {self.stream}, part {number} is altered.")
        return body

    def iterate(self, first: int = 0) -> Iterator[tuple[Part, bytes]]:
        """Part by part from this number on. Raises VaultError at the first that is lost or altered.

        Who wants the rest goes on behind it, at the next of `parts`.
        """
        expected = first
        for part in self.parts:
            if part.number < first:
                continue
            if part.number != expected:
                self.read(expected)
            yield part, self.read(part.number)
            expected = part.number + 1

    def verify(self) -> Iterator[Finding]:
        """Opens every part, and names all that is wrong."""
        yield from self.findings()
        for part in self.parts:
            try:
                self.read(part.number)
            except VaultError as error:
                yield Finding(error.trouble, self.stream, part.number, error.text)
        end = self._scan.end
        if end is not None and self._open(end) is None:
            text = f"Stream {self.stream}, part {end.number} (the end) is altered."
            yield Finding(Trouble.ALTERED, self.stream, end.number, text)

    def _forget_memory(self) -> None:
        with disk_errors():
            # Only pages that are written can be let go.
            os.fdatasync(self._file)
            os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_DONTNEED)

    def _body(self, number: int) -> bytes | None:
        with self._lock:
            part = self._scan.parts.get(number)
        if part is None:
            raise self._absent(number)
        return self._open(part)

    def _open(self, part: Part) -> bytes | None:
        return _open_at(self._keys, self._file, part)

    def _absent(self, number: int) -> VaultError:
        for finding in self.findings():
            if finding.part == number:
                return VaultError(finding.trouble, finding.text)
        return VaultError(Trouble.NOT_FOUND, f"Stream {self.stream} has no part {number}.")


def read_part(keys: StreamKeys, path: Path, part: Part) -> bytes:
    """One part that an earlier scan found. Raises VaultError, which names what is wrong with it."""
    with _OpenFile(path, keys.stream) as file:
        body = _open_at(keys, file.descriptor, part)
    if body is None:
        # It is damaged, or its writer took it back and put another in its place: only a scan can tell.
        with StreamReader(keys, path) as reader:
            return reader.read(part.number)
    return body


def _open_at(keys: StreamKeys, descriptor: int, part: Part) -> bytes | None:
    header = part.header
    with disk_errors():
        frame = os.pread(descriptor, header.frame_bytes, part.offset_bytes)
    if not frame.startswith(header.raw):
        return None
    return keys.open_body(header, memoryview(frame)[header.body_offset :])


class BlobReader(_OpenFile):
    """Any range of a blob, without scanning its file. Safe for use by several threads."""

    def __init__(self, keys: StreamKeys, path: Path) -> None:
        """Opens the file and proves its length. Raises VaultError."""
        super().__init__(path, keys.stream)
        self._keys = keys
        try:
            with disk_errors():
                file_bytes = os.fstat(self._file).st_size
                self._chunk_bytes, self._chunks = self._measure(file_bytes)
        except VaultError:
            self.close()
            raise
        self.size_bytes = file_bytes - OVERHEAD_BYTES * (self._chunks + 1)

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        """So much of the content from there on, less only at its end. Raises VaultError."""
        stop = min(offset_bytes + length_bytes, self.size_bytes)
        if offset_bytes < 0 or offset_bytes >= stop:
            return b""
        first, last = offset_bytes // self._chunk_bytes, (stop - 1) // self._chunk_bytes
        wanted = memoryview(b"".join(self._chunk(number) for number in range(first, last + 1)))
        begin = offset_bytes - first * self._chunk_bytes
        return bytes(wanted[begin : begin + stop - offset_bytes])

    def iterate(self) -> Iterator[bytes]:
        """The whole content, chunk by chunk. Raises VaultError."""
        for number in range(self._chunks):
            yield self._chunk(number)

    def _measure(self, file_bytes: int) -> tuple[int, int]:
        """Size of a chunk and number of chunks, as the end proves it."""
        end = self._proved(file_bytes - OVERHEAD_BYTES)
        if end is None or end.flags != FIXED | END or end.body_bytes:
            raise VaultError(Trouble.UNENDED, f"Stream {self._keys.stream} is no whole blob.")
        content_bytes = file_bytes - OVERHEAD_BYTES
        if end.number == 0 and content_bytes == 0:
            return 1, 0
        first = self._proved(0)
        if first is None or first.flags != FIXED or first.number != 0:
            raise self._altered(0)
        full, rest = divmod(content_bytes, first.frame_bytes)
        if (
            first.body_bytes == 0
            or full + (rest > OVERHEAD_BYTES) != end.number
            or 0 < rest <= OVERHEAD_BYTES
        ):
            raise VaultError(
                Trouble.MISSING, f"Stream {self._keys.stream} has not the length that it ends with."
            )
        return first.body_bytes, end.number

    def _proved(self, offset: int) -> Header | None:
        if offset < 0:
            return None
        start = os.pread(self._file, HEADER_BYTES + TAG_BYTES + NOTE_LIMIT_BYTES, offset)
        header = parse_header(start)
        if header is None or header.owner != self._keys.owner or header.note_bytes:
            return None
        proved = self._keys.open_note(header, start[HEADER_BYTES : HEADER_BYTES + TAG_BYTES])
        if header.flags & END and self._keys.open_body(header, start[header.body_offset :]) is None:
            return None
        return header if proved is not None else None

    def _chunk(self, number: int) -> bytes:
        body_bytes = min(self._chunk_bytes, self.size_bytes - number * self._chunk_bytes)
        with disk_errors():
            frame = os.pread(
                self._file, OVERHEAD_BYTES + body_bytes, number * (OVERHEAD_BYTES + self._chunk_bytes)
            )
        header = parse_header(frame)
        if header is None or (header.owner, header.number, header.flags, header.frame_bytes) != (
            self._keys.owner,
            number,
            FIXED,
            len(frame),
        ):
            raise self._altered(number)
        body = self._keys.open_body(header, memoryview(frame)[header.body_offset :])
        if body is None:
            raise self._altered(number)
        return body

    def _altered(self, number: int) -> VaultError:
        text = f"Stream {self._keys.stream}, part {number} is altered or not in its place."
        return VaultError(Trouble.ALTERED, text)
