"""ECG, reports and PDF documents in a real browser: what is drawn, measured and read is what the object holds."""

from __future__ import annotations

import io
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from playwright.async_api import Page, Route, expect
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    BasicTextSRStorage,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    GeneralECGWaveformStorage,
    generate_uid,
)

from tests.e2e.conftest import Launch, new_page
from tests.e2e.looking import until
from tests.e2e.people import by_id
from tests.imaging.webclients import Web, staff_token
from tests.serving import Server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
Shoot = Callable[[Page, str], Awaitable[None]]


def object_of(sop_class: str, modality: str, **elements: object) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName, dataset.PatientID = "Nguyễn^Thị Lan", "1"
    dataset.StudyDate, dataset.StudyTime, dataset.Modality = "20260504", "101500", modality
    dataset.SeriesNumber, dataset.InstanceNumber = 1, 1
    for name, value in elements.items():
        setattr(dataset, name, value)
    return dataset


def code(meaning: str, value: str = "1", scheme: str = "99BRIDGE") -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def line(value_type: str, concept: str, **elements: object) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", value_type
    item.ConceptNameCodeSequence = Sequence([code(concept)])
    for name, value in elements.items():
        setattr(item, name, value)
    return item


def report() -> FileDataset:
    value = Dataset()
    value.NumericValue = "54"
    value.MeasurementUnitsCodeSequence = Sequence([code("percent", "%", "UCUM")])
    picture = Dataset()
    picture.ReferencedSOPClassUID, picture.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.6.1", "1.2.3.4"
    chapter = line("CONTAINER", "Левый желудочек")
    chapter.ContentSequence = Sequence(
        [
            line("NUM", "Ejection fraction", MeasuredValueSequence=Sequence([value])),
            line("TEXT", "Nhận xét", TextValue="Thất trái không giãn.\nKhông rối loạn vận động vùng."),
            line("CODE", "Conclusion", ConceptCodeSequence=Sequence([code("Normal")])),
            line("IMAGE", "Source", ReferencedSOPSequence=Sequence([picture])),
        ]
    )
    return object_of(
        BasicTextSRStorage,
        "SR",
        ValueType="CONTAINER",
        ConceptNameCodeSequence=Sequence([code("Echocardiography report")]),
        CompletionFlag="COMPLETE",
        VerificationFlag="UNVERIFIED",
        ContentSequence=Sequence([chapter, line("PNAME", "Observer", PersonName="Hà^Trần")]),
    )


def pdf(pages: int = 3) -> bytes:
    """A PDF with a black square on each page, 40 mm from the left upper corner."""
    parts = [b"%PDF-1.4\n"]
    offsets = []

    def add(number: int, content: bytes) -> None:
        offsets.append(sum(map(len, parts)))
        parts.append(b"%d 0 obj\n%s\nendobj\n" % (number, content))

    kids = b" ".join(b"%d 0 R" % (3 + 2 * page) for page in range(pages))
    add(1, b"<< /Type /Catalog /Pages 2 0 R >>")
    add(2, b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, pages))
    for page in range(pages):
        drawing = b"0 0 0 rg 100 600 100 100 re f BT /F1 24 Tf 100 500 Td (Page %d of the report) Tj ET" % (
            page + 1
        )
        font = b"<< /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
        add(
            3 + 2 * page,
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Resources %s /Contents %d 0 R >>"
            % (font, 4 + 2 * page),
        )
        add(4 + 2 * page, b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawing), drawing))
    start = sum(map(len, parts))
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    count = len(offsets) + 1
    parts.append(b"xref\n0 %d\n0000000000 65535 f \n%s" % (count, table))
    parts.append(b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (count, start))
    return b"".join(parts)


def document(content: bytes, type: str = "application/pdf") -> FileDataset:
    return object_of(
        EncapsulatedPDFStorage,
        "DOC",
        DocumentTitle="Kết quả",
        MIMETypeOfEncapsulatedDocument=type,
        EncapsulatedDocument=content + b"\0" * (len(content) % 2),
    )


