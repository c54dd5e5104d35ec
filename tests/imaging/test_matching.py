"""What a query asks, against what is known: by the rules of PS3.4 C.2.2.2."""

from __future__ import annotations

import time
import unicodedata

import pytest

from bridge.imaging.dicomweb.matching import matches, query_of
from bridge.imaging.matching import Wanted, parted, vr_of
from bridge.imaging.model import name_groups

DATE, TIME, NAME, UID, TEXT, KINDS = "00080020", "00080030", "00100010", "0020000D", "00081030", "00080061"
NUMBER, DOSE, MOMENT = "00200013", "00180060", "0008002A"


def matches_one(tag: str, asked: str, value: str) -> bool:
    """As a C-FIND has it, and as a search over the web does: both must say the same."""
    values = parted(vr_of(tag), value)
    told = [name_groups(one) if tag == NAME else one for one in values if one]
    dataset = {tag: {"vr": vr_of(tag), "Value": told}}
    over_the_web = matches(dataset, query_of([(tag, asked)]).filters)
    assert Wanted(tag, asked).fits(values) is over_the_web
    return over_the_web


@pytest.mark.parametrize(
    ("tag", "asked", "value"),
    [
        (TEXT, "", "anything"),
        (TEXT, "*", ""),
        (TEXT, "Thorax", "Thorax"),
        (TEXT, "Th?rax*", "Thorax nativ"),
        (TEXT, "*ax*nat*", "Thorax nativ"),
        (TEXT, "a[b]*", "a[b]c"),
        (UID, "1.2\\1.3", "1.3"),
        (KINDS, "CT", "MR\\CT"),
        (KINDS, "US\\MR", "MR\\CT"),
        (DATE, "20260101", "20260101"),
        (DATE, "20260101", "2026.01.01"),
        (DATE, "20260101-20260131", "20260131"),
        (DATE, "-20260131", "19990101"),
        (DATE, "20260101-", "20260102"),
        (TIME, "10", "103000"),
        (TIME, "1000-1015", "101559.99"),
        (TIME, "10:00-10:15", "100000"),
        (NAME, "NGUYEN*", "Nguyen^Van A"),
        (NAME, "nguyễn^văn a", "Nguyễn^Văn A"),
        (NAME, unicodedata.normalize("NFD", "Nguyễn*"), "Nguyễn^Văn"),
        (NAME, "Иванов*", "ИВАНОВ^Иван"),
        (NAME, "Yamada^Tarou", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (NAME, "山田*", "Yamada^Tarou=山田^太郎"),
        (NAME, "Yamada*=山田*", "Yamada^Tarou=山田^太郎"),
        (NAME, "SMITH^JOHN^^^", "Smith^John"),
        (NUMBER, "7", "07"),
        (NUMBER, "1\\7", "7"),
        (DOSE, "120", "1.20e2"),
        (MOMENT, "2026010110-2026010112", "20260101115959.5+0700"),
        (MOMENT, "20260101+0700", "20260101101500"),
        (TEXT, '""', ""),
    ],
)
def test_matches(tag: str, asked: str, value: str) -> None:
    assert matches_one(tag, asked, value)


@pytest.mark.parametrize(
    ("tag", "asked", "value"),
    [
        (TEXT, "thorax", "Thorax"),
        (TEXT, "Thora", "Thorax"),
        (TEXT, "?", ""),
        (UID, "1.2*", "1.2.3"),
        (UID, "1.2", "1.2.3"),
        (KINDS, "US", "MR\\CT"),
        (DATE, "20260101-20260131", "20260201"),
        (DATE, "20260101-", ""),
        (TIME, "1000-1015", "101600"),
        (NAME, "Nguyen*", "Nguyễn^Văn"),
        (NAME, "Yamada*=鈴木*", "Yamada^Tarou=山田^太郎"),
        (NAME, "Smith", "Smith^John"),
        (NAME, "Yamada*=山田*", "Yamada^Tarou"),
        (NUMBER, "1*", "12"),
        (NUMBER, "1", "a"),
        (TEXT, '""', "a"),
    ],
)
def test_does_not_match(tag: str, asked: str, value: str) -> None:
    assert not matches_one(tag, asked, value)


def test_a_text_whose_backslashes_are_letters_is_one_value() -> None:
    comments = "00204000"
    assert matches_one(comments, "a\\b", "a\\b")
    assert not matches_one(comments, "a\\b", "a")


def test_a_pattern_made_to_take_long_does_not() -> None:
    began_s = time.monotonic()
    assert not matches_one(TEXT, "*a" * 1900 + "b", "a" * 400)
    assert time.monotonic() - began_s < 5
