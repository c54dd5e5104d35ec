"""The page of an event before it is live, in a real browser: its points from a list, the sheets, the run of show."""

from __future__ import annotations

import io
import json
import re
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
import zxingcpp
from PIL import Image
from playwright.async_api import Browser, Locator, Page, expect

from tests.e2e.conftest import Launch, new_page
from tests.e2e.hearing import faults, open_checked
from tests.e2e.people import by_id
from tests.serving import Server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

Shoot = Callable[[Page, str], Awaitable[None]]

SHEET = """Tỉnh;Đơn vị;Điểm cầu;Liên hệ
Sơn La;BVĐK Mộc Châu;Phòng siêu âm;Bs. Lò Văn Pánh, 0912 345 678
Sơn La;TTYT Mường La;Phòng họp;
Điện Biên;;;chỉ có số điện thoại
Điện Biên;BVĐK tỉnh Điện Biên;Hội trường A;Đd. Lường Thị Hoa
Lai Châu;BVĐK Lai Châu;Phòng khám 2;Bs. Giàng A Chu
Sơn La;TTYT Mường La;Phòng họp;lần thứ hai
"""
"""Line 4 names no point, line 7 is line 3 again."""


@dataclass
class Event:
    """One that was made, and what its server says of it."""

    server: Server
    id: str
    token: str
    hub_token: str

    @property
    def page(self) -> str:
        return f"{self.server.address}/event#{self.token}"

    def ask(
        self, method: str = "GET", path: str = "", body: object = None, type: str = "application/json"
    ) -> Any:
        data = body.encode() if isinstance(body, str) else None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": type}
        url = f"{self.server.address}/api/events/{self.id}{path}"
        with urllib.request.urlopen(
            urllib.request.Request(url, data, headers, method=method), timeout=20
        ) as got:
            text = got.read()
        return json.loads(text) if text else None

    def points(self, query: str = "") -> list[dict[str, Any]]:
        return list(self.ask("GET", query)["points"])

    def agenda(self) -> dict[str, Any]:
        return dict(self.ask()["agenda"])


@pytest.fixture
def event(server: Server) -> Event:
    made = server.create_session("Khai trương mạng lưới siêu âm Tây Bắc", "--format", "event")
    return Event(server, made["session"], made["tokens"]["organiser"], made["tokens"]["hub"])


def row(page: Page, words: str) -> Locator:
    return page.locator('[data-testid="point-row"]', has_text=words)


async def choose(page: Page, text: str | bytes, name: str = "points.csv") -> None:
    data = text.encode() if isinstance(text, str) else text
    await by_id(page, "sheet-file").set_input_files({"name": name, "mimeType": "text/csv", "buffer": data})


async def open_event(browser: Browser, event: Event, **options: Any) -> Page:
    """With four points, at the tab of points."""
    event.ask("PUT", "/points", SHEET, "text/csv")
    page = await new_page(browser, **options)
    await page.goto(event.page)
    await expect(by_id(page, "point-row")).to_have_count(4)
    return page


async def sizes(page: Page, shoot: Shoot, name: str) -> None:
    """Also on a tablet and a telephone, and by daylight; nothing sticks out to the side."""
    await page.emulate_media(reduced_motion="reduce")
    for width, height in ((768, 1024), (360, 780)):
        await page.set_viewport_size({"width": width, "height": height})
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        await shoot(page, f"{name}-{width}")
    await page.set_viewport_size({"width": 1280, "height": 800})
    await by_id(page, "theme-button").click()
    await shoot(page, f"{name}-light")
    await by_id(page, "theme-button").click()


async def test_an_organiser_imports_a_list_looks_first_and_takes_it_back(
    event: Event, launch: Launch, shoot: Shoot
) -> None:
    page = await new_page(await launch())
    await page.goto(event.page)
    await expect(by_id(page, "event-title")).to_have_text("Khai trương mạng lưới siêu âm Tây Bắc")
    await by_id(page, "import").click()
    await choose(page, SHEET)
    await expect(by_id(page, "preview-row")).to_have_count(4)
    problems = by_id(page, "sheet-problem")
    assert [await one.get_attribute("data-line") for one in await problems.all()] == ["4", "7"]
    await expect(problems.first).to_contain_text("chỉ có số điện thoại")
    assert event.points() == []
    await shoot(page, "event-import")
    await sizes(page, shoot, "event-import")
    await by_id(page, "import-apply").click()
    await expect(by_id(page, "point-row")).to_have_count(4)
    await shoot(page, "event-points")
    await sizes(page, shoot, "event-points")
    assert {point["organisation"] for point in event.points()} == {
        "BVĐK Mộc Châu",
        "TTYT Mường La",
        "BVĐK tỉnh Điện Biên",
        "BVĐK Lai Châu",
    }
    await by_id(page, "undo").click()
    await expect(by_id(page, "no-points")).to_be_visible()
    assert event.points() == []


