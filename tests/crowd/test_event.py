"""A small event, played against a real server."""

from __future__ import annotations

import pytest

from bridge.crowd.event import Course, Wish, run
from bridge.crowd.result import figures, loader, quantile, table

WISH = Wish(points=3, stage=2, viewers=10, storm_s=1.0, seconds=3.0, speaking=1, reel_s=1)


@pytest.mark.timeout(120)
async def test_a_small_event_is_seen_by_everybody_without_loss() -> None:
    said: list[str] = []
    course = await run(WISH, said.append)
    made = figures(course)
    assert made.failed_joins == 0, course.failed
    assert course.errors == []
    assert course.dropped_out == 0
    assert None not in course.firsts_s
    assert None not in course.wholes_s
    assert made.loss == 0
    _check_what_flowed(course)
    assert made.relay_cores <= made.server_cores + 0.02
    assert made.pps > 100
    assert made.us_per_packet > 0
    assert any("10 of 10 viewers are in" in line for line in said)
    assert table(course)[-1] == loader(course.steady, course.end).verdict


def _check_what_flowed(course: Course) -> None:
    steady, end = course.steady.crowd, course.end.crowd
    # Each viewer sees two pictures, the points on the stage each other's, and the third both.
    assert end.pictures == 10 * 2 + 2 + 2
    assert end.flowing == end.pictures
    # Everybody sees one large, the first of the stage the second.
    assert course.asked == {540: 13, 136: 11}
    assert end.wrong == end.unsent == end.lost_up == 0
    assert end.received > steady.received
    assert end.checked > steady.checked
    # Keyframes are asked for once a second and layer at most.
    assert end.keyframe_apart_us == 0 or end.keyframe_apart_us > 900_000


@pytest.mark.parametrize(
    ("share", "value"), [(0.5, 2.0), (0.95, float("inf")), (0.75, 3.0)], ids=["half", "never", "most"]
)
def test_quantiles_count_those_who_never_saw_anything(share: float, value: float) -> None:
    assert quantile([3.0, 1.0, float("inf"), 2.0], share) == value
    assert quantile([], share) == 0.0