def steps() -> FileDataset:
    """20 s of a monitor at 500 Hz: 1 mV for a second, then spikes of 2 mV, one a second; a pressure of 60 to 100."""
    values = np.zeros(10_000, np.int16)
    values[:500] = 1000
    values[1000::500] = 2000
    channel = Dataset()
    channel.ChannelSourceSequence = Sequence([code("Lead II", "5.6.3-9-2", "SCPECG")])
    channel.ChannelSensitivity, channel.ChannelSensitivityCorrectionFactor = "1", "1"
    channel.ChannelSensitivityUnitsSequence = Sequence([code("microvolt", "uV", "UCUM")])
    channel.ChannelBaseline, channel.ChannelSampleSkew, channel.WaveformBitsStored = "0", "0", 16
    pressure = Dataset()
    pressure.ChannelLabel = "ART"
    pressure.ChannelSensitivity, pressure.ChannelSensitivityCorrectionFactor = "0.05", "1"
    pressure.ChannelSensitivityUnitsSequence = Sequence([code("millimetre of mercury", "mm[Hg]", "UCUM")])
    pressure.ChannelBaseline, pressure.ChannelSampleSkew, pressure.WaveformBitsStored = "80", "0", 16
    group = Dataset()
    group.WaveformOriginality = "ORIGINAL"
    group.NumberOfWaveformChannels, group.NumberOfWaveformSamples = 2, len(values)
    group.SamplingFrequency = "500"
    group.MultiplexGroupLabel = "MONITOR"
    group.ChannelDefinitionSequence = Sequence([channel, pressure])
    group.WaveformBitsAllocated, group.WaveformSampleInterpretation = 16, "SS"
    swing = (400 * np.sin(np.arange(len(values)) / 500 * 2 * np.pi)).astype(np.int16)
    group.WaveformData = np.stack([values, swing], axis=1).tobytes()
    return object_of(GeneralECGWaveformStorage, "ECG", WaveformSequence=Sequence([group]))


@dataclass
class Reading:
    server: Server
    web: Web

    def send(self, dataset: Dataset) -> str:
        """Its link."""
        with io.BytesIO() as file:
            dataset.save_as(file, enforce_file_format=True)
            answer = self.web.send(file.getvalue())
        assert answer.status_code == 200, answer.text
        return f"{self.server.address}/read#{self.web.token}&s={dataset.StudyInstanceUID}"


@pytest.fixture
def reading(server: Server) -> Reading:
    return Reading(server, Web(server, staff_token(server)))


async def opened(launch: Launch, link: str, what: str, **options: Any) -> Page:
    page = await new_page(await launch(devices=False), **options)
    page.on("pageerror", lambda error: pytest.fail(f"the page failed: {error}"))
    await page.goto(link)
    await by_id(page, what).first.wait_for(timeout=20_000)
    return page


@dataclass
class Sheet:
    """The paper on the screen: where its strips lie."""

    left: float
    top: float
    px_per_mm: float
    strips: list[list[float]]

    def point(
        self, strip: int, time_s: float, mv: float, speed: int = 25, gain: int = 10
    ) -> tuple[float, float]:
        _, from_s, x_mm, y_mm = self.strips[strip]
        x = self.left + (x_mm + (time_s - from_s) * speed) * self.px_per_mm
        return x, self.top + (y_mm - mv * gain) * self.px_per_mm


async def sheet(page: Page) -> Sheet:
    canvas = by_id(page, "wave-sheet")
    box = await canvas.bounding_box()
    assert box is not None
    px_per_mm = float(await canvas.get_attribute("data-px-per-mm") or "nan")
    strips = json.loads(await canvas.get_attribute("data-strips") or "[]")
    return Sheet(box["x"], box["y"], px_per_mm, strips)


