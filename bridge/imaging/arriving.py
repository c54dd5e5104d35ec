"""An object while it comes in: held in memory, because only what was read whole is kept; all within one budget."""

from __future__ import annotations

import threading
from typing import Self

from bridge.errors import LimitExceeded
from bridge.imaging.layout import INSTANCE_LIMIT_BYTES
from bridge.imaging.scratch import Scratch


class Budget:
    """Bytes that all together may hold."""

    def __init__(self, limit_bytes: int) -> None:
        self._left_bytes = limit_bytes
        self._lock = threading.Lock()

    def take(self, size_bytes: int) -> None:
        """Raises LimitExceeded."""
        with self._lock:
            if size_bytes > self._left_bytes:
                raise LimitExceeded("Too many large objects are in hand just now; try again in a moment.")
            self._left_bytes -= size_bytes

    def give_back(self, size_bytes: int) -> None:
        with self._lock:
            self._left_bytes += size_bytes


class Arriving:
    """One object. For one thread."""

    def __init__(self, budget: Budget) -> None:
        """Raises LimitExceeded."""
        self._budget = budget
        try:
            self.scratch = Scratch(INSTANCE_LIMIT_BYTES)
        except OSError:
            raise LimitExceeded("The server is short of memory; try again in a moment.") from None
        self._taken_bytes = 0

    @classmethod
    def received(cls, budget: Budget, file: int) -> Self:
        """One that another process filled; takes the descriptor over. Raises DicomError, LimitExceeded."""
        arriving = cls.__new__(cls)
        arriving._budget, arriving._taken_bytes = budget, 0
        arriving.scratch = Scratch.received(file, INSTANCE_LIMIT_BYTES)
        try:
            budget.take(arriving.scratch.size_bytes)
        except LimitExceeded:
            arriving.scratch.close()
            raise
        arriving._taken_bytes = arriving.scratch.size_bytes
        return arriving

    @property
    def size_bytes(self) -> int:
        return self.scratch.size_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, content: bytes | bytearray | memoryview) -> None:
        """The next bytes of the file. Raises LimitExceeded, and DicomError for what is too large to be kept."""
        size_bytes = memoryview(content).nbytes
        self._budget.take(size_bytes)
        self._taken_bytes += size_bytes
        try:
            self.scratch.write(content)
        except OSError:
            raise LimitExceeded("The server is short of memory; try again in a moment.") from None

    def close(self) -> None:
        """Lets it go; may be repeated."""
        self.scratch.close()
        self._budget.give_back(self._taken_bytes)
        self._taken_bytes = 0
