from __future__ import annotations

import pytest

from bridge.media.quality import BAD, GOOD, LOST, WEAK, LineQuality


@pytest.mark.parametrize(
    ("rtt_ms", "loss", "grade"),
    [(0, 0.0, GOOD), (300, 0.02, GOOD), (340, 0.0, WEAK), (50, 0.05, WEAK), (800, 0.0, BAD), (50, 0.2, BAD)],
)
def test_grade_follows_delay_and_loss(rtt_ms: int, loss: float, grade: int) -> None:
    line = LineQuality()
    for _ in range(30):
        line.measure(rtt_ms * 1000, loss, 0)
    assert line.grade() == grade


def test_silence_is_lost_whatever_was_measured() -> None:
    line = LineQuality()
    line.measure(10_000, 0.0, 0)
    line.silent = True
    assert line.grade() == LOST


def test_one_burst_does_not_make_a_bad_line() -> None:
    line = LineQuality()
    for loss in (0.0, 0.0, 0.15, 0.0, 0.0, 0.0):
        line.measure(20_000, loss, 0)
    assert line.grade() == GOOD


def test_only_what_differs_is_news() -> None:
    line = LineQuality()
    line.measure(20_000, 0.0, 1_000_000)
    assert line.news() == (GOOD, 20, 0.0, 1_000_000)
    line.measure(21_000, 0.0, 1_050_000)
    assert line.news() is None
    line.measure(21_000, 0.0, 1_200_000)
    assert line.news() is not None
    line.silent = True
    news = line.news()
    assert news is not None
    assert news[0] == LOST


def test_impossible_loss_is_kept_within_a_share() -> None:
    line = LineQuality()
    for loss in (7.0, -3.0, 1.0):
        line.measure(0, loss, 0)
        assert 0 <= line.loss <= 1
