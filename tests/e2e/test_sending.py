"""A clinic sends studies from its page: a CD, a ZIP, files; over lines that break, after reloads, nothing twice."""

from __future__ import annotations

import io
import re
import shutil
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest
from playwright.async_api import Page, expect
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from tests.e2e.badline import Line, bad_line
from tests.e2e.conftest import Launch, new_page
from tests.e2e.looking import until
from tests.e2e.people import JOIN_TIMEOUT_MS, by_id, in_session
from tests.imaging.corpus import ct_slice
from tests.imaging.webclients import Web, parts_of
from tests.serving import Server, running_server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
Shoot = Callable[[Page, str], Awaitable[None]]
DONE_MS = 60_000


async def clinic(launch: Launch, link: str, **options: Any) -> Page:
    """A page in the session, without devices, with the panel for sending open."""
    page = await new_page(await launch(devices=False), **options)
    await page.goto(link + "&now")
    await expect(in_session(page)).to_be_visible(timeout=JOIN_TIMEOUT_MS)
    await open_panel(page)
    return page


async def open_panel(page: Page) -> None:
    if await by_id(page, "send-studies").count() == 0:
        await page.keyboard.press("t")
    await by_id(page, "send-studies").wait_for()


async def choose_folder(page: Page, folder: Path) -> None:
    await by_id(page, "folder-input").set_input_files(folder)


async def choose_files(page: Page, *files: Path) -> None:
    await by_id(page, "files-input").set_input_files(list(files))


async def send(page: Page) -> None:
    await by_id(page, "send-start").click()


async def is_done(page: Page) -> None:
    await expect(page.locator('[data-testid="send-way"][data-state="done"]')).to_be_visible(timeout=DONE_MS)


async def left_out(page: Page) -> str:
    await by_id(page, "left-out").locator("summary").click()
    return await by_id(page, "left-out").inner_text()


def kept(server: Server, made: dict[str, Any]) -> dict[str, bytes]:
    """Everything of the session, by SOPInstanceUID."""
    web = Web(server, made["tokens"]["hub"])
    found = {}
    for study in web.get("/studies").json():
        answer = web.get(f"/studies/{study['0020000D']['Value'][0]}")
        for _, content in parts_of(answer):
            found[str(pydicom.dcmread(io.BytesIO(content)).SOPInstanceUID)] = content
    return found


def compact_disc(folder: Path) -> list[Path]:
    """A CD with its DICOMDIR, a program and a readme beside the pictures; these are given."""
    source = Path(get_testdata_file("DICOMDIR", download=False) or "").parent
    disc = folder / "CD"
    disc.mkdir()
    shutil.copy(source / "DICOMDIR", disc / "DICOMDIR")
    for patient in ("77654033", "98892001", "98892003"):
        shutil.copytree(source / patient, disc / patient)
    (disc / "AUTORUN.INF").write_text("[autorun]\nopen=VIEWER.EXE\n")
    (disc / "VIEWER.EXE").write_bytes(b"MZ" + bytes(200_000))
    return sorted(each for each in disc.rglob("*") if each.is_file() and each.parent.parent.parent == disc)


def slices(folder: Path, count: int, side: int = 256, **changes: object) -> dict[str, bytes]:
    """A study in a folder, by SOPInstanceUID."""
    folder.mkdir(exist_ok=True)
    study, series = generate_uid(), generate_uid()
    made = {}
    for number in range(1, count + 1):
        content = ct_slice(number, study, series, side=side, **changes)
        (folder / f"IM{number}").write_bytes(content)
        made[str(pydicom.dcmread(io.BytesIO(content)).SOPInstanceUID)] = content
    return made


async def test_a_disc_arrives_whole_and_what_is_not_sent_is_named(
    server: Server, launch: Launch, shoot: Shoot, tmp_path: Path
) -> None:
    pictures = compact_disc(tmp_path)
    gone, *there = pictures
    extra = ct_slice(1, generate_uid(), generate_uid(), side=64)
    (tmp_path / "CD" / "EXTRA").write_bytes(extra)
    missing = gone.relative_to(tmp_path)
    gone.unlink()
    made = server.create_session()
    page = await clinic(launch, made["links"]["satellite"])
    await shoot(page, "sending-choose")
    await choose_folder(page, tmp_path / "CD")
    await by_id(page, "send-found").wait_for()
    words = await by_id(page, "send-found").inner_text()
    assert "Doe Archibald" in words
    assert "Doe Peter" in words
    assert "CT" in words
    assert "MR" in words
    named = await left_out(page)
    assert str(missing) in named
    assert "CD/VIEWER.EXE" in named
    assert "CD/AUTORUN.INF" in named
    assert "1 more picture" in await by_id(page, "send-unlisted").inner_text()
    await shoot(page, "sending-found")
    await send(page)
    await is_done(page)
    await shoot(page, "sending-done")
    assert sorted(kept(server, made).values()) == sorted(each.read_bytes() for each in there)


