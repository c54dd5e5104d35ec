"""Bytes in memory that another process can be given to read without copying them; they never touch a disk.

Linux memory files (`memfd_create`): who was handed one by its descriptor cannot change it once it is sealed.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from typing import Self

from bridge.imaging.errors import DicomError

_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class Scratch:
    """Filled by `write`, then read by `view`, here or elsewhere. For one thread at a time."""

    def __init__(self, limit_bytes: int) -> None:
        """Raises OSError if there is no memory or descriptor left."""
        self._limit_bytes = limit_bytes
        self.size_bytes = 0
        self._map: mmap.mmap | None = None
        self._view: memoryview | None = None
        self._file = os.memfd_create("scratch", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self._sealed = False

    @classmethod
    def of(cls, content: bytes | bytearray | memoryview) -> Self:
        """One that holds these bytes."""
        scratch = cls(memoryview(content).nbytes)
        scratch.write(content)
        return scratch

    @classmethod
    def received(cls, file: int, limit_bytes: int) -> Self:
        """One that another process made; takes the descriptor over. Raises DicomError if it can still be changed, or
        is too large."""
        scratch = cls.__new__(cls)
        scratch._limit_bytes, scratch._file, scratch._sealed = limit_bytes, file, True
        scratch._map, scratch._view = None, None
        try:
            sealed = fcntl.fcntl(file, fcntl.F_GET_SEALS) & _SEALS == _SEALS
            scratch.size_bytes = os.fstat(file).st_size
        except OSError:
            sealed = False
        if not sealed or scratch.size_bytes > limit_bytes:
            os.close(file)
            raise DicomError("The object is too large for this.", "tooLarge")
        return scratch

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, content: bytes | bytearray | memoryview) -> None:
        """Adds bytes at the end. Raises DicomError beyond the limit, OSError without memory."""
        view = memoryview(content).cast("B")
        if self.size_bytes + len(view) > self._limit_bytes:
            raise DicomError("The object is too large to be kept.", "tooLarge")
        while view:
            written = os.write(self._file, view)
            self.size_bytes += written
            view = view[written:]

    def seal(self) -> int:
        """Nothing can change from here on; gives the descriptor to hand on, which stays owned by this."""
        if not self._sealed:
            fcntl.fcntl(self._file, fcntl.F_ADD_SEALS, _SEALS)
            self._sealed = True
        return self._file

    def view(self) -> memoryview:
        """All of it, to be let go before `close`."""
        if self._view is None:
            self.seal()
            if not self.size_bytes:
                return memoryview(b"")
            self._map = mmap.mmap(self._file, self.size_bytes, prot=mmap.PROT_READ, flags=mmap.MAP_SHARED)
            self._view = memoryview(self._map)
        return self._view

    def close(self) -> None:
        """May be repeated."""
        if self._file < 0:
            return
        if self._view is not None:
            self._view.release()
        if self._map is not None:
            try:
                self._map.close()
            except BufferError:
                self._map = None  # A slice of it is still held somewhere; the memory goes with that.
        os.close(self._file)
        self._file = -1
