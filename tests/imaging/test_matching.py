"""What a query asks, against what is known: by the rules of PS3.4 C.2.2.2."""

from __future__ import annotations

import time
import unicodedata

import pytest

from bridge.imaging.matching import matches, matches_one

DATE, TIME, NAME, UID, TEXT, KINDS = "00080020", "00080030", "00100010", "0020000D", "00081030", "00080061"


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
    ],
)
def test_does_not_match(tag: str, asked: str, value: str) -> None:
    assert not matches_one(tag, asked, value)


def test_what_nothing_is_known_of_is_no_condition() -> None:
    assert matches({"00101010": "031Y", TEXT: "a*"}, {TEXT: "abc"})
    assert not matches({TEXT: "a*"}, {TEXT: ""})


def test_a_pattern_made_to_take_long_does_not() -> None:
    began_s = time.monotonic()
    assert not matches_one(TEXT, "*a" * 2000 + "b", "a" * 400)
    assert time.monotonic() - began_s < 5
