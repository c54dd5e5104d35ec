"""Tracks of a real Chromium, through the real relay's tap, made to parts, and played by Chromium's Media Source."""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import statistics
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from playwright.async_api import Page, async_playwright

from bridge.media._native import TapPacket
from bridge.media.contract import Description, Mid, Source, TrackWish
from bridge.media.recording.parts import Part
from bridge.media.recording.track import TrackRecorder
from tests.media.recording.reading import assert_valid, decode, runs, whole
from tests.media.webrtc import running_engine

pytestmark = [pytest.mark.browser, pytest.mark.alone]

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
WISHES = [TrackWish(Mid("0"), Source.MICROPHONE), TrackWish(Mid("1"), Source.ULTRASOUND)]
RECORDED_S = 4.0
LAYERS = [
    {"rid": "l", "scaleResolutionDownBy": 4, "maxBitrate": 150_000},
    {"rid": "h", "maxBitrate": 1_500_000},
]
SYNC_US = 40_000

# A canvas that turns white, and a tone that sounds, at the same moments: 300 ms of each 900 ms.
PAGE = """
const pictures = document.createElement('canvas');
pictures.width = 640; pictures.height = 360;
const pen = pictures.getContext('2d');
const audio = new AudioContext({latencyHint: 0.01}), tone = audio.createOscillator(), loud = audio.createGain();
const sink = audio.createMediaStreamDestination();
tone.connect(loud); loud.connect(sink); loud.gain.value = 0; tone.start();
let count = 0;
setInterval(() => {
  const on = performance.now() % 900 < 300;
  loud.gain.value = on ? 0.8 : 0;
  pen.fillStyle = on ? '#fff' : '#000'; pen.fillRect(0, 0, 640, 360);
  pen.fillStyle = '#888'; pen.fillRect(count++ * 7 % 600, 150, 40, 40);
}, 33);

async function publish(codec, layers) {
  await audio.resume();
  const [video] = pictures.captureStream(30).getVideoTracks();
  video.contentHint = 'motion';
  window.publisher = new RTCPeerConnection({bundlePolicy: 'max-bundle'});
  publisher.addTransceiver(sink.stream.getAudioTracks()[0], {direction: 'sendonly'});
  const sending = publisher.addTransceiver(video, {direction: 'sendonly', sendEncodings: layers});
  const codecs = RTCRtpSender.getCapabilities('video').codecs;
  const wanted = codecs.filter(each => each.mimeType.toLowerCase() === 'video/' + codec);
  if (!wanted.length) throw new Error('Chromium does not send ' + codec);
  sending.setCodecPreferences([...wanted, ...codecs.filter(each => /rtx/.test(each.mimeType))]);
  await publisher.setLocalDescription();
  return publisher.localDescription.sdp;
}
const answered = sdp => publisher.setRemoteDescription({type: 'answer', sdp});
async function framesSent() {
  for (const report of (await publisher.getStats()).values())
    if (report.type === 'outbound-rtp' && report.kind === 'video') return report.framesSent;
}

const bytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
const event = (target, name) => new Promise((done, failed) => {
  target.addEventListener(name, done, {once: true});
  target.addEventListener('error', () => failed(new Error('playing failed')), {once: true});
});
// Tracks: [{type, pieces}]. Appends all, plays to the end, and tells what was buffered and shown.
async function play(tracks, start, seek) {
  const source = new MediaSource(), screen = document.createElement('video');
  screen.muted = true;
  document.body.append(screen);
  screen.src = URL.createObjectURL(source);
  await event(source, 'sourceopen');
  const buffered = [], buffers = tracks.map(({type}) => {
    if (!MediaSource.isTypeSupported(type)) throw new Error(type + ' is not supported');
    return source.addSourceBuffer(type);
  });
  for (const [number, {pieces}] of tracks.entries()) {
    const buffer = buffers[number];
    for (const piece of pieces) {
      const appended = event(buffer, 'updateend');
      buffer.appendBuffer(bytes(piece));
      await appended;
    }
    const ranges = [];
    for (let i = 0; i < buffer.buffered.length; i++) ranges.push([buffer.buffered.start(i), buffer.buffered.end(i)]);
    buffered.push(ranges);
  }
  source.endOfStream();
  screen.currentTime = start;
  await event(screen, 'seeked');
  screen.playbackRate = 4;
  const ended = event(screen, 'ended');
  await screen.play();
  await ended;
  const quality = screen.getVideoPlaybackQuality();
  const frames = quality.totalVideoFrames;
  screen.currentTime = seek;
  await event(screen, 'seeked');
  return {buffered, frames, width: screen.videoWidth, at: screen.currentTime};
}
"""


@dataclass
class Tapped:
    batches: list[list[TapPacket]] = field(default_factory=list)

    def parts(self, origin_us: int) -> list[Part]:
        recorder = TrackRecorder(origin_us, lambda: None)
        parts = [part for batch in self.batches for part in recorder.push(batch)]
        return [*parts, *recorder.flush(self.batches[-1][-1].arrived_us)]


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        page = await browser.new_page()
        await page.add_script_tag(content=PAGE)
        yield page
        await browser.close()


