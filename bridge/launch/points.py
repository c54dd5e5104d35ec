"""The points of an event as organisers hand them in: a table in any usual spelling, read and compared. Pure.

RFC 4180 as spreadsheets write it: other separators, other encodings, headers in three languages.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import unicodedata
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from bridge import policy
from bridge.errors import LimitExceeded, ProtocolError

SHEET_LIMIT_BYTES = 1 << 20
POINTS_LIMIT = 1000
PROVINCE_LIMIT, NAME_LIMIT, CONTACT_LIMIT = 80, 120, 200
SHOWN_LIMIT = 120
COLUMNS_LIMIT = 100
"""Looked at for their names; spreadsheets of hospitals have more than four."""
CHARSETS = frozenset({"utf-8", "utf-16", "windows-1251", "windows-1258"})
_COMPUTED = r"(?=[=+\-@\t\r\uff1d\uff0b\uff0d\uff20])"
"""What makes a spreadsheet compute a cell (OWASP, CSV injection), where it begins. The last four are wide ones."""
_CELL = r"(^|[;,\t]\"*)"
"""Where a cell begins, also for a spreadsheet that takes another separator than the file has."""
_ARMED, _DISARMED = re.compile(_CELL + _COMPUTED), re.compile(f"{_CELL}'{_COMPUTED}")

Field = Literal["province", "organisation", "name", "contact"]
ProblemCode = Literal[
    "encoding",
    "noHeader",
    "syntax",
    "empty",
    "tooLong",
    "characters",
    "twice",
    "tooManyPoints",
    "nothingRemoved",
]
_SPELLINGS: Mapping[Field, str] = {
    "province": "province|region|tỉnh|tỉnh thành|tỉnh/thành phố|tỉnh/tp|область|регион|провинция",
    "organisation": "organisation|organization|hospital|đơn vị|bệnh viện|cơ sở|cơ sở y tế|tổ chức"
    "|организация|учреждение|больница",
    "name": "point|place|name|room|điểm cầu|điểm|tên điểm|tên điểm cầu|phòng|точка|пункт|кабинет|название",
    "contact": "contact|contact person|phone|liên hệ|người liên hệ|đầu mối|điện thoại"
    "|контакт|контактное лицо|телефон",
}
HEADERS: Mapping[str, Field] = {
    spelled: field for field, spellings in _SPELLINGS.items() for spelled in spellings.split("|")
}
_LIMITS: Mapping[Field, int] = {
    "province": PROVINCE_LIMIT,
    "organisation": NAME_LIMIT,
    "name": NAME_LIMIT,
    "contact": CONTACT_LIMIT,
}
_TEXTS: Mapping[ProblemCode, str] = {
    "encoding": "The file's letters cannot be read: save it as CSV UTF-8, or say which encoding it has.",
    "noHeader": "The first line must name the columns: province, organisation, point, contact.",
    "syntax": "This line is no proper CSV: look at its quotation marks.",
    "empty": "This line names neither an organisation nor a point.",
    "tooLong": "A field of this line is too long.",
    "characters": "A name in this line has no letter.",
    "twice": "This point stands in the file already.",
    "tooManyPoints": f"An event has at most {POINTS_LIMIT} points; this line and what follows are left out.",
    "nothingRemoved": "Because lines have problems, no point was taken away.",
}


@dataclass(frozen=True, slots=True)
class PointFields:
    """What an organiser says of a point. Organisation or name may be empty, not both."""

    province: str
    organisation: str
    name: str
    contact: str

    @property
    def key(self) -> tuple[str, str, str]:
        """The same for the same point, whatever its case."""
        return self.province.casefold(), self.organisation.casefold(), self.name.casefold()

    @property
    def shown(self) -> str:
        """What others see as its place, if no other point is seen so (`shown_among`)."""
        known = self.organisation.casefold() in self.name.casefold()
        shown = (
            self.name if known else f"{self.organisation}, {self.name}" if self.name else self.organisation
        )
        return shown[:SHOWN_LIMIT].rstrip()


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a line of a file; 0 is the file."""

    line: int
    code: ProblemCode

    @property
    def text(self) -> str:
        return _TEXTS[self.code]


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a file says. Rows have the number of their line."""

    rows: tuple[tuple[int, PointFields], ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a sheet changes; ids are those of known points."""

    added: tuple[tuple[int, PointFields], ...]
    changed: tuple[tuple[int, str, PointFields], ...]
    unchanged: tuple[tuple[int, PointFields], ...]
    gone: tuple[str, ...]
    """Known, and not in the sheet."""


def fields_of(province: str, organisation: str, name: str, contact: str) -> PointFields:
    """Cleaned. Raises ProtocolError, LimitExceeded (`tooLarge`)."""
    fields = PointFields(*(_cleaned(text) for text in (province, organisation, name, contact)))
    problem = _problem_of(fields)
    if problem == "tooLong":
        raise LimitExceeded("A field of the point is too long.", "tooLarge")
    if problem is not None:
        raise ProtocolError("A point needs an organisation or a name, with letters.")
    return fields


