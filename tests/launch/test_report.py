"""What attendance comes to, and its sheets."""

from __future__ import annotations

import csv
import io
import zipfile
from dataclasses import replace

import pytest

from bridge.ids import InviteId, ParticipantId, Role, SessionId
from bridge.launch.book import EventPoint
from bridge.launch.points import PointFields
from bridge.launch.presences import Presence
from bridge.launch.report import STEPS_LIMIT, Report, report
from bridge.launch.reportsheets import people_table, report_tables
from bridge.launch.sheets import Language, csv_of, xlsx_of
from bridge.store import InviteRecord

MINUTE = 60_000
BEGAN = 1_795_000_000_000
SESSION = SessionId("s")


def point(number: int, province: str, organisation: str) -> EventPoint:
    fields = PointFields(province, organisation, "Hội trường", "")
    invite = InviteRecord(InviteId(f"i{number}"), SESSION, Role.SATELLITE, fields.shown, 1, 0, 2**42, False)
    return EventPoint(f"p{number}", fields, invite, removed=False)


def there(
    number: int, name: str, begin_min: float, end_min: float | None, role: Role = Role.SATELLITE, **line: int
) -> Presence:
    return Presence(
        id=f"{number}/{begin_min}",
        session=SESSION,
        participant=ParticipantId(f"who{number}"),
        invite=InviteId(f"i{number}"),
        role=role,
        point="",
        name=name,
        joined_at_ms=BEGAN + int(begin_min * MINUTE),
        left_at_ms=None if end_min is None else BEGAN + int(end_min * MINUTE),
        seen_at_ms=BEGAN + int((2**20 if end_min is None else end_min) * MINUTE),
        **line,
    )


POINTS = [point(1, "Sơn La", "A"), point(2, "Sơn La", "B"), point(3, "Lai Châu", "C")]


def summed() -> Report:
    presences = [
        there(1, "Bs. Lan", 0, 10, good_ms=300, weak_ms=100),
        there(1, "bs. lan", 12, 20, bad_ms=100),
        there(1, "Bs. Minh", 20, 30),
        there(3, "=Bs. Páo", 5, None),
        there(9, "Bình", 0, 40, Role.ORGANISER),
    ]
    return report(
        presences, POINTS, {InviteId("i2"): {"grade": "red", "reasons": [], "at": 5}}, BEGAN + 60 * MINUTE
    )


def test_a_person_is_one_name_on_one_seat() -> None:
    rows = {row.name: row for row in summed().rows}
    assert set(rows) == {"bs. lan", "Bs. Minh", "=Bs. Páo", "Bình"}
    lan = rows["bs. lan"]
    assert (lan.province, lan.organisation, lan.comings, lan.minutes) == ("Sơn La", "A", 2, 18.0)
    assert (lan.joined_at, lan.left_at) == (BEGAN, BEGAN + 20 * MINUTE)
    assert lan.quality is not None
    assert (lan.quality.good, lan.quality.weak, lan.quality.bad) == (0.6, 0.2, 0.2)
    assert (rows["=Bs. Páo"].left_at, rows["=Bs. Páo"].minutes, rows["=Bs. Páo"].quality) == (
        None,
        55.0,
        None,
    )


def test_points_that_never_came_are_told_too() -> None:
    points = {row.id: row for row in summed().by_point}
    assert [points[id].people for id in ("p1", "p2", "p3")] == [2, 0, 1]
    assert (points["p2"].joined_at, points["p2"].minutes, points["p2"].check) == (
        None,
        0,
        {"grade": "red", "reasons": [], "at": 5},
    )
    provinces = {row.province: row for row in summed().by_province}
    assert (provinces["Sơn La"].invited, provinces["Sơn La"].came, provinces["Sơn La"].people) == (2, 1, 2)
    assert (provinces["Lai Châu"].invited, provinces["Lai Châu"].came) == (1, 1)


def test_the_most_at_once_is_told_and_changes_of_hands_are_not_two_people() -> None:
    peak = summed().peak
    assert (peak.people, peak.points, peak.at) == (3, 2, BEGAN + 5 * MINUTE)


def test_people_over_time_are_the_most_of_each_step() -> None:
    steps = summed().timeline
    assert [step.at_ms for step in steps] == [BEGAN + n * MINUTE for n in range(60)]
    people = [step.people for step in steps]
    assert people[:6] == [2, 2, 2, 2, 2, 3]
    assert people[11:13] == [2, 3]
    assert people[45] == 1


def test_a_long_event_has_no_more_steps_than_a_plot_shows() -> None:
    steps = report([there(1, "A", 0, 60 * 24 * 3)], POINTS, {}, BEGAN).timeline
    assert len(steps) <= STEPS_LIMIT
    assert all(step.people == 1 for step in steps)


def test_who_came_on_a_link_that_was_replaced_since_is_counted_to_its_point() -> None:
    old = replace(there(7, "Bs. Lan", 0, 10), point="A, Hội trường")
    (came,) = [row for row in report([old], POINTS, {}, BEGAN).by_point if row.joined_at is not None]
    assert came.id == "p1"