async def record(
    page: Page, codec: str, layers: Sequence[Mapping[str, object]] = ({},)
) -> tuple[list[Part], list[Part], int]:
    """Sound and picture as parts, and how many pictures Chromium says it sent."""
    sound, picture = Tapped(), Tapped()
    origin_us = time.monotonic_ns() // 1_000
    async with running_engine() as (engine, _):
        peer = await engine.open_publisher()
        offer = Description(
            await page.evaluate("([codec, layers]) => publish(codec, layers)", [codec, layers])
        )
        answer = await engine.publish(peer, offer, WISHES)
        done = asyncio.Event()

        def pictures(event: object) -> None:
            picture.batches.append(event.packets)  # type: ignore[attr-defined]
            first, last = picture.batches[0][0], picture.batches[-1][-1]
            if last.arrived_us - first.arrived_us > RECORDED_S * 1_000_000:
                done.set()

        tracks = {track.source: track.track for track in answer.tracks}
        engine.set_tap(tracks[Source.MICROPHONE], lambda event: sound.batches.append(event.packets))
        engine.set_tap(tracks[Source.ULTRASOUND], pictures)
        await page.evaluate("sdp => answered(sdp)", answer.answer)
        await asyncio.wait_for(done.wait(), 30)
        await page.evaluate("publisher.getSenders()[1].replaceTrack(null)")
        sent = -1
        while sent != (sent := await page.evaluate("framesSent()")):
            await page.wait_for_timeout(200)
    return sound.parts(origin_us), picture.parts(origin_us), sent


def pieces(parts: list[Part]) -> list[str]:
    data = [piece for run in runs(parts) for piece in (run[0].init.data, *(part.data for part in run))]
    return [base64.b64encode(piece).decode() for piece in data]


@pytest.mark.parametrize("codec", ["vp8", "h264", "vp9", "av1"])
async def test_a_recorded_track_is_whole_and_plays_in_the_browser(page: Page, codec: str) -> None:
    sound, picture, sent = await record(page, codec)
    assert_valid(picture)
    assert_valid(sound)
    assert picture[0].keyframe
    assert sum(len(part.frames) for part in picture) == sent
    assert not [gap for part in picture for gap in part.gaps if gap.reason == "loss"]
    assert sum(len(decode(whole(run))) for run in runs(picture)) == sent
    spans = [parts[-1].start_us + parts[-1].duration_us - parts[0].start_us for parts in (picture, sound)]
    assert abs(spans[0] / 1_000_000 - RECORDED_S) < 0.5

    start_s = max(picture[0].start_us, sound[0].start_us) / 1_000_000
    tracks = [{"type": parts[0].init.media_type, "pieces": pieces(parts)} for parts in (picture, sound)]
    seen = await page.evaluate(
        "([tracks, start, seek]) => play(tracks, start, seek)", [tracks, start_s, start_s + 1.7]
    )
    assert abs(seen["at"] - start_s - 1.7) < 0.001
    assert seen["width"] == picture[-1].init.configuration.width
    assert [len(ranges) for ranges in seen["buffered"]] == [1, 1]
    for ranges, span_us in zip(seen["buffered"], spans, strict=True):
        assert abs((ranges[0][1] - ranges[0][0]) - span_us / 1_000_000) < 0.1
    assert seen["frames"] > 0.9 * sent - 30

    apart = onsets_apart_us(picture, sound)
    assert abs(statistics.median(apart)) < SYNC_US


async def test_of_simulcast_layers_the_highest_that_flows_is_kept(page: Page) -> None:
    _, picture, _ = await record(page, "vp8", LAYERS)
    assert_valid(picture)
    assert picture[-1].init.configuration.width == 640
    changes = [now for before, now in itertools.pairwise(picture) if now.layer != before.layer]
    assert all(part.keyframe for part in changes)
    assert sorted(part.layer for part in changes) == [part.layer for part in changes]
    marks = [mark for part in picture for mark in part.frames]
    assert max(later.start_us - earlier.start_us for earlier, later in itertools.pairwise(marks)) < 500_000


def onsets_apart_us(picture: list[Part], sound: list[Part]) -> list[float]:
    """How much later than its tone each flash comes."""
    flashes: list[float] = []
    bright = True
    for run in runs(picture):
        for frame in decode(whole(run)):
            was, bright = bright, float(frame.to_ndarray(format="gray")[:100].mean()) > 128
            if bright and not was:
                flashes.append(frame.time * 1_000_000)
    tones: list[float] = []
    quiet_us = 0.0
    for frame in decode(whole(sound)):
        level = np.abs(frame.to_ndarray()).max(axis=0)
        for block in range(0, frame.samples, 96):
            at = frame.time * 1_000_000 + block * 1_000_000 / 48_000
            if level[block : block + 96].max() < 0.02:
                quiet_us += 2_000
            else:
                if quiet_us > 200_000:
                    tones.append(at)
                quiet_us = 0.0
    assert len(flashes) >= 3
    return [min((flash - tone for tone in tones), key=abs) for flash in flashes]
