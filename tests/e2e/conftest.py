"""Real browsers: Debian's Chromium, headless, with fake devices that play the ultrasound loop and a voice."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.e2e.feeds import write_cine, write_voice
from tests.serving import ROOT, Server, running_server

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
SCREENS = ROOT / "build" / "screens"
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def feeds(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Chromium's arguments that make its fake devices play our files."""
    folder = tmp_path_factory.mktemp("feeds")
    return [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={write_cine(folder)}",
        f"--use-file-for-fake-audio-capture={write_voice(folder)}",
    ]


Launch = Callable[..., Awaitable[Browser]]


@pytest.fixture
async def launch(feeds: list[str]) -> AsyncIterator[Launch]:
    """Starts Chromium processes that end with the test."""
    async with async_playwright() as playwright:
        started: list[Browser] = []

        async def start(*arguments: str, executable: str = CHROMIUM, devices: bool = True) -> Browser:
            browser = await playwright.chromium.launch(
                executable_path=executable, args=[*QUIET, *(feeds if devices else []), *arguments]
            )
            started.append(browser)
            return browser

        yield start
        for browser in started:
            await browser.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running_server(tmp_path / "data") as server:
        yield server


@pytest.fixture
def shoot() -> Callable[[Page, str], Awaitable[None]]:
    """Writes a screenshot of a page to build/screens."""

    async def shoot(page: Page, name: str) -> None:
        SCREENS.mkdir(parents=True, exist_ok=True)
        await page.screenshot(path=SCREENS / f"{name}.png")

    return shoot


async def new_page(browser: Browser, width: int = 1280, height: int = 800, locale: str = "en-GB") -> Page:
    """A page of a person of their own: nothing is shared with other pages of the browser."""
    context: BrowserContext = await browser.new_context(
        viewport={"width": width, "height": height},
        locale=locale,
        permissions=["camera", "microphone", "clipboard-read", "clipboard-write"],
    )
    return await context.new_page()
