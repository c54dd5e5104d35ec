"""The line check in a real browser through the real relay, and what the organiser sees before and after an event."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import json
import re
import sqlite3
import urllib.request
import zipfile
from collections.abc import Sequence
from typing import Any

import jwt
import pytest
from playwright.async_api import Browser, Page, expect

from bridge.client import Participant
from bridge.office import DATABASE_FILE
from tests.e2e.conftest import Launch, new_page
from tests.e2e.eventwall import Shoot
from tests.e2e.hearing import faults, open_checked
from tests.e2e.looking import until
from tests.e2e.people import ask, by_id
from tests.serving import Server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

RUN_TIMEOUT_MS = 80_000
"""A check is over by then, with or without a result."""
WIDTHS = ((1280, 800), (768, 1024), (360, 740))
NO_DEVICES = "--use-fake-device-for-media-stream"
"""Devices are there, and nobody allows them."""
NO_UDP = "--webrtc-ip-handling-policy=disable_non_proxied_udp"
FITS = "() => document.documentElement.scrollWidth <= innerWidth"
STEPS_DONE = "() => [...document.querySelectorAll('[data-step]')].map((one) => one.dataset.state)"


class Event:
    """An event on a server, with points that have links."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.made = server.create_session("Khánh thành phòng hội chẩn từ xa", "--format", "event")
        self.organiser = str(self.made["tokens"]["organiser"])
        self.path = f"/api/events/{self.made['session']}"

    def post(self, path: str, token: str, body: dict[str, Any] | None = None) -> Any:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        data = b"" if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.server.address + path, data, headers, method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def add_point(self, province: str, organisation: str, contact: str = "") -> Point:
        wish = {"province": province, "organisation": organisation, "contact": contact}
        return Point(self, self.post(f"{self.path}/points", self.organiser, wish))

    def page(self, tab: str) -> str:
        return f"{self.server.address}/event#{self.organiser}&tab={tab}"

    def checks(self) -> dict[str, Any]:
        """Newest results by point."""
        told = ask(self.server, f"{self.path}/checks", self.organiser)
        return {one["point"]: one["check"] for one in told["points"]}


class Point:
    """One with its link."""

    def __init__(self, event: Event, made: dict[str, Any]) -> None:
        self.event, self.id = event, str(made["id"])
        self.token = str(made["link"]).partition("#")[2]

    @property
    def page(self) -> str:
        return f"{self.event.server.address}/check#{self.token}"

    def measured(self, **figures: Any) -> None:
        """A check as a page sends it."""
        good = {"camera": "ok", "microphone": "ok", "udp": True, "https": True, "rttMs": 40}
        good |= {"upBps": 3.4e6, "downBps": 3.9e6, "browser": "Chrome 140, Windows"}
        good |= {"picture": {"width": 1280, "height": 720, "fps": 30}}
        check = self.event.post("/api/linecheck", self.token)["check"]
        self.event.post(f"/api/linecheck/{check}/result", self.token, good | figures)


@pytest.fixture
def event(server: Server) -> Event:
    return Event(server)


@pytest.fixture
def point(event: Event) -> Point:
    return event.add_point("Sơn La", "BVĐK Mộc Châu")


async def verdict(page: Page) -> str:
    """Begins a check and returns what came out."""
    await by_id(page, "check-start").click()
    await by_id(page, "check-verdict").wait_for(timeout=RUN_TIMEOUT_MS)
    return str(await by_id(page, "check-verdict").get_attribute("data-grade"))


async def reasons(page: Page) -> list[str | None]:
    found = by_id(page, "check-reason")
    return [await found.nth(place).get_attribute("data-code") for place in range(await found.count())]


async def shoot_widths(page: Page, shoot: Shoot, name: str) -> None:
    """One picture a width, in which nothing may stand out at the side."""
    for width, height in WIDTHS:
        await page.set_viewport_size({"width": width, "height": height})
        await until(page, FITS)
        await shoot(page, name if width == WIDTHS[0][0] else f"{name}-{width}")
    await page.set_viewport_size({"width": WIDTHS[0][0], "height": WIDTHS[0][1]})


