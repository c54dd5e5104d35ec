"""Everybody's sound in one track: players play one of a file's sounds, and a consultation has several.

Decoded, laid where it belongs on the file's clock and added up; memory holds what is not final yet, which is little,
since frames come in the order of time. It knows frames, not containers.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from bridge.recordings.export.lanes import Losses
from bridge.recordings.export.unpacking import Frame

RATE_HZ = 48_000
CHANNELS = 2
CODEC = "aac"
"""Played by everything that plays MP4."""
BIT_RATE_BPS = 128_000
# Of a source: nearer than this to where it stood is a correction of the clock, and not worth a click.
SEAM_SAMPLES = RATE_HZ // 100
# No frame of Opus is longer (RFC 6716 section 3.2.5): what lies before that is final.
_FINAL_AFTER_US = 120_000
_BLOCK_SAMPLES = RATE_HZ // 2
_LONGEST_SAMPLES = RATE_HZ


def settings() -> dict[str, Any]:
    """For `Movie.add_encoded` with `CODEC`."""
    return {
        "sample_rate": RATE_HZ,
        "layout": "stereo",
        "format": "fltp",
        "bit_rate": BIT_RATE_BPS,
        "options": {"aac_coder": "fast"},
    }


class Mixer:
    """Takes frames of Opus from any number of sources, and encodes their sum to `stream`.

    What cannot be decoded is left out and counted.
    """

    def __init__(self, stream: Any, losses: Losses) -> None:
        self._stream = stream
        self._losses = losses
        self._decoders: dict[Hashable, Any] = {}
        self._cursors: dict[Hashable, int] = {}
        self._sum: NDArray[np.float32] = np.zeros((CHANNELS, 0), np.float32)
        self._written = self._end = 0

    def take(self, source: Hashable, frame: Frame) -> list[Any]:
        """The packets that are ready."""
        packets: list[Any] = []
        final = (frame.at_us - _FINAL_AFTER_US) * RATE_HZ // 1_000_000
        if final - self._written >= _BLOCK_SAMPLES:
            packets = self._until(final)
        decoder = self._decoders.get(source)
        if decoder is None:
            decoder = self._decoders[source] = av.CodecContext.create("opus", "r")
            decoder.sample_rate, decoder.layout = RATE_HZ, "stereo"
        packet = av.Packet(frame.data)
        try:
            heard = decoder.decode(packet)
        except av.error.FFmpegError:
            self._losses.frames += 1
            return packets
        for each in heard:
            self._add(source, frame.at_us * RATE_HZ // 1_000_000, np.asarray(each.to_ndarray(), np.float32))
        return packets

    def finish(self) -> list[Any]:
        """The rest."""
        return [*self._until(self._end), *self._encoded(None)]

    def _add(self, source: Hashable, at: int, samples: NDArray[np.float32]) -> None:
        cursor = self._cursors.get(source, at)
        if abs(cursor - at) < SEAM_SAMPLES:
            at = cursor
        at = max(at, self._written)
        until = at + samples.shape[1]
        self._cursors[source] = until
        lacking = until - self._written - self._sum.shape[1]
        if lacking > 0:
            room = np.zeros((CHANNELS, max(lacking, _LONGEST_SAMPLES)), np.float32)
            self._sum = np.concatenate([self._sum, room], axis=1)
        self._end = max(self._end, until)
        self._sum[:, at - self._written : until - self._written] += samples

    def _until(self, final: int) -> list[Any]:
        """Encodes what nothing can be added to any more; silence where nobody speaks."""
        packets: list[Any] = []
        while self._written < final:
            count = min(final - self._written, _LONGEST_SAMPLES)
            block, self._sum = self._sum[:, :count], self._sum[:, count:]
            padded = np.zeros((CHANNELS, count), np.float32)
            padded[:, : block.shape[1]] = np.clip(block, -1.0, 1.0)
            frame = av.AudioFrame.from_ndarray(padded, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = RATE_HZ, self._written
            packets += self._encoded(frame)
            self._written += count
        return packets

    def _encoded(self, frame: Any) -> list[Any]:
        """Without what lies before zero, by which an encoder warms up: it would move all else in a file."""
        return [packet for packet in self._stream.encode(frame) if packet.pts >= 0]
