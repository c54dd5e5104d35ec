"""Tables as files for spreadsheets: CSV (RFC 4180) with its formulas disarmed, and XLSX made in memory. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from xlsxwriter import Workbook

from bridge.errors import ProtocolError
from bridge.launch.points import disarmed

Language = Literal["vi", "ru", "en"]
Cell = str | int | float | None

DELIMITERS: dict[Language, str] = {"vi": ";", "ru": ";", "en": ","}
"""What Excel takes for a separator where people write numbers with a comma."""
CSV_TYPE = "text/csv; charset=utf-8"
XLSX_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_SHEET_NAME_LIMIT = 31
_WIDTH_LIMIT = 60


@dataclass(frozen=True, slots=True)
class Table:
    """One sheet: the first row is its head."""

    name: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]


def language_named(text: str) -> Language:
    """Raises ProtocolError."""
    languages: dict[str, Language] = {"vi": "vi", "ru": "ru", "en": "en"}
    if text not in languages:
        raise ProtocolError("The language must be vi, ru or en.")
    return languages[text]


def csv_of(table: Table, language: Language) -> bytes:
    """UTF-8 with byte order mark, by which Excel knows it."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=DELIMITERS[language], lineterminator="\r\n")
    for row in (table.head, *table.rows):
        writer.writerow([_csv_cell(cell, language) for cell in row])
    return out.getvalue().encode("utf-8-sig")


def xlsx_of(tables: Sequence[Table]) -> bytes:
    """One workbook. Text is written as text, so that nothing in it is computed; no file is made on the way."""
    out = io.BytesIO()
    with Workbook(out, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}) as book:
        bold = book.add_format({"bold": True})
        for table in tables:
            sheet = book.add_worksheet(table.name[:_SHEET_NAME_LIMIT])
            sheet.freeze_panes(1, 0)
            for column, head in enumerate(table.head):
                sheet.write_string(0, column, head, bold)
                cells = [row[column] for row in table.rows]
                widest = max((len(str(cell)) for cell in (head, *cells) if cell is not None), default=0)
                sheet.set_column(column, column, min(widest + 2, _WIDTH_LIMIT))
                for number, cell in enumerate(cells, 1):
                    if isinstance(cell, str):
                        sheet.write_string(number, column, cell)
                    elif cell is not None:
                        sheet.write_number(number, column, cell)
    return out.getvalue()


def _csv_cell(cell: Cell, language: Language) -> str:
    if cell is None:
        return ""
    if isinstance(cell, str):
        return disarmed(cell)
    return str(cell) if language == "en" else str(cell).replace(".", ",")