# The page of a point


@pytest.mark.alone
async def test_a_good_line_is_green_and_the_organiser_has_it(
    event: Event, point: Point, launch: Launch, shoot: Shoot
) -> None:
    browser = await launch()
    page = await new_page(browser)
    await page.goto(f"{event.server.address}/join#{point.token}")
    await by_id(page, "to-check").click()
    await by_id(page, "check-start").wait_for()
    await shoot_widths(page, shoot, "check-ready")
    await by_id(page, "check-start").click()
    for step in ("up", "picture"):
        running = page.locator(f'[data-step="{step}"]')
        await expect(running).to_have_attribute("data-state", "running", timeout=RUN_TIMEOUT_MS)
        await shoot(page, f"check-{step}")
    await by_id(page, "check-mirrored").wait_for(timeout=RUN_TIMEOUT_MS)
    await by_id(page, "check-verdict").wait_for(timeout=RUN_TIMEOUT_MS)
    kept = event.checks()[point.id]
    assert (kept["grade"], kept["reasons"]) == ("green", []), kept
    assert await by_id(page, "check-verdict").get_attribute("data-grade") == "green"
    assert await page.evaluate(STEPS_DONE) == ["done"] * 5
    figures = kept["measured"]
    assert figures["upBps"] > 1_200_000
    assert figures["downBps"] > 2_000_000
    assert (figures["picture"]["width"], figures["picture"]["height"]) == (640, 480)
    assert (figures["udp"], figures["https"], figures["webSocket"]) == (True, True, True)
    assert figures["browser"].startswith("Chrome ")
    await expect(by_id(page, "check-kept")).to_have_attribute("data-kept", "true")
    await shoot_widths(page, shoot, "check-green")
    # Its camera is let go of.
    await expect(page.locator("video")).to_have_count(0)


async def test_a_denied_camera_is_told_and_the_line_is_measured_all_the_same(
    event: Event, point: Point, launch: Launch, shoot: Shoot
) -> None:
    browser = await launch(NO_DEVICES, devices=False)
    page = await (await browser.new_context(locale="vi-VN")).new_page()
    await page.goto(point.page)
    assert await verdict(page) == "red"
    assert (await reasons(page))[:2] == ["noCamera", "noMicrophone"]
    await expect(by_id(page, "check-reason").first).to_contain_text("Camera chưa được cho phép")
    kept = event.checks()[point.id]["measured"]
    assert (kept["camera"], kept["microphone"], kept["udp"]) == ("denied", "denied", True)
    assert kept["upBps"] > 0
    assert kept["picture"] is None
    await shoot_widths(page, shoot, "check-denied")
    # It can be repeated.
    await by_id(page, "check-start").click()
    await by_id(page, "check-stop").click()
    await expect(by_id(page, "line-check")).to_have_attribute("data-phase", "ready")


async def test_a_network_that_blocks_live_video_is_told_with_the_port_to_open(
    event: Event, point: Point, launch: Launch, shoot: Shoot
) -> None:
    browser = await launch(NO_UDP)
    page = await new_page(browser, locale="ru-RU")
    await page.goto(point.page)
    assert await verdict(page) == "red"
    assert await reasons(page) == ["noUdp"]
    await expect(by_id(page, "check-reason")).to_contain_text(str(event.server.media_port))
    assert await page.evaluate(STEPS_DONE) == ["done", "done", "skipped", "skipped", "skipped"]
    kept = event.checks()[point.id]["measured"]
    assert (kept["udp"], kept["webSocket"], kept["upBps"]) == (False, True, None)
    await shoot_widths(page, shoot, "check-blocked")


