"""Tells a dataset as the DICOM JSON model (PS3.18 F.2), with what is long and binary left where it lies in the file.

Numbers that JSON cannot hold exactly, and text where a number should be, are told as strings, as the standard allows.
Big-endian values are told in little endian. Pure.
"""

from __future__ import annotations

import base64
import math
import re
import struct
from collections.abc import Callable
from typing import Any

from bridge.imaging.alphabets import Alphabet
from bridge.imaging.elements import PIXEL_TAGS, Element
from bridge.imaging.layout import BULK_BYTES

Json = dict[str, Any]

SPECIFIC_CHARACTER_SET = 0x00080005
PIXEL_REPRESENTATION = 0x00280103
TRAILING_PADDING = 0xFFFCFFFC
LUT_DESCRIPTOR = 0x00283002
_EXACT = 2**53
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")
_DECIMAL_LIMIT = 32
"""Characters; the standard allows 16."""
_INTEGER = re.compile(r"[+-]?\d{1,15}")
_UNIT_BYTES = {"OW": 2, "OL": 4, "OF": 4, "OD": 8, "OV": 8}
_NUMBERS = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "FL": "f", "FD": "d", "UV": "Q", "SV": "q"}
_BINARY = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "UN"))
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_TEXTS = frozenset(("SH", "LO", "UC"))
_LONG_TEXTS = frozenset(("LT", "ST", "UT"))


class Model:
    """Tells the datasets of one file. `bulk` collects what was left out: offset, length, and bytes of a big-endian
    unit that is to be turned round, 0 if none is."""

    def __init__(self, content: bytes | memoryview, *, little: bool) -> None:
        self._content = content
        self._little = little
        self._order = "<" if little else ">"
        self.bulk: dict[str, tuple[int, int, int]] = {}

    def tell(
        self, elements: list[Element], alphabet: Alphabet | None = None, path: str = "", signed: bool = False
    ) -> Json:
        """One dataset; those of its sequences inherit its alphabet."""
        told: Json = {}
        by_tag = {element.tag: element for element in elements}
        alphabet = self._alphabet(by_tag, alphabet or Alphabet())
        if PIXEL_REPRESENTATION in by_tag:
            signed = self._bytes(by_tag[PIXEL_REPRESENTATION])[:2] in (b"\1\0", b"\0\1")
        for element in elements:
            # Lengths of groups say nothing once the object is told in another form, and padding says nothing ever
            # (PS3.10 7.2): what another archive sends back without it is the same object.
            if element.tag & 0xFFFF == 0 or element.tag == TRAILING_PADDING:
                continue
            key = f"{element.tag:08X}"
            vr = self._settled(element, by_tag, signed)
            if element.items is not None:
                value: Json = {"vr": "SQ"}
                if element.items:
                    value["Value"] = [
                        self.tell(item, alphabet, f"{path}{key}/{number}/", signed)
                        for number, item in enumerate(element.items)
                    ]
            else:
                value = self._value(element, vr, alphabet, path + key)
            told[key] = value
        return told

    def _alphabet(self, by_tag: dict[int, Element], inherited: Alphabet) -> Alphabet:
        element = by_tag.get(SPECIFIC_CHARACTER_SET)
        if element is None:
            return inherited
        names = self._bytes(element).decode("ascii", "replace").split("\\")
        return Alphabet([name.strip(" \0") for name in names])

    def _value(self, element: Element, vr: str, alphabet: Alphabet, path: str) -> Json:
        if vr in _BINARY:
            return self._binary(element, vr, path)
        if not element.length:
            return {"vr": vr}
        raw = self._bytes(element)
        values = _values(raw, vr, alphabet, self._order)
        if values is None:  # A length that does not fit its sort: better the bytes than a wrong number.
            return self._binary(element, "UN", path)
        return {"vr": vr, "Value": values} if values else {"vr": vr}

    def _binary(self, element: Element, vr: str, path: str) -> Json:
        unit = 0 if self._little else _UNIT_BYTES.get(vr, 0)
        if element.tag in PIXEL_TAGS or element.length > BULK_BYTES:
            self.bulk[path] = (element.offset, element.length, unit)
            return {"vr": vr, "BulkDataURI": path}
        raw = turned(self._bytes(element), unit)
        return {"vr": vr, "InlineBinary": base64.b64encode(raw).decode("ascii")} if raw else {"vr": vr}

    def _settled(self, element: Element, by_tag: dict[int, Element], signed: bool) -> str:
        """One VR out of the alternatives that the dictionary has (PS3.6, PS3.5 A.1)."""
        vr = element.vr
        if " " not in vr:
            return vr
        if vr in ("US or OW", "US or SS or OW"):
            descriptor = by_tag.get(LUT_DESCRIPTOR)
            few = descriptor is not None and self._bytes(descriptor)[:2] in (b"\1\0", b"\0\1")
            if not few:
                return "OW"
        elif "OW" in vr:
            return "OW"
        return "SS" if "SS" in vr and signed else "US"

    def _bytes(self, element: Element) -> bytes:
        return bytes(self._content[element.offset : element.offset + element.length])


