"""Reading studies in a real browser: stacks, windows, measurements, planes, loops, every object with pixels."""

from __future__ import annotations

import io
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.async_api import Browser, Page, expect
from pydicom.uid import generate_uid

from tests.e2e.conftest import Launch, new_page
from tests.e2e.looking import until
from tests.imaging.corpus import ct_slice, file_of, valid
from tests.imaging.pictures import BROKEN, files_with_pixels, named
from tests.imaging.webclients import Web, body_of, staff_token
from tests.serving import Server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

Shoot = Callable[[Page, str], Awaitable[None]]

GRAPHICS = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")
STACK = "[data-testid=reader-stack]"
SIDE, SLICES, SPACING_MM, STEP_MM = 128, 40, 0.5, 1.0
AIR_HU, BOX_HU = -1000, 100
BOX = (slice(30, 70), slice(20, 60))
"""Rows and columns of the box, in slices 10 to 29."""

IS_SHARP = """
(cell) => document.querySelector(`[data-testid=reader-stack][data-cell="${cell}"]`)?.dataset.grade === 'sharp'
"""
ALL_SHARP = """
() => {
  const {sharp, total} = document.querySelector('[data-testid=reader]')?.dataset ?? {};
  return Number(total) > 0 && sharp === total;
}
"""
INDEX_IS = "(at) => document.querySelector('[data-testid=reader-stack]')?.dataset.index === String(at)"


@dataclass
class Reading:
    """A server with studies, and who may read them all."""

    server: Server
    web: Web

    def link(self, study: str = "") -> str:
        return f"{self.server.address}/read#{self.web.token}" + (f"&s={study}" if study else "")

    def send(self, *objects: bytes) -> None:
        body, kind = body_of(objects)
        answer = self.web.ask("POST", "/studies", data=body, headers={"Content-Type": kind})
        assert answer.status_code == 200, answer.text


@pytest.fixture
def reading(server: Server) -> Reading:
    return Reading(server, Web(server, staff_token(server)))


@pytest.fixture
async def browser(launch: Launch) -> Browser:
    return await launch(*GRAPHICS, devices=False)


def box_in_air(study: str, series: str = "", **changes: object) -> list[bytes]:
    """A CT of a box of 100 HU in air, half a millimetre a pixel, one millimetre a slice."""
    series = series or generate_uid()
    made = []
    for number in range(SLICES):
        values = np.full((SIDE, SIDE), AIR_HU + 1024, np.int16)
        if 10 <= number < 30:
            values[BOX] = BOX_HU + 1024
        made.append(
            ct_slice(
                number + 1,
                study,
                series,
                **{
                    "Rows": SIDE,
                    "Columns": SIDE,
                    "PixelData": values.tobytes(),
                    "PatientName": "Nguyễn^Thị Hồng",
                    "SpecificCharacterSet": "ISO_IR 192",
                    "SeriesDescription": "Грудная клетка",
                    "FrameOfReferenceUID": study,
                    "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
                    "ImagePositionPatient": [-32, -32, number * STEP_MM],
                    "PixelSpacing": [SPACING_MM, SPACING_MM],
                    "RescaleSlope": 1,
                    "RescaleIntercept": -1024,
                    "WindowCenter": 0,
                    "WindowWidth": 2000,
                    **changes,
                },
            )
        )
    return made


async def opened(
    browser: Browser, reading: Reading, study: str, width: int = 1280, height: int = 800, *, pictures: int = 0
) -> Page:
    """With its first picture; with all of them to scroll through if it is said how many `pictures` they are."""
    page = await new_page(browser, width, height)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    await page.goto(reading.link(study))
    await until(page, IS_SHARP, 0)
    if pictures:
        await expect(page.get_by_test_id("reader")).to_have_attribute("data-total", str(pictures))
    assert faults == []
    return page


