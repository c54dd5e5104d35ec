"""The pages for everybody: no fault that axe-core can find, and what a screen reader says by itself."""

from __future__ import annotations

import signal

import pytest
from playwright.async_api import Page, expect

from tests.e2e.conftest import Launch
from tests.e2e.hearing import faults, heard, listen, open_checked
from tests.e2e.looking import until
from tests.e2e.people import (
    by_id,
    choose_ultrasound,
    hub_joins,
    open_join,
    open_people,
    person,
    press_join,
    satellite_joins,
    who,
)
from tests.serving import Server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

HEARD = "words => window.heard.some((one) => one.includes(words))"


async def test_pages_around_a_session_have_no_faults(server: Server, launch: Launch) -> None:
    browser = await launch()
    links = server.create_session()["links"]

    page = await open_checked(browser, f"{server.address}/")
    await by_id(page, "problem").wait_for()
    assert await faults(page) == []

    page = await open_checked(browser, server.command("staff", "link").strip())
    await by_id(page, "session-details").first.click()
    await by_id(page, "invite").first.wait_for()
    assert await faults(page) == []
    await by_id(page, "revoke").first.click()
    await by_id(page, "confirm").wait_for()
    assert await faults(page) == []

    for role in ("hub", "satellite"):
        page = await open_checked(browser, links[role], width=1024, height=768)
        await choose_ultrasound(page)
        assert await faults(page) == [], role

    page = await open_checked(browser, links["viewer"], width=360, height=780)
    await by_id(page, "join-button").click()
    await expect(page.locator('[data-code="nameMissing"]')).to_be_visible()
    assert await faults(page) == []

    page = await open_checked(browser, f"{server.address}/join#nonsense")
    await by_id(page, "problem").wait_for()
    assert await faults(page) == []


async def test_session_pages_have_no_faults(server: Server, launch: Launch) -> None:
    browser = await launch()
    links = server.create_session()["links"]
    clinic = await open_checked(browser, links["satellite"], width=1024, height=768)
    await by_id(clinic, "name-input").fill("Nurse Lan")
    await choose_ultrasound(clinic)
    await press_join(clinic)
    viewer = await open_checked(browser, links["viewer"], width=360, height=780)
    await by_id(viewer, "name-input").fill("Student")
    await press_join(viewer)
    hub = await open_checked(browser, links["hub"], width=1920, height=1080)
    await by_id(hub, "name-input").fill("Dr Hà")
    await by_id(hub, "camera-preview").wait_for()
    await press_join(hub)
    await by_id(hub, "stage-video").wait_for()
    await by_id(viewer, "hand-button").click()

    async def sound(page: Page, what: str) -> None:
        assert await faults(page) == [], what

    await sound(hub, "hub")
    await sound(clinic, "satellite")
    await sound(viewer, "viewer")
    await open_people(hub)
    await by_id(hub, "lower-hand").wait_for()
    await sound(hub, "people")
    await by_id(hub, "remove").first.click()
    await sound(hub, "removing somebody")
    await hub.keyboard.press("Escape")
    await by_id(hub, "chat-button").click()
    await by_id(hub, "chat-input").fill("Please turn the probe to the left")
    await by_id(hub, "chat-send").click()
    await by_id(clinic, "chat-line").wait_for()
    await sound(hub, "chat")
    await sound(clinic, "directions")
    await by_id(viewer, "chat-button").click()
    await sound(viewer, "chat of a telephone")
    await by_id(clinic, "more-button").click()
    await sound(clinic, "more")
    await by_id(clinic, "devices-button").click()
    await by_id(clinic, "ultrasound-preview").wait_for()
    await sound(clinic, "devices")
    await clinic.keyboard.press("Escape")
    await by_id(hub, "keys-button").click()
    await sound(hub, "keys")
    await hub.keyboard.press("Escape")
    await by_id(hub, "mute-button").click()
    await open_people(hub)
    await by_id(hub, "block-track").first.click()
    await sound(hub, "muted")
    await by_id(hub, "leave-button").click()
    await by_id(hub, "end-session").click()
    await sound(hub, "leaving")
    await by_id(hub, "end-session-yes").click()
    for page in (hub, clinic, viewer):
        await expect(page.locator('[data-testid="problem"][data-code="sessionEnded"]')).to_be_visible()
        await sound(page, "ended")


async def test_screen_reader_hears_what_happens_and_no_chatter(server: Server, launch: Launch) -> None:
    made = server.create_session()
    browser = await launch()
    clinic = await satellite_joins(browser, made["links"]["satellite"])
    hub = await hub_joins(browser, made["links"]["hub"])
    await until(hub, "() => document.querySelector('.sign.speaks') !== null")
    # The recording begins by itself a moment after the first track: to tell of that is no chatter.
    for page in (hub, clinic):
        await expect(by_id(page, "recording-spoken")).to_have_text("This session is being recorded.")
        await listen(page)
    # The voice of the fake microphone starts and stops all the time; names, lines and figures change as well.
    await hub.wait_for_timeout(4000)
    assert await heard(hub) == []

    viewer = await open_join(browser, made["links"]["viewer"], "Student")
    await press_join(viewer)
    await listen(viewer)
    await until(hub, HEARD, "Student has joined")
    await by_id(viewer, "hand-button").click()
    await until(hub, HEARD, "Student raises a hand")

    await open_people(hub)
    await person(hub, who(server, made, "viewer")).get_by_test_id("give-floor").click()
    await until(viewer, HEARD, "You have the floor")
    microphone = '[data-testid="block-track"][data-source="microphone"]'
    await person(hub, who(server, made, "satellite")).locator(microphone).click()
    await until(clinic, HEARD, "The organiser has muted your microphone")
    assert sum("microphone" in one.lower() for one in await heard(clinic)) == 1

    await by_id(hub, "chat-button").click()
    await by_id(hub, "chat-input").fill("Hold the probe still")
    await by_id(hub, "chat-send").click()
    await until(clinic, HEARD, "Hold the probe still")
    # Behind the list of people the directions are hidden, and yet are told.
    await by_id(clinic, "more-button").click()
    await by_id(clinic, "people-button").click()
    await by_id(hub, "chat-input").fill("Now freeze")
    await by_id(hub, "chat-send").click()
    await until(clinic, HEARD, "Dr Hà wrote: Now freeze")

    server.stop(signal.SIGKILL)
    for page in (hub, clinic, viewer):
        await until(page, HEARD, "The connection was lost")
