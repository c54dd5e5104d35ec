"""Writes the streams of one object: append-only, sealed before the disk sees them, durable when the call returns.

A stream belongs to the process that made it and is never opened for writing again; who goes on after a crash makes
a new one. A failed append leaves no half part behind, and the stream goes on when the disk is well again.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Self

from bridge.durable import PRIVATE_MODE, sync_folder
from bridge.vault.errors import disk_errors
from bridge.vault.parts import BODY_LIMIT_BYTES, END, FIXED, Bytes, StreamKeys

CHUNK_BYTES = 64 * 1024
"""Of a blob: small enough that a short range costs little, large enough that sealing runs at full speed."""
_CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class StreamWriter:
    """Appends parts to one stream. Safe for use by several threads; each call blocks for the disk."""

    def __init__(self, keys: StreamKeys, path: Path, *, flags: int = 0) -> None:
        """Makes the file. Raises FileExistsError and other OSErrors."""
        self._keys = keys
        self._path = path
        self._flags = flags
        self._lock = threading.Lock()
        self._file: int | None = os.open(path, _CREATE_FLAGS, PRIVATE_MODE)
        self._number = 0
        self._size = 0
        self._durable = (0, 0)
        """Number of parts and size in bytes that the disk is known to have."""
        self._has_torn_tail = False
        self._ended = False
        try:
            sync_folder(path.parent)
        except OSError:
            os.close(self._file)
            path.unlink(missing_ok=True)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def stream(self) -> int:
        return self._keys.stream

    @property
    def next_number(self) -> int:
        """The number that the next part gets: after an error, where the caller goes on."""
        return self._number

    @property
    def durable_parts(self) -> int:
        """How many parts, from 0 on, no crash can take away any more."""
        return self._durable[0]

    @property
    def size_bytes(self) -> int:
        return self._size

    def append(self, body: Bytes, note: Bytes = b"", *, durable: bool = True) -> int:
        """Seals and writes one part; gives its number.

        Without `durable`, the part is safe only after `sync` (or a later durable append). Raises VaultError if the
        disk fails: the part is not there then, and `next_number` says which part is wanted next. After a failed
        sync that is the one after the last durable part, because the disk may have lost what it had not confirmed.
        """
        return self._append(body, note, self._flags, durable)

    def sync(self) -> None:
        """Makes all parts so far durable. Raises VaultError, see `append`."""
        with self._lock, disk_errors():
            self._sync(self._opened())

    def take_back(self) -> None:
        """Removes the parts that are not durable yet: they are not wanted after all, or the rest of them failed.

        Raises VaultError if the disk keeps them; the next append begins with removing them then.
        """
        with self._lock, disk_errors():
            file = self._opened()
            if self._number == self._durable[0]:
                return
            self._number, self._size = self._durable
            self._has_torn_tail = True
            self._remove_torn_tail(file)

    def end(self, note: Bytes = b"") -> None:
        """Closes the stream for good, durably. Raises VaultError; it can be called again then."""
        self._append(b"", note, self._flags | END, True)
        self._ended = True
        self.close()

    def close(self) -> None:
        """Lets the file go. A stream that was not ended stays readable, and says that it is cut."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def discard(self) -> None:
        """Removes a stream that is not wanted after all. Raises VaultError."""
        self.close()
        with disk_errors():
            self._path.unlink(missing_ok=True)
            sync_folder(self._path.parent)

    def _append(self, body: Bytes, note: Bytes, flags: int, durable: bool) -> int:
        with self._lock, disk_errors():
            file = self._opened()
            self._remove_torn_tail(file)
            number = self._number
            pieces = self._keys.seal(number, flags, note, body)
            try:
                written = _write(file, pieces, self._size)
            except OSError:
                self._has_torn_tail = True
                self._try_to_mend(file)
                raise
            self._number += 1
            self._size += written
            if durable:
                self._sync(file)
            return number

    def _sync(self, file: int) -> None:
        try:
            os.fdatasync(file)
        except OSError:
            # The kernel forgets pages that it failed to write: only what an earlier sync confirmed is sure.
            self._number, self._size = self._durable
            self._has_torn_tail = True
            self._try_to_mend(file)
            raise
        self._durable = (self._number, self._size)

    def _try_to_mend(self, file: int) -> None:
        try:
            self._remove_torn_tail(file)
        except OSError:
            return  # The disk cannot even shorten a file now; the next append begins with it.

    def _remove_torn_tail(self, file: int) -> None:
        if self._has_torn_tail:
            os.ftruncate(file, self._size)
            self._has_torn_tail = False

    def _opened(self) -> int:
        if self._file is None or self._ended:
            raise ValueError("the stream is closed")
        return self._file


class BlobWriter:
    """Writes content of unknown length as a stream of fixed-size parts, for reading any range of it later.

    For one thread. Nothing is safe before `end` returned; after an error the whole blob is written anew.
    """

    def __init__(self, stream: StreamWriter, chunk_bytes: int = CHUNK_BYTES) -> None:
        if not 0 < chunk_bytes <= BODY_LIMIT_BYTES:
            raise ValueError("no size for a part")
        self._stream = stream
        self._chunk_bytes = chunk_bytes
        self._waiting = bytearray()
        self.size_bytes = 0

    @property
    def stream(self) -> int:
        return self._stream.stream

    def write(self, content: Bytes) -> None:
        """Raises VaultError."""
        view = memoryview(content).cast("B")
        self.size_bytes += len(view)
        if self._waiting:
            lacking = self._chunk_bytes - len(self._waiting)
            self._waiting += view[:lacking]
            view = view[lacking:]
            if len(self._waiting) < self._chunk_bytes:
                return
            self._put(self._waiting)
            self._waiting = bytearray()
        whole = len(view) - len(view) % self._chunk_bytes
        for start in range(0, whole, self._chunk_bytes):
            self._put(view[start : start + self._chunk_bytes])
        self._waiting += view[whole:]

    def end(self) -> None:
        """Makes the blob whole and durable. Raises VaultError."""
        if self._waiting:
            self._put(self._waiting)
            self._waiting = bytearray()
        self._stream.end()

    def discard(self) -> None:
        """Removes what was written. Raises VaultError."""
        self._stream.discard()

    def _put(self, chunk: Bytes) -> None:
        self._stream.append(chunk, durable=False)


def blob_stream(keys: StreamKeys, path: Path) -> StreamWriter:
    """The stream that a blob is written to. Raises FileExistsError and other OSErrors."""
    return StreamWriter(keys, path, flags=FIXED)


def _write(file: int, pieces: tuple[bytes, bytes, bytes], offset: int) -> int:
    """Writes all bytes at this place, however few the kernel takes at once."""
    total = sum(map(len, pieces))
    written = os.pwritev(file, pieces, offset)
    while written < total:
        rest = memoryview(b"".join(pieces))[written:]
        written += os.pwrite(file, rest, offset + written)
    return total