async def pixel_on_page(page: Page, column: float, row: float, selector: str = STACK) -> tuple[float, float]:
    """Where a pixel of a square picture that fits its cell lies on the page."""
    box = await page.locator(selector).first.bounding_box()
    assert box is not None
    scale = min(box["width"], box["height"]) / SIDE
    x = box["x"] + box["width"] / 2 + (column + 0.5 - SIDE / 2) * scale
    return x, box["y"] + box["height"] / 2 + (row + 0.5 - SIDE / 2) * scale


async def seen(page: Page) -> NDArray[np.uint8]:
    """What the page shows, as rows of red, green and blue."""
    return np.asarray(Image.open(io.BytesIO(await page.screenshot())).convert("RGB"))


async def grey_at(page: Page, column: float, row: float) -> int:
    x, y = await pixel_on_page(page, column, row)
    return int((await seen(page))[round(y), round(x), 1])


async def becomes(page: Page, column: float, row: float, grey: int) -> None:
    """The picture is drawn soon after it is asked for, not at once."""
    last = -1
    for _ in range(40):
        last = await grey_at(page, column, row)
        if abs(last - grey) <= 3:
            return
        await page.wait_for_timeout(50)
    raise AssertionError(f"the pixel is {last} and not {grey}")


async def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    await page.mouse.move(*start)
    await page.mouse.down()
    await page.mouse.move(*end, steps=5)
    await page.mouse.up()


async def test_a_ct_is_found_opened_and_scrolled(browser: Browser, reading: Reading, shoot: Shoot) -> None:
    study = generate_uid()
    reading.send(*box_in_air(study))
    page = await new_page(browser)
    await page.goto(reading.link())
    await expect(page.get_by_test_id("study")).to_contain_text("Nguyễn Thị Hồng")
    await shoot(page, "reader-list")
    await page.get_by_test_id("open-study").click()
    await until(page, IS_SHARP, 0)
    await expect(page.get_by_test_id("corner-who")).to_contain_text("Nguyễn Thị Hồng")
    await expect(page.get_by_test_id("corner-who")).to_contain_text("Грудная клетка")
    await expect(page.get_by_test_id("corner-where")).to_contain_text("1 of 40")
    await page.keyboard.press("ArrowDown")
    await until(page, INDEX_IS, 1)
    await page.keyboard.press("End")
    await until(page, INDEX_IS, SLICES - 1)
    await page.keyboard.press("Home")
    x, y = await pixel_on_page(page, 64, 64)
    await page.mouse.move(x, y)
    await page.mouse.wheel(0, 250)
    await until(page, INDEX_IS, 5)
    await drag(page, (x, y), (x, y + 8 * 10))
    await until(page, INDEX_IS, 15)
    await until(page, ALL_SHARP)
    await becomes(page, 40, 50, round((BOX_HU + 1000) / 2000 * 255))
    await becomes(page, 100, 100, 0)


async def test_windows_change_what_is_seen(browser: Browser, reading: Reading) -> None:
    study = generate_uid()
    reading.send(*box_in_air(study))
    page = await opened(browser, reading, study, pictures=SLICES)
    await page.keyboard.press("PageDown")
    await page.keyboard.press("PageDown")
    await until(page, IS_SHARP, 0)
    await page.get_by_test_id("reader-window").select_option("abdomen")
    await becomes(page, 40, 50, round((BOX_HU + 150) / 400 * 255))
    await page.get_by_test_id("reader-window").select_option("brain")
    await becomes(page, 40, 50, 255)
    await page.get_by_test_id("reader").press("i")
    await becomes(page, 40, 50, 0)
    await becomes(page, 100, 100, 255)
    await page.keyboard.press("0")
    await becomes(page, 40, 50, round((BOX_HU + 1000) / 2000 * 255))
    # By hand: to the right is wider, so the box is darker against white.
    await page.keyboard.press("w")
    start = await pixel_on_page(page, 64, 64)
    await drag(page, start, (start[0] + 150, start[1]))
    await expect(page.get_by_test_id("corner-window")).to_contain_text("W 3")


