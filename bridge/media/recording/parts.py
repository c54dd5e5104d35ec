"""Parts: about a second of one track, muxed, in memory, each told apart by where it lies on the session's clock.

A part and its initialisation segment are all that a browser's Media Source Extensions need. H.264, AV1 and Opus go
into fragmented MP4, VP8 and VP9 into WebM. It must not know packets, storage or encryption.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, NamedTuple

from bridge.media.recording import mp4, webm
from bridge.media.recording.samples import Configuration, Sample
from bridge.media.recording.timeline import StreamClock

# A kill loses the open part.
PART_US = 1_000_000
# So that most parts begin with a keyframe; but not with each of a sender that makes nothing else.
SHORTEST_PART_US = 500_000
# Where nothing comes that could end it.
LONGEST_OPEN_US = 1_250_000
MAX_PART_BYTES = 4 << 20
MAX_PART_FRAMES = 500
WEBM_CODECS = frozenset({"vp8", "vp9"})
# No two frames lie nearer: WebM counts milliseconds.
STEP_US = 1_000
# The time of a frame that nothing follows, where none before it tells.
USUAL_FRAME_US = 33_333
# A frame that nothing followed while the part was open is not shown for longer than this.
MAX_LAST_FRAME_US = 2_000_000
# Less is jitter of sources and corrections of the clock.
SHORTEST_GAP_US = 60_000


@dataclass(frozen=True, slots=True)
class Init:
    """An initialisation segment; parts with an equal one follow each other in one source buffer."""

    configuration: Configuration
    media_type: str
    data: bytes


class FrameMark(NamedTuple):
    """Where a frame lies on the session's clock and how long it is shown, for stepping and for reports."""

    start_us: int
    duration_us: int
    size_bytes: int
    keyframe: bool


class Gap(NamedTuple):
    """Time in which a track has nothing to show of its own.

    `loss`: `lost_packets` did not come in time, or frames could not be decoded without what was lost. `silence`: the
    source sent nothing (paused, muted, gone); the pauses of an open microphone in a silent room are none.
    """

    start_us: int
    duration_us: int
    reason: Literal["loss", "silence"]
    lost_packets: int


@dataclass(frozen=True, slots=True)
class Part:
    """`number` counts the track's parts from 0. Times are on the session's clock.

    `keyframe`: decoding can begin here. `damaged`: it refers to frames that were lost, since the source sends no
    keyframes. `filled` frames of sound stand for what never came and are not among `frames`.
    """

    number: int
    init: Init
    layer: int
    start_us: int
    duration_us: int
    keyframe: bool
    damaged: bool
    frames: tuple[FrameMark, ...]
    filled: int
    gaps: tuple[Gap, ...]
    data: bytes


@lru_cache(maxsize=64)
def init_of(configuration: Configuration) -> Init:
    writer, kind = (webm, "webm") if configuration.codec in WEBM_CODECS else (mp4, "mp4")
    sort = "audio" if configuration.codec == "opus" else "video"
    media_type = f'{sort}/{kind}; codecs="{configuration.codec_string}"'
    return Init(configuration, media_type, writer.init_segment(configuration))


class _Entry(NamedTuple):
    ticks: int
    sample: Sample
    lost_packets: int
    after_loss: bool
    filled: bool
    missing: bool


@dataclass(slots=True)
class _Open:
    """The part that is being filled."""

    clock: StreamClock
    configuration: Configuration
    layer: int
    damaged: bool
    began_us: int
    entries: list[_Entry] = field(default_factory=list)
    size_bytes: int = 0


