"""The hold after a picture was lowered: how long nothing is raised."""

from __future__ import annotations

from bridge.media.holding import HOLD_S, LASTED_S, LONGEST_HOLD_S, Hold


def held_for(hold: Hold, now_s: float) -> float:
    """Seconds until a raise is allowed, in steps of a tenth."""
    return next(step / 10 for step in range(1000) if hold.allows_raising(now_s + step / 10))


def test_a_fresh_receiver_is_not_held() -> None:
    assert Hold().allows_raising(0.0)


def test_what_falls_twice_without_a_raise_between_is_held_no_longer() -> None:
    hold = Hold()
    hold.lowered(100.0)
    hold.lowered(101.0)
    assert held_for(hold, 101.0) == HOLD_S


def test_each_raise_that_did_not_last_doubles_the_hold_up_to_a_bound() -> None:
    hold = Hold()
    held = []
    now_s = 100.0
    for _ in range(5):
        hold.lowered(now_s)
        held.append(held_for(hold, now_s))
        now_s += held[-1]
        hold.raised(now_s)
        now_s += 1
    assert held == [HOLD_S, HOLD_S * 2, HOLD_S * 4, LONGEST_HOLD_S, LONGEST_HOLD_S]


def test_a_raise_that_lasted_makes_the_hold_short_again() -> None:
    hold = Hold()
    hold.lowered(0.0)
    hold.raised(5.0)
    hold.lowered(6.0)
    assert held_for(hold, 6.0) == HOLD_S * 2
    hold.raised(20.0)
    hold.lowered(20.0 + LASTED_S + 1)
    assert held_for(hold, 20.0 + LASTED_S + 1) == HOLD_S
