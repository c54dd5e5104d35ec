"""Queries of QIDO-RS (PS3.18 8.3.4) and how they match the DICOM JSON model; texts as DIMSE matches them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword

from bridge.errors import ProtocolError
from bridge.imaging.matching import composed, fits, matches_name

RESULTS_LIMIT = 5_000
"""Of one query, if it says no less."""
FILTERS_LIMIT = 32
VALUE_LIMIT = 4_000
"""Characters, so that a list of sixty UIDs fits."""
_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_PARTS_LIMIT = 4
_NUMBER_LIMIT = 2**31
_UNFILTERED = frozenset({"limit", "offset", "includefield", "fuzzymatching", "accept", "emptyvaluematching"})
_RANGES = frozenset({"DA", "TM", "DT"})
_NO_WILDCARDS = frozenset({"UI", "IS", "DS", "US", "SS", "UL", "SL", "FL", "FD", "SV", "UV", "AT"})

Json = dict[str, Any]
Path = tuple[str, ...]
"""A tag, or tags of sequences and one within their items."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for. `everything`: all attributes that are known are to be told."""

    filters: dict[Path, str] = field(default_factory=dict)
    include: frozenset[str] = frozenset()
    everything: bool = False
    limit: int = RESULTS_LIMIT
    offset: int = 0
    fuzzy: bool = False

    def without(self, tags: Iterable[str]) -> dict[Path, str]:
        """The filters that are not these."""
        left_out = set(tags)
        return {path: wanted for path, wanted in self.filters.items() if path[0] not in left_out}


def query_of(pairs: Iterable[tuple[str, str]]) -> Query:
    """From the names and values of a URL's query. Raises ProtocolError."""
    filters: dict[Path, str] = {}
    include: set[str] = set()
    everything = fuzzy = False
    limit, offset = RESULTS_LIMIT, 0
    for name, value in pairs:
        if name == "limit":
            limit = min(_number(name, value), RESULTS_LIMIT)
        elif name == "offset":
            offset = _number(name, value)
        elif name == "fuzzymatching":
            fuzzy = value == "true"
        elif name == "includefield":
            everything = everything or value == "all"
            include.update(_path(each)[0] for each in value.split(",") if each and each != "all")
        elif name not in _UNFILTERED:
            if len(filters) >= FILTERS_LIMIT or len(value) > VALUE_LIMIT:
                raise ProtocolError("The query is too long.")
            filters[_path(name)] = value
    return Query(filters, frozenset(include), everything, limit, offset, fuzzy)


def _number(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 11 and int(value) < _NUMBER_LIMIT):
        raise ProtocolError(f"The query's {name} is no whole number.")
    return int(value)


def _path(name: str) -> Path:
    parts = name.split(".")
    if len(parts) > _PARTS_LIMIT:
        raise ProtocolError("The query asks too deep.")
    return tuple(_tag(part) for part in parts)


@lru_cache(4096)
def _tag(name: str) -> str:
    if _TAG.fullmatch(name):
        return name.upper()
    tag = tag_for_keyword(name) if len(name) <= 64 and name.isascii() else None
    if tag is None:
        raise ProtocolError("The query names an attribute that is not in the standard.")
    return f"{tag:08X}"


# --- matching ------------------------------------------------------------------------------------------------------


def matches(dataset: Json, filters: dict[Path, str]) -> bool:
    """Whether a dataset has all that is asked for."""
    return all(_matches(dataset, path, wanted) for path, wanted in filters.items())


def _matches(dataset: Json, path: Path, wanted: str) -> bool:
    if wanted in ("", "*"):
        return True
    vr, values = _found(dataset, path)
    if wanted == '""':
        return not values
    match = _matcher(vr or _vr(path[-1]), wanted)
    return any(match(_text(value)) for value in values)


def _found(dataset: Json, path: Path) -> tuple[str, list[Any]]:
    element = dataset.get(path[0]) or {}
    values = element.get("Value") or []
    if len(path) == 1:
        return element.get("vr", ""), [value for value in values if value is not None]
    found: list[Any] = []
    vr = ""
    for item in values:
        if isinstance(item, dict):
            inner, more = _found(item, path[1:])
            vr = vr or inner
            found += more
    return vr, found


def _text(value: Any) -> str:
    """A name's groups are joined as in a dataset."""
    if isinstance(value, dict):
        return "=".join(str(value.get(group, "")) for group in ("Alphabetic", "Ideographic", "Phonetic"))
    return str(value)


@lru_cache(1024)
def _vr(tag: str) -> str:
    try:
        return str(dictionary_VR(int(tag, 16)))
    except KeyError:
        return "UN"


class _Matcher:
    """One wanted value, made ready to be compared with many."""

    def __init__(self, vr: str, wanted: str) -> None:
        self._vr = vr
        self._low = self._high = ""
        self._patterns: list[str] = []
        self._wanted = frozenset[str]()
        if vr in _RANGES:
            self._low, self._high = _bounds(vr, wanted)
        elif vr in _NO_WILDCARDS:
            self._wanted = frozenset(each.strip() for each in re.split(r"[,\\]", wanted))
        else:
            # Codes hold no commas, and clients part modalities by them.
            parted = re.split(r"[,\\]", wanted) if vr == "CS" else wanted.split("\\")
            self._patterns = [composed(each) for each in parted]

    def __call__(self, text: str) -> bool:
        if self._vr in _RANGES:
            return self._low <= _moment(self._vr, text, "0") <= self._high
        if self._wanted:
            return text.strip() in self._wanted
        if self._vr == "PN":
            return any(matches_name(pattern, text) for pattern in self._patterns)
        return any(fits(pattern, composed(text)) for pattern in self._patterns)


@lru_cache(1024)
def _matcher(vr: str, wanted: str) -> _Matcher:
    return _Matcher(vr, wanted)


def _bounds(vr: str, wanted: str) -> tuple[str, str]:
    low, dash, high = wanted.partition("-") if vr != "DT" else _split_moments(wanted)
    if not dash:
        high = low
    return (
        _moment(vr, low, "0") if low.strip() else "",
        _moment(vr, high, "9") if high.strip() else "~",
    )


def _split_moments(wanted: str) -> tuple[str, str, str]:
    """A dash of a date and time can be that of its zone too."""
    if wanted.startswith("-"):
        return "", "-", wanted[1:]
    parts = re.split(r"(?<![+-]\d{4})-(?!\d{4}$|\d{4}-)", wanted, maxsplit=1)
    if len(parts) == 2:
        return parts[0], "-", parts[1]
    return wanted, "", ""


def _moment(vr: str, text: str, fill: str) -> str:
    """Digits that can be compared; what is not said is filled up, to the beginning or the end of what is meant."""
    text = text.strip()
    if vr == "DT":
        text = re.sub(r"[+-]\d{4}$", "", text)
    width = {"DA": 8, "TM": 12, "DT": 20}[vr]
    return re.sub(r"\D", "", text)[:width].ljust(width, fill)
