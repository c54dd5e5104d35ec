"""Finds the elements of a dataset in its bytes: what they are and where they lie, without copying a value (PS3.5, 7).

Strict about lengths and nesting, because everything comes from strangers: what does not fit into what holds it is
refused. Lenient where real devices err and no harm comes of it: items in implicit VR inside an explicit dataset, and
known elements sent as UN. It knows no character sets and no meaning. Pure.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from functools import lru_cache

from pydicom._dicom_dict import DicomDictionary, RepeatersDictionary
from pydicom.datadict import private_dictionary_VR

from bridge.imaging.errors import DicomError

UNDEFINED = 0xFFFFFFFF
ITEM = 0xFFFEE000
ITEM_END = 0xFFFEE00D
SEQUENCE_END = 0xFFFEE0DD
PIXEL_DATA = 0x7FE00010
PIXEL_TAGS = frozenset({PIXEL_DATA, 0x7FE00008, 0x7FE00009})
DEPTH_LIMIT = 48
"""Of sequences within sequences. Structured reports, the deepest objects there are, stay below 20."""
ELEMENTS_LIMIT = 2_000_000
"""Items and fragments count too. An enhanced CT of 2,000 frames has 200,000."""
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_SHORT = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
_REPEATED: dict[tuple[int, int], str] = {
    (int(mask[:2], 16), int(mask[4:], 16)): entry[0]
    for mask, entry in RepeatersDictionary.items()
    if mask[2:4] == "xx" and "x" not in mask[4:]
}
"""Of groups that come in rows, as overlays in 6000 to 601E."""
_NAMES = {vr: vr.decode("ascii") for vr in _LONG | _SHORT}


@dataclass(slots=True)
class Element:
    """One element. `offset` and `length` are of its value in the bytes that were read, `length` up to the end of the
    value where it was not told. `vr` may still be an alternative, as "US or SS", in implicit VR."""

    tag: int
    vr: str
    offset: int
    length: int
    items: list[list[Element]] | None = None
    """Of a sequence."""
    fragments: list[tuple[int, int]] | None = None
    """Of encapsulated pixel data: offset and length of each item's value, the offset table first."""


@dataclass(slots=True)
class _Level:
    """What a dataset needs to know while it is read."""

    explicit: bool
    little: bool
    depth: int
    creators: dict[int, str] = field(default_factory=dict)