def test_an_encoder_is_a_device_by_which_its_point_is_there_and_no_person() -> None:
    encoder = replace(there(1, "OBS", 0, 10, good_ms=100), device=True)
    seen = report([encoder, there(2, "Bs. Lan", 0, 10)], POINTS, {}, BEGAN)
    assert [row.name for row in seen.rows] == ["Bs. Lan"]
    assert seen.devices == 1
    points = {row.id: row for row in seen.by_point}
    assert (points["p1"].people, points["p1"].devices, points["p1"].minutes) == (0, 1, 10.0)
    assert (points["p2"].people, points["p2"].devices) == (1, 0)
    assert (seen.peak.people, seen.peak.points) == (1, 2)
    provinces = {row.province: row for row in seen.by_province}
    assert (provinces["Sơn La"].came, provinces["Sơn La"].people) == (2, 1)


def test_whom_a_dead_server_left_there_was_there_until_it_was_last_seen() -> None:
    lost = replace(there(1, "Bs. Lan", 0, None), seen_at_ms=BEGAN + 10 * MINUTE)
    seen = report([lost], POINTS, {}, BEGAN + 3 * 24 * 60 * MINUTE)
    (row,) = seen.rows
    assert (row.minutes, row.left_at) == (10.0, BEGAN + 10 * MINUTE)
    assert (seen.until, len(seen.timeline)) == (BEGAN + 10 * MINUTE, 10)
    still = report([lost], POINTS, {}, BEGAN + 11 * MINUTE).rows[0]
    assert (still.minutes, still.left_at) == (11.0, None)


def test_a_point_is_one_however_many_are_there() -> None:
    seats = [
        replace(there(7, name, begin, end), participant=ParticipantId(name), point="Trạm Y tế")
        for name, begin, end in (("A", 0, 10), ("B", 2, 8), ("C", 4, 12))
    ]
    elsewhere = replace(there(8, "D", 5, 6), point="")
    seen = report([*seats, elsewhere], POINTS, {}, BEGAN)
    assert (seen.peak.people, seen.peak.points) == (4, 2)
    assert [step.points for step in seen.timeline] == [1, 1, 1, 1, 1, 2, 2, 1, 1, 1, 1, 1]


def test_nobody_came() -> None:
    nobody = report([], POINTS, {}, BEGAN)
    assert (nobody.rows, nobody.timeline, nobody.from_, nobody.until) == ([], [], None, None)
    assert (nobody.peak.at, nobody.peak.people) == (None, 0)
    assert len(nobody.by_point) == 3
    assert xlsx_of(report_tables(nobody, "vi", 0))


def test_a_look_in_and_out_within_a_moment_counts() -> None:
    assert report([there(1, "A", 3, 3)], POINTS, {}, BEGAN).peak.people == 1


def test_the_sheet_of_people_computes_nothing_and_has_times_of_the_place() -> None:
    data = csv_of(people_table(summed(), "vi", 7 * 60), "vi")
    assert data.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig")), delimiter=";"))
    assert "Vào lúc (UTC+7)" in rows[0]
    lan = next(row for row in rows if row[3] == "bs. lan")
    assert lan[4:9] == ["điểm cầu", "2026-11-18 18:06:40", "2026-11-18 18:26:40", "18,0", "2"]
    assert any(row[3] == "'=Bs. Páo" for row in rows)
    english = csv_of(people_table(summed(), "en", -90), "en").decode("utf-8-sig").splitlines()
    assert "Joined (UTC-1:30)" in english[0]
    assert ",18.0,2," in "\n".join(english)


@pytest.mark.parametrize("name", ["Lan;=1+1", "Lan,=1+1", 'Lan,"=1+1', "Lan;;@SUM(1)", "\uff1d1+1", "+84"])
@pytest.mark.parametrize("language", ["vi", "en"])
def test_a_name_computes_nothing_in_a_spreadsheet_that_takes_another_separator(
    name: str, language: Language
) -> None:
    data = csv_of(people_table(report([there(1, name, 0, 10)], POINTS, {}, BEGAN), language, 0), language)
    for separator in ";,\t":
        for row in csv.reader(io.StringIO(data.decode("utf-8-sig")), delimiter=separator):
            assert not [cell for cell in row if cell.strip('"')[:1] in tuple("=+-@\uff1d")]


def test_the_workbook_has_four_sheets_and_no_formula() -> None:
    with zipfile.ZipFile(io.BytesIO(xlsx_of(report_tables(summed(), "ru", 180)))) as book:
        names = book.read("xl/workbook.xml").decode()
        assert all(f'name="{sheet}"' in names for sheet in ("Точки", "Участники", "Регионы", "Итоги"))
        sheets = [book.read(f"xl/worksheets/sheet{number}.xml").decode() for number in (1, 2, 3, 4)]
        strings = book.read("xl/sharedStrings.xml").decode()
    assert not any("<f>" in sheet for sheet in sheets)
    assert "=Bs. Páo" in strings
    assert "красный" in strings
