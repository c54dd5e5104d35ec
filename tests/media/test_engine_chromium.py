"""A real Chromium publishes simulcast through the engine and receives it again: what only a browser can show."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, async_playwright

from bridge.media import subscribing
from bridge.media._native import TapPacket
from bridge.media.contract import (
    Description,
    Levels,
    Mid,
    PeerId,
    Picture,
    Source,
    Subscription,
    TrackId,
    TrackWish,
)
from bridge.media.engine import Engine
from tests.media.webrtc import News, running_engine

pytestmark = pytest.mark.browser

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
WISHES = [TrackWish(Mid("0"), Source.MICROPHONE), TrackWish(Mid("1"), Source.ULTRASOUND)]

# A canvas stands for the ultrasound machine: grey speckle that moves, 1280 x 720 at 30 frames a second.
PAGE = """
const pictures = document.createElement('canvas');
pictures.width = 1280; pictures.height = 720;
const pen = pictures.getContext('2d');
setInterval(() => {
  pen.fillStyle = '#222'; pen.fillRect(0, 0, 1280, 720);
  for (let i = 0; i < 60; i++) {
    pen.fillStyle = '#' + 'abcdef'[i % 6].repeat(3);
    pen.fillRect((performance.now() / 4 + i * 97) % 1280, i * 12, 40, 10);
  }
}, 33);

async function publish() {
  const audio = new AudioContext(), tone = audio.createOscillator(), sink = audio.createMediaStreamDestination();
  const loud = audio.createGain();
  tone.connect(loud); loud.connect(sink); tone.start();
  window.speak = level => { loud.gain.value = level; };
  const [video] = pictures.captureStream(30).getVideoTracks();
  video.contentHint = 'motion';
  window.publisher = new RTCPeerConnection({bundlePolicy: 'max-bundle'});
  publisher.addTransceiver(sink.stream.getAudioTracks()[0], {direction: 'sendonly'});
  publisher.addTransceiver(video, {direction: 'sendonly', sendEncodings: [
    {rid: 'l', scaleResolutionDownBy: 4, maxBitrate: 200000}, {rid: 'h', maxBitrate: 6000000}]});
  return offer({});
}
async function offer(options) {
  await publisher.setLocalDescription(await publisher.createOffer(options));
  return publisher.localDescription.sdp;
}
const answered = sdp => publisher.setRemoteDescription({type: 'answer', sdp});