async def drag(page: Page, begin: tuple[float, float], end: tuple[float, float]) -> None:
    await page.mouse.move(*begin)
    await page.mouse.down()
    await page.mouse.move((begin[0] + end[0]) / 2, (begin[1] + end[1]) / 2)
    await page.mouse.move(*end)
    await page.mouse.up()


async def grey(page: Page) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.asarray(Image.open(io.BytesIO(await page.screenshot())).convert("L"))


async def test_a_twelve_lead_ecg_is_laid_out_as_machines_print_it(
    reading: Reading, launch: Launch, shoot: Shoot
) -> None:
    dataset = pydicom.dcmread(get_testdata_file("waveform_ecg.dcm"))
    page = await opened(launch, reading.send(dataset), "wave-sheet", width=1400, height=900)
    await shoot(page, "reading-ecg")
    paper = await sheet(page)
    assert [strip[0] for strip in paper.strips] == [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, 1]
    assert [strip[1] for strip in paper.strips] == [0, 2.5, 5, 7.5] * 3 + [0]
    assert paper.px_per_mm == pytest.approx(96 / 25.4)
    findings = await by_id(page, "wave-findings").inner_text()
    assert "RR Interval: 982 ms" in findings
    assert "RITMO SINUSALE" in findings
    assert str(dataset.PatientID) in await by_id(page, "object-head").inner_text()
    # From one R to the next in the long strip, as the device has marked them: samples 527 and 1526.
    await drag(page, paper.point(12, 0.527, 0), paper.point(12, 1.526, 0.5))
    words = await by_id(page, "caliper").inner_text()
    ms = int(words.split(" ms")[0].split()[-1].replace(",", ""))
    assert ms == pytest.approx(999, abs=12)
    assert "60 per minute" in words
    assert words.startswith("II")
    await shoot(page, "reading-ecg-caliper")
    # Its end goes with the hand.
    await drag(page, paper.point(12, 1.526, 0.5), paper.point(12, 2.527, 0.5))
    await expect(by_id(page, "caliper")).to_have_count(1)
    assert "30 per minute" in await by_id(page, "caliper").inner_text()
    await by_id(page, "wave-arrangement-rows").click()
    assert [strip[0] for strip in (await sheet(page)).strips] == list(range(12))
    await by_id(page, "wave-gain-20").click()
    await by_id(page, "wave-speed-50").click()
    await shoot(page, "reading-ecg-rows")
    await by_id(page, "caliper").get_by_role("button").click()
    await expect(by_id(page, "caliper")).to_have_count(0)
    await by_id(page, "wave-group").nth(1).click()
    await by_id(page, "wave-sheet").wait_for()
    await shoot(page, "reading-ecg-median")


async def test_an_ecg_fits_a_tablet_and_its_squares_hold(
    reading: Reading, launch: Launch, shoot: Shoot
) -> None:
    link = reading.send(pydicom.dcmread(get_testdata_file("waveform_ecg.dcm")))
    page = await opened(launch, link, "wave-sheet", width=1024, height=768, locale="vi-VN")
    paper = await sheet(page)
    box = await by_id(page, "wave-sheet").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 1024
    assert "0,04" in await by_id(page, "wave-scale").inner_text()
    await drag(page, paper.point(12, 1, 0), paper.point(12, 3, 0))
    assert "2.000" in await by_id(page, "caliper").inner_text()
    await shoot(page, "reading-ecg-1024")
    await by_id(page, "wave-fit").click()
    assert (await sheet(page)).px_per_mm == pytest.approx(96 / 25.4)


async def test_an_ecg_stays_legible_on_a_telephone(reading: Reading, launch: Launch, shoot: Shoot) -> None:
    link = reading.send(pydicom.dcmread(get_testdata_file("waveform_ecg.dcm")))
    page = await opened(launch, link, "wave-sheet", width=360, height=740, locale="ru-RU")
    await shoot(page, "reading-ecg-360")
    assert (await sheet(page)).px_per_mm == pytest.approx(96 / 25.4)
    # The paper scrolls, the page does not.
    assert await page.evaluate("() => document.documentElement.scrollWidth") <= 360


