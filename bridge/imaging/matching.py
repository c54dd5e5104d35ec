"""Whether what is known of a study, series or object matches what a query asks (PS3.4 C.2.2.2). Pure.

Values are text, those of one attribute with `\\` between them. Letters are compared whether composed or not, names
whatever their case.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

_DATES = frozenset(("00080020", "00080021", "00080022", "00080023", "00100030", "00400244"))
_TIMES = frozenset(("00080030", "00080031", "00080032", "00080033", "00100032", "00400245"))
_NAMES = frozenset(("00100010", "00080090", "00081050", "00081060", "00081070", "00321032"))
_UIDS = frozenset(("0020000D", "0020000E", "00080018", "00080016", "00080062", "00081115", "00200052"))
_TIME_DIGITS = 12
"""HHMMSS and six of a fraction."""


def matches(keys: dict[str, str], known: dict[str, str]) -> bool:
    """Whether all keys match; those of which nothing is known are no condition (PS3.4 C.2.2.1.3)."""
    return all(
        not asked or tag not in known or matches_one(tag, asked, known[tag]) for tag, asked in keys.items()
    )


def matches_one(tag: str, asked: str, value: str) -> bool:
    """One attribute."""
    if not asked.strip("*"):
        return True
    if tag in _UIDS:
        return not {part.strip() for part in asked.split("\\")}.isdisjoint(value.split("\\"))
    if tag in _DATES:
        return _in_range(asked, value, _date, 8)
    if tag in _TIMES:
        return _in_range(asked, value, _time, _TIME_DIGITS)
    if tag in _NAMES:
        return any(matches_name(asked, one) for one in value.split("\\"))
    stored = [composed(one) for one in value.split("\\")]
    return any(fits(composed(wanted), one) for wanted in asked.split("\\") for one in stored)


def _date(text: str) -> str:
    return re.sub(r"[^0-9]", "", text)


def _time(text: str) -> str:
    hours, _, fraction = text.replace(":", "").partition(".")
    return re.sub(r"[^0-9]", "", hours) + re.sub(r"[^0-9]", "", fraction if len(hours) == 6 else "")


def _in_range(asked: str, value: str, read: Callable[[str], str], digits: int) -> bool:
    # Old dates have dots between their parts, and no dash is in any of both.
    first, dash, last = asked.replace(" ", "").partition("-")
    stored = read(value)
    if not stored:
        return False
    if not dash:
        return stored.startswith(read(first))
    low = read(first).ljust(digits, "0")
    high = (read(last) or "9" * digits).ljust(digits, "9")
    return low <= stored.ljust(digits, "0") <= high


def matches_name(asked: str, value: str) -> bool:
    """A pattern with several groups is of each, one without of any (alphabetic, ideographic, phonetic)."""
    stored = [_name(group) for group in value.split("=")]
    wanted = [_name(group) for group in asked.split("=")]
    if len(wanted) == 1:
        return any(fits(wanted[0], group) for group in stored)
    stored += [""] * (len(wanted) - len(stored))
    return all(not group or fits(group, known) for group, known in zip(wanted, stored, strict=False))


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
