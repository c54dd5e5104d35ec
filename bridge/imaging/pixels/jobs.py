"""What workers do with pixels: one frame and its description go in, a picture or a frame in another form comes out.

The server makes a `Job` from what the archive has, sends `pack(job, content)` as the payload of a call, and reads
what comes back; nothing of a stranger's is decoded on its side.
"""

from __future__ import annotations

import re
import struct
from itertools import pairwise

import msgspec
from pydicom.dataset import Dataset

from bridge.imaging.parsing import inflated
from bridge.imaging.pixels.described import dataset_of
from bridge.imaging.pixels.display import Display
from bridge.imaging.pixels.faults import PixelError
from bridge.imaging.pixels.format import JPEG_BASELINE, PixelFormat
from bridge.imaging.pixels.rendering import DEFAULT_QUALITY, Rendering, render
from bridge.imaging.pixels.stepwise import Stepwise, stepwise
from bridge.imaging.pixels.transcoding import Transcoded, transcode

RENDER = "bridge.imaging.pixels.jobs:rendered"
TRANSCODE = "bridge.imaging.pixels.jobs:transcoded"
STEPWISE = "bridge.imaging.pixels.jobs:made_stepwise"
RESOLUTIONS_LIMIT = 33
_TAG = re.compile(r"[A-Za-z0-9_-]{1,32}")
_LENGTH = struct.Struct("<I")


class Job(msgspec.Struct, frozen=True, array_like=True):
    """What is to be done with one frame.

    `dataset` is the instance's DICOM JSON model, `tables` the values of `described.table_paths` that it leaves out.
    `deflated`: the content is a whole deflated file, in whose dataset the pixels begin at a byte and have so many bits
    a frame (`offset` and `frame_bits` of its frame table). Otherwise the content is the frame as stored.
    """

    transfer_syntax: str
    dataset: bytes
    index: int = 0
    tables: dict[str, bytes] = {}
    deflated: tuple[int, int] | None = None
    rendering: Rendering | None = None
    target: str = ""
    quality: int = DEFAULT_QUALITY


_jobs = msgspec.msgpack.Decoder(Job)
_transcoded = msgspec.msgpack.Decoder(Transcoded)
_stepwise = msgspec.msgpack.Decoder(Stepwise)


def pack(job: Job, content: bytes) -> bytes:
    """The payload for a worker."""
    head = msgspec.msgpack.encode(job)
    return b"".join((_LENGTH.pack(len(head)), head, content))


def rendered(payload: memoryview, _arguments: bytes) -> bytes:
    """A picture in JPEG or PNG, as `job.rendering` says. Raises PixelError."""
    job, content = _unpack(payload)
    form, dataset = _described(job)
    display = Display.of(dataset)
    return render(form, display, _frame(job, form, content), job.index, job.rendering or Rendering())


def transcoded(payload: memoryview, _arguments: bytes) -> bytes:
    """The frame in the transfer syntax `job.target`; read the answer by `transcoded_of`. Raises PixelError."""
    job, content = _unpack(payload)
    form, dataset = _described(job)
    display = Display.of(dataset) if job.target == JPEG_BASELINE else None
    made = transcode(form, _frame(job, form, content), job.index, job.target, display, job.quality)
    return msgspec.msgpack.encode(made)


def transcoded_of(reply: bytes) -> Transcoded:
    """What `transcoded` answered. Raises PixelError: a worker that was taken over may say anything."""
    try:
        return _transcoded.decode(reply)
    except (msgspec.DecodeError, UnicodeError):
        raise PixelError("The frame could not be read.") from None


def made_stepwise(payload: memoryview, _arguments: bytes) -> bytes:
    """The frame as a codestream that sharpens as it comes; read the answer by `stepwise_of`. Raises PixelError."""
    job, content = _unpack(payload)
    form, _ = _described(job)
    return msgspec.msgpack.encode(stepwise(form, _frame(job, form, content), job.index))


def stepwise_of(reply: bytes) -> Stepwise:
    """What `made_stepwise` answered. Raises PixelError: a worker that was taken over may say anything."""
    try:
        made = _stepwise.decode(reply)
    except (msgspec.DecodeError, UnicodeError):
        raise PixelError("The frame could not be read.") from None
    rising = all(0 < end < later for end, later in pairwise(made.ends))
    if not 1 <= len(made.ends) <= RESOLUTIONS_LIMIT or not rising or not _fits(made):
        raise PixelError("The frame could not be read.")
    return made


def _fits(made: Stepwise) -> bool:
    return _TAG.fullmatch(made.tag) is not None and (not made.data or len(made.data) == made.ends[-1])


def _unpack(payload: memoryview) -> tuple[Job, bytes]:
    (length,) = _LENGTH.unpack_from(payload)
    start = _LENGTH.size + length
    return _jobs.decode(payload[_LENGTH.size : start]), bytes(payload[start:])


def _described(job: Job) -> tuple[PixelFormat, Dataset]:
    dataset = dataset_of(job.dataset, job.index, job.tables)
    return PixelFormat.of(dataset, job.transfer_syntax), dataset


def _frame(job: Job, form: PixelFormat, content: bytes) -> bytes:
    if job.deflated is None:
        return content
    offset, frame_bits = job.deflated
    if frame_bits != form.native_bits or job.index >= form.frames:
        raise PixelError("The picture's frames are not where they should be.")
    dataset = inflated(content)
    first_bit = job.index * frame_bits
    first, shift = divmod(first_bit, 8)
    length = -(-frame_bits // 8)
    raw = dataset[offset + first : offset + first + length + (shift > 0)]
    if not shift and not frame_bits % 8:
        return raw
    bits = int.from_bytes(raw, "little") >> shift & (1 << frame_bits) - 1
    return bits.to_bytes(length, "little")
