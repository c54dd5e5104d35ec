"""WebM (Matroska, RFC 9559) of one VP8 or VP9 track: a header with an endless segment, and clusters for each part.

It knows EBML elements, not where frames come from.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from bridge.media.recording.samples import Configuration

# What players expect; browsers' own recorders write the same.
TIMESTAMP_SCALE_NS = 1_000_000
TRACK = 1
# A block tells its time in 16 bits from its cluster's (RFC 9559 section 10).
MAX_CLUSTER_MS = 30_000

_CODEC_IDS = {"vp8": b"V_VP8", "vp9": b"V_VP9"}
_UNKNOWN_SIZE = b"\x01" + b"\xff" * 7
_KEYFRAME = 0x80

_EBML = bytes.fromhex("1A45DFA3")
_SEGMENT = bytes.fromhex("18538067")
_INFO, _TIMESTAMP_SCALE, _MUXING_APP, _WRITING_APP = (
    bytes.fromhex(x) for x in ("1549A966", "2AD7B1", "4D80", "5741")
)
_TRACKS, _TRACK_ENTRY = bytes.fromhex("1654AE6B"), b"\xae"
_CLUSTER, _CLUSTER_TIMESTAMP = bytes.fromhex("1F43B675"), b"\xe7"
_SIMPLE_BLOCK, _BLOCK_GROUP, _BLOCK = b"\xa3", b"\xa0", b"\xa1"
_BLOCK_DURATION, _REFERENCE_BLOCK = b"\x9b", b"\xfb"


def init_segment(configuration: Configuration) -> bytes:
    """Everything before the first cluster; raises KeyError for a codec that goes into MP4."""
    head = _element(
        _EBML,
        *(
            _number(bytes.fromhex(name), value)
            for name, value in (("4286", 1), ("42F7", 1), ("42F2", 4), ("42F3", 8))
        ),
        _element(b"\x42\x82", b"webm"),
        *(_number(bytes.fromhex(name), value) for name, value in (("4287", 4), ("4285", 2))),
    )
    info = _element(
        _INFO,
        _number(_TIMESTAMP_SCALE, TIMESTAMP_SCALE_NS),
        _element(_MUXING_APP, b"bridge"),
        _element(_WRITING_APP, b"bridge"),
    )
    picture = _element(b"\xe0", _number(b"\xb0", configuration.width), _number(b"\xba", configuration.height))
    entry = _element(
        _TRACK_ENTRY,
        # Number, UID, kind (video), no lacing.
        *(
            _number(name, value)
            for name, value in ((b"\xd7", TRACK), (b"\x73\xc5", TRACK), (b"\x83", 1), (b"\x9c", 0))
        ),
        _element(b"\x86", _CODEC_IDS[configuration.codec]),
        picture,
    )
    return head + _SEGMENT + _UNKNOWN_SIZE + info + _element(_TRACKS, entry)


def clusters(
    times_ms: Sequence[int], end_ms: int, keyframes: Sequence[bool], samples: Sequence[bytes]
) -> bytes:
    """One cluster, or more where a part is longer than a cluster can be. Times are the segment's, rising."""
    written = []
    first = 0
    for number in range(1, len(samples) + 1):
        last = number == len(samples)
        if last or times_ms[number] - times_ms[first] > MAX_CLUSTER_MS:
            until_ms = end_ms if last else times_ms[number]
            span = slice(first, number)
            written.append(_cluster(times_ms[span], until_ms, keyframes[span], samples[span]))
            first = number
    return b"".join(written)


def _cluster(
    times_ms: Sequence[int], end_ms: int, keyframes: Sequence[bool], samples: Sequence[bytes]
) -> bytes:
    blocks = []
    for time_ms, keyframe, sample in zip(times_ms[:-1], keyframes[:-1], samples[:-1], strict=True):
        block = struct.pack(">BhB", 0x80 | TRACK, time_ms - times_ms[0], _KEYFRAME if keyframe else 0)
        blocks += [_SIMPLE_BLOCK, _size(len(block) + len(sample)), block, sample]
    # The last says how long it is shown: what comes after it may be another cluster much later, or none.
    block = struct.pack(">BhB", 0x80 | TRACK, times_ms[-1] - times_ms[0], 0)
    group = [_BLOCK, _size(len(block) + len(samples[-1])), block, samples[-1]]
    group.append(_number(_BLOCK_DURATION, max(1, end_ms - times_ms[-1])))
    if not keyframes[-1]:
        group.append(_element(_REFERENCE_BLOCK, b"\xff"))
    return _element(
        _CLUSTER, _number(_CLUSTER_TIMESTAMP, times_ms[0]), *blocks, _element(_BLOCK_GROUP, *group)
    )


def _size(value: int) -> bytes:
    """A variable-size integer (RFC 8794 section 4); all ones is kept for the unknown."""
    length = 1
    while value >= (1 << 7 * length) - 1:
        length += 1
    return (value | 1 << 7 * length).to_bytes(length, "big")


def _element(name: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return name + _size(len(body)) + body


def _number(name: bytes, value: int) -> bytes:
    return _element(name, value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))
