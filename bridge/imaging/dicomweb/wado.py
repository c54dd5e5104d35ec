"""Retrieve (PS3.18 10.4): files, metadata, frames, pictures and bulk data of studies that were admitted.

What is as stored is read from the archive; what has to be decoded is made by workers. Everything blocks, for threads.
It knows neither who asks nor HTTP.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

from bridge.errors import LimitExceeded, NotFound
from bridge.imaging.arriving import Budget
from bridge.imaging.catalogue import StudyEntry
from bridge.imaging.dicomweb.accepting import (
    OCTETS,
    FrameChoice,
    Range,
    frame_choice,
    media_type_of,
    not_acceptable,
)
from bridge.imaging.dicomweb.multipart import MultipartForm
from bridge.imaging.dicomweb.retelling import OBJECT_TARGETS, REMUX, RETELL, Remux
from bridge.imaging.dicomweb.shelf import OpenStudy, Shelf
from bridge.imaging.dicomweb.telling import gzipped, told
from bridge.imaging.framejobs import INFLATE, frame_job, value_in
from bridge.imaging.layout import Metadata, json_of
from bridge.imaging.model import turned
from bridge.imaging.pixels.display import middle_frame
from bridge.imaging.pixels.format import H264, HEVC
from bridge.imaging.pixels.jobs import RENDER, TRANSCODE, transcoded_of
from bridge.imaging.pixels.rendering import Rendering
from bridge.imaging.scratch import Scratch
from bridge.imaging.study import Instance
from bridge.imaging.syntaxes import EXPLICIT_LITTLE
from bridge.imaging.workers import Workers

METADATA_TYPE = "application/dicom+json"
PIXEL_DATA = "7FE00010"
FRAMES_LIMIT = 20_000
"""Of one list."""
PIECE_BYTES = 1024 * 1024
RETELL_TIMEOUT_S = 120.0
HELD_LIMIT_BYTES = 2 << 30
"""Of whole files that are unpacked or written anew at one time."""
ANSWER_LIMIT_BYTES = 8 * 1024 * 1024
"""Of metadata that are remembered for the next who asks."""
_STORED = frozenset({"native", "encapsulated"})
"""Of frames that lie in the file as they are."""


@dataclass(frozen=True, slots=True)
class Target:
    """Which part of a study is asked for. UIDs; empty for all."""

    series: str = ""
    instance: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """One part of an answer. `size_bytes` None: known only once it is made. `span`: which bytes of the whole these are,
    as Content-Range says it."""

    content_type: str
    content: Iterable[bytes]
    size_bytes: int | None = None
    location: str = ""
    span: str = ""


@dataclass(frozen=True, slots=True)
class BulkShape:
    """Of a value that is left out of the metadata: in how many parts it comes, and of which type they are."""

    type: str
    parts: int


class Retriever:
    """For threads."""

    def __init__(self, shelf: Shelf, workers: Workers) -> None:
        self.shelf = shelf
        self._workers = workers
        self._budget = Budget(HELD_LIMIT_BYTES)

    # --- metadata --------------------------------------------------------------------------------------------------

    def metadata(
        self, entry: StudyEntry, target: Target, base: str, wanted: frozenset[str] | None = None
    ) -> Iterator[bytes]:
        """The JSON model of all instances there, compressed by gzip, piece by piece; of `wanted`, only these tags."""
        with self.shelf.study(entry.id) as opened:
            # Objects do not change once they are sealed; there can only be more of them.
            key = ("metadata", entry.id, target, base, wanted, opened.reader.count)
            ready = self.shelf.answers.get(key)
            if ready is not None:
                yield ready
                return
            made: list[bytes] = []
            size_bytes = 0
            for piece in gzipped(self._told(opened, entry, target, base, wanted)):
                yield piece
                size_bytes += len(piece)
                if size_bytes <= ANSWER_LIMIT_BYTES:
                    made.append(piece)
            if size_bytes <= ANSWER_LIMIT_BYTES:
                self.shelf.answers.put(key, b"".join(made), size_bytes)

    def _told(
        self, opened: OpenStudy, entry: StudyEntry, target: Target, base: str, wanted: frozenset[str] | None
    ) -> Iterator[bytes]:
        between = b"["
        for instance in selected(opened, target):
            yield between
            yield told(opened.reader.metadata(instance).dataset, entry, instance, base, wanted)
            between = b","
        yield b"]"

    # --- files -----------------------------------------------------------------------------------------------------

    def files(self, entry: StudyEntry, target: Target, syntaxes: list[str]) -> Iterator[Piece]:
        """The objects, each in the first of the transfer syntaxes that it can be given in ("*": as it is stored)."""
        with self.shelf.study(entry.id) as opened:
            for instance in selected(opened, target):
                yield self._file(opened, instance, syntaxes)

    def _file(self, opened: OpenStudy, instance: Instance, syntaxes: list[str]) -> Piece:
        stored = instance.note.transfer_syntax
        for wanted in syntaxes:
            if wanted in ("*", stored):
                return Piece(_file_type(stored), opened.reader.iterate(instance), instance.note.size_bytes)
        for wanted in syntaxes:
            if wanted in OBJECT_TARGETS:
                with self._whole(opened, instance) as file:
                    made = self._workers.call(RETELL, file, wanted.encode(), timeout_s=RETELL_TIMEOUT_S)
                return Piece(_file_type(wanted), (made,), len(made))
        raise not_acceptable()

    # --- frames ----------------------------------------------------------------------------------------------------

    def choose_frames(
        self, entry: StudyEntry, target: Target, numbers: list[int], ranges: list[Range]
    ) -> tuple[FrameChoice, bytes | None]:
        """In which form these frames come, and if it is a single one that is stored in it, the frame: then all is done
        at once. Raises NotFound, BridgeError (`unsupported`)."""
        with self.shelf.study(entry.id) as opened:
            instance = selected(opened, target)[0]
            choice = frame_choice(ranges, instance.note.transfer_syntax, len(numbers))
            if choice.target or len(numbers) != 1:
                return choice, None
            metadata = opened.metadata(instance)
            _require_frames(metadata, numbers)
            if metadata.frames.kind not in _STORED:
                return choice, None
            return choice, opened.reader.frame(instance, numbers[0] - 1, metadata.frames)

    def frames(
        self, entry: StudyEntry, target: Target, numbers: list[int], choice: FrameChoice
    ) -> Iterator[Piece]:
        """Frames by their numbers, from 1 on, as chosen. Raises NotFound before the first if one is not there."""
        with self.shelf.study(entry.id) as opened:
            instance = selected(opened, target)[0]
            metadata = opened.metadata(instance)
            _require_frames(metadata, numbers)
            for number in numbers:
                frame = self._frame(opened, instance, metadata, number - 1, choice)
                yield Piece(choice.content_type, (frame,), len(frame))

    def _frame(
        self, opened: OpenStudy, instance: Instance, metadata: Metadata, index: int, choice: FrameChoice
    ) -> bytes:
        if not choice.target and metadata.frames.kind in _STORED:
            return opened.reader.frame(instance, index, metadata.frames)
        target = choice.target or EXPLICIT_LITTLE
        return transcoded_of(self._decoded(TRANSCODE, opened, instance, metadata, index, target=target)).data

    # --- pictures --------------------------------------------------------------------------------------------------

    def rendered(
        self, entry: StudyEntry, target: Target, numbers: list[int] | None, wanted: Rendering
    ) -> Iterator[Piece]:
        """Pictures of these frames; without numbers the first of each instance that has any."""
        with self.shelf.study(entry.id) as opened:
            instances = [each for each in selected(opened, target) if each.note.frames]
            if not instances:
                raise not_acceptable()
            for instance in instances:
                metadata = opened.metadata(instance)
                _require_frames(metadata, numbers or [1])
                for number in numbers or [1]:
                    picture = self._picture(opened, instance, metadata, number - 1, wanted)
                    yield Piece(wanted.media_type, (picture,), len(picture))

    def thumbnail(self, entry: StudyEntry, target: Target, number: int | None, wanted: Rendering) -> bytes:
        """One small picture that stands for all there."""
        with self.shelf.study(entry.id) as opened:
            instances = [each for each in selected(opened, target) if each.note.frames]
            if not instances:
                raise NotFound("There are no pictures in it.")
            instance = instances[len(instances) // 2]
            metadata = opened.metadata(instance)
            index = number - 1 if number is not None else middle_frame(metadata.frames.count)
            if metadata.frames.kind == "video" and number is None:
                index = 0  # Everything before a frame would have to be decoded.
            _require_frames(metadata, [index + 1])
            return self._picture(opened, instance, metadata, index, wanted)

    def video(self, entry: StudyEntry, target: Target) -> bytes:
        """An MP4 file. Raises BridgeError (`unsupported`) if the instance is no video that MP4 holds."""
        with self.shelf.study(entry.id) as opened:
            instance = selected(opened, target)[0]
            metadata = opened.metadata(instance)
            syntax = instance.note.transfer_syntax
            if metadata.frames.kind != "video" or syntax not in H264 | HEVC:
                raise not_acceptable()
            with self._held(instance.note.size_bytes):
                stream = opened.reader.frame(instance, 0, metadata.frames)
                if stream[4:8] == b"ftyp":
                    return stream
                wish = msgspec.msgpack.encode(Remux(syntax, _rate(json_of(metadata))))
                return self._workers.call(REMUX, stream, wish, timeout_s=RETELL_TIMEOUT_S)

    def _picture(
        self, opened: OpenStudy, instance: Instance, metadata: Metadata, index: int, wanted: Rendering
    ) -> bytes:
        return self._decoded(RENDER, opened, instance, metadata, index, rendering=wanted)

    def _decoded(
        self,
        function: str,
        opened: OpenStudy,
        instance: Instance,
        metadata: Metadata,
        index: int,
        **wanted: Any,
    ) -> bytes:
        """What a worker makes of one frame."""
        # Of some the whole file is needed for it.
        is_whole = metadata.frames.kind in ("deflated", "video")
        with self._held(instance.note.size_bytes if is_whole else 0):
            job = frame_job(opened.reader, self._workers, instance, metadata, index, **wanted)
            return self._workers.call(function, job)

    # --- bulk data -------------------------------------------------------------------------------------------------

    def bulk_shape(self, entry: StudyEntry, target: Target, path: str) -> BulkShape:
        """How `bulk` gives this value. Raises NotFound."""
        with self.shelf.study(entry.id) as opened:
            instance = selected(opened, target)[0]
            metadata = opened.metadata(instance)
            if path not in metadata.bulk:
                raise NotFound("There is no such value.")
            frames = metadata.frames
            if path != PIXEL_DATA or frames.kind not in ("encapsulated", "video"):
                return BulkShape(OCTETS, 1)
            return BulkShape(
                media_type_of(instance.note.transfer_syntax), 1 if frames.kind == "video" else frames.count
            )

    def bulk(self, entry: StudyEntry, target: Target, path: str) -> Iterator[Piece]:
        """A value that is left out of the metadata; compressed pixel data come frame by frame (PS3.18 10.4.1.1.5)."""
        with self.shelf.study(entry.id) as opened:
            instance = selected(opened, target)[0]
            metadata = opened.metadata(instance)
            if path not in metadata.bulk:
                raise NotFound("There is no such value.")
            offset, length, unit = metadata.bulk[path]
            frames = metadata.frames
            if path == PIXEL_DATA and frames.kind in ("encapsulated", "video"):
                syntax = instance.note.transfer_syntax
                type = f"{media_type_of(syntax)}; transfer-syntax={syntax}"
                for index in range(1 if frames.kind == "video" else frames.count):
                    frame = opened.reader.frame(instance, index, frames)
                    yield Piece(type, (frame,), len(frame))
            elif frames.kind == "deflated":
                value = value_in(self._inflated(opened, instance), metadata.bulk[path])
                yield Piece(OCTETS, (value,), length)
            else:
                pieces = (
                    turned(opened.reader.read(instance, at, min(PIECE_BYTES, offset + length - at)), unit)
                    for at in range(offset, offset + length, PIECE_BYTES)
                )
                yield Piece(OCTETS, pieces, length)

    def _inflated(self, opened: OpenStudy, instance: Instance) -> bytes:
        with self._whole(opened, instance) as file:
            return self._workers.call(INFLATE, file)

    # --- memory ----------------------------------------------------------------------------------------------------

    @contextmanager
    def _held(self, size_bytes: int) -> Iterator[None]:
        """Raises LimitExceeded."""
        self._budget.take(size_bytes)
        try:
            yield
        finally:
            self._budget.give_back(size_bytes)

    @contextmanager
    def _whole(self, opened: OpenStudy, instance: Instance) -> Iterator[Scratch]:
        """A whole file in memory. Raises LimitExceeded, VaultError."""
        size_bytes = instance.note.size_bytes
        with self._held(size_bytes):
            try:
                scratch = Scratch(size_bytes)
            except OSError:
                raise LimitExceeded("The server is short of memory; try again in a moment.") from None
            with scratch:
                for piece in opened.reader.iterate(instance):
                    scratch.write(piece)
                yield scratch


def selected(opened: OpenStudy, target: Target) -> list[Instance]:
    """The instances that are meant. Raises NotFound if there are none."""
    reader = opened.reader
    found = [reader.instance(target.instance)] if target.instance else reader.instances()
    if target.series:
        found = [each for each in found if each.note.series == target.series]
    if not found:
        raise NotFound("There is no such series or object in the study.")
    return found


def whole(piece: Piece, *, multipart: bool) -> tuple[bytes, str]:
    """An answer with one part, and its Content-Type."""
    if not multipart:
        return b"".join(piece.content), piece.content_type
    form = MultipartForm(piece.content_type.partition(";")[0])
    return b"".join(framed(form, [piece])), form.content_type


def framed(form: MultipartForm, pieces: Iterable[Piece]) -> Iterator[bytes]:
    """The bytes of a multipart answer."""
    for piece in pieces:
        yield form.opening(piece.content_type, piece.size_bytes, piece.location, piece.span)
        yield from piece.content
    yield form.closing


def _require_frames(metadata: Metadata, numbers: list[int]) -> None:
    if not all(1 <= number <= metadata.frames.count for number in numbers):
        raise NotFound("There is no such frame.")


def _file_type(transfer_syntax: str) -> str:
    return f"application/dicom; transfer-syntax={transfer_syntax}"


def _rate(dataset: dict[str, Any]) -> float:
    """Pictures a second, as the object says: CineRate, RecommendedDisplayFrameRate or FrameTime."""
    for tag, is_time in (("00180040", False), ("00082144", False), ("00181063", True)):
        values = dataset.get(tag, {}).get("Value") or [0]
        if isinstance(values[0], int | float) and values[0] > 0:
            return 1000 / values[0] if is_time else float(values[0])
    return 0.0
