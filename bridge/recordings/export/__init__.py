"""Recordings as files for elsewhere: Matroska, MP4, and DICOM video.

`export` writes one to a sink, reading part by part, so that memory is bounded for hours of recording. It blocks: it is
for threads. The content is in the clear from here on, which is why no file is made here but the one that the
caller opened. Who may export, and that it is written down, is the caller's business.
"""

from __future__ import annotations

from enum import StrEnum

from bridge.errors import BridgeError
from bridge.recordings.export.dicom import Patient as Patient
from bridge.recordings.export.dicom import write_dicom
from bridge.recordings.export.lanes import Losses as Losses
from bridge.recordings.export.lanes import Window
from bridge.recordings.export.movies import write_movie
from bridge.recordings.export.muxing import Container
from bridge.recordings.export.report import Progress as Progress
from bridge.recordings.export.report import Report as Report
from bridge.recordings.export.sinks import Sink as Sink
from bridge.recordings.export.story import story_of
from bridge.recordings.index import RecordingReader


class Format(StrEnum):
    """What a recording can be exported as."""

    MKV = "mkv"
    MP4 = "mp4"
    DICOM = "dicom"


SUFFIXES = {Format.MKV: ".mkv", Format.MP4: ".mp4", Format.DICOM: ".dcm"}
CONTENT_TYPES = {
    Format.MKV: "video/x-matroska",
    Format.MP4: "video/mp4",
    Format.DICOM: "application/dicom",
}


class WindowError(BridgeError):
    """A part of the recording was asked for that there is not."""

    default_code = "malformed"


def export(
    reader: RecordingReader,
    format: Format,
    sink: Sink,
    *,
    track: int | None = None,
    begin_ms: int | None = None,
    end_ms: int | None = None,
    patient: Patient | None = None,
    progress: Progress | None = None,
) -> Report:
    """Writes the recording, or its window, to the sink.

    `track` is a stream's number: only it and what continues it; DICOM without it takes the ultrasound. A sink is
    anything with `write`; a seekable `io.BufferedIOBase` gets an index too. After an error, what was written is
    worth nothing. Raises BridgeError (NotFound if there is nothing to show, WindowError, LimitExceeded if it is too
    large, VaultError if the disk fails), and what the sink or `progress` raises.
    """
    begin_us = (reader.begin_ms if begin_ms is None else begin_ms) * 1_000
    end_us = (reader.end_ms if end_ms is None else min(end_ms, reader.end_ms)) * 1_000
    if begin_us < 0 or begin_us >= end_us:
        raise WindowError("This part of the recording ends before it begins, or lies behind its end.")
    window = Window(begin_us, end_us)
    story = story_of(reader.events())
    if format is Format.DICOM:
        return write_dicom(
            reader, story, window, sink, track=track, patient=patient or Patient(), progress=progress
        )
    container: Container = "matroska" if format is Format.MKV else "mp4"
    return write_movie(reader, story, container, window, sink, track=track, progress=progress)
