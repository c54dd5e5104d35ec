"""Recordings as MP4: what is encoded anew, and what is copied; everybody is heard in its first sound track."""

from __future__ import annotations

import io
import itertools
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from aiortc.codecs import get_encoder
from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from bridge.recordings.export import Format
from bridge.vault import Vault
from tests.media.recording.sending import FRAME_US, START_US, Sent, sound, video
from tests.recordings.exporting import (
    LANES,
    MS_US,
    exported,
    gray,
    opened,
    packets_of,
    probed,
    recorded_starts,
)
from tests.recordings.making import CLINIC, HUB, HUB_NAME, Track, make_recording


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path)


@pytest.mark.parametrize("whole", [True, False])
def test_mp4_encodes_vp8_anew_and_copies_the_rest(vault: Vault, tmp_path: Path, whole: bool) -> None:
    made = make_recording(vault)
    content, report = exported(opened(vault, made), Format.MP4, whole=whole)
    told = probed(content, tmp_path / "film.mp4")
    assert [stream["codec_name"] for stream in told["streams"][:5]] == ["h264", "h264", "aac", "opus", "opus"]
    assert abs(float(told["format"]["duration"]) - 8.0) < 0.1
    assert report.remarks == [
        f"{HUB_NAME}: camera was VP8; MP4 has it encoded anew as H.264 of 320x240.",
        "The first sound track has everybody together; the ones after it have each alone.",
    ]
    packets = packets_of(content)
    del packets[2]
    recorder_packets = packets_of(exported(opened(vault, made), Format.MKV)[0])
    assert [data for _, data in packets[0]] == [data for _, data in recorder_packets[0]]
    for number, lane in zip((0, 1, 3), LANES[:3], strict=True):
        starts = recorded_starts(made.of(*lane))
        times = [at_us for at_us, _ in packets[number]]
        assert len(times) == len(starts)
        assert max(abs(at - was) for at, was in zip(times, starts, strict=True)) <= MS_US
    # Players that count packets of sound stay in step through the three seconds of silence.
    heard = [at_us for at_us, _ in packets[4]]
    assert len(heard) == 400
    assert all(later - earlier == 20_000 for earlier, later in itertools.pairwise(heard))


def test_pictures_encoded_anew_look_like_those_that_were_sent(vault: Vault) -> None:
    made = make_recording(vault, tracks=[Track(HUB, "camera", "video", video("vp8", 60))])
    sent = gray(exported(opened(vault, made), Format.MKV)[0])
    shown = gray(exported(opened(vault, made), Format.MP4)[0])
    errors = [float(np.mean((one - other) ** 2)) for one, other in zip(sent, shown, strict=True)]
    assert 10 * np.log10(255**2 / max(errors)) > 32


def flashes() -> list[Sent]:
    """White for a tenth of every second, black otherwise, as VP8."""
    context = av.CodecContext.create("libvpx", "w")
    context.width, context.height, context.pix_fmt = 160, 120, "yuv420p"
    context.time_base, context.gop_size = Fraction(1, 30), 30
    context.options = {"deadline": "realtime", "cpu-used": "16"}
    encoded = []
    for number in range(180):
        image = np.full((120, 160, 3), 235 if number % 30 < 3 else 16, np.uint8)
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = number, context.time_base
        encoded += context.encode(frame)
    encoded += context.encode(None)
    pack = get_encoder(RTCRtpCodecParameters(mimeType="video/VP8", clockRate=90_000, payloadType=96)).pack
    sent: list[Sent] = []
    for number, picture in enumerate(encoded):
        payloads, _ = pack(picture)
        for place, payload in enumerate(payloads):
            at_us, last = START_US + number * FRAME_US, place == len(payloads) - 1
            start = place == 0 and bool(picture.is_keyframe)
            sent.append(Sent(0, "vp8", at_us, len(sent), number * 3_000, last, start, payload))
    return sent


