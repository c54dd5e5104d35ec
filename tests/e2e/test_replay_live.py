"""A session replayed in a browser while it runs, and after."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import Page, expect

from bridge.client import Participant
from bridge.demo.pictures import cine_path, draw_room, read_cine
from bridge.demo.sound import voice
from bridge.demo.tracks import CineTrack, VoiceTrack
from tests.e2e.conftest import Launch, new_page
from tests.e2e.looking import moves, until
from tests.e2e.people import by_id
from tests.e2e.replaying import LARGE
from tests.serving import Server

pytestmark = [pytest.mark.browser, pytest.mark.alone, pytest.mark.timeout(240)]


Shoot = Callable[[Page, str], Awaitable[None]]


END_IS = "least => Number(document.querySelector('[role=slider]').getAttribute('aria-valuemax')) >= least"
BEHIND_END_S = """
([selector, most]) => {
  const end = Number(document.querySelector('[role=slider]').getAttribute('aria-valuemax'));
  const behind = end - document.querySelector(selector).currentTime;
  return 1 < behind && behind < most;
}
"""


async def test_a_session_is_replayed_while_it_runs_and_after(
    server: Server, launch: Launch, shoot: Shoot
) -> None:
    tokens = server.create_session("Echo with Sơn La")["tokens"]
    cine, room, spoken = read_cine(cine_path()), draw_room(), voice()
    clinic = Participant(
        server.address,
        tokens["satellite"],
        "Phòng khám Lan",
        tracks={"ultrasound": CineTrack(cine), "camera": CineTrack(room), "microphone": VoiceTrack(spoken)},
        receive=False,
    )
    hub = Participant(
        server.address,
        tokens["hub"],
        "Dr Hà",
        tracks={"camera": CineTrack(room), "microphone": VoiceTrack(spoken)},
        receive=False,
    )
    browser = await launch(devices=False)
    page = await new_page(browser)
    async with clinic.taking_part(), hub.taking_part():
        await hub.until(lambda: hub.recording is not None)
        await page.goto(f"{server.address}/replay#{tokens['hub']}")
        await by_id(page, "open-recording").click()
        await by_id(page, "replay").wait_for()
        await expect(by_id(page, "lane")).to_have_count(3, timeout=20_000)
        await expect(page.locator(LARGE)).to_have_attribute("data-source", "ultrasound")
        await until(page, END_IS, 8, timeout_s=30)
        await page.keyboard.press("Space")
        seen = await moves(page, LARGE)
        assert (seen.width, seen.height) == (640, 480)
        await hub.request("sendChat", text="gallbladder wall thickened")
        await hub.request("addMark", text="polyp")
        await page.keyboard.press("e")
        chat = page.locator('[data-testid="entry"][data-kind="chat"]')
        await expect(chat).to_contain_text("gallbladder", timeout=10_000)
        await expect(by_id(page, "flag")).to_have_count(1)
        await by_id(page, "live-button").click()
        await until(page, BEHIND_END_S, [LARGE, 9])
        # It goes on and on without being pressed again, as the end does.
        await page.wait_for_timeout(4_000)
        await moves(page, LARGE)
        await shoot(page, "replay-live")
        await hub.request("endSession")
    await expect(by_id(page, "state")).to_have_count(0, timeout=20_000)
    await expect(by_id(page, "live-button")).to_have_count(0)
    await page.locator('[data-testid="entry"][data-kind="mark"]').click()
    await moves(page, LARGE)
    await page.keyboard.press("End")
    await until(page, "selector => document.querySelector(selector).paused", LARGE)
    await page.keyboard.press("Space")  # from the beginning again
    await moves(page, LARGE)
    await shoot(page, "replay-real")
