"""Reading a CT at the far end of a thin line: what comes before the first picture, and how the others come."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from tests.e2e.conftest import CHROMIUM, Launch, new_page
from tests.e2e.looking import until
from tests.e2e.reading import SOFTWARE_GRAPHICS, Ct
from tests.imaging.webclients import body_of, staff_token
from tests.netns.hosts import NEAR_ADDRESS, ROOT, Line, two_hosts
from tests.serving import Server, running_server

pytestmark = [pytest.mark.browser, pytest.mark.netns, pytest.mark.timeout(240)]

SLICES = 60
THIN = {"rate_bps": 512_000, "delay_ms": 50, "queue_ms": 300}
FIRST_BYTES = 24_000
"""What may come before the first picture: a third of a second of that line, of which the picture is two thirds."""

GRADE = "(grade) => document.querySelector('[data-testid=reader-stack]')?.dataset.grade === grade"
HAS_SOME = (
    "() => ['preview', 'sharp'].includes(document.querySelector('[data-testid=reader-stack]')?.dataset.grade)"
)
ALL_SMALL = """
(total) => {
  const {preview, total: told} = document.querySelector('[data-testid=reader]')?.dataset ?? {};
  return told === String(total) && preview === told;
}
"""
INDEX_IS = "(at) => document.querySelector('[data-testid=reader-stack]')?.dataset.index === String(at)"
ASKED = """
() => performance.getEntriesByType('resource').filter(({name}) => name.includes('/dicom-web/')).map((each) => ({
  path: new URL(each.name).pathname.replace(/^.*[/](?=[a-z]+([/]1)?$)/, ''),
  endedMs: each.responseEnd, bytes: each.transferSize,
}))
"""
_SEND = """
import sys, requests
from pathlib import Path
headers = {"Authorization": "Bearer " + sys.argv[2], "Accept": "application/dicom+json", "Content-Type": sys.argv[3]}
body = Path(sys.argv[4]).read_bytes()
assert requests.post(sys.argv[1] + "/dicom-web/studies", data=body, headers=headers, timeout=60).status_code == 200
"""


def send(line: Line, server: Server, token: str, ct: Ct, folder: Path) -> None:
    """The whole CT, from the server's end of the line."""
    body, kind = body_of([ct.file(number) for number in range(1, ct.count + 1)])
    content = folder / "body"
    content.write_bytes(body)
    words = line.near.command(sys.executable, "-c", _SEND, server.address, token, kind, str(content))
    subprocess.run(words, check=True, cwd=ROOT, timeout=120)


async def asked(page: Page) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = await page.evaluate(ASKED)
    return found


async def test_first_picture_has_the_line_to_itself_and_the_others_come_many_at_once(
    tmp_path: Path, launch: Launch
) -> None:
    ct = Ct(SLICES)
    with (
        two_hosts() as line,
        running_server(tmp_path / "data", host=NEAR_ADDRESS, prefix=line.near.command()) as server,
    ):
        token = staff_token(server)
        send(line, server, token, ct, tmp_path)
        browser = await launch(
            *SOFTWARE_GRAPHICS, executable=str(line.far.wrapper(tmp_path, CHROMIUM)), devices=False
        )
        page = await new_page(browser)
        link = f"{server.address}/read#{token}&s={ct.study}"
        # Once without a limit: the page's own code is in the browser's cache then.
        await page.goto(link)
        await until(page, GRADE, "sharp", timeout_s=60)
        await page.goto("about:blank")

        line.set(**THIN)
        await page.goto(link)
        await until(page, HAS_SOME, timeout_s=30)
        before = sorted(await asked(page), key=lambda each: float(each["endedMs"]))[:2]
        assert [each["path"] for each in before] == ["series", "frames/1"]
        assert sum(each["bytes"] for each in before) < FIRST_BYTES

        line.set(rate_bps=4_000_000)
        # Turns to the far end while the first ones come: that picture is there before those in between.
        await until(page, "() => Number(document.querySelector('[data-testid=reader]').dataset.total) > 1")
        await page.keyboard.press("End")
        await until(page, INDEX_IS, SLICES - 1)
        await until(page, HAS_SOME, timeout_s=10)
        assert not await page.evaluate(ALL_SMALL, SLICES)
        await until(page, ALL_SMALL, SLICES, timeout_s=60)
        many = [each for each in await asked(page) if each["path"] == "previews"]
        assert 2 <= len(many) <= 12
