"""Takes everything that identifies somebody out of one dataset, consistently over all that is copied together. Pure.

UIDs become keyed hashes, so that references within the copy stay whole and nobody without the key finds the originals;
dates are emptied, or all shifted by the same days.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import date, timedelta
from typing import Any

import msgspec
from pydicom._uid_dict import UID_dictionary
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from bridge.imaging.teaching.profile import Action, action_of, is_shiftable

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
                element.value = self._shifted(element)
            elif action is Action.REMOVE:
                del dataset[tag]
            elif action is Action.EMPTY:
                element.value = [] if element.VR == "SQ" else None
            elif action is Action.DUMMY:
                self._dummy(element)
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

    def _shifted(self, element: DataElement) -> Any:
        if element.VR == "TM" or element.is_empty:
            return element.value
        values = [element.value] if element.VM == 1 else list(element.value)
        return [self._earlier(str(one)) for one in values]

    def _earlier(self, text: str) -> str:
        """A date or the date in a time of a day; what is less than a day's date is emptied."""
        found = re.match(r"(\d{4})[.-]?(\d{2})[.-]?(\d{2})(.*)", text.strip())
        if found is None:
            return ""
        try:
            moved = date(int(found[1]), int(found[2]), int(found[3])) - timedelta(days=self._wish.shift_days)
        except (ValueError, OverflowError):
            return ""
        return f"{moved.year:04}{moved.month:02}{moved.day:02}{found[4]}"


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning[:64]
    return item