async def test_over_a_curve_no_tools_of_pictures_are_offered(
    reading: Reading, launch: Launch, shoot: Shoot
) -> None:
    dataset = pydicom.dcmread(get_testdata_file("waveform_ecg.dcm"))
    page = await opened(launch, reading.send(dataset), "wave-sheet", width=1280, height=800)
    await expect(by_id(page, "reader-layout")).to_be_visible()
    await expect(by_id(page, "reader-compare")).to_be_visible()
    for tool in ("reader-tool-scroll", "reader-tool-length", "reader-window", "reader-invert", "reader-more"):
        await expect(by_id(page, tool)).to_have_count(0)
    # Its tile has a sign: there is no picture of it.
    await expect(by_id(page, "reader-tile").locator('.icon[data-name="curve"]')).to_be_visible()
    await shoot(page, "reading-ecg-tools")


async def test_what_did_not_come_to_show_a_curve_can_be_asked_for_again(
    reading: Reading, launch: Launch
) -> None:
    link = reading.send(steps())
    page = await new_page(await launch(devices=False))
    broken: list[str] = []

    async def on_asset(route: Route) -> None:
        response = await route.fetch()
        if b"wave-sheet" in await response.body() and not broken:
            broken.append(route.request.url)
            await route.abort()
        else:
            await route.fulfill(response=response)

    await page.route("**/*.js", on_asset)
    await page.goto(link)
    lost = by_id(page, "reader-waveform").get_by_role("alert")
    await expect(lost).to_contain_text("did not come")
    assert len(broken) == 1
    await lost.get_by_role("button").click()
    await expect(by_id(page, "wave-sheet")).to_be_visible()


async def test_a_screen_is_measured_with_a_bank_card(reading: Reading, launch: Launch, shoot: Shoot) -> None:
    page = await opened(launch, reading.send(steps()), "wave-sheet", width=1900, height=1000)
    assert "was not measured" in await by_id(page, "wave-scale").inner_text()
    await by_id(page, "wave-card").click()
    slider = by_id(page, "card-dialog").locator("input")
    await slider.evaluate(
        "each => { each.value = '5'; each.dispatchEvent(new Event('input', {bubbles: true})); }"
    )
    await shoot(page, "reading-card")
    await by_id(page, "card-dialog").locator(".primary").click()
    assert (await sheet(page)).px_per_mm == pytest.approx(5)
    assert "true millimetres" in await by_id(page, "wave-scale").inner_text()
    await page.reload()
    await by_id(page, "wave-sheet").wait_for()
    assert (await sheet(page)).px_per_mm == pytest.approx(5)


async def test_millivolts_and_seconds_are_where_the_grid_says(
    reading: Reading, launch: Launch, shoot: Shoot
) -> None:
    page = await opened(launch, reading.send(steps()), "wave-sheet", width=1400, height=900)
    paper = await sheet(page)
    picture = await grey(page)
    # The step of 1 mV from 0 to 1 s, 10 mm above the line that follows it.
    for time_s, mv in ((0.5, 1.0), (1.5, 0.0), (2.5, 0.0)):
        x, y = (round(each) for each in paper.point(0, time_s, mv))
        assert picture[y - 2 : y + 3, x].max() > 180, (time_s, mv)
        assert picture[y - 20 : y - 6, x].max() < 160
    x, y = (round(each) for each in paper.point(0, 3.0, 2.0))
    assert picture[y : y + 6, x - 2 : x + 3].max() > 180
    await drag(page, paper.point(0, 1.5, 0), paper.point(0, 3.0, 2.0))
    words = await by_id(page, "caliper").inner_text()
    assert "1,500 ms" in words
    assert "2.00 mV" in words
    # Pressure has no gain in millimetres that is agreed for it, but its own unit.
    await drag(page, (paper.point(1, 1.25, 0)[0], paper.top + 40 * paper.px_per_mm), paper.point(1, 2.25, 0))
    assert "mm[Hg]" in await by_id(page, "caliper").nth(1).inner_text()
    await shoot(page, "reading-monitor")
    # The second half of the recording.
    await by_id(page, "wave-time").evaluate(
        "each => { each.value = '10'; each.dispatchEvent(new Event('input')); }"
    )
    assert (await sheet(page)).strips[0][1] == 10


