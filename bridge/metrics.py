"""What is measured, as Prometheus reads it: the relay's counters, rooms and recordings, HTTP answers, loop lag.

Each server has its own registry. No label holds a person, a session, a token or an address: routes stand as patterns.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from aiohttp import web
from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from bridge.errors import NotAuthorised
from bridge.guard import Clients, Handler, contains, networks
from bridge.media._native import TRANSIT_BOUNDS_US, RelayStats
from bridge.recordkeeping import RecordingCounts
from bridge.rooms import Counts

LAG_INTERVAL_S = 0.5
LAG_WINDOW_S = 10.0
LAG_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
DURATION_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_MICROSECONDS = 1e-6
_MILLISECONDS = 1e-3

# They double every counter for a time that nobody here asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]

_RELAY_COUNTERS = {
    "packets_in": "Datagrams that came in.",
    "bytes_in": "Bytes that came in.",
    "packets_out": "Datagrams that went out.",
    "bytes_out": "Bytes that went out.",
    "unknown_sender": "Datagrams from addresses that no peer has.",
    "malformed": "Packets that could not be read.",
    "unauthenticated": "Packets whose authentication failed.",
    "replayed": "Packets that came a second time.",
    "dropped_out": "Packets not sent because a receiver could not take more.",
    "nacks_sent": "Lost packets that publishers were asked for again.",
    "keyframe_requests_sent": "Keyframe requests that went to publishers.",
    "keyframe_requests_received": "Keyframe requests that came from receivers.",
    "events_dropped": "Events lost because the event loop did not read them.",
    "panics": "Peers given up because a packet of theirs was handled wrongly.",
}


class RecorderLoad(Protocol):
    """How the recorder keeps up."""

    @property
    def dropped_packets(self) -> int: ...
    @property
    def waiting_bytes(self) -> int: ...


class LoopLag:
    """How late the event loop wakes up who sleeps: what every signaling message waits at least."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._histogram = Histogram(
            "bridge_loop_lag_seconds",
            "How late the event loop comes back to a task that slept.",
            buckets=LAG_BOUNDS_S,
            registry=registry,
        )
        self._recent: deque[float] = deque(maxlen=int(LAG_WINDOW_S / LAG_INTERVAL_S))

    @property
    def usual_s(self) -> float:
        """The median of the last ten seconds: one long pause is over when it is seen, lasting lateness is not."""
        return statistics.median(self._recent) if self._recent else 0.0

    async def run(self) -> None:
        """Measures until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + LAG_INTERVAL_S
            await asyncio.sleep(LAG_INTERVAL_S)
            self.note(max(0.0, loop.time() - due_s))

    def note(self, lag_s: float) -> None:
        self._recent.append(lag_s)
        self._histogram.observe(lag_s)


class Metrics:
    """The registry of one server, and its page."""

    def __init__(
        self,
        relay: Callable[[], RelayStats | None],
        rooms: Callable[[], Counts],
        recordings: Callable[[], RecordingCounts],
        recorder: RecorderLoad,
    ) -> None:
        self.registry = CollectorRegistry()
        self.loop_lag = LoopLag(self.registry)
        self._answers = Counter(
            "bridge_http_answers",
            "HTTP requests answered.",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self._durations = Histogram(
            "bridge_http_seconds",
            "Time to answer an HTTP request; WebSockets are not among them.",
            ("route",),
            buckets=DURATION_BOUNDS_S,
            registry=self.registry,
        )
        self.registry.register(_Live(relay, rooms, recordings, recorder))
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def page(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def middleware(self) -> Callable[..., Awaitable[web.StreamResponse]]:
        """Counts answers by route pattern."""

        @web.middleware
        async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
            begun_s = time.monotonic()
            response = await handler(request)
            resource = request.match_info.route.resource
            route = resource.canonical if resource is not None else "none"
            method = (
                request.method
                if request.method in ("GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS")
                else "other"
            )
            self._answers.labels(route, method, str(response.status)).inc()
            if not isinstance(response, web.WebSocketResponse):
                self._durations.labels(route).observe(time.monotonic() - begun_s)
            return response

        return count


def metrics_handler(metrics: Metrics, clients: Clients, allow: Iterable[str]) -> Handler:
    """`GET /metrics` for the machine itself and for whom the settings name; `notAllowed` for others."""
    allowed = networks(tuple(allow))

    async def handler(request: web.Request) -> web.StreamResponse:
        address = clients.address(request)
        # A proxy on this machine must not make everybody look local.
        local = address is not None and address.is_loopback and clients.is_direct(request)
        if not local and (address is None or not contains(allowed, address)):
            raise NotAuthorised("Metrics are shown to whom the settings name.", "notAllowed")
        return web.Response(body=metrics.page(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return handler


class _Live(Collector):
    """Reads relay and rooms when Prometheus asks, so that nothing is copied in between."""

    def __init__(
        self,
        relay: Callable[[], RelayStats | None],
        rooms: Callable[[], Counts],
        recordings: Callable[[], RecordingCounts],
        recorder: RecorderLoad,
    ) -> None:
        self._relay = relay
        self._rooms = rooms
        self._recordings = recordings
        self._recorder = recorder

    def collect(self) -> Iterable[Metric]:
        rooms = self._rooms()
        yield GaugeMetricFamily("bridge_sessions", "Sessions with somebody in them.", value=rooms.sessions)
        yield GaugeMetricFamily("bridge_participants", "Connected participants.", value=rooms.participants)
        yield GaugeMetricFamily("bridge_tracks", "Published tracks.", value=rooms.tracks)
        yield GaugeMetricFamily(
            "bridge_waiting", "Who waits to come into an event, in the queue or a lobby.", value=rooms.waiting
        )
        yield GaugeMetricFamily(
            "bridge_load_level",
            "How near its limit the server is: 0 calm, 1 strained, 2 full (no more viewers).",
            value=rooms.load,
        )
        recordings = self._recordings()
        yield GaugeMetricFamily(
            "bridge_recordings", "Recordings that are being made.", value=recordings.running
        )
        yield GaugeMetricFamily(
            "bridge_recordings_in_trouble",
            "Recordings that cannot be written at this moment.",
            value=recordings.in_trouble,
        )
        yield CounterMetricFamily(
            "bridge_recordings_lost_seconds",
            "What is missing from recordings: storage failed, this machine did not keep up, or a keyframe was awaited.",
            value=recordings.lost_ms * _MILLISECONDS,
        )
        yield CounterMetricFamily(
            "bridge_recorder_dropped_packets",
            "Packets that are in no recording because this machine did not keep up.",
            value=self._recorder.dropped_packets,
        )
        yield GaugeMetricFamily(
            "bridge_recorder_waiting_bytes",
            "What waits in memory to be written into recordings.",
            value=self._recorder.waiting_bytes,
        )
        relay = self._relay()
        if relay is not None:
            yield from _relay_metrics(relay)

    def describe(self) -> Iterable[Metric]:
        return ()


def _relay_metrics(relay: RelayStats) -> Iterable[Metric]:
    for name, text in _RELAY_COUNTERS.items():
        yield CounterMetricFamily(f"bridge_relay_{name}", text, value=getattr(relay, name))
    yield CounterMetricFamily(
        "bridge_relay_cpu_seconds",
        "CPU time of the relay's thread.",
        value=relay.thread_cpu_us * _MICROSECONDS,
    )
    buckets: list[tuple[str, float]] = []
    total = 0
    for bound_us, count in zip(TRANSIT_BOUNDS_US, relay.transit, strict=False):
        total += count
        buckets.append((repr(bound_us * _MICROSECONDS), total))
    buckets.append(("+Inf", sum(relay.transit)))
    transit = HistogramMetricFamily(
        "bridge_relay_transit_seconds", "From a packet's arrival to its forwarding."
    )
    transit.add_metric([], buckets=buckets, sum_value=relay.transit_sum_us * _MICROSECONDS)
    yield transit
