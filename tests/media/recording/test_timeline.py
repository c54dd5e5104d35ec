"""Time stamps on the session's clock: drift, jitter, standing still, and beginning anew."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable

import pytest

from bridge.media.recording.timeline import DEAD_BAND_US, StreamClock

RATE_HZ = 90_000
BASE_US = 20_000


class Recorded:
    """Frames of 30 a second in parts of 30; where each frame came to lie, and when it was made."""

    def __init__(self) -> None:
        self.clock = StreamClock(RATE_HZ, 0)
        self.open: list[tuple[int, int]] = []
        self.placed: list[tuple[int, int]] = []

    def frame(self, made_us: int, timestamp: int, arrived_us: int) -> None:
        if self.open and (
            self.clock.leaps(timestamp, arrived_us) or (len(self.open) >= 30 and not self.clock.settling)
        ):
            self.close()
        self.open.append((self.clock.stamp(timestamp & 0xFFFF_FFFF, arrived_us), made_us))

    def close(self) -> None:
        start_us = self.clock.place(self.open[0][0])
        self.placed += [
            (start_us + self.clock.us(ticks - self.open[0][0]), made_us) for ticks, made_us in self.open
        ]
        self.open = []

    def errors_us(self) -> list[int]:
        return [placed_us - made_us - BASE_US for placed_us, made_us in self.placed]


def recorded(
    made_us: Iterable[int],
    *,
    ticks: Callable[[int], int] = lambda us: us * 9 // 100,
    delay_us: Callable[[int], int] = lambda _: 0,
) -> Recorded:
    """`ticks` tells the sender's clock of the true time, `delay_us` what the line adds to the usual."""
    result = Recorded()
    for us in made_us:
        result.frame(us, ticks(us), us + BASE_US + delay_us(us))
    result.close()
    return result


def moments(seconds: float, from_s: float = 100) -> range:
    return range(int(from_s * 1_000_000), int((from_s + seconds) * 1_000_000), 33_333)


def rises(result: Recorded) -> bool:
    times = [placed_us for placed_us, _ in result.placed]
    return all(earlier < later for earlier, later in itertools.pairwise(times))


def test_frames_lie_where_they_arrived_on_a_perfect_line_across_a_wrap() -> None:
    near_wrap = (1 << 32) - 9_000_000 - RATE_HZ
    result = recorded(moments(3), ticks=lambda us: near_wrap + us * 9 // 100)
    assert max(map(abs, result.errors_us())) <= 20
    assert rises(result)


@pytest.mark.parametrize("parts_per_million", [-100, 100])
def test_a_sender_whose_crystal_drifts_is_followed_for_an_hour(parts_per_million: int) -> None:
    def ticks(us: int) -> int:
        return us * 9 * (1_000_000 + parts_per_million) // 100_000_000

    result = recorded(range(100_000_000, 3_700_000_000, 333_333), ticks=ticks)
    assert max(map(abs, result.errors_us())) <= DEAD_BAND_US + 3_000
    assert rises(result)


def test_jitter_neither_moves_frames_nor_disturbs_their_spacing() -> None:
    chance = random.Random(3)
    result = recorded(moments(60), delay_us=lambda _: chance.randrange(80_000))
    errors = result.errors_us()
    assert max(map(abs, errors)) < 12_000
    steps = [later - earlier for earlier, later in itertools.pairwise(errors)]
    assert sum(abs(step) > 50 for step in steps) <= len(errors) // 30


def test_a_slow_first_second_is_made_up_for() -> None:
    result = recorded(moments(20), delay_us=lambda us: 150_000 if us < 101_200_000 else 0)
    assert abs(result.errors_us()[-1]) <= DEAD_BAND_US
    assert rises(result)


def test_a_line_that_stands_still_for_three_seconds_does_not_move_the_time_line() -> None:
    def delay_us(us: int) -> int:
        return max(0, 105_000_000 - us) if us >= 102_000_000 else 0

    result = recorded(moments(10), delay_us=delay_us)
    assert max(map(abs, result.errors_us())) <= DEAD_BAND_US
    assert rises(result)


def test_a_path_that_becomes_longer_does_not_stretch_time_at_once() -> None:
    result = recorded(moments(20), delay_us=lambda us: 60_000 if us > 105_000_000 else 0)
    assert max(map(abs, result.errors_us())) < 15_000


def test_a_source_whose_clock_stood_still_while_muted_goes_on_at_the_true_time() -> None:
    def ticks(us: int) -> int:
        return (us if us < 150_000_000 else us - 40_000_000) * 9 // 100

    result = recorded([*moments(5), *moments(5, from_s=150)], ticks=ticks)
    assert max(map(abs, result.errors_us())) <= DEAD_BAND_US
    assert rises(result)


@pytest.mark.parametrize("jump", [-7_000_000, 123_456_789, 1 << 31])
def test_time_stamps_that_begin_anew_do_not_move_the_time_line(jump: int) -> None:
    def ticks(us: int) -> int:
        return us * 9 // 100 + (jump if us > 103_000_000 else 0)

    result = recorded(moments(6), ticks=ticks)
    assert max(map(abs, result.errors_us())) <= DEAD_BAND_US
    assert rises(result)


def test_sound_and_picture_over_one_bad_line_stay_together() -> None:
    chance = random.Random(9)
    congestion = [chance.randrange(200_000) if chance.random() < 0.5 else 0 for _ in range(400)]

    def delay_us(us: int) -> int:
        return congestion[us // 1_000_000] + chance.randrange(30_000)

    picture = recorded(moments(200), delay_us=delay_us)
    sound = recorded(moments(200), ticks=lambda us: us * 9 // 100 + 77_777_777, delay_us=delay_us)
    apart = [abs(a - b) for a, b in zip(picture.errors_us(), sound.errors_us(), strict=True)]
    assert max(apart[300:]) < 40_000
    assert max(apart) < 80_000