async def test_measures_in_millimetres_and_hounsfield_units(
    browser: Browser, reading: Reading, shoot: Shoot
) -> None:
    study = generate_uid()
    reading.send(*box_in_air(study))
    page = await opened(browser, reading, study, pictures=SLICES)
    await page.keyboard.press("PageDown")
    await page.keyboard.press("PageDown")
    await until(page, IS_SHARP, 0)
    await page.keyboard.press("l")
    await drag(page, await pixel_on_page(page, 20, 100), await pixel_on_page(page, 100, 100))
    length = page.locator("[data-tool=length][data-testid=reader-mark]")
    told = re.match(r"([\d.]+) mm", await length.get_attribute("data-told") or "")
    assert told is not None
    assert float(told[1]) == pytest.approx(80 * SPACING_MM, abs=0.3)
    await page.keyboard.press("r")
    await drag(page, await pixel_on_page(page, 25, 35), await pixel_on_page(page, 50, 60))
    rectangle = page.locator("[data-tool=rectangle][data-testid=reader-mark]")
    await expect(rectangle).to_have_attribute("data-told", re.compile(r"^Mean 100 HU · SD 0 HU · "))
    await page.keyboard.press("e")
    # Half over the edge of the box: between box and air.
    await drag(page, await pixel_on_page(page, 50, 40), await pixel_on_page(page, 70, 60))
    ellipse = page.locator("[data-tool=ellipse][data-testid=reader-mark]")
    mean = re.match(r"Mean (-?[\d.]+) HU · SD (\d+)", await ellipse.get_attribute("data-told") or "")
    assert mean is not None
    assert -600 < float(mean[1]) < -300
    assert int(mean[2]) > 400
    await page.keyboard.press("a")
    for corner in ((80, 20), (80, 40), (100, 40)):
        x, y = await pixel_on_page(page, *corner)
        await page.mouse.click(x, y)
    await expect(page.locator("[data-tool=angle][data-testid=reader-mark]")).to_have_attribute(
        "data-told", re.compile(r"^(89\.\d|90\.\d)°")
    )
    await shoot(page, "reader-measured")
    await page.keyboard.press("u")
    await expect(page.get_by_test_id("reader-mark")).to_have_count(3)
    await page.keyboard.press("PageDown")
    await expect(page.get_by_test_id("reader-mark")).to_have_count(0)


async def test_planes_through_a_volume(browser: Browser, reading: Reading, shoot: Shoot) -> None:
    study = generate_uid()
    reading.send(*box_in_air(study))
    page = await opened(browser, reading, study, pictures=SLICES)
    await page.get_by_test_id("reader-layout").select_option("mpr")
    await until(page, ALL_SHARP)
    # The box's middle lies at 19.5 mm: the middle of the slices, left of and above the middle of each.
    axial = page.locator("[data-plane=axial]")
    await expect(axial).to_have_attribute("data-at", "19.5")
    x, y = await pixel_on_page(page, 40, 50, "[data-plane=axial]")
    await page.mouse.click(x, y)
    sagittal = page.locator("[data-plane=sagittal]")
    at = float(await sagittal.get_attribute("data-at") or "nan")
    assert at == pytest.approx(-32 + 40 * SPACING_MM, abs=0.3)
    coronal = await page.locator("[data-plane=coronal]").bounding_box()
    assert coronal is not None
    for _ in range(60):
        shown = await seen(page)
        rows = slice(int(coronal["y"]), int(coronal["y"] + coronal["height"]))
        part = shown[rows, int(coronal["x"]) : int(coronal["x"] + coronal["width"]), 1]
        # The box is 40 pixels of half a millimetre wide, and 20 slices of one millimetre high: a square.
        bright = np.abs(part.astype(int) - round((BOX_HU + 1000) / 2000 * 255)) < 6
        columns, lines = np.flatnonzero(bright.sum(0) > 20), np.flatnonzero(bright.sum(1) > 20)
        if len(columns) and len(lines):
            break
        await page.wait_for_timeout(100)
    width, height = columns[-1] - columns[0], lines[-1] - lines[0]
    assert width == pytest.approx(height, rel=0.1)
    await shoot(page, "reader-planes")
    await page.get_by_test_id("reader-layout").select_option("1x1")
    await until(page, IS_SHARP, 0)