async def test_a_zip_is_opened_on_the_page_and_what_it_hides_is_named(
    server: Server, launch: Launch, tmp_path: Path
) -> None:
    made = server.create_session()
    objects = slices(tmp_path / "ct", 12)
    path = tmp_path / "study.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, content in enumerate(objects.values()):
            archive.writestr(f"thư mục/IM{number}", content)
        archive.writestr("readme.txt", "hello")
        archive.writestr("inner.zip", b"PK\x03\x04")
        archive.writestr("../../escape.dcm", ct_slice(1, generate_uid(), generate_uid(), side=64))
    page = await clinic(launch, made["links"]["satellite"])
    await choose_files(page, path)
    await by_id(page, "send-found").wait_for()
    named = await left_out(page)
    assert "readme.txt" in named
    assert "inner.zip" in named
    await send(page)
    await is_done(page)
    got = kept(server, made)
    assert {uid: got[uid] for uid in objects} == objects
    assert len(got) == len(objects) + 1


async def test_what_is_dropped_on_the_page_is_found(server: Server, launch: Launch, tmp_path: Path) -> None:
    made = server.create_session()
    objects = slices(
        tmp_path / "ct", 1, side=64, PatientName="Nguyễn^Thị Lan", SpecificCharacterSet="ISO_IR 192"
    )
    page = await clinic(launch, made["links"]["satellite"])
    (content,) = objects.values()
    await page.evaluate(
        """bytes => {
          const data = new DataTransfer();
          data.items.add(new File([Uint8Array.from(bytes)], "IM1"));
          const target = document.querySelector("h1");
          for (const type of ["dragover", "drop"]) {
            target.dispatchEvent(new DragEvent(type, {dataTransfer: data, bubbles: true, cancelable: true}));
          }
        }""",
        list(content),
    )
    await by_id(page, "send-found").wait_for()
    assert "Nguyễn Thị Lan" in await by_id(page, "found-study").inner_text()
    await send(page)
    await is_done(page)
    assert kept(server, made) == objects


async def test_nothing_that_is_dicom_is_said_plainly(server: Server, launch: Launch, tmp_path: Path) -> None:
    made = server.create_session()
    (tmp_path / "letter.pdf").write_bytes(b"%PDF-1.4")
    page = await clinic(launch, made["links"]["satellite"])
    await choose_files(page, tmp_path / "letter.pdf")
    await expect(page.locator('[data-code="nothing"]')).to_be_visible()
    assert "letter.pdf" in await left_out(page)


async def test_a_line_that_breaks_is_gone_on_over_by_itself(
    launch: Launch, shoot: Shoot, tmp_path: Path
) -> None:
    objects = slices(tmp_path / "ct", 30)
    # One large object too, which has to go on in its middle.
    objects |= slices(tmp_path / "ct" / "large", 1, side=2048)
    total_bytes = sum(map(len, objects.values()))
    with running_server(tmp_path / "data") as server:
        made = server.create_session()
        async with bad_line(server.host, server.port) as line:
            page = await clinic(launch, through(line, server, made["links"]["satellite"]))
            line.up_bytes_per_s = 2_000_000
            await choose_folder(page, tmp_path / "ct")
            await by_id(page, "send-found").wait_for()
            line.up_bytes = 0
            await send(page)
            for share in (0.15, 0.4, 0.65, 0.9):
                await passed(page, line, int(total_bytes * share))
                line.cut()
                await expect(by_id(page, "send-way").locator("h3")).to_contain_text("line is broken")
                if share == 0.65:
                    await shoot(page, "sending-broken")
                line.mend()
            await shoot(page, "sending-under-way")
            line.up_bytes_per_s = None
            await is_done(page)
        assert kept(server, made) == objects
        # Pieces that were under way are sent again, not what had come over.
        assert line.up_bytes < total_bytes * 1.6


async def test_a_server_that_was_killed_in_the_middle_gets_the_rest(launch: Launch, tmp_path: Path) -> None:
    objects = slices(tmp_path / "ct", 20) | slices(tmp_path / "ct" / "large", 1, side=2048)
    with running_server(tmp_path / "data") as server:
        made = server.create_session()
        async with bad_line(server.host, server.port) as line:
            page = await clinic(launch, through(line, server, made["links"]["satellite"]))
            line.up_bytes_per_s = 3_000_000
            await choose_folder(page, tmp_path / "ct")
            await by_id(page, "send-found").wait_for()
            line.up_bytes = 0
            await send(page)
            await passed(page, line, 5_000_000)
            assert server.process is not None
            server.process.kill()
            server.process.wait()
            server.start()
            line.up_bytes_per_s = None
            await is_done(page)
        assert kept(server, made) == objects