async def test_a_report_is_read_as_a_tree(reading: Reading, launch: Launch, shoot: Shoot) -> None:
    page = await opened(launch, reading.send(report()), "report")
    words = await by_id(page, "report").inner_text()
    await shoot(page, "reading-report")
    for expected in (
        "Echocardiography report",
        "Complete. Not signed.",
        "Левый желудочек",
        "Ejection fraction",
        "54 %",
        "Thất trái không giãn.\nKhông rối loạn vận động vùng.",
        "Normal",
        "Refers to a picture",
        "Hà Trần",
    ):
        assert expected in words, words


async def test_a_report_without_end_is_cut_and_says_so(reading: Reading, launch: Launch) -> None:
    deep = line("CONTAINER", "bottom")
    for depth in range(40):
        outer = line("CONTAINER", f"level {depth}")
        outer.ContentSequence = Sequence([deep])
        deep = outer
    dataset = report()
    dataset.ContentSequence = Sequence([deep])
    page = await opened(launch, reading.send(dataset), "report")
    words = await by_id(page, "report").inner_text()
    assert "level 39" in words
    assert "bottom" not in words
    assert "longer than is shown" in words


async def test_a_pdf_is_shown_page_by_page(reading: Reading, launch: Launch, shoot: Shoot) -> None:
    page = await opened(launch, reading.send(document(pdf())), "pdf-page", width=1280, height=800)
    await until(page, "() => document.querySelector('[data-page=\"1\"]')?.dataset.drawn === 'true'")
    assert await by_id(page, "pdf").get_attribute("data-pages") == "3"
    await shoot(page, "reading-pdf")
    box = await by_id(page, "pdf-page").first.bounding_box()
    assert box is not None
    picture = await grey(page)
    scale = box["width"] / 600
    # The square lies from 100 to 200 and, from the upper edge, from 100 to 200 of 800.
    inside = picture[round(box["y"] + 150 * scale), round(box["x"] + 150 * scale)]
    beside = picture[round(box["y"] + 50 * scale), round(box["x"] + 150 * scale)]
    assert (inside, beside) == (0, 255)
    await by_id(page, "pdf-smaller").click()
    smaller = await by_id(page, "pdf-page").first.bounding_box()
    assert smaller is not None
    assert smaller["width"] == pytest.approx(box["width"] * 0.75, abs=2)
    await by_id(page, "pdf-page").last.scroll_into_view_if_needed()
    await until(page, "() => document.querySelector('[data-page=\"3\"]')?.dataset.drawn === 'true'")


async def test_what_cannot_be_shown_says_so(reading: Reading, launch: Launch) -> None:
    page = await opened(
        launch, reading.send(document(b"%PDF-1.4 and nothing else at all here")), "reader-document"
    )
    await expect(by_id(page, "reader-document")).to_contain_text("damaged")
    page = await opened(launch, reading.send(document(b"<x/>" * 10, "text/xml")), "reader-document")
    await expect(by_id(page, "reader-document")).to_contain_text("text/xml")
    empty = object_of(GeneralECGWaveformStorage, "ECG")
    page = await opened(launch, reading.send(empty), "reader-waveform")
    await expect(by_id(page, "reader-waveform")).to_contain_text("no curve")
