"""The pages around a session: making one, joining in three languages and sizes, and every refusal in plain words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import Page, expect

from tests.e2e.conftest import Launch, new_page
from tests.e2e.looking import moves, picture, until
from tests.e2e.people import by_id, hub_joins, in_session, open_join, press_join, satellite_joins
from tests.serving import Server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

Shoot = Callable[[Page, str], Awaitable[None]]


async def test_organiser_makes_a_session_and_its_link_works(
    server: Server, launch: Launch, shoot: Shoot
) -> None:
    browser = await launch()
    page = await new_page(browser)
    await page.goto(server.command("staff", "link").strip())
    await by_id(page, "session-title").fill("Siêu âm tim, Sơn La")
    await by_id(page, "create-session").click()
    row = page.locator('[data-testid="session-row"]', has_text="Siêu âm tim, Sơn La")
    await expect(row).to_be_visible()
    await page.locator('[data-testid="copy-link"][data-role="hub"]').first.click()
    await until(page, "async () => (await navigator.clipboard.readText()).includes('/join#')")
    link = await page.evaluate("navigator.clipboard.readText()")
    assert link.startswith(f"{server.address}/join#")
    await shoot(page, "sessions")
    doctor = await open_join(browser, link, "Dr Hà")
    await press_join(doctor)


@pytest.mark.parametrize(("locale", "word"), [("vi-VN", "Tham gia"), ("ru-RU", "Войти"), ("en-GB", "Join")])
async def test_join_page_speaks_the_browsers_language(
    server: Server, launch: Launch, shoot: Shoot, locale: str, word: str
) -> None:
    made = server.create_session("Hội chẩn tim mạch")
    page = await new_page(await launch(), width=360, height=780, locale=locale)
    await page.goto(made["links"]["satellite"])
    await expect(by_id(page, "join-button")).to_contain_text(word)
    assert await page.evaluate("document.documentElement.lang") == locale[:2]
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360
    await by_id(page, "camera-preview").wait_for()
    await shoot(page, f"join-{locale[:2]}-360")


async def test_language_can_be_switched_and_is_remembered(server: Server, launch: Launch) -> None:
    made = server.create_session()
    page = await new_page(await launch())
    await page.goto(made["links"]["viewer"])
    await by_id(page, "language-select").select_option("vi")
    await expect(by_id(page, "join-button")).to_contain_text("Tham gia")
    await page.reload()
    await expect(by_id(page, "join-button")).to_contain_text("Tham gia")


@pytest.mark.parametrize(("width", "height"), [(360, 780), (1024, 768), (1920, 1080)])
async def test_session_page_fits_every_screen(
    server: Server, launch: Launch, shoot: Shoot, width: int, height: int
) -> None:
    made = server.create_session()
    browser = await launch()
    clinic = await satellite_joins(browser, made["links"]["satellite"], width=width, height=height)
    hub = await hub_joins(browser, made["links"]["hub"], width=width, height=height, locale="ru-RU")
    await moves(hub, picture("ultrasound"), 1)
    for page, name in ((hub, "hub-ru"), (clinic, "satellite")):
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        await shoot(page, f"{name}-{width}")


@pytest.mark.alone
async def test_demo_hub_sees_the_ultrasound_within_two_seconds(
    server: Server, launch: Launch, shoot: Shoot
) -> None:
    server.stop()
    server.start("--demo")
    link = server.printed_link("Open as hub doctor")
    page = await new_page(await launch(devices=False))
    await page.goto("about:blank")
    # The demo clinic starts beside the server: when the first picture can be had is not the page's doing.
    await server.until_logged('"role": "satellite"')
    await page.goto(link)
    await until(page, SHOWS_A_FRAME, picture("ultrasound"), 2.0)
    await moves(page, picture("ultrasound"))
    await shoot(page, "demo-hub")


SHOWS_A_FRAME = (
    "selector => (document.querySelector(selector)?.getVideoPlaybackQuality().totalVideoFrames ?? 0) > 0"
)


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda token: token[:-8] + "AAAAAAAA", "notAuthorised"),
        (lambda token: "nonsense", "notAuthorised"),
    ],
    ids=["forged", "nonsense"],
)
async def test_wrong_link_is_told_in_plain_words(
    server: Server, launch: Launch, shoot: Shoot, spoil: Callable[[str], str], code: str
) -> None:
    made = server.create_session()
    page = await new_page(await launch())
    await page.goto(f"{server.address}/join#{spoil(made['tokens']['hub'])}")
    await expect(page.locator(f'[data-testid="problem"][data-code="{code}"]')).to_be_visible()
    await shoot(page, "wrong-link")


async def test_ended_session_is_told(server: Server, launch: Launch, shoot: Shoot) -> None:
    made = server.create_session()
    browser = await launch()
    hub = await hub_joins(browser, made["links"]["hub"])
    clinic = await satellite_joins(browser, made["links"]["satellite"])
    await by_id(hub, "leave-button").click()
    await by_id(hub, "end-session").click()
    await by_id(hub, "end-session-yes").click()
    for page in (hub, clinic):
        await expect(page.locator('[data-testid="problem"][data-code="sessionEnded"]')).to_be_visible()
    await shoot(clinic, "session-ended")
    late = await new_page(browser)
    await late.goto(made["links"]["viewer"])
    await expect(late.locator('[data-testid="problem"][data-code="sessionEnded"]')).to_be_visible()


async def test_full_session_is_told(server: Server, launch: Launch, shoot: Shoot) -> None:
    made = server.create_session("Small room", "--capacity", "2")
    browser = await launch()
    await hub_joins(browser, made["links"]["hub"])
    await satellite_joins(browser, made["links"]["satellite"])
    late = await open_join(browser, made["links"]["viewer"], "Late")
    await by_id(late, "join-button").click()
    await expect(late.locator('[data-testid="problem"][data-code="sessionFull"]')).to_be_visible()
    await shoot(late, "session-full")


async def test_link_opened_elsewhere_is_told_and_can_be_taken_back(
    server: Server, launch: Launch, shoot: Shoot
) -> None:
    made = server.create_session()
    browser = await launch()
    older = await hub_joins(browser, made["links"]["hub"])
    newer = await hub_joins(browser, made["links"]["hub"])
    await expect(older.locator('[data-testid="problem"][data-code="joinedElsewhere"]')).to_be_visible()
    await shoot(older, "joined-elsewhere")
    await by_id(older, "again-button").click()
    await expect(in_session(older)).to_be_visible()
    await expect(newer.locator('[data-testid="problem"][data-code="joinedElsewhere"]')).to_be_visible()


async def test_page_without_devices_says_so_and_joins_all_the_same(server: Server, launch: Launch) -> None:
    made = server.create_session()
    page = await open_join(
        await launch("--use-fake-ui-for-media-stream", devices=False), made["links"]["hub"], "Dr Hà"
    )
    await expect(page.locator('[data-testid="problem"][data-code="noDevice"]').first).to_be_visible()
    await press_join(page)