def tones() -> list[Sent]:
    """A tone for a tenth of every second, as Opus."""
    context = av.CodecContext.create("libopus", "w")
    context.sample_rate, context.layout, context.format = 48_000, "stereo", "s16"
    context.options = {"application": "lowdelay", "frame_duration": "20"}
    encoded: list[av.Packet] = []
    for number in range(300):
        moments = (np.arange(960) + number * 960) / 48_000
        loud = 12_000 if number % 50 < 5 else 0
        wave = (np.sin(moments * 440 * 2 * np.pi) * loud).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(np.repeat(wave, 2)[None], format="s16", layout="stereo")
        frame.sample_rate, frame.pts = 48_000, number * 960
        encoded += context.encode(frame)
    return [
        Sent(
            0,
            "opus",
            START_US + (number + 1) * 20_000,
            number,
            number * 960,
            number == 0,
            False,
            bytes(packet),
        )
        for number, packet in enumerate(encoded[:300])
    ]


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("format", [Format.MKV, Format.MP4])
def test_flashes_and_tones_lie_together(vault: Vault, format: Format, whole: bool) -> None:
    tracks = [Track(HUB, "camera", "video", flashes()), Track(HUB, "microphone", "audio", tones())]
    reader = opened(vault, make_recording(vault, tracks=tracks))
    content, _ = exported(reader, format, whole=whole, begin_ms=1_500)
    seen: list[float] = []
    with av.open(io.BytesIO(content)) as film:
        bright = True
        for picture in film.decode(video=0):
            was, bright = bright, float(picture.to_ndarray(format="gray").mean()) > 128
            if bright and not was:
                seen.append(picture.time)
    heard: list[float] = []
    with av.open(io.BytesIO(content)) as film:
        quiet_s = 0.0
        for sound_frame in film.decode(audio=0):
            levels = np.abs(sound_frame.to_ndarray()).max(axis=0)
            for block in range(0, sound_frame.samples, 96):
                quiet_s += 0.002
                if levels[block : block + 96].max() > 0.1:
                    if quiet_s > 0.3:
                        heard.append(sound_frame.time + block / 48_000)
                    quiet_s = 0.0
    assert len(seen) == 4
    assert max(min(abs(flash - tone) for tone in heard) for flash in seen) < 0.04


def test_sound_that_cannot_be_decoded_is_counted(vault: Vault) -> None:
    spoken = sound(100)
    # Padding of a length that goes on behind the end (RFC 6716 section 3.2.5).
    broken = [
        replace(each, payload=b"\xff\x41\xff") if 40 <= at < 50 else each for at, each in enumerate(spoken)
    ]
    tracks = [Track(HUB, "microphone", "audio", spoken), Track(CLINIC, "microphone", "audio", broken)]
    _, report = exported(opened(vault, make_recording(vault, tracks=tracks)), Format.MP4)
    assert report.losses.frames == 10


@pytest.mark.parametrize("whole", [True, False])
def test_in_mp4_everybody_is_heard_in_the_first_sound_track(vault: Vault, whole: bool) -> None:
    """One speaks for two seconds, another after four: whoever opens the file hears both, at their times."""
    tracks = [
        Track(HUB, "microphone", "audio", sound(100)),
        Track(CLINIC, "microphone", "audio", sound(100, from_us=START_US + 4_000_000)),
    ]
    content, report = exported(opened(vault, make_recording(vault, tracks=tracks)), Format.MP4, whole=whole)
    assert report.tracks == 3
    with av.open(io.BytesIO(content)) as film:
        assert film.streams.audio[0].disposition & film.streams.audio[0].disposition.default
        loud = {}
        for frame in film.decode(audio=0):
            loud[round(frame.time, 2)] = float(np.abs(frame.to_ndarray()).max())
    for at_s, level in loud.items():
        if 0.1 < at_s < 1.9 or 4.1 < at_s < 5.9:
            assert level > 0.15
        if 2.1 < at_s < 3.9:
            assert level < 0.01
    began = min(at_s for at_s, level in loud.items() if at_s > 2.5 and level > 0.02)
    assert began == pytest.approx(4.0, abs=0.03)
    assert max(loud) == pytest.approx(6.0, abs=0.1)
