"""The common view and who leads, as pure rules: nothing but the newest, within its limits, all or nothing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bridge.errors import BridgeError, LimitExceeded, NotAuthorised, ProtocolError
from bridge.ids import ParticipantId
from bridge.reading import CHANGES_LIMIT, SLOTS_LIMIT, VALUE_LIMIT_BYTES, VIEW_LIMIT_BYTES, Progress, Reading

ANNA, BINH, CHI = (ParticipantId(name) for name in ("anna", "binh", "chi"))


@pytest.fixture
def reading() -> Reading:
    """Anna leads."""
    reading = Reading()
    reading.ask(ANNA)
    return reading


def values(reading: Reading) -> dict[str, Any]:
    return {name: msgspec.json.decode(value) for name, value in reading.view.items()}


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_who_asks_first_leads_and_the_others_wait_in_their_order(reading: Reading) -> None:
    for who in (BINH, CHI, BINH, ANNA):
        reading.ask(who)
    assert (reading.leader, reading.asking) == (ANNA, [BINH, CHI])
    reading.ask_no_more(BINH)
    assert reading.asking == [CHI]


def test_lead_given_to_one_who_asked_leaves_the_others_waiting(reading: Reading) -> None:
    reading.ask(BINH), reading.ask(CHI)
    reading.give(CHI)
    assert (reading.leader, reading.asking) == (CHI, [BINH])


def test_lead_that_is_let_go_or_lost_goes_to_who_waits_longest_and_the_view_stays(reading: Reading) -> None:
    reading.change(ANNA, {"at.0": 4})
    reading.ask(BINH), reading.ask(CHI)
    reading.give(None)
    assert reading.leader == BINH
    reading.forget(BINH)
    assert reading.leader == CHI
    reading.give(None)
    assert reading.leader is None
    assert values(reading) == {"at.0": 4}


@pytest.mark.parametrize("by", [BINH, ParticipantId("")])
def test_only_the_leader_changes_the_view(reading: Reading, by: ParticipantId) -> None:
    with pytest.raises(NotAuthorised) as refused:
        reading.change(by, {"at.0": 1})
    assert refused.value.code == "notAllowed"
    reading.give(None)
    with pytest.raises(NotAuthorised):
        reading.change(ANNA, {"at.0": 1})
    assert values(reading) == {}


def test_slots_are_replaced_whole_and_removed_by_null(reading: Reading) -> None:
    reading.change(ANNA, {"window.0": [40, 400, 0], "mark.a-1": {"tool": "length"}})
    delta = reading.change(ANNA, {"window.0": [300, 1500, 0], "mark.a-1": None, "mark.b": None})
    assert values(reading) == {"window.0": [300, 1500, 0]}
    # What was not there is not told as gone.
    assert (dict(delta.changes), delta.whole) == (
        {"window.0": b"[300,1500,0]", "mark.a-1": b"null"},
        False,
    )


def test_only_what_is_different_is_told(reading: Reading) -> None:
    reading.change(ANNA, {"study": "1.2.3", "at.0": 4, "window.0": [40, 400, 0]})
    delta = reading.change(ANNA, {"study": "1.2.3", "at.0": 5, "window.0": [40, 400, 0], "mark.b": None})
    assert (dict(delta.changes), delta.whole) == ({"at.0": b"5"}, False)
    assert not reading.change(ANNA, {"at.0": 5, "study": "1.2.3"}).changes
    anew = reading.change(ANNA, {"study": "1.2.4", "at.0": 5, "mark.b": None})
    assert (dict(anew.changes), anew.whole) == ({"study": b'"1.2.4"', "at.0": b"5"}, True)


def test_full_view_may_become_another_full_one_and_no_more_is_removed_at_once(reading: Reading) -> None:
    first = {f"mark.a{number}": 1 for number in range(SLOTS_LIMIT)}
    second = {f"mark.b{number}": 1 for number in range(SLOTS_LIMIT)}
    reading.change(ANNA, first)
    delta = reading.change(ANNA, {**dict.fromkeys(first), **second})
    assert len(delta.changes) == CHANGES_LIMIT
    assert values(reading) == second
    with pytest.raises(LimitExceeded) as refused:
        reading.change(ANNA, dict.fromkeys(f"mark.c{number}" for number in range(CHANGES_LIMIT + 1)))
    assert refused.value.code == "tooLarge"


def test_change_that_is_too_much_at_this_time_is_not_made(reading: Reading) -> None:
    asked: list[int] = []

    def refuse(size_bytes: int) -> None:
        asked.append(size_bytes)
        raise LimitExceeded("wait")

    reading.change(ANNA, {"at.0": 1})
    with pytest.raises(LimitExceeded):
        reading.change(ANNA, {"at.0": 2, "mark.a": None}, refuse)
    assert asked == [len("at.0") + len("2")]
    assert values(reading) == {"at.0": 1}


def test_another_study_begins_with_an_empty_view_and_empty_figures(reading: Reading) -> None:
    reading.change(ANNA, {"study": "1.2.3", "layout": "2x2", "at.0": 5})
    reading.report(BINH, Progress(True, 7, 5, 9))
    delta = reading.change(ANNA, {"study": "1.2.4", "layout": "1x1"})
    assert delta.whole
    assert values(reading) == {"study": "1.2.4", "layout": "1x1"}
    assert reading.readers == {BINH: Progress(True)}
    assert not reading.change(ANNA, {"study": "1.2.4", "at.0": 3}).whole
    assert reading.change(ANNA, {"study": None}).whole
    assert values(reading) == {}
    assert reading.study is None


@pytest.mark.parametrize("study", [5, ["1.2"], {"uid": "1.2"}, True])
def test_study_that_is_no_uid_is_none(reading: Reading, study: object) -> None:
    reading.change(ANNA, {"study": study})
    assert reading.study is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        "At.0",
        "at.",
        "at..0",
        "at.0\n",
        "at 0",
        "x" * 13,
        "at." + "0" * 41,
        "__proto__",
        "at.0.1",
        "ａt",
        "at.é",
    ],
)
def test_slots_of_other_names_are_refused(reading: Reading, name: str) -> None:
    with pytest.raises(ProtocolError):
        reading.change(ANNA, {"at.0": 1, name: 1})
    assert values(reading) == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"mark.a": "x" * VALUE_LIMIT_BYTES},
        {"mark.a": "é" * (VALUE_LIMIT_BYTES // 2)},
        {"mark.a": nested(9)},
        {"mark.a": [{"b": nested(8)}]},
        {f"mark.{number}": 1 for number in range(SLOTS_LIMIT + 1)},
        {f"mark.{number}": "x" * 2000 for number in range(VIEW_LIMIT_BYTES // 2000 + 1)},
        {f"mark.{number}": 12**999 for number in range(100)},
    ],
    ids=["long", "long in bytes", "deep", "deep in a list", "many", "much", "long numbers"],
)
def test_view_that_holds_too_much_is_refused_and_stays_as_it_was(
    reading: Reading, changes: dict[str, Any]
) -> None:
    reading.change(ANNA, {"at.0": 1})
    with pytest.raises(LimitExceeded) as refused:
        reading.change(ANNA, {"at.0": 2, **changes})
    assert refused.value.code == "tooLarge"
    assert values(reading) == {"at.0": 1}


def test_view_may_be_filled_to_its_limits_and_emptied_again(reading: Reading) -> None:
    full = {f"mark.{number}": nested(8) for number in range(SLOTS_LIMIT)}
    reading.change(ANNA, full)
    assert len(reading.view) == SLOTS_LIMIT
    reading.change(ANNA, dict.fromkeys(full) | {"at.0": 1})
    assert values(reading) == {"at.0": 1}


def test_figures_are_news_only_when_they_differ(reading: Reading) -> None:
    reading.report(BINH, Progress(True, 1, 0, 3))
    assert reading.readers_are_news
    reading.readers_are_news = False
    reading.report(BINH, Progress(True, 1, 0, 3))
    reading.report(CHI, None)
    assert not reading.readers_are_news
    reading.report(BINH, None)
    assert reading.readers_are_news
    assert reading.readers == {}


def test_who_is_gone_neither_asks_nor_reads(reading: Reading) -> None:
    reading.ask(BINH)
    reading.report(BINH, Progress(False))
    reading.forget(BINH)
    assert (reading.leader, reading.asking, dict(reading.readers)) == (ANNA, [], {})


def test_refusals_do_not_repeat_what_was_sent(reading: Reading) -> None:
    for changes in ({"NGUYEN VAN A": 1}, {"mark.a": "NGUYEN VAN A" * 1000}):
        with pytest.raises(BridgeError) as refused:
            reading.change(ANNA, changes)
        assert "NGUYEN" not in refused.value.text
