"""One lane of pictures as a DICOM video instance: H.264 in MP4, in a single fragment (PS3.5 8.2.7, 8.2.8, A.4).

H.264 that fits the transfer syntax is wrapped as it was sent; all else is encoded anew to one size. Sound is left out.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from fractions import Fraction

from pydicom.uid import UID

from bridge.errors import LimitExceeded, NotFound
from bridge.recordings.export.dataset import HIGH_41, HIGH_42, Counted, Shot, began, head, new_uid
from bridge.recordings.export.dataset import Patient as Patient
from bridge.recordings.export.lanes import Lane, Losses, Window, lanes_of
from bridge.recordings.export.muxing import Movie
from bridge.recordings.export.reencoding import Reencoder, largest, settings
from bridge.recordings.export.report import Meter, Progress, Report
from bridge.recordings.export.sinks import Sink, seekable
from bridge.recordings.export.story import UNKNOWN_LANGUAGE, Story
from bridge.recordings.export.unpacking import Setup
from bridge.recordings.index import RecordingReader

MEMORY_LIMIT_BYTES = 256 << 20
"""Of an instance for a sink that cannot go back: its length stands in front of it."""
FRAGMENT_LIMIT_BYTES = 0xFFFF_FFFE
_PIXEL_DATA = b"\xe0\x7f\x10\x00OB\x00\x00\xff\xff\xff\xff"
_EMPTY_OFFSETS = b"\xfe\xff\x00\xe0\x00\x00\x00\x00"
_ITEM = b"\xfe\xff\x00\xe0"
_END = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"
_CHUNK_BYTES = 1 << 16
_PLACEHOLDER = Counted(1, 1_000, 1)


@dataclass(frozen=True, slots=True)
class _Level:
    """A level of H.264 (ITU-T H.264 table A-1), in macroblocks."""

    name: str
    number: int
    transfer_syntax: UID
    picture: int
    per_second: int


_LEVELS = (
    _Level("4.1", 41, HIGH_41, 8_192, 245_760),
    _Level("4.2", 42, HIGH_42, 8_704, 522_240),
)
# Macroblocks of the widest picture: the root of eight times the largest (A.3.1).
_WIDEST = 256 * 16
_BASELINE, _MAIN, _HIGH = 66, 77, 100
_CONSTRAINED = 0x40


@dataclass(frozen=True, slots=True)
class _Plan:
    """What of a recording becomes the instance, and how."""

    lane: Lane
    opening: tuple[Setup, bytes]
    level: _Level
    width: int
    height: int
    rate: Fraction
    copied: bool


def write_dicom(
    reader: RecordingReader,
    story: Story,
    window: Window,
    sink: Sink,
    *,
    track: int | None,
    patient: Patient,
    progress: Progress | None,
) -> Report:
    """Raises NotFound if there are no pictures, LimitExceeded if the instance would be too large, VaultError if the
    disk fails, and what the sink raises."""
    losses = Losses()
    plan = _plan(reader, window, track, losses)
    lane = plan.lane
    begin_us, end_us = lane.begin_us(window), min(window.end_us, lane.end_us)
    name = story.name_of(lane, begin_us)
    report = Report(begin_us // 1_000, end_us // 1_000, 1, losses=losses)
    if not plan.copied:
        report.remarks.append(
            f"{name} was not sent as DICOM can hold it; it is encoded anew as H.264 of {plan.width}x{plan.height}."
        )
    report.losses.of([lane])
    shot = Shot(
        source=lane.source,
        width=plan.width,
        height=plan.height,
        transfer_syntax=plan.level.transfer_syntax,
        began_at=began(story.started_at_ms, begin_us),
        session=story.session or reader.ref.id,
        series=f"{reader.ref.id}/{lane.participant}/{lane.source}",
        # In the order of time, whatever is exported first.
        number=begin_us // 1_000_000 + 1,
        title=story.title,
        description=name,
        derived=not plan.copied,
        instance=new_uid(),
    )
    whole = seekable(sink)
    out = whole if whole is not None else _Memory()
    _write_instance(out, shot, patient, plan, window, report, Meter(progress, end_us - begin_us))
    if isinstance(out, _Memory):
        out.pour(sink)
    return report


def _write_instance(
    out: io.BufferedIOBase,
    shot: Shot,
    patient: Patient,
    plan: _Plan,
    window: Window,
    report: Report,
    meter: Meter,
) -> None:
    """The head is written twice: what it says of the pictures is known when they are."""
    begun_at = out.tell()
    start = _until_fragment(shot, patient, _PLACEHOLDER, 0)
    out.write(start)
    with Movie(out, "mp4", title="", duration_us=0, start=begun_at + len(start)) as movie:
        shown_us = _write_pictures(movie, plan, window, report, meter)
    video_bytes = out.seek(0, io.SEEK_END) - begun_at - len(start)
    padding = video_bytes % 2
    if video_bytes + padding > FRAGMENT_LIMIT_BYTES:
        raise LimitExceeded("A DICOM video holds 4 GB at most; export a shorter part.", "tooLarge")
    if not report.frames:
        raise NotFound("There are no pictures in this part of the recording.")
    out.write(bytes(padding) + _END)
    counted = Counted(report.frames, shown_us, video_bytes)
    final = _until_fragment(shot, patient, counted, video_bytes + padding)
    if len(final) != len(start):
        raise AssertionError("the head of an instance has changed its length")
    out.seek(begun_at)
    out.write(final)
    out.seek(0, io.SEEK_END)
    meter.done()


def _until_fragment(shot: Shot, patient: Patient, counted: Counted, fragment_bytes: int) -> bytes:
    return (
        head(shot, patient, counted)
        + _PIXEL_DATA
        + _EMPTY_OFFSETS
        + _ITEM
        + struct.pack("<I", fragment_bytes)
    )


def _write_pictures(movie: Movie, plan: _Plan, window: Window, report: Report, meter: Meter) -> int:
    """Returns for how long they are shown, in microseconds."""
    reencoder = None
    if plan.copied:
        stream = movie.add_copied(plan.opening, "", UNKNOWN_LANGUAGE)
    else:
        how = settings(plan.width, plan.height, plan.rate, plan.level.name)
        stream = movie.add_encoded("libx264", "", UNKNOWN_LANGUAGE, **how)
        reencoder = Reencoder(stream, plan.width, plan.height, report.losses)
    first_us: int | None = None
    shown_us = 0
    for frame in plan.lane.frames(window, report.losses):
        first_us = frame.at_us if first_us is None else first_us
        moved = frame._replace(at_us=frame.at_us - first_us)
        if reencoder is None:
            movie.write(stream, moved, frame.data)
            report.frames += 1
        else:
            movie.write_encoded(reencoder.take(moved))
        shown_us = moved.at_us + moved.duration_us
        meter.at(moved.at_us)
    if reencoder is not None:
        movie.write_encoded(reencoder.finish())
        report.frames = reencoder.frames
    return shown_us


def _plan(reader: RecordingReader, window: Window, track: int | None, losses: Losses) -> _Plan:
    """The lane of this track, or the one that matters most."""
    for lane in lanes_of(reader, window, by_codec=False, track=track):
        opening = None if lane.sound else lane.opening(losses)
        if opening is None:
            continue
        setups = lane.setups()
        rate = lane.rate
        level = _as_it_is(setups)
        if level is not None:
            return _Plan(lane, opening, level, setups[0].width, setups[0].height, rate, copied=True)
        level, width, height = _fitting(*largest(setups), rate)
        return _Plan(lane, opening, level, width, height, rate, copied=False)
    raise NotFound("There are no pictures in this part of the recording.")


def _as_it_is(setups: list[Setup]) -> _Level | None:
    """The level that a lane's H.264 has, if decoders of High profile take all of it (ITU-T H.264 A.2.4)."""
    if len(setups) != 1 or setups[0].codec != "h264":
        return None
    profile, constraints, number = setups[0].avc_record[1:4]
    if profile not in (_MAIN, _HIGH) and not (profile == _BASELINE and constraints & _CONSTRAINED):
        return None
    return next((level for level in _LEVELS if number <= level.number), None)


def _fitting(width: int, height: int, rate: Fraction) -> tuple[_Level, int, int]:
    """The lowest level that holds such pictures; too large ones are made smaller."""
    while True:
        picture = -(-width // 16) * -(-height // 16)
        for level in _LEVELS:
            fits = picture <= level.picture and max(width, height) <= _WIDEST
            if fits and (picture * rate <= level.per_second or level is _LEVELS[-1]):
                return level, width, height
        width, height = width * 3 // 8 * 2, height * 3 // 8 * 2


class _Memory(io.BytesIO):
    """Holds an instance for a sink that cannot go back."""

    def write(self, content: bytes, /) -> int:  # type: ignore[override]
        if self.tell() + len(content) > MEMORY_LIMIT_BYTES:
            raise LimitExceeded(
                f"A DICOM video of more than {MEMORY_LIMIT_BYTES >> 20} MB cannot be sent this way; export a shorter "
                "part, or on the server with `bridge recording export`.",
                "tooLarge",
            )
        return super().write(content)

    def pour(self, sink: Sink) -> None:
        content = self.getbuffer()
        for start in range(0, len(content), _CHUNK_BYTES):
            sink.write(bytes(content[start : start + _CHUNK_BYTES]))
