"""Exported VP9 and AV1, by encoders that no packetizer here knows."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from bridge.media.recording.av1 import SEQUENCE_HEADER, TEMPORAL_DELIMITER, configuration_of
from bridge.media.recording.parts import Part, PartBuilder
from bridge.media.recording.samples import Codec, Configuration, Sample
from bridge.media.recording.timeline import StreamClock
from bridge.recordings.export import Format
from bridge.vault import Vault
from tests.recordings.exporting import exported, opened, probed
from tests.recordings.making import HUB, Track, make_recording_of_parts


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path)


def encoded_parts(codec: Codec) -> list[Part]:
    """Sixty pictures by an encoder that no packetizer here knows, cut as the recorder cuts."""
    encoder, options = {
        "vp9": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
        "av1": ("libsvtav1", {"preset": "12", "svtav1-params": "pred-struct=1:keyint=30"}),
    }[codec]
    context = av.CodecContext.create(encoder, "w")
    context.width, context.height, context.pix_fmt = 320, 240, "yuv420p"
    context.time_base, context.framerate, context.gop_size = Fraction(1, 30), Fraction(30), 30
    context.options = options
    encoded = []
    for number in range(60):
        image = np.full((240, 320, 3), 40, np.uint8)
        image[:, number * 4 :][:, :32] = (220, 180, 60)
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = number, context.time_base
        encoded += context.encode(frame)
    encoded += context.encode(None)
    builder, clock = PartBuilder(), StreamClock(90_000, 0)
    configuration = Configuration("vp9", "vp09.00.51.08", 320, 240)
    parts: list[Part | None] = []
    for packet in encoded:
        data = bytes(packet)
        if codec == "av1":
            units = [obu for obu in obus(data) if obu[0] >> 3 & 15 != TEMPORAL_DELIMITER]
            headers = [obu for obu in units if obu[0] >> 3 & 15 == SEQUENCE_HEADER]
            configuration = configuration_of(headers[0]) if headers else configuration
            data = b"".join(units)
        at_us = packet.pts * 33_333
        sample = Sample(data, packet.is_keyframe, configuration)
        ticks = clock.stamp(packet.pts * 3_000, at_us)
        if builder.full(ticks, sample):
            parts.append(builder.close(ticks))
        if builder.empty:
            builder.begin(clock, configuration, 0, False, at_us)
        builder.add(ticks, sample)
    return [part for part in [*parts, builder.close()] if part is not None]


def obus(data: bytes) -> list[bytes]:
    """The OBUs of a temporal unit, each with its size (AV1 bitstream specification, section 5.3)."""
    found = []
    at = 0
    while at < len(data):
        length, shift, place = 0, 0, at + (2 if data[at] & 4 else 1)
        while True:
            length |= (data[place] & 0x7F) << shift
            place, shift = place + 1, shift + 7
            if not data[place - 1] & 0x80:
                break
        found.append(data[at : place + length])
        at = place + length
    return found


@pytest.mark.parametrize("format", [Format.MKV, Format.MP4])
@pytest.mark.parametrize("codec", ["vp9", "av1"])
def test_vp9_and_av1_are_copied(vault: Vault, tmp_path: Path, codec: Codec, format: Format) -> None:
    parts = encoded_parts(codec)
    made = make_recording_of_parts(vault, Track(HUB, "camera", "video", []), parts)
    content, report = exported(opened(vault, made), format)
    assert report.remarks == []
    told = probed(content, tmp_path / "film")
    assert (told["streams"][0]["codec_name"], told["streams"][0]["nb_read_packets"]) == (codec, "60")
    with av.open(io.BytesIO(content)) as film:
        assert len(list(film.decode(video=0))) == 60


def test_av1_becomes_h264_in_dicom(vault: Vault) -> None:
    made = make_recording_of_parts(vault, Track(HUB, "camera", "video", []), encoded_parts("av1"))
    _, report = exported(opened(vault, made), Format.DICOM)
    assert report.frames == 60