DROP_JS = """
([text, name]) => {
  const carried = new DataTransfer();
  carried.items.add(new File([text], name, {type: "text/csv"}));
  const place = document.querySelector('[data-testid="drop-place"]');
  for (const type of ["dragover", "drop"]) {
    place.dispatchEvent(new DragEvent(type, {dataTransfer: carried, bubbles: true, cancelable: true}));
  }
}
"""


async def test_a_list_can_be_dropped_and_its_empty_form_is_filled_in_and_handed_in(
    event: Event, launch: Launch
) -> None:
    page = await new_page(await launch(), locale="ru-RU")
    await page.goto(event.page)
    async with page.expect_download() as downloading:
        await by_id(page, "template").click()
    form = (await (await downloading.value).path()).read_text(encoding="utf-8-sig").strip()
    assert form == "Регион;Организация;Точка;Контакт"
    await by_id(page, "import").click()
    await by_id(page, "drop-place").wait_for()
    await page.evaluate(DROP_JS, [f"{form}\nТверская;ЦРБ;Кабинет УЗИ;Иванова", "точки.csv"])
    await expect(by_id(page, "drop-place")).to_contain_text("точки.csv")
    await by_id(page, "import-apply").click()
    await expect(row(page, "ЦРБ")).to_contain_text("Иванова")
    assert [point["province"] for point in event.points()] == ["Тверская"]


async def test_a_second_list_shows_what_changes_and_removes_only_when_asked(
    event: Event, launch: Launch
) -> None:
    page = await open_event(await launch(), event)
    await by_id(page, "import").click()
    newer = "Tỉnh;Đơn vị;Điểm cầu;Liên hệ\nSơn La;BVĐK Mộc Châu;Phòng siêu âm;Bs. Tòng Thị Phanh\n"
    await choose(page, newer)
    changed = by_id(page, "preview-row")
    await expect(changed).to_have_count(1)
    await expect(changed).to_have_attribute("data-change", "changed")
    await expect(changed.locator("del")).to_have_text("Bs. Lò Văn Pánh, 0912 345 678")
    await by_id(page, "remove-missing").check()
    await expect(changed).to_have_count(4)
    await by_id(page, "import-apply").click()
    await expect(by_id(page, "point-row")).to_have_count(1)
    assert [point["contact"] for point in event.points()] == ["Bs. Tòng Thị Phanh"]
    await by_id(page, "undo").click()
    await expect(by_id(page, "point-row")).to_have_count(4)
    contacts = {point["organisation"]: point["contact"] for point in event.points()}
    assert contacts["BVĐK Mộc Châu"] == "Bs. Lò Văn Pánh, 0912 345 678"


async def test_a_file_that_is_no_list_is_told_in_words_and_an_old_encoding_is_read(
    event: Event, launch: Launch
) -> None:
    page = await new_page(await launch())
    await page.goto(event.page)
    await by_id(page, "import").click()
    await choose(page, b"PK\x03\x04" + bytes(100), "points.xlsx")
    await expect(by_id(page, "problem")).to_have_attribute("data-code", "workbook")
    await choose(page, bytes(2 << 20))
    await expect(by_id(page, "problem")).to_have_attribute("data-code", "tooBig")
    await choose(page, "регион;организация;точка\nТверь;Областная больница;УЗИ\n".encode("windows-1251"))
    await expect(by_id(page, "sheet-problem")).to_have_attribute("data-code", "encoding")
    await by_id(page, "charset").select_option("windows-1251")
    await expect(by_id(page, "preview-row")).to_contain_text("Областная больница, УЗИ")
    await by_id(page, "import-apply").click()
    await expect(row(page, "Областная больница")).to_be_visible()


