"""Which layer of each picture a subscriber gets, from what its link bears; pure.

Steps are taken in one fixed order until the sum fits: the less important pictures go to their lowest layer, then stop,
before the most important one loses anything. Sound is never stopped. An unknown estimate gives everybody the best.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

# Part of the estimate that stays free for retransmissions, RTCP and the estimate's own error.
RESERVED_SHARE = 0.05
# A higher layer is taken only when it fits with this much to spare, so that a link at the edge does not flap.
RAISE_MARGIN = 1.1
# How far above the present need the relay may probe: a raise is found although nothing fills the link, and a link that
# bears all is known to bear it before anything is doubted.
PROBE_MARGIN = 1.4
# What sound costs while nothing is measured: Opus speech with its packet headers.
DEFAULT_AUDIO_BPS = 60_000
# A viewer of a picture smaller than this gets the lowest layer even where heights are unknown.
THUMBNAIL_HEIGHT = 240


@dataclass(frozen=True, slots=True)
class LayerMeasure:
    """A layer as it arrives: `height` 0 while unknown, `bitrate_bps` 0 while nothing flows."""

    bitrate_bps: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """One picture that a subscriber asked for. A larger `importance` keeps quality longer.

    `current` is the layer that was allotted last (None: paused); `layers` stand lowest quality first.
    """

    key: int
    importance: tuple[int, ...]
    max_height: int | None
    layers: tuple[LayerMeasure, ...]
    current: int | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """The highest layer to send (None: pause), and whether the link and not the wish is the reason."""

    layer: int | None
    limited: bool


@dataclass(frozen=True, slots=True)
class Allocation:
    """`probe_bps`: how far the relay may probe; it stops by itself where the estimate is there already."""

    targets: Mapping[int, Target]
    probe_bps: int


def allocate(
    estimate_bps: int, audio_bps: int, wanted: Sequence[Wanted], *, may_raise: bool = True
) -> Allocation:
    """`estimate_bps` 0: unknown. `may_raise` False holds every picture at its present layer or below."""
    best = {item.key: best_layer(item.max_height, item.layers) for item in wanted}
    need_bps = audio_bps + sum(_cost(item, best[item.key]) for item in wanted)
    probe_bps = int(need_bps * PROBE_MARGIN) if wanted else 0
    if estimate_bps <= 0:
        return Allocation({key: Target(layer, False) for key, layer in best.items()}, probe_bps)
    budget_bps = estimate_bps * (1 - RESERVED_SHARE) - audio_bps
    fits = _degrade(budget_bps, wanted, best)
    fits_easily = _degrade(budget_bps / RAISE_MARGIN, wanted, best)
    targets = {}
    for item in wanted:
        layer = _damped(item, fits[item.key], fits_easily[item.key], best[item.key], may_raise)
        targets[item.key] = Target(layer, layer != best[item.key])
    return Allocation(targets, probe_bps)


def best_layer(max_height: int | None, layers: Sequence[LayerMeasure]) -> int | None:
    """The lowest layer that fills the height that is looked at, or the highest there is."""
    if max_height == 0 or not layers:
        return None
    top = len(layers) - 1
    if max_height is None:
        return top
    for index, layer in enumerate(layers):
        if layer.height >= max_height:
            return index
    if all(layer.height == 0 for layer in layers) and max_height <= THUMBNAIL_HEIGHT:
        return 0
    return top


def _damped(
    item: Wanted, fits: int | None, fits_easily: int | None, best: int | None, may_raise: bool
) -> int | None:
    """Down at once, up only with room to spare. What fits easily is never above what fits: both took the same steps."""
    present = _rank(item.current)
    if _rank(fits) <= present:
        return fits
    raised = max(present, _rank(fits_easily)) if may_raise else present
    layer = min(raised, _rank(best))
    return layer if layer >= 0 else None


def _rank(layer: int | None) -> int:
    return -1 if layer is None else layer


def _degrade(
    budget_bps: float, wanted: Sequence[Wanted], best: Mapping[int, int | None]
) -> dict[int, int | None]:
    layers = dict(best)
    costs = {item.key: _cost(item, layers[item.key]) for item in wanted}
    total = sum(costs.values())
    if total <= budget_bps:
        return layers
    for item, layer in _steps(wanted, best):
        layers[item.key] = layer
        cost = _cost(item, layer)
        total += cost - costs[item.key]
        costs[item.key] = cost
        if total <= budget_bps:
            break
    return layers


def _steps(wanted: Sequence[Wanted], best: Mapping[int, int | None]) -> Iterator[tuple[Wanted, int | None]]:
    """The fixed order of giving things up. Of equals the one asked for last goes first."""
    shown = [item for item in wanted if best[item.key] is not None]
    if not shown:
        return
    ordered = sorted(reversed(shown), key=lambda item: item.importance)
    top = ordered[-1].importance
    lesser = [item for item in ordered if item.importance < top]
    greatest = [item for item in ordered if item.importance == top]
    for item in lesser:
        yield from ((item, layer) for layer in range(_rank(best[item.key]) - 1, -1, -1))
    yield from ((item, None) for item in lesser)
    highest = max(_rank(best[item.key]) for item in greatest)
    for layer in range(highest - 1, -1, -1):
        yield from ((item, layer) for item in greatest if _rank(best[item.key]) > layer)
    # The last picture stays, whatever the estimate says: an estimate can be wrong, an empty screen cannot be read.
    yield from ((item, None) for item in greatest[:-1])


def _cost(item: Wanted, layer: int | None) -> int:
    """A layer that is not flowing costs what the relay would send instead: the next lower one that flows."""
    if layer is None:
        return 0
    for measure in reversed(item.layers[: layer + 1]):
        if measure.bitrate_bps:
            return measure.bitrate_bps
    return 0
