"""One object on disk: its streams, and the sealed list of them that shows when a stream is gone or was cut later.

Stream 0 is that list; the content's streams count from 1. File names say nothing but the number.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bridge.durable import replace_private, sync_folder
from bridge.vault.errors import Finding, Trouble, VaultError, disk_errors
from bridge.vault.parts import END, ObjectRef, StreamKeys
from bridge.vault.reading import BlobReader, StreamReader, read_part
from bridge.vault.scan import Part
from bridge.vault.writing import CHUNK_BYTES, BlobWriter, StreamWriter, blob_stream

CONTENTS_STREAM = 0
STREAM_LIMIT = 99_999_999
_NAME = re.compile(r"(\d{8})\.parts")


@dataclass(frozen=True, slots=True)
class StreamSummary:
    """One stream as the object's list of contents has it. `parts` counts those with content."""

    stream: int
    parts: int
    ended: bool
    size_bytes: int


class _Object:
    def __init__(self, ref: ObjectRef, folder: Path, data_key: bytes) -> None:
        self.ref = ref
        self._folder = folder
        self._data_key = data_key

    def _keys(self, stream: int) -> StreamKeys:
        return StreamKeys(self._data_key, self.ref, stream)

    def _path(self, stream: int) -> Path:
        return self._folder / f"{stream:08}.parts"

    def _reader(self, stream: int, *, from_disk: bool = False) -> StreamReader:
        return StreamReader(self._keys(stream), self._path(stream), from_disk=from_disk)

    def streams(self) -> list[int]:
        """The numbers of the content's streams that are there. Raises VaultError."""
        with disk_errors():
            named = [_NAME.fullmatch(path.name) for path in self._folder.iterdir()]
        return sorted(stream for name in named if name and (stream := int(name[1])) != CONTENTS_STREAM)

    def contents(self) -> list[StreamSummary] | None:
        """The streams as the object was sealed with them; None if it was not. Raises VaultError."""
        try:
            reader = self._reader(CONTENTS_STREAM)
        except VaultError as error:
            if error.trouble is Trouble.NOT_FOUND:
                return None
            raise
        with reader:
            return [StreamSummary(**row) for row in json.loads(reader.read(0))]


class ObjectWriter(_Object):
    """Makes the streams of one object. Safe for use by several threads."""

    def __init__(self, ref: ObjectRef, folder: Path, data_key: bytes) -> None:
        super().__init__(ref, folder, data_key)
        self._lock = threading.Lock()
        self._next: int | None = None

    def new_stream(self) -> StreamWriter:
        """A stream of parts, each of any size. Raises VaultError."""
        return self._new(StreamWriter)

    def new_blob(self, chunk_bytes: int = CHUNK_BYTES) -> BlobWriter:
        """A stream for reading any range of it later. Raises VaultError."""
        return BlobWriter(self._new(blob_stream), chunk_bytes)

    def seal(self) -> list[StreamSummary]:
        """Writes the list of all streams as they are now, in the place of an earlier one. Raises VaultError.

        What is missing or shorter later is noticed. A stream that is not ended is listed as cut, so that an object
        can be sealed after a crash; one that is still being written should be ended first.
        """
        rows = [self._summary(stream) for stream in self.streams()]
        self._write_contents(rows)
        return rows

    def seal_more(self, streams: Sequence[int]) -> None:
        """Adds streams to the list as it was sealed. What it says of the others stays, so that damage to them
        stays visible. An object that was never sealed is left so. Raises VaultError.
        """
        try:
            rows = self.contents()
        except (ValueError, TypeError):
            raise VaultError(Trouble.ALTERED, "The list of streams is altered.") from None
        if rows is not None:
            kept = [row for row in rows if row.stream not in streams]
            self._write_contents([*kept, *(self._summary(stream) for stream in streams)])

    def discard(self, stream: int) -> None:
        """Removes a stream that is not wanted after all. Raises VaultError."""
        with disk_errors():
            self._path(stream).unlink(missing_ok=True)
            sync_folder(self._folder)

    def _write_contents(self, rows: Sequence[StreamSummary]) -> None:
        content = json.dumps([asdict(row) for row in rows]).encode("ascii")
        keys = self._keys(CONTENTS_STREAM)
        sealed = b"".join((*keys.seal(0, 0, b"", content), *keys.seal(1, END, b"", b"")))
        with disk_errors():
            replace_private(self._path(CONTENTS_STREAM), sealed)

    def _new(self, make: Callable[[StreamKeys, Path], StreamWriter]) -> StreamWriter:
        with self._lock, disk_errors():
            if self._next is None:
                known = [row.stream for row in self.contents() or ()]
                self._next = max([CONTENTS_STREAM, *self.streams(), *known]) + 1
            while self._next <= STREAM_LIMIT:
                stream, self._next = self._next, self._next + 1
                try:
                    return make(self._keys(stream), self._path(stream))
                except FileExistsError:
                    continue  # Another process writes to the same object.
                except OSError:
                    self._next = stream
                    raise
            raise VaultError(Trouble.DISK_FULL, "The object has as many streams as it can hold.")

    def _summary(self, stream: int) -> StreamSummary:
        with self._reader(stream) as reader, disk_errors():
            size_bytes = self._path(stream).stat().st_size
            return StreamSummary(stream, len(reader.parts), reader.ended, size_bytes)


