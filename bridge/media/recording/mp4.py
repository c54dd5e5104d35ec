"""Fragmented MP4 (ISO/IEC 14496-12) of one track: an initialisation segment, and a fragment (`moof`, `mdat`) a part.

As Media Source Extensions want it: no edit lists, each fragment tells its own decode time, offsets from its `moof`.
H.264 as in ISO/IEC 14496-15, AV1 and Opus by their bindings to ISOBMFF. It knows boxes, not where frames come from.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from bridge.media.recording.samples import Configuration

VIDEO_TIMESCALE_HZ = 90_000
AUDIO_TIMESCALE_HZ = 48_000
TRACK = 1
# ISO/IEC 14496-12 section 8.8.3.1: depends on no other; depends on others and is no sync sample.
SYNC_FLAGS = 0x0200_0000
OTHER_FLAGS = 0x0101_0000

_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x4000_0000)
_SAMPLE_ENTRIES = {"h264": (b"avc1", b"avcC"), "av1": (b"av01", b"av1C")}
# data-offset; sample duration, size and flags each (section 8.8.8).
_TRUN_FLAGS = 0x000701
_DEFAULT_BASE_IS_MOOF = 0x020000
# mvex needs a default that is never used: every fragment says it itself.
_TREX = struct.pack(">5I", TRACK, 1, 0, 0, 0)


def timescale_hz(configuration: Configuration) -> int:
    return AUDIO_TIMESCALE_HZ if configuration.codec == "opus" else VIDEO_TIMESCALE_HZ


def init_segment(configuration: Configuration) -> bytes:
    """`ftyp` and `moov`; raises KeyError for a codec that goes into WebM."""
    sound = configuration.codec == "opus"
    entry = _opus_entry() if sound else _video_entry(configuration)
    tables = b"".join(
        _full(name, 0, bytes(4 if name != b"stsz" else 8)) for name in (b"stts", b"stsc", b"stsz", b"stco")
    )
    table = _box(b"stbl", _full(b"stsd", 0, struct.pack(">I", 1) + entry), tables)
    data_reference = _full(b"dref", 0, struct.pack(">I", 1) + _full(b"url ", 1, b""))
    media_header = _full(b"smhd", 0, bytes(4)) if sound else _full(b"vmhd", 1, bytes(8))
    information = _box(b"minf", media_header, _box(b"dinf", data_reference), table)
    handler = _full(b"hdlr", 0, bytes(4) + (b"soun" if sound else b"vide") + bytes(12) + b"\0")
    # The language is `und`.
    header = _full(b"mdhd", 0, struct.pack(">4I2H", 0, 0, timescale_hz(configuration), 0, 0x55C4, 0))
    track = _box(b"trak", _track_header(configuration), _box(b"mdia", header, handler, information))
    movie_header = struct.pack(">4IIH10x", 0, 0, 1000, 0, 0x10000, 0x100) + _MATRIX + bytes(24)
    movie = _box(
        b"moov",
        _full(b"mvhd", 0, movie_header + struct.pack(">I", TRACK + 1)),
        track,
        _box(b"mvex", _full(b"trex", 0, _TREX)),
    )
    return _box(b"ftyp", b"iso6", bytes(4), b"iso6mp41dash") + movie


def fragment(
    number: int,
    decode_ticks: int,
    durations: Sequence[int],
    keyframes: Sequence[bool],
    samples: Sequence[bytes],
) -> bytes:
    """One fragment; `number` counts from 1. `decode_ticks` and `durations` are in the track's timescale."""
    rows = [
        value
        for duration, keyframe, sample in zip(durations, keyframes, samples, strict=True)
        for value in (duration, len(sample), SYNC_FLAGS if keyframe else OTHER_FLAGS)
    ]
    run_len = 20 + 4 * len(rows)
    header = _full(b"mfhd", 0, struct.pack(">I", number & 0xFFFF_FFFF))
    track_header = _full(b"tfhd", _DEFAULT_BASE_IS_MOOF, struct.pack(">I", TRACK))
    decode_time = _box(b"tfdt", struct.pack(">IQ", 1 << 24, decode_ticks))
    data_offset = 8 + len(header) + 8 + len(track_header) + len(decode_time) + run_len + 8
    run = _full(b"trun", _TRUN_FLAGS, struct.pack(f">2I{len(rows)}I", len(samples), data_offset, *rows))
    return b"".join(
        (
            _box(b"moof", header, _box(b"traf", track_header, decode_time, run)),
            struct.pack(">I4s", 8 + sum(map(len, samples)), b"mdat"),
            *samples,
        )
    )


def _box(name: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), name) + body


def _full(name: bytes, flags: int, content: bytes) -> bytes:
    return _box(name, struct.pack(">I", flags), content)


def _track_header(configuration: Configuration) -> bytes:
    sound = configuration.codec == "opus"
    times = struct.pack(">5I8x", 0, 0, TRACK, 0, 0)
    place = struct.pack(">4H", 0, 0, 0x100 if sound else 0, 0)
    size = struct.pack(">2I", configuration.width << 16, configuration.height << 16)
    # Enabled, in the movie.
    return _full(b"tkhd", 3, times + place + _MATRIX + size)


def _video_entry(configuration: Configuration) -> bytes:
    entry, record = _SAMPLE_ENTRIES[configuration.codec]
    size = struct.pack(">2H", configuration.width, configuration.height)
    resolution = struct.pack(">2I4xH", 0x48_0000, 0x48_0000, 1)
    head = bytes(6) + struct.pack(">H", 1) + bytes(16) + size + resolution + bytes(32) + b"\x00\x18\xff\xff"
    return _box(entry, head, _box(record, configuration.record))


def _opus_entry() -> bytes:
    head = bytes(6) + struct.pack(">H8x2H4xI", 1, 2, 16, AUDIO_TIMESCALE_HZ << 16)
    # Version, channels, pre-skip (nothing is to be skipped of a live stream), input rate, gain, mapping family.
    return _box(b"Opus", head, _box(b"dOps", struct.pack(">2BHIhB", 0, 2, 0, AUDIO_TIMESCALE_HZ, 0, 0)))
