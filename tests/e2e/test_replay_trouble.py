"""Replay of what is not whole: damage, pauses, events of a later version, and a line that breaks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from bridge.recordings import layout
from bridge.recordings.index import RecordingReader
from bridge.vault import Vault
from tests.e2e.conftest import Launch
from tests.e2e.looking import until
from tests.e2e.people import by_id
from tests.e2e.replaying import LARGE, Kept, at_s, keep, open_replay, staff_token
from tests.recordings.making import CLINIC, HUB, Made
from tests.serving import running_server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


Shoot = Callable[[Page, str], Awaitable[None]]


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
