"""A clock that is filmed: a satellite's devices show the time as bars, and the hub's page reads it off the picture."""

from __future__ import annotations

from playwright.async_api import Page

SHOW_CLOCK_JS = """
(() => {
  const devices = navigator.mediaDevices;
  const open = devices.getUserMedia.bind(devices);
  const film = () => {
    const canvas = Object.assign(document.createElement('canvas'), {width: 640, height: 480});
    const context = canvas.getContext('2d');
    const paint = () => {
      const now = Date.now();
      for (let bit = 0; bit < 16; bit++) {
        context.fillStyle = (now >> bit) & 1 ? 'white' : 'black';
        context.fillRect(bit * 40, 0, 40, 480);
      }
    };
    paint();
    setInterval(paint, 33);
    return canvas.captureStream(30).getVideoTracks()[0];
  };
  devices.getUserMedia = async (constraints) => {
    const stream = await open(constraints);
    for (const track of stream.getVideoTracks()) {
      const settings = track.getSettings();
      stream.removeTrack(track);
      const filmed = film();
      const own = filmed.getSettings.bind(filmed);
      filmed.getSettings = () => ({...own(), deviceId: settings.deviceId, width: 640, height: 480});
      stream.addTrack(filmed);
    }
    return stream;
  };
})();
"""
"""For `add_init_script`: all cameras of the page film the clock. Sixteen bars, the lowest bit of the ms at the left."""

READ_CLOCK_JS = """
async ([selector, seconds]) => {
  const video = document.querySelector(selector);
  const canvas = new OffscreenCanvas(16, 1);
  const context = canvas.getContext('2d', {willReadFrequently: true});
  context.imageSmoothingEnabled = false;
  const delays = [];
  let running = true;
  const read = () => {
    context.drawImage(video, 0, 0, 16, 1);
    const pixels = context.getImageData(0, 0, 16, 1).data;
    let shown = 0;
    for (let bit = 0; bit < 16; bit++) if (pixels[bit * 4] > 127) shown |= 1 << bit;
    delays.push((Date.now() - shown) & 0xffff);
    if (running) video.requestVideoFrameCallback(read);
  };
  video.requestVideoFrameCallback(read);
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  running = false;
  return delays;
}
"""


async def filmed_delay_ms(page: Page, selector: str, seconds: float = 3.0) -> float:
    """The median time from painting the clock to its picture being shown; both pages run on one machine's clock."""
    delays: list[int] = sorted(await page.evaluate(READ_CLOCK_JS, [selector, seconds]))
    assert len(delays) > seconds * 5, delays
    return float(delays[len(delays) // 2])
