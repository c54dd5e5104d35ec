"""Sheets of points as hospitals send them: encodings, separators, headers, and what is wrong with a line."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import ProtocolError
from bridge.launch.points import (
    HEADERS,
    POINTS_LIMIT,
    SHOWN_LIMIT,
    PointFields,
    Sheet,
    disarmed,
    fields_of,
    plan,
    read_sheet,
    shown_among,
)

VI = "Tỉnh{0}Đơn vị{0}Điểm cầu{0}Liên hệ\nSơn La{0}BVĐK Mộc Châu{0}Phòng siêu âm{0}Bs. Lan\n"
RU = "Регион{0}Организация{0}Точка{0}Контакт\nАлтай{0}Районная больница{0}Кабинет УЗИ{0}Анна\n"


def codes(sheet: Sheet) -> list[tuple[int, str]]:
    return [(problem.line, problem.code) for problem in sheet.problems]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_sheet_is_read_in_any_usual_spelling(separator: str, encoding: str, end: str) -> None:
    sheet = read_sheet(VI.format(separator).replace("\n", end).encode(encoding))
    assert sheet == Sheet(((2, PointFields("Sơn La", "BVĐK Mộc Châu", "Phòng siêu âm", "Bs. Lan")),), ())


def test_old_encodings_are_read_where_they_are_said() -> None:
    sheet = read_sheet(RU.format(";").encode("cp1251"), "windows-1251")
    assert sheet.rows[0][1] == PointFields("Алтай", "Районная больница", "Кабинет УЗИ", "Анна")
    # Windows-1258 writes tones as characters of their own.
    row = "point\nSơn La Pho\u0300ng mô\u0309\n"
    assert read_sheet(row.encode("cp1258"), "windows-1258").rows[0][1].name == "Sơn La Phòng mổ"


def test_letters_that_cannot_be_read_are_one_problem_of_the_file() -> None:
    assert codes(read_sheet(RU.format(";").encode("cp1251"))) == [(0, "encoding")]
    assert codes(read_sheet("point\nA\n".encode("utf-16-le"))) == [(0, "encoding")]
    with pytest.raises(ProtocolError):
        read_sheet(b"point\nA\n", "shift_jis")


def test_problems_name_their_line_and_other_lines_are_taken() -> None:
    text = (
        "sep=;\n"
        "Province;Organisation;Point;Colour\n"
        "\n"
        'Sơn La;A;"two\nlines";red\n'
        ";;;blue\n"
        "Sơn La;a;TWO LINES\n"
        f"Sơn La;{'x' * 121};\n"
        "Sơn La;---;\n"
        "Sơn La;B;\n"
    )
    sheet = read_sheet(text.encode())
    assert [(line, fields.organisation, fields.name) for line, fields in sheet.rows] == [
        (4, "A", "two lines"),
        (10, "B", ""),
    ]
    assert codes(sheet) == [(6, "empty"), (7, "twice"), (8, "tooLong"), (9, "characters")]
    assert all(problem.text.endswith(".") for problem in sheet.problems)


def test_an_open_quotation_mark_is_a_problem_of_its_line() -> None:
    assert codes(read_sheet(b'point\nA\n"B"x\nC\n')) == [(3, "syntax")]


@pytest.mark.parametrize("text", ["", "\n\n", "colour,taste\nred,sweet\n", "province,contact\nSon La,x\n"])
def test_a_sheet_without_names_of_columns_is_not_guessed_at(text: str) -> None:
    assert [code for _, code in codes(read_sheet(text.encode()))] == ["noHeader"]


def test_more_points_than_an_event_has_are_left_out() -> None:
    rows = "\n".join(f"P{number}" for number in range(POINTS_LIMIT + 5))
    sheet = read_sheet(f"point\n{rows}\n".encode())
    assert len(sheet.rows) == POINTS_LIMIT
    assert codes(sheet) == [(POINTS_LIMIT + 2, "tooManyPoints")]


@pytest.mark.parametrize(
    "data",
    [
        b"point" + b";" * 2**20,
        b"point\n" + b"\n" * 2**20,
        b'point\n"' + b"a\n" * 2**19,
        b"\xff\xfe" + b"a" * 2**20,
    ],
)
def test_a_hostile_file_takes_no_time(data: bytes) -> None:
    begun_s = time.process_time()
    assert read_sheet(data[: 2**20]).rows == ()
    assert time.process_time() - begun_s < 3


def test_what_nobody_sees_is_no_part_of_a_name() -> None:
    sheet = read_sheet("point\n\u202eA\u200b B\n".encode())
    assert sheet.rows[0][1].name == "A B"


def test_the_same_point_is_known_by_any_case_and_what_is_missing_is_told() -> None:
    known = [
        ("1", PointFields("Sơn La", "A", "X", "old")),
        ("2", PointFields("Sơn La", "B", "", "")),
        ("3", PointFields("Sơn La", "C", "", "")),
    ]
    sheet = read_sheet(
        "province,organisation,point,contact\nSƠN LA,a,x,new\nSơn La,B,,\nSơn La,D,,\n".encode()
    )
    done = plan(known, sheet)
    assert [(line, id, fields.contact) for line, id, fields in done.changed] == [(2, "1", "new")]
    assert [line for line, _ in done.unchanged] == [3]
    assert [fields.organisation for _, fields in done.added] == ["D"]
    assert done.gone == ("3",)


@pytest.mark.parametrize(
    ("organisation", "name", "shown"),
    [
        ("BVĐK Sơn La", "Hội trường", "BVĐK Sơn La, Hội trường"),
        ("BVĐK Sơn La", "", "BVĐK Sơn La"),
        ("", "Hội trường", "Hội trường"),
        ("BVĐK", "Hội trường BVĐK", "Hội trường BVĐK"),
    ],
)
def test_a_point_is_shown_by_organisation_and_name(organisation: str, name: str, shown: str) -> None:
    assert fields_of("", organisation, name, "").shown == shown


def test_names_that_are_cut_to_what_is_shown_stay_apart() -> None:
    taken: set[str] = set()
    for number in range(12):
        shown = shown_among(fields_of("Sơn La", "B" * 120, f"Phòng {number}", ""), taken)
        assert shown not in taken
        assert len(shown) <= SHOWN_LIMIT
        taken.add(shown)


def test_headers_are_known_in_every_language() -> None:
    for word in (
        "tỉnh",
        "область",
        "province",
        "đơn vị",
        "организация",
        "điểm cầu",
        "точка",
        "liên hệ",
        "контакт",
    ):
        assert word in HEADERS


@given(st.text(alphabet='a;,\t"=+-@ \uff1d', max_size=20))
def test_what_was_disarmed_is_read_as_it_was(text: str) -> None:
    contact = fields_of("", "", "A", text).contact
    assert fields_of("", "", "A", disarmed(contact)).contact == contact


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_told_as_problems(data: bytes) -> None:
    sheet = read_sheet(b"point,province\n" + data)
    assert len(sheet.rows) + len(sheet.problems) <= 405


@given(st.text(max_size=200))
def test_what_was_read_is_read_the_same_again(text: str) -> None:
    for _, fields in read_sheet(f"point\n{text}".encode("utf-8", "replace")).rows:
        assert fields_of(fields.province, fields.organisation, fields.name, fields.contact).key == fields.key