async def test_a_link_that_has_expired_says_so(event: Event, point: Point, launch: Launch) -> None:
    invite = jwt.decode(point.token, options={"verify_signature": False})["inv"]
    with contextlib.closing(sqlite3.connect(event.server.data_dir / DATABASE_FILE)) as database, database:
        database.execute("UPDATE invites SET expires_at_ms = 1 WHERE id = ?", (invite,))
    page = await new_page(await launch())
    await page.goto(point.page)
    await expect(by_id(page, "problem")).to_have_attribute("data-code", "tokenExpired")
    await expect(by_id(page, "check-start")).to_have_count(0)


async def test_a_server_that_went_away_is_told_and_the_check_can_be_begun_again(
    event: Event, point: Point, launch: Launch
) -> None:
    page = await new_page(await launch())
    await page.goto(point.page)
    await by_id(page, "check-start").wait_for()
    event.server.stop()
    await by_id(page, "check-start").click()
    await expect(by_id(page, "problem")).to_have_attribute("data-code", "network", timeout=30_000)
    await expect(page.locator("video")).to_have_count(0)
    event.server.start()
    await by_id(page, "check-start").click()
    await expect(page.locator('[data-step="connection"]')).to_have_attribute(
        "data-state", "done", timeout=30_000
    )


# The organiser's page


async def test_the_board_shows_who_is_ready_who_is_not_and_whom_to_call(
    event: Event, launch: Launch, shoot: Shoot
) -> None:
    good, slow, blocked, _ = (
        event.add_point("Sơn La", "BVĐK Mộc Châu"),
        event.add_point("Sơn La", "TTYT Mường La"),
        event.add_point("Cà Mau", "BVĐK Năm Căn"),
        event.add_point("Cà Mau", "TTYT Ngọc Hiển", "Bs. Thảo, 0912 345 678"),
    )
    good.measured()
    slow.measured(upBps=700_000, lossUp=0.03, rttMs=180)
    blocked.measured(udp=False, upBps=None, downBps=None, rttMs=None, picture=None)
    page = await new_page(await launch())
    await page.goto(event.page("checks"))
    rows = by_id(page, "check-row")
    await expect(rows).to_have_count(4)
    shown = {name: by_id(page, f"checks-{name}").locator("strong") for name in ("red", "none", "trouble")}
    await expect(shown["red"]).to_have_text("1")
    await expect(shown["none"]).to_have_text("1")
    await expect(shown["trouble"]).to_have_text("2")
    await expect(page.locator(f'[data-point="{slow.id}"]')).to_contain_text("700 kbit/s")
    await shoot_widths(page, shoot, "event-checks")
    await by_id(page, "copy-list").click()
    await expect(by_id(page, "copy-list")).to_contain_text("1")
    copied = await page.evaluate("() => navigator.clipboard.readText()")
    assert copied == "Cà Mau\tTTYT Ngọc Hiển\tBs. Thảo, 0912 345 678"
    await by_id(page, "checks-trouble").click()
    await expect(rows).to_have_count(2)
    # Another check is seen without loading the page again.
    blocked.measured()
    await expect(rows).to_have_count(1, timeout=30_000)


async def short_event(event: Event) -> Sequence[Point]:
    """Four points are invited; three come, one of them twice, with five others."""
    points = [
        event.add_point("Sơn La", "BVĐK Mộc Châu"),
        event.add_point("Sơn La", "TTYT Mường La"),
        event.add_point("Cà Mau", "BVĐK Năm Căn"),
        event.add_point("Cà Mau", "TTYT Ngọc Hiển"),
    ]
    points[0].measured()

    def comes(token: str, name: str) -> Participant:
        return Participant(event.server.address, token, name, receive=False)

    tokens = event.made["tokens"]
    async with contextlib.AsyncExitStack() as there:
        await there.enter_async_context(comes(event.organiser, "Trần Bình").taking_part())
        await there.enter_async_context(comes(tokens["hub"], "Bs. Hà").taking_part())
        for number in range(3):
            await there.enter_async_context(comes(tokens["viewer"], f"Học viên {number}").taking_part())
        for place, name in ((0, "Đd. Lan"), (2, "Bs. Tâm")):
            await there.enter_async_context(comes(points[place].token, name).taking_part())
        for _ in range(2):
            async with comes(points[1].token, "Bs. Mai").taking_part() as mai:
                await mai.leave()
    return points


