"""Keeping studies from the page: rule and hold, sending on to a real archive, copies for teaching, removing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest
from playwright.async_api import Locator, Page, expect

from tests.e2e.conftest import Launch, new_page
from tests.e2e.hearing import faults, open_checked
from tests.e2e.people import by_id
from tests.imaging.corpus import ct_slice
from tests.imaging.peers import STORE_TITLE, Store, storescp
from tests.imaging.webclients import Web, body_of
from tests.serving import Server, free_port, running_server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

Shoot = Callable[[Page, str], Awaitable[None]]

STUDY, SERIES = "1.2.826.0.1.3680043.8.498.71", "1.2.826.0.1.3680043.8.498.72"
SLICES, SLOW_S = 4, 1
AWAY = "AWAY"
"""An archive that is not there yet."""
WAIT_MS = 30_000


@dataclass
class Keeper:
    """A server with studies, and an archive that takes an object a second."""

    server: Server
    store: Store
    away_port: int

    def link(self, token: str = "") -> str:
        return f"{self.server.address}/read#{token or self.server.staff_token()}"

    def keep(self, *objects: bytes, token: str = "") -> None:
        web = Web(self.server, token or self.server.staff_token())
        body, kind = body_of(objects)
        answer = web.ask("POST", "/studies", data=body, headers={"Content-Type": kind})
        assert answer.status_code == 200, answer.text


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    away_port = free_port()
    with storescp(tmp_path / "got", "--sleep-after", str(SLOW_S)) as store:
        peers = f"{STORE_TITLE}=127.0.0.1:{store.port},{AWAY}=127.0.0.1:{away_port}"
        with running_server(tmp_path / "data", settings={"dicom_peers": peers}) as server:
            yield Keeper(server, store, away_port)


def slices(study: str = STUDY, count: int = SLICES, name: str = "Nguyễn^Văn^Bình") -> list[bytes]:
    made = []
    for number in range(1, count + 1):
        dataset = pydicom.dcmread(
            pydicom.filebase.DicomBytesIO(ct_slice(number, study, f"{study}.2", side=64))
        )
        dataset.SpecificCharacterSet, dataset.PatientName = "ISO_IR 192", name
        dataset.StudyDescription, dataset.StudyDate = "CT ngực", "20261120"
        buffer = pydicom.filebase.DicomBytesIO()
        dataset.save_as(buffer, enforce_file_format=True)
        made.append(buffer.getvalue())
    return made


def row_of(page: Page, study: str = STUDY) -> Locator:
    return page.locator(f'[data-testid=study][data-study="{study}"]')


async def open_panel(page: Page, study: str = STUDY) -> Locator:
    row = row_of(page, study)
    await row.get_by_test_id("keep-study").click()
    panel = row.get_by_test_id("keep-panel")
    await expect(panel.get_by_test_id("send-study").or_(panel.get_by_text("No archive"))).to_be_visible(
        timeout=WAIT_MS
    )
    return panel


async def test_a_study_goes_on_to_an_archive_with_its_progress_seen(
    keeper: Keeper, launch: Launch, shoot: Shoot
) -> None:
    keeper.keep(*slices())
    page = await new_page(await launch(devices=False), 1024, 768)
    # From the page that staff begin with.
    await page.goto(keeper.link().replace("/read#", "/#"))
    await shoot(page, "sessions-1024")
    await by_id(page, "to-studies").click()
    panel = await open_panel(page)
    await panel.get_by_test_id("destination").select_option(STORE_TITLE)
    await panel.get_by_test_id("send-study").click()
    job = panel.get_by_test_id("job")
    await expect(job.get_by_role("progressbar")).to_have_js_property("max", SLICES, timeout=WAIT_MS)
    await expect(job.get_by_test_id("job-words")).to_contain_text(f"of {SLICES}")
    await expect(row_of(page).get_by_test_id("job-badge")).to_be_visible()
    await expect(panel.get_by_test_id("send-study")).to_have_attribute("aria-disabled", "true")
    await shoot(page, "keeping-sending-1024")
    await expect(job).to_have_attribute("data-state", "done", timeout=WAIT_MS)
    await expect(job.get_by_test_id("job-words")).to_contain_text(f"{SLICES} objects")
    await expect(row_of(page).get_by_test_id("job-badge")).to_have_count(0)
    assert len(keeper.store.received()) == SLICES


async def test_an_archive_that_is_not_there_is_said_so_and_can_be_tried_again(
    keeper: Keeper, launch: Launch, shoot: Shoot, tmp_path: Path
) -> None:
    keeper.keep(*slices(count=2))
    page = await new_page(await launch(devices=False), 360, 780)
    await page.goto(keeper.link())
    panel = await open_panel(page)
    await panel.get_by_test_id("destination").select_option(AWAY)
    await panel.get_by_test_id("send-study").click()
    job = panel.get_by_test_id("job")
    await expect(job.get_by_test_id("job-words")).to_contain_text("does not answer", timeout=WAIT_MS)
    await expect(job.get_by_test_id("job-words")).to_contain_text("next try")
    await job.scroll_into_view_if_needed()
    await shoot(page, "keeping-away-360")
    await job.get_by_test_id("stop-job").click()
    await expect(job).to_have_attribute("data-state", "stopped", timeout=WAIT_MS)
    with storescp(tmp_path / "later", port=keeper.away_port) as later:
        await job.get_by_test_id("retry-job").click()
        await expect(job).to_have_attribute("data-state", "done", timeout=WAIT_MS)
        assert len(later.received()) == 2


async def test_a_sending_under_way_can_be_stopped(keeper: Keeper, launch: Launch) -> None:
    keeper.keep(*slices(count=12))
    page = await new_page(await launch(devices=False))
    await page.goto(keeper.link())
    panel = await open_panel(page)
    await panel.get_by_test_id("destination").select_option(STORE_TITLE)
    await panel.get_by_test_id("send-study").click()
    job = panel.get_by_test_id("job")
    await expect(job.get_by_role("progressbar")).to_have_js_property("max", 12, timeout=WAIT_MS)
    await job.get_by_test_id("stop-job").click()
    await expect(job).to_have_attribute("data-state", "stopped", timeout=WAIT_MS)
    assert len(keeper.store.received()) < 12


async def test_a_hold_keeps_a_study_and_only_typing_the_word_removes_it(
    keeper: Keeper, launch: Launch, shoot: Shoot
) -> None:
    keeper.keep(*slices(count=1))
    keeper.keep(*slices(f"{STUDY}.9", 1, "Trần^Thị^Hoa"))
    page = await new_page(await launch(devices=False), 1024, 768)
    await page.goto(keeper.link())
    panel = await open_panel(page)
    kept = panel.get_by_test_id("kept-words")
    await expect(kept).to_contain_text("belongs to no session")
    await panel.get_by_test_id("hold").click()
    await expect(kept).to_contain_text("Held", timeout=WAIT_MS)
    await expect(panel.get_by_test_id("remove-study")).to_have_attribute("aria-disabled", "true")
    await panel.get_by_test_id("remove-study").click(force=True)
    await expect(by_id(page, "remove-dialog")).to_have_count(0)
    await page.reload()
    panel = await open_panel(page)
    await expect(panel.get_by_test_id("kept-words")).to_contain_text("Held")
    await panel.get_by_test_id("hold").click()
    await expect(panel.get_by_test_id("kept-words")).to_contain_text("no session", timeout=WAIT_MS)
    await panel.get_by_test_id("remove-study").click()
    dialog = by_id(page, "remove-dialog")
    await expect(dialog).to_contain_text("Nguyễn Văn Bình")
    await dialog.get_by_test_id("remove-yes").click(force=True)
    await dialog.get_by_test_id("remove-word").fill("remov")
    await page.keyboard.press("Enter")
    await expect(row_of(page)).to_have_count(1)
    await expect(dialog).to_be_visible()
    await shoot(page, "keeping-remove-1024")
    await dialog.get_by_test_id("remove-word").fill("remove")
    # Refused for some seconds after the last object came, and said so; the dialog stays.
    for _ in range(20):
        await dialog.get_by_test_id("remove-yes").click()
        refused = dialog.get_by_test_id("problem")
        await expect(refused.or_(page.get_by_text("Removed for ever: "))).to_be_visible(timeout=WAIT_MS)
        if await dialog.count() == 0:
            break
        await expect(refused).to_contain_text("still arriving")
        await page.wait_for_timeout(1000)
    await expect(row_of(page)).to_have_count(0, timeout=WAIT_MS)
    await expect(page.get_by_text("Removed for ever: Nguyễn Văn Bình")).to_be_visible()
    await expect(row_of(page, f"{STUDY}.9")).to_be_visible()
    gone = Web(keeper.server, keeper.server.staff_token()).get(f"/studies/{STUDY}/metadata")
    assert gone.status_code == 404


async def test_a_copy_for_teaching_is_made_and_opened(keeper: Keeper, launch: Launch, shoot: Shoot) -> None:
    keeper.keep(*slices(count=3))
    page = await new_page(await launch(devices=False), 1024, 768)
    await page.goto(keeper.link())
    panel = await open_panel(page)
    part = panel.get_by_test_id("teaching-copy")
    await part.get_by_test_id("doubtful").select_option("blankRows")
    await part.get_by_test_id("blank-rows").fill("0")
    await expect(part.get_by_test_id("make-copy")).to_have_attribute("aria-disabled", "true")
    await part.get_by_test_id("blank-rows").fill("8")
    await part.get_by_test_id("make-copy").click()
    job = part.get_by_test_id("job")
    await expect(job).to_have_attribute("data-state", "done", timeout=WAIT_MS)
    await expect(job.get_by_test_id("job-words")).to_contain_text("3 objects")
    # In the list by itself, as the study that it is.
    copies = page.get_by_test_id("study").filter(has=page.locator("h2", has_text="Teaching"))
    await expect(copies).to_have_count(1, timeout=WAIT_MS)
    await shoot(page, "keeping-copy-1024")
    copy = await copies.get_attribute("data-study")
    await job.get_by_test_id("open-copy").click()
    await expect(by_id(page, "all-studies")).to_be_visible(timeout=WAIT_MS)
    assert copy is not None
    assert page.url.endswith(f"s={copy}")
    web = Web(keeper.server, keeper.server.staff_token())
    told = web.get(f"/studies/{copy}/metadata", "application/dicom+json").json()
    assert [each["00100010"]["Value"] for each in told] == [[{"Alphabetic": "Teaching^1"}]] * 3
    assert not any(each["00080020"].get("Value") for each in told)


async def test_a_link_is_offered_what_it_may_do(keeper: Keeper, launch: Launch) -> None:
    tokens = keeper.server.create_session()["tokens"]
    keeper.keep(*slices(count=1), token=tokens["hub"])
    browser = await launch(devices=False)
    hub = await new_page(browser)
    await hub.goto(keeper.link(tokens["hub"]))
    panel = await open_panel(hub)
    for part in ("kept", "teaching-copy", "remove-part"):
        await expect(panel.get_by_test_id(part)).to_have_count(0)
    await panel.get_by_test_id("destination").select_option(STORE_TITLE)
    await panel.get_by_test_id("send-study").click()
    await expect(panel.get_by_test_id("job")).to_have_attribute("data-state", "done", timeout=WAIT_MS)
    clinic = await new_page(browser)
    await clinic.goto(keeper.link(tokens["satellite"]))
    await expect(row_of(clinic)).to_be_visible(timeout=WAIT_MS)
    await expect(row_of(clinic).get_by_test_id("keep-study")).to_have_count(0)
    staff = await new_page(browser)
    await staff.goto(keeper.link())
    panel = await open_panel(staff)
    await expect(panel.get_by_test_id("kept-words")).to_contain_text("session is still open")
    # What the hub sent is seen by the staff too.
    await expect(panel.get_by_test_id("send-on").get_by_test_id("job")).to_have_count(1)


@pytest.mark.parametrize(
    ("locale", "width", "height"), [("vi-VN", 1024, 768), ("ru-RU", 360, 780), ("en-GB", 1920, 1080)]
)
async def test_the_panel_fits_and_has_no_faults(
    keeper: Keeper, launch: Launch, shoot: Shoot, locale: str, width: int, height: int
) -> None:
    keeper.keep(*slices())
    page = await open_checked(
        await launch(devices=False), keeper.link(), width=width, height=height, locale=locale
    )
    row = row_of(page)
    await row.get_by_test_id("keep-study").click()
    panel = row.get_by_test_id("keep-panel")
    await panel.get_by_test_id("destination").select_option(AWAY)
    await panel.get_by_test_id("send-study").click()
    await expect(panel.locator(".keep-job-words.bad")).to_be_visible(timeout=WAIT_MS)
    await panel.get_by_test_id("doubtful").select_option("blankRows")
    assert await faults(page) == []
    assert await page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    name = f"keeping-{locale[:2]}-{width}"
    await shoot(page, name)
    await panel.get_by_test_id("teaching-copy").scroll_into_view_if_needed()
    await shoot(page, f"{name}-copy")
    await panel.get_by_test_id("remove-study").click()
    await expect(by_id(page, "remove-dialog")).to_be_visible()
    assert await faults(page) == []
    await shoot(page, f"{name}-remove")
