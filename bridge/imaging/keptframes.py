"""The codestreams that are kept of one study's frames, as they lie in the streams that are derived from it.

A frame is two parts: its beginning up to a quarter of width and height, whose note tells where each resolution ends,
and the rest (`docs/recording-format.md`). Whatever is torn or does not open counts as gone.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace

import msgspec

from bridge.config import ConfigError
from bridge.vault import ObjectId, ObjectReader, StreamReader, StreamWriter, Trouble, VaultError
from bridge.vault.derived import Derived

MAKER = 1
"""What other makers made is not used: it might be another codestream, and its halves would not fit."""
STREAMS_LIMIT = 16
"""Each is an open file. Who looks at a study now and then for months leaves more: then all is made anew."""
REFUSED = "unsupported"
"""The only refusal that stands: what failed otherwise may not fail the next time."""
_PREVIEW = 2


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


class KeptFrames:
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
            numbers = self._object.streams() if self._object is not None else []
            if len(numbers) > STREAMS_LIMIT:
                self._object = None
                self._derived.drop(self._study)
                return
            for number in numbers:
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

    def write(self, key: FrameKey, known: Known, data: bytes) -> int:
        """How many bytes that takes on the disk. Not durable: after a crash it is made again. Raises VaultError."""
        before_bytes = self._out.size_bytes if self._out is not None else 0
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
        return self._out.size_bytes - before_bytes

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
        if not isinstance(note, FrameNote) or note.maker != MAKER or note.refused not in ("", REFUSED):
            continue
        known = Known(note.ends, note.tag, note.refused, note.as_stored, reader.stream, part.number)
        if not (note.refused or note.as_stored):
            rest = parts.get(part.number + 1)
            if rest is None or part.body_bytes + rest.body_bytes != known.size_bytes:
                continue
        yield FrameKey(note.instance, note.frame, note.source), known
