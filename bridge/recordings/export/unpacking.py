"""Takes the parts of a track apart again: encoded frames with their times, as the recorder put them in.

The inverse of what writes fragmented MP4 (ISO/IEC 14496-12) and WebM clusters (RFC 9559) for the recorder; no general
demuxer. Pure: bytes come in as arguments.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from bridge.recordings.layout import UnreadableRecording

SOUND = "opus"
_WEBM_CODECS = frozenset({"vp8", "vp9"})
_SOUND_HZ, _PICTURE_HZ = 48_000, 90_000
_NON_SYNC = 0x0001_0000
"""sample_is_non_sync_sample (ISO/IEC 14496-12 section 8.8.3.1)."""
_ROW = struct.Struct(">3I")

_CLUSTER, _TIMESTAMP, _SIMPLE_BLOCK, _BLOCK_GROUP = 0x1F43B675, 0xE7, 0xA3, 0xA0
_BLOCK, _DURATION, _REFERENCE = 0xA1, 0x9B, 0xFB
_BLOCK_HEAD_LEN = 4
_KEYFRAME = 0x80


@dataclass(frozen=True, slots=True)
class Setup:
    """What a decoder is told before the frames: an initialisation segment and what its note says."""

    codec: str
    width: int
    height: int
    segment: bytes

    @property
    def avc_record(self) -> bytes:
        """The `avcC` of H.264 (ISO/IEC 14496-15 section 5.3.3.1). Raises UnreadableRecording."""
        at = self.segment.find(b"avcC")
        if at < 4:
            raise UnreadableRecording("The description of a track's pictures cannot be read.")
        return self.segment[at + 4 : at - 4 + int.from_bytes(self.segment[at - 4 : at], "big")]

    @property
    def parameter_sets(self) -> bytes:
        """Those of H.264, with their lengths, as they may stand in front of a picture. Raises UnreadableRecording."""
        record = self.avc_record
        units: list[bytes] = []
        try:
            at, count = 6, record[5] & 0x1F
            for following in (True, False):
                for _ in range(count):
                    end = at + 2 + int.from_bytes(record[at : at + 2], "big")
                    units.append(record[at + 2 : end])
                    at = end
                if following:
                    at, count = at + 1, record[at]
        except IndexError:
            raise UnreadableRecording("The description of a track's pictures cannot be read.") from None
        return b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)


class Frame(NamedTuple):
    """One encoded picture, or a packet of sound. Times are on the recording's clock."""

    at_us: int
    duration_us: int
    keyframe: bool
    data: bytes
    setup: Setup


def unpack(setup: Setup, body: bytes, start_us: int, steps_us: Sequence[int]) -> list[Frame]:
    """The frames of one part.

    `start_us` and `steps_us` are what its note says of their times: WebM keeps only milliseconds. Raises
    UnreadableRecording.
    """
    try:
        if setup.codec not in _WEBM_CODECS:
            return list(_unpack_mp4(setup, body))
        frames = list(_unpack_webm(setup, body))
    except (struct.error, LookupError, ValueError):
        raise UnreadableRecording("A part of the recording is whole, but cannot be taken apart.") from None
    if len(steps_us) == len(frames):
        starts = accumulate(steps_us, initial=start_us)
        return [
            frame._replace(at_us=at_us, duration_us=step_us)
            for frame, at_us, step_us in zip(frames, starts, steps_us, strict=False)
        ]
    return frames


def _unpack_mp4(setup: Setup, body: bytes) -> Iterator[Frame]:
    rate_hz = _SOUND_HZ if setup.codec == SOUND else _PICTURE_HZ
    moof_at = 0
    for name, start, stop in _boxes(body, 0, len(body)):
        if name != b"moof":
            continue
        moof_at = start - 8
        (traf,) = [span for inner, *span in _boxes(body, start, stop) if inner == b"traf"]
        boxes = {inner: place for inner, place, _ in _boxes(body, *traf)}
        (ticks,) = struct.unpack_from(">Q", body, boxes[b"tfdt"] + 4)
        count, data_offset = struct.unpack_from(">2I", body, boxes[b"trun"] + 4)
        at = moof_at + data_offset
        rows_at = boxes[b"trun"] + 12
        for duration, size_bytes, flags in _ROW.iter_unpack(body[rows_at : rows_at + _ROW.size * count]):
            data = body[at : at + size_bytes]
            if len(data) != size_bytes:
                raise ValueError("cut short")
            begin_us, end_us = (value * 1_000_000 // rate_hz for value in (ticks, ticks + duration))
            yield Frame(begin_us, end_us - begin_us, not flags & _NON_SYNC, data, setup)
            at += size_bytes
            ticks += duration


def _boxes(data: bytes, at: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, begin of the content and its end, of each box."""
    while at < stop:
        size_bytes, name = struct.unpack_from(">I4s", data, at)
        if size_bytes < 8 or at + size_bytes > stop:
            raise ValueError("a box without its end")
        yield name, at + 8, at + size_bytes
        at += size_bytes


def _unpack_webm(setup: Setup, body: bytes) -> Iterator[Frame]:
    found: list[tuple[int, int, bool, bytes]] = []
    for name, start, stop in _elements(body, 0, len(body)):
        if name == _CLUSTER:
            found += _blocks(body, start, stop)
    for (at_ms, duration_ms, keyframe, data), after in zip(found, [*found[1:], None], strict=True):
        if not duration_ms and after is not None:
            duration_ms = after[0] - at_ms
        yield Frame(at_ms * 1_000, duration_ms * 1_000, keyframe, data, setup)


def _blocks(data: bytes, at: int, stop: int) -> Iterator[tuple[int, int, bool, bytes]]:
    """Time and duration in milliseconds (0: until the next), keyframe, and the frame, of each block of a cluster."""
    cluster_ms = 0
    for name, start, end in _elements(data, at, stop):
        if name == _TIMESTAMP:
            cluster_ms = int.from_bytes(data[start:end], "big")
        elif name == _SIMPLE_BLOCK:
            after_ms, flags = struct.unpack_from(">hB", data, start + 1)
            yield cluster_ms + after_ms, 0, bool(flags & _KEYFRAME), data[start + _BLOCK_HEAD_LEN : end]
        elif name == _BLOCK_GROUP:
            inner = {child: data[begin:until] for child, begin, until in _elements(data, start, end)}
            block = inner[_BLOCK]
            (after_ms,) = struct.unpack_from(">h", block, 1)
            duration_ms = int.from_bytes(inner.get(_DURATION, b""), "big")
            yield cluster_ms + after_ms, duration_ms, _REFERENCE not in inner, block[_BLOCK_HEAD_LEN:]


def _elements(data: bytes, at: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Id, begin of the content and its end, of each EBML element (RFC 8794)."""
    while at < stop:
        id_len = 9 - data[at].bit_length()
        size_len = 9 - data[at + id_len].bit_length()
        name = int.from_bytes(data[at : at + id_len], "big")
        at += id_len
        start = at + size_len
        size_bytes = int.from_bytes(data[at:start], "big") & ~(1 << 7 * size_len)
        if start + size_bytes > stop:
            raise ValueError("an element without its end")
        yield name, start, start + size_bytes
        at = start + size_bytes
