"""Takes everything that identifies somebody out of one dataset, consistently over all that is copied together. Pure.

UIDs become keyed hashes, so that references within the copy stay whole and nobody without the key finds the originals;
dates are emptied, or all shifted by the same days. What is not of the sort that the standard gives it is removed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import struct
from datetime import date, timedelta
from typing import Any

import msgspec
from pydicom._uid_dict import UID_dictionary
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.values import convert_SQ

from bridge.imaging.elements import Walker
from bridge.imaging.errors import DicomError
from bridge.imaging.teaching.profile import Action, action_of, is_as_defined, is_shiftable, vrs_of

_STANDARD_ROOT = "1.2.840.10008."
_METHOD = "PS3.15 Basic Profile"
_BASIC = ("113100", "Basic Application Confidentiality Profile")
_SHIFTED = ("113107", "Retain Longitudinal Temporal Information Modified Dates Option")
_CLEANED = ("113101", "Clean Pixel Data Option")
_LONGEST_SHIFT_DAYS = 3650
_DUMMIES: dict[str, Any] = {
    "AE": "REMOVED",
    "AS": "000Y",
    "CS": "REMOVED",
    "DA": "19000101",
    "DS": "0",
    "DT": "19000101000000",
    "IS": "0",
    "LO": "Removed",
    "LT": "Removed",
    "PN": "Removed",
    "SH": "Removed",
    "ST": "Removed",
    "TM": "000000",
    "UC": "Removed",
    "UR": "urn:removed",
    "UT": "Removed",
}
_BINARY = frozenset(("OB", "OW", "OD", "OF", "OL", "OV", "UN"))
_FLOATS = frozenset(("FL", "FD"))
_KEPT_UIDS = re.compile(r"(Class|CodingScheme|Context|MappingResource|TransferSyntax)UID$")
"""Keywords of UIDs that name a sort of thing; of those that the table does not name."""
_SHAPES = {
    "AS": re.compile(r"([0-9]{1,3}[DWMY])?"),
    "DA": re.compile(r"[0-9.-]*"),
    "DS": re.compile(r"[0-9.eE +-]*"),
    "DT": re.compile(r"[0-9.: +-]*"),
    "IS": re.compile(r"[0-9 +-]*"),
    "TM": re.compile(r"[0-9.: -]*"),
    "UI": re.compile(r"[0-9. \0]*"),
}
"""What values look like that are no words; pydicom reads others too."""
_DATE_AND_TIME = re.compile(
    r"([0-9]{4})[.-]?([0-9]{2})[.-]?([0-9]{2})((?:[0-9]{2}:?){0,3}(?:\.[0-9]{1,6})?(?:[+-][0-9]{2}:?[0-9]{2})?)"
)
"""A range is none: the second of its dates would not be shifted."""


class Wish(msgspec.Struct, frozen=True):
    """How a study is copied. `key` is of this copy alone. `shift`: dates are shifted, else they are emptied.

    `blank_rows`: so many rows at the top of each picture are made black.
    """

    key: bytes
    number: int
    shift: bool = False
    blank_rows: int = 0

    @property
    def shift_days(self) -> int:
        """Back in time; the same for all of this copy."""
        drawn = hmac.new(self.key, b"days", hashlib.sha256).digest()
        return 1 + int.from_bytes(drawn[:4], "big") % _LONGEST_SHIFT_DAYS


class Scrubber:
    """For the datasets of one copy."""

    def __init__(self, wish: Wish) -> None:
        self._wish = wish

    def uid(self, uid: str) -> str:
        """The one that stands for this one in the copy; those of the standard stay."""
        uid = uid.strip(" \0")
        if not uid or (uid.startswith(_STANDARD_ROOT) and uid in UID_dictionary):
            return uid
        hashed = hmac.new(self._wish.key, b"uid" + uid.encode("utf-8", "replace"), hashlib.sha256).digest()
        return f"2.25.{int.from_bytes(hashed[:16], 'big')}"

    def scrub(self, dataset: Dataset) -> None:
        """The dataset of an object, with what says that it was de-identified."""
        self._scrub(dataset)
        wish = self._wish
        dataset.PatientName = f"Teaching^{wish.number}"
        dataset.PatientID = f"TEACHING-{wish.number}"
        dataset.PatientIdentityRemoved = "YES"
        dataset.DeidentificationMethod = _METHOD
        options = [_BASIC, *([_CLEANED] if wish.blank_rows else []), *([_SHIFTED] if wish.shift else [])]
        dataset.DeidentificationMethodCodeSequence = [_code(*option) for option in options]
        dataset.LongitudinalTemporalInformationModified = "MODIFIED" if wish.shift else "REMOVED"

    def _scrub(self, dataset: Dataset) -> None:
        for tag in list(dataset.keys()):
            element = dataset[tag]
            action = action_of(element.tag, element.VR)
            if action is not Action.KEEP and self._wish.shift and is_shiftable(element.tag):
                self._shift(dataset, element)
            elif action is Action.REMOVE:
                del dataset[tag]
            elif action is Action.EMPTY:
                element.value = [] if element.VR == "SQ" else None
            elif action is Action.DUMMY:
                self._dummy(element)
            elif not _is_understood(element, dataset):
                del dataset[tag]
            elif element.VR == "SQ":
                for item in element.value:
                    self._scrub(item)
            elif element.VR == "UI" and (action is Action.UID or not _KEPT_UIDS.search(element.keyword)):
                self._replace(element)

    def _dummy(self, element: DataElement) -> None:
        if element.VR == "SQ":
            for item in element.value:
                self._dummy_all(item)
        elif element.VR in _BINARY:
            element.value = b"\0\0"
        elif element.VR == "UI":
            self._replace(element)
        elif element.VR in _DUMMIES:
            element.value = _DUMMIES[element.VR]
        else:
            element.value = 0.0 if element.VR in _FLOATS else 0

    def _dummy_all(self, dataset: Dataset) -> None:
        """An item of a sequence that is replaced by a dummy keeps its shape and nothing else."""
        for tag in list(dataset.keys()):
            element = dataset[tag]
            if element.tag.is_private or action_of(element.tag, element.VR) is Action.REMOVE:
                del dataset[tag]
            elif not element.is_empty:
                self._dummy(element)

    def _replace(self, element: DataElement) -> None:
        value = element.value
        if isinstance(value, str):
            element.value = self.uid(value)
        elif value:
            element.value = [self.uid(str(one)) for one in value]

    def _shift(self, dataset: Dataset, element: DataElement) -> None:
        if element.VR not in ("DA", "DT", "TM"):
            del dataset[element.tag]
        elif vrs_of(element.tag) != ["TM"]:
            element.value = [self._earlier(value) for value in _texts(element)]
        elif not _is_plain(element):
            element.value = None

    def _earlier(self, text: str) -> str:
        """A date or the date in a time of a day; what is less than a day's date, or more, is emptied."""
        found = _DATE_AND_TIME.fullmatch(text.strip())
        if found is None:
            return ""
        try:
            moved = date(int(found[1]), int(found[2]), int(found[3])) - timedelta(days=self._wish.shift_days)
        except (ValueError, OverflowError):
            return ""
        return f"{moved.year:04}{moved.month:02}{moved.day:02}{found[4]}"


