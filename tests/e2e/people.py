"""What people do on the pages, in the words of the tests: join by a link, look who is there, moderate."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from playwright.async_api import Browser, Locator, Page, expect

from tests.e2e.conftest import new_page
from tests.serving import Server

JOIN_TIMEOUT_MS = 20_000


def by_id(page: Page, name: str) -> Locator:
    return page.get_by_test_id(name)


def in_session(page: Page) -> Locator:
    return by_id(page, "leave-button")


async def open_join(browser: Browser, link: str, name: str, **page_options: Any) -> Page:
    """Opens a link and fills in the name; the join button is not pressed yet."""
    page = await new_page(browser, **page_options)
    await page.goto(link)
    await by_id(page, "name-input").fill(name)
    return page


async def press_join(page: Page) -> None:
    await by_id(page, "join-button").click()
    await expect(in_session(page)).to_be_visible(timeout=JOIN_TIMEOUT_MS)


async def hub_joins(browser: Browser, link: str, name: str = "Dr Hà", **page_options: Any) -> Page:
    page = await open_join(browser, link, name, **page_options)
    await by_id(page, "camera-preview").wait_for(timeout=JOIN_TIMEOUT_MS)
    await press_join(page)
    return page


async def satellite_joins(browser: Browser, link: str, name: str = "Nurse Lan", **page_options: Any) -> Page:
    """Chooses the capture device for the ultrasound, and joins with it and the microphone."""
    page = await open_join(browser, link, name, **page_options)
    await choose_ultrasound(page)
    await press_join(page)
    return page


async def choose_ultrasound(page: Page) -> None:
    await by_id(page, "camera-preview").wait_for(timeout=JOIN_TIMEOUT_MS)
    await by_id(page, "ultrasound-select").select_option(index=1)
    await by_id(page, "ultrasound-preview").wait_for(timeout=JOIN_TIMEOUT_MS)


async def open_people(page: Page) -> None:
    if await by_id(page, "people-list").count() == 0:
        await by_id(page, "people-button").click()
    await by_id(page, "people-list").wait_for()


def person(page: Page, participant: str) -> Locator:
    return page.locator(f'[data-testid="person"][data-participant="{participant}"]')


def ask(server: Server, path: str, token: str) -> dict[str, Any]:
    """What the server's HTTP interface says."""
    request = urllib.request.Request(server.address + path, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        body: dict[str, Any] = json.load(answer)
    return body


def who(server: Server, made: dict[str, Any], role: str) -> str:
    """The id of the connected participant with a role."""
    told = ask(server, f"/api/sessions/{made['session']}", made["tokens"]["organiser"])
    found = [p["id"] for p in told["participants"] if p["role"] == role]
    assert len(found) == 1, told
    return str(found[0])
