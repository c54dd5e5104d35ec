"""VP8 (RFC 7741, RFC 6386) and VP9 (RFC 9628) in RTP: takes the payload descriptors off and reads the picture size."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.media.recording.bits import BitReader
from bridge.media.recording.samples import Configuration, MalformedPayload, Sample

VP8_START_CODE = b"\x9d\x01\x2a"
VP9_SYNC_CODE = 0x498342
SRGB = 7
# A superframe (VP9 bitstream specification, annex B) holds at most eight frames.
MAX_SPATIAL_LAYERS = 8


class Vp8Depacketizer:
    def __init__(self) -> None:
        self._configuration: Configuration | None = None

    def sample(self, payloads: Sequence[bytes]) -> Sample | None:
        pieces = []
        for number, payload in enumerate(payloads):
            start = payload[0] & 0x17 == 0x10
            if start != (number == 0):
                raise MalformedPayload("a VP8 frame without its beginning, or with two")
            pieces.append(payload[_vp8_descriptor_len(payload) :])
        data = b"".join(pieces)
        if len(data) < 3:
            raise MalformedPayload("a VP8 frame is cut short")
        if data[0] & 1:
            return Sample(data, False)
        if data[3:6] != VP8_START_CODE or len(data) < 10:
            raise MalformedPayload("a VP8 keyframe without its start code")
        # The upper two bits are for scaling.
        width = int.from_bytes(data[6:8], "little") & 0x3FFF
        height = int.from_bytes(data[8:10], "little") & 0x3FFF
        known = self._configuration
        if known is None or (known.width, known.height) != (width, height):
            known = self._configuration = Configuration("vp8", "vp8", width, height)
        return Sample(data, True, known)


def _vp8_descriptor_len(payload: bytes) -> int:
    if not payload[0] & 0x80:
        return 1
    if len(payload) < 3:
        raise MalformedPayload("a VP8 descriptor is cut short")
    present = payload[1]
    length = 2
    if present & 0x80:
        length += 2 if payload[2] & 0x80 else 1
    if present & 0x40:
        length += 1
    if present & 0x30:
        length += 1
    return length


class Vp9Depacketizer:
    def __init__(self) -> None:
        self._configuration: Configuration | None = None

    def sample(self, payloads: Sequence[bytes]) -> Sample | None:
        """Spatial layers of one picture become one superframe."""
        layers: list[list[bytes]] = []
        predicted = bool(payloads[0][0] & 0x40)
        for payload in payloads:
            at, spatial_id = _read_vp9_descriptor(payload)
            if payload[0] & 0x08:
                if not layers and spatial_id:
                    raise MalformedPayload("a VP9 picture without its lowest layer")
                layers.append([])
            if not layers or len(layers) > MAX_SPATIAL_LAYERS:
                raise MalformedPayload("a VP9 frame without its beginning")
            layers[-1].append(payload[at:])
        frames = [b"".join(pieces) for pieces in layers]
        data = frames[0] if len(frames) == 1 else _superframe(frames)
        if predicted:
            return Sample(data, False)
        # A decoder shows the highest layer, so its size is the picture's; it may itself be predicted from below.
        width, height, codec_string = _read_vp9_keyframe(frames[0])
        known = self._configuration
        if known is None or (known.width, known.height, known.codec_string) != (width, height, codec_string):
            known = self._configuration = Configuration("vp9", codec_string, width, height)
        return Sample(data, True, known)


def _read_vp9_descriptor(payload: bytes) -> tuple[int, int]:
    """Its length, and the spatial layer."""
    first = payload[0]
    at, spatial_id = 1, 0
    try:
        if first & 0x80:
            at += 2 if payload[at] & 0x80 else 1
        if first & 0x20:
            spatial_id = payload[at] >> 1 & 7
            at += 1 if first & 0x10 else 2
        if first & 0x50 == 0x50:
            at = _skip_references(payload, at)
        if first & 0x02:
            at = _skip_scalability(payload, at)
    except IndexError:
        raise MalformedPayload("a VP9 descriptor is cut short") from None
    if at >= len(payload):
        raise MalformedPayload("a VP9 packet without data")
    return at, spatial_id


def _skip_references(payload: bytes, at: int) -> int:
    for _ in range(3):
        at += 1
        if not payload[at - 1] & 1:
            return at
    raise MalformedPayload("a VP9 frame with too many references")


def _skip_scalability(payload: bytes, at: int) -> int:
    head = payload[at]
    at += 1
    if head & 0x10:
        at += 4 * ((head >> 5) + 1)
    if head & 0x08:
        pictures = payload[at]
        at += 1
        for _ in range(pictures):
            at += 1 + (payload[at] >> 2 & 3)
    return at


def _superframe(frames: Sequence[bytes]) -> bytes:
    width = max(1, (max(map(len, frames)).bit_length() + 7) // 8)
    marker = bytes((0xC0 | (width - 1) << 3 | (len(frames) - 1),))
    index = marker + b"".join(len(frame).to_bytes(width, "little") for frame in frames) + marker
    return b"".join(frames) + index


def _read_vp9_keyframe(frame: bytes) -> tuple[int, int, str]:
    """Width, height and codec string from the uncompressed header (VP9 bitstream specification, section 6.2)."""
    reader = BitReader(frame[:20])
    if reader.bits(2) != 2:
        raise MalformedPayload("not a VP9 frame")
    profile = reader.bits(1) | reader.bits(1) << 1
    if profile == 3:
        reader.bits(1)
    if reader.bits(2) != 0:
        raise MalformedPayload("not a VP9 keyframe")
    # show_frame, error_resilient_mode
    reader.bits(2)
    if reader.bits(24) != VP9_SYNC_CODE:
        raise MalformedPayload("a VP9 keyframe without its sync code")
    depth = (12 if reader.flag() else 10) if profile >= 2 else 8
    odd = bool(profile & 1)
    if reader.bits(3) != SRGB:
        reader.bits(4 if odd else 1)
    elif odd:
        reader.bits(1)
    width, height = reader.bits(16) + 1, reader.bits(16) + 1
    # The level is not in the stream: 5.1 covers all that a browser sends.
    return width, height, f"vp09.{profile:02d}.51.{depth:02d}"
