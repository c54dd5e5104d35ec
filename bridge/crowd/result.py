"""The figures of a measured event: as one JSON object, and as a table that says what they are; pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bridge.crowd.event import Course, Moment
from bridge.media._native import TRANSIT_BOUNDS_US

_LATE_MS = 10.0
"""A loader whose own sends are later than this at the worst hundredth is taken to be the bottleneck."""
_FULL_CORE = 0.9


@dataclass(frozen=True, slots=True)
class Figures:
    """See `docs/load.md`."""

    failed_joins: int
    loss: float
    server_cores: float
    relay_cores: float
    us_per_packet: float
    pps: float
    transit_p50_ms: float
    transit_p99_ms: float
    first_frame_p50_s: float
    first_frame_p95_s: float
    keyframe_requests_per_s: float
    kb_per_viewer: float
    loop_lag_p99_ms: float
    loader_cores: float


@dataclass(frozen=True, slots=True)
class Loader:
    """What the crowd cost and how late it was, from one moment to another."""

    cores: float
    thread_cores: float
    late_p99_ms: float
    other_cores: float
    """What processes took that are neither server nor crowd."""
    stolen_cores: float
    """What the host of a virtual machine gave to others."""

    @property
    def verdict(self) -> str:
        """Whether it was itself the bottleneck."""
        if self.thread_cores > _FULL_CORE:
            return "THE LOADER WAS ITSELF THE BOTTLENECK: these figures are not the server's."
        if self.late_p99_ms > _LATE_MS:
            return (
                f"THE MACHINE WAS TOO BUSY: the loader sent late, while others took {self.other_cores:.1f} cores"
                f" and {self.stolen_cores:.1f} were stolen by its host. Times are not the server's."
            )
        return "The loader was not the bottleneck."


def figures(course: Course) -> Figures:
    """Steady state, but for joins, first frames and keyframe requests, which are of the storm."""
    steady, end = course.steady, course.end
    seconds = end.server.at_s - steady.server.at_s
    relay_s = _delta(steady, end, "bridge_relay_cpu_seconds_total")
    packets = _delta(steady, end, "bridge_relay_packets_out_total")
    storm_s = course.after_storm.server.at_s - course.before_storm.server.at_s
    asked = _delta(course.before_storm, course.after_storm, "bridge_relay_keyframe_requests_sent_total")
    # Who never saw a picture has not joined.
    dark = sum(first is None for first in course.firsts_s) if course.wish.stage else 0
    firsts = [first if first is not None else math.inf for first in course.firsts_s]
    grown = course.after_storm.server.memory_bytes - course.memories_bytes[0]
    return Figures(
        failed_joins=max(len(course.failed), dark),
        loss=loss(course),
        server_cores=round((end.server.cpu_s - steady.server.cpu_s) / seconds, 3),
        relay_cores=round(relay_s / seconds, 3),
        us_per_packet=round(relay_s * 1e6 / packets, 2) if packets else 0.0,
        pps=round(packets / seconds),
        transit_p50_ms=_quantile_ms(steady.server.transit, end.server.transit, 0.5),
        transit_p99_ms=_quantile_ms(steady.server.transit, end.server.transit, 0.99),
        first_frame_p50_s=quantile(firsts, 0.5),
        first_frame_p95_s=quantile(firsts, 0.95),
        keyframe_requests_per_s=round(asked / storm_s, 2),
        kb_per_viewer=round(grown / 1000 / course.wish.viewers, 1) if course.wish.viewers else 0.0,
        loop_lag_p99_ms=_quantile_ms(steady.server.loop_lag, end.server.loop_lag, 0.99),
        loader_cores=round(loader(steady, end).cores, 3),
    )


def loss(course: Course) -> float:
    """The share of all packets that did not come through in the steady state: lost on the way to the server or from it
    and never mended, or left out by the server."""
    steady, end = course.steady, course.end
    lost = end.crowd.lost - steady.crowd.lost
    dropped = _delta(steady, end, "bridge_relay_dropped_out_total")
    received = end.crowd.received - steady.crowd.received
    return round((lost + dropped) / max(1, received + lost), 7)


def loader(begin: Moment, end: Moment) -> Loader:
    seconds = end.server.at_s - begin.server.at_s
    bounds = [*(bound / 1e6 for bound in TRANSIT_BOUNDS_US), math.inf]
    late = [
        (bound, float(after - before))
        for bound, before, after in zip(bounds, begin.crowd.lateness, end.crowd.lateness, strict=True)
    ]
    own_s = end.own_cpu_s - begin.own_cpu_s
    server_s = end.server.cpu_s - begin.server.cpu_s
    machine_s = end.server.machine_cpu_s - begin.server.machine_cpu_s
    return Loader(
        own_s / seconds,
        (end.crowd.thread_cpu_us - begin.crowd.thread_cpu_us) / 1e6 / seconds,
        _bucket_quantile_ms(late, 0.99),
        max(0.0, machine_s - own_s - server_s) / seconds,
        (end.server.stolen_s - begin.server.stolen_s) / seconds,
    )


def table(course: Course) -> list[str]:
    """Lines for people."""
    wish, made = course.wish, figures(course)
    own = loader(course.steady, course.end)
    storm = loader(course.before_storm, course.after_storm)
    crowd = course.end.crowd
    wholes = [whole if whole is not None else math.inf for whole in course.wholes_s]
    storm_server = course.after_storm.server
    storm_s = storm_server.at_s - course.before_storm.server.at_s
    storm_cores = (storm_server.cpu_s - course.before_storm.server.cpu_s) / storm_s
    storm_lag_ms = _quantile_ms(course.before_storm.server.loop_lag, storm_server.loop_lag, 0.99)
    rows = [
        ("joining", ""),
        ("did not get in, or saw nothing", f"{made.failed_joins}{_told(Counter(course.failed))}"),
        ("told to come back, and did", f"{len(course.refused)}{_told(Counter(course.refused))}"),
        ("shown a waiting room", str(course.waited)),
        ("viewer's join, p50 / p95", f"{quantile(course.joins_s, 0.5)} / {quantile(course.joins_s, 0.95)} s"),
        ("first picture, p50 / p95", f"{made.first_frame_p50_s} / {made.first_frame_p95_s} s"),
        ("all pictures, p50 / p95", f"{quantile(wholes, 0.5)} / {quantile(wholes, 0.95)} s"),
        ("keyframe requests to all publishers", f"{made.keyframe_requests_per_s} a second"),
        ("two of them to one layer, at least", f"{crowd.keyframe_apart_us / 1e6:.2f} s apart"),
        ("server in the storm", f"{storm_cores:.2f} cores, event loop p99 {storm_lag_ms} ms late"),
        ("steady state", ""),
        ("lost for good", f"{made.loss:.7f} of {crowd.received - course.steady.crowd.received} packets"),
        ("mended by retransmission", str(crowd.recovered - course.steady.crowd.recovered)),
        ("connections lost", str(course.dropped_out)),
        ("pictures that flow", f"{crowd.flowing} of {crowd.pictures}"),
        ("forwarded", f"{made.pps:.0f} packets a second"),
        ("received", f"{_bits(course) / 1e6:.0f} Mbit/s"),
        ("server, relay thread", f"{made.server_cores} cores, {made.relay_cores}"),
        ("a forwarded packet", f"{made.us_per_packet} us of the relay thread"),
        ("transit, p50 / p99", f"{made.transit_p50_ms} / {made.transit_p99_ms} ms"),
        ("event loop, p99", f"{made.loop_lag_p99_ms} ms late"),
        ("memory for a viewer", f"{made.kb_per_viewer} kB"),
        (
            "before viewers, after earlier storms",
            " ".join(f"{size / 1e6:.0f}" for size in course.memories_bytes),
        ),
        ("server's memory", f"{course.end.server.memory_bytes / 1e6:.0f} MB"),
        ("loader", ""),
        (
            "its cores, its media thread",
            f"{own.cores:.2f}, {own.thread_cores:.2f} (storm {storm.thread_cores:.2f})",
        ),
        ("its own sends late, p99", f"{own.late_p99_ms} ms (storm {storm.late_p99_ms} ms)"),
        ("other processes, stolen by the host", f"{own.other_cores:.2f}, {own.stolen_cores:.2f} cores"),
        ("sent, not taken by the kernel", f"{crowd.sent}, {crowd.unsent}"),
        ("lost on the way up, sent again", f"{crowd.lost_up}, {crowd.resent}"),
        ("decrypted in full, wrong", f"{crowd.checked} of {crowd.received}, {crowd.wrong}"),
        ("errors told to members", f"{len(course.errors)}{_told(Counter(course.errors))}"),
    ]
    asked = ", ".join(f"{number} of {height} lines" for height, number in sorted(course.asked.items()))
    wanted = ", ".join(f"{number} x {name or 'nothing'}" for name, number in course.layers_wanted.items())
    return [
        f"{wish.points} points ({'they watch the stage' if wish.points_watch else 'they do not watch'}),"
        f" {wish.stage} on the stage, {wish.speaking} speak, {wish.viewers} viewers in {wish.storm_s:g} s",
        f"pictures asked for: {asked or 'none'}",
        f"layers that the server wanted of cameras: {wanted or 'none'}",
        *(f"{name}" if not value else f"  {name:<38}{value}" for name, value in rows),
        own.verdict,
    ]


def quantile(values: Sequence[float], share: float) -> float:
    """0 of nothing; infinite where so many never came."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)], 3)


