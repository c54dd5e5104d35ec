"""A bad line, in network namespaces: lossy and late, gone for a while, another Wi-Fi."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.e2e.conftest import Launch
from tests.e2e.faraway import Place, call_place
from tests.e2e.looking import NEW_FRAME, is_heard, moves, picture, until, watch
from tests.e2e.people import by_id, hub_joins, in_session, satellite_joins
from tests.netns.hosts import Line

pytestmark = [pytest.mark.browser, pytest.mark.netns, pytest.mark.alone, pytest.mark.timeout(300)]


@dataclass
class Call:
    """A satellite and a hub in a session; one of them is at the far end of the line."""

    line: Line
    hub: Page
    ultrasound: str


@pytest.fixture
async def call(tmp_path: Path, launch: Launch) -> AsyncIterator[Call]:
    async with call_place(tmp_path, launch, far="hub") as place:
        yield await joined(place)


async def joined(place: Place) -> Call:
    await satellite_joins(place.satellite, place.links["satellite"])
    hub = await hub_joins(place.hub, place.links["hub"])
    ultrasound = picture("ultrasound")
    await moves(hub, ultrasound)
    return Call(place.line, hub, ultrasound)


async def test_ultrasound_keeps_moving_with_loss_and_delay(call: Call) -> None:
    await keeps_moving_over_a_lossy_line(call, 30)


async def test_ultrasound_keeps_moving_from_a_satellite_with_loss_and_delay(
    tmp_path: Path, launch: Launch
) -> None:
    async with call_place(tmp_path, launch, far="satellite") as place:
        await keeps_moving_over_a_lossy_line(await joined(place), 15)


async def keeps_moving_over_a_lossy_line(call: Call, seconds: int) -> None:
    call.line.set(loss=0.05, delay_ms=40)
    await asyncio.sleep(5)  # the jitter buffer learns the new line
    seen = await watch(call.hub, call.ultrasound, seconds)
    assert seen.longest_gap_ms <= 500, seen
    assert seen.frames >= seconds * 15, seen
    await is_heard(call.hub)


async def test_network_gone_for_ten_seconds_comes_back_by_itself(call: Call) -> None:
    call.line.set(up=False)
    await asyncio.sleep(10)
    call.line.set(up=True)
    await expect(by_id(call.hub, "connection-banner")).to_be_hidden(timeout=15_000)
    await expect(in_session(call.hub)).to_be_visible()
    await moves(call.hub, call.ultrasound, 3)
    await is_heard(call.hub)


async def test_change_of_wifi_goes_on_by_itself(call: Call) -> None:
    call.line.far.move_to("10.77.0.9")
    await asyncio.sleep(1)
    await until(call.hub, NEW_FRAME, call.ultrasound, 20)
    await expect(by_id(call.hub, "connection-banner")).to_be_hidden(timeout=20_000)
    await moves(call.hub, call.ultrasound, 3)
    await is_heard(call.hub)