def turned(raw: bytes, unit: int) -> bytes:
    """Each unit of so many bytes in the other byte order."""
    if unit < 2 or len(raw) % unit:
        return raw
    out = bytearray(len(raw))
    for place in range(unit):
        out[place::unit] = raw[unit - 1 - place :: unit]
    return bytes(out)


def _values(raw: bytes, vr: str, alphabet: Alphabet, order: str) -> list[Any] | None:
    if vr in _NUMBERS:
        return _numbers(raw, _NUMBERS[vr], order)
    if vr == "AT":
        words = _numbers(raw, "H", order)
        if words is None or len(words) % 2:
            return None
        return [f"{group:04X}{number:04X}" for group, number in zip(words[::2], words[1::2], strict=True)]
    if vr == "PN":
        return _told([name_groups(name) for name in alphabet.text(raw, person=True).split("\\")])
    if vr in _LONG_TEXTS:
        return _told([alphabet.text(raw).rstrip(" \0")])
    if vr == "UR":
        return _told([raw.decode("utf-8", "replace").rstrip(" \0")])
    text = alphabet.text(raw) if vr in _TEXTS else raw.decode("utf-8", "replace")
    return _told([_PARSERS.get(vr, str)(part.strip(" \0")) for part in text.split("\\")])


def _told(values: list[Any]) -> list[Any]:
    """Empty values among others are null; a value that is all empty is none."""
    told = [value if value != "" and value != {} else None for value in values]
    return told if any(value is not None for value in told) else []


def _numbers(raw: bytes, code: str, order: str) -> list[Any] | None:
    size = struct.calcsize("<" + code)
    if len(raw) % size:
        return None
    numbers = struct.unpack(f"{order}{len(raw) // size}{code}", raw)
    if code in "fd":
        return [number if math.isfinite(number) else _odd_float(number) for number in numbers]
    if code in "qQ":
        return [number if -_EXACT <= number <= _EXACT else str(number) for number in numbers]
    return list(numbers)


def _odd_float(number: float) -> str:
    if math.isnan(number):
        return "NaN"
    return "Infinity" if number > 0 else "-Infinity"


def name_groups(name: str) -> dict[str, str]:
    """A name of a dataset as the model has it; empty groups are left out."""
    groups = zip(_GROUPS, name.split("=")[:3], strict=False)
    return {group: text for group, part in groups if (text := part.strip(" \0"))}


def text_of(value: Any) -> str:
    """One value of the model as a text, a name with its groups joined as in a dataset; empty for null."""
    if value is None:
        return ""
    if isinstance(value, dict):
        return "=".join(str(value.get(group, "")) for group in _GROUPS).rstrip("=")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _decimal(text: str) -> Any:
    if len(text) > _DECIMAL_LIMIT:
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if not _DECIMAL.fullmatch(text):
        return text
    number = float(text)
    return number if math.isfinite(number) else text


def _integer(text: str) -> Any:
    return int(text) if _INTEGER.fullmatch(text) else text


_PARSERS: dict[str, Callable[[str], Any]] = {"DS": _decimal, "IS": _integer}
