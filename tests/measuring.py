"""What a server's metrics tell of live video: how long packets are under way in it, and how late its loop is."""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from tests.serving import Server

_TRANSIT, _LAG = "bridge_relay_transit_seconds", "bridge_loop_lag_seconds"
_DROPPED = "bridge_relay_dropped_out_total"

Histogram = dict[float, float]
"""Upper bound in seconds: so many at or below it."""


@dataclass
class Reading:
    """Totals since the server started."""

    transit: Histogram = field(default_factory=dict)
    lag: Histogram = field(default_factory=dict)
    dropped: float = 0.0


def read_metrics(server: Server) -> Reading:
    with urllib.request.urlopen(f"{server.address}/metrics", timeout=30) as answer:
        page = answer.read().decode()
    reading = Reading()
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.name == f"{_TRANSIT}_bucket":
                reading.transit[float(sample.labels["le"])] = sample.value
            elif sample.name == f"{_LAG}_bucket":
                reading.lag[float(sample.labels["le"])] = sample.value
            elif sample.name == _DROPPED:
                reading.dropped = sample.value
    return reading


def quantile_ms(before: Histogram, after: Histogram, share: float) -> float:
    """Of what came between two readings, linear within a bucket. Raises ValueError if nothing did."""
    bounds = sorted(after)
    # A server that has just begun has counted nothing yet.
    total = after[bounds[-1]] - before.get(bounds[-1], 0)
    if total == 0:
        raise ValueError("nothing was counted")
    low_s = below = 0.0
    for bound_s in bounds:
        upto = after[bound_s] - before.get(bound_s, 0)
        if upto >= share * total:
            high_s = bound_s if bound_s != float("inf") else 2 * low_s
            return round(1000 * (low_s + (high_s - low_s) * (share * total - below) / (upto - below)), 3)
        low_s, below = bound_s, upto
    raise AssertionError("the last bucket holds all")
