"""What lies in a study: the notes of its parts, and the metadata of an instance. Who writes and who reads agree here.

A study is one object of the vault (`docs/recording-format.md`). Each writer, as an association or an upload, has a
stream of its own. An *instance* is a run of parts in one stream:

- a part with an `InstanceNote`, whose body is the instance's `Metadata`;
- `chunks` parts with a `ContentNote` each: the Part 10 file byte for byte, `CHUNK_BYTES` in each part but the last.

An instance without all of its parts was torn by a crash: it is not shown, and never deleted. Where an instance is
there twice, the one that arrived first counts. Pure: no I/O.
"""

from __future__ import annotations

import zlib
from typing import Any, Literal

import msgspec
from msgspec import Struct

from bridge.imaging.errors import DicomError

CHUNK_BYTES = 256 * 1024
"""Small enough that a frame costs little to read, large enough that sealing runs at full speed."""
INSTANCE_LIMIT_BYTES = 1 << 30
METADATA_LIMIT_BYTES = 64 * 1024 * 1024
"""Of an instance's metadata before compression. Contours of a radiotherapy plan reach ten megabytes."""
COMPRESSION_LEVEL = 1
"""Three times faster than the default for a tenth more bytes."""


class _Note(Struct, frozen=True, kw_only=True, rename="camel", tag_field="k", omit_defaults=True):
    pass


class InstanceNote(_Note, frozen=True, tag="instance"):
    """Begins an instance. UIDs and numbers are as in its dataset; 0 or "" where it has none.

    `sha256` is of the file as stored, `pixel_sha256` of the value of its pixel data, `content_sha256` of what it says
    however it is encoded: two files of the same instance are the same object if that is equal. In base64 each.
    """

    sop_instance: str
    sop_class: str
    series: str
    study: str
    transfer_syntax: str
    size_bytes: int
    chunks: int
    sha256: str
    content_sha256: str
    pixel_sha256: str = ""
    modality: str = ""
    number: int = 0
    rows: int = 0
    columns: int = 0
    frames: int = 0
    bits_allocated: int = 0
    bits_stored: int = 0
    samples: int = 0
    photometric: str = ""
    received_at_ms: int = 0


class ContentNote(_Note, frozen=True, tag="content"):
    """A piece of the file from `offset` on, of the instance whose note is in the part `instance` of this stream."""

    instance: int
    offset: int


Note = InstanceNote | ContentNote
_note_decoder: msgspec.json.Decoder[Note] = msgspec.json.Decoder(Note)
_note_encoder = msgspec.json.Encoder()


class FrameTable(Struct, frozen=True, array_like=True):
    """Where the frames lie in the file.

    `native`: frame n is `frame_bits` bits from bit n × `frame_bits` after the byte `offset`, `count` of them.
    `encapsulated`: frame n is the row `segments[n]`, pairs of offset and length one after the other.
    `video`: the one row of `segments` is a whole stream with all frames in it.
    `deflated`: as `native`, but inside the dataset once that is inflated, which begins at `offset` then.
    `none`: there are no pixels.
    """

    kind: Literal["none", "native", "encapsulated", "video", "deflated"] = "none"
    offset: int = 0
    frame_bits: int = 0
    count: int = 0
    segments: tuple[tuple[int, ...], ...] = ()


class Metadata(Struct, frozen=True, array_like=True):
    """What is known of an instance without its file.

    `dataset` is the DICOM JSON model (PS3.18 F.2) in UTF-8. Values longer than `BULK_BYTES` of binary sort are left
    out of it and have a `BulkDataURI` that is a path of tags and item numbers, as `00880200/0/7FE00010`; `bulk` says
    for each where it lies in the file: offset, length (of the inflated dataset for `deflated`), and how many bytes a
    big-endian unit has that is to be turned round, 0 if nothing is.
    """

    dataset: bytes
    frames: FrameTable
    bulk: dict[str, tuple[int, int, int]]


BULK_BYTES = 1024
"""Binary values up to here are told inline."""

_metadata_encoder = msgspec.msgpack.Encoder()
_metadata_decoder = msgspec.msgpack.Decoder(Metadata)


def encode_note(note: Note) -> bytes:
    """At most a kilobyte: UIDs have 64 characters at most."""
    return _note_encoder.encode(note)


def decode_note(note: bytes) -> Note:
    """Raises DicomError."""
    try:
        return _note_decoder.decode(note)
    except (msgspec.DecodeError, UnicodeError):
        raise DicomError("A part of the study is of an unknown sort.") from None


def encode_metadata(metadata: Metadata) -> bytes:
    """The body of an instance's first part. Raises DicomError (`tooLarge`)."""
    encoded = _metadata_encoder.encode(metadata)
    if len(encoded) > METADATA_LIMIT_BYTES:
        raise DicomError("The object says too much besides its pixels.", "tooLarge")
    return zlib.compress(encoded, COMPRESSION_LEVEL)


def decode_metadata(body: bytes) -> Metadata:
    """Raises DicomError."""
    # What a worker made that was taken over could unpack to a thousand times its size.
    inflater = zlib.decompressobj()
    try:
        encoded = inflater.decompress(body, METADATA_LIMIT_BYTES + 1)
        if len(encoded) > METADATA_LIMIT_BYTES or not inflater.eof:
            raise DicomError("What is known of an instance cannot be read.")
        return _metadata_decoder.decode(encoded)
    except (zlib.error, msgspec.DecodeError, UnicodeError):
        raise DicomError("What is known of an instance cannot be read.") from None


def json_of(metadata: Metadata) -> dict[str, Any]:
    """The DICOM JSON model as objects."""
    decoded: dict[str, Any] = msgspec.json.decode(metadata.dataset)
    return decoded
