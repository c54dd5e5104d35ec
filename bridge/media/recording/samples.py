"""What depacketizers make and muxers take: encoded samples and the configuration a decoder needs for them.

It must not know RTP, containers or time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

Codec = Literal["opus", "vp8", "vp9", "h264", "av1"]

CLOCK_RATE_HZ: Mapping[Codec, int] = {
    "opus": 48_000,
    "vp8": 90_000,
    "vp9": 90_000,
    "h264": 90_000,
    "av1": 90_000,
}


class MalformedPayload(Exception):
    """The packets of a frame do not make one; the frame is lost, nothing else."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """What an initialisation segment says of a stream.

    `codec_string` is the `codecs` parameter of its media type (RFC 6381). `record` is the decoder configuration as its
    container keeps it: `avcC` (ISO/IEC 14496-15), `av1C` (AV1 in ISOBMFF); empty for the others. Width and height are
    in pixels, 0 for sound.
    """

    codec: Codec
    codec_string: str
    width: int = 0
    height: int = 0
    record: bytes = b""


class Sample(NamedTuple):
    """One encoded frame as its container keeps it.

    `configuration` is there on keyframes, and where parameter sets come with another picture. `duration` is in the
    codec's clock, 0 where the frame does not say.
    """

    data: bytes
    keyframe: bool
    configuration: Configuration | None = None
    duration: int = 0


class Depacketizer(Protocol):
    """Makes a sample of the payloads of one frame, in order and complete; keeps what later frames need."""

    def sample(self, payloads: Sequence[bytes]) -> Sample | None:
        """None: they hold no picture (parameter sets alone). Raises MalformedPayload."""