def _bits(course: Course) -> float:
    seconds = course.end.server.at_s - course.steady.server.at_s
    return (course.end.crowd.received_bytes - course.steady.crowd.received_bytes) * 8 / seconds


def _delta(begin: Moment, end: Moment, name: str) -> float:
    return end.server.values[name] - begin.server.values[name]


def _told(codes: Counter[str]) -> str:
    return " (" + ", ".join(f"{number} {code}" for code, number in codes.items()) + ")" if codes else ""


def _quantile_ms(
    before: Sequence[tuple[float, float]], after: Sequence[tuple[float, float]], share: float
) -> float:
    """Of a Prometheus histogram between two readings."""
    buckets: list[tuple[float, float]] = []
    below = 0.0
    for (bound, old), (_, new) in zip(before, after, strict=True):
        buckets.append((bound, new - old - below))
        below = new - old
    return _bucket_quantile_ms(buckets, share)


def _bucket_quantile_ms(buckets: Sequence[tuple[float, float]], share: float) -> float:
    """Linear within a bucket; beyond the last bound, twice that."""
    wanted = share * sum(count for _, count in buckets)
    low = 0.0
    for bound, count in buckets:
        high = bound if math.isfinite(bound) else 2 * low
        if count and wanted <= count:
            return round((low + (high - low) * wanted / count) * 1000, 3)
        wanted -= count
        low = high
    return 0.0