async def test_after_an_event_the_organiser_sees_who_was_there_and_prints_a_page(
    event: Event, launch: Launch, shoot: Shoot
) -> None:
    await short_event(event)
    event_id = event.made["session"]
    event.server.command("session", "end", event_id)
    page = await new_page(await launch())
    await page.goto(event.page("after"))
    table = by_id(page, "points-table")
    await table.wait_for()
    assert await table.locator("tbody tr").count() == 4
    came = by_id(page, "figures").locator("dd").first
    await expect(came).to_have_text(re.compile(r"3\s+of 4"))
    await expect(table.locator("tr", has_text="TTYT Mường La")).to_contain_text("2")
    await expect(table.locator("tr", has_text="TTYT Ngọc Hiển")).to_contain_text("did not come")
    await shoot_widths(page, shoot, "event-after")
    await table.get_by_role("button", name="Times").click()
    await expect(table.locator("tbody tr").first).to_contain_text("TTYT Mường La")
    await by_id(page, "after-people").click()
    await by_id(page, "after-search").fill("hoc vien")
    await expect(by_id(page, "people-table").locator("tbody tr")).to_have_count(3)

    names = [row["Name"] for row in await saved_csv(page)]
    assert sorted(names) == sorted(
        ["Bs. Hà", "Bs. Mai", "Bs. Tâm", "Học viên 0", "Học viên 1", "Học viên 2", "Trần Bình", "Đd. Lan"]
    )
    assert any(name.startswith("xl/worksheets/") for name in await saved_parts(page))

    await by_id(page, "summary").click()
    sheet = by_id(page, "event-summary")
    await expect(sheet).to_contain_text("Khánh thành phòng hội chẩn từ xa")
    await expect(sheet).to_contain_text("TTYT Ngọc Hiển")
    await expect(sheet.get_by_role("img")).to_have_count(2)
    await shoot_widths(page, shoot, "event-summary")
    printed = await page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b(?!s)", printed)) == 1
    await by_id(page, "summary-close").click()
    await expect(sheet).to_have_count(0)


async def saved(page: Page, button: str) -> bytes:
    """What a press of a button gives to keep."""
    async with page.expect_download() as started:
        await by_id(page, button).click()
    kept = await (await started.value).path()
    return await asyncio.to_thread(kept.read_bytes)


async def saved_csv(page: Page) -> list[dict[str, str]]:
    text = (await saved(page, "download-csv")).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


async def saved_parts(page: Page) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(await saved(page, "download-xlsx"))) as book:
        return book.namelist()


async def test_before_anybody_came_the_page_says_that_nobody_did(event: Event, launch: Launch) -> None:
    event.add_point("Sơn La", "BVĐK Mộc Châu")
    browser: Browser = await launch()
    page = await new_page(browser)
    await page.goto(event.page("after"))
    await expect(by_id(page, "panel-after")).to_contain_text("Nobody has come yet")
    await expect(by_id(page, "summary")).to_have_count(0)


async def test_no_page_about_lines_and_attendance_has_a_fault_that_axe_can_find(
    event: Event, launch: Launch
) -> None:
    point, *_ = await short_event(event)
    browser = await launch(NO_UDP)
    page = await open_checked(browser, point.page)
    await by_id(page, "check-start").wait_for()
    assert await faults(page) == []
    assert await verdict(page) == "red"
    assert await faults(page) == []
    await page.close()
    page = await open_checked(browser, event.page("checks"))
    await by_id(page, "check-row").first.wait_for()
    assert await faults(page) == []
    await by_id(page, "tab-after").click()
    await by_id(page, "points-table").wait_for()
    assert await faults(page) == []
    await by_id(page, "summary").click()
    await by_id(page, "event-summary").wait_for()
    assert await faults(page) == []
