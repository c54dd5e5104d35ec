"""What stands where on small and large screens, with many people, long names and the longest language."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack

import pytest
from playwright.async_api import Page, expect

from bridge.client import Participant
from tests.e2e.conftest import Launch
from tests.e2e.looking import until
from tests.e2e.people import by_id, hub_joins, in_session, satellite_joins
from tests.serving import Server, running_server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

Shoot = Callable[[Page, str], Awaitable[None]]

SCREENS = [(360, 780), (640, 400), (1024, 768), (1920, 1080)]
"""A telephone, letters at twice their size on a small desktop, a tablet, a desktop."""
LONG_NAMES = [
    "Điều dưỡng trưởng Nguyễn Thị Phương Lan, Trung tâm Y tế huyện Mường La, Sơn La",
    "Константинопольская-Преображенская Екатерина Александровна, врач УЗИ-диагностики",
    "د. محمد عبد الرحمن، مستشفى الولادة والأطفال",
]

MISFITS = """
() => {
  const seen = [...document.querySelectorAll('button, select, input')].filter((one) => one.checkVisibility());
  const outside = seen.filter((one) => {
    const {right, bottom} = one.getBoundingClientRect();
    // What scrolls may hold more than is seen.
    return !one.closest('.strip, .side, .panel, dialog') && (right > innerWidth + 1 || bottom > innerHeight + 1);
  });
  const cut = seen.filter((one) => one.matches('.control') && one.scrollWidth > one.clientWidth + 1);
  return [...outside, ...cut].map((one) => one.dataset.testid);
}
"""

NEWS_OVER_FIELD = """
() => {
  const field = document.querySelector('[data-testid=chat-input]').getBoundingClientRect();
  const over = ({left, right, top, bottom}) =>
    right > field.left && left < field.right && bottom > field.top && top < field.bottom;
  return [...document.querySelectorAll('.news-line')].filter((line) => over(line.getBoundingClientRect())).length;
}
"""

AT_NEWEST = """
words => {
  const log = document.querySelector('.chat-log');
  return log.textContent.includes(words) && log.scrollTop + log.clientHeight >= log.scrollHeight - 2;
}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all: every test has a session of its own."""
    with running_server(tmp_path_factory.mktemp("server") / "data") as server:
        yield server


@pytest.mark.alone
async def test_full_stage_with_long_names_and_much_chat_fits(
    server: Server, launch: Launch, shoot: Shoot
) -> None:
    made = server.create_session("Hội chẩn liên viện về siêu âm tim thai và bệnh tim bẩm sinh phức tạp 🩺")
    browser = await launch()
    clinic = await satellite_joins(browser, made["links"]["satellite"], LONG_NAMES[0], locale="ru-RU")
    hub = await hub_joins(browser, made["links"]["hub"], LONG_NAMES[1], locale="ru-RU")
    invite = server.command("invite", "create", made["session"], "--role", "satellite", "--seats", "22")
    token = re.findall(r"/join#(\S+)", invite)[0]
    async with AsyncExitStack() as stack:
        crowd = [Participant(server.address, token, LONG_NAMES[k % 3], receive=False) for k in range(22)]
        for one in crowd:
            await stack.enter_async_context(one.taking_part())
        await expect(by_id(hub, "strip-person")).to_have_count(24)
        for k in range(200):
            await crowd[k % len(crowd)].request("sendChat", text=f"{k}: " + "xoay đầu dò " * (1 + k % 9))
        await by_id(hub, "chat-button").click()
        for page in (clinic, hub):
            await until(page, AT_NEWEST, "199: ")
        for width, height in SCREENS:
            for page, name in ((clinic, "clinic"), (hub, "hub")):
                await page.set_viewport_size({"width": width, "height": height})
                await by_id(page, "more-button").evaluate("one => one.checkVisibility() && one.click()")
                assert await page.evaluate("document.documentElement.scrollWidth") <= width
                assert await page.evaluate(MISFITS) == [], (name, width)
                await shoot(page, f"full-{name}-{width}")
                await page.keyboard.press("Escape")
                if name == "hub" and await by_id(page, "chat-panel").count() == 0:
                    await by_id(page, "chat-button").click()


@pytest.mark.parametrize(("width", "height"), SCREENS)
async def test_news_cover_no_line_for_writing(
    server: Server, launch: Launch, width: int, height: int
) -> None:
    made = server.create_session()
    browser = await launch()
    clinic = await satellite_joins(browser, made["links"]["satellite"], width=width, height=height)
    hub = await hub_joins(browser, made["links"]["hub"], width=width, height=height)
    await by_id(hub, "chat-button").click()
    late = Participant(server.address, made["tokens"]["organiser"], LONG_NAMES[0], receive=False)
    async with late.taking_part():
        await late.request("setHand", raised=True)
        await expect(hub.locator('[data-kind="handRaised"]')).to_be_visible()
        await expect(clinic.locator('[data-kind="joined"]').first).to_be_visible()
        for page in (clinic, hub):
            await expect(in_session(page)).to_be_visible()
            assert await page.evaluate(NEWS_OVER_FIELD) == 0
