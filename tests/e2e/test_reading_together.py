"""A CT that comes in during a consult and is read together: in real browsers, on a real server."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable

import numpy as np
import pytest
from playwright.async_api import Page, expect

from tests.e2e.conftest import Launch
from tests.e2e.hearing import faults, open_checked
from tests.e2e.people import by_id, hub_joins, open_join, press_join, satellite_joins
from tests.e2e.reading import (
    OPENS_MS,
    SOFTWARE_GRAPHICS,
    Ct,
    delays_ms,
    is_sharp,
    open_study,
    picture,
    reads,
    show_the_same,
    watch,
    where,
)
from tests.serving import Server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

Shoot = Callable[[Page, str], Awaitable[None]]
SLICES = 40


@pytest.mark.alone
async def test_points_read_a_ct_together(server: Server, launch: Launch, shoot: Shoot) -> None:
    made = server.create_session()
    tokens, links = made["tokens"], made["links"]
    browser = await launch(*SOFTWARE_GRAPHICS)
    hub = await hub_joins(browser, links["hub"], "Bs. Hải")
    clinic = await satellite_joins(browser, links["satellite"], "Y sĩ Lan", width=1024, height=768)
    ct = Ct(SLICES)

    # The clinic sends; the hub sees it come without opening anything.
    await ct.announce(server, tokens["satellite"])
    await ct.send(server, tokens["satellite"], 1, 12)
    button = by_id(hub, "studies-button")
    await expect(button).to_contain_text("12 of 40")
    await expect(by_id(hub, "news")).to_contain_text("A study is arriving: CT")
    await button.click()
    await expect(by_id(hub, "study-count")).to_have_text("arriving, 12 of 40")
    await shoot(hub, "reading-arriving")

    # The hub opens it and leads; at the clinic it opens by itself. It grows under their eyes.
    await open_study(hub, ct.study)
    await reads(clinic, ct.study)
    await expect(where(hub)).to_have_text("1 of 12")
    await ct.send(server, tokens["satellite"], 13, SLICES)
    for page in (hub, clinic):
        await expect(where(page)).to_have_text(f"1 of {SLICES}", timeout=15_000)
    await expect(by_id(hub, "reading-who")).to_contain_text("You lead")
    await expect(by_id(clinic, "reading-who")).to_have_text("Bs. Hải leads")
    await is_sharp(hub, SLICES)
    await is_sharp(clinic, SLICES)
    await expect(by_id(hub, "reading-sharp")).to_have_text("All pictures sharp at all 2")
    await shoot(hub, "reading-hub")
    await shoot(clinic, "reading-clinic")

    # Slices, as fast as a hand turns the wheel.
    await watch(hub)
    await watch(clinic)
    for _ in range(30):
        await hub.keyboard.press("ArrowDown")
        await hub.wait_for_timeout(80)
    await expect(where(clinic)).to_have_text(await where(hub).inner_text())
    late_ms = await delays_ms(hub, clinic)
    print(
        f"\nfollowing a slice: {len(late_ms)} seen, median {statistics.median(late_ms):.0f} ms,"
        f" 95 % {late_ms[int(0.95 * (len(late_ms) - 1))]:.0f} ms, most {late_ms[-1]:.0f} ms"
    )
    assert len(late_ms) >= 10
    assert await show_the_same(hub, clinic) < 4

    # Window, zoom, turning, a measurement, layout.
    other = await show_the_same(hub, clinic)
    await hub.keyboard.press("2")
    await expect(by_id(clinic, "corner-window")).to_have_text(await by_id(hub, "corner-window").inner_text())
    await hub.keyboard.press("t")
    assert await show_the_same(hub, clinic) < 4, other
    await hub.keyboard.press("l")
    cell = by_id(hub, "reader-stack").first
    box = await cell.bounding_box()
    assert box is not None
    await hub.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.5)
    await hub.mouse.down()
    await hub.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.55, steps=5)
    await hub.mouse.up()
    await expect(by_id(clinic, "reader-mark")).to_have_count(1)
    told = await by_id(hub, "reader-mark").get_attribute("data-told")
    await expect(by_id(clinic, "reader-mark")).to_have_attribute("data-told", told or "")
    await shoot(clinic, "reading-measured")
    # The hub points, under its name.
    await hub.keyboard.press("o")
    await hub.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.3)
    await hub.mouse.down()
    await hub.mouse.move(box["x"] + box["width"] * 0.55, box["y"] + box["height"] * 0.4, steps=4)
    await expect(by_id(clinic, "reader-pointer")).to_contain_text("Bs. Hải")
    await expect(by_id(hub, "reader-pointer")).not_to_contain_text("Bs. Hải")
    await shoot(clinic, "reading-pointer")
    await hub.mouse.up()
    await expect(by_id(clinic, "reader-pointer")).to_have_count(0)
    await hub.keyboard.press("s")
    await by_id(hub, "reader-undo").click()
    await expect(by_id(clinic, "reader-mark")).to_have_count(0)


async def test_one_may_look_freely_take_the_lead_and_come_late(
    server: Server, launch: Launch, shoot: Shoot
) -> None:
    made = server.create_session()
    tokens, links = made["tokens"], made["links"]
    browser = await launch(*SOFTWARE_GRAPHICS)
    hub = await hub_joins(browser, links["hub"], "Bs. Hải")
    clinic = await satellite_joins(browser, links["satellite"], "Y sĩ Lan", width=1280, height=800)
    ct = Ct(20)
    await ct.send(server, tokens["satellite"], 1, 20)
    await open_study(hub, ct.study)
    await reads(clinic, ct.study)
    for _ in range(4):
        await hub.keyboard.press("ArrowDown")
    await expect(where(clinic)).to_have_text(await where(hub).inner_text())
    led = await where(hub).inner_text()

    # Who touches the pictures looks on its own, and comes back by one key.
    await by_id(clinic, "reader").focus()
    for _ in range(5):
        await clinic.keyboard.press("ArrowDown")
    await expect(by_id(clinic, "reading-who")).to_contain_text("You look on your own")
    assert await where(clinic).inner_text() != led
    await expect(where(hub)).to_have_text(led)
    await hub.keyboard.press("ArrowDown")
    await shoot(clinic, "reading-freely")
    await clinic.keyboard.press("x")
    await expect(where(clinic)).to_have_text(await where(hub).inner_text())

    # Asks for the lead and is given it; then the hub follows.
    await by_id(clinic, "ask-lead").click()
    await expect(by_id(hub, "reading-asks")).to_contain_text("Y sĩ Lan asks to lead")
    await shoot(hub, "reading-asked")
    await by_id(hub, "give-lead").click()
    await expect(by_id(clinic, "reading-who")).to_contain_text("You lead")
    await by_id(clinic, "reader").focus()
    for _ in range(6):
        await clinic.keyboard.press("ArrowUp")
    await expect(where(hub)).to_have_text(await where(clinic).inner_text())
    assert await where(hub).inner_text() != led

    # Who comes late lands where the others are, on a telephone too.
    late = await open_join(browser, links["organiser"], "Desk", width=360, height=740)
    await press_join(late)
    await reads(late, ct.study)
    await expect(where(late)).to_have_text(await where(clinic).inner_text())
    assert await show_the_same(late, clinic) < 12
    await shoot(late, "reading-narrow")
    await by_id(late, "reading-more").click()
    await expect(by_id(late, "take-lead")).to_be_visible()
    await shoot(late, "reading-narrow-more")

    # The ultrasound goes on in small, and beside the study if one likes.
    await expect(hub.locator('[data-testid="tile"][data-source="ultrasound"] video')).to_be_visible()
    await hub.locator('[data-testid="tile"][data-source="ultrasound"]').click()
    await expect(by_id(hub, "stage-video")).to_be_visible()
    await shoot(hub, "reading-beside")

    # A viewer has none of it.
    viewer = await open_join(browser, links["viewer"], "Student")
    await press_join(viewer)
    await expect(by_id(viewer, "studies-button")).to_have_count(0)
    await expect(by_id(viewer, "reader")).to_have_count(0)

    # Who leads closes it for all.
    await by_id(clinic, "reading-close").click()
    for page in (hub, clinic, late):
        await expect(by_id(page, "reader")).to_have_count(0)


async def test_an_earlier_study_is_laid_beside_for_all_and_nobody_takes_it_for_the_other(
    server: Server, launch: Launch, shoot: Shoot
) -> None:
    made = server.create_session()
    tokens, links = made["tokens"], made["links"]
    browser = await launch(*SOFTWARE_GRAPHICS)
    hub = await hub_joins(browser, links["hub"], "Bs. Hải", width=1400, height=900)
    clinic = await satellite_joins(browser, links["satellite"], "Y sĩ Lan", width=1024, height=768)
    now = Ct(20)
    before = Ct(40, date="20260312", step_mm=2.5)
    oldest = Ct(4, date="20250101")
    stranger = Ct(4, date="20260901", patient=("Trần^Thị^Hoa", "P-18"))
    for ct in (oldest, before, stranger, now):
        await ct.send(server, tokens["satellite"], 1, ct.count)
    await open_study(hub, now.study)
    await reads(clinic, now.study)
    await is_sharp(hub, now.count)
    for _ in range(10):
        await hub.keyboard.press("ArrowDown")
    assert await by_id(hub, "study-line").count() == 0

    # One key: the newest earlier one of this patient, not another patient's that is newer.
    await hub.keyboard.press("c")
    for page in (hub, clinic):
        stacks = by_id(page, "reader-stack")
        await expect(stacks).to_have_count(2, timeout=OPENS_MS)
        await expect(stacks.nth(0)).to_have_attribute("data-series", now.series)
        await expect(stacks.nth(1)).to_have_attribute("data-series", before.series)
        lines = by_id(page, "study-line")
        await expect(lines.nth(0)).to_contain_text("Nov 20, 2026")
        await expect(lines.nth(0)).to_contain_text("This study")
        await expect(lines.nth(1)).to_contain_text("Mar 12, 2026")
        await expect(lines.nth(1)).to_contain_text("Earlier study")
        await expect(lines.nth(1)).to_have_attribute("data-kinship", "same")
    await expect(by_id(hub, "reader-link")).to_have_attribute("aria-pressed", "true")
    # As far through it: 10 of 0 to 19 is 21 of 0 to 39. From there on millimetre by millimetre.
    await expect(by_id(clinic, "reader-stack").nth(1)).to_have_attribute("data-index", "21")
    for _ in range(4):
        await hub.keyboard.press("ArrowDown")
    for page in (hub, clinic):
        await expect(by_id(page, "reader-stack").nth(0)).to_have_attribute("data-index", "14")
        await expect(by_id(page, "reader-stack").nth(1)).to_have_attribute("data-index", "29")
    await is_sharp(hub, now.count + before.count)
    await is_sharp(clinic, now.count + before.count)
    await shoot(hub, "reading-compared-hub")
    await shoot(clinic, "reading-compared-clinic")
    for cell in (0, 1):
        assert await show_the_same(hub, clinic, cell) < 6

    # Set right by hand while they are not linked, and linked again: they keep this distance.
    await hub.keyboard.press("k")
    await expect(by_id(clinic, "reader-link")).to_have_attribute("aria-pressed", "false")
    await by_id(hub, "reader-stack").nth(1).click()
    await hub.keyboard.press("ArrowUp")
    await expect(by_id(clinic, "reader-stack").nth(1)).to_have_attribute("data-index", "28")
    await expect(by_id(clinic, "reader-stack").nth(0)).to_have_attribute("data-index", "14")
    await hub.keyboard.press("k")
    for _ in range(2):
        await hub.keyboard.press("ArrowUp")
    await expect(by_id(clinic, "reader-stack").nth(1)).to_have_attribute("data-index", "26")
    await expect(by_id(clinic, "reader-stack").nth(0)).to_have_attribute("data-index", "13")

    # By hand another patient's: it says so wherever it stands.
    await by_id(hub, "study-choose").click()
    choices = by_id(hub, "study-choice")
    await expect(choices).to_have_count(4)
    strange = hub.locator(f'[data-testid="study-choice"][data-study="{stranger.study}"]')
    await expect(strange).to_contain_text("Another patient: Trần Thị Hoa · P-18")
    await shoot(hub, "reading-choosing-study")
    await strange.click()
    await hub.locator(f'[data-testid="reader-tile"][data-series="{stranger.series}"]').click()
    for page in (hub, clinic):
        line = by_id(page, "study-line").nth(1)
        await expect(line).to_contain_text("Another patient: Trần Thị Hoa · P-18", timeout=OPENS_MS)
        await expect(line).to_have_attribute("data-kinship", "other")
        await expect(by_id(page, "study-line").nth(0)).to_contain_text("This study")
    await is_sharp(clinic, now.count + stranger.count)
    await shoot(clinic, "reading-another-patient")


async def test_zoom_place_and_layout_are_followed(server: Server, launch: Launch) -> None:
    made = server.create_session()
    browser = await launch(*SOFTWARE_GRAPHICS)
    hub = await hub_joins(browser, made["links"]["hub"], "Bs. Hải")
    clinic = await satellite_joins(browser, made["links"]["satellite"], "Y sĩ Lan", width=1280, height=800)
    ct = Ct(6)
    await ct.send(server, made["tokens"]["satellite"], 1, 6)
    await open_study(hub, ct.study)
    await reads(clinic, ct.study)
    await is_sharp(hub, 6)
    await is_sharp(clinic, 6)
    fitted = await picture(clinic)
    box = await by_id(hub, "reader-stack").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    async def drag(by_x: float, by_y: float) -> None:
        await hub.mouse.move(x, y)
        await hub.mouse.down()
        await hub.mouse.move(x + by_x, y + by_y, steps=5)
        await hub.mouse.up()

    # Up makes it larger: the figures of the slice fill more of the cell.
    await hub.keyboard.press("z")
    await drag(0, -120)
    zoomed = await by_id(hub, "corner-zoom").inner_text()
    assert zoomed != "100 %"
    await expect(by_id(clinic, "corner-zoom")).to_have_text(zoomed)
    assert await show_the_same(hub, clinic) < 6
    larger = await picture(clinic)
    assert np.abs(larger - fitted).mean() > 12
    await hub.keyboard.press("p")
    await drag(120, 60)
    assert await show_the_same(hub, clinic) < 6
    assert np.abs(await picture(clinic) - larger).mean() > 12
    await hub.keyboard.press("0")
    await expect(by_id(clinic, "corner-zoom")).to_have_text("100 %")
    assert await show_the_same(hub, clinic) < 6

    for layout, cells in (("2x2", 4), ("mpr", 3), ("1x1", 1)):
        await by_id(hub, "reader-layout").select_option(layout)
        await expect(by_id(clinic, "reader-cell")).to_have_count(cells)
        await expect(by_id(clinic, "reader-plane")).to_have_count(3 if layout == "mpr" else 0)
        await by_id(hub, "reader").focus()


async def test_reading_goes_on_where_it_was_after_the_server_was_started_anew(
    server: Server, launch: Launch
) -> None:
    made = server.create_session()
    browser = await launch(*SOFTWARE_GRAPHICS)
    hub = await hub_joins(browser, made["links"]["hub"])
    clinic = await satellite_joins(browser, made["links"]["satellite"])
    ct = Ct(10)
    await ct.send(server, made["tokens"]["satellite"], 1, 10)
    await open_study(hub, ct.study)
    await reads(clinic, ct.study)
    for _ in range(3):
        await hub.keyboard.press("ArrowDown")
    await expect(where(clinic)).to_have_text(await where(hub).inner_text())
    server.stop()
    server.start()
    await expect(by_id(hub, "reading-who")).to_contain_text("You lead", timeout=30_000)
    await by_id(hub, "reader").focus()
    await hub.keyboard.press("ArrowDown")
    await expect(where(clinic)).to_have_text(await where(hub).inner_text(), timeout=30_000)
    await expect(by_id(clinic, "reading-who")).to_contain_text("leads")


async def test_reading_has_no_faults_and_fits_in_every_language(
    server: Server, launch: Launch, shoot: Shoot
) -> None:
    made = server.create_session()
    tokens, links = made["tokens"], made["links"]
    browser = await launch(*SOFTWARE_GRAPHICS)
    pages = {}
    for role, locale, width in (
        ("hub", "ru-RU", 1024),
        ("satellite", "vi-VN", 1024),
        ("organiser", "en-GB", 360),
    ):
        page = await open_checked(browser, links[role], width=width, height=768, locale=locale)
        await by_id(page, "name-input").fill(f"Bs. Nguyễn Thị Minh Khai ({role})")
        await press_join(page)
        pages[role] = page
    hub, clinic, desk = pages.values()
    ct = Ct(10)
    await ct.announce(server, tokens["satellite"])
    await ct.send(server, tokens["satellite"], 1, 4)
    await by_id(hub, "studies-button").click()
    await expect(by_id(hub, "study-count")).to_have_attribute("data-arriving", "true")
    assert await faults(hub) == [], "list of studies"
    await open_study(hub, ct.study)
    for page in (clinic, desk):
        await reads(page, ct.study)
    assert await faults(clinic) == [], "following"
    await by_id(clinic, "ask-lead").click()
    await by_id(hub, "give-lead").wait_for()
    assert await faults(hub) == [], "leading"
    await by_id(desk, "reading-more").click()
    assert await faults(desk) == [], "telephone"
    await shoot(hub, "reading-ru")
    await shoot(clinic, "reading-vi")
    for name, page in pages.items():
        assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, name
        spilling = await page.evaluate(SPILLING_JS)
        assert spilling == [], name


SPILLING_JS = """
() => [...document.querySelectorAll('.reading-bar button, .reading-bar select, .bar .control')]
  .filter((one) => one.checkVisibility())
  .filter((one) => {
    const box = one.getBoundingClientRect();
    const line = one.closest('.reading-bar')?.getBoundingClientRect() ?? {left: 0, right: innerWidth};
    return box.right > line.right + 1 || box.left < line.left - 1 || one.scrollWidth > one.clientWidth + 1;
  })
  .map((one) => one.textContent)
"""