class PartBuilder:
    """The open part of a track and what goes over from one to the next."""

    def __init__(self) -> None:
        self._open: _Open | None = None
        self._number = 0
        self._usual_us = USUAL_FRAME_US
        self._last_start_us = -1
        self._end_us = 0

    @property
    def empty(self) -> bool:
        return self._open is None

    def begin(
        self, clock: StreamClock, configuration: Configuration, layer: int, damaged: bool, arrived_us: int
    ) -> None:
        """Says what the following frames are; the part before is closed."""
        self._open = _Open(clock, configuration, layer, damaged, arrived_us)

    def add(
        self,
        ticks: int,
        sample: Sample,
        *,
        lost_packets: int = 0,
        after_loss: bool = False,
        filled: bool = False,
        missing: bool = True,
    ) -> None:
        """Takes a frame into the part that `begin` began. Filled and not `missing`: the source had nothing to say."""
        part = self._open
        if part is None:
            return
        part.entries.append(_Entry(ticks, sample, lost_packets, after_loss, filled, missing))
        part.size_bytes += len(sample.data)

    def full(self, ticks: int, sample: Sample) -> bool:
        """Whether the part ends before this frame of the same stream."""
        part = self._open
        if part is None or not part.entries:
            return False
        age_us = part.clock.us(ticks - part.entries[0].ticks)
        picture = part.configuration.codec != "opus"
        over = age_us >= PART_US or (picture and sample.keyframe and age_us >= SHORTEST_PART_US)
        return (
            (over and not part.clock.settling)
            or part.size_bytes + len(sample.data) > MAX_PART_BYTES
            or len(part.entries) >= MAX_PART_FRAMES
        )

    def overdue(self, now_us: int) -> bool:
        return self._open is not None and now_us - self._open.began_us >= LONGEST_OPEN_US

    def close(self, next_ticks: int | None = None) -> Part | None:
        """The part, or None if there is none. `next_ticks`: when the next frame of the same stream is shown."""
        part, self._open = self._open, None
        if part is None or not part.entries:
            return None
        clock, entries = part.clock, part.entries
        shown = self._shown(part)
        end = self._end(part, shown, next_ticks)
        durations = [later - earlier for earlier, later in itertools.pairwise([*shown, end])]
        at_us = [clock.us(ticks) for ticks in shown]
        end_us = clock.us(end)
        marks = (
            FrameMark(at, clock.us(duration), len(entry.sample.data), entry.sample.keyframe)
            for at, duration, entry in zip(at_us, durations, entries, strict=True)
            if not entry.filled
        )
        made = Part(
            number=self._number,
            init=init_of(part.configuration),
            layer=part.layer,
            start_us=at_us[0],
            duration_us=end_us - at_us[0],
            keyframe=entries[0].sample.keyframe,
            damaged=part.damaged,
            frames=tuple(marks),
            filled=sum(entry.filled for entry in entries),
            gaps=self._gaps(entries, at_us, end_us),
            data=_mux(part, self._number, shown, durations),
        )
        self._number += 1
        self._last_start_us, self._end_us = at_us[-1], end_us
        return made

    def _shown(self, part: _Open) -> list[int]:
        """When each frame is shown, on the session's clock in the codec's ticks.

        What would lie before its predecessor (pictures out of order, the first ones of another layer) follows it at
        once: such frames are shown shortly, but no time is shifted for the others.
        """
        rate_hz, first = part.clock.rate_hz, part.entries[0].ticks
        offset = part.clock.place(first) * rate_hz // 1_000_000 - first
        step = STEP_US * rate_hz // 1_000_000
        shown = []
        floor = (self._last_start_us + STEP_US) * rate_hz // 1_000_000 if self._last_start_us >= 0 else 0
        for entry in part.entries:
            shown.append(max(entry.ticks + offset, floor))
            floor = shown[-1] + step
        return shown

    def _end(self, part: _Open, shown: list[int], next_ticks: int | None) -> int:
        """Until when the last frame is shown, in the same ticks."""
        rate_hz, last = part.clock.rate_hz, part.entries[-1]
        if len(shown) > 1:
            steps = sorted(later - earlier for earlier, later in itertools.pairwise(shown))
            self._usual_us = min(part.clock.us(steps[len(steps) // 2]), MAX_LAST_FRAME_US)
        duration = last.sample.duration or self._usual_us * rate_hz // 1_000_000
        if next_ticks is not None and 0 < next_ticks - last.ticks <= MAX_LAST_FRAME_US * rate_hz // 1_000_000:
            duration = next_ticks - last.ticks
        return shown[-1] + max(duration, STEP_US * rate_hz // 1_000_000)

    def _gaps(self, entries: list[_Entry], at_us: list[int], end_us: int) -> tuple[Gap, ...]:
        """What is missing before each frame: after a loss from the end of the frame before, at its usual length."""
        gaps = []
        filled: tuple[int, _Entry] | None = None
        before_us = self._last_start_us
        for number, (start_us, entry) in enumerate(zip(at_us, entries, strict=True)):
            if entry.filled:
                filled = filled or ((start_us, entry) if entry.missing else None)
            elif filled is not None:
                gaps.append(_gap(filled[0], start_us, filled[1]))
                filled = None
            elif before_us >= 0 and entry.after_loss:
                gaps.append(_gap(min(before_us + self._usual_us, start_us), start_us, entry))
            elif before_us >= 0 and number == 0 and start_us - self._end_us >= SHORTEST_GAP_US:
                gaps.append(_gap(self._end_us, start_us, entry))
            before_us = start_us
        if filled is not None:
            gaps.append(_gap(filled[0], end_us, filled[1]))
        return tuple(gaps)


def _gap(since_us: int, until_us: int, entry: _Entry) -> Gap:
    return Gap(since_us, until_us - since_us, "loss" if entry.after_loss else "silence", entry.lost_packets)


def _mux(part: _Open, number: int, shown: list[int], durations: list[int]) -> bytes:
    samples = [entry.sample.data for entry in part.entries]
    keyframes = [entry.sample.keyframe for entry in part.entries]
    if part.configuration.codec not in WEBM_CODECS:
        return mp4.fragment(number + 1, shown[0], durations, keyframes, samples)
    times_ms = [ticks * 1_000 // part.clock.rate_hz for ticks in shown]
    end_ms = (shown[-1] + durations[-1]) * 1_000 // part.clock.rate_hz
    return webm.clusters(times_ms, end_ms, keyframes, samples)
