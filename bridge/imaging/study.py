"""One stored study as it is read: its series and instances from the headers of its parts, and any range of a file.

Nothing is decoded here. Reading blocks for the disk; a study may be read by several threads while others write to it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

from bridge.errors import NotFound
from bridge.imaging.errors import DicomError
from bridge.imaging.layout import (
    CHUNK_BYTES,
    ContentNote,
    FrameTable,
    InstanceNote,
    Metadata,
    decode_metadata,
    decode_note,
)
from bridge.imaging.model import turned
from bridge.vault import ObjectReader, Part, StreamReader


@dataclass(frozen=True, slots=True)
class Instance:
    """One whole instance, and where it begins."""

    note: InstanceNote
    stream: int
    part: int


class StudyReader:
    """To be closed by who opened it."""

    def __init__(self, object: ObjectReader) -> None:
        """Raises VaultError."""
        self._object = object
        self._lock = threading.Lock()
        self._streams: dict[int, StreamReader] = {}
        self._found: dict[str, Instance] = {}
        self._sizes: dict[int, int] = {}
        self.refresh()

    @property
    def id(self) -> str:
        return self._object.ref.id

    @property
    def count(self) -> int:
        """How many whole instances there are. It only grows, so it tells whether there is something new."""
        return len(self._found)

    def close(self) -> None:
        with self._lock:
            for stream in self._streams.values():
                stream.close()
            self._streams.clear()

    def refresh(self) -> None:
        """Takes in what arrived meanwhile. Raises VaultError."""
        with self._lock:
            changed = False
            for number in self._object.streams():
                if number not in self._streams:
                    self._streams[number] = self._object.stream(number)
                stream = self._streams[number]
                stream.refresh()
                parts = stream.parts
                if self._sizes.get(number) != len(parts):
                    self._sizes[number] = len(parts)
                    changed = True
            if changed:
                self._found = _index(self._streams)

    def instances(self) -> list[Instance]:
        """All that are whole, by series and InstanceNumber."""
        found = self._found.values()
        return sorted(found, key=lambda one: (one.note.series, one.note.number, one.note.sop_instance))

    def series(self) -> dict[str, list[Instance]]:
        """The instances of each SeriesInstanceUID, by InstanceNumber."""
        by_series: dict[str, list[Instance]] = {}
        for instance in self.instances():
            by_series.setdefault(instance.note.series, []).append(instance)
        return by_series

    def instance(self, sop_instance: str) -> Instance:
        """Raises NotFound."""
        try:
            return self._found[sop_instance]
        except KeyError:
            raise NotFound("There is no such object in the study.") from None

    # --- content -------------------------------------------------------------------------------------------------

    def metadata(self, instance: Instance) -> Metadata:
        """Raises VaultError, DicomError."""
        return decode_metadata(self._stream(instance).read(instance.part))

    def iterate(self, instance: Instance) -> Iterator[bytes]:
        """The file as it was received, piece by piece. Raises VaultError."""
        for chunk in range(instance.note.chunks):
            yield self._stream(instance).read(instance.part + 1 + chunk)

    def read(self, instance: Instance, offset: int, length: int) -> bytes:
        """So much of the file from there on, less only at its end. Raises VaultError."""
        stop = min(offset + length, instance.note.size_bytes)
        if offset < 0 or offset >= stop:
            return b""
        first, last = offset // CHUNK_BYTES, (stop - 1) // CHUNK_BYTES
        stream = self._stream(instance)
        pieces = [stream.read(instance.part + 1 + chunk) for chunk in range(first, last + 1)]
        begin = offset - first * CHUNK_BYTES
        if len(pieces) == 1:
            return pieces[0][begin : begin + stop - offset]
        return bytes(memoryview(b"".join(pieces))[begin : begin + stop - offset])

    def frame(self, instance: Instance, number: int, table: FrameTable | None = None) -> bytes:
        """A frame as stored, `number` from 0 on. `table` saves reading it again.

        Raises NotFound if there is no such frame, DicomError for a deflated file, which has to be inflated first
        (`parsing.inflated`), VaultError.
        """
        frames = table if table is not None else self.metadata(instance).frames
        if frames.kind == "deflated":
            raise DicomError("The pixels of this object have to be unpacked first.", "wrongType")
        rows = 1 if frames.kind == "video" else frames.count
        if frames.kind == "none" or not 0 <= number < rows:
            raise NotFound("There is no such frame.")
        if frames.kind == "native":
            return self._native(instance, frames, number)
        row = frames.segments[number]
        return b"".join(
            self.read(instance, offset, length) for offset, length in zip(row[::2], row[1::2], strict=True)
        )

    def bulk(self, instance: Instance, path: str, metadata: Metadata | None = None) -> bytes:
        """A value that is left out of the metadata, in little endian, by its `BulkDataURI`; pixel data as they lie in
        the file. Raises NotFound, DicomError for a deflated file, VaultError."""
        known = metadata if metadata is not None else self.metadata(instance)
        if path not in known.bulk:
            raise NotFound("There is no such value.")
        if known.frames.kind == "deflated":
            raise DicomError("The values of this object have to be unpacked first.", "wrongType")
        offset, length, unit = known.bulk[path]
        return turned(self.read(instance, offset, length), unit)

    def _native(self, instance: Instance, frames: FrameTable, number: int) -> bytes:
        first_bit = number * frames.frame_bits
        first, shift = divmod(first_bit, 8)
        length = -(-frames.frame_bits // 8)
        raw = self.read(instance, frames.offset + first, length + (shift > 0))
        if not shift and not frames.frame_bits % 8:
            return raw
        # Frames of single bits follow each other without a gap (PS3.5 8.1.1): move this one to the first bit.
        bits = int.from_bytes(raw, "little") >> shift & (1 << frames.frame_bits) - 1
        return bits.to_bytes(length, "little")

    def _stream(self, instance: Instance) -> StreamReader:
        stream = self._streams.get(instance.stream)
        if stream is None:
            raise NotFound("The study was closed.")
        return stream


def _index(streams: dict[int, StreamReader]) -> dict[str, Instance]:
    """The whole instances. Of two with the same UID the one that arrived first counts."""
    found: dict[str, Instance] = {}
    for number in sorted(streams):
        for instance in _instances(number, streams[number].parts):
            other = found.get(instance.note.sop_instance)
            if other is None or instance.note.received_at_ms < other.note.received_at_ms:
                found[instance.note.sop_instance] = instance
    return found


def _instances(stream: int, parts: list[Part]) -> Iterator[Instance]:
    begun: Instance | None = None
    chunks = 0
    for part in parts:
        try:
            note = decode_note(part.note)
        except DicomError:
            begun = None  # Of a later version.
            continue
        if isinstance(note, InstanceNote):
            begun, chunks = Instance(note, stream, part.number), 0
        elif begun is not None:
            if not _follows(note, part, begun, chunks):
                begun = None
                continue
            chunks += 1
            if chunks == begun.note.chunks:
                yield begun
                begun = None


def _follows(note: ContentNote, part: Part, begun: Instance, chunks: int) -> bool:
    left_bytes = begun.note.size_bytes - chunks * CHUNK_BYTES
    return (
        note.instance == begun.part
        and note.offset == chunks * CHUNK_BYTES
        and part.number == begun.part + 1 + chunks
        and part.body_bytes == min(CHUNK_BYTES, left_bytes)
    )
