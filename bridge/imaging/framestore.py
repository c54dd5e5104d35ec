"""Codestreams that were made of studies' frames, kept sealed beside their studies so that they are made once.

In a stream of what is derived from a study (`bridge.vault.derived`), a frame is two parts: its beginning up to a
quarter of width and height, whose note tells where each resolution ends, and the rest. All of it may be gone at any
time, and whatever does not open counts as gone. Bounded: the studies not looked at for longest are dropped first.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import msgspec
import structlog

from bridge.config import ConfigError
from bridge.vault import ObjectId, ObjectReader, StreamReader, StreamWriter, Trouble, VaultError
from bridge.vault.derived import Derived

_log = structlog.get_logger(__name__)

LIMIT_BYTES = 20 << 30
"""About 150,000 slices of a CT."""
FREE_BYTES = 2 << 30
"""So much of the disk is left to what cannot be made anew."""
IDLE_S = 60.0
OPEN_LIMIT = 16
"""Studies whose frames are known in memory."""
FRAME_LIMIT_BYTES = 32 << 20
"""A larger frame is made each time."""
MAKER = 1
"""What other makers made is not used: it might be another codestream, and its halves would not fit."""
_PREVIEW = 2
_FILLING = 0.8


class _Note(msgspec.Struct, frozen=True, kw_only=True, rename="camel", tag_field="k", omit_defaults=True):
    pass


class FrameNote(_Note, frozen=True, tag="frame"):
    """The beginning of a frame's codestream. `ends` and `tag` are as in `pixels.stepwise`.

    `refused`: there is none, and the code says why. `as_stored`: it lies in the study, and only `ends` are told here.
    """

    maker: int
    instance: str
    frame: int
    source: str
    ends: tuple[int, ...] = ()
    tag: str = ""
    refused: str = ""
    as_stored: bool = False


class RestNote(_Note, frozen=True, tag="rest"):
    """What follows the part of that number."""

    frame_part: int


_decoder: msgspec.json.Decoder[FrameNote | RestNote] = msgspec.json.Decoder(FrameNote | RestNote)
_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class FrameKey:
    """A frame, from 0 on, of the object whose file has this digest."""

    instance: str
    frame: int
    source: str


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a frame's codestream, and where it lies."""

    ends: tuple[int, ...]
    tag: str
    refused: str
    as_stored: bool
    stream: int = 0
    part: int = 0

    @property
    def size_bytes(self) -> int:
        return self.ends[-1] if self.ends else 0

    @property
    def head_bytes(self) -> int:
        """Of the first part."""
        return prefix_bytes(self.ends, _PREVIEW) if self.ends else 0


def prefix_bytes(ends: tuple[int, ...], level: int) -> int:
    """How many of the first bytes are the picture with width and height halved `level` times."""
    return ends[max(0, len(ends) - 1 - level)]


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
        self._open: OrderedDict[str, _Kept] = OrderedDict()
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
            except VaultError:
                kept.index.pop(key, None)
                return None

    def put(self, study: str, key: FrameKey, known: Known, data: bytes) -> None:
        """Keeps what was made; `data` is empty if the frame lies in the study as it is, or was refused."""
        if len(data) > FRAME_LIMIT_BYTES or not self._has_room(study, len(data)):
            return
        with self._kept(study) as kept:
            there = kept.index.get(key)
            if there is not None and there.tag == known.tag and there.refused == known.refused:
                return
            try:
                kept.write(key, known, data)
            except (VaultError, ConfigError) as error:
                _log.warning("a picture was not kept", study=study, reason=type(error).__name__)
                kept.close()
                return
        with self._lock:
            sizes = self._known_sizes()
            sizes[study] = sizes.get(study, 0) + len(data)

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
    def _kept(self, study: str) -> Iterator[_Kept]:
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

    def _taken(self, study: str) -> tuple[_Kept, list[_Kept]]:
        """What is known of a study, and what is to be closed for it."""
        with self._lock:
            kept = self._open.get(study)
            if kept is None:
                kept = self._open[study] = _Kept(self._derived, ObjectId(study))
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
            surplus = sum(sizes.values()) + more_bytes - self._limit_bytes
            going: list[str] = []
            for other, size_bytes in sizes.items():
                if surplus <= 0:
                    break
                if other != study:
                    going.append(other)
                    surplus -= size_bytes
        for other in going:
            self.forget(other)
        return True

    def _known_sizes(self) -> OrderedDict[str, int]:
        if self._sizes is None:
            try:
                self._sizes = OrderedDict((each.id, each.size_bytes) for each in self._derived.kept())
            except VaultError:
                return OrderedDict()
        return self._sizes


