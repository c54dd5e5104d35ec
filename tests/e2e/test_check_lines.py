"""What the line check finds of lines that are known: thin, far, and lossy ones, made between two hosts of our own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, Request

from tests.e2e.conftest import Launch, new_page
from tests.e2e.faraway import Place, call_place
from tests.e2e.people import by_id

pytestmark = [pytest.mark.browser, pytest.mark.netns, pytest.mark.alone, pytest.mark.timeout(240)]

RUN_TIMEOUT_MS = 80_000


async def checked(place: Place) -> tuple[dict[str, Any], dict[str, str]]:
    """What the page of the far end measured and told the server, and grades by reason."""
    page: Page = await new_page(place.satellite)
    told: list[dict[str, Any]] = []

    def note(request: Request) -> None:
        if request.url.endswith("/result"):
            told.append(json.loads(request.post_data or ""))

    page.on("request", note)
    await page.goto(place.links["satellite"].replace("/join#", "/check#"))
    await by_id(page, "check-start").click()
    await by_id(page, "check-verdict").wait_for(timeout=RUN_TIMEOUT_MS)
    found = by_id(page, "check-reason")
    rows = [found.nth(number) for number in range(await found.count())]
    grades = {
        str(await row.get_attribute("data-code")): str(await row.get_attribute("data-grade")) for row in rows
    }
    (measured,) = told
    await page.close()
    return measured, grades


async def test_a_thin_line_is_measured_as_thin_and_its_way_back_is_not_blamed(
    tmp_path: Path, launch: Launch
) -> None:
    async with call_place(tmp_path, launch, far="satellite") as place:
        place.line.set(rate_bps=0.9e6, delay_ms=60, queue_ms=300)
        measured, grades = await checked(place)
        assert 400_000 < measured["upBps"] < 950_000, measured
        assert grades["slowUp"] == "amber", measured
        assert measured["rttMs"] > 100
        # What comes back is what was sent: no more than that is known.
        assert measured["downBps"] is None or measured["downBps"] < 950_000
        assert measured["picture"]["fps"] > 5
        place.line.set(rate_bps=0.2e6, delay_ms=20, queue_ms=300)
        measured, grades = await checked(place)
        assert measured["upBps"] < 250_000, measured
        assert grades["slowUp"] == "red", measured


async def test_a_lossy_line_is_measured_on_each_way(tmp_path: Path, launch: Launch) -> None:
    async with call_place(tmp_path, launch, far="satellite") as place:
        place.line.set(loss=0.04, delay_ms=200)
        measured, grades = await checked(place)
        assert 0.015 < measured["lossUp"] < 0.08, measured
        assert 0.015 < measured["lossDown"] < 0.08, measured
        assert {grades["lossUp"], grades["lossDown"]} <= {"amber", "red"}, measured
        assert grades["farAway"] == "amber", measured