async def test_a_point_is_found_changed_and_removed_and_each_is_taken_back(
    event: Event, launch: Launch
) -> None:
    page = await open_event(await launch(), event)
    await by_id(page, "point-search").fill("dien bien")
    await expect(by_id(page, "point-row")).to_have_count(1)
    await by_id(page, "point-search").fill("moc chau")
    await row(page, "BVĐK Mộc Châu").get_by_test_id("edit-point").click()
    await by_id(page, "point-contact").fill("Bs. Vàng A Sáng")
    await by_id(page, "save-point").click()
    await expect(row(page, "BVĐK Mộc Châu")).to_contain_text("Bs. Vàng A Sáng")
    await by_id(page, "undo").click()
    await expect(row(page, "BVĐK Mộc Châu")).to_contain_text("Bs. Lò Văn Pánh")
    await row(page, "BVĐK Mộc Châu").get_by_test_id("edit-point").click()
    await by_id(page, "remove-point").click()
    await expect(row(page, "BVĐK Mộc Châu")).to_have_count(0)
    assert len(event.points()) == 3
    await by_id(page, "undo").click()
    await expect(row(page, "BVĐK Mộc Châu")).to_be_visible()
    await by_id(page, "point-search").fill("")
    await by_id(page, "add-point").click()
    await by_id(page, "save-point").click()
    await expect(page.locator(".field-problem")).to_be_visible()
    await by_id(page, "point-organisation").fill("TTYT Mường La")
    await by_id(page, "point-name").fill("phòng HỌP")
    await by_id(page, "point-province").fill("Sơn La")
    await by_id(page, "save-point").click()
    await expect(by_id(page, "problem")).to_have_attribute("data-code", "conflict")
    await by_id(page, "point-name").fill("Phòng cấp cứu")
    await by_id(page, "save-point").click()
    await expect(by_id(page, "point-row")).to_have_count(5)


async def test_a_link_is_copied_and_a_new_one_replaces_it_and_none_stands_in_the_address(
    event: Event, launch: Launch
) -> None:
    page = await open_event(await launch(), event)
    links = {point["organisation"]: point["link"] for point in event.points("?links=1")}
    await row(page, "BVĐK Lai Châu").get_by_test_id("copy-link").click()
    await expect(row(page, "BVĐK Lai Châu").get_by_test_id("copy-link")).to_contain_text("Copied")
    assert await page.evaluate("navigator.clipboard.readText()") == links["BVĐK Lai Châu"]
    await row(page, "BVĐK Lai Châu").get_by_test_id("edit-point").click()
    await by_id(page, "renew-link").click()
    await by_id(page, "renew-yes").click()
    await expect(by_id(page, "point-dialog")).to_contain_text("There is a new link now")
    after = {point["organisation"]: point["link"] for point in event.points("?links=1")}
    assert after.pop("BVĐK Lai Châu") != links.pop("BVĐK Lai Châu")
    assert after == links
    await page.keyboard.press("Escape")
    async with page.expect_download() as downloading:
        await by_id(page, "save-links").click()
    saved = (await (await downloading.value).path()).read_text(encoding="utf-8-sig")
    assert all(link in saved for link in after.values())
    assert not any(link.partition("#")[2] in page.url for link in after.values())


async def test_sheets_have_a_code_that_reads_as_the_points_link_without_network(
    event: Event, launch: Launch, shoot: Shoot
) -> None:
    event.ask("PATCH", body={"startsAt": 1_790_000_000_000})
    page = await open_event(await launch(), event)
    links = {point["id"]: point["link"] for point in event.points("?links=1")}
    await by_id(page, "print-sheets").click()
    await expect(by_id(page, "sheet")).to_have_count(4)
    await page.context.set_offline(True)
    await by_id(page, "sheet-language").select_option("vi")
    await expect(by_id(page, "sheet").first).to_contain_text("Quét mã này")
    await by_id(page, "sheet").first.scroll_into_view_if_needed()
    await shoot(page, "event-sheets")
    for sheet in await by_id(page, "sheet").all():
        link = links[str(await sheet.get_attribute("data-point"))]
        assert await read_code(sheet.get_by_test_id("sheet-code")) == link
    assert paper(await page.pdf(prefer_css_page_size=True)) == [(595, 842)] * 4
    await by_id(page, "sheet-paper").select_option("a5")
    printed = await page.pdf(prefer_css_page_size=True)
    assert paper(printed) == [(420, 595)] * 4
    assert await read_code(by_id(page, "sheet-code").first) in links.values()
    await sizes(page, shoot, "event-sheets")


async def read_code(code: Locator) -> str:
    """What a reader of codes makes of the picture on the screen."""
    found = zxingcpp.read_barcode(Image.open(io.BytesIO(await code.screenshot())))
    assert found is not None
    return str(found.text)