async def test_compares_side_by_side_at_the_same_place(
    browser: Browser, reading: Reading, shoot: Shoot
) -> None:
    study = generate_uid()
    reading.send(*box_in_air(study, SeriesNumber=1))
    half = box_in_air(study, SeriesNumber=2, SeriesDescription="Every second")[::2]
    reading.send(*half)
    page = await opened(browser, reading, study)
    await page.get_by_test_id("reader-layout").select_option("1x2")
    await page.locator("[data-testid=reader-cell][data-cell='1']").click()
    await page.get_by_test_id("reader-tile").nth(1).click()
    await until(page, IS_SHARP, 1)
    await page.get_by_test_id("reader-link").click()
    await page.locator(f"{STACK}[data-cell='0']").hover()
    await page.mouse.wheel(0, 500)
    await expect(page.locator(f"{STACK}[data-cell='0']")).to_have_attribute("data-index", "10")
    await expect(page.locator(f"{STACK}[data-cell='1']")).to_have_attribute("data-index", "5")
    await shoot(page, "reader-compared")


@pytest.mark.alone
async def test_a_study_that_still_arrives_grows_on_the_page(browser: Browser, reading: Reading) -> None:
    study, series = generate_uid(), generate_uid()
    objects = box_in_air(study, series)
    reading.send(*objects[:8])
    page = await opened(browser, reading, study)
    await expect(page.get_by_test_id("corner-where")).to_contain_text("1 of 8")
    reading.send(*objects[8:20])
    await expect(page.get_by_test_id("corner-where")).to_contain_text("of 20", timeout=9_000)
    reading.send(*objects[20:])
    await expect(page.get_by_test_id("corner-where")).to_contain_text("of 40", timeout=9_000)


async def test_an_earlier_study_of_the_patient_is_found_and_of_nobody_else(
    browser: Browser, reading: Reading, shoot: Shoot
) -> None:
    study, earlier = generate_uid(), generate_uid()
    reading.send(*box_in_air(study, StudyDate="20261120", PatientID="N-1"))
    page = await opened(browser, reading, study)
    await page.keyboard.press("c")
    await expect(page.get_by_test_id("compare-note")).to_contain_text("no earlier study of this patient")
    reading.send(*box_in_air(generate_uid(), StudyDate="20260601", PatientID="N-2")[:3])
    reading.send(*box_in_air(earlier, StudyDate="20260301", PatientID="N-1")[:20])
    await page.keyboard.press("c")
    line = page.get_by_test_id("study-line").nth(1)
    await expect(line).to_have_attribute("data-study", earlier)
    await until(page, IS_SHARP, 1)
    await page.get_by_test_id("study-choose").click()
    await expect(page.get_by_test_id("study-choice")).to_have_count(2)
    await page.keyboard.press("Escape")
    await expect(page.get_by_test_id("study-choices")).to_have_count(0)
    await shoot(page, "reader-earlier")


async def test_an_ultrasound_loop_runs_at_its_own_rate(
    browser: Browser, reading: Reading, shoot: Shoot
) -> None:
    dataset = named("color3d_jpeg_baseline.dcm")
    reading.send(files_with_pixels()["color3d_jpeg_baseline.dcm"].read_bytes())
    page = await opened(browser, reading, dataset.StudyInstanceUID)
    await until(page, ALL_SHARP, timeout_s=60)
    await page.keyboard.press("Space")
    counted: int = await page.evaluate(
        """async () => {
          const stack = document.querySelector('[data-testid=reader-stack]');
          let steps = 0;
          const isStep = (one) => one.attributeName === 'data-index';
          const watcher = new MutationObserver((all) => { steps += all.filter(isStep).length; });
          watcher.observe(stack, {attributes: true});
          await new Promise((resolve) => setTimeout(resolve, 3000));
          watcher.disconnect();
          return steps;
        }"""
    )
    rate = 1000 / float(dataset.FrameTime) if "FrameTime" in dataset else 15.0
    rate = float(dataset.get("RecommendedDisplayFrameRate", dataset.get("CineRate", rate)))
    assert 0.4 * rate * 3 < counted < 1.15 * rate * 3
    await shoot(page, "reader-loop")
    await page.keyboard.press("Space")
    at = await page.locator(STACK).get_attribute("data-index")
    await page.wait_for_timeout(300)
    assert await page.locator(STACK).get_attribute("data-index") == at


