"""Other people's viewer reads from our DICOMweb: OHIF, as it is published, in a real Chromium."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from playwright.async_api import Locator, Page, expect
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from bridge.imaging.layout import InstanceNote
from bridge.imaging.parsing import parse
from tests.e2e.conftest import Launch
from tests.e2e.ohif import SOFTWARE_GRAPHICS, Grey, Viewer, Watcher, drawn, served_viewer
from tests.imaging.corpus import ct_slice
from tests.imaging.webclients import Web, staff_token
from tests.serving import running_server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

SLICES, SIDE = 300, 512
SMALLEST, LARGEST = 60, 240
"""Radius of the bright disc in the first and in the last slice, in pixels: it tells which slice is shown."""
BATCH = 50
PATIENCE_S = 60.0


@dataclass
class Hospital:
    """A server, and the viewer that reads from it."""

    web: Web
    viewer: Viewer

    def keep(self, *contents: bytes) -> None:
        for start in range(0, len(contents), BATCH):
            answer = self.web.send(*contents[start : start + BATCH])
            assert answer.status_code == 200, answer.text

    def keep_file(self, name: str) -> InstanceNote:
        """One of pydicom's."""
        content = Path(str(get_testdata_file(name))).read_bytes()
        self.keep(content)
        return parse(content).note


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    folder = tmp_path_factory.mktemp("ohif") / "data"
    with (
        served_viewer() as viewer,
        running_server(folder, settings={"allowed_origins": viewer.address}) as server,
    ):
        web = Web(server, staff_token(server))
        viewer.reads_from(web.url)
        yield Hospital(web, viewer)


def radius(number: int) -> float:
    return SMALLEST + (LARGEST - SMALLEST) * (number - 1) / (SLICES - 1)


def growing_disc(study: str, series: str, number: int) -> bytes:
    y, x = np.ogrid[:SIDE, :SIDE]
    disc = (x - SIDE / 2) ** 2 + (y - SIDE / 2) ** 2 < radius(number) ** 2
    pixels = np.where(disc, 2000, 0) + np.random.default_rng(number).normal(0, 20, (SIDE, SIDE))
    return ct_slice(
        number,
        study,
        series,
        side=SIDE,
        PixelData=pixels.astype(np.int16).tobytes(),
        PixelSpacing=[0.7, 0.7],
        SliceThickness=1,
        ImagePositionPatient=[-180.0, -180.0, float(number)],
        ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
    )


async def opened(hospital: Hospital, launch: Launch, study: str) -> tuple[Page, Watcher]:
    """The page with this study, its first words skipped."""
    browser = await launch(*SOFTWARE_GRAPHICS, devices=False)
    context = await browser.new_context(viewport={"width": 1280, "height": 800}, service_workers="block")
    page, watcher = await context.new_page(), Watcher()
    await watcher.watch(page)
    await page.goto(hospital.viewer.of(study, hospital.web.token))
    tour = page.get_by_text("Skip all")
    await expect(tour).to_be_visible(timeout=PATIENCE_S * 1000)
    await tour.click()
    await expect(tour).to_be_hidden()
    return page, watcher


async def until(true: Callable[[], Awaitable[bool]], page: Page, what: str) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not await true():
        assert time.monotonic() < deadline_s, what
        await page.wait_for_timeout(100)


async def picture(page: Page, part: Locator, fits: Callable[[Grey], bool], what: str) -> Grey:
    """What is drawn there once it is as it should be."""

    async def look() -> bool:
        return fits(await drawn(part))

    await until(look, page, what)
    return await drawn(part)


async def all_were_answered(hospital: Hospital, page: Page, watcher: Watcher, frames: int = 0) -> None:
    """Nothing was refused and nothing was cut off, neither by us nor by the viewer's own pages."""

    async def have_come() -> bool:
        ours = watcher.under(hospital.web.url)
        return sum("/frames/" in each.url and each.is_whole for each in ours) >= frames

    async def have_ended() -> bool:
        return all(each.ended is not None for each in watcher.under(hospital.web.url))

    await until(have_come, page, f"{frames} frames come")
    await until(have_ended, page, "every request has an end")
    ours = watcher.under(hospital.web.url)
    assert len(ours) >= 5
    assert [each for each in ours if each.status not in (200, 204, 206) or not each.is_whole] == []
    # Of its own some are for its workers, whose ends the page is not told.
    assert [each for each in watcher.answers.values() if each.status >= 400 or each.ended] == [
        each for each in ours if each.ended
    ]
    assert watcher.errors == []


def bright(grey: Grey) -> int:
    return int((grey > 150).sum())


async def test_ohif_scrolls_through_a_ct_of_300_slices(
    hospital: Hospital, launch: Launch, shoot: Callable[[Page, str], Awaitable[None]]
) -> None:
    study, series = str(generate_uid()), str(generate_uid())
    hospital.keep(*(growing_disc(study, series, number) for number in range(1, SLICES + 1)))
    page, watcher = await opened(hospital, launch, study)
    shown = page.locator("canvas.cornerstone-canvas").first
    await expect(page.get_by_text(f"(1/{SLICES})")).to_be_visible(timeout=PATIENCE_S * 1000)
    first = await picture(page, shown, lambda grey: bright(grey) > 10_000, "the first slice is drawn")
    await shoot(page, "ohif-ct-first")
    await shown.hover()
    await page.keyboard.press("End")
    await expect(page.get_by_text(f"({SLICES}/{SLICES})")).to_be_visible()
    share = (SMALLEST / LARGEST) ** 2
    last = await picture(
        page, shown, lambda grey: abs(bright(grey) / bright(first) - share) < 0.02, "the last slice is drawn"
    )
    assert bright(last) < bright(first)
    await shoot(page, "ohif-ct-last")
    await all_were_answered(hospital, page, watcher, frames=SLICES)


async def test_ohif_shows_each_frame_of_an_ultrasound_loop(
    hospital: Hospital, launch: Launch, shoot: Callable[[Page, str], Awaitable[None]]
) -> None:
    note = hospital.keep_file("color3d_jpeg_baseline.dcm")
    page, watcher = await opened(hospital, launch, note.study)
    shown = page.locator("canvas.cornerstone-canvas").first
    first = await picture(page, shown, lambda grey: grey.std() > 10, "the first frame is drawn")
    await shown.hover()
    await page.mouse.wheel(0, 100)
    await expect(page.get_by_text(f"(2/{note.frames})")).to_be_visible()
    await picture(page, shown, lambda grey: np.abs(grey - first).mean() > 0.5, "another frame is drawn")
    await shoot(page, "ohif-us")
    await all_were_answered(hospital, page, watcher, frames=note.frames)


async def test_ohif_draws_an_ecg(
    hospital: Hospital, launch: Launch, shoot: Callable[[Page, str], Awaitable[None]]
) -> None:
    note = hospital.keep_file("waveform_ecg.dcm")
    page, watcher = await opened(hospital, launch, note.study)
    shown = page.locator("canvas.cornerstone-canvas").first

    def is_traced(grey: Grey) -> bool:
        """Twelve thin lines run over the whole width."""
        lines = (grey > 120).sum(axis=0)
        return bool(np.median(lines) >= 8 and lines.mean() < grey.shape[0] / 4)

    await picture(page, shown, is_traced, "the traces are drawn")
    await shoot(page, "ohif-ecg")
    assert any("/bulkdata/" in each.url for each in watcher.under(hospital.web.url)), (
        "the samples were fetched"
    )
    await all_were_answered(hospital, page, watcher)
