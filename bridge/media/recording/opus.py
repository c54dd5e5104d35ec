"""Opus in RTP (RFC 7587): one packet is one sample; its length in time is in its first bytes (RFC 6716 section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.media.recording.samples import Configuration, MalformedPayload, Sample

# The RTP clock of Opus, whatever the sound was sampled at.
RATE_HZ = 48_000
FRAME_SAMPLES = (
    *(480, 960, 1920, 2880) * 3,  # SILK, three bandwidths
    *(480, 960) * 2,  # hybrid, two
    *(120, 240, 480, 960) * 4,  # CELT, four
)
MAX_SAMPLES = 5760
STEREO = 0x04
# CELT, full band, 20 ms: a frame without data makes the decoder conceal (RFC 6716 section 3.2.1, "DTX or lost").
CONCEALED_TOC = 0xF8
CONCEALED_SAMPLES = 960

# A WebRTC stream may change between mono and stereo at any packet; decoders give two channels from either.
CONFIGURATION = Configuration("opus", "opus")


class OpusDepacketizer:
    def sample(self, payloads: Sequence[bytes]) -> Sample | None:
        data = payloads[0]
        return Sample(data, True, CONFIGURATION, duration(data))


def duration(packet: bytes) -> int:
    """In 1/48000 s."""
    if not packet:
        raise MalformedPayload("an empty Opus packet")
    toc = packet[0]
    code = toc & 3
    if code == 3:
        if len(packet) < 2:
            raise MalformedPayload("an Opus packet without its frame count")
        count = packet[1] & 0x3F
    else:
        count = 2 if code else 1
    samples = count * FRAME_SAMPLES[toc >> 3]
    if not 0 < samples <= MAX_SAMPLES:
        raise MalformedPayload("an Opus packet of an impossible length in time")
    return samples


def concealment(last: bytes) -> Sample:
    """Stands for 20 ms that never came, so that sound stays continuous in every player."""
    toc = CONCEALED_TOC | (last[0] & STEREO if last else 0)
    return Sample(bytes((toc,)), True, CONFIGURATION, CONCEALED_SAMPLES)
