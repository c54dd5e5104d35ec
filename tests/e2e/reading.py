"""A CT to read together, and what people do with it on the pages: open it, follow, take the lead."""

from __future__ import annotations

import asyncio
import io
import re
import urllib.request
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pydicom
from PIL import Image, ImageDraw
from playwright.async_api import Page, expect
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from tests.e2e.people import by_id
from tests.imaging.corpus import file_of
from tests.imaging.webclients import Web
from tests.serving import Server

SOFTWARE_GRAPHICS = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
SIDE = 512
OPENS_MS = 30_000


@cache
def _digits(number: int) -> np.ndarray[Any, Any]:
    """A number in large bright figures, so that an eye and a test can tell one slice from another."""
    image = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(image).text((SIDE // 2 - 70, SIDE // 2 - 60), f"{number:02d}", fill=255, font_size=120)
    return np.asarray(image) > 127


def ct_picture(number: int, count: int) -> np.ndarray[Any, Any]:
    """A chest as a child draws it, in HU: air, fat, muscle, lungs that change with the slice, a spine, its number."""
    y, x = np.ogrid[:SIDE, :SIDE]
    share = number / count

    def disc(cx: float, cy: float, rx: float, ry: float) -> np.ndarray[Any, Any]:
        return ((x - cx * SIDE) / (rx * SIDE)) ** 2 + ((y - cy * SIDE) / (ry * SIDE)) ** 2 < 1

    hu = np.full((SIDE, SIDE), -1000.0)
    hu[disc(0.5, 0.52, 0.44, 0.34)] = -100
    hu[disc(0.5, 0.52, 0.41, 0.31)] = 50
    reach = 0.06 + 0.1 * np.sin(np.pi * share)
    for middle in (0.3, 0.7):
        hu[disc(middle, 0.5, reach, 0.2)] = -850
    hu[disc(0.5, 0.75, 0.05, 0.05)] = 700
    hu[disc(0.52, 0.45, 0.08, 0.08)] = 130
    hu[_digits(number)] = 900
    return (hu + np.random.default_rng(number).normal(0, 12, hu.shape)).astype(np.int16)


@dataclass
class Ct:
    """A made CT and its objects as files."""

    count: int
    study: str = field(default_factory=generate_uid)
    series: str = field(default_factory=generate_uid)
    frame_of_reference: str = field(default_factory=generate_uid)
    date: str = "20261120"
    patient: tuple[str, str] = ("Nguyễn^Văn^Bình", "P-17")
    step_mm: float = 5.0

    def file(self, number: int) -> bytes:
        dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.PatientName, dataset.PatientID = self.patient
        dataset.StudyDescription, dataset.SeriesDescription = "CT ngực", "Axial 5 mm"
        dataset.StudyDate, dataset.Modality = self.date, "CT"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = self.study, self.series
        dataset.FrameOfReferenceUID = self.frame_of_reference
        uid = generate_uid(entropy_srcs=[self.series, str(number)])
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
        dataset.InstanceNumber = number
        dataset.Rows = dataset.Columns = SIDE
        dataset.PixelSpacing, dataset.SliceThickness = [0.7, 0.7], self.step_mm
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.ImagePositionPatient = [-179, -179, self.step_mm * number]
        dataset.SliceLocation = self.step_mm * number
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
        dataset.BitsAllocated = dataset.BitsStored = 16
        dataset.HighBit, dataset.PixelRepresentation = 15, 1
        dataset.WindowCenter, dataset.WindowWidth = 40, 400
        for name in ("SmallestImagePixelValue", "LargestImagePixelValue", "PixelPaddingValue"):
            if name in dataset:
                delattr(dataset, name)
        dataset.PixelData = ct_picture(number, self.count).tobytes()
        return file_of(dataset)

    async def send(self, server: Server, token: str, first: int, last: int) -> None:
        """These slices by STOW-RS, as a modality's gateway would."""

        def send() -> int:
            files = [self.file(number) for number in range(first, last + 1)]
            return Web(server, token).send(*files).status_code

        assert await asyncio.to_thread(send) == 200

    async def announce(self, server: Server, token: str) -> None:
        """How many will come."""
        body = f'{{"study": "{self.study}", "expected": {self.count}}}'.encode()
        request = urllib.request.Request(
            f"{server.address}/api/studies/announce",
            body,
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )

        def say() -> int:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)

        assert await asyncio.to_thread(say) == 204


async def open_list(page: Page) -> None:
    if await by_id(page, "studies-list").count() == 0:
        await by_id(page, "studies-button").click()
    await by_id(page, "studies-list").wait_for()


async def open_study(page: Page, study: str) -> None:
    """From the list; waits until the first picture is there in full quality."""
    await open_list(page)
    await page.locator(f'[data-testid="study-row"][data-study="{study}"]').click()
    await reads(page, study)


async def reads(page: Page, study: str) -> None:
    await expect(page.locator(f'[data-testid="reader"][data-study="{study}"]')).to_be_visible(
        timeout=OPENS_MS
    )
    await expect(by_id(page, "corner-where").first).to_be_visible(timeout=OPENS_MS)
    # The first picture is there before it is known how many others are.
    await expect(by_id(page, "reader")).not_to_have_attribute(
        "data-total", re.compile("^[01]$"), timeout=OPENS_MS
    )


async def is_sharp(page: Page, total: int) -> None:
    await expect(by_id(page, "reader")).to_have_attribute("data-sharp", str(total), timeout=2 * OPENS_MS)


def where(page: Page) -> Any:
    """The words that say which picture the first cell shows."""
    return by_id(page, "corner-where").first.locator("span").first


async def picture(page: Page, cell: int = 0) -> np.ndarray[Any, Any]:
    """What a cell shows, its middle square at a common size: pictures of windows of other sizes can be compared."""
    shot = await page.locator(
        f'[data-testid="reader-cell"][data-cell="{cell}"] .reader-cell-body'
    ).screenshot()
    image = Image.open(io.BytesIO(shot)).convert("L")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    # Within the words in its corners.
    inner = side // 6
    box = (left + inner, top + inner, left + side - inner, top + side - inner)
    return np.asarray(image.crop(box).resize((128, 128), Image.Resampling.BOX), dtype=float)


async def show_the_same(one: Page, other: Page, cell: int = 0) -> float:
    """How far the pictures of two pages differ, of 255, once they have come to rest."""
    differences = []
    for _ in range(40):
        first, second = await picture(one, cell), await picture(other, cell)
        differences.append(float(np.abs(first - second).mean()))
        if differences[-1] < 4:
            return differences[-1]
        await asyncio.sleep(0.1)
    return differences[-1]


WATCH_JS = """
() => {
  window.seen = [];
  const note = () => {
    const text = document.querySelector('[data-testid="corner-where"] span')?.textContent ?? '';
    if (window.seen.at(-1)?.text !== text) window.seen.push({text, atMs: performance.timeOrigin + performance.now()});
  };
  new MutationObserver(note).observe(document.body, {subtree: true, childList: true, characterData: true});
  note();
}
"""


async def watch(page: Page) -> None:
    """Notes from here on when the words of the first cell changed, by the machine's clock."""
    await page.evaluate(WATCH_JS)


async def delays_ms(leader: Page, follower: Page) -> list[float]:
    """For each picture that both showed: how much later the one who follows did."""
    first = {each["text"]: each["atMs"] for each in await leader.evaluate("window.seen")}
    then = {each["text"]: each["atMs"] for each in await follower.evaluate("window.seen")}
    return sorted(then[text] - first[text] for text in first.keys() & then.keys())[: len(first)]
