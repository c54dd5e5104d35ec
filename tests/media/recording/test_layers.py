"""The layer that is kept."""

from __future__ import annotations

from bridge.media.recording.layers import STALLED_US, LayerChoice


def test_begins_with_any_layer_and_goes_up_at_a_keyframe_of_a_higher_one() -> None:
    choice = LayerChoice()
    assert choice.arrived(0, 0)
    assert choice.takes(0, 0)
    choice.current = 0
    assert choice.arrived(2, 10)
    assert choice.takes(2, 10)


def test_lower_layers_do_not_matter_while_the_kept_one_flows() -> None:
    choice = LayerChoice()
    choice.arrived(2, 0)
    choice.current = 2
    assert not choice.arrived(1, 10_000)
    assert not choice.takes(1, 10_000)


def test_goes_down_to_the_highest_that_still_flows_when_the_kept_one_stalls() -> None:
    choice = LayerChoice()
    choice.arrived(2, 0)
    choice.current = 2
    for now_us in range(0, STALLED_US, 33_000):
        choice.arrived(0, now_us)
        choice.arrived(1, now_us)
    assert choice.arrived(0, STALLED_US)
    assert not choice.takes(0, STALLED_US)
    assert choice.takes(1, STALLED_US)


def test_all_layers_standing_still_together_is_no_stall() -> None:
    choice = LayerChoice()
    choice.arrived(1, 0)
    choice.arrived(0, 0)
    choice.current = 1
    choice.arrived(1, 5_000_000)
    assert not choice.arrived(0, 5_000_001)