def paper(pdf: bytes) -> list[tuple[int, int]]:
    """Width and height of each page, in points of 1/72 inch."""
    boxes = re.findall(rb"/MediaBox\s*\[0 0 ([\d.]+) ([\d.]+)\]", pdf)
    return [(round(float(width)), round(float(height))) for width, height in boxes]


async def add_item(page: Page, kind: str, title: str, minutes: int, point: str | None = None) -> None:
    await by_id(page, "add-item").click()
    await by_id(page, "item-title").fill(title)
    await by_id(page, "item-kind").select_option(kind)
    await by_id(page, "item-minutes").fill(str(minutes))
    if point is not None:
        await by_id(page, "item-point").select_option(label=point)
    await by_id(page, "item-title").press("Enter")
    await expect(by_id(page, "item-title")).to_have_count(0)


async def titles(page: Page) -> list[str]:
    return await page.locator(".show-what strong").all_text_contents()


async def test_a_run_of_show_is_written_ordered_and_saved_with_its_clock_times(
    event: Event, launch: Launch, shoot: Shoot
) -> None:
    page = await open_event(await launch(), event)
    await by_id(page, "change-begin").click()
    await by_id(page, "begin").fill("2026-12-01T08:30")
    await by_id(page, "save-begin").click()
    await expect(by_id(page, "event-begin")).to_contain_text("December 1, 2026 · 08:30")
    await by_id(page, "tab-points").press("ArrowRight")
    await expect(by_id(page, "tab-show")).to_be_focused()
    assert page.url.endswith("&tab=show")
    await add_item(page, "speech", "Lời chào của Giám đốc", 10)
    await add_item(page, "consult", "Siêu âm tim cho bé sơ sinh", 25, "BVĐK Mộc Châu, Phòng siêu âm")
    await add_item(page, "break", "Giải lao", 15)
    await add_item(page, "questions", "Hỏi đáp", 20)
    times = page.locator(".show-time")
    await expect(times).to_have_text(["08:30", "08:40", "09:05", "09:20"])
    await expect(by_id(page, "show-total")).to_contain_text("1:10")
    await expect(by_id(page, "show-total")).to_contain_text("09:40")
    await by_id(page, "item-handle").nth(3).press("ArrowUp")
    await expect(by_id(page, "item-handle").nth(2)).to_be_focused()
    assert (await titles(page))[2:] == ["Hỏi đáp", "Giải lao"]
    await draw(page, 0, 1)
    assert (await titles(page))[:2] == ["Siêu âm tim cho bé sơ sinh", "Lời chào của Giám đốc"]
    await by_id(page, "item-up").nth(1).click()
    await draw(page, 0, 3)
    assert (await titles(page))[3] == "Lời chào của Giám đốc"
    await draw(page, 3, 0)
    await expect(times).to_have_text(["08:30", "08:40", "09:05", "09:25"])
    await by_id(page, "remove-item").nth(2).click()
    await expect(by_id(page, "show-row")).to_have_count(3)
    await by_id(page, "undo").click()
    await expect(by_id(page, "show-row")).to_have_count(4)
    await by_id(page, "tab-points").click()
    await by_id(page, "tab-show").click()
    await expect(by_id(page, "show-row")).to_have_count(4)
    assert event.agenda() == {"version": 0, "items": []}
    await shoot(page, "event-show")
    await by_id(page, "save-show").click()
    await expect(by_id(page, "unsaved")).to_have_count(0)
    kept = event.agenda()
    assert [(one["kind"], one["minutes"]) for one in kept["items"]] == [
        ("speech", 10),
        ("consult", 25),
        ("questions", 20),
        ("break", 15),
    ]
    where = {point["id"]: point["organisation"] for point in event.points()}
    assert where[kept["items"][1]["point"]] == "BVĐK Mộc Châu"
    await by_id(page, "edit-item").nth(1).click()
    await sizes(page, shoot, "event-show")
    await page.reload()
    await expect(by_id(page, "show-row")).to_have_count(4)


async def draw(page: Page, start: int, to: int) -> None:
    """Draws a row by its handle over where another one is."""
    handle, aim = by_id(page, "item-handle").nth(start), by_id(page, "item-handle").nth(to)
    here, there = await handle.bounding_box(), await aim.bounding_box()
    assert here is not None
    assert there is not None
    x = here["x"] + here["width"] / 2
    await page.mouse.move(x, here["y"] + here["height"] / 2)
    await page.mouse.down()
    beyond = there["height"] if to > start else 0
    await page.mouse.move(x, there["y"] + beyond, steps=8)
    await page.mouse.up()


