"""An event's attendance as sheets: points, people, provinces, summary, with headers in three languages. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from bridge.launch.report import Quality, Report
from bridge.launch.sheets import Cell, Language, Table

_SHEETS: dict[Language, tuple[str, str, str, str]] = {
    "vi": ("Điểm cầu", "Người tham dự", "Tỉnh", "Tổng hợp"),
    "ru": ("Точки", "Участники", "Регионы", "Итоги"),
    "en": ("Points", "People", "Provinces", "Summary"),
}
_WORDS: dict[Language, dict[str, str]] = {
    "vi": {
        "province": "Tỉnh",
        "organisation": "Đơn vị",
        "point": "Điểm cầu",
        "name": "Tên",
        "role": "Vai trò",
        "joined": "Vào lúc",
        "left": "Rời lúc",
        "minutes": "Số phút",
        "comings": "Số lần vào",
        "people": "Số người",
        "devices": "Số thiết bị",
        "good": "Đường truyền tốt, %",
        "weak": "Đường truyền yếu, %",
        "bad": "Đường truyền kém, %",
        "check": "Kiểm tra đường truyền",
        "invited": "Điểm được mời",
        "came": "Điểm có mặt",
        "from": "Bắt đầu",
        "until": "Kết thúc",
        "peakAt": "Đông nhất lúc",
        "peakPeople": "Nhiều người nhất cùng lúc",
        "peakPoints": "Nhiều điểm nhất cùng lúc",
        "red": "đỏ",
        "amber": "vàng",
        "green": "xanh",
        "organiser": "ban tổ chức",
        "hub": "trung tâm",
        "satellite": "điểm cầu",
        "viewer": "người xem",
    },
    "ru": {
        "province": "Регион",
        "organisation": "Организация",
        "point": "Точка",
        "name": "Имя",
        "role": "Роль",
        "joined": "Вход",
        "left": "Выход",
        "minutes": "Минут",
        "comings": "Входов",
        "people": "Человек",
        "devices": "Устройств",
        "good": "Связь хорошая, %",
        "weak": "Связь слабая, %",
        "bad": "Связь плохая, %",
        "check": "Проверка связи",
        "invited": "Точек приглашено",
        "came": "Точек было",
        "from": "Начало",
        "until": "Конец",
        "peakAt": "Больше всего людей",
        "peakPeople": "Человек одновременно",
        "peakPoints": "Точек одновременно",
        "red": "красный",
        "amber": "жёлтый",
        "green": "зелёный",
        "organiser": "организатор",
        "hub": "центр",
        "satellite": "точка",
        "viewer": "зритель",
    },
    "en": {
        "province": "Province",
        "organisation": "Organisation",
        "point": "Point",
        "name": "Name",
        "role": "Role",
        "joined": "Joined",
        "left": "Left",
        "minutes": "Minutes",
        "comings": "Comings",
        "people": "People",
        "devices": "Devices",
        "good": "Line good, %",
        "weak": "Line weak, %",
        "bad": "Line bad, %",
        "check": "Line check",
        "invited": "Points invited",
        "came": "Points that came",
        "from": "Began",
        "until": "Ended",
        "peakAt": "Most people at",
        "peakPeople": "Most people at once",
        "peakPoints": "Most points at once",
        "red": "red",
        "amber": "amber",
        "green": "green",
        "organiser": "organiser",
        "hub": "hub",
        "satellite": "point",
        "viewer": "viewer",
    },
}


class _Teller:
    """Words of one language and times of one zone."""

    def __init__(self, language: Language, offset_min: int) -> None:
        self._words = _WORDS[language]
        self._offset = timedelta(minutes=offset_min)
        sign, (hours, minutes) = "-" if offset_min < 0 else "+", divmod(abs(offset_min), 60)
        self._zone = f"UTC{sign}{hours}" + (f":{minutes:02}" if minutes else "")

    def heads(self, *words: str) -> tuple[str, ...]:
        return tuple(
            f"{self._words[word]} ({self._zone})" if word in _TIMES else self._words[word] for word in words
        )

    def word(self, word: str) -> str:
        return self._words.get(word, word)

    def time(self, at_ms: int | None) -> str:
        if at_ms is None:
            return ""
        return (datetime.fromtimestamp(at_ms / 1000, UTC) + self._offset).strftime("%Y-%m-%d %H:%M:%S")


_TIMES = frozenset({"joined", "left", "from", "until", "peakAt"})


def people_table(report: Report, language: Language, offset_min: int) -> Table:
    """Everybody who was there."""
    tell = _Teller(language, offset_min)
    heads = ("province", "organisation", "point", "name", "role", "joined", "left", "minutes", "comings")
    rows: list[Sequence[Cell]] = [
        (
            row.province,
            row.organisation,
            row.point,
            row.name,
            tell.word(row.role),
            tell.time(row.joined_at),
            tell.time(row.left_at),
            row.minutes,
            row.comings,
            *_shares(row.quality),
        )
        for row in report.rows
    ]
    return Table(_SHEETS[language][1], tell.heads(*heads, "good", "weak", "bad"), rows)


def report_tables(report: Report, language: Language, offset_min: int) -> tuple[Table, ...]:
    """All four sheets."""
    tell = _Teller(language, offset_min)
    return (
        _points_table(report, language, tell),
        people_table(report, language, offset_min),
        _provinces_table(report, language, tell),
        _summary_table(report, language, tell),
    )


def _points_table(report: Report, language: Language, tell: _Teller) -> Table:
    heads = ("province", "organisation", "point", "people", "devices", "joined", "left", "minutes", "comings")
    rows: list[Sequence[Cell]] = [
        (
            row.province,
            row.organisation,
            row.name,
            row.people,
            row.devices,
            tell.time(row.joined_at),
            tell.time(row.left_at),
            row.minutes,
            row.comings,
            *_shares(row.quality),
            "" if row.check is None else tell.word(str(row.check["grade"])),
        )
        for row in report.by_point
    ]
    return Table(_SHEETS[language][0], tell.heads(*heads, "good", "weak", "bad", "check"), rows)


def _provinces_table(report: Report, language: Language, tell: _Teller) -> Table:
    rows: list[Sequence[Cell]] = [
        (row.province, row.invited, row.came, row.people, row.minutes) for row in report.by_province
    ]
    return Table(_SHEETS[language][2], tell.heads("province", "invited", "came", "people", "minutes"), rows)


def _summary_table(report: Report, language: Language, tell: _Teller) -> Table:
    invited, came = len(report.by_point), sum(row.joined_at is not None for row in report.by_point)
    figures: dict[str, Cell] = {
        "from": tell.time(report.from_),
        "until": tell.time(report.until),
        "invited": invited,
        "came": came,
        "people": len(report.rows),
        "devices": report.devices,
        "peakPoints": report.peak.points,
        "peakPeople": report.peak.people,
        "peakAt": tell.time(report.peak.at),
    }
    rows: list[Sequence[Cell]] = list(zip(tell.heads(*figures), figures.values(), strict=True))
    return Table(_SHEETS[language][3], ("", ""), rows)


def _shares(quality: Quality | None) -> tuple[Cell, Cell, Cell]:
    if quality is None:
        return None, None, None
    return round(quality.good * 100, 1), round(quality.weak * 100, 1), round(quality.bad * 100, 1)