async def test_every_object_with_pixels_is_shown_as_the_server_draws_it(
    browser: Browser, reading: Reading
) -> None:
    """Of each series the first picture; of what the server cannot draw either, nothing is asked."""
    known = {path.name for path in valid()}
    for name, path in files_with_pixels().items():
        if name in known and name not in BROKEN and path.stat().st_size < 12_000_000:
            # One UID may be in several files; the first counts.
            reading.web.ask(
                "POST", "/studies", data=path.read_bytes(), headers={"Content-Type": "application/dicom"}
            )
    page = await new_page(browser)
    wrong: list[str] = []
    compared = 0
    for study in reading.web.ask("GET", "/studies?limit=500").json():
        uid = study["0020000D"]["Value"][0]
        await page.goto("about:blank")
        await page.goto(reading.link(uid))
        await page.get_by_test_id("reader-tile").first.wait_for()
        tiles = page.get_by_test_id("reader-tile")
        for number in range(await tiles.count()):
            await tiles.nth(number).click()
            series = await tiles.nth(number).get_attribute("data-series")
            try:
                await until(page, SETTLED, series, timeout_s=20)
            except AssertionError:
                wrong.append(f"{uid}: nothing came of {series}")
                continue
            if await page.locator(STACK).count() == 0:
                continue
            fault = await misdrawn(page, reading, uid, str(series))
            compared += 1
            if fault:
                wrong.append(f"{uid}: {fault}")
    assert not wrong, "\n".join(wrong)
    assert compared > 40


SETTLED = """
(series) => {
  const stack = document.querySelector('[data-testid=reader-stack]');
  const pressed = document.querySelector(`[data-series="${series}"][aria-pressed=true]`);
  const others = document.querySelector('[data-testid=reader-video], .reader-other');
  const nothing = document.querySelector('.reader-cell-note')?.textContent.includes('no picture');
  return pressed && (stack ? stack.dataset.grade === 'sharp' && stack.dataset.series === series : others || nothing);
}
"""


async def misdrawn(page: Page, reading: Reading, study: str, series: str) -> str | None:
    """What is wrong with the picture that is shown; None if it looks as the server's own."""
    stack = page.locator(STACK)
    instance, frame = await stack.get_attribute("data-instance"), await stack.get_attribute("data-frame")
    path = f"/studies/{study}/series/{series}/instances/{instance}/frames/{frame}/rendered"
    answer = reading.web.ask("GET", path, headers={"Accept": "image/png"})
    if answer.status_code != 200:
        return None
    drawn = Image.open(io.BytesIO(answer.content)).convert("RGB")
    box = await stack.bounding_box()
    assert box is not None
    metadata = reading.web.ask("GET", f"/studies/{study}/series/{series}/metadata").json()[0]
    rows, columns = (int(metadata[tag]["Value"][0]) for tag in ("00280010", "00280011"))
    if min(rows, columns) < LEAST_SIDE:
        return None
    # The server's has square pixels already.
    width, height = columns, rows * height_of_pixel(metadata)
    scale = min(box["width"] / width, box["height"] / height)
    x, y = box["x"] + (box["width"] - width * scale) / 2, box["y"] + (box["height"] - height * scale) / 2
    best = 0.0
    for _ in range(20):
        shown = Image.fromarray(await seen(page)).crop(
            (round(x), round(y), round(x + width * scale), round(y + height * scale))
        )
        best = max(best, likeness(shown, drawn))
        if best > 0.9:
            return None
        await page.wait_for_timeout(100)
    return f"{metadata.get('00080060', {}).get('Value')} {series} is like the server's by {best:.2f} only"


LEAST_SIDE = 32
"""Of fewer pixels, one that is drawn smooth has nothing of one that is drawn as squares."""