class _Kept:
    """Of one study; to be used with its lock held."""

    def __init__(self, derived: Derived, study: ObjectId) -> None:
        self.lock = threading.Lock()
        self.index: dict[FrameKey, Known] = {}
        self.used_s = 0.0
        self._derived = derived
        self._study = study
        self._is_open = False
        self._object: ObjectReader | None = None
        self._readers: dict[int, StreamReader] = {}
        self._out: StreamWriter | None = None

    def open(self) -> None:
        """Takes in what earlier writers left."""
        if self._is_open:
            return
        self._is_open = True
        with contextlib.suppress(VaultError, ConfigError):
            self._object = self._derived.reader(self._study)
            for number in self._object.streams() if self._object is not None else ():
                reader = self._readers[number] = self._object_reader().stream(number)
                self.index.update(_index(reader))

    def close(self) -> None:
        """May be used again, which opens it anew."""
        for reader in self._readers.values():
            reader.close()
        if self._out is not None:
            self._out.close()
        self.index, self._readers = {}, {}
        self._object = self._out = None
        self._is_open = False

    def read(self, known: Known, start: int, stop: int) -> bytes:
        """Raises VaultError."""
        head = known.head_bytes
        pieces = []
        if start < head:
            pieces.append(self._body(known.stream, known.part)[start:stop])
        if stop > head:
            pieces.append(self._body(known.stream, known.part + 1)[max(0, start - head) : stop - head])
        return b"".join(pieces)

    def write(self, key: FrameKey, known: Known, data: bytes) -> None:
        """Not durable: after a crash it is made again. Raises VaultError."""
        if self._out is None:
            self._out = self._derived.writer(self._study).new_stream()
        note = FrameNote(
            maker=MAKER,
            instance=key.instance,
            frame=key.frame,
            source=key.source,
            ends=known.ends,
            tag=known.tag,
            refused=known.refused,
            as_stored=known.as_stored,
        )
        head = known.head_bytes if data else 0
        part = self._out.append(data[:head], _encoder.encode(note), durable=False)
        if data:
            rest = memoryview(data)[head:]
            self._out.append(rest, _encoder.encode(RestNote(frame_part=part)), durable=False)
        self.index[key] = replace(known, stream=self._out.stream, part=part)

    def _body(self, stream: int, part: int) -> bytes:
        reader = self._readers.get(stream)
        if reader is None:
            reader = self._readers[stream] = self._object_reader().stream(stream)
        try:
            return reader.read(part)
        except VaultError:
            reader.refresh()
            return reader.read(part)

    def _object_reader(self) -> ObjectReader:
        if self._object is None:
            self._object = self._derived.reader(self._study)
        if self._object is None:
            raise VaultError(Trouble.NOT_FOUND, "It was dropped.")
        return self._object


def _index(reader: StreamReader) -> Iterator[tuple[FrameKey, Known]]:
    """The frames of one stream that are whole."""
    parts = {part.number: part for part in reader.parts}
    for part in parts.values():
        try:
            note = _decoder.decode(part.note)
        except (msgspec.DecodeError, UnicodeError):
            continue  # Of a later version.
        if not isinstance(note, FrameNote) or note.maker != MAKER:
            continue
        known = Known(note.ends, note.tag, note.refused, note.as_stored, reader.stream, part.number)
        if not (note.refused or note.as_stored):
            rest = parts.get(part.number + 1)
            if rest is None or part.body_bytes + rest.body_bytes != known.size_bytes:
                continue
        yield FrameKey(note.instance, note.frame, note.source), known
