"""What a test sees and hears in a page: pictures that move, their size, sound that has energy."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from playwright.async_api import Error, Page

FRAMES_JS = """
async ([selector, seconds]) => {
  const video = document.querySelector(selector);
  if (!video) return null;
  const canvas = new OffscreenCanvas(64, 48);
  const context = canvas.getContext('2d', {willReadFrequently: true});
  const look = () => { context.drawImage(video, 0, 0, 64, 48); return context.getImageData(0, 0, 64, 48).data; };
  const times = [];
  let running = true;
  const note = (now) => { times.push(now); if (running) video.requestVideoFrameCallback(note); };
  video.requestVideoFrameCallback(note);
  let changed = 0, light = 0, before = look();
  const steps = Math.max(2, Math.round(seconds * 5));
  for (let i = 0; i < steps; i++) {
    await new Promise((resolve) => setTimeout(resolve, 200));
    const after = look();
    let difference = 0; light = 0;
    for (let j = 0; j < after.length; j += 4) { difference += Math.abs(after[j] - before[j]); light += after[j]; }
    if (difference > 64) changed++;
    before = after;
  }
  running = false;
  let gap = 0;
  for (let i = 1; i < times.length; i++) gap = Math.max(gap, times[i] - times[i - 1]);
  if (times.length) gap = Math.max(gap, performance.now() - times[times.length - 1]);
  return {width: video.videoWidth, height: video.videoHeight, frames: times.length, changed, steps,
          light: light / (64 * 48), longestGapMs: gap};
}
"""

HAS_SIZE = """
([selector, width, height]) => {
  const video = document.querySelector(selector);
  return video?.videoWidth === width && video?.videoHeight === height;
}
"""

NEW_FRAME = """
async (selector) => {
  const video = document.querySelector(selector);
  if (!video || !video.srcObject || !video.srcObject.active) return false;
  return await new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), 500);
    video.requestVideoFrameCallback(() => { clearTimeout(timer); resolve(true); });
  });
}
"""
"""True once a picture is shown that came after the call."""

SOUND_JS = """
async (seconds) => {
  const context = new AudioContext();
  await context.resume();
  const analysers = [];
  for (const element of document.querySelectorAll('audio, video')) {
    const stream = element.srcObject;
    if (element.muted || !stream || !stream.getAudioTracks().length) continue;
    const analyser = context.createAnalyser();
    context.createMediaStreamSource(stream).connect(analyser);
    analysers.push(analyser);
  }
  const samples = new Float32Array(2048);
  const loud = [];
  for (let i = 0; i < seconds * 20; i++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    let now = 0;
    for (const analyser of analysers) {
      analyser.getFloatTimeDomainData(samples);
      now = Math.max(now, Math.sqrt(samples.reduce((sum, value) => sum + value * value, 0) / samples.length));
    }
    loud.push(now);
  }
  await context.close();
  return {streams: analysers.length, loudest: Math.max(0, ...loud), loud};
}
"""


@dataclass(frozen=True)
class Seen:
    """What a video element showed. `longest_gap_ms`: the longest time without a new frame."""

    width: int
    height: int
    frames: int
    changed: int
    steps: int
    light: float
    longest_gap_ms: float


FOCUSED_JS = "() => document.activeElement?.outerHTML.slice(0, 200)"


async def _holds(page: Page, true: str, argument: object) -> bool:
    """A page that is being loaded anew at this moment holds nothing yet."""
    try:
        return bool(await page.evaluate(true, argument))
    except Error as error:
        if "Execution context was destroyed" not in error.message:
            raise
        return False


async def until(page: Page, true: str, argument: object = None, timeout_s: float = 15.0) -> None:
    """Waits until a function of the page is true. Playwright's own waiting needs `eval`, which the page forbids."""
    deadline_s = time.monotonic() + timeout_s
    while not await _holds(page, true, argument):
        if time.monotonic() >= deadline_s:
            focused = await page.evaluate(FOCUSED_JS)
            raise AssertionError(f"not within {timeout_s} s: {true} {argument}; the focus is on {focused}")
        await page.wait_for_timeout(50)


async def watch(page: Page, selector: str, seconds: float = 2.0) -> Seen:
    """Looks at a video for some seconds."""
    seen: dict[str, Any] | None = await page.evaluate(FRAMES_JS, [selector, seconds])
    assert seen is not None, f"no {selector} on the page"
    return Seen(
        seen["width"],
        seen["height"],
        seen["frames"],
        seen["changed"],
        seen["steps"],
        seen["light"],
        seen["longestGapMs"],
    )


async def moves(page: Page, selector: str, seconds: float = 2.0) -> Seen:
    """The picture is there, is not black and changes."""
    await until(page, "selector => (document.querySelector(selector)?.videoWidth ?? 0) > 0", selector)
    seen = await watch(page, selector, seconds)
    assert seen.frames > seconds * 5, seen
    assert seen.changed >= seen.steps // 3, seen
    assert seen.light > 2, seen
    return seen


async def loudness(page: Page, seconds: float = 4.0) -> float:
    """The loudest moment (root mean square, 0 to 1) of what the page plays."""
    heard = await page.evaluate(SOUND_JS, seconds)
    return float(heard["loudest"])


SILENT, HEARD = 0.002, 0.01


async def falls_silent(page: Page) -> None:
    """Within some seconds nothing is heard any more: what had come before is played to its end first."""
    for _ in range(5):
        if await loudness(page, 3) < SILENT:
            return
    raise AssertionError("the page still plays sound")


async def is_heard(page: Page) -> None:
    """Within some seconds there is sound."""
    for _ in range(5):
        if await loudness(page, 3) > HEARD:
            return
    raise AssertionError("the page plays no sound")


def picture(source: str, participant: str | None = None) -> str:
    """The selector of a received or own picture."""
    whose = f'[data-participant="{participant}"]' if participant else ""
    return f'video[data-source="{source}"]{whose}'


async def stands_still(page: Page, selector: str) -> None:
    """Within some seconds no new picture comes any more: the video is gone, or shows no frames."""
    for _ in range(10):
        if await page.locator(selector).count() == 0:
            return
        if (await watch(page, selector, 1)).frames == 0:
            return
    raise AssertionError(f"{selector} still shows new pictures")
