"""Films taken out of a recording, and what FFmpeg says of them, which shares nothing with the reading side."""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path
from typing import Any

import av
import numpy as np

from bridge.media.recording.parts import Part
from bridge.recordings import layout
from bridge.recordings.export import Format, Report, export
from bridge.recordings.index import RecordingReader
from bridge.vault import Vault
from tests.recordings.making import CLINIC, HUB, Made

MS_US = 1_000


class Onwards:
    """A sink that cannot go back, as an answer over HTTP."""

    def __init__(self, limit_bytes: int = 1 << 40) -> None:
        self.content = bytearray()
        self.largest = 0
        self._limit_bytes = limit_bytes

    def write(self, content: bytes) -> None:
        self.content += content
        self.largest = max(self.largest, len(content))
        if len(self.content) > self._limit_bytes:
            raise BrokenPipeError("the other side has gone")


def opened(vault: Vault, made: Made) -> RecordingReader:
    return RecordingReader(vault.open(layout.ref_of(made.recording)))


def exported(
    reader: RecordingReader, format: Format, *, whole: bool = True, **wish: Any
) -> tuple[bytes, Report]:
    """`whole`: to a sink that can go back."""
    sink = io.BytesIO() if whole else Onwards()
    report = export(reader, format, sink, **wish)
    return (sink.getvalue() if isinstance(sink, io.BytesIO) else bytes(sink.content)), report


def probed(content: bytes, path: Path) -> dict[str, Any]:
    """What Debian's ffprobe says of all of it; it may complain of nothing."""
    path.write_bytes(content)
    arguments = [
        "-v",
        "warning",
        "-count_packets",
        "-show_streams",
        "-show_chapters",
        "-show_format",
        "-of",
        "json",
    ]
    done = subprocess.run(["ffprobe", *arguments, str(path)], capture_output=True, check=True)
    complaints = [
        line for line in done.stderr.decode().splitlines() if "Unsupported codec with id 98314" not in line
    ]
    assert complaints == []
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def packets_of(content: bytes) -> dict[int, list[tuple[int, bytes]]]:
    """Time in microseconds and content of every packet, by stream."""
    found: dict[int, list[tuple[int, bytes]]] = {}
    with av.open(io.BytesIO(content)) as container:
        for packet in container.demux():
            if packet.pts is not None and packet.stream.type in ("video", "audio"):
                at_us = round(packet.pts * packet.time_base * 1_000_000)
                assert packet.dts == packet.pts
                found.setdefault(packet.stream.index, []).append((at_us, bytes(packet)))
    return found


def recorded_starts(parts: list[Part]) -> list[int]:
    return [mark.start_us for part in parts for mark in part.frames]


LANES = [(CLINIC, "ultrasound"), (HUB, "camera"), (HUB, "microphone"), (CLINIC, "microphone")]


def gray(content: bytes) -> list[np.ndarray[Any, Any]]:
    with av.open(io.BytesIO(content)) as film:
        return [frame.to_ndarray(format="gray").astype(np.float64) for frame in film.decode(video=0)]
