"""Recording as people see it: by itself and by hand, paused, stopped, with their consent, and with marks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from tests.e2e.conftest import Launch, new_page
from tests.e2e.hearing import faults, heard, listen, open_checked
from tests.e2e.looking import until
from tests.e2e.people import (
    by_id,
    choose_ultrasound,
    hub_joins,
    open_join,
    open_people,
    press_join,
    satellite_joins,
)
from tests.media.disks import memory_disk
from tests.serving import Server, running_server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

Shoot = Callable[[Page, str], Awaitable[None]]

SCREENS = [(360, 780), (640, 400), (1024, 768), (1366, 768), (1920, 1080)]
HEARD = "words => window.heard.some((one) => one.includes(words))"


def sign(page: Page) -> Locator:
    """The first that can be seen: in the column, or in the panel that stands in its place."""
    return page.locator('[data-testid="recording-sign"]:visible').first


async def is_told(page: Page, state: str) -> None:
    await expect(sign(page)).to_have_attribute("data-state", state)


async def open_more(page: Page, button: str) -> None:
    """Opens "more" where the button stands behind it."""
    if not await by_id(page, button).is_visible():
        await by_id(page, "more-button").click()


async def test_recording_begins_with_the_second_and_is_led_by_the_hub(
    server: Server, launch: Launch, shoot: Shoot
) -> None:
    links = server.create_session("Echo with Sơn La", "--record", "auto")["links"]
    browser = await launch()
    clinic = await satellite_joins(browser, links["satellite"], width=1024, height=768)
    await is_told(clinic, "off")
    await listen(clinic)
    hub = await hub_joins(browser, links["hub"])
    for page in (clinic, hub):
        await is_told(page, "recording")
    await until(clinic, HEARD, "This session is being recorded.")
    await expect(sign(hub)).to_contain_text("0:0")
    await shoot(clinic, "recording-clinic")
    # A clinic sees it and does not lead it.
    await open_more(clinic, "keys-button")
    await expect(by_id(clinic, "record-button")).to_have_count(0)

    await hub.keyboard.press("r")
    await by_id(hub, "pause-recording").wait_for()
    await shoot(hub, "recording-dialog")
    await by_id(hub, "pause-recording").click()
    for page in (clinic, hub):
        await is_told(page, "paused")
    await expect(by_id(hub, "mark-button")).to_have_attribute("aria-disabled", "true")
    await by_id(hub, "record-button").click()
    await hub.keyboard.press("Enter")
    await is_told(clinic, "recording")

    await open_people(hub)
    await is_told(hub, "recording")
    await by_id(hub, "record-button").click()
    await by_id(hub, "stop-recording").click()
    await is_told(clinic, "recording")
    await by_id(hub, "stop-recording-yes").click()
    for page in (clinic, hub):
        await is_told(page, "off")
    await by_id(hub, "record-button").click()
    await is_told(clinic, "recording")
    assert [one for one in await heard(clinic) if "record" in one.lower()] == [
        "This session is being recorded.",
        "The recording is paused.",
        "This session is being recorded.",
        "This session is not being recorded.",
        "This session is being recorded.",
    ]


async def test_mark_is_one_press_and_can_be_taken_back_or_noted(
    server: Server, launch: Launch, shoot: Shoot
) -> None:
    made = server.create_session("Echo with Sơn La", "--record", "auto")
    browser = await launch()
    clinic = await satellite_joins(browser, made["links"]["satellite"])
    hub = await hub_joins(browser, made["links"]["hub"])
    await is_told(hub, "recording")
    await listen(hub)
    await hub.keyboard.press("k")
    await until(hub, HEARD, "Finding marked at")
    await shoot(hub, "mark-set")
    await by_id(hub, "mark-undo").click()
    await hub.keyboard.press("b")
    await expect(by_id(hub, "mark")).to_have_count(0)
    await by_id(hub, "mark-button").click()
    await expect(by_id(hub, "mark")).to_have_count(1)
    await by_id(hub, "mark-note").click()
    await by_id(hub, "mark-text").fill("Hở van hai lá")
    await hub.keyboard.press("Enter")
    # The noted one comes before the bare one goes.
    await expect(by_id(hub, "mark-text")).to_have_count(0)
    await expect(by_id(hub, "mark")).to_have_count(1)
    await expect(by_id(hub, "mark")).to_contain_text("Hở van hai lá")
    await shoot(hub, "marks")
    # Another who leads sees it, and who does not, has no marks.
    organiser = await open_join(browser, made["links"]["organiser"], "Organiser")
    await press_join(organiser)
    await open_more(organiser, "marks-button")
    await by_id(organiser, "marks-button").click()
    await expect(by_id(organiser, "mark")).to_contain_text("Hở van hai lá")
    await by_id(organiser, "mark-remove").click()
    await expect(by_id(hub, "mark")).to_have_count(0)
    await by_id(organiser, "mark-undo").click()
    await expect(by_id(hub, "mark")).to_contain_text("Hở van hai lá")
    await clinic.keyboard.press("b")
    await expect(by_id(clinic, "marks-panel")).to_have_count(0)


async def test_consent_is_asked_open_until_answered_and_changeable(
    server: Server, launch: Launch, shoot: Shoot
) -> None:
    links = server.create_session("Echo with Sơn La", "--record", "auto", "--consent")["links"]
    browser = await launch()
    hub = await hub_joins(browser, links["hub"])
    # Who leads is not stopped by the question.
    await expect(by_id(hub, "consent-reminder")).to_be_visible()
    await expect(by_id(hub, "consent-dialog")).to_have_count(0)
    await by_id(hub, "consent-reminder").get_by_role("button").click()
    await by_id(hub, "consent-agree").click()
    await expect(by_id(hub, "consent-reminder")).to_have_count(0)

    clinic = await satellite_joins(browser, links["satellite"], width=1024, height=768, locale="vi-VN")
    await expect(by_id(clinic, "consent-wording")).not_to_be_empty()
    await shoot(clinic, "consent-asked")
    await clinic.keyboard.press("Escape")
    await expect(by_id(clinic, "consent-reminder")).to_be_visible()
    await shoot(clinic, "consent-open")
    await expect(sign(hub)).to_contain_text("without 1 person")
    await open_people(hub)
    await expect(by_id(hub, "person-consent")).to_have_attribute("data-consent", "pending")
    await by_id(clinic, "consent-reminder").get_by_role("button").click()
    await by_id(clinic, "consent-decline").click()
    await expect(by_id(hub, "person-consent")).to_have_attribute("data-consent", "declined")
    await shoot(hub, "consent-declined-hub")
    await is_told(clinic, "recording")
    await shoot(clinic, "consent-declined")

    await clinic.reload()
    await expect(by_id(clinic, "leave-button")).to_be_visible(timeout=10_000)
    await expect(by_id(clinic, "consent-dialog")).to_have_count(0)
    await open_more(clinic, "consent-button")
    await by_id(clinic, "consent-button").click()
    await by_id(clinic, "consent-agree").click()
    await expect(by_id(hub, "person-consent")).to_have_count(0)
    await expect(by_id(hub, "consents-open")).to_have_count(0)


async def test_session_made_to_be_recorded_by_hand_with_consent_is_found_again(
    server: Server, launch: Launch, shoot: Shoot
) -> None:
    browser = await launch()
    staff = await new_page(browser)
    await staff.goto(server.command("staff", "link").strip())
    await expect(by_id(staff, "record-auto")).to_be_checked()
    await expect(by_id(staff, "ask-consent")).not_to_be_checked()
    await by_id(staff, "session-title").fill("Echo with Sơn La")
    await by_id(staff, "record-manual").check()
    await by_id(staff, "ask-consent").check()
    await shoot(staff, "new-session")
    await by_id(staff, "create-and-start").click()
    await by_id(staff, "name-input").fill("Dr Hà")
    await press_join(staff)
    hub = staff
    await is_told(hub, "off")
    await expect(by_id(hub, "consent-reminder")).to_be_visible()
    await by_id(hub, "record-button").click()
    await is_told(hub, "recording")
    async with hub.context.expect_page() as opening:
        await hub.keyboard.press("w")
    replay = await opening.value
    assert "/replay#" in replay.url
    await replay.close()
    await by_id(hub, "leave-button").click()
    await by_id(hub, "end-session").click()
    await by_id(hub, "end-session-yes").click()
    await expect(by_id(hub, "watch")).to_be_visible()
    await shoot(hub, "ended-watch")
    await hub.reload()
    await expect(by_id(hub, "watch")).to_be_visible()

    await hub.goto(server.command("staff", "link").strip())
    await hub.locator("summary").click()
    await by_id(hub, "session-recordings").click()
    await expect(by_id(hub, "watch")).to_have_count(1)
    await shoot(hub, "session-recordings")


async def test_session_that_is_never_recorded_has_no_controls_for_it(server: Server, launch: Launch) -> None:
    links = server.create_session("Echo with Sơn La", "--record", "never")["links"]
    browser = await launch()
    await satellite_joins(browser, links["satellite"])
    hub = await hub_joins(browser, links["hub"], width=1920, height=1080)
    await is_told(hub, "off")
    for button in ("record-button", "mark-button", "marks-button", "recordings-button"):
        await expect(by_id(hub, button)).to_have_count(0)


async def test_full_disk_is_told_at_once_to_who_leads_and_when_it_is_over(
    tmp_path: Path, launch: Launch, shoot: Shoot
) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir(mode=0o700)
    with memory_disk(data_dir / "recordings", 64 << 20) as disk, running_server(data_dir) as server:
        links = server.create_session("Echo with Sơn La", "--record", "auto")["links"]
        browser = await launch()
        clinic = await satellite_joins(browser, links["satellite"], width=1024, height=768)
        hub = await open_checked(browser, links["hub"])
        await by_id(hub, "name-input").fill("Dr Hà")
        await press_join(hub)
        await is_told(hub, "recording")
        await listen(hub)
        with disk.full():
            alarm = by_id(hub, "storage-alarm")
            await expect(alarm).to_contain_text("disk is full", timeout=10_000)
            await expect(alarm).to_contain_text("not being recorded")
            await is_told(hub, "trouble")
            await is_told(clinic, "recording")
            await expect(by_id(clinic, "storage-alarm")).to_be_empty()
            assert await faults(hub) == []
            await shoot(hub, "storage-alarm")
            await hub.set_viewport_size({"width": 360, "height": 780})
            await shoot(hub, "storage-alarm-360")
        await expect(alarm).to_have_text("", timeout=20_000)
        await is_told(hub, "recording")
        await until(hub, HEARD, "It is being recorded again.")
        assert len([one for one in await heard(hub) if "disk is full" in one]) == 1


async def test_pages_that_are_recorded_have_no_faults_and_fit(
    server: Server, launch: Launch, shoot: Shoot
) -> None:
    links = server.create_session("Echo with Sơn La", "--record", "auto", "--consent")["links"]
    browser = await launch()
    hub = await open_checked(browser, links["hub"], locale="ru-RU")
    await by_id(hub, "name-input").fill("Д-р Ха")
    await by_id(hub, "camera-preview").wait_for()
    await press_join(hub)
    clinic = await open_checked(browser, links["satellite"], locale="ru-RU")
    await by_id(clinic, "name-input").fill("Медсестра Лан")
    await choose_ultrasound(clinic)
    await press_join(clinic)
    await by_id(clinic, "consent-dialog").wait_for()
    assert await faults(clinic) == []
    await clinic.keyboard.press("Escape")
    await is_told(hub, "recording")
    for width, height in SCREENS:
        for page, name in ((clinic, "clinic"), (hub, "hub")):
            await page.set_viewport_size({"width": width, "height": height})
            await until(page, "width => innerWidth === width", width)
            assert await page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
            await is_told(page, "recording")
            assert await page.evaluate(CUT) == [], (name, width)
            assert await page.evaluate(BAR_PX) <= 80, (name, width)
            await shoot(page, f"recorded-{name}-ru-{width}")
    await by_id(hub, "mark-button").click()
    await by_id(hub, "mark-note").wait_for()
    assert await faults(hub) == []
    await by_id(hub, "mark-note").click()
    await by_id(hub, "mark-text").wait_for()
    assert await faults(hub) == []
    await by_id(hub, "record-button").click()
    await by_id(hub, "pause-recording").wait_for()
    assert await faults(hub) == []


BAR_PX = "() => document.querySelector('.bar').getBoundingClientRect().height"
"""A second row of controls would take it from the picture."""

CUT = """
() => [...document.querySelectorAll('.control, .recording-sign span, .banner span')]
  .filter((one) => one.checkVisibility() && getComputedStyle(one).display !== 'inline')
  .filter((one) => one.scrollWidth > one.clientWidth + 1)
  .map((one) => one.dataset.testid ?? one.textContent)
"""
