"""Whole objects in another form, for workers: a file in another transfer syntax, a video in another container.

Both are asked for by strangers of what strangers sent: everything raises `PixelError`, and values stay what they are.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import msgspec
from av.packet import Packet
from av.video.stream import VideoStream
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import UID

from bridge.imaging.model import turned
from bridge.imaging.pixels.faults import PixelError, plain_faults
from bridge.imaging.pixels.format import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    JPEG_BASELINE,
    NATIVE,
    VIDEO,
    PixelFormat,
)
from bridge.imaging.pixels.transcoding import TARGETS, Transcoded, transcode
from bridge.imaging.pixels.video import sniffed_container

RETELL = "bridge.imaging.dicomweb.retelling:retold"
REMUX = "bridge.imaging.dicomweb.retelling:remuxed"
OBJECT_TARGETS = TARGETS - {JPEG_BASELINE}
"""Without loss: an object with other values would need another SOPInstanceUID."""
_UNITS = {"OW": 2, "OL": 4, "OF": 4, "OD": 8, "OV": 8}
_OFFSETS = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_USUAL_RATE = Fraction(25)


class Remux(msgspec.Struct, frozen=True, array_like=True):
    """Of a video: its transfer syntax, and the pictures a second for a stream that does not say when they are shown."""

    transfer_syntax: str
    rate: float


def retold(payload: memoryview, arguments: bytes) -> bytes:
    """A Part 10 file in the transfer syntax that the arguments name. Raises PixelError."""
    target = arguments.decode("ascii")
    if target not in OBJECT_TARGETS:
        raise PixelError("Objects are not made in this transfer syntax.", "unsupported")
    with plain_faults("The object"):
        dataset = dcmread(io.BytesIO(payload))
        source = str(dataset.file_meta.TransferSyntaxUID)
        if source in VIDEO:
            raise PixelError("A video is given as it is kept only.", "unsupported")
        if source == EXPLICIT_BIG:
            _turn(dataset)
        if any(name in dataset for name in _PIXELS):
            _retell_pixels(dataset, source, target)
        elif target != EXPLICIT_LITTLE:
            raise PixelError("The object has no pixels to compress.", "unsupported")
        return _written(dataset, target)


def _written(dataset: FileDataset, target: str) -> bytes:
    made = Dataset()
    for element in dataset:  # Being read, they lose the byte order that they came in.
        made.add(element)
    made.file_meta = dataset.file_meta
    made.file_meta.TransferSyntaxUID = UID(target)
    file = io.BytesIO()
    made.save_as(file, implicit_vr=False, little_endian=True, enforce_file_format=True)
    return file.getvalue()


def _turn(dataset: Dataset) -> None:
    """Values whose bytes pydicom leaves as they were sent; pixels are turned where they are decoded."""
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                _turn(item)
        elif element.VR in _UNITS and element.keyword not in _PIXELS and isinstance(element.value, bytes):
            element.value = turned(element.value, _UNITS[element.VR])


def _retell_pixels(dataset: FileDataset, source: str, target: str) -> None:
    form = PixelFormat.of(dataset)
    frames = [
        transcode(form, data, index, target) for index, data in enumerate(_frames(dataset, form, source))
    ]
    if len(frames) != form.frames or not frames:
        raise PixelError("The object does not hold all of its frames.")
    _describe(dataset, frames[0])
    for name in _OFFSETS:
        if name in dataset:
            delattr(dataset, name)
    if target == EXPLICIT_LITTLE:
        pixels = _joined(form, frames)
        name = next(name for name in _PIXELS if name in dataset)
        dataset[name].value = pixels + b"\0" * (len(pixels) % 2)
        dataset[name].is_undefined_length = False
        if name == "PixelData":
            dataset[name].VR = "OW" if frames[0].bits_allocated > 8 else "OB"
    else:
        dataset.PixelData = encapsulate([frame.data for frame in frames])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True


def _frames(dataset: FileDataset, form: PixelFormat, source: str) -> Iterator[bytes]:
    data: Any = next(dataset[name].value for name in _PIXELS if name in dataset)
    if source not in NATIVE:
        extended: Any = tuple(dataset[name].value for name in _OFFSETS) if _OFFSETS[0] in dataset else None
        yield from generate_frames(data, number_of_frames=form.frames, extended_offsets=extended)
        return
    for index in range(form.frames):
        first, shift = divmod(index * form.native_bits, 8)
        raw = data[first : first + -(-(form.native_bits + shift) // 8)]
        if shift:
            bits = int.from_bytes(raw, "little") >> shift & (1 << form.native_bits) - 1
            raw = bits.to_bytes(-(-form.native_bits // 8), "little")
        yield raw


def _joined(form: PixelFormat, frames: list[Transcoded]) -> bytes:
    """Frames of single bits follow each other without a gap."""
    if form.bits_allocated != 1 or form.native_bits % 8 == 0:
        return b"".join(frame.data for frame in frames)
    bits = 0
    for index, frame in enumerate(frames):
        bits |= int.from_bytes(frame.data, "little") << index * form.native_bits
    return bits.to_bytes(-(-form.native_bits * len(frames) // 8), "little")


def _describe(dataset: FileDataset, made: Transcoded) -> None:
    if "PixelData" not in dataset:
        return
    dataset.PhotometricInterpretation = made.photometric
    dataset.SamplesPerPixel = made.samples
    dataset.BitsAllocated = made.bits_allocated
    dataset.BitsStored = made.bits_stored
    dataset.HighBit = made.bits_stored - 1
    dataset.PixelRepresentation = int(made.signed)
    if made.samples > 1:
        dataset.PlanarConfiguration = 0
    elif "PlanarConfiguration" in dataset:
        del dataset.PlanarConfiguration


def remuxed(payload: memoryview, arguments: bytes) -> bytes:
    """The pictures of a video stream as they are, in an MP4 file. Raises PixelError."""
    wish = msgspec.msgpack.decode(arguments, type=Remux)
    stream = bytes(payload)
    format = sniffed_container(wish.transfer_syntax, stream)
    with plain_faults("The video"):
        return stream if format == "mov" else _remuxed(stream, format, _rate(wish.rate))


def _rate(said: float) -> Fraction:
    return Fraction(said).limit_denominator(1001) if 0.1 <= said <= 1000 else _USUAL_RATE


def _remuxed(stream: bytes, format: str, rate: Fraction) -> bytes:
    made = io.BytesIO()
    options = {"codec_whitelist": "h264,hevc", "protocol_whitelist": ""}
    with (
        av.open(io.BytesIO(stream), mode="r", format=format, options=options) as source,
        av.open(made, mode="w", format="mp4") as target,
    ):
        video = source.streams.video[0]
        out = target.add_stream_from_template(video)
        packets = [packet for packet in source.demux(video) if packet.size]
        if any(packet.pts is None or packet.dts is None for packet in packets):
            _time(packets, rate)
        for packet in packets:
            packet.stream = out
            target.mux(packet)
    return made.getvalue()


def _time(packets: list[Packet[VideoStream]], rate: Fraction) -> None:
    """An elementary stream says no times, and only decoding shows in which order its pictures are shown."""
    for number, packet in enumerate(packets):
        packet.time_base = 1 / rate
        packet.pts = packet.dts = number
        packet.duration = 1
    decoder = packets[0].stream.codec_context
    frames = [frame for packet in packets for frame in decoder.decode(packet)] + decoder.decode(None)
    places = {frame.pts: place for place, frame in enumerate(frames) if frame.pts is not None}
    late = max((number - place for number, place in places.items()), default=0)
    for number, packet in enumerate(packets):
        packet.pts = places.get(number, number) + late
