"""Recordings in a real browser: played on one clock, sought, stepped, marked, cut, stopped at damage, and live."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import pytest
from playwright.async_api import Browser, Page, expect

from bridge.client import Participant
from bridge.demo.pictures import cine_path, draw_room, read_cine
from bridge.demo.sound import voice
from bridge.demo.tracks import CineTrack, VoiceTrack
from bridge.recordings import layout
from bridge.recordings.index import RecordingReader
from bridge.vault import Vault
from tests.e2e.conftest import Launch, new_page
from tests.e2e.hearing import faults, open_checked
from tests.e2e.looking import moves, until
from tests.e2e.people import by_id
from tests.media.recording.sending import sound, video
from tests.recordings.keeping import open_keeping
from tests.recordings.making import CLINIC, HUB, Made, Track
from tests.serving import Server, running_server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

Shoot = Callable[[Page, str], Awaitable[None]]

SECONDS = 24
FRAMES = SECONDS * 30
LARGE = ".replay-large video"
END_IS = "least => Number(document.querySelector('[role=slider]').getAttribute('aria-valuemax')) >= least"
BEHIND_END_S = """
([selector, most]) => {
  const end = Number(document.querySelector('[role=slider]').getAttribute('aria-valuemax'));
  const behind = end - document.querySelector(selector).currentTime;
  return 1 < behind && behind < most;
}
"""

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

MEDIA_TIMES = """
() => [...document.querySelectorAll('video, audio')].map((one) => ({
  lane: one.closest('[data-lane]').dataset.lane, at: one.currentTime, paused: one.paused, muted: one.muted,
  rate: one.playbackRate, ready: one.readyState,
}))
"""

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


def consultation() -> list[Track]:
    """A hub with camera and microphone, a clinic with ultrasound and microphone, for 24 seconds."""
    return [
        Track(HUB, "microphone", "audio", sound(SECONDS * 50)),
        Track(HUB, "camera", "video", video("vp8", FRAMES)),
        Track(CLINIC, "microphone", "audio", sound(SECONDS * 50)),
        Track(CLINIC, "ultrasound", "video", video("h264", FRAMES)),
    ]


@dataclass
class Kept:
    server: Server
    made: Made
    token: str

    @property
    def link(self) -> str:
        return f"{self.server.address}/replay#{self.token}&r={self.made.recording}"


async def keep(data: Path, **more: Any) -> Made:
    """A recording in the data folder of a server that does not run yet."""
    async with open_keeping(data) as keeping:
        return await keeping.add(**{"tracks": consultation(), **more})


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    made = await keep(tmp_path / "data")
    with running_server(tmp_path / "data") as server:
        yield Kept(server, made, staff_token(server))


class FutureEvent(layout.Event):
    """Of a version that this page does not know."""

    what: str


def alter(data: Path, made: Made, stream: int, number: int) -> None:
    """Changes one bit of the body of a part, counted from 0, as nobody but who may write to the disk could."""
    ref = layout.ref_of(made.recording)
    with RecordingReader(Vault(data).open(ref)) as reader:
        track = reader.track(stream)
        assert track is not None
        part = track.parts[number].part
    file = data / "recordings" / ref.id / f"{stream:08}.parts"
    content = bytearray(file.read_bytes())
    content[part.offset_bytes + part.header.body_offset + 5] ^= 1
    file.write_bytes(content)


def staff_token(server: Server) -> str:
    return server.command("staff", "link").strip().partition("#")[2]


async def open_replay(browser: Browser, link: str, **page_options: Any) -> Page:
    page = await new_page(browser, **page_options)
    await page.goto(link)
    await by_id(page, "replay").wait_for()
    await until(page, "selector => document.querySelector(selector)?.readyState >= 2", LARGE)
    return page


async def at_s(page: Page) -> float:
    """What the large picture shows."""
    at: float = await page.evaluate("selector => document.querySelector(selector).currentTime", LARGE)
    return at


async def still(page: Page) -> None:
    """All that was sought is shown."""
    await until(
        page,
        "() => [...document.querySelectorAll('video, audio')].every((one) => !one.seeking && one.readyState >= 2)",
    )


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


async def test_playing_stops_at_damage_and_goes_on_behind_it(
    tmp_path: Path, launch: Launch, shoot: Shoot
) -> None:
    made = await keep(tmp_path / "data")
    ultrasound = made.streams[3]
    alter(tmp_path / "data", made, ultrasound, 4)
    with running_server(tmp_path / "data") as server:
        kept = Kept(server, made, staff_token(server))
        page = await open_replay(await launch(devices=False), kept.link)
        await page.keyboard.press("ArrowRight")
        await page.keyboard.press("ArrowLeft")
        await page.keyboard.press("s")
        await page.keyboard.press("s")
        await page.keyboard.press("Space")
        await expect(by_id(page, "damage")).to_be_visible(timeout=15_000)
        await expect(by_id(page, "damage")).to_contain_text("1 second")
        await shoot(page, "replay-damage")
        assert 3.5 < await at_s(page) < 5
        await by_id(page, "go-behind").click()
        await expect(by_id(page, "damage")).to_have_count(0)
        await until(page, "selector => document.querySelector(selector).currentTime > 6.5", LARGE)
        await page.keyboard.press("Home")
        await expect(by_id(page, "damage")).to_be_visible(timeout=15_000)
        await by_id(page, "go-without").click()
        await expect(page.locator(f'audio[data-participant="{CLINIC}"]')).to_have_js_property("paused", False)
        await until(page, "selector => document.querySelector(selector).currentTime > 6.5", LARGE)


async def test_a_broken_line_is_said_and_playing_goes_on_once_it_is_back(kept: Kept, launch: Launch) -> None:
    page = await open_replay(await launch(devices=False), kept.link)
    await page.context.set_offline(True)
    await page.keyboard.press("End")
    await page.keyboard.press("ArrowLeft")
    await page.keyboard.press(",")
    await expect(by_id(page, "replay-failed")).to_be_visible()
    # Nobody waits for anything yet.
    await expect(by_id(page, "replay-offline")).to_have_count(0)
    await page.keyboard.press("Space")
    await expect(by_id(page, "replay-offline")).to_be_visible()
    await page.context.set_offline(False)
    await expect(by_id(page, "replay-offline")).to_have_count(0, timeout=15_000)
    await until(page, "selector => document.querySelector(selector).currentTime > 20", LARGE)


async def test_pauses_are_skipped_and_shown(tmp_path: Path, launch: Launch, shoot: Shoot) -> None:
    more = [
        layout.RecordingPaused(at_ms=8_000, by=HUB),
        layout.RecordingResumed(at_ms=14_000, by=HUB),
        FutureEvent(at_ms=9_000, what="a new thing"),
    ]
    made = await keep(tmp_path / "data", more=more)
    with running_server(tmp_path / "data") as server:
        page = await open_replay(await launch(devices=False), Kept(server, made, staff_token(server)).link)
        await expect(page.locator(".replay-span.paused")).to_have_count(1)
        await page.keyboard.press("ArrowRight")
        await page.keyboard.press("s")
        await page.keyboard.press("s")
        await page.keyboard.press("Space")
        await expect(by_id(page, "pause-skipped")).to_contain_text("6 seconds")
        await shoot(page, "replay-pause")
        await until(page, "selector => document.querySelector(selector).currentTime > 14.5", LARGE)


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
