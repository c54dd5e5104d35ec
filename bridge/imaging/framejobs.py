"""What a worker needs for one frame of a stored object: the frame, its description, and the tables it refers to."""

from __future__ import annotations

from typing import Any

from bridge.imaging.layout import Metadata
from bridge.imaging.model import turned
from bridge.imaging.pixels.described import table_paths
from bridge.imaging.pixels.jobs import Job, pack
from bridge.imaging.study import Instance, StudyReader
from bridge.imaging.workers import Workers

INFLATE = "bridge.imaging.parsing:inflate_object"


def frame_job(
    reader: StudyReader, workers: Workers, instance: Instance, metadata: Metadata, index: int, **wanted: Any
) -> bytes:
    """The payload of a call; `wanted` are fields of `Job`. Raises NotFound, DicomError, VaultError."""
    frames = metadata.frames
    deflated: tuple[int, int] | None = None
    paths = table_paths(metadata.bulk, index)
    if frames.kind == "deflated":
        deflated = (frames.offset, frames.frame_bits)
        content = b"".join(reader.iterate(instance))
        inflated = workers.call(INFLATE, content) if paths else b""
        tables = {path: value_in(inflated, metadata.bulk[path]) for path in paths}
    else:
        tables = {path: reader.bulk(instance, path, metadata) for path in paths}
        content = reader.frame(instance, 0 if frames.kind == "video" else index, frames)
    job = Job(instance.note.transfer_syntax, metadata.dataset, index, tables, deflated, **wanted)
    return pack(job, content)


def value_in(inflated: bytes, place: tuple[int, int, int]) -> bytes:
    """A value of an inflated dataset, in little endian. `place` is as in `Metadata.bulk`."""
    offset, length, unit = place
    return turned(inflated[offset : offset + length], unit)
