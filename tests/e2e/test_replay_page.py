"""The page around the pictures: marks and clips, what happened, downloads, the list; on every screen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import av
import pytest
from playwright.async_api import Page, expect

from tests.e2e.conftest import Launch, new_page
from tests.e2e.hearing import faults, open_checked
from tests.e2e.looking import until
from tests.e2e.people import by_id
from tests.e2e.replaying import LARGE, SECONDS, Kept, at_s, keep, open_replay, staff_token
from tests.serving import running_server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


Shoot = Callable[[Page, str], Awaitable[None]]


MISFITS = """
() => [...document.querySelectorAll('button, input, [role=slider]')]
  .filter((one) => one.checkVisibility() && !one.closest('.replay-side, .panel, dialog'))
  .filter((one) => {
    const {right, bottom, width, height} = one.getBoundingClientRect();
    const small = width < 43.5 || height < 43.5;
    return right > innerWidth + 1 || bottom > innerHeight + 1 || small || one.scrollWidth > one.clientWidth + 1;
  })
  .map((one) => one.dataset.testid)
"""


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    made = await keep(tmp_path / "data")
    with running_server(tmp_path / "data") as server:
        yield Kept(server, made, staff_token(server))


async def test_marks_with_undo_and_a_clip(kept: Kept, launch: Launch, shoot: Shoot) -> None:
    page = await open_replay(await launch(devices=False), kept.link)
    await expect(by_id(page, "flag")).to_have_count(1)
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("m")
    await by_id(page, "mark-text").fill("Hở van ba lá")
    await page.keyboard.press("Enter")
    await expect(by_id(page, "mark")).to_have_count(2)
    await expect(by_id(page, "flag")).to_have_count(2)
    await page.keyboard.press("Home")
    await by_id(page, "mark-go").last.click()
    await until(page, "selector => Math.abs(document.querySelector(selector).currentTime - 5) < 0.02", LARGE)

    await by_id(page, "mark-remove").last.click()
    await by_id(page, "mark-undo").click()
    await expect(by_id(page, "mark")).to_have_count(2)
    await by_id(page, "mark-remove").last.click()
    await expect(by_id(page, "mark-removed")).to_be_visible()
    await expect(by_id(page, "flag")).to_have_count(1, timeout=15_000)

    await page.keyboard.press("i")
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("o")
    await expect(by_id(page, "in-at")).to_have_text("0:05.00")
    await expect(by_id(page, "out-at")).to_have_text("0:10.00")
    await by_id(page, "clip-title").fill("Van ba lá")
    await shoot(page, "replay-clip")
    await by_id(page, "cut-button").click()
    await expect(by_id(page, "clip")).to_contain_text("Van ba lá")
    async with page.context.expect_page() as opening:
        await by_id(page, "clip").get_by_role("link").click()
    clip = await opening.value
    await by_id(clip, "replay").wait_for()
    await until(clip, "selector => document.querySelector(selector)?.readyState >= 2", LARGE)
    assert 4 <= await at_s(clip) <= 5.1
    await clip.keyboard.press("End")
    await until(clip, "selector => document.querySelector(selector).currentTime > 9", LARGE)
    assert await at_s(clip) <= 11.1


async def test_what_happened_follows_the_time_and_leads_to_it(kept: Kept, launch: Launch) -> None:
    page = await open_replay(await launch(devices=False), kept.link)
    await page.keyboard.press("e")
    chat = page.locator('[data-testid="entry"][data-kind="chat"]')
    await expect(chat).to_contain_text("Bên tôi thấy rõ")
    await chat.click()
    await until(
        page, "selector => Math.abs(document.querySelector(selector).currentTime - 1.5) < 0.02", LARGE
    )
    await expect(chat).to_have_attribute("aria-current", "time")
    floor = page.locator('[data-testid="entry"][data-kind="floor"]')
    await floor.click()
    await until(page, "selector => Math.abs(document.querySelector(selector).currentTime - 5) < 0.02", LARGE)
    await expect(chat).not_to_have_attribute("aria-current", "time")


async def test_a_recording_is_downloaded_and_holds_all_tracks(
    kept: Kept, launch: Launch, tmp_path: Path
) -> None:
    page = await open_replay(await launch(devices=False), kept.link)
    await page.keyboard.press("x")
    async with page.expect_download(timeout=60_000) as downloading:
        await by_id(page, "export-mkv").click()
    await expect(by_id(page, "exported")).to_be_visible()
    file = tmp_path / "taken.mkv"
    await (await downloading.value).save_as(file)
    with av.open(str(file)) as film:
        kinds = sorted(stream.type for stream in film.streams if stream.type in ("audio", "video"))
        assert kinds == ["audio", "audio", "video", "video"]
        assert film.duration is not None
        assert abs(film.duration / 1_000_000 - SECONDS) < 0.5


async def test_the_list_opens_a_recording_and_its_organiser_sees_only_that_session(
    kept: Kept, launch: Launch, shoot: Shoot
) -> None:
    browser = await launch(devices=False)
    page = await new_page(browser)
    await page.goto(f"{kept.server.address}/replay#{kept.token}")
    await expect(by_id(page, "recording")).to_have_count(1)
    await shoot(page, "replay-list")
    await by_id(page, "open-recording").click()
    await by_id(page, "replay").wait_for()
    other = kept.server.create_session("Another")
    for role in ("organiser", "hub"):
        page = await new_page(browser)
        await page.goto(f"{kept.server.address}/replay#{other['tokens'][role]}")
        await expect(page.get_by_text("Nothing was recorded yet.")).to_be_visible()
        await expect(by_id(page, "recording")).to_have_count(0)
    page = await new_page(browser)
    await page.goto(f"{kept.server.address}/replay#{other['tokens']['viewer']}")
    await expect(by_id(page, "problem")).to_have_attribute("data-code", "notAllowed")
    page = await new_page(browser)
    await page.goto(f"{kept.server.address}/replay#{other['tokens']['hub']}&r={kept.made.recording}")
    await expect(by_id(page, "problem")).to_have_attribute("data-code", "notAllowed")


@pytest.mark.parametrize("locale", ["vi-VN", "ru-RU", "en-GB"])
async def test_replay_fits_every_screen_and_has_no_faults(
    kept: Kept, launch: Launch, shoot: Shoot, locale: str
) -> None:
    browser = await launch(devices=False)
    page = await open_checked(browser, kept.link, locale=locale)
    await by_id(page, "replay").wait_for()
    await until(page, "selector => document.querySelector(selector)?.readyState >= 2", LARGE)
    for width, height in [(360, 780), (1024, 768), (1920, 1080)]:
        await page.set_viewport_size({"width": width, "height": height})
        for panel in ("none", "log", "marks"):
            if panel != "none":
                await page.keyboard.press({"log": "e", "marks": "k"}[panel])
                await by_id(page, f"{panel}-panel").wait_for()
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
            assert await page.evaluate(MISFITS) == [], (width, panel)
            if locale == "en-GB":
                assert await faults(page) == [], (width, panel)
            await shoot(page, f"replay-{locale[:2]}-{width}-{panel}")
        await page.keyboard.press("Escape")
        if width > 1000:
            share = await page.evaluate(
                """() => {
                  const {width, height} = document.querySelector('.replay-pictures').getBoundingClientRect();
                  return (width * height) / (innerWidth * innerHeight);
                }"""
            )
            assert share >= 0.75, share
    for key, dialog in (("?", "keys-dialog"), ("x", "export-dialog")):
        await page.keyboard.press(key)
        await by_id(page, dialog).wait_for()
        assert await faults(page) == [], dialog
        await shoot(page, f"replay-{locale[:2]}-{dialog}")
        await page.keyboard.press("Escape")