const subscriber = new RTCPeerConnection({bundlePolicy: 'max-bundle'});
const screens = {};
subscriber.ontrack = event => {
  const element = document.createElement(event.track.kind);
  element.autoplay = true; element.muted = true;
  element.srcObject = new MediaStream([event.track]);
  document.body.append(element);
  screens[event.transceiver.mid] = element;
};
async function answer(sdp) {
  await subscriber.setRemoteDescription({type: 'offer', sdp});
  await subscriber.setLocalDescription(await subscriber.createAnswer());
  return subscriber.localDescription.sdp;
}
// What is really shown, not what is decoded.
function shown(mid) {
  const screen = screens[mid];
  return screen ? [screen.videoWidth, screen.getVideoPlaybackQuality().totalVideoFrames] : [0, 0];
}
async function soundLost() {
  for (const report of (await subscriber.getStats()).values())
    if (report.type === 'inbound-rtp' && report.kind === 'audio') return report.packetsLost;
  return null;
}
async function heard() {
  for (const report of (await subscriber.getStats()).values())
    if (report.type === 'inbound-rtp' && report.kind === 'audio') return report.totalAudioEnergy;
  return 0;
}
"""


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        page = await browser.new_page()
        await page.add_script_tag(content=PAGE)
        yield page
        await browser.close()


async def publish(engine: Engine, page: Page) -> dict[Source, TrackId]:
    peer = await engine.open_publisher()
    answer = await engine.publish(peer, Description(await page.evaluate("publish()")), WISHES)
    await page.evaluate("sdp => answered(sdp)", answer.answer)
    ultrasound = next(track for track in answer.tracks if track.source is Source.ULTRASOUND)
    assert ultrasound.layers == ("l", "h")
    return {track.source: track.track for track in answer.tracks}


async def shows(page: Page, mid: str, width: int) -> None:
    """Waits until the section shows pictures of this width, and then half a second more of them."""
    await page.wait_for_function(
        "([mid, width]) => shown(mid)[0] === width", arg=[mid, width], timeout=20_000
    )
    _, count = await page.evaluate("mid => shown(mid)", mid)
    await page.wait_for_function(
        "([mid, more]) => shown(mid)[1] >= more", arg=[mid, count + 15], timeout=20_000
    )


@pytest.mark.parametrize("before_reuse", [1, 24], ids=["section used again", "new section"])
async def test_layers_sections_and_restarts_in_chromium(
    page: Page, monkeypatch: pytest.MonkeyPatch, before_reuse: int
) -> None:
    monkeypatch.setattr(subscribing, "SLOTS_BEFORE_REUSE", before_reuse)
    async with running_engine() as (engine, news):
        tracks = await publish(engine, page)
        sound, picture = Subscription(tracks[Source.MICROPHONE]), Subscription(tracks[Source.ULTRASOUND])
        receiver = await engine.open_subscriber()
        answering = asyncio.create_task(answer_all(engine, news, page, receiver))

        engine.subscribe(receiver, [picture, sound])
        await shows(page, "0", 1280)
        await page.wait_for_function("async () => await heard() > 0", timeout=20_000)

        engine.subscribe(receiver, [Subscription(picture.track, max_height=180), sound])
        await shows(page, "0", 320)
        await news.wait(Picture, lambda event: event.layer == "l" and not event.limited)

        engine.subscribe(receiver, [sound])
        await page.wait_for_function("subscriber.getTransceivers()[0].currentDirection === 'inactive'")
        engine.subscribe(receiver, [picture, sound])
        await shows(page, "0" if before_reuse == 1 else "2", 1280)

        engine.restart_subscriber(receiver)
        offer = Description(await page.evaluate("offer({iceRestart: true})"))
        publisher = next(
            event.peer for event in news.seen if hasattr(event, "peer") and event.peer != receiver
        )
        restarted = await engine.publish(publisher, offer, WISHES)
        assert {track.track for track in restarted.tracks} == set(tracks.values())
        await page.evaluate("sdp => answered(sdp)", restarted.answer)
        await shows(page, "0" if before_reuse == 1 else "2", 1280)

        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)
        stats = engine.stats()
        assert stats is not None
        assert (stats.relay.panics, stats.relay.events_dropped) == (0, 0)


async def test_an_open_microphone_in_a_silent_room_sends_hardly_anything_and_speaks_at_once(
    page: Page,
) -> None:
    async with running_engine() as (engine, news):
        tracks = await publish(engine, page)
        microphone = tracks[Source.MICROPHONE]
        receiver = await engine.open_subscriber()
        answering = asyncio.create_task(answer_all(engine, news, page, receiver))
        engine.subscribe(receiver, [Subscription(microphone)])
        packets: asyncio.Queue[TapPacket] = asyncio.Queue()
        engine.set_tap(microphone, lambda event: [packets.put_nowait(one) for one in event.packets] and None)
        await page.wait_for_function("async () => await heard() > 0", timeout=20_000)
        assert await sound_of(packets, 48_000) == 50

        await page.evaluate("speak(0)")
        await news.wait(Levels, lambda event: dict(event.levels)[microphone] < -100)
        # By the stream's own clock: four seconds, of which each would have fifty packets.
        assert await sound_of(packets, 4 * 48_000) < 60
        before = await page.evaluate("heard()")
        await page.evaluate("speak(1)")
        await news.wait(Levels, lambda event: dict(event.levels)[microphone] > -50)
        await page.wait_for_function("async before => await heard() > before", arg=before, timeout=20_000)
        assert await page.evaluate("soundLost()") == 0

        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)


async def sound_of(packets: asyncio.Queue[TapPacket], ticks: int) -> int:
    """How many packets tell the sound of so many ticks, none of which was lost."""
    while not packets.empty():
        packets.get_nowait()
    first = last = await asyncio.wait_for(packets.get(), 10)
    count = 0
    while last.timestamp - first.timestamp & 0xFFFF_FFFF < ticks:
        following = await asyncio.wait_for(packets.get(), 10)
        assert following.sequence == last.sequence + 1
        last, count = following, count + 1
    return count


async def answer_all(engine: Engine, news: News, page: Page, receiver: PeerId) -> None:
    while True:
        offer = await news.offers_of(receiver).get()
        answer = await page.evaluate("sdp => answer(sdp)", offer.offer)
        await engine.answer(offer.peer, offer.negotiation, Description(answer))
