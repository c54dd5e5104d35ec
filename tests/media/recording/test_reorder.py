"""The reorder window: order, patience, and bounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.media.recording.reorder import (
    MAX_HELD_BYTES,
    MAX_HELD_PACKETS,
    MAX_HOLE,
    START_WAIT_US,
    Hole,
    Packet,
    ReorderWindow,
)
from tests.media.recording.sending import Sent

WAIT_US = 100_000


def packet(sequence: int, arrived_us: int = 0, size: int = 1) -> Sent:
    return Sent(0, "vp8", arrived_us, sequence, 0, False, False, bytes(size))


def started(sequence: int) -> ReorderWindow:
    """A window through which one packet went."""
    window = ReorderWindow(WAIT_US)
    window.push(packet(sequence, -START_WAIT_US))
    assert numbers(window.expire(0)) == [sequence]
    return window


def numbers(items: list[Packet | Hole]) -> list[object]:
    return [item if isinstance(item, Hole) else item.sequence for item in items]


def test_packets_in_order_pass_at_once_but_for_the_first() -> None:
    window = ReorderWindow(WAIT_US)
    assert [window.push(packet(number, 0)) for number in (5, 4, 6)] == [[], [], []]
    assert numbers(window.expire(START_WAIT_US)) == [4, 5, 6]
    assert [numbers(window.push(packet(number))) for number in (7, 8, 9)] == [[7], [8], [9]]


def test_a_late_packet_is_put_into_its_place() -> None:
    window = started(1)
    assert window.push(packet(3, 1_000)) == []
    assert window.push(packet(4, 2_000)) == []
    assert numbers(window.push(packet(2, WAIT_US))) == [2, 3, 4]
    assert window.late == 0


def test_what_does_not_come_in_time_is_a_hole_and_too_late_afterwards() -> None:
    window = started(1)
    window.push(packet(4, 1_000))
    assert window.expire(WAIT_US) == []
    assert numbers(window.expire(WAIT_US + 1_000)) == [Hole(2), 4]
    assert window.push(packet(3, WAIT_US + 2_000)) == []
    assert window.late == 1


def test_a_second_hole_is_waited_for_since_it_was_seen_not_since_the_first_was_given_up() -> None:
    window = started(1)
    window.push(packet(3, 0))
    window.push(packet(5, 60_000))
    assert numbers(window.expire(WAIT_US)) == [Hole(1), 3]
    assert numbers(window.expire(WAIT_US + 60_000)) == [Hole(1), 5]


def test_a_duplicate_is_dropped_and_counted() -> None:
    window = started(1)
    for number in (3, 3, 1):
        window.push(packet(number))
    assert window.late == 2


def test_a_stream_that_begins_anew_is_not_waited_for() -> None:
    window = started(1)
    window.push(packet(3))
    assert numbers(window.push(packet(4 + MAX_HOLE))) == [Hole(1), 3, Hole(0), 4 + MAX_HOLE]


def test_what_waits_is_bounded_in_packets_and_bytes() -> None:
    window = started(0)
    out = [window.push(packet(number)) for number in range(2, MAX_HELD_PACKETS + 3)]
    assert numbers(out[-1])[:2] == [Hole(1), 2]
    window = started(0)
    assert window.push(packet(2, size=MAX_HELD_BYTES)) == []
    assert numbers(window.push(packet(3))) == [Hole(1), 2, 3]


@given(st.lists(st.integers(0, 60), min_size=1, max_size=120), st.integers(0, 2_000))
def test_whatever_arrives_comes_out_once_in_order_with_the_missing_counted(
    arriving: list[int], step_us: int
) -> None:
    window = ReorderWindow(WAIT_US)
    items: list[Packet | Hole] = []
    for place, number in enumerate(arriving):
        items += window.push(packet(number, place * step_us))
    items += window.flush()
    expected = next(item.sequence for item in items if not isinstance(item, Hole))
    assert not isinstance(items[0], Hole)
    for item in items:
        if isinstance(item, Hole):
            assert item.packets > 0
            expected += item.packets
        else:
            assert item.sequence == expected
            expected += 1
    kept = sum(not isinstance(item, Hole) for item in items)
    assert kept + window.late == len(arriving)
