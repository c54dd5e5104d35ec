"""Studies that are open for reading, what was just read of them, and the threads that read and that wait for workers.

Everything is bounded: threads, requests that wait for one, open studies, and the metadata in memory. No rights.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from bridge.errors import LimitExceeded
from bridge.imaging.archive import Archive
from bridge.imaging.layout import Metadata
from bridge.imaging.study import Instance, StudyReader

THREADS = 4
"""Reading waits for the disk, and decryption lets other threads run."""
WAITING_LIMIT = 512
OPEN_LIMIT = 24
IDLE_S = 60.0
FRESH_S = 1.0
"""What another server adds is seen after so long; what this one takes in, at once."""
METADATA_LIMIT_BYTES = 64 * 1024 * 1024
ANSWERS_LIMIT_BYTES = 32 * 1024 * 1024

_Result = TypeVar("_Result")


class Threads:
    """A few threads for an event loop, and a bound on what waits for them."""

    def __init__(self, name: str, count: int, waiting_limit: int = WAITING_LIMIT) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix=name)
        self._limit = waiting_limit
        self._waiting = 0

    async def run(self, work: Callable[[], _Result]) -> _Result:
        """Raises LimitExceeded if too many wait already."""
        if self._waiting >= self._limit:
            raise LimitExceeded("Too many studies are being read just now; try again in a moment.")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1

    @property
    def is_busy(self) -> bool:
        """Whether there is anything in hand."""
        return self._waiting > 0

    def close(self) -> None:
        """What is being done is waited for."""
        self._pool.shutdown(cancel_futures=True)


_Key = TypeVar("_Key", bound=Hashable)


class Remembered(Generic[_Key, _Result]):
    """The last values that fit into so many bytes. Safe for use by several threads."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._size_bytes = 0
        self._values: OrderedDict[_Key, tuple[_Result, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: _Key) -> _Result | None:
        with self._lock:
            found = self._values.get(key)
            if found is None:
                return None
            self._values.move_to_end(key)
            return found[0]

    def put(self, key: _Key, value: _Result, size_bytes: int) -> None:
        with self._lock:
            old = self._values.pop(key, None)
            self._size_bytes -= old[1] if old is not None else 0
            if size_bytes > self._limit_bytes:
                return
            self._values[key] = (value, size_bytes)
            self._size_bytes += size_bytes
            while self._size_bytes > self._limit_bytes:
                _, (_, freed_bytes) = self._values.popitem(last=False)
                self._size_bytes -= freed_bytes

    def forget(self, is_meant: Callable[[_Key], bool]) -> None:
        """Those whose key is meant."""
        with self._lock:
            for key in [key for key in self._values if is_meant(key)]:
                self._size_bytes -= self._values.pop(key)[1]


@dataclass(slots=True)
class _Open:
    reader: StudyReader
    version: int
    refreshed_s: float
    used_s: float
    users: int = 0
    dropped: bool = False


class OpenStudy:
    """A study that stays open while it is in hand. For threads."""

    def __init__(self, reader: StudyReader, metadata: Remembered[tuple[str, str], Metadata]) -> None:
        self.reader = reader
        self._metadata = metadata

    def metadata(self, instance: Instance) -> Metadata:
        """Raises VaultError, DicomError."""
        key = (self.reader.id, instance.note.sop_instance)
        known = self._metadata.get(key)
        if known is None:
            known = self.reader.metadata(instance)
            self._metadata.put(key, known, _size_bytes(known))
        return known

    def frame(self, instance: Instance, index: int) -> bytes:
        """A frame as stored, from 0 on. Raises NotFound, VaultError, DicomError."""
        return self.reader.frame(instance, index, self.metadata(instance).frames)


class Shelf:
    """For threads."""

    def __init__(self, archive: Archive, now_s: Callable[[], float] = time.monotonic) -> None:
        self._archive = archive
        self._now_s = now_s
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._metadata: Remembered[tuple[str, str], Metadata] = Remembered(METADATA_LIMIT_BYTES)
        self.answers: Remembered[tuple[object, ...], bytes] = Remembered(ANSWERS_LIMIT_BYTES)
        """Ready answers; who puts one there gives it a key with the study's id, that changes with what it tells."""

    @contextmanager
    def study(self, study: str) -> Iterator[OpenStudy]:
        """With all that has been taken in until now. Raises NotFound, VaultError."""
        held = self._take(study)
        try:
            self._freshen(study, held)
            yield OpenStudy(held.reader, self._metadata)
        finally:
            self._give_back(held)

    def forget(self, study: str) -> None:
        """As of one that was shredded; it is closed once nobody has it in hand."""
        with self._lock:
            self._drop(self._open.pop(study, None))
        self._metadata.forget(lambda key: key[0] == study)
        self.answers.forget(lambda key: study in key)

    def let_idle_go(self) -> None:
        """To be called now and then."""
        now_s = self._now_s()
        with self._lock:
            for study in [id for id, held in self._open.items() if now_s - held.used_s >= IDLE_S]:
                self._drop(self._open.pop(study))

    def close(self) -> None:
        with self._lock:
            for study in list(self._open):
                self._drop(self._open.pop(study))

    def _take(self, study: str) -> _Open:
        with self._lock:
            held = self._open.get(study)
            if held is not None:
                return self._used(study, held)
        with self._opening:
            with self._lock:
                held = self._open.get(study)
                if held is not None:
                    return self._used(study, held)
            version = self._archive.version(study)
            now_s = self._now_s()
            held = _Open(self._archive.reader(study), version, now_s, now_s)
            with self._lock:
                self._open[study] = held
                while len(self._open) > OPEN_LIMIT:
                    _, oldest = self._open.popitem(last=False)
                    self._drop(oldest)
                return self._used(study, held)

    def _used(self, study: str, held: _Open) -> _Open:
        held.users += 1
        held.used_s = self._now_s()
        if study in self._open:
            self._open.move_to_end(study)
        return held

    def _give_back(self, held: _Open) -> None:
        with self._lock:
            held.users -= 1
            if held.dropped and not held.users:
                held.reader.close()

    def _drop(self, held: _Open | None) -> None:
        if held is not None:
            held.dropped = True
            if not held.users:
                held.reader.close()

    def _freshen(self, study: str, held: _Open) -> None:
        version = self._archive.version(study)
        now_s = self._now_s()
        if version != held.version or now_s - held.refreshed_s >= FRESH_S:
            held.reader.refresh()
            held.version, held.refreshed_s = version, now_s


def _size_bytes(metadata: Metadata) -> int:
    segments = sum(len(row) for row in metadata.frames.segments)
    return 1024 + len(metadata.dataset) + 40 * segments + 200 * len(metadata.bulk)
