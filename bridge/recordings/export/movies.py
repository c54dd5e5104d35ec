"""A recording as one file to play: Matroska with everything as it was sent, or MP4 for players that know little.

Frames are copied wherever the container may hold them. All lanes are read side by side, a part of each at a time.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import Any

from bridge.errors import NotFound
from bridge.recordings.export import mixing
from bridge.recordings.export.lanes import Lane, Losses, Window, lanes_of
from bridge.recordings.export.mixing import Mixer
from bridge.recordings.export.muxing import Container, Movie
from bridge.recordings.export.reencoding import Reencoder, largest, settings
from bridge.recordings.export.report import Meter, Progress, Report
from bridge.recordings.export.sinks import Sink
from bridge.recordings.export.story import UNKNOWN_LANGUAGE, Caption, Story
from bridge.recordings.export.unpacking import SOUND, Frame, Setup
from bridge.recordings.index import RecordingReader

_COPIED_IN_MP4 = frozenset({"h264", "av1", "vp9", SOUND})
_IN_WORDS = {"vp8": "VP8", "vp9": "VP9", "av1": "AV1", "h264": "H.264", SOUND: "Opus"}
# Silence in Opus, 20 ms of two channels (RFC 6716 section 3.1), for players that count packets and not times.
_SILENCE, _SILENCE_US = b"\xfc\xff\xfe", 20_000

_NOTHING = "There is nothing to show in this part of the recording."


class _Copied:
    """A lane whose frames go into the file as they are."""

    def __init__(self, movie: Movie, stream: Any, setups: Sequence[Setup], *, fill: bool) -> None:
        self._movie = movie
        self._stream = stream
        # The file tells parameter sets once; where they change, they come with each keyframe.
        self._in_band = setups[0].codec == "h264" and len(setups) > 1
        self._fill_from_us = 0 if fill and setups[0].codec == SOUND else None
        self.frames = 0

    def take(self, frame: Frame) -> None:
        if self._fill_from_us is not None:
            while frame.at_us - self._fill_from_us >= _SILENCE_US:
                silence = Frame(self._fill_from_us, _SILENCE_US, True, _SILENCE, frame.setup)
                self._movie.write(self._stream, silence, _SILENCE)
                self._fill_from_us += _SILENCE_US
            self._fill_from_us = frame.at_us + frame.duration_us
        data = frame.data
        if self._in_band and frame.keyframe:
            data = frame.setup.parameter_sets + data
        self._movie.write(self._stream, frame, data)
        self.frames += 1

    def finish(self) -> None:
        """Nothing is kept back."""


class _Encoded:
    """A lane whose pictures are encoded anew."""

    def __init__(self, movie: Movie, stream: Any, size: tuple[int, int], losses: Losses) -> None:
        self._movie = movie
        self._reencoder = Reencoder(stream, *size, losses)

    @property
    def frames(self) -> int:
        return self._reencoder.frames

    def take(self, frame: Frame) -> None:
        self._movie.write_encoded(self._reencoder.take(frame))

    def finish(self) -> None:
        self._movie.write_encoded(self._reencoder.finish())


def write_movie(
    reader: RecordingReader,
    story: Story,
    container: Container,
    window: Window,
    sink: Sink,
    *,
    track: int | None,
    progress: Progress | None,
) -> Report:
    """Raises NotFound if there is nothing to show, VaultError if the disk fails, and what the sink raises."""
    lanes = lanes_of(reader, window, by_codec=container == "matroska", track=track)
    losses = Losses()
    told = [(lane, opening) for lane in lanes if (opening := lane.opening(losses)) is not None]
    if not told:
        raise NotFound(_NOTHING)
    begin_us = min(lane.begin_us(window) for lane, _ in told)
    end_us = min(window.end_us, max(lane.end_us for lane, _ in told))
    report = Report(begin_us // 1_000, end_us // 1_000, len(told), losses=losses)
    report.losses.of(lanes)
    meter = Meter(progress, end_us - begin_us)
    captions = story.captions(begin_us, end_us) if container == "matroska" else []
    with Movie(sink, container, title=story.title, duration_us=end_us - begin_us) as movie:
        pictures = [_writer(movie, *each, container, story, report) for each in told if not each[0].sound]
        several = sum(lane.sound for lane, _ in told) > 1
        mixer = _mixer(movie, report) if container == "mp4" and several else None
        sounds = [_writer(movie, *each, container, story, report) for each in told if each[0].sound]
        writers = [*pictures, *sounds]
        if captions:
            movie.add_captions()
        movie.set_chapters([_moved(each, begin_us) for each in story.chapters(begin_us, end_us)])
        for at_us, number, frame in _side_by_side([lane for lane, _ in told], window, begin_us, losses):
            while captions and captions[0].start_us <= at_us:
                movie.write_caption(_moved(captions.pop(0), begin_us))
            moved = frame._replace(at_us=at_us - begin_us)
            writers[number].take(moved)
            if mixer is not None and number >= len(pictures):
                movie.write_encoded(mixer.take(number, moved))
            meter.at(moved.at_us)
        for caption in captions:
            movie.write_caption(_moved(caption, begin_us))
        for writer in writers:
            writer.finish()
        if mixer is not None:
            movie.write_encoded(mixer.finish())
    report.frames = sum(writer.frames for writer in writers)
    if not report.frames:
        raise NotFound(_NOTHING)
    meter.done()
    return report


def _side_by_side(
    lanes: Sequence[Lane], window: Window, begin_us: int, losses: Losses
) -> Iterator[tuple[int, int, Frame]]:
    """Time, number of the lane, and frame, of all lanes in the order of time."""
    # Sound can begin anywhere: it is there from where the first picture is.
    heard = Window(begin_us, window.end_us)
    sources = [
        _numbered(lane, number, heard if lane.sound else window, losses) for number, lane in enumerate(lanes)
    ]
    return heapq.merge(*sources, key=lambda each: each[:2])


def _mixer(movie: Movie, report: Report) -> Mixer:
    """Where several are to be heard, the sum of them is the first sound."""
    report.remarks.append("The first sound track has everybody together; the ones after it have each alone.")
    report.tracks += 1
    stream = movie.add_encoded(mixing.CODEC, "everybody", UNKNOWN_LANGUAGE, **mixing.settings())
    return Mixer(stream, report.losses)


def _writer(
    movie: Movie, lane: Lane, opening: tuple[Setup, bytes], container: Container, story: Story, report: Report
) -> _Copied | _Encoded:
    setups = lane.setups()
    title, language = story.name_of(lane, report.begin_ms * 1_000), story.language_of(lane)
    sizes = {(setup.width, setup.height) for setup in setups}
    codecs = {setup.codec for setup in setups}
    if container == "matroska" or (codecs <= _COPIED_IN_MP4 and len(codecs) == len(sizes) == 1):
        stream = movie.add_copied(opening, title, language)
        return _Copied(movie, stream, setups, fill=container == "mp4")
    size = largest(list(setups))
    stream = movie.add_encoded("libx264", title, language, **settings(*size))
    was = ", ".join(sorted(_IN_WORDS.get(codec, codec) for codec in codecs))
    why = f"was {was}" if len(sizes) == 1 else f"was {was} of several sizes"
    report.remarks.append(f"{title} {why}; MP4 has it encoded anew as H.264 of {size[0]}x{size[1]}.")
    return _Encoded(movie, stream, size, report.losses)


def _numbered(lane: Lane, number: int, window: Window, losses: Losses) -> Iterator[tuple[int, int, Frame]]:
    for frame in lane.frames(window, losses):
        yield frame.at_us, number, frame


def _moved(caption: Caption, begin_us: int) -> Caption:
    return caption._replace(start_us=caption.start_us - begin_us, end_us=caption.end_us - begin_us)
