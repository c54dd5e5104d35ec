"""What is asked and answered by queries, between datasets and plain text by tag (PS3.4 C.4).

Text is Unicode on this side; answers are written in the character set that was asked for if it has the letters, else in
UTF-8. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from io import BytesIO
from typing import Any

from pydicom.charset import convert_encodings, encode_string
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pynetdicom.dsutils import decode, encode

from bridge.imaging.alphabets import Alphabet
from bridge.imaging.errors import DicomError

CHARACTER_SET, LEVEL, RETRIEVE_AE = "00080005", "00080052", "00080054"
UNICODE = "ISO_IR 192"
KEYS_LIMIT = 256
TEXT_LIMIT = 1024 * 1024
_TEXTS = frozenset(
    ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT")
)
_ENCODED = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT"))
_NUMBERS = {
    "US": (0, 2**16 - 1),
    "UL": (0, 2**32 - 1),
    "SS": (-(2**15), 2**15 - 1),
    "SL": (-(2**31), 2**31 - 1),
}
_INTEGER = re.compile(r"[+-]?[0-9]{1,12}")
_HELD = {"IS": _INTEGER, "DS": re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")}
"""Texts that pydicom makes numbers of."""


class Question:
    """An identifier, read."""

    def __init__(self, content: bytes, syntax: Any) -> None:
        """Raises DicomError."""
        try:
            dataset = decode(BytesIO(content), syntax.is_implicit_VR, syntax.is_little_endian)
            raw = [dataset.get_item(tag) for tag in dataset.keys()]  # noqa: SIM118 - values would be parsed
            texts = dict(_read(element) for element in raw if element is not None)
        except Exception:
            raise DicomError("The identifier cannot be read.") from None
        if len(texts) > KEYS_LIMIT:
            raise DicomError("The identifier has too many keys.", "tooLarge")
        said = texts.pop(CHARACTER_SET, ("CS", b""))[1] or b""
        self.character_set = [name.strip(" \0") for name in said.decode("ascii", "replace").split("\\")]
        alphabet = Alphabet(self.character_set)
        told = {
            tag: alphabet.text(value, person=vr == "PN").strip(" \0") for tag, (vr, value) in texts.items()
        }
        self.level = told.pop(LEVEL, "").upper()
        self.keys = {tag: text for tag, text in told.items() if tag[4:] != "0000"}


def _read(element: Any) -> tuple[str, tuple[str, bytes]]:
    tag = f"{int(element.tag):08X}"
    if not isinstance(element, RawDataElement):
        return tag, (str(element.VR), b"")
    vr = element.VR or _vr(int(element.tag))
    value = element.value if isinstance(element.value, bytes) and vr in _TEXTS else b""
    return tag, (vr, value[:TEXT_LIMIT])


def _vr(tag: int) -> str:
    try:
        return dictionary_VR(tag)
    except KeyError:
        return "UN"


def answer(row: dict[str, str], question: Question, title: str, syntax: Any) -> bytes:
    """The identifier of one match, encoded. Raises ValueError for what cannot be written."""
    dataset = Dataset()
    texts = [text for tag, text in row.items() if _vr(int(tag, 16)) in _ENCODED]
    character_set = _character_set(texts, question.character_set)
    if character_set:
        dataset.add_new(int(CHARACTER_SET, 16), "CS", character_set)
    dataset.add_new(int(LEVEL, 16), "CS", question.level)
    dataset.add_new(int(RETRIEVE_AE, 16), "AE", title)
    for tag in question.keys:
        if tag != RETRIEVE_AE:
            _add(dataset, tag, row.get(tag, ""))
    try:
        return written(dataset, syntax)
    except ValueError:
        return written(_writable(dataset, syntax), syntax)


def _add(dataset: Dataset, tag: str, text: str) -> None:
    """What devices wrote is not always what its sort allows: such a value is told as empty, the others as they are."""
    vr = _vr(int(tag, 16)).partition(" ")[0]
    if vr in _TEXTS:
        held = _HELD.get(vr)
        parts = [part if held is None or held.fullmatch(part) else "" for part in text.split("\\")]
        dataset.add_new(int(tag, 16), vr, parts if any(parts) and len(parts) > 1 else parts[0])
    elif vr in _NUMBERS:
        low, high = _NUMBERS[vr]
        numbers = [int(part) for part in text.split("\\") if _INTEGER.fullmatch(part)]
        dataset.add_new(int(tag, 16), vr, [number for number in numbers if low <= number <= high])
    elif vr == "SQ":
        dataset.add_new(int(tag, 16), vr, [])


def _writable(dataset: Dataset, syntax: Any) -> Dataset:
    """With nothing in those attributes that cannot be written."""
    made = Dataset()
    for element in dataset:
        made.add(element)
        if encode(made, syntax.is_implicit_VR, syntax.is_little_endian) is None:
            made.add_new(element.tag, element.VR, "" if element.VR in _TEXTS else [])
    return made


def failed(instances: Iterable[str], syntax: Any) -> bytes:
    """The identifier that names objects which could not be sent."""
    dataset = Dataset()
    dataset.FailedSOPInstanceUIDList = list(instances)
    return written(dataset, syntax)


def written(dataset: Dataset, syntax: Any) -> bytes:
    """Raises ValueError."""
    encoded = encode(dataset, syntax.is_implicit_VR, syntax.is_little_endian)
    if encoded is None:
        raise ValueError("cannot be encoded")
    return bytes(encoded)


def _character_set(texts: list[str], asked: list[str]) -> list[str] | str:
    if all(text.isascii() for text in texts):
        return ""
    if any(asked) and _can_write(texts, asked):
        return asked
    return UNICODE


def _can_write(texts: list[str], names: list[str]) -> bool:
    try:
        encodings = convert_encodings(list(names))
        alphabet = Alphabet(names)
        return all(alphabet.text(encode_string(text, encodings)) == text for text in texts)
    except (LookupError, ValueError):
        return False
