"""Queries of QIDO-RS (PS3.18 8.3.4), and whether a dataset in the DICOM JSON model matches one. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from pydicom.datadict import tag_for_keyword

from bridge.errors import ProtocolError
from bridge.imaging.matching import Wanted
from bridge.imaging.model import text_of

RESULTS_LIMIT = 5_000
"""Of one query, if it says no less."""
FILTERS_LIMIT = 32
VALUE_LIMIT = 4_000
"""Characters, so that a list of sixty UIDs fits."""
_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_PARTS_LIMIT = 4
_NUMBER_LIMIT = 2**31
_UNFILTERED = frozenset({"limit", "offset", "includefield", "fuzzymatching", "accept", "emptyvaluematching"})

Json = dict[str, Any]
Path = tuple[str, ...]
"""A tag, or tags of sequences and one within their items."""
Filters = dict[Path, Wanted]


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for. `everything`: all attributes that are known are to be told."""

    filters: Filters = field(default_factory=dict)
    include: frozenset[str] = frozenset()
    everything: bool = False
    limit: int = RESULTS_LIMIT
    offset: int = 0
    fuzzy: bool = False

    def without(self, tags: Iterable[str]) -> Filters:
        """The filters that are not these."""
        left_out = set(tags)
        return {path: wanted for path, wanted in self.filters.items() if path[0] not in left_out}


def query_of(pairs: Iterable[tuple[str, str]]) -> Query:
    """From the names and values of a URL's query. Raises ProtocolError."""
    filters: Filters = {}
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
            names = value.split(",")
            everything = everything or "all" in names
            include.update(_path(each)[0] for each in names if each and each != "all")
        elif name not in _UNFILTERED:
            if len(filters) >= FILTERS_LIMIT or len(value) > VALUE_LIMIT:
                raise ProtocolError("The query is too long.")
            path = _path(name)
            filters[path] = Wanted(path[-1], value)
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


def matches(dataset: Json, filters: Filters) -> bool:
    """Whether a dataset has all that is asked for."""
    return all(
        wanted.is_anything or wanted.fits(map(text_of, _found(dataset, path)))
        for path, wanted in filters.items()
    )


def _found(dataset: Json, path: Path) -> list[Any]:
    values = (dataset.get(path[0]) or {}).get("Value") or []
    if len(path) == 1:
        return list(values)
    return [value for item in values if isinstance(item, dict) for value in _found(item, path[1:])]
