"""What can be decoded, and when a keyframe is asked for."""

from __future__ import annotations

import itertools

from bridge.media.recording.decodable import (
    FIRST_RETRY_US,
    KEYFRAME_EVERY_US,
    LONGEST_RETRY_US,
    PATIENCE_US,
    PROMISED_US,
    DecodableGate,
    KeyframeAsking,
)
from bridge.media.recording.depacketize import Frame
from bridge.media.recording.samples import Configuration, Sample


def frame(at_us: int = 0, *, keyframe: bool = False, broken: bool = False, configured: bool = False) -> Frame:
    configuration = Configuration("vp8", "vp8", 2, 2) if keyframe or configured else None
    return Frame(0, at_us, Sample(b"x", keyframe, configuration), broken=broken)


def test_nothing_before_the_first_keyframe() -> None:
    gate = DecodableGate()
    admitted = [gate.admits(each) for each in (frame(), frame(keyframe=True), frame())]
    assert admitted == [False, True, True]
    assert gate.skipped == 1


def test_after_a_loss_nothing_until_a_keyframe_even_a_broken_one_before() -> None:
    gate = DecodableGate()
    given = [frame(keyframe=True), frame(broken=True), frame(), frame(keyframe=True, broken=True), frame()]
    assert [gate.admits(each) for each in given] == [True, False, False, True, True]
    assert not gate.damaged


def test_a_sender_that_makes_no_keyframes_is_kept_after_a_while_and_marked() -> None:
    gate = DecodableGate()
    gate.admits(frame(keyframe=True))
    assert not gate.admits(frame(1, broken=True))
    assert not gate.admits(frame(PATIENCE_US))
    assert gate.admits(frame(PATIENCE_US + 1))
    assert gate.damaged
    assert gate.admits(frame(PATIENCE_US + 2))
    assert gate.admits(frame(PATIENCE_US + 3, keyframe=True))
    assert not gate.damaged


def test_without_any_configuration_nothing_can_ever_be_decoded() -> None:
    gate = DecodableGate()
    gate.admits(frame(0))
    assert not gate.admits(frame(2 * PATIENCE_US))
    assert gate.admits(frame(2 * PATIENCE_US + 1, configured=True))


def test_asks_at_once_when_needed_and_then_ever_more_rarely() -> None:
    asking = KeyframeAsking()
    asked = [now_us for now_us in range(0, 60_000_000, 100_000) if asking.due(True, now_us)]
    assert asked[:3] == [0, FIRST_RETRY_US, 3 * FIRST_RETRY_US]
    assert asked[-1] - asked[-2] == LONGEST_RETRY_US


def test_asks_every_few_seconds_without_need_so_that_replay_can_begin_anywhere() -> None:
    asking = KeyframeAsking()
    asked = []
    for now_us in range(0, 20_000_000, 100_000):
        if asking.due(False, now_us):
            asked.append(now_us)
            asking.keyframe(now_us + 50_000)
    steps = {later - earlier for earlier, later in itertools.pairwise(asked)}
    assert steps == {KEYFRAME_EVERY_US + 100_000}


def test_does_not_ask_while_a_keyframe_is_arriving() -> None:
    asking = KeyframeAsking()
    asking.promised(0)
    assert not asking.due(True, PROMISED_US - 1)
    assert asking.due(True, PROMISED_US)
