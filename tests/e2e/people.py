"""What people do on the pages, in the words of the tests: join by a link, and what they then see."""

from __future__ import annotations

import json
from typing import Any

from playwright.async_api import Browser, Locator, Page, expect

from tests.e2e.conftest import new_page

JOIN_TIMEOUT_MS = 15_000


def by_id(page: Page, name: str) -> Locator:
    return page.get_by_test_id(name)


async def join(page: Page, link: str, name: str) -> str:
    """Opens a link, gives a name and joins with whatever devices the page offers; returns the participant's id."""
    await page.goto(link)
    await by_id(page, "name-input").fill(name)
    await by_id(page, "join-button").click()
    return await joined(page)


async def joined(page: Page) -> str:
    """Waits until the session page is there; returns the own participant's id."""
    own = page.locator('[data-testid="person"][data-self="true"]')
    await own.first.wait_for(state="attached", timeout=JOIN_TIMEOUT_MS)
    identity = await own.first.get_attribute("data-participant")
    assert identity
    return identity


async def with_cine(page: Page) -> None:
    """On the join page: switches the ultrasound on and waits for its preview."""
    preview = by_id(page, "ultrasound-preview")
    await expect(preview).to_be_visible(timeout=JOIN_TIMEOUT_MS)


async def satellite_joins(
    browser: Browser, link: str, name: str = "Clinic Sơn La", **page_options: Any
) -> Page:
    page = await new_page(browser, **page_options)
    await page.goto(link)
    await by_id(page, "name-input").fill(name)
    await with_cine(page)
    await by_id(page, "join-button").click()
    await joined(page)
    return page


def facts(page: Page) -> Locator:
    return by_id(page, "picture-facts")


def as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