class Walker:
    """Reads the datasets in one run of bytes."""

    def __init__(self, content: bytes | memoryview) -> None:
        self._content = content
        self._count = 0

    def dataset(self, offset: int, *, explicit: bool, little: bool = True) -> list[Element]:
        """All elements from there to the end. Raises DicomError."""
        elements, _ = self._elements(offset, len(self._content), _Level(explicit, little, 0), False)
        return elements

    def file_meta(self, offset: int) -> tuple[list[Element], int]:
        """The elements of group 2, always in explicit little endian, and where they end. Raises DicomError."""
        level = _Level(True, True, 0)
        elements: list[Element] = []
        while offset + 2 <= len(self._content) and bytes(self._content[offset : offset + 2]) == b"\2\0":
            element, offset = self._element(offset, len(self._content), level)
            if element.vr == "SQ" or element.fragments is not None:
                raise DicomError("The beginning of the file is damaged.")
            elements.append(element)
        return elements, offset

    # --- elements ------------------------------------------------------------------------------------------------

    def _elements(self, at: int, end: int, level: _Level, open_item: bool) -> tuple[list[Element], int]:
        """Those up to `end`, or up to the mark of the item's end; and where they end."""
        elements: list[Element] = []
        last = -1
        met: set[int] | None = None
        while at < end:
            if open_item and self._tag(at, end, level.little) == ITEM_END:
                return elements, at + 8
            element, at = self._element(at, end, level)
            if met is None and element.tag <= last:
                met = {other.tag for other in elements}  # Out of order, which is an error but a harmless one.
            if met is not None:
                # Who reads the first of two would see another object than who reads the last.
                if element.tag in met:
                    raise DicomError("An element of the object is there twice.")
                met.add(element.tag)
            last = element.tag
            elements.append(element)
        if open_item:
            raise DicomError("The object ends in the midst of a sequence.")
        return elements, at

    def _element(self, at: int, end: int, level: _Level) -> tuple[Element, int]:
        self._one_more()
        tag = self._tag(at, end, level.little)
        if tag >> 16 == 0xFFFE:
            raise DicomError("The object's sequences do not fit into each other.")
        vr, length, offset = self._header(at, end, tag, level)
        if length == UNDEFINED:
            return self._undefined(Element(tag, vr, offset, 0), end, level)
        if length > end - offset:
            raise DicomError("The object is cut: an element is longer than what holds it.")
        element = Element(tag, vr, offset, length)
        if vr == "SQ":
            element.items = self._items(offset, offset + length, level)
        elif vr == "UN":
            self._understand(element, level)
        elif tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF:
            name = bytes(self._content[offset : offset + min(length, 64)])
            level.creators[tag & 0xFFFF] = name.decode("latin-1").strip(" \0")
        return element, offset + length

    def _tag(self, at: int, end: int, little: bool) -> int:
        if end - at < 8:
            raise DicomError("The object is cut in the midst of an element.")
        group, number = _tag_of(self._content, at, little)
        return group << 16 | number

    def _header(self, at: int, end: int, tag: int, level: _Level) -> tuple[str, int, int]:
        """VR, length and where the value begins."""
        if level.explicit:
            vr = bytes(self._content[at + 4 : at + 6])
            if vr in _SHORT:
                return _NAMES[vr], _u16(self._content, at + 6, level.little), at + 8
            if vr in _LONG:
                if end - at < 12:
                    raise DicomError("The object is cut in the midst of an element.")
                return _NAMES[vr], _u32(self._content, at + 8, level.little), at + 12
            if vr.isalpha() and vr.isupper():
                raise DicomError("The object has a value of an unknown sort.")
        return self._implicit_vr(tag, level), _u32(self._content, at + 4, level.little), at + 8

    def _implicit_vr(self, tag: int, level: _Level) -> str:
        if not tag >> 16 & 1:
            return _public_vr(tag)
        if tag & 0xFFFF < 0x100:
            return "LO" if tag & 0xFFFF >= 0x10 else "UN"
        creator = level.creators.get(tag >> 8 & 0xFF)
        return _private_vr(tag, creator) if creator else "UN"

    def _understand(self, element: Element, level: _Level) -> None:
        """A known element that was sent as UN is little endian and, if a sequence, in implicit VR (PS3.5, 6.2.2)."""
        vr = self._implicit_vr(element.tag, level)
        if vr == "UN" or not level.little:
            return
        if vr == "SQ":
            try:
                element.items = self._items(element.offset, element.offset + element.length, level)
            except DicomError:
                return  # Then it stays what it was said to be: bytes.
        element.vr = vr

    # --- sequences -----------------------------------------------------------------------------------------------

    def _undefined(self, element: Element, end: int, level: _Level) -> tuple[Element, int]:
        at = element.offset
        if element.tag in PIXEL_TAGS and element.vr in ("OB", "OW", "OB or OW", "UN"):
            element.fragments, stop = self._fragments(at, end, level.little)
        elif element.vr in ("SQ", "UN"):
            element.items, stop = self._open_sequence(at, end, level)
            element.vr = "SQ"
        else:
            raise DicomError("An element of the object has no length.")
        element.length = stop - 8 - at
        return element, stop

    def _items(self, at: int, end: int, level: _Level) -> list[list[Element]]:
        items = []
        while at < end:
            # Some writers close a sequence of known length, too.
            if self._tag(at, end, level.little) == SEQUENCE_END and at + 8 == end:
                break
            item, at = self._item(at, end, level)
            items.append(item)
        return items

    def _open_sequence(self, at: int, end: int, level: _Level) -> tuple[list[list[Element]], int]:
        items = []
        while self._tag(at, end, level.little) != SEQUENCE_END:
            item, at = self._item(at, end, level)
            items.append(item)
        return items, at + 8

    def _item(self, at: int, end: int, level: _Level) -> tuple[list[Element], int]:
        self._one_more()
        if level.depth >= DEPTH_LIMIT:
            raise DicomError("The object's sequences are nested too deeply.", "tooLarge")
        if self._tag(at, end, level.little) != ITEM:
            raise DicomError("A sequence of the object holds something else than items.")
        length = _u32(self._content, at + 4, level.little)
        at += 8
        is_open = length == UNDEFINED
        if not is_open and length > end - at:
            raise DicomError("The object is cut: an item is longer than its sequence.")
        stop = end if is_open else at + length
        inner = _Level(self._is_explicit(at, stop, level), level.little, level.depth + 1)
        return self._elements(at, stop, inner, is_open)

    def _is_explicit(self, at: int, end: int, level: _Level) -> bool:
        """Some writers put items in implicit VR into an explicit dataset, and what was UN is so by rule."""
        vr = bytes(self._content[at + 4 : at + 6]) if end - at >= 8 else b""
        return level.explicit and (vr in _NAMES or not vr or self._tag(at, end, level.little) == ITEM_END)

    def _fragments(self, at: int, end: int, little: bool) -> tuple[list[tuple[int, int]], int]:
        fragments: list[tuple[int, int]] = []
        while (tag := self._tag(at, end, little)) != SEQUENCE_END:
            length = _u32(self._content, at + 4, little)
            if tag != ITEM or length > end - at - 8:
                raise DicomError("The object is cut: its pixel data have no end.")
            fragments.append((at + 8, length))
            self._one_more()
            at += 8 + length
        return fragments, at + 8

    def _one_more(self) -> None:
        self._count += 1
        if self._count > ELEMENTS_LIMIT:
            raise DicomError("The object has too many elements.", "tooLarge")


def _public_vr(tag: int) -> str:
    if tag & 0xFFFF == 0:
        return "UL"
    entry = DicomDictionary.get(tag)
    if entry is not None:
        return str(entry[0])
    # pydicom's own look-up tries all masks for each unknown tag, and a hostile object has a million of them.
    return _REPEATED.get((tag >> 24, tag & 0xFFFF), "UN")


@lru_cache(maxsize=8192)
def _private_vr(tag: int, creator: str) -> str:
    try:
        return str(private_dictionary_VR(tag, creator))
    except KeyError:
        return "UN"


_TAG = (struct.Struct(">HH").unpack_from, struct.Struct("<HH").unpack_from)
_U16 = (struct.Struct(">H").unpack_from, struct.Struct("<H").unpack_from)
_U32 = (struct.Struct(">L").unpack_from, struct.Struct("<L").unpack_from)


def _tag_of(content: bytes | memoryview, at: int, little: bool) -> tuple[int, int]:
    group, number = _TAG[little](content, at)
    return group, number


def _u16(content: bytes | memoryview, at: int, little: bool) -> int:
    number: int = _U16[little](content, at)[0]
    return number


def _u32(content: bytes | memoryview, at: int, little: bool) -> int:
    number: int = _U32[little](content, at)[0]
    return number
