"""Coming into an event in a real browser: the page says that it waits, and comes in when it is let in."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from bridge.client import Participant
from tests.e2e.conftest import Launch
from tests.e2e.people import JOIN_TIMEOUT_MS, by_id, in_session, open_join
from tests.serving import Server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


async def test_a_viewer_waits_in_the_lobby_and_a_locked_door_says_so(server: Server, launch: Launch) -> None:
    made = server.create_session("Khai trương", "--format", "event")
    browser = await launch()
    organiser = Participant(server.address, made["tokens"]["organiser"], "Organiser", receive=False)
    async with organiser.taking_part():
        await organiser.request("setDoor", lobby=True, locked=False)
        viewer = await open_join(browser, made["links"]["viewer"], "Dr Lan")
        await by_id(viewer, "join-button").click()
        turn = by_id(viewer, "join-turn")
        await expect(turn).to_have_attribute("data-reason", "lobby", timeout=JOIN_TIMEOUT_MS)
        await expect(turn).not_to_be_empty()
        await organiser.request("admit")
        await in_session(viewer).wait_for(timeout=JOIN_TIMEOUT_MS)
        await organiser.request("setDoor", lobby=False, locked=True)
        stranger = await open_join(browser, made["links"]["viewer"], "Somebody")
        await by_id(stranger, "join-button").click()
        problem = by_id(stranger, "problem")
        await expect(problem).to_have_attribute("data-code", "sessionLocked", timeout=JOIN_TIMEOUT_MS)
