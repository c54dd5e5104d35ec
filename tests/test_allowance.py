from __future__ import annotations

import pytest

from bridge.allowance import Allowance
from bridge.errors import LimitExceeded


def spent(allowance: Allowance, now_ms: int) -> int:
    """How many can be taken at this time."""
    for taken in range(100):
        try:
            allowance.spend(now_ms, "Too many.")
        except LimitExceeded:
            return taken
    raise AssertionError("there is no end")


def test_a_burst_is_spent_and_comes_back_with_time() -> None:
    allowance = Allowance(5, 2, 1000)
    assert spent(allowance, 1000) == 5
    assert spent(allowance, 1499) == 0
    assert spent(allowance, 2000) == 2
    assert spent(allowance, 60_000) == 5


def test_what_is_too_much_at_once_takes_nothing() -> None:
    allowance = Allowance(100, 10, 0)
    allowance.spend(0, "Too much.", 60)
    with pytest.raises(LimitExceeded):
        allowance.spend(0, "Too much.", 41)
    allowance.spend(0, "Too much.", 40)
    assert spent(allowance, 1000) == 10


def test_a_clock_that_stands_still_or_goes_back_gives_nothing() -> None:
    allowance = Allowance(1, 1000, 5000)
    assert spent(allowance, 5000) == 1
    with pytest.raises(LimitExceeded) as refused:
        allowance.spend(4000, "Too many.")
    assert (refused.value.code, refused.value.text) == ("tooMany", "Too many.")


def test_it_is_whole_again_after_a_while() -> None:
    allowance = Allowance(burst=2, per_s=1.0, now_ms=0)
    assert allowance.is_whole(0)
    allowance.spend(0, "too much")
    allowance.spend(0, "too much")
    assert not allowance.is_whole(1_999)
    assert allowance.is_whole(2_000)
