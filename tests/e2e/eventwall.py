"""What an organiser does at the wall of an event, in the words of the tests, and who comes there."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from aiortc import MediaStreamTrack
from playwright.async_api import Browser, Locator, Page

from bridge.client import Participant
from tests.e2e.conftest import new_page
from tests.e2e.people import JOIN_TIMEOUT_MS, by_id, press_join
from tests.serving import Server

Shoot = Callable[[Page, str], Awaitable[None]]

PROVINCES = ("Sơn La", "Hà Giang", "Quảng Ninh", "Cà Mau", "Đắk Lắk")

KEEP_PEERS_JS = """
(() => {
  const peers = window.peers = [];
  const Real = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Real {
    constructor(...settings) { super(...settings); peers.push(this); }
  };
})();
"""


def invite(server: Server, made: dict[str, Any], point: str) -> dict[str, str]:
    request = urllib.request.Request(
        f"{server.address}/api/sessions/{made['session']}/invites",
        json.dumps({"role": "satellite", "point": point}).encode(),
        {"Authorization": f"Bearer {made['tokens']['organiser']}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        made_link: dict[str, str] = json.load(answer)
    return made_link


async def comes(browser: Browser, link: str, name: str, **page_options: Any) -> Page:
    """With camera and microphone, and its peer connections where a test can ask them."""
    page = await new_page(browser, **page_options)
    await page.add_init_script(KEEP_PEERS_JS)
    await page.goto(link)
    await by_id(page, "name-input").fill(name)
    await by_id(page, "camera-preview").wait_for(timeout=JOIN_TIMEOUT_MS)
    await press_join(page)
    return page


async def open_wall(page: Page) -> None:
    await page.keyboard.press("w")
    await by_id(page, "wall").wait_for()


def tile(page: Page, name: str) -> Locator:
    return by_id(page, "wall-tile").filter(has_text=name)


def on_desk(page: Page, participant: str) -> Locator:
    return page.locator(f'[data-testid="desk-person"][data-participant="{participant}"]')


async def id_of(page: Page, name: str) -> str:
    return str(await tile(page, name).get_attribute("data-participant"))


@asynccontextmanager
async def many_points(
    server: Server,
    made: dict[str, Any],
    count: int,
    tracks: Callable[[int], Mapping[str, MediaStreamTrack]] = lambda number: {},
) -> AsyncIterator[list[Participant]]:
    """Points of several provinces by a client without a browser, with what they send."""
    async with AsyncExitStack() as stack:
        points = []
        for number in range(count):
            point_name = f"{PROVINCES[number % len(PROVINCES)]}, Trạm y tế {number + 1}"
            token = invite(server, made, point_name)["token"]
            name = f"Nurse {number + 1}"
            point = Participant(server.address, token, name, tracks=tracks(number), receive=False)
            await stack.enter_async_context(point.taking_part())
            points.append(point)
        yield points
