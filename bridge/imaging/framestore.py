"""Codestreams that were made of studies' frames, kept sealed beside their studies so that they are made once.

All of it may be gone at any time. Bounded: of the studies not looked at for longest they are dropped first.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator

import structlog

from bridge.config import ConfigError
from bridge.imaging.keptframes import FrameKey, KeptFrames, Known
from bridge.vault import ObjectId, Trouble, VaultError
from bridge.vault.derived import Derived

_log = structlog.get_logger(__name__)

LIMIT_BYTES = 20 << 30
"""About 80,000 slices of a CT."""
FREE_BYTES = 2 << 30
"""So much of the disk is left to what cannot be made anew."""
IDLE_S = 60.0
OPEN_LIMIT = 16
"""Studies whose frames are known in memory."""
FRAME_LIMIT_BYTES = 32 << 20
"""A larger frame is made each time."""
_FILLING = 0.8


class FrameStore:
    """Safe for use by several threads. Nothing here fails for the disk: what cannot be kept or read is not there."""

    def __init__(
        self,
        derived: Derived,
        *,
        limit_bytes: int = LIMIT_BYTES,
        free_bytes: int = FREE_BYTES,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._derived = derived
        self._now_s = now_s
        self._limit_bytes = limit_bytes
        self._free_bytes = free_bytes
        self._lock = threading.Lock()
        self._open: OrderedDict[str, KeptFrames] = OrderedDict()
        self._sizes: OrderedDict[str, int] | None = None
        """Of each study, the longest unused first."""

    @property
    def size_bytes(self) -> int:
        with self._lock:
            return sum(self._known_sizes().values())

    @property
    def is_filling(self) -> bool:
        """Whether little more finds room without something else being dropped."""
        return self.size_bytes > _FILLING * self._limit_bytes

    def find(self, study: str, key: FrameKey) -> Known | None:
        with self._kept(study) as kept:
            return kept.index.get(key)

    def missing(self, study: str, keys: list[FrameKey]) -> list[FrameKey]:
        """Those of which nothing is known."""
        with self._kept(study) as kept:
            return [key for key in keys if key not in kept.index]

    def read(self, study: str, key: FrameKey, known: Known, start: int, stop: int) -> bytes | None:
        """These bytes of a codestream that was found; None if they cannot be read any more."""
        with self._kept(study) as kept:
            try:
                return kept.read(known, start, stop)
            except VaultError as error:
                if error.trouble is Trouble.NOT_FOUND:  # Somebody else dropped it.
                    kept.close()
                kept.index.pop(key, None)
                return None

    def put(self, study: str, key: FrameKey, known: Known, data: bytes) -> None:
        """Keeps what was made; `data` is empty if the frame lies in the study as it is, or was refused."""
        if not self._limit_bytes or len(data) > FRAME_LIMIT_BYTES or not self._has_room(study, len(data)):
            return
        with self._kept(study) as kept:
            there = kept.index.get(key)
            if there is not None and there.tag == known.tag and there.refused == known.refused:
                return
            try:
                written_bytes = kept.write(key, known, data)
            except (VaultError, ConfigError) as error:
                _log.warning("a picture was not kept", study=study, reason=type(error).__name__)
                kept.close()
                return
        with self._lock:
            sizes = self._known_sizes()
            sizes[study] = sizes.get(study, 0) + written_bytes

    def forget(self, study: str) -> None:
        """As of one that was shredded, or is to be made anew."""
        with self._lock:
            kept = self._open.pop(study, None)
            self._known_sizes().pop(study, None)
        if kept is not None:
            with kept.lock:
                kept.close()
        with contextlib.suppress(VaultError):
            self._derived.drop(ObjectId(study))

    def forget_others(self, studies: set[str]) -> None:
        """Of all studies but these, which are those that there are."""
        try:
            lost = {each.id for each in self._derived.kept()} - studies
        except VaultError:
            return
        for study in lost:
            self.forget(study)

    def tidy(self) -> None:
        """To be called at the start and now and then: counts what lies on the disk, where others write and drop too,
        and drops what is more than may be kept."""
        try:
            on_disk: dict[str, int] = {each.id: each.size_bytes for each in self._derived.kept()}
        except VaultError:
            return
        with self._lock:
            known = self._sizes or OrderedDict[str, int]()
            # What nobody here has looked at goes first.
            counted = OrderedDict[str, int](
                (study, size) for study, size in on_disk.items() if study not in known
            )
            counted.update((study, on_disk[study]) for study in known if study in on_disk)
            self._sizes = counted
            going = self._surplus(0) if self._limit_bytes else list(counted)
        for study in going:
            self.forget(study)

    def let_idle_go(self) -> None:
        """To be called now and then."""
        with self._lock:
            oldest_s = self._now_s() - IDLE_S
            idle = [
                self._open.pop(study) for study, kept in list(self._open.items()) if kept.used_s <= oldest_s
            ]
        for kept in idle:
            with kept.lock:
                kept.close()

    def close(self) -> None:
        with self._lock:
            opened, self._open = list(self._open.values()), OrderedDict()
        for kept in opened:
            with kept.lock:
                kept.close()

    @contextlib.contextmanager
    def _kept(self, study: str) -> Iterator[KeptFrames]:
        while True:
            kept, surplus = self._taken(study)
            for each in surplus:
                with each.lock:
                    each.close()
            with kept.lock:
                with self._lock:
                    is_current = self._open.get(study) is kept
                if is_current:
                    kept.open()
                    yield kept
                    return

    def _taken(self, study: str) -> tuple[KeptFrames, list[KeptFrames]]:
        """What is known of a study, and what is to be closed for it."""
        with self._lock:
            kept = self._open.get(study)
            if kept is None:
                kept = self._open[study] = KeptFrames(self._derived, ObjectId(study))
            self._open.move_to_end(study)
            kept.used_s = self._now_s()
            sizes = self._known_sizes()
            if study in sizes:
                sizes.move_to_end(study)
            surplus = max(0, len(self._open) - OPEN_LIMIT)
            return kept, [self._open.popitem(last=False)[1] for _ in range(surplus)]

    def _has_room(self, study: str, more_bytes: int) -> bool:
        """Drops what has to go for so much more; False if there is no room even so."""
        try:
            if self._derived.free_bytes() < self._free_bytes + more_bytes:
                return False
        except VaultError:
            return False
        with self._lock:
            sizes = self._known_sizes()
            if sizes.get(study, 0) + more_bytes > self._limit_bytes:
                return False
            going = self._surplus(more_bytes, study)
        for other in going:
            self.forget(other)
        return True

    def _surplus(self, more_bytes: int, spared: str = "") -> list[str]:
        """The studies that have to go for so much more."""
        sizes = self._known_sizes()
        surplus = sum(sizes.values()) + more_bytes - self._limit_bytes
        going: list[str] = []
        for study, size_bytes in sizes.items():
            if surplus <= 0:
                break
            if study != spared:
                going.append(study)
                surplus -= size_bytes
        return going

    def _known_sizes(self) -> OrderedDict[str, int]:
        if self._sizes is None:
            try:
                self._sizes = OrderedDict((each.id, each.size_bytes) for each in self._derived.kept())
            except VaultError:
                return OrderedDict()
        return self._sizes
