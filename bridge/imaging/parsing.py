"""Reads one DICOM object: what to write in its note, what to know of its study, its JSON and its table of frames.

Meant to run in a worker with limits, on bytes from strangers (`workers.py`); only `Parsed` comes out. Pure.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from base64 import b64encode
from typing import Any

import msgspec
from msgspec import Struct

from bridge.imaging import layout
from bridge.imaging.elements import PIXEL_DATA, PIXEL_TAGS, Element, Walker
from bridge.imaging.errors import DicomError
from bridge.imaging.frametable import Picture, frame_table
from bridge.imaging.model import Json, Model, text_of
from bridge.imaging.syntaxes import Syntax, syntax_of

INFLATED_LIMIT_BYTES = 256 * 1024 * 1024
"""Of a deflated dataset, so that a small bomb does not become a large one."""
_PREAMBLE_BYTES = 128
_TRANSFER_SYNTAX = 0x00020010
_SOP_CLASS = 0x00020002
_UID = re.compile(r"\d+(\.\d+)*")
_UID_LIMIT = 64
_DIRECTORY_CLASS = "1.2.840.10008.1.3.10"
_NAME_LIMIT = 400
"""Characters of a text that is kept of a study; the standard allows 64, and three times that for a name."""
_EXTENDED_TABLES = (0x7FE00001, 0x7FE00002)
_INTEGER_LIMIT = 2**31 - 1


class StudyFacts(Struct, frozen=True, array_like=True):
    """What one object says of its study and patient, as Unicode; empty where it says nothing. Names have their groups
    joined by `=`, as in the dataset."""

    patient_name: str = ""
    patient_id: str = ""
    issuer: str = ""
    birth_date: str = ""
    sex: str = ""
    study_date: str = ""
    study_time: str = ""
    description: str = ""
    accession: str = ""
    study_id: str = ""
    referrer: str = ""


class Parsed(Struct, frozen=True, array_like=True):
    """All that the server takes from a worker about an object. `metadata` is as it is stored."""

    note: layout.InstanceNote
    facts: StudyFacts
    metadata: bytes


_decoder = msgspec.msgpack.Decoder(Parsed)


def parse(content: bytes | memoryview) -> Parsed:
    """One file as in PS3.10. Raises DicomError."""
    content = memoryview(content)
    meta, start = _file_meta(content)
    uid = _meta_uid(content, meta, _TRANSFER_SYNTAX)
    if not uid:
        raise DicomError("The file does not say its transfer syntax.")
    if _meta_uid(content, meta, _SOP_CLASS) == _DIRECTORY_CLASS:
        raise DicomError("This is the directory of a disc, and no object of its own.", "wrongType")
    syntax = syntax_of(uid)
    data, begin = (_inflated(content[start:]), 0) if syntax.deflated else (content, start)
    elements = Walker(data).dataset(begin, explicit=syntax.explicit, little=syntax.little)
    model = Model(data, little=syntax.little)
    told = model.tell(elements)
    frames, pixels = _frames(data, elements, told, syntax)
    dataset = msgspec.json.encode(told)
    digests = {path: _sha256(data[at : at + length]) for path, (at, length, _) in model.bulk.items()}
    content_digest = hashlib.sha256(dataset + b"".join(digests.values()))
    note = layout.InstanceNote(
        sop_instance=_uid(told, "00080018", "SOPInstanceUID"),
        sop_class=_uid(told, "00080016", "SOPClassUID"),
        series=_uid(told, "0020000E", "SeriesInstanceUID"),
        study=_uid(told, "0020000D", "StudyInstanceUID"),
        transfer_syntax=uid,
        size_bytes=len(content),
        chunks=-(-len(content) // layout.CHUNK_BYTES),
        sha256=_base64(_sha256(content)),
        content_sha256=_base64(content_digest.digest()),
        pixel_sha256=_base64(digests[f"{pixels.tag:08X}"]) if pixels is not None else "",
        modality=_text(told, "00080060")[:16],
        number=_number(told, "00200013"),
        rows=_number(told, "00280010"),
        columns=_number(told, "00280011"),
        frames=frames.count,
        bits_allocated=_number(told, "00280100"),
        bits_stored=_number(told, "00280101"),
        samples=_number(told, "00280002"),
        photometric=_text(told, "00280004")[:16],
    )
    metadata = layout.encode_metadata(layout.Metadata(dataset, frames, model.bulk))
    return Parsed(note, facts_of(told), metadata)


def parse_object(content: memoryview, _arguments: bytes) -> bytes:
    """`parse` for `workers.py`."""
    return msgspec.msgpack.encode(parse(content))


def parsed_of(reply: bytes | memoryview) -> Parsed:
    """What `parse_object` answered. Raises DicomError: a worker that was taken over may say anything."""
    try:
        parsed = _decoder.decode(reply)
    except (msgspec.DecodeError, UnicodeError):
        raise DicomError("The object could not be read.") from None
    uids = (parsed.note.sop_instance, parsed.note.sop_class, parsed.note.series, parsed.note.study)
    note = layout.encode_note(parsed.note)
    if not all(map(_is_uid, uids)) or len(note) > 900 or len(parsed.metadata) > layout.METADATA_LIMIT_BYTES:
        raise DicomError("The object could not be read.")
    return parsed


def inflated(content: bytes | memoryview) -> bytes:
    """The dataset of a deflated file, in which its frames and bulk data have their places. Raises DicomError."""
    _, start = _file_meta(memoryview(content))
    return _inflated(memoryview(content)[start:])


def inflate_object(content: memoryview, _arguments: bytes) -> bytes:
    """`inflated` for `workers.py`."""
    return inflated(content)


# --- the file ----------------------------------------------------------------------------------------------------


def _file_meta(content: memoryview) -> tuple[list[Element], int]:
    if bytes(content[_PREAMBLE_BYTES : _PREAMBLE_BYTES + 4]) != b"DICM":
        raise DicomError("This is no DICOM file.", "wrongType")
    return Walker(content).file_meta(_PREAMBLE_BYTES + 4)


def _meta_uid(content: memoryview, meta: list[Element], tag: int) -> str:
    for element in meta:
        if element.tag == tag and element.length <= _UID_LIMIT + 1:
            raw = bytes(content[element.offset : element.offset + element.length])
            return raw.decode("ascii", "replace").rstrip(" \0")
    return ""


def _inflated(content: memoryview) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = inflater.decompress(content, INFLATED_LIMIT_BYTES)
    except zlib.error:
        raise DicomError("The object's compression is damaged.") from None
    if inflater.unconsumed_tail:
        raise DicomError("The object is too large once it is unpacked.", "tooLarge")
    if not inflater.eof:
        raise DicomError("The object is cut: its compression has no end.")
    return data


def _frames(
    data: bytes | memoryview, elements: list[Element], told: Json, syntax: Syntax
) -> tuple[layout.FrameTable, Element | None]:
    by_tag = {element.tag: element for element in elements}
    pixels = next((by_tag[tag] for tag in sorted(PIXEL_TAGS, reverse=True) if tag in by_tag), None)
    if pixels is None or (not pixels.length and pixels.tag == PIXEL_DATA and pixels.fragments is None):
        return layout.FrameTable(), pixels
    tables = [by_tag.get(tag) for tag in _EXTENDED_TABLES]
    extended = [bytes(data[each.offset : each.offset + each.length]) for each in tables if each is not None]
    picture = Picture(
        rows=_number(told, "00280010"),
        columns=_number(told, "00280011"),
        frames=max(1, _number(told, "00280008")),
        samples=_number(told, "00280002") or 1,
        bits_allocated=_number(told, "00280100"),
        photometric=_text(told, "00280004"),
        extended=(extended[0], extended[1]) if len(extended) == 2 else None,
    )
    return frame_table(data, pixels, picture, syntax), pixels


# --- values ------------------------------------------------------------------------------------------------------


def _first(told: Json, tag: str) -> Any:
    values = told.get(tag, {}).get("Value")
    return values[0] if values else None


def _text(told: Json, tag: str) -> str:
    return text_of(_first(told, tag))[:_NAME_LIMIT]


def _number(told: Json, tag: str) -> int:
    value = _first(told, tag)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and -_INTEGER_LIMIT <= value <= _INTEGER_LIMIT else 0


def _uid(told: Json, tag: str, name: str) -> str:
    value = _text(told, tag)
    if not value:
        raise DicomError(f"The object has no {name}.")
    if not _is_uid(value):
        raise DicomError(f"The object's {name} is no UID.")
    return value


def _is_uid(text: str) -> bool:
    return len(text) <= _UID_LIMIT and _UID.fullmatch(text) is not None


def facts_of(told: Json) -> StudyFacts:
    """What a dataset says of its study."""
    return StudyFacts(
        patient_name=_text(told, "00100010"),
        patient_id=_text(told, "00100020"),
        issuer=_text(told, "00100021"),
        birth_date=_text(told, "00100030"),
        sex=_text(told, "00100040"),
        study_date=_text(told, "00080020"),
        study_time=_text(told, "00080030"),
        description=_text(told, "00081030"),
        accession=_text(told, "00080050"),
        study_id=_text(told, "00200010"),
        referrer=_text(told, "00080090"),
    )


def _sha256(content: bytes | memoryview) -> bytes:
    return hashlib.sha256(content).digest()


def _base64(digest: bytes) -> str:
    return b64encode(digest).decode("ascii")