class ObjectReader(_Object):
    """Reads the streams of one object. Safe for use by several threads."""

    def stream(self, number: int, *, from_disk: bool = False) -> StreamReader:
        """A stream's parts, to be closed by the caller; `from_disk` as `StreamReader` has it. Raises VaultError."""
        return self._reader(number, from_disk=from_disk)

    def read(self, stream: int, part: Part) -> bytes:
        """The content of a part that was found before, without scanning its stream again. Raises VaultError."""
        return read_part(self._keys(stream), self._path(stream), part)

    def blob(self, number: int) -> BlobReader:
        """A blob's ranges, to be closed by the caller. Raises VaultError."""
        return BlobReader(self._keys(number), self._path(number))

    def verify(self) -> Iterator[Finding]:
        """Opens everything, and names all that is wrong. Raises VaultError if the disk fails."""
        streams = self.streams()
        try:
            contents = self.contents()
        except (VaultError, ValueError, TypeError):
            contents = None
            yield Finding(Trouble.ALTERED, CONTENTS_STREAM, None, "The list of streams is altered.")
        else:
            if contents is None:
                text = "The object was not closed: there is no list of its streams."
                yield Finding(Trouble.UNSEALED, None, None, text)
            else:
                with self._reader(CONTENTS_STREAM) as reader:
                    yield from reader.verify()
        listed = {row.stream: row for row in contents or ()}
        for stream in sorted(listed.keys() - set(streams)):
            yield Finding(Trouble.STREAM_MISSING, stream, None, f"Stream {stream} is missing.")
        for stream in streams:
            yield from self._verify_stream(stream, listed.get(stream), contents is not None)

    def _verify_stream(self, stream: int, row: StreamSummary | None, sealed: bool) -> Iterator[Finding]:
        with self._reader(stream) as reader:
            found = list(reader.verify())
            parts = len(reader.parts)
        yield from found
        if row is None:
            if sealed:
                text = f"Stream {stream} is not in the list of streams."
                yield Finding(Trouble.STREAM_UNKNOWN, stream, None, text)
        elif parts < row.parts and not any(finding.trouble in _LOSSES for finding in found):
            for part in range(parts, row.parts):
                text = f"Stream {stream}, part {part} is missing at the end."
                yield Finding(Trouble.MISSING, stream, part, text)


_LOSSES = {Trouble.MISSING, Trouble.ALTERED, Trouble.CUT_SHORT}
