"""The table of `docs/protocol.md`, "Line check": which figure makes which grade."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bridge.launch.grading import Measured, Seen, grade

GOOD = Measured(
    camera="ok",
    microphone="ok",
    udp=True,
    https=True,
    rtt_ms=300,
    jitter_ms=60,
    loss_up=0.01,
    loss_down=0.01,
    up_bps=1_200_000,
    down_bps=2_000_000,
    picture=Seen(640, 480, 15),
)


def test_a_line_at_the_bounds_is_green() -> None:
    assert grade(GOOD).grade == "green"
    assert grade(GOOD).reasons == ()


@pytest.mark.parametrize(
    ("change", "code", "expected"),
    [
        ({"camera": "denied"}, "noCamera", "red"),
        ({"microphone": "none"}, "noMicrophone", "red"),
        ({"udp": False}, "noUdp", "red"),
        ({"https": False}, "notSecure", "red"),
        ({"web_socket": False}, "noWebSocket", "red"),
        ({"up_bps": 1_199_999}, "slowUp", "amber"),
        ({"up_bps": 300_000}, "slowUp", "amber"),
        ({"up_bps": 299_999}, "slowUp", "red"),
        ({"up_bps": 0}, "slowUp", "red"),
        ({"down_bps": 1_999_999}, "slowDown", "amber"),
        ({"down_bps": 499_999}, "slowDown", "red"),
        ({"loss_up": 0.011}, "lossUp", "amber"),
        ({"loss_up": 0.051}, "lossUp", "red"),
        ({"loss_down": 0.05}, "lossDown", "amber"),
        ({"loss_down": 1.0}, "lossDown", "red"),
        ({"rtt_ms": 301}, "farAway", "amber"),
        ({"rtt_ms": 601}, "farAway", "red"),
        ({"jitter_ms": 61}, "unsteady", "amber"),
        ({"jitter_ms": 60_000}, "unsteady", "amber"),
        ({"picture": Seen(640, 480, 14.9)}, "slowPicture", "amber"),
        ({"picture": None}, "noPicture", "amber"),
    ],
)
def test_one_figure_beyond_its_bound_is_the_reason(change: dict[str, Any], code: str, expected: str) -> None:
    verdict = grade(msgspec.structs.replace(GOOD, **change))
    assert (verdict.grade, [(reason.code, reason.grade) for reason in verdict.reasons]) == (
        expected,
        [(code, expected)],
    )


def test_the_worst_reason_comes_first_and_is_the_grade() -> None:
    verdict = grade(msgspec.structs.replace(GOOD, rtt_ms=400, loss_down=0.2, up_bps=500_000, camera="busy"))
    assert verdict.grade == "red"
    assert [reason.grade for reason in verdict.reasons] == ["red", "red", "amber", "amber"]


def test_a_line_that_nothing_gets_through_is_not_blamed_for_its_picture() -> None:
    verdict = grade(Measured(camera="ok", udp=False))
    assert [reason.code for reason in verdict.reasons] == ["noUdp"]


def test_what_is_not_known_is_no_reason() -> None:
    assert grade(Measured()).grade == "green"


def test_every_code_is_in_the_document() -> None:
    document = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
    table = document[document.index("| code | red | amber |") :].split("\n\n")[0]
    documented = set(re.findall(r"`(no[A-Z]\w+|slow\w+|loss(?:Up|Down)|farAway|unsteady|notSecure)`", table))
    bad = Measured("denied", "denied", False, False, False, 9e4, 9e4, 1, 1, 0, 0, Seen(1, 1, 1))
    codes = {reason.code for reason in grade(bad).reasons} | {"noPicture"}
    assert documented == codes