def read_sheet(data: bytes, charset: str | None = None) -> Sheet:
    """Reads a file of points. What cannot be read is told as problems. Raises ProtocolError for an unknown charset."""
    text = _decode(data, charset)
    if text is None:
        return Sheet((), (Problem(0, "encoding"),))
    body, skipped = _without_hint(text)
    lines = csv.reader(io.StringIO(body, newline=""), delimiter=_delimiter(body), strict=True)
    rows: list[tuple[int, PointFields]] = []
    problems: list[Problem] = []
    columns: dict[int, Field] | None = None
    seen: set[tuple[str, str, str]] = set()
    number = skipped + 1
    try:
        for cells in lines:
            number, here = skipped + lines.line_num + 1, number
            if not any(cell.strip() for cell in cells):
                continue
            if columns is None:
                columns = _columns(cells)
                if not {"organisation", "name"} & set(columns.values()):
                    return Sheet((), (Problem(here, "noHeader"),))
                continue
            if len(rows) + len(problems) >= POINTS_LIMIT:
                problems.append(Problem(here, "tooManyPoints"))
                break
            said = {columns[place]: cell for place, cell in enumerate(cells) if place in columns}
            fields = PointFields(*(_cleaned(said.get(field, "")) for field in _LIMITS))
            problem = _problem_of(fields) or ("twice" if fields.key in seen else None)
            if problem is not None:
                problems.append(Problem(here, problem))
                continue
            seen.add(fields.key)
            rows.append((here, fields))
    except csv.Error:
        problems.append(Problem(number, "syntax"))
    if columns is None and not problems:
        problems.append(Problem(1, "noHeader"))
    return Sheet(tuple(rows), tuple(problems))


def shown_among(fields: PointFields, taken: Container[str]) -> str:
    """As others see it where these are seen already: communes of many provinces have the same name."""
    shown = fields.shown
    if shown in taken and fields.province:
        shown = _with(fields.shown, f", {fields.province}")
    number = 2
    while shown in taken:
        shown, number = _with(fields.shown, f" ({number})"), number + 1
    return shown


def _with(shown: str, end: str) -> str:
    return shown[: SHOWN_LIMIT - len(end)].rstrip() + end


def disarmed(text: str) -> str:
    """With an apostrophe wherever a spreadsheet would begin to compute."""
    return _ARMED.sub(r"\1'", text)


def plan(known: Iterable[tuple[str, PointFields]], sheet: Sheet) -> Plan:
    """What is new, different, the same, and missing; a point is the same by its key."""
    by_key = {fields.key: (id, fields) for id, fields in known}
    added, changed, unchanged = [], [], []
    for line, fields in sheet.rows:
        found = by_key.pop(fields.key, None)
        if found is None:
            added.append((line, fields))
        elif found[1] != fields:
            changed.append((line, found[0], fields))
        else:
            unchanged.append((line, fields))
    gone = tuple(id for id, _ in by_key.values())
    return Plan(tuple(added), tuple(changed), tuple(unchanged), gone)


def _decode(data: bytes, charset: str | None) -> str | None:
    if charset is not None and charset.lower() not in CHARSETS:
        raise ProtocolError(f"The charset must be one of {', '.join(sorted(CHARSETS))}.")
    marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    chosen = "utf-16" if marked else (charset or "utf-8").lower()
    try:
        text = data.decode("utf-8-sig" if chosen == "utf-8" else chosen)
    except UnicodeError:
        return None
    # What has such characters is no text, or not in this encoding.
    return None if "\0" in text else text


def _without_hint(text: str) -> tuple[str, int]:
    """Without the line by which Excel is told the separator, and how many lines that was."""
    first, _, rest = text.partition("\n")
    return (rest, 1) if first.strip().lower() in ("sep=;", "sep=,", "sep=") else (text, 0)


def _delimiter(text: str) -> str:
    first = next((line for line in io.StringIO(text) if line.strip()), "")
    return max(";,\t", key=first.count)


def _columns(cells: list[str]) -> dict[int, Field]:
    columns: dict[int, Field] = {}
    for place, cell in enumerate(cells[:COLUMNS_LIMIT]):
        field = HEADERS.get(_cleaned(cell).casefold().strip(" *:"))
        if field is not None and field not in columns.values():
            columns[place] = field
    return columns


def _cleaned(text: str) -> str:
    """One line of what is seen; without what `disarmed` put in."""
    return _DISARMED.sub(r"\1", policy.clean_mark(unicodedata.normalize("NFC", text)))


def _problem_of(fields: PointFields) -> ProblemCode | None:
    if not fields.organisation and not fields.name:
        return "empty"
    if any(len(getattr(fields, field)) > limit for field, limit in _LIMITS.items()):
        return "tooLong"
    named = (name for name in (fields.organisation, fields.name, fields.province) if name)
    if not all(any(unicodedata.category(char)[0] in "LNS" for char in name) for name in named):
        return "characters"
    return None
