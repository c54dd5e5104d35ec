"""Whether what is known of a study, series or object matches what a query asks, by the value representation (PS3.4
C.2.2.2): the same for a C-FIND and for a search over the web. Pure.

Letters are compared whether composed or not, names whatever their case. A wanted value is made ready once and compared
with many, in time that is at most their lengths' product.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from itertools import zip_longest

from pydicom.datadict import dictionary_VR

_RANGES = {"DA": 8, "TM": 12, "DT": 20}
"""Digits of a moment: HHMMSS and six of a fraction, after YYYYMMDD."""
_NUMBERS = frozenset(("IS", "DS", "US", "SS", "UL", "SL", "FL", "FD", "SV", "UV"))
_LISTED = frozenset(("UI", "AT", "CS")) | _NUMBERS
"""Whose values hold no comma, so that clients of the web may put one between them."""
_LONG_TEXTS = frozenset(("LT", "ST", "UT", "UR"))
"""Whose backslashes are letters."""
_LAST = "~"
"""Comes after every moment."""


def vr_of(tag: str) -> str:
    """Of a tag as `0020000D`; of several that it may have the first. `UN` for what the standard does not know."""
    try:
        return str(dictionary_VR(int(tag, 16))).partition(" ")[0]
    except KeyError:
        return "UN"


def parted(vr: str, text: str) -> list[str]:
    """The values of an attribute that are joined to one text."""
    return [text] if vr in _LONG_TEXTS else text.split("\\")


class Wanted:
    """What is asked of one attribute."""

    def __init__(self, tag: str, asked: str) -> None:
        self._vr = vr = vr_of(tag)
        self.is_anything = not asked.strip("*")
        """Then even an attribute without a value matches."""
        self.is_nothing = asked == '""'
        self._bounds = _bounds(vr, asked) if vr in _RANGES else ("", "")
        self._exact: frozenset[str] = frozenset()
        self._patterns: list[str] = []
        if vr in _RANGES:
            return
        listed = re.split(r"[,\\]", asked) if vr in _LISTED else parted(vr, asked)
        if vr in _LISTED and vr != "CS":
            self._exact = frozenset(_plain(vr, each) for each in listed)
        else:
            self._patterns = [composed(each) for each in listed]

    def fits(self, values: Iterable[str]) -> bool:
        """Whether an attribute with these values matches."""
        if self.is_anything:
            return True
        said = [value for value in values if value.strip(" \0")]
        if self.is_nothing:
            return not said
        return any(map(self._fits, said))

    def _fits(self, value: str) -> bool:
        if self._vr in _RANGES:
            low, high = self._bounds
            return low <= _moment(self._vr, value, "0") <= high
        if self._exact:
            return _plain(self._vr, value) in self._exact
        if self._vr == "PN":
            return any(matches_name(pattern, value) for pattern in self._patterns)
        text = composed(value)
        return any(fits(pattern, text) for pattern in self._patterns)


def _plain(vr: str, text: str) -> str:
    """UIDs and numbers, however they are written."""
    text = text.strip(" \0")
    if vr not in _NUMBERS:
        return text
    try:
        number = float(text)
    except ValueError:
        return text
    return repr(number)


# --- moments -------------------------------------------------------------------------------------------------------


def _bounds(vr: str, asked: str) -> tuple[str, str]:
    low, dash, high = asked.replace(" ", "").partition("-") if vr != "DT" else _halves(asked.strip())
    if not dash:
        high = low
    return (
        _moment(vr, low, "0") if low else "",
        _moment(vr, high, "9") if high else _LAST,
    )


def _halves(asked: str) -> tuple[str, str, str]:
    """A dash of a date and time can be that of its zone too."""
    if asked.startswith("-"):
        return "", "-", asked[1:]
    parts = re.split(r"(?<![+-]\d{4})-(?!\d{4}$|\d{4}-)", asked, maxsplit=1)
    if len(parts) == 2:
        return parts[0], "-", parts[1]
    return asked, "", ""


def _moment(vr: str, text: str, fill: str) -> str:
    """Digits that can be compared; what is not said is filled up, to the beginning or the end of what is meant. Old
    dates have dots between their parts, old times colons."""
    text = text.strip(" \0")
    if vr == "DT":
        text = re.sub(r"[+-]\d{4}$", "", text)
    return re.sub(r"[^0-9]", "", text)[: _RANGES[vr]].ljust(_RANGES[vr], fill)


# --- texts ---------------------------------------------------------------------------------------------------------


def matches_name(asked: str, value: str) -> bool:
    """A pattern with several groups is of each, one without of any (alphabetic, ideographic, phonetic)."""
    stored = [_name(group) for group in value.split("=")]
    wanted = [_name(group) for group in asked.split("=")]
    if len(wanted) == 1:
        return any(fits(wanted[0], group) for group in stored)
    return all(
        not group or fits(group, known)
        for group, known in zip_longest(wanted, stored[: len(wanted)], fillvalue="")
    )


def _name(group: str) -> str:
    parts = [" ".join(part.split()) for part in composed(group).casefold().split("^")]
    return "^".join(parts).rstrip("^")


def composed(text: str) -> str:
    """As it is compared: letters with their marks as one."""
    return unicodedata.normalize("NFC", text.strip(" \0"))


def fits(pattern: str, text: str) -> bool:
    """`*` stands for any letters, `?` for one. Takes at most their lengths' product, whatever the pattern."""
    at = place = 0
    star, resume = -1, 0
    while at < len(text):
        if place < len(pattern) and pattern[place] == "*":
            star, resume = place, at
            place += 1
        elif place < len(pattern) and pattern[place] in ("?", text[at]):
            at += 1
            place += 1
        elif star >= 0:
            resume += 1
            at, place = resume, star + 1
        else:
            return False
    return not pattern[place:].strip("*")
