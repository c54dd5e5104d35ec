"""Reads parts as a stranger would: by FFmpeg's demuxers and decoders, which share nothing with the writers."""

from __future__ import annotations

import io
import itertools
import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import av

from bridge.media.recording.parts import Part


@dataclass(frozen=True)
class Read:
    """A packet of a container; times in seconds."""

    pts: Fraction
    dts: Fraction
    duration: Fraction
    keyframe: bool
    data: bytes


def runs(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Parts that share an initialisation segment, each run one file."""
    run: list[Part] = []
    for part in parts:
        if run and part.init != run[-1].init:
            yield run
            run = []
        run.append(part)
    if run:
        yield run


def whole(run: Sequence[Part]) -> bytes:
    return run[0].init.data + b"".join(part.data for part in run)


def demux(data: bytes) -> list[Read]:
    with av.open(io.BytesIO(data)) as container:
        (stream,) = container.streams
        base = stream.time_base
        assert base is not None
        return [
            Read(
                packet.pts * base,
                packet.dts * base,
                packet.duration * base,
                packet.is_keyframe,
                bytes(packet),
            )
            for packet in container.demux(stream)
            if packet.pts is not None and packet.dts is not None
        ]


def decode(data: bytes) -> list[av.VideoFrame | av.AudioFrame]:
    with av.open(io.BytesIO(data)) as container:
        return list(container.decode(container.streams[0]))


def probe(data: bytes) -> dict[str, str]:
    """What `ffprobe` says of the one stream, having read all of it without a complaint."""
    arguments = ["-v", "warning", "-count_packets", "-show_streams", "-of", "json", "-"]
    done = subprocess.run(["ffprobe", *arguments], input=data, capture_output=True, check=True)
    assert done.stderr == b""
    (stream,) = json.loads(done.stdout)["streams"]
    return {name: str(value) for name, value in stream.items()}


def assert_valid(parts: Sequence[Part]) -> None:
    """Init and parts together are a valid file; times rise, and are those that the parts tell of themselves."""
    assert [part.number for part in parts] == list(range(len(parts)))
    for earlier, later in itertools.pairwise(parts):
        assert later.start_us > max([earlier.start_us, *(mark.start_us for mark in earlier.frames)])
    for run in runs(parts):
        read = demux(whole(run))
        assert len(read) == sum(len(part.frames) + part.filled for part in run)
        times = [packet.dts for packet in read]
        assert all(earlier < later for earlier, later in itertools.pairwise(times))
        assert abs(read[0].pts * 1_000_000 - run[0].start_us) < 2_000
        end = run[-1].start_us + run[-1].duration_us
        assert abs((read[-1].pts + read[-1].duration) * 1_000_000 - end) < 2_000
        said = [mark.keyframe for part in run for mark in part.frames]
        if not any(part.filled for part in run):
            assert [packet.keyframe for packet in read] == said
