"""An event in real browsers: the organiser's wall, who is next, the stage as all see it, questions and notices."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from tests.e2e.conftest import Launch
from tests.e2e.eventwall import Shoot, comes, id_of, invite, many_points, on_desk, open_wall, tile
from tests.e2e.looking import NEW_FRAME, moves, picture, until
from tests.e2e.people import JOIN_TIMEOUT_MS, by_id, in_session, open_join, press_join
from tests.media.webrtc import MovingPicture
from tests.serving import Server

pytestmark = [pytest.mark.browser, pytest.mark.alone, pytest.mark.timeout(300)]

SENT_JS = """
async () => {
  const sent = {};
  for (const peer of window.peers) {
    if (peer.connectionState === 'closed') continue;
    for (const one of (await peer.getStats()).values()) {
      if (one.type !== 'outbound-rtp' || one.kind !== 'video') continue;
      const rid = one.rid ?? '';
      sent[rid] = (sent[rid] ?? 0) + one.bytesSent;
    }
  }
  return sent;
}
"""
"""Bytes of video that a page has sent, by layer."""

ALL_PICTURES_SHOW = """
() => [...document.querySelectorAll('[data-testid="wall-picture"]')].every((one) => one.naturalWidth > 100)
"""


async def sent(page: Page, seconds: float = 3) -> dict[str, int]:
    """Bytes of video by layer within some seconds."""
    before = await page.evaluate(SENT_JS)
    await page.wait_for_timeout(seconds * 1000)
    return {rid: count - before.get(rid, 0) for rid, count in (await page.evaluate(SENT_JS)).items()}


async def sends_only(page: Page, *rids: str) -> None:
    """Within some seconds it sends these layers of video and no other."""
    for _ in range(8):
        layers = {rid for rid, count in (await sent(page)).items() if count > 2000}
        if layers == set(rids):
            return
    raise AssertionError(f"sends {layers}, not {rids}")


async def test_organiser_runs_an_event_from_the_wall(server: Server, launch: Launch, shoot: Shoot) -> None:
    made = server.create_session("Khai trương", "--format", "event")
    browser = await launch()
    first = await comes(browser, invite(server, made, "Sơn La, Mộc Châu")["link"], "Nurse Lan")
    second = await comes(
        browser, invite(server, made, "Cà Mau, Năm Căn")["link"], "Nurse Mai", width=1024, height=768
    )
    viewer = await open_join(browser, made["links"]["viewer"], "Student")
    await press_join(viewer)
    organiser = await comes(browser, made["links"]["organiser"], "Bình", width=1024, height=768)
    await expect(by_id(viewer, "event-counts")).to_contain_text("2 points", timeout=10_000)

    await open_wall(organiser)
    await expect(by_id(organiser, "wall-tile")).to_have_count(2)
    await expect(by_id(organiser, "wall-picture")).to_have_count(2, timeout=20_000)
    await until(organiser, ALL_PICTURES_SHOW)
    await expect(by_id(organiser, "wall-group")).to_have_count(2)
    # Off the stage a point sends the smallest layer and nothing else.
    await sends_only(first, "l")
    lan, mai = await id_of(organiser, "Mộc Châu"), await id_of(organiser, "Năm Căn")

    # Next: told large, seen by the organiser alone, with all layers.
    await tile(organiser, "Năm Căn").get_by_test_id("wall-press").focus()
    await organiser.keyboard.press("c")
    await expect(by_id(second, "next-banner")).to_be_visible()
    await moves(second, '[data-testid="next-preview"]', 1)
    await moves(organiser, f'[data-testid="cue-video"][data-participant="{mai}"]')
    await expect(viewer.locator(picture("camera", mai))).to_have_count(0)
    assert await organiser.locator(f'audio[data-participant="{mai}"]').count() == 0
    await by_id(organiser, "listen").click()
    await expect(organiser.locator(f'audio[data-participant="{mai}"]')).to_have_count(1)
    assert len([rid for rid, count in (await sent(second)).items() if count > 2000]) > 1
    await shoot(organiser, "wall-1024")
    await shoot(second, "event-next-1024")

    # On the stage by one key.
    await organiser.keyboard.press("t")
    await expect(by_id(second, "next-banner")).to_have_count(0)
    await until(viewer, NEW_FRAME, picture("camera", mai))
    await sends_only(first, "l")

    # The layout is the organiser's.
    await organiser.keyboard.press("2")
    await expect(viewer.locator('main[data-stage-layout="pair"][data-count="2"]')).to_be_visible()
    await organiser.keyboard.press("1")
    await on_desk(organiser, mai).get_by_test_id("enlarge").click()
    large = viewer.locator(f'[data-testid="stage-video"][data-participant="{mai}"]')
    await expect(viewer.locator('main[data-stage-layout="speaker"][data-count="1"]')).to_be_visible()
    await expect(large).to_have_count(1)

    # Name and point below the face, as the desk fills them in.
    await by_id(organiser, "lower-whom").select_option(mai)
    await expect(by_id(organiser, "lower-subtitle")).to_have_value("Cà Mau, Năm Căn")
    await by_id(organiser, "lower-show").click()
    await expect(by_id(viewer, "lower-third")).to_contain_text("Nurse Mai")
    await expect(by_id(viewer, "lower-third")).to_contain_text("Cà Mau, Năm Căn")

    # A question goes round.
    await by_id(viewer, "questions-button").click()
    await by_id(viewer, "question-input").fill("How deep is the lesion?")
    await by_id(viewer, "question-send").click()
    await expect(by_id(viewer, "own-question")).to_have_attribute("data-state", "open")
    await by_id(organiser, "tab-questions").click()
    await by_id(organiser, "pick-shown").click()
    for page in (first, viewer):
        await expect(by_id(page, "question-band")).to_contain_text("How deep is the lesion?")
    await shoot(viewer, "event-viewer-question")
    await by_id(organiser, "pick-answered").click()
    await expect(by_id(first, "question-band")).to_have_count(0)
    await expect(by_id(viewer, "own-question")).to_have_attribute("data-state", "answered")

    # A notice to one stays until it is read; others do not get it.
    await tile(organiser, "Mộc Châu").get_by_test_id("wall-more").click()
    await by_id(organiser, "act-write").click()
    await by_id(organiser, "notice-text").fill("Please switch on the light")
    await by_id(organiser, "notice-send").click()
    await expect(by_id(first, "notice-card")).to_contain_text("Please switch on the light")
    await shoot(first, "event-notice")
    await expect(by_id(second, "notice-card")).to_have_count(0)
    await by_id(first, "notice-close").click()
    await expect(by_id(first, "notice-card")).to_have_count(0)

    # Off the stage by a slip, and back.
    await by_id(organiser, "tab-stage").click()
    await on_desk(organiser, mai).get_by_test_id("off-stage").click()
    await expect(large).to_have_count(0)
    await by_id(organiser, "undo").click()
    await expect(large).to_have_count(1)
    await until(viewer, NEW_FRAME, picture("camera", mai))

    # Without marks and in any case.
    await by_id(organiser, "wall-search").fill("moc chau")
    await expect(by_id(organiser, "wall-tile")).to_have_count(1)
    await expect(tile(organiser, "Mộc Châu")).to_have_attribute("data-participant", lan)


async def test_wall_holds_many_points(server: Server, launch: Launch, shoot: Shoot) -> None:
    made = server.create_session("Khai trương", "--format", "event")

    def cameras(number: int) -> dict[str, MovingPicture]:
        return {"camera": MovingPicture(320, 180, 30 + number * 7 % 200)}

    async with many_points(server, made, 24, cameras) as points:
        organiser = await comes(
            await launch(), made["links"]["organiser"], "Bình", width=1920, height=1080, locale="ru-RU"
        )
        await open_wall(organiser)
        await expect(by_id(organiser, "wall-tile")).to_have_count(len(points), timeout=15_000)
        await expect(by_id(organiser, "wall-picture")).to_have_count(len(points), timeout=60_000)
        for point in points[3:6]:
            await point.request("setHand", raised=True)
        await by_id(organiser, "filter-hands").click()
        await expect(by_id(organiser, "wall-tile")).to_have_count(3, timeout=10_000)
        await by_id(organiser, "filter-all").click()
        await tile(organiser, "Trạm y tế 7").get_by_test_id("wall-press").click()
        await moves(organiser, '[data-testid="cue-video"]', 1)
        await shoot(organiser, "wall-1920")
        await organiser.set_viewport_size({"width": 1024, "height": 768})
        await shoot(organiser, "wall-russian-1024")
        await points[0].leave()
        await expect(by_id(organiser, "wall-tile")).to_have_count(len(points) - 1, timeout=10_000)


async def test_who_comes_waits_at_the_door_until_let_in(server: Server, launch: Launch) -> None:
    made = server.create_session("Khai trương", "--format", "event")
    browser = await launch()
    organiser = await comes(browser, made["links"]["organiser"], "Bình")
    await open_wall(organiser)
    await by_id(organiser, "door-lobby").check()
    viewer = await open_join(browser, made["links"]["viewer"], "Student")
    await by_id(viewer, "join-button").click()
    await expect(by_id(viewer, "join-turn")).to_have_attribute("data-reason", "lobby", timeout=10_000)
    await by_id(organiser, "lobby").locator("summary").click()
    await expect(by_id(organiser, "waiting")).to_contain_text("Student")
    await by_id(organiser, "admit-all").click()
    await expect(in_session(viewer)).to_be_visible(timeout=JOIN_TIMEOUT_MS)
    await expect(by_id(organiser, "lobby")).to_have_count(0)
