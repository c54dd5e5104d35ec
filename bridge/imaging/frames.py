"""Frames for thin links: as a codestream whose beginning is a small picture already, in any pieces, made once.

HTJ2K without loss, resolution by resolution (transfer syntax 1.2.840.10008.1.2.4.202). It comes from what was kept, or
is made at once by a worker and kept then; nobody makes the same frame at the same time. For threads. Knows no rights.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bridge.errors import BridgeError, LimitExceeded
from bridge.imaging.dicomweb.shelf import OpenStudy
from bridge.imaging.errors import DicomError
from bridge.imaging.framejobs import frame_job
from bridge.imaging.framestore import FrameStore
from bridge.imaging.keptframes import REFUSED, FrameKey, Known
from bridge.imaging.layout import InstanceNote
from bridge.imaging.pixels.format import HTJ2K_LOSSLESS_RPCL
from bridge.imaging.pixels.jobs import STEPWISE, stepwise_of
from bridge.imaging.pixels.stepwise import may_pay
from bridge.imaging.study import Instance
from bridge.imaging.workers import WorkerLost, Workers

TURN_TIMEOUT_S = 30.0
"""So long one waits for somebody else who makes the same frame: as long as a worker may take for it."""
FAILED_S = 60.0
"""So long a frame that could not be made is not tried again: what was short may be there then."""
FAILED_LIMIT = 10_000

Wish = Callable[["Outline"], tuple[int, int]]
"""From where to where. It may raise what it has against the frame."""


@dataclass(frozen=True, slots=True)
class Outline:
    """A frame's codestream without its bytes: where each resolution ends, the smallest first, and a name for it."""

    ends: tuple[int, ...]
    tag: str

    @property
    def size_bytes(self) -> int:
        return self.ends[-1]

    def prefix_bytes(self, level: int) -> int:
        """How many of the first bytes are the picture with width and height halved so often, or as often as can be."""
        return self.ends[max(0, len(self.ends) - 1 - level)]


@dataclass(frozen=True, slots=True)
class Cut:
    """A piece of a codestream from `start` on."""

    data: bytes
    start: int
    outline: Outline


class Refused(BridgeError):
    """This frame is not given so. `is_stored_so`: it is in this transfer syntax, but its resolutions are not apart."""

    default_code = "unsupported"
    is_stored_so = False


class Frames:
    """Safe for use by several threads."""

    def __init__(
        self, store: FrameStore, workers: Workers, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.store = store
        self._workers = workers
        self._now_s = now_s
        self._failed: OrderedDict[FrameKey, float] = OrderedDict()
        """When it was, the longest ago first."""
        self._lock = threading.Lock()
        self._making: dict[FrameKey, _Turn] = {}

    def ready(self, opened: OpenStudy, instance: Instance, index: int, wish: Wish) -> Cut | None:
        """What is wished for of a frame, from 0 on, if it was made before. Raises Refused, NotFound, VaultError, and
        what the wish raises."""
        key = key_of(instance, index)
        if not may_pay(instance.note):
            raise _refused(instance.note)
        known = self.store.find(opened.reader.id, key)
        return self._cut(opened, instance, key, known, wish) if known is not None else None

    def are_known(self, opened: OpenStudy, instances: Iterable[Instance]) -> bool:
        """Whether the first frames of these were all made or refused before, or failed just now."""
        keys = [key_of(instance, 0) for instance in instances if may_pay(instance.note)]
        return all(self._has_failed(key) for key in self.store.missing(opened.reader.id, keys))

    def get(self, opened: OpenStudy, instance: Instance, index: int, wish: Wish) -> Cut:
        """As `ready`, but made now if it was not. Raises DicomError, LimitExceeded too."""
        key = key_of(instance, index)
        with self._turn(key):
            ready = self.ready(opened, instance, index, wish)
            if ready is not None:
                return ready
            if self._has_failed(key):
                raise _refused(instance.note)
            outline, data = self._made(opened, instance, key, self._workers)
        start, stop = wish(outline)
        if not data:
            data = opened.frame(instance, index)
        return Cut(data[start:stop], start, outline)

    def make_beforehand(self, opened: OpenStudy, instance: Instance, index: int, workers: Workers) -> None:
        """By workers that may be slow: who asks for the frame meanwhile does not wait for them.

        Raises Refused, NotFound, DicomError, LimitExceeded, VaultError.
        """
        self._made(opened, instance, key_of(instance, index), workers)

    def _cut(
        self,
        opened: OpenStudy,
        instance: Instance,
        key: FrameKey,
        known: Known,
        wish: Wish,
    ) -> Cut | None:
        if known.refused:
            raise _refused(instance.note)
        outline = Outline(known.ends, known.tag)
        start, stop = wish(outline)
        if known.as_stored:
            return Cut(opened.frame(instance, key.frame)[start:stop], start, outline)
        data = self.store.read(opened.reader.id, key, known, start, stop)
        return Cut(data, start, outline) if data is not None else None

    def _made(
        self, opened: OpenStudy, instance: Instance, key: FrameKey, workers: Workers
    ) -> tuple[Outline, bytes]:
        job = frame_job(opened.reader, workers, instance, opened.metadata(instance), key.frame)
        try:
            made = stepwise_of(workers.call(STEPWISE, job))
            if not made.data and len(opened.frame(instance, key.frame)) != made.ends[-1]:
                raise DicomError("The frame could not be read.")
        except DicomError as error:
            if error.code == REFUSED:
                self.store.put(opened.reader.id, key, Known((), "", REFUSED, False), b"")
            elif workers is self._workers:
                # Perhaps for want of memory or time just now: that is no reason for ever.
                self._note_failed(key)
            if isinstance(error, WorkerLost):
                raise
            raise _refused(instance.note) from None
        self.store.put(opened.reader.id, key, Known(made.ends, made.tag, "", not made.data), made.data)
        return Outline(made.ends, made.tag), made.data

    def _note_failed(self, key: FrameKey) -> None:
        with self._lock:
            self._failed.pop(key, None)
            self._failed[key] = self._now_s()
            if len(self._failed) > FAILED_LIMIT:
                self._failed.popitem(last=False)

    def _has_failed(self, key: FrameKey) -> bool:
        with self._lock:
            return self._now_s() - self._failed.get(key, -FAILED_S) < FAILED_S

    @contextmanager
    def _turn(self, key: FrameKey) -> Iterator[None]:
        """One after the other with whoever makes the same frame. Raises LimitExceeded if that takes too long."""
        with self._lock:
            turn = self._making.setdefault(key, _Turn())
            turn.users += 1
        try:
            if not turn.lock.acquire(timeout=TURN_TIMEOUT_S):
                raise LimitExceeded("This picture is being made; try again in a moment.")
            try:
                yield
            finally:
                turn.lock.release()
        finally:
            with self._lock:
                turn.users -= 1
                if not turn.users:
                    del self._making[key]


class _Turn:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0


def key_of(instance: Instance, index: int) -> FrameKey:
    """By which a frame's codestream is kept."""
    return FrameKey(instance.note.sop_instance, index, instance.note.sha256)


def _refused(note: InstanceNote) -> Refused:
    error = Refused("This picture cannot be given in pieces that sharpen; it can be had as it is stored.")
    error.is_stored_so = note.transfer_syntax == HTJ2K_LOSSLESS_RPCL
    return error
