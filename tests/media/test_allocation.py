from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.media.allocation import LayerMeasure, Wanted, allocate, best_layer

ULTRASOUND_LAYERS = (LayerMeasure(150_000, 270), LayerMeasure(6_000_000, 1080))
CAMERA_LAYERS = (LayerMeasure(100_000, 180), LayerMeasure(400_000, 360), LayerMeasure(1_200_000, 720))
ULTRASOUND, FIRST, SECOND = 1, 2, 3
AUDIO_BPS = 50_000


def room(current: dict[int, int | None] | None = None) -> list[Wanted]:
    present: dict[int, int | None] = {ULTRASOUND: 1, FIRST: 2, SECOND: 2, **(current or {})}
    return [
        Wanted(ULTRASOUND, (1, 2), None, ULTRASOUND_LAYERS, present[ULTRASOUND]),
        Wanted(FIRST, (0, 0), None, CAMERA_LAYERS, present[FIRST]),
        Wanted(SECOND, (0, 0), None, CAMERA_LAYERS, present[SECOND]),
    ]


@pytest.mark.parametrize(
    ("estimate_bps", "layers"),
    [
        (0, (1, 2, 2)),  # unknown
        (12_000_000, (1, 2, 2)),
        (8_500_000, (1, 2, 1)),
        (7_800_000, (1, 2, 0)),
        (7_000_000, (1, 1, 0)),
        (6_700_000, (1, 0, 0)),
        (6_520_000, (1, 0, None)),
        (6_450_000, (1, None, None)),
        (6_000_000, (0, None, None)),  # all cameras are given up before the ultrasound loses anything
        (100_000, (0, None, None)),  # and its last layer is never given up
    ],
)
def test_ultrasound_keeps_its_quality_longest(estimate_bps: int, layers: tuple[int | None, ...]) -> None:
    result = allocate(estimate_bps, AUDIO_BPS, room())
    assert tuple(result.targets[key].layer for key in (ULTRASOUND, FIRST, SECOND)) == layers


def test_only_what_the_link_holds_back_is_limited() -> None:
    result = allocate(7_800_000, AUDIO_BPS, room())
    assert {key: target.limited for key, target in result.targets.items()} == {
        ULTRASOUND: False,
        FIRST: False,
        SECOND: True,
    }


def test_sound_comes_before_any_picture() -> None:
    assert allocate(8_000_000, AUDIO_BPS, room()).targets[SECOND].layer == 0
    assert allocate(8_000_000, 2_000_000, room()).targets[SECOND].layer is None


@pytest.mark.parametrize("estimate_bps", [0, 3_000_000, 20_000_000])
def test_probes_reach_somewhat_beyond_what_is_wanted(estimate_bps: int) -> None:
    assert 10_000_000 < allocate(estimate_bps, AUDIO_BPS, room()).probe_bps < 13_000_000


def test_nothing_is_probed_for_where_nothing_is_wanted() -> None:
    assert allocate(3_000_000, AUDIO_BPS, []).probe_bps == 0


def test_link_at_the_edge_does_not_flap() -> None:
    low = {FIRST: 2, SECOND: 0}
    need_bps = (6_000_000 + 1_200_000 + 400_000 + AUDIO_BPS) / 0.95
    assert allocate(int(need_bps * 1.05), AUDIO_BPS, room(low)).targets[SECOND].layer == 0
    assert allocate(int(need_bps * 1.12), AUDIO_BPS, room(low)).targets[SECOND].layer == 1


def test_nothing_is_raised_while_held_but_all_may_fall() -> None:
    low: dict[int, int | None] = {SECOND: 0}
    assert allocate(20_000_000, AUDIO_BPS, room(low), may_raise=False).targets[SECOND].layer == 0
    assert allocate(3_000_000, AUDIO_BPS, room(low), may_raise=False).targets[ULTRASOUND].layer == 0


def test_pictures_of_equal_importance_keep_at_least_the_first() -> None:
    cameras = [Wanted(key, (0, 0), None, CAMERA_LAYERS, 2) for key in range(4)]
    layers = [allocate(200_000, 0, cameras).targets[key].layer for key in range(4)]
    assert layers == [0, None, None, None]


@pytest.mark.parametrize(
    ("max_height", "layers", "layer"),
    [
        (None, CAMERA_LAYERS, 2),
        (0, CAMERA_LAYERS, None),
        (180, CAMERA_LAYERS, 0),
        (181, CAMERA_LAYERS, 1),
        (4000, CAMERA_LAYERS, 2),
        (200, (LayerMeasure(), LayerMeasure()), 0),
        (800, (LayerMeasure(), LayerMeasure()), 1),
        (100, (LayerMeasure(1, 0),), 0),
        (300, (), None),
    ],
)
def test_a_wish_takes_the_smallest_layer_that_fills_it(
    max_height: int | None, layers: tuple[LayerMeasure, ...], layer: int | None
) -> None:
    assert best_layer(max_height, layers) == layer


def test_a_layer_that_does_not_flow_costs_what_is_sent_instead() -> None:
    layers = (LayerMeasure(100_000, 180), LayerMeasure(0, 0))
    result = allocate(200_000, 0, [Wanted(1, (0,), None, layers, 1)])
    assert result.targets[1].layer == 1


def rank(layer: int | None) -> int:
    return -1 if layer is None else layer


wishes = st.lists(
    st.builds(
        lambda importance, height, rates: (
            importance,
            height,
            tuple(LayerMeasure(rate, 90 * (i + 1)) for i, rate in enumerate(sorted(rates))),
        ),
        st.integers(0, 2),
        st.one_of(st.none(), st.integers(0, 400)),
        st.lists(st.integers(0, 5_000_000), min_size=1, max_size=4),
    ),
    max_size=8,
)


@given(wishes, st.integers(1, 30_000_000), st.integers(1, 30_000_000))
@settings(max_examples=200)
def test_more_bandwidth_never_gives_less(
    shape: list[tuple[int, int | None, tuple[LayerMeasure, ...]]], one: int, other: int
) -> None:
    wanted = [
        Wanted(key, (importance,), height, layers, len(layers) - 1)
        for key, (importance, height, layers) in enumerate(shape)
    ]
    less, more = sorted((one, other))
    low, high = allocate(less, 0, wanted).targets, allocate(more, 0, wanted).targets
    for key, target in low.items():
        assert rank(target.layer) <= rank(high[key].layer)
