"""What counts as well, on a clock of the test's own."""

from __future__ import annotations

import asyncio

import pytest

from bridge.health import KEEP_S, LOOP_LAG_LIMIT_S, RELAY_SILENT_S, Health


class Parts:
    """The parts that are asked, and the clock."""

    def __init__(self) -> None:
        self.report: object | None = object()
        self.store_fails = False
        self.lag_s = 0.0
        self.recordings_fail = False
        self.now_s = 100.0
        self.store_asked = 0
        self.health = Health(
            lambda: self.report,
            self.check_store,
            lambda: self.lag_s,
            lambda: self.recordings_fail,
            lambda: self.now_s,
        )

    async def check_store(self) -> None:
        self.store_asked += 1
        if self.store_fails:
            raise OSError("no space left on device")

    async def failing_after(self, seconds: float) -> tuple[str, ...]:
        self.now_s += seconds
        return await self.health.failing()


async def test_all_is_well_at_the_start_before_the_relay_reported() -> None:
    parts = Parts()
    parts.report = None
    assert await parts.failing_after(0) == ()
    assert await parts.failing_after(RELAY_SILENT_S + 1) == ("relay",)


async def test_a_relay_that_reports_no_more_fails_and_comes_back() -> None:
    parts = Parts()
    assert await parts.failing_after(RELAY_SILENT_S - 1) == ()
    assert await parts.failing_after(RELAY_SILENT_S + 1) == ("relay",)
    parts.report = object()
    assert await parts.failing_after(KEEP_S) == ()


async def test_a_report_between_questions_counts_from_when_it_was_seen() -> None:
    parts = Parts()
    await parts.failing_after(0)
    parts.now_s += 4
    parts.report = object()
    parts.health.watch()
    assert await parts.failing_after(RELAY_SILENT_S - 0.5) == ()


async def test_store_loop_and_recordings_are_told_by_their_names() -> None:
    parts = Parts()
    parts.store_fails, parts.lag_s, parts.recordings_fail = True, LOOP_LAG_LIMIT_S + 0.1, True
    assert await parts.failing_after(0) == ("store", "loop", "recordings")


async def test_a_crowd_of_questions_is_one_question_to_the_store() -> None:
    parts = Parts()
    await asyncio.gather(*(parts.health.failing() for _ in range(100)))
    assert parts.store_asked == 1
    await parts.failing_after(KEEP_S)
    assert parts.store_asked == 2


@pytest.mark.parametrize("seconds", [0.0, KEEP_S / 2])
async def test_an_answer_is_kept_for_a_moment(seconds: float) -> None:
    parts = Parts()
    parts.store_fails = True
    assert await parts.failing_after(0) == ("store",)
    parts.store_fails = False
    assert await parts.failing_after(seconds) == ("store",)