@pytest.mark.parametrize("choice", ["load-theirs", "keep-mine"])
async def test_two_who_write_the_run_of_show_at_once_are_told_and_choose(
    event: Event, launch: Launch, shoot: Shoot, choice: str
) -> None:
    browser = await launch()
    page = await open_event(browser, event)
    await by_id(page, "tab-show").click()
    await add_item(page, "speech", "Của tôi", 10)
    item = {"kind": "speech", "title": "Của người khác", "point": None, "minutes": 5, "state": "planned"}
    event.ask("PUT", "/agenda", {"version": 0, "items": [item]})
    await by_id(page, "save-show").click()
    await expect(by_id(page, "problem")).to_have_attribute("data-code", "conflict")
    assert [one["title"] for one in event.agenda()["items"]] == ["Của người khác"]
    await shoot(page, "event-show-conflict")
    await by_id(page, choice).click()
    await expect(by_id(page, "problem")).to_have_count(0)
    await expect(by_id(page, "unsaved")).to_have_count(0)
    title = "Của người khác" if choice == "load-theirs" else "Của tôi"
    assert await titles(page) == [title]
    assert [one["title"] for one in event.agenda()["items"]] == [title]


async def test_staff_and_organiser_are_led_to_the_page_and_the_hub_only_looks(
    event: Event, launch: Launch
) -> None:
    event.ask("PUT", "/points", SHEET, "text/csv")
    browser = await launch()
    staff = await new_page(browser)
    await staff.goto(event.server.command("staff", "link").strip())
    await by_id(staff, "to-event").click()
    await expect(by_id(staff, "point-row")).to_have_count(4)
    await by_id(staff, "to-sessions").click()
    await expect(by_id(staff, "to-event")).to_be_visible()
    organiser = await new_page(browser)
    await organiser.goto(f"{event.server.address}/join#{event.token}")
    await by_id(organiser, "to-event").click()
    await expect(by_id(organiser, "point-row")).to_have_count(4)
    hub = await new_page(browser)
    await hub.goto(f"{event.server.address}/event#{event.hub_token}")
    await expect(by_id(hub, "point-row")).to_have_count(4)
    for deed in (
        "import",
        "add-point",
        "edit-point",
        "copy-link",
        "point-sheet",
        "print-sheets",
        "save-links",
    ):
        await expect(by_id(hub, deed)).to_have_count(0)
    await by_id(hub, "tab-show").click()
    await expect(by_id(hub, "show")).to_be_attached()
    await expect(by_id(hub, "add-item")).to_have_count(0)


async def test_two_hundred_points_are_shown_found_and_printed(
    event: Event, launch: Launch, shoot: Shoot
) -> None:
    lines = [f"Tỉnh {number % 34};Trung tâm y tế {number};Phòng siêu âm;" for number in range(200)]
    event.ask("PUT", "/points", "\n".join(["Tỉnh;Đơn vị;Điểm cầu;Liên hệ", *lines]), "text/csv")
    page = await new_page(await launch())
    await page.goto(event.page)
    await expect(by_id(page, "point-row")).to_have_count(200)
    await shoot(page, "event-points-200")
    await by_id(page, "point-search").fill("y te 177")
    await expect(by_id(page, "point-row")).to_have_count(1)
    await by_id(page, "point-search").fill("")
    await by_id(page, "print-sheets").click()
    await expect(by_id(page, "sheet")).to_have_count(200, timeout=60_000)
    assert len(paper(await page.pdf(prefer_css_page_size=True))) == 200


async def test_every_view_of_the_page_has_no_fault_that_axe_can_find(event: Event, launch: Launch) -> None:
    browser = await launch()
    page = await open_checked(browser, event.page)
    await by_id(page, "no-points").wait_for()
    assert await faults(page) == []
    await by_id(page, "import").click()
    await choose(page, SHEET)
    await expect(by_id(page, "preview-row")).to_have_count(4)
    assert await faults(page) == []
    await by_id(page, "import-apply").click()
    await by_id(page, "deed").wait_for()
    assert await faults(page) == []
    await by_id(page, "edit-point").first.click()
    await by_id(page, "renew-link").click()
    assert await faults(page) == []
    await page.keyboard.press("Escape")
    await by_id(page, "print-sheets").click()
    await expect(by_id(page, "sheet")).to_have_count(4)
    assert await faults(page) == []
    await by_id(page, "tab-show").click()
    await by_id(page, "add-item").click()
    assert await faults(page) == []