def _is_understood(element: DataElement, dataset: Dataset) -> bool:
    """Whether it holds what the table had in mind; what came as UN is made what the standard says (PS3.5 6.2.2)."""
    if element.VR == "UN":
        _define(element, dataset)
    return is_as_defined(element.tag, element.VR) and _is_plain(element)


def _define(element: DataElement, dataset: Dataset) -> None:
    """Where pydicom left bytes as they were, because they are too many for a VR with a short length."""
    vr, content = vrs_of(element.tag)[-1], element.value
    if not isinstance(content, bytes):
        return
    if vr in _BINARY:
        element.VR = vr
    elif vr == "SQ":
        head = struct.pack("<HHL", element.tag.group, element.tag.element, len(content))
        try:
            # What is not said in implicit VR throughout would be read as something else, and words be missed.
            Walker(head + content).dataset(0, explicit=False)
        except DicomError:
            return
        element.VR = vr
        element.value = convert_SQ(content, True, True, dataset.original_character_set)  # type: ignore[arg-type]


def _is_plain(element: DataElement) -> bool:
    """Whether what is no text holds no words."""
    shape = _SHAPES.get(element.VR)
    return shape is None or all(shape.fullmatch(text.strip()) for text in _texts(element))


def _texts(element: DataElement) -> list[str]:
    if element.value is None:
        return []
    return [str(each) for each in (element.value if element.VM > 1 else [element.value])]


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning[:64]
    return item