def height_of_pixel(metadata: dict[str, dict[str, list[float]]]) -> float:
    for tag in ("00280030", "00280034"):
        values = metadata.get(tag, {}).get("Value")
        if values and len(values) == 2 and all(values):
            return float(values[0]) / float(values[1])
    return 1.0


def likeness(one: Image.Image, other: Image.Image) -> float:
    """How their colours go together, from -1 to 1; pictures of one colour are as like as these are."""
    small = [
        np.asarray(each.resize((24, 24), Image.Resampling.BOX), float)[5:19].ravel() for each in (one, other)
    ]
    if min(values.std() for values in small) < 2:
        return 1.0 - abs(small[0].mean() - small[1].mean()) / 255
    return float(np.corrcoef(*small)[0, 1])


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1024, 768), (360, 740)])
async def test_fits_every_screen(
    browser: Browser, reading: Reading, shoot: Shoot, width: int, height: int
) -> None:
    study = generate_uid()
    reading.send(*box_in_air(study, SeriesNumber=1))
    page = await opened(browser, reading, study, width, height, pictures=SLICES)
    await page.keyboard.press("PageDown")
    await page.keyboard.press("PageDown")
    await until(page, IS_SHARP, 0)
    await shoot(page, f"reader-{width}")
    misfits: list[str] = await page.evaluate(MISFITS)
    assert misfits == []
    cells = await page.locator(".reader-cells").bounding_box()
    assert cells is not None
    assert cells["width"] * cells["height"] > (0.75 if width > 1000 else 0.6) * width * height
    # One row of tools; the others come over the picture, which stays where it is.
    tools = await page.locator(".reader-tools").bounding_box()
    assert tools is not None
    assert tools["height"] < 64
    if await page.get_by_test_id("reader-more").count() > 0:
        await page.get_by_test_id("reader-more").click()
        await shoot(page, f"reader-{width}-more")
        assert await page.evaluate(MISFITS) == []
        assert await page.locator(".reader-cells").bounding_box() == cells
        await page.get_by_test_id("reader-reset").click()
        await expect(page.get_by_test_id("reader-tools-more")).to_have_count(0)


MISFITS = """
() => [...document.querySelectorAll('button, select, a')]
  .filter((one) => one.checkVisibility())
  .filter((one) => {
    const {left, right, bottom, width, height} = one.getBoundingClientRect();
    const inStrip = one.closest('.reader-strip');
    const small = one.matches('select') ? width < 43.5 : width < 43.5 || height < 43.5;
    return small || (!inStrip && (right > innerWidth + 1 || left < -1 || bottom > innerHeight + 1));
  })
  .map((one) => one.dataset.testid)
"""


async def test_reads_without_graphics_and_says_what_needs_them(
    launch: Launch, reading: Reading, shoot: Shoot
) -> None:
    study = generate_uid()
    reading.send(*box_in_air(study))
    browser = await launch("--disable-3d-apis", devices=False)
    page = await opened(browser, reading, study, pictures=SLICES)
    await page.keyboard.press("PageDown")
    await page.keyboard.press("PageDown")
    await until(page, IS_SHARP, 0)
    await becomes(page, 40, 50, round((BOX_HU + 1000) / 2000 * 255))
    await page.get_by_test_id("reader-layout").select_option("mpr")
    await expect(page.get_by_test_id("reader-cell").first).to_contain_text("graphics hardware")


async def test_a_picture_without_calibration_has_no_millimetres(browser: Browser, reading: Reading) -> None:
    dataset = pydicom.dcmread(files_with_pixels()["CT_small.dcm"])
    for name in ("PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient"):
        delattr(dataset, name)
    dataset.StudyInstanceUID = study = generate_uid()
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    reading.send(file_of(dataset))
    page = await opened(browser, reading, study)
    await page.keyboard.press("l")
    await drag(page, await pixel_on_page(page, 20, 100), await pixel_on_page(page, 100, 100))
    told = await page.get_by_test_id("reader-mark").get_attribute("data-told") or ""
    assert re.fullmatch(r"(79|80|81) px", told)
