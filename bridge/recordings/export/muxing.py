"""One Matroska or MP4 file, written by FFmpeg's muxers from frames that are there already or are encoded on the way.

Matroska as RFC 9559, MP4 as ISO/IEC 14496-12: whole with an index where the sink can go back, in fragments where it can
not. It knows no recordings; times are microseconds from the file's beginning.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from types import TracebackType
from typing import Any, Literal, Self

import av

from bridge.recordings.export.sinks import PlainSink, Sink, SinkFrom, seekable
from bridge.recordings.export.story import Caption
from bridge.recordings.export.unpacking import SOUND, Frame, Setup

Container = Literal["matroska", "mp4"]
US = Fraction(1, 1_000_000)
_TIME_BASES = {"video": Fraction(1, 90_000), "audio": Fraction(1, 48_000)}
# Nothing before the fragments needs to be known, and each begins where it says.
_FRAGMENTED = "frag_keyframe+empty_moov+default_base_moof+frag_discont"
_FRAGMENT_US = "2000000"


class Movie:
    """The file; to be closed, which writes what belongs at its end. All tracks come before the first frame."""

    def __init__(
        self, sink: Sink, container: Container, *, title: str, duration_us: int, start: int = 0
    ) -> None:
        """`start`: where in a seekable sink the file begins."""
        whole = seekable(sink)
        self._kind = container
        self._duration_us = duration_us
        options = {}
        if whole is None and container == "mp4":
            options = {"movflags": _FRAGMENTED, "frag_duration": _FRAGMENT_US}
        target = PlainSink(sink) if whole is None else SinkFrom(whole, start)
        self._out = av.open(target, "w", format=container, options=options)
        self._has: set[str] = set()
        self._captions: Any = None
        if title:
            self._out.metadata["title"] = title

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except Exception:
            # What went wrong first is what is told.
            if error is None:
                raise

    def close(self) -> None:
        """Writes the rest. May be repeated."""
        self._out.close()

    # --- before the first frame ---

    def add_copied(self, opening: tuple[Setup, bytes], title: str, language: str) -> Any:
        """A track of frames that are put in as they are, all of the codec of this first part."""
        setup, first = opening
        with av.open(io.BytesIO(setup.segment + first)) as opened:
            # As it is, whether or not there is an encoder for it.
            stream = self._out.add_stream_from_template(opened.streams[0], opaque=True)
        stream.time_base = _TIME_BASES["audio" if setup.codec == SOUND else "video"]
        return self._added(stream, title, language)

    def add_encoded(self, codec: str, title: str, language: str, **settings: Any) -> Any:
        """A track that is encoded on the way, with the attributes of FFmpeg's encoder."""
        stream = self._out.add_stream(codec, options=settings.pop("options"))
        for name, value in settings.items():
            setattr(stream.codec_context, name, value)
        return self._added(stream, title, language)

    def add_captions(self) -> None:
        """A track of texts, in Matroska only."""
        if self._kind == "matroska":
            self._captions = self._out.add_mux_stream("subrip")
            self._captions.time_base = US

    def set_chapters(self, chapters: Sequence[Caption]) -> None:
        self._out.set_chapters(
            [
                {
                    "id": number,
                    "start": chapter.start_us,
                    "end": chapter.end_us,
                    "time_base": US,
                    "metadata": {"title": chapter.text},
                }
                for number, chapter in enumerate(chapters, 1)
            ]
        )

    # --- frames ---

    def write(self, stream: Any, frame: Frame, data: bytes) -> None:
        """`data` stands in for the frame's own."""
        packet = av.Packet(data)
        packet.stream, packet.time_base = stream, US
        packet.pts = packet.dts = frame.at_us
        packet.duration, packet.is_keyframe = frame.duration_us, frame.keyframe
        self._out.mux(packet)

    def write_encoded(self, packets: Sequence[Any]) -> None:
        self._out.mux(packets)

    def write_caption(self, caption: Caption) -> None:
        if self._captions is None:
            return
        packet = av.Packet(caption.text.encode())
        packet.stream, packet.time_base = self._captions, US
        packet.pts = packet.dts = caption.start_us
        packet.duration = caption.end_us - caption.start_us
        self._out.mux(packet)

    def _added(self, stream: Any, title: str, language: str) -> Any:
        stream.metadata["title"], stream.metadata["language"] = title, language
        if self._kind == "mp4":
            # Its players show no title but this one.
            stream.metadata["handler_name"] = title
        if self._kind == "matroska" and self._duration_us:
            # A length that is known from the beginning, where the muxer cannot come back to fill it in.
            stream.metadata["DURATION"] = _clock(self._duration_us)
        if stream.type not in self._has:
            stream.disposition = av.stream.Disposition.default
            self._has.add(stream.type)
        return stream


def _clock(duration_us: int) -> str:
    seconds, rest_us = divmod(duration_us, 1_000_000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest_us:06}000"
