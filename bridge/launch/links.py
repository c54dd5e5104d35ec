"""The table of an event's points with their links, as a file for who sends them out. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bridge.launch.book import EventPoint
from bridge.launch.sheets import Language, Table
from bridge.store import InviteRecord

_HEADS: dict[Language, tuple[str, ...]] = {
    "vi": ("Tỉnh", "Đơn vị", "Điểm cầu", "Liên hệ", "Đường dẫn"),
    "ru": ("Регион", "Организация", "Точка", "Контакт", "Ссылка"),
    "en": ("Province", "Organisation", "Point", "Contact", "Link"),
}
_NAMES: dict[Language, str] = {"vi": "Điểm cầu", "ru": "Точки", "en": "Points"}


def link_table(
    points: Sequence[EventPoint], link: Callable[[InviteRecord], str], language: Language
) -> Table:
    """A link that was withdrawn is left empty."""
    rows = [
        (
            point.fields.province,
            point.fields.organisation,
            point.fields.name,
            point.fields.contact,
            "" if point.invite.revoked else link(point.invite),
        )
        for point in points
    ]
    return Table(_NAMES[language], _HEADS[language], rows)
