"""What Prometheus reads, and who may read it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from bridge.media._native import TRANSIT_BOUNDS_US
from bridge.metrics import LAG_INTERVAL_S, LAG_WINDOW_S, LoopLag
from tests.house import House, open_house


async def samples(house: House) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    async with house.client.get(f"{house.url}/metrics") as response:
        assert response.status == 200
        assert response.content_type == "text/plain"
        families = text_string_to_metric_families(await response.text())
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in families
            for sample in family.samples
        }


async def relay_reported(house: House) -> None:
    """Waits for the relay's first report, which comes within about a second."""
    loop_lag = 0
    while house.server.engine.stats() is None:
        loop_lag += 1
        assert loop_lag < 500
        await asyncio.sleep(0.02)


async def test_relay_rooms_loop_and_http_are_measured(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await relay_reported(house)
        await house.ask("GET", "/api/sessions", "nonsense")
        found = await samples(house)
    for name in (
        "bridge_sessions",
        "bridge_participants",
        "bridge_tracks",
        "bridge_recordings",
        "bridge_recordings_in_trouble",
        "bridge_recordings_lost_seconds_total",
        "bridge_recorder_dropped_packets_total",
        "bridge_recorder_waiting_bytes",
        "bridge_relay_packets_in_total",
    ):
        assert found[(name, ())] == 0
    route = (("method", "GET"), ("route", "/api/sessions"), ("status", "401"))
    assert found[("bridge_http_answers_total", route)] == 1
    buckets = [labels for name, labels in found if name == "bridge_relay_transit_seconds_bucket"]
    assert len(buckets) == len(TRANSIT_BOUNDS_US) + 1
    assert ("bridge_relay_transit_seconds_sum", ()) in found
    assert ("bridge_loop_lag_seconds_count", ()) in found


async def test_no_id_token_or_address_stands_in_a_label(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        made = await house.make()
        token = house.staff_token()
        await house.ask("GET", f"/api/sessions/{made.session.id}?x={token}", token)
        await house.ask("GET", f"/{token}", token)
        async with house.client.get(f"{house.url}/metrics") as response:
            text = await response.text()
    assert made.session.id not in text
    assert token not in text
    assert "127.0.0.1" not in text
    assert 'route="/api/sessions/{session}"' in text


async def test_strange_methods_and_paths_make_no_new_series(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        for number in range(20):
            await house.ask(f"METHOD{number}", f"/strange{number}")
        series = [labels for name, labels in await samples(house) if name == "bridge_http_answers_total"]
    assert len(series) <= 2


async def test_others_than_the_machine_itself_are_refused(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        for forwarded in (
            {"X-Forwarded-For": "192.0.2.1"},
            {"Forwarded": "for=192.0.2.1"},
            {"Via": "1.1 proxy"},
        ):
            assert await house.code("GET", "/metrics", headers=forwarded) == (403, "notAllowed")


async def test_whom_the_settings_name_may_read(tmp_path: Path) -> None:
    async with open_house(
        tmp_path, trusted_proxies=("127.0.0.1/32",), metrics_allow=("192.0.2.0/24",)
    ) as house:
        for address, status in (("192.0.2.1", 200), ("198.51.100.1", 403)):
            async with house.client.get(
                f"{house.url}/metrics", headers={"X-Forwarded-For": address}
            ) as response:
                assert response.status == status


def test_one_long_pause_is_not_the_usual_lag_but_lasting_lateness_is() -> None:
    lag = LoopLag(CollectorRegistry())
    assert lag.usual_s == 0
    for late_s in (0.001, 5.0, 0.001, 0.002):
        lag.note(late_s)
    assert lag.usual_s < 0.01
    for _ in range(int(LAG_WINDOW_S / LAG_INTERVAL_S)):
        lag.note(2.0)
    assert lag.usual_s == 2.0
