"""The whole of a session by keyboard: the focus is seen at every step, and never lost when something closes or goes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.async_api import Page, expect

from tests.e2e.conftest import Launch, new_page
from tests.e2e.hearing import focus, tab_to
from tests.e2e.looking import until
from tests.e2e.people import JOIN_TIMEOUT_MS, by_id, in_session, open_join, person, press_join, who
from tests.serving import Server, running_server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

HAS_FOCUS = "selector => document.activeElement?.matches(selector) === true"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all: every test has a session of its own."""
    with running_server(tmp_path_factory.mktemp("server") / "data") as server:
        yield server


async def joins_by_keyboard(page: Page, link: str, name: str) -> None:
    await page.goto(link)
    await tab_to(page, "name-input")
    await page.keyboard.type(name)
    await page.keyboard.press("Enter")
    await expect(in_session(page)).to_be_visible(timeout=JOIN_TIMEOUT_MS)
    # The page that had the focus is gone: the next one has it.
    await until(page, HAS_FOCUS, "#content")


async def test_clinic_joins_mutes_asks_writes_and_leaves(server: Server, launch: Launch) -> None:
    links = server.create_session()["links"]
    clinic = await new_page(await launch())
    await clinic.goto(links["satellite"])
    await by_id(clinic, "camera-preview").wait_for(timeout=JOIN_TIMEOUT_MS)
    await tab_to(clinic, "ultrasound-select")
    await clinic.keyboard.press("ArrowDown")
    await by_id(clinic, "ultrasound-preview").wait_for(timeout=JOIN_TIMEOUT_MS)
    await joins_by_keyboard(clinic, links["satellite"], "Nurse Lan")

    microphone, hand = by_id(clinic, "mute-button"), by_id(clinic, "hand-button")
    await expect(microphone).to_have_attribute("aria-pressed", "true")
    await clinic.keyboard.press("m")
    await expect(microphone).to_have_attribute("aria-pressed", "false")
    await clinic.keyboard.press("m")
    await expect(microphone).to_have_attribute("aria-pressed", "true")
    await tab_to(clinic, "hand-button")
    await clinic.keyboard.press("Space")
    await expect(hand).to_contain_text("Lower hand")

    await tab_to(clinic, "chat-input", key="Shift+Tab")
    await clinic.keyboard.type("hmm, much pain q?")
    await clinic.keyboard.press("Enter")
    await expect(by_id(clinic, "chat-line")).to_contain_text("hmm, much pain q?")
    # What was written switched nothing.
    await expect(hand).to_contain_text("Lower hand")
    await expect(microphone).to_have_attribute("aria-pressed", "true")
    assert (await focus(clinic))["testid"] == "chat-input"

    await tab_to(clinic, "more-button")
    await clinic.keyboard.press("Enter")
    await until(clinic, HAS_FOCUS, '[data-testid="people-button"]')
    await clinic.keyboard.press("Escape")
    await until(clinic, HAS_FOCUS, '[data-testid="more-button"]')
    await clinic.keyboard.press("d")
    await by_id(clinic, "devices-dialog").wait_for()
    for _ in range(12):
        await clinic.keyboard.press("Tab")
        assert not (await focus(clinic))["outsideDialog"]
    await clinic.keyboard.press("Escape")
    await until(clinic, HAS_FOCUS, '[data-testid="more-button"]')

    await tab_to(clinic, "leave-button")
    await clinic.keyboard.press("Enter")
    await expect(clinic.locator('[data-code="left"]')).to_be_visible()
    await until(clinic, HAS_FOCUS, "#content")
    await tab_to(clinic, "again-button")
    await clinic.keyboard.press("Enter")
    await expect(in_session(clinic)).to_be_visible(timeout=JOIN_TIMEOUT_MS)


async def test_hub_gives_the_floor_removes_somebody_and_leaves(server: Server, launch: Launch) -> None:
    made = server.create_session()
    browser = await launch()
    viewer = await open_join(browser, made["links"]["viewer"], "Student")
    await press_join(viewer)
    student = who(server, made, "viewer")
    await by_id(viewer, "hand-button").click()
    hub = await new_page(browser)
    await joins_by_keyboard(hub, made["links"]["hub"], "Dr Hà")

    await hub.keyboard.press("p")
    await until(hub, HAS_FOCUS, ".panel")
    await tab_to(hub, "give-floor", person=student)
    await hub.keyboard.press("Enter")
    await expect(person(hub, student).get_by_test_id("take-floor")).to_be_visible()
    # The row moved to another list; the keyboard went with it, to no button that a second press would hit.
    await until(hub, HAS_FOCUS, f'[data-testid="person"][data-participant="{student}"]')

    await tab_to(hub, "remove", person=student)
    await hub.keyboard.press("Enter")
    await by_id(hub, "confirm").wait_for()
    await hub.keyboard.press("m")
    for _ in range(6):
        await hub.keyboard.press("Tab")
        assert not (await focus(hub))["outsideDialog"]
    await hub.keyboard.press("Escape")
    await until(hub, HAS_FOCUS, '[data-testid="remove"]')
    await expect(by_id(hub, "mute-button")).to_have_attribute("aria-pressed", "true")
    await hub.keyboard.press("Enter")
    await tab_to(hub, "confirm-yes")
    await hub.keyboard.press("Enter")
    await expect(viewer.locator('[data-code="removed"]')).to_be_visible()
    await expect(person(hub, student)).to_have_count(0)
    await until(hub, HAS_FOCUS, ".panel")

    await hub.keyboard.press("c")
    await until(hub, HAS_FOCUS, '[data-testid="chat-input"]')
    await hub.keyboard.type("half a sen")
    await hub.keyboard.press("Escape")
    await until(hub, HAS_FOCUS, '[data-testid="chat-button"]')
    await hub.keyboard.press("Enter")
    await expect(by_id(hub, "chat-input")).to_have_value("half a sen")
    await hub.keyboard.press("Escape")

    await hub.keyboard.press("?")
    await by_id(hub, "keys-dialog").wait_for()
    await hub.keyboard.press("Escape")
    await until(hub, HAS_FOCUS, '[data-testid="chat-button"]')
    await hub.keyboard.press("q")
    await tab_to(hub, "leave-confirm")
    await hub.keyboard.press("Enter")
    await expect(hub.locator('[data-code="left"]')).to_be_visible()
    await until(hub, HAS_FOCUS, "#content")
