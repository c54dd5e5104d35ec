"""Recordings in a real browser: played on one clock, sought, stepped, sped up and muted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.e2e.conftest import Launch
from tests.e2e.looking import until
from tests.e2e.people import by_id
from tests.e2e.replaying import LARGE, MEDIA_TIMES, SECONDS, Kept, at_s, keep, open_replay, staff_token, still
from tests.recordings.making import CLINIC, HUB
from tests.serving import running_server

pytestmark = [pytest.mark.browser, pytest.mark.alone, pytest.mark.timeout(240)]


Shoot = Callable[[Page, str], Awaitable[None]]


WHICH_FRAME = """
async (selector) => {
  const video = document.querySelector(selector);
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  const pen = canvas.getContext('2d');
  pen.drawImage(video, 0, 0);
  const row = pen.getImageData(0, 200, video.videoWidth, 1).data;
  const lit = [];
  for (let x = 0; x < video.videoWidth; x++) if (row[4 * x] > 130) lit.push(x);
  return lit.length ? Math.round((lit[0] + lit.at(-1) - 31) / 2) : null;
}
"""
"""Where the lit block begins: 7 pixels further on in each picture, modulo 288 (tests/media/recording/sending.py)."""


def frame_of(block_x: int) -> int:
    """Number of the picture, modulo 288."""
    return block_x * pow(7, -1, 288) % 288


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    made = await keep(tmp_path / "data")
    with running_server(tmp_path / "data") as server:
        yield Kept(server, made, staff_token(server))


async def test_all_tracks_play_on_one_clock_and_seeks_are_quick_and_exact(
    kept: Kept, launch: Launch, shoot: Shoot
) -> None:
    page = await open_replay(await launch(devices=False), kept.link)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    await expect(by_id(page, "lane")).to_have_count(2)
    await expect(by_id(page, "lane-sound")).to_have_count(2)
    await page.keyboard.press("Space")
    await until(page, "selector => document.querySelector(selector).currentTime > 2", LARGE)
    for _ in range(8):
        await page.wait_for_timeout(250)
        media = await page.evaluate(MEDIA_TIMES)
        times = [one["at"] for one in media]
        assert not any(one["paused"] for one in media), media
        assert max(times) - min(times) < 0.04, media
    await shoot(page, "replay-playing")

    await page.keyboard.press("Shift+ArrowRight")  # to the end, which stops it
    await until(page, "selector => document.querySelector(selector).paused", LARGE)
    for press, expected in [("Home", 0.0), ("ArrowRight", 5.0), ("ArrowRight", 10.0), ("ArrowLeft", 5.0)]:
        started = await page.evaluate("performance.now()")
        await page.keyboard.press(press)
        await until(
            page,
            """([selector, at]) => {
                const video = document.querySelector(selector);
                return Math.abs(video.currentTime - at) < 0.02 && !video.seeking && video.readyState >= 2;
            }""",
            [LARGE, expected],
        )
        assert await page.evaluate("performance.now()") - started < 1_000
        await still(page)
        shown = await page.evaluate(WHICH_FRAME, LARGE)
        assert frame_of(shown) == int(expected * 30 + 0.01) % 288, (press, shown)
    assert faults == []


async def test_steps_show_each_picture_once_in_both_directions(kept: Kept, launch: Launch) -> None:
    page = await open_replay(await launch(devices=False), kept.link)
    await page.keyboard.press("ArrowRight")
    await until(page, "selector => document.querySelector(selector).currentTime >= 4.99", LARGE)
    await still(page)

    async def step(key: str) -> int:
        before = await at_s(page)
        await page.keyboard.press(key)
        await until(
            page,
            "([selector, before]) => Math.abs(document.querySelector(selector).currentTime - before) > 0.005",
            [LARGE, before],
        )
        await still(page)
        return frame_of(await page.evaluate(WHICH_FRAME, LARGE))

    # More than a part, so that it goes over the seam.
    assert [await step(".") for _ in range(40)] == list(range(151, 191))
    assert [await step(",") for _ in range(40)] == list(range(189, 149, -1))


async def test_speed_and_muting_of_one_person(kept: Kept, launch: Launch) -> None:
    page = await open_replay(await launch(devices=False), kept.link)
    await page.keyboard.press("Space")
    await page.locator(f'[data-participant="{HUB}"]').get_by_test_id("mute-person").click()
    muted = """
      ([participant, muted]) => document.querySelector(`audio[data-participant="${participant}"]`).muted === muted
    """
    await until(page, muted, [HUB, True])
    await until(page, muted, [CLINIC, False])
    for rate, silent in [(1.5, False), (2, False), (4, True)]:
        await page.keyboard.press("s")
        await until(
            page,
            """([participant, rate, silent]) => {
              const sound = document.querySelector(`audio[data-participant="${participant}"]`);
              const right = Math.abs(sound.playbackRate - rate) < rate * 0.11;
              return right && sound.muted === silent && sound.preservesPitch;
            }""",
            [CLINIC, rate, silent],
        )
    before, began = await at_s(page), await page.evaluate("performance.now()")
    await page.wait_for_timeout(1_500)
    speed = (await at_s(page) - before) / ((await page.evaluate("performance.now()") - began) / 1000)
    assert 3 < speed < 5


async def test_another_picture_can_be_large_and_goes_on_playing(kept: Kept, launch: Launch) -> None:
    page = await open_replay(await launch(devices=False), kept.link)
    await expect(page.locator(LARGE)).to_have_attribute("data-source", "ultrasound")
    await page.keyboard.press("Space")
    await by_id(page, "tile").click()
    await expect(page.locator(LARGE)).to_have_attribute("data-source", "camera")
    await expect(by_id(page, "tile")).to_have_attribute("data-source", "ultrasound")
    before = await page.evaluate(MEDIA_TIMES)
    await page.wait_for_timeout(700)
    after = await page.evaluate(MEDIA_TIMES)
    for one, other in zip(before, after, strict=True):
        assert other["at"] - one["at"] > 0.3
        assert not other["paused"]


async def test_dragging_the_time_line_moves_all(kept: Kept, launch: Launch) -> None:
    page = await open_replay(await launch(devices=False), kept.link)
    box = await page.locator(".replay-track").bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    await page.mouse.move(box["x"] + box["width"] * 0.9, middle)
    await page.mouse.down()
    for share in (0.8, 0.7, 0.6, 0.5):
        await page.mouse.move(box["x"] + box["width"] * share, middle)
    await page.mouse.up()
    # A small picture follows as soon as its part has come.
    await until(
        page,
        "at => [...document.querySelectorAll('video, audio')].every((one) => Math.abs(one.currentTime - at) < 0.2)",
        SECONDS / 2,
    )
    await still(page)
    times = [one["at"] for one in await page.evaluate(MEDIA_TIMES)]
    assert max(times) - min(times) < 0.005