async def test_after_a_reload_the_same_folder_goes_on_without_sending_twice(
    launch: Launch, shoot: Shoot, tmp_path: Path
) -> None:
    objects = slices(tmp_path / "ct", 40)
    total_bytes = sum(map(len, objects.values()))
    with running_server(tmp_path / "data") as server:
        made = server.create_session()
        async with bad_line(server.host, server.port) as line:
            page = await clinic(launch, through(line, server, made["links"]["satellite"]))
            page.on("dialog", lambda dialog: dialog.accept())
            line.up_bytes_per_s = 1_500_000
            await choose_folder(page, tmp_path / "ct")
            await send(page)
            await passed(page, line, total_bytes // 2)
            await page.reload()
            await expect(in_session(page)).to_be_visible(timeout=JOIN_TIMEOUT_MS)
            await open_panel(page)
            await expect(by_id(page, "send-pending")).to_contain_text("of 40 pictures")
            await shoot(page, "sending-pending")
            there = len(kept(server, made))
            assert 0 < there < 40
            line.up_bytes_per_s = None
            line.up_bytes = 0
            await choose_folder(page, tmp_path / "ct")
            await send(page)
            await is_done(page)
            said = re.search(r"(\d+) were there already", await by_id(page, "send-figures").inner_text())
            assert said is not None
            assert int(said[1]) >= there
            # What the page before had put on the line still runs through it.
            assert line.up_bytes < total_bytes * (40 - there) / 40 + 1_000_000
        assert kept(server, made) == objects


async def test_a_sending_can_be_paused_and_stopped_and_goes_on_with_the_panel_closed(
    launch: Launch, shoot: Shoot, tmp_path: Path
) -> None:
    slices(tmp_path / "ct", 40)
    with running_server(tmp_path / "data") as server:
        made = server.create_session()
        async with bad_line(server.host, server.port) as line:
            page = await clinic(
                launch,
                through(line, server, made["links"]["satellite"]),
                width=360,
                height=740,
                locale="ru-RU",
            )
            line.up_bytes_per_s = 1_000_000
            await choose_folder(page, tmp_path / "ct")
            await shoot(page, "sending-found-360-ru")
            await send(page)
            await passed(page, line, 1_000_000)
            await by_id(page, "send-pause").click()
            await until(page, STATE, "paused")
            await shoot(page, "sending-paused-360-ru")
            stood = len(kept(server, made))
            await by_id(page, "send-go-on").click()
            await page.keyboard.press("Escape")
            await expect(by_id(page, "send-studies")).to_have_count(0)
            await passed(page, line, 3_000_000)
            await open_panel(page)
            await by_id(page, "send-stop").click()
            await until(page, STATE, "stopped")
            assert stood < len(kept(server, made)) < 40


async def test_another_sessions_study_is_refused_with_the_reason(
    server: Server, launch: Launch, tmp_path: Path
) -> None:
    objects = slices(tmp_path / "ct", 3, side=64)
    first, second = server.create_session("First"), server.create_session("Second")
    assert Web(server, first["tokens"]["hub"]).send(*list(objects.values())[:1]).status_code == 200
    page = await clinic(launch, second["links"]["satellite"])
    await choose_folder(page, tmp_path / "ct")
    await send(page)
    await is_done(page)
    assert "belongs to another session" in await by_id(page, "not-kept").inner_text()
    assert kept(server, second) == {}
    assert len(kept(server, first)) == 1


async def test_a_viewer_has_no_place_to_send_from(server: Server, launch: Launch) -> None:
    made = server.create_session()
    page = await new_page(await launch(devices=False))
    await page.goto(made["links"]["viewer"] + "&now")
    await expect(in_session(page)).to_be_visible(timeout=JOIN_TIMEOUT_MS)
    await page.keyboard.press("t")
    await expect(by_id(page, "send-button")).to_have_count(0)
    await expect(by_id(page, "send-studies")).to_have_count(0)


STATE = """state => document.querySelector('[data-testid="send-way"]')?.dataset.state === state"""


def through(line: Line, server: Server, link: str) -> str:
    return link.replace(server.address, line.address)


async def passed(page: Page, line: Line, size_bytes: int) -> None:
    """Waits until so much has gone up the line."""
    for _ in range(1200):
        if line.up_bytes >= size_bytes:
            return
        await page.wait_for_timeout(50)
    raise AssertionError(f"only {line.up_bytes} of {size_bytes} bytes went up")
