"""What who opens a CT in the browser on a thin line waits for: its first picture, and a preview of every slice.

A real server stands at one end of a line between two network namespaces (needs root), Chromium at the other. The CT
has 300 slices of 512 by 512 with noise as a scanner's. The page lists the studies and has opened another one before,
so that its code is in the browser's cache; the CT is opened by a press, several times at each delay. What counts is
the time from the press until the picture is drawn, and until all slices have one. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Error, Page, async_playwright
from pydicom.uid import generate_uid

from benchmarks.previews import SLICES, making_ms, send, until_made
from tests.e2e.conftest import CHROMIUM, QUIET, new_page
from tests.e2e.looking import until
from tests.imaging.corpus import ct_slice
from tests.netns.hosts import NEAR_ADDRESS, Line, two_hosts
from tests.serving import Server, running_server

THIN_BPS, WIDE_BPS = 512_000, 2_000_000
QUEUE_MS = 300
FIRST_RTT_MS = (0, 100)
ALL_RTT_MS = (0, 300)
OPENINGS = 3
RELOADS = 3
ADDRESSES = itertools.cycle(("10.77.0.3", "10.77.0.2"))
FIRST_PATIENCE_S, ALL_PATIENCE_S = 30.0, 90.0

WATCH_JS = """
() => {
  const seen = { pressed: 0, first: 0, all: 0, sharp: 0 };
  window.openingSeen = seen;
  addEventListener('click', () => {
    Object.assign(seen, { pressed: performance.now(), first: 0, all: 0, sharp: 0 });
    performance.clearResourceTimings();
  }, true);
  // The second frame after a change has it on the screen.
  const note = (name) => {
    if (seen[name] !== 0) return;
    seen[name] = -1;
    requestAnimationFrame(() => requestAnimationFrame(() => (seen[name] = performance.now())));
  };
  new MutationObserver(() => {
    const grade = document.querySelector('[data-testid=reader-stack]')?.dataset.grade ?? 'none';
    if (grade !== 'none') note('first');
    if (grade === 'sharp') note('sharp');
    const { preview, total } = document.querySelector('[data-testid=reader]')?.dataset ?? {};
    if (Number(total) >= SLICES && preview === total) note('all');
  }).observe(document, { subtree: true, childList: true, attributes: true });
}
""".replace("SLICES", str(SLICES))
HAS = "(name) => window.openingSeen[name] > 0"
TOOK_S = "(name) => (window.openingSeen[name] - window.openingSeen.pressed) / 1000"
ASKED = """
() => performance.getEntriesByType('resource').slice(0, 40).map((each) => [
  Math.round(each.startTime - window.openingSeen.pressed),
  Math.round(each.responseEnd - window.openingSeen.pressed),
  each.transferSize,
  new URL(each.name).pathname.replace(/[0-9.]{20,}/g, 'UID'),
])
"""


def write_ct(folder: Path, study: str, slices: int) -> None:
    """As a scanner tells of its slices: each has its own place, times and current."""
    series = generate_uid()
    for number in range(slices):
        content = ct_slice(
            number,
            study,
            series,
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            ImagePositionPatient=[-179.5, -179.5, round(312.25 - 1.25 * number, 2)],
            SliceLocation=round(312.25 - 1.25 * number, 2),
            FrameOfReferenceUID=study,
            AcquisitionTime=f"0930{number // 60:02}.{number * 7919 % 1_000_000:06}",
            ContentTime=f"0931{number // 60:02}.{number * 104_729 % 1_000_000:06}",
            XRayTubeCurrent=180 + number * 37 % 90,
            Exposure=60 + number * 13 % 40,
            WindowCenter=500,
            WindowWidth=1500,
        )
        (folder / f"{study[-8:]}-{number:04}.dcm").write_bytes(content)


async def opens(page: Page, study: str) -> None:
    await page.locator(f'[data-testid=study][data-study="{study}"] [data-testid=open-study]').click()


async def goes_back(page: Page) -> None:
    await page.get_by_test_id("all-studies").click()
    await page.get_by_test_id("studies").wait_for()


async def listed(browser: Browser, link: str, warm: str) -> Page:
    """The page with the list, after another study was read."""
    page = await new_page(browser)
    await page.add_init_script(f"({WATCH_JS})()")
    await page.goto(link)
    await opens(page, warm)
    await until(page, HAS, "sharp", timeout_s=FIRST_PATIENCE_S)
    await goes_back(page)
    return page


async def reload(page: Page) -> None:
    """A browser that just saw its network change may give a page up; the next try is on the new one."""
    for _ in range(RELOADS - 1):
        with contextlib.suppress(Error):
            await page.reload()
            return
    await page.reload()


async def took_s(page: Page, line: Line, study: str, what: str, tells: bool, **setting: Any) -> float:
    """Opens the study over such a line and leaves it again."""
    line.set(queue_ms=QUEUE_MS, **setting)
    # What a connection learnt of another line would count here; a browser whose address changes opens new ones.
    line.far.move_to(next(ADDRESSES))
    await reload(page)
    await page.get_by_test_id("studies").wait_for()
    await opens(page, study)
    patience_s = FIRST_PATIENCE_S if what == "first" else ALL_PATIENCE_S
    await until(page, HAS, what, timeout_s=patience_s)
    seconds = float(await page.evaluate(TOOK_S, what))
    if tells:
        for began, ended, size_bytes, path in await page.evaluate(ASKED):
            print(f"    {began:6} to {ended:6} ms {size_bytes:8} bytes {path}")
    line.set(rate_bps=0, delay_ms=0)
    await goes_back(page)
    return seconds


async def look(
    line: Line, server: Server, studies: tuple[str, str], folder: Path, tells: bool
) -> dict[str, float]:
    study, warm = studies
    token = server.command("staff", "link").strip().rpartition("#")[2]
    figures: dict[str, float] = {}
    async with async_playwright() as playwright:
        executable = str(line.far.wrapper(folder, CHROMIUM))
        graphics = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
        browser = await playwright.chromium.launch(executable_path=executable, args=[*QUIET, *graphics])
        try:
            page = await listed(browser, f"{server.address}/read#{token}", warm)
            for rtt_ms in FIRST_RTT_MS:
                line_is = {"rate_bps": THIN_BPS, "delay_ms": rtt_ms / 2}
                took = [await took_s(page, line, study, "first", tells, **line_is) for _ in range(OPENINGS)]
                figures[f"first_512k_rtt{rtt_ms}_s"] = round(statistics.median(took), 2)
                print(f"at {THIN_BPS} bit/s, {rtt_ms} ms to and fro: first picture {sorted(took)} s")
            for rtt_ms in ALL_RTT_MS:
                line_is = {"rate_bps": WIDE_BPS, "delay_ms": rtt_ms / 2}
                all_s = await took_s(page, line, study, "all", tells, **line_is)
                figures[f"previews_{SLICES}_2m_rtt{rtt_ms}_s"] = round(all_s, 1)
                print(f"at {WIDE_BPS} bit/s, {rtt_ms} ms to and fro: {SLICES} previews {all_s:.1f} s")
        finally:
            await browser.close()
    return figures


def run(tells: bool) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as made, tempfile.TemporaryDirectory() as place:
        files, data = Path(made), Path(place) / "data"
        study, warm = generate_uid(), generate_uid()
        write_ct(files, study, SLICES)
        write_ct(files, warm, 1)
        _, _, whole_bytes = making_ms(files)
        with (
            two_hosts() as line,
            running_server(data, host=NEAR_ADDRESS, prefix=line.near.command()) as server,
        ):
            token = server.command("staff", "link").strip().rpartition("#")[2]
            send(line, server, token, files)
            until_made(data, SLICES * whole_bytes)
            return asyncio.run(look(line, server, (study, warm), Path(place), tells))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tell", action="store_true", help="what was asked for, too")
    print(json.dumps(run(parser.parse_args().tell)))
