"""Pixels in real worker processes, from what the archive keeps of an object: its JSON, its frame table, its bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from bridge.imaging import parsing
from bridge.imaging.errors import DicomError
from bridge.imaging.layout import FrameTable, Metadata, decode_metadata
from bridge.imaging.model import turned
from bridge.imaging.pixels.decoding import decode_frame
from bridge.imaging.pixels.described import dataset_of, table_paths
from bridge.imaging.pixels.display import Display, Window
from bridge.imaging.pixels.format import EXPLICIT_LITTLE, HTJ2K_LOSSLESS_RPCL, JPEG_BASELINE, PixelFormat
from bridge.imaging.pixels.jobs import RENDER, TRANSCODE, Job, pack, transcoded_of
from bridge.imaging.pixels.rendering import Rendering, render
from bridge.imaging.workers import Workers
from tests.imaging.pictures import BROKEN, files_with_pixels, frame_bytes, read


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    pool = Workers(1)
    yield pool
    pool.close()


def kept(path: Path) -> tuple[str, Metadata, bytes]:
    """Transfer syntax, metadata and file, as the archive has them."""
    content = path.read_bytes()
    parsed = parsing.parse(content)
    return parsed.note.transfer_syntax, decode_metadata(parsed.metadata), content


def frame_of(frames: FrameTable, content: bytes, index: int) -> bytes:
    """A frame as stored, cut out by the frame table."""
    if frames.kind == "deflated":
        return content
    if frames.kind == "native":
        start = frames.offset + index * frames.frame_bits // 8
        return content[start : start + -(-frames.frame_bits // 8)]
    row = frames.segments[index]
    return b"".join(content[at : at + length] for at, length in zip(row[::2], row[1::2], strict=True))


def job_of(syntax: str, metadata: Metadata, content: bytes, index: int, **wanted: object) -> Job:
    tables = {}
    for path in table_paths(metadata.bulk, index):
        offset, length, unit = metadata.bulk[path]
        tables[path] = turned(content[offset : offset + length], unit)
    frames = metadata.frames
    deflated = (frames.offset, frames.frame_bits) if frames.kind == "deflated" else None
    return Job(syntax, metadata.dataset, index, tables, deflated, **wanted)  # type: ignore[arg-type]


def test_every_object_is_rendered_the_same_from_its_json_as_from_its_dataset() -> None:
    compared = 0
    for name, path in files_with_pixels().items():
        if name in BROKEN:
            continue
        try:
            syntax, metadata, content = kept(path)
        except DicomError:
            continue  # What the archive refuses has no metadata.
        direct = read(path)
        form = PixelFormat.of(direct)
        index = form.frames - 1
        told = dataset_of(metadata.dataset, index, job_of(syntax, metadata, content, index).tables)
        assert PixelFormat.of(told, syntax) == form, name
        assert Display.of(told) == Display.of(direct, index), name
        compared += 1
    assert compared > 130


@pytest.mark.parametrize(
    "name",
    [
        "693_UNCR.dcm",
        "image_dfl.dcm",
        "gdcm-US-ALOKA-16_big.dcm",
        "color3d_jpeg_baseline.dcm",
        "eCT_Supplemental.dcm",
    ],
)
def test_a_worker_renders_what_the_archive_keeps(workers: Workers, name: str) -> None:
    path = files_with_pixels()[name]
    syntax, metadata, content = kept(path)
    direct = read(path)
    form = PixelFormat.of(direct)
    index = form.frames // 2
    wanted = Rendering("image/png", Window(40, 400))
    job = job_of(syntax, metadata, content, index, rendering=wanted)
    picture = workers.call(RENDER, pack(job, frame_of(metadata.frames, content, index)))
    assert picture == render(form, Display.of(direct, index), frame_bytes(direct, form, index), index, wanted)
    assert imagecodecs.png_decode(picture).std() > 1


def test_a_worker_transcodes_and_says_what_came_out(workers: Workers) -> None:
    path = files_with_pixels()["MR2_UNCR.dcm"]
    syntax, metadata, content = kept(path)
    direct = read(path)
    form = PixelFormat.of(direct)
    stored = decode_frame(form, frame_bytes(direct, form, 0)).values
    frame = frame_of(metadata.frames, content, 0)
    progressive = transcoded_of(
        workers.call(TRANSCODE, pack(job_of(syntax, metadata, content, 0, target=HTJ2K_LOSSLESS_RPCL), frame))
    )
    np.testing.assert_array_equal(imagecodecs.jpeg2k_decode(progressive.data), stored)
    assert 0 < progressive.preview_bytes < len(progressive.data)
    native = transcoded_of(
        workers.call(TRANSCODE, pack(job_of(syntax, metadata, content, 0, target=EXPLICIT_LITTLE), frame))
    )
    assert native.data == stored.tobytes()
    lossy = transcoded_of(
        workers.call(TRANSCODE, pack(job_of(syntax, metadata, content, 0, target=JPEG_BASELINE), frame))
    )
    assert lossy.lossy
    assert imagecodecs.jpeg8_decode(lossy.data).shape == stored.shape


def test_a_worker_says_plainly_what_it_cannot_do_and_goes_on(workers: Workers) -> None:
    syntax, metadata, content = kept(files_with_pixels()["693_UNCR.dcm"])
    job = job_of(syntax, metadata, content, 0)
    with pytest.raises(DicomError) as caught:
        workers.call(RENDER, pack(job, b"too little"))
    assert caught.value.text == "The frame is cut off."
    with pytest.raises(DicomError):
        workers.call(RENDER, b"no job at all")
    with pytest.raises(DicomError):
        workers.call(RENDER, pack(Job(syntax, b"{"), b""))
    with pytest.raises(DicomError):
        transcoded_of(b"\xc1")
    assert workers.call(RENDER, pack(job, frame_of(metadata.frames, content, 0)))[:2] == b"\xff\xd8"
    assert workers.lost == 0
