"""A publisher on a virtual clock: pictures encoded by FFmpeg, put into packets by aiortc, and what the line does."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import av
import numpy as np
from aiortc.codecs import get_encoder
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from av.video.frame import PictureType

from bridge.media.recording.samples import Codec

ENCODERS = {"vp8": "libvpx", "h264": "libx264"}
OPTIONS = {
    "libvpx": {"deadline": "realtime", "cpu-used": "16"},
    "libx264": {"preset": "ultrafast", "tune": "zerolatency", "forced-idr": "1"},
}
FRAME_TICKS = 3_000
FRAME_US = 33_333
START_US = 5_000_000_000


@dataclass(frozen=True)
class Sent:
    """As `_native.TapPacket`."""

    layer: int
    codec: Codec
    arrived_us: int
    sequence: int
    timestamp: int
    marker: bool
    keyframe_start: bool
    payload: bytes


@functools.cache
def encoded_pictures(codec: Codec, count: int, keyframe_every: int, width: int) -> tuple[av.Packet, ...]:
    """Encoded at 30 frames a second."""
    context = av.CodecContext.create(ENCODERS[codec], "w")
    context.width, context.height, context.pix_fmt = width, 240, "yuv420p"
    context.time_base, context.framerate = Fraction(1, 90_000), Fraction(30)
    context.bit_rate, context.gop_size, context.thread_count = 1_500_000, 100_000, 1
    context.options = OPTIONS[ENCODERS[codec]]
    encoded = []
    noise = np.random.default_rng(1)
    for number in range(count):
        image = np.full((240, width, 3), 40, np.uint8)
        image[:, number * 7 % (width - 32) :][:, :32] = (220, 180, 60)
        # Speckle, so that a frame takes several packets.
        image[:80] = noise.integers(0, 255, (80, width, 3), np.uint8)
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = number * FRAME_TICKS, context.time_base
        frame.pict_type = PictureType.I if number % keyframe_every == 0 else PictureType.P
        encoded += context.encode(frame)
    encoded += context.encode(None)
    assert len(encoded) == count
    return tuple(encoded)


def pictures(codec: Codec, count: int, keyframe_every: int, width: int = 320) -> list[bytes]:
    """The pictures that `video` sends."""
    return [bytes(packet) for packet in encoded_pictures(codec, count, keyframe_every, width)]


def video(
    codec: Codec,
    count: int,
    *,
    keyframe_every: int = 30,
    width: int = 320,
    layer: int = 0,
    timestamp: int = 0xFFFF_8000,
    sequence: int = 65_500,
    from_us: int = START_US,
) -> list[Sent]:
    """A stream as it leaves, each packet with the time it would arrive at on a perfect line."""
    name = f"video/{codec.upper()}"
    encoder = get_encoder(RTCRtpCodecParameters(mimeType=name, clockRate=90_000, payloadType=96))
    packets: list[Sent] = []
    for number, encoded in enumerate(encoded_pictures(codec, count, keyframe_every, width)):
        payloads, _ = encoder.pack(encoded)
        for place, payload in enumerate(payloads):
            packets.append(
                Sent(
                    layer,
                    codec,
                    from_us + number * FRAME_US + place * 100,
                    sequence + len(packets),
                    timestamp + number * FRAME_TICKS & 0xFFFF_FFFF,
                    place == len(payloads) - 1,
                    place == 0 and bool(encoded.is_keyframe),
                    payload,
                )
            )
    return packets


def sound(
    count: int, *, timestamp: int = 0xFFFF_F000, sequence: int = 10, from_us: int = START_US
) -> list[Sent]:
    """Opus, 20 ms a packet, each sent when it is complete."""
    context = av.CodecContext.create("libopus", "w")
    context.sample_rate, context.layout, context.format = 48_000, "stereo", "s16"
    context.options = {"application": "voip", "frame_duration": "20"}
    encoded: list[av.Packet] = []
    for number in range(count):
        moments = (np.arange(960) + number * 960) / 48_000
        wave = (np.sin(moments * 440 * 2 * np.pi) * 8_000).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(np.repeat(wave, 2)[None], format="s16", layout="stereo")
        frame.sample_rate, frame.pts = 48_000, number * 960
        encoded += context.encode(frame)
    return [
        Sent(
            0,
            "opus",
            from_us + (number + 1) * 20_000,
            sequence + number,
            timestamp + number * 960 & 0xFFFF_FFFF,
            number == 0,
            False,
            bytes(packet),
        )
        for number, packet in enumerate(encoded[:count])
    ]


def sound_with_silence(count: int, quiet: range) -> list[Sent]:
    """The same of a microphone that leaves out silence (DTX), as Chromium sends it: in `quiet`, two packets of every
    21, which say that there is nothing. Their numbers follow each other, their time stamps do not."""
    said = [
        replace(packet, payload=bytes((packet.payload[0] & 0xFC,))) if place in quiet else packet
        for place, packet in enumerate(sound(count))
        if place not in quiet or (place - quiet.start) % 21 < 2
    ]
    return [replace(packet, sequence=10 + number) for number, packet in enumerate(said)]


def delayed(packets: Iterable[Sent], delay_us: int) -> list[Sent]:
    return [replace(packet, arrived_us=packet.arrived_us + delay_us) for packet in packets]


def jittered(packets: Iterable[Sent], most_us: int, seed: int) -> list[Sent]:
    """Packets overtake each other."""
    chance = random.Random(seed)
    return arriving(
        replace(packet, arrived_us=packet.arrived_us + chance.randrange(most_us)) for packet in packets
    )


def arriving(*streams: Iterable[Sent]) -> list[Sent]:
    return sorted((packet for stream in streams for packet in stream), key=lambda packet: packet.arrived_us)


def frame_of(packets: Sequence[Sent], number: int) -> list[Sent]:
    timestamps = list(dict.fromkeys(packet.timestamp for packet in packets))
    return [packet for packet in packets if packet.timestamp == timestamps[number]]
