"""A kept consultation of 24 seconds, the server that has it, and the page that plays it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page

from tests.e2e.conftest import new_page
from tests.e2e.looking import until
from tests.e2e.people import by_id
from tests.media.recording.sending import sound, video
from tests.recordings.keeping import open_keeping
from tests.recordings.making import CLINIC, HUB, Made, Track
from tests.serving import Server

SECONDS = 24
FRAMES = SECONDS * 30
LARGE = ".replay-large video"
MEDIA_TIMES = """
() => [...document.querySelectorAll('video, audio')].map((one) => ({
  lane: one.closest('[data-lane]').dataset.lane, at: one.currentTime, paused: one.paused, muted: one.muted,
  rate: one.playbackRate, ready: one.readyState,
}))
"""


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


def staff_token(server: Server) -> str:
    return server.staff_token()


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
