"""Exported films: read by FFmpeg, which shares nothing with the reading side, and held against what was recorded."""

from __future__ import annotations

import io
import itertools
import json
import resource
import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from aiortc.codecs import get_encoder
from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from bridge.errors import NotFound
from bridge.media.recording.av1 import SEQUENCE_HEADER, TEMPORAL_DELIMITER, configuration_of
from bridge.media.recording.parts import Part, PartBuilder
from bridge.media.recording.samples import Codec, Configuration, Sample
from bridge.media.recording.timeline import StreamClock
from bridge.recordings import layout
from bridge.recordings.export import Format, Report, WindowError, export
from bridge.recordings.export.unpacking import Setup, unpack
from bridge.recordings.index import RecordingReader
from bridge.recordings.layout import UnreadableRecording
from bridge.vault import Vault
from tests.media.recording.sending import FRAME_US, START_US, Sent, sound, video
from tests.recordings.making import (
    CLINIC,
    CLINIC_NAME,
    HUB,
    HUB_NAME,
    Made,
    Track,
    make_recording,
    make_recording_of_parts,
)

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


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path)


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


@pytest.mark.parametrize("whole", [True, False])
def test_matroska_has_every_track_at_its_times_and_nothing_is_encoded_anew(
    vault: Vault, tmp_path: Path, whole: bool
) -> None:
    made = make_recording(vault)
    content, report = exported(opened(vault, made), Format.MKV, whole=whole)
    told = probed(content, tmp_path / "film.mkv")
    tracks = [stream for stream in told["streams"] if stream["codec_type"] != "subtitle"]
    assert [stream["codec_name"] for stream in tracks] == ["h264", "vp8", "opus", "opus"]
    assert [stream["tags"]["title"] for stream in tracks] == [
        f"{CLINIC_NAME}: ultrasound",
        f"{HUB_NAME}: camera",
        f"{HUB_NAME}: microphone",
        f"{CLINIC_NAME}: microphone",
    ]
    assert abs(float(told["format"]["duration"]) - 8.0) < 0.1
    assert (report.begin_ms, report.end_ms, report.tracks, report.frames) == (0, 8_000, 4, 1_100)
    assert report.remarks == []
    packets = packets_of(content)
    for number, lane in enumerate(LANES):
        starts = recorded_starts(made.of(*lane))
        assert int(tracks[number]["nb_read_packets"]) == len(starts)
        times = [at_us for at_us, _ in packets[number]]
        assert all(earlier < later for earlier, later in itertools.pairwise(times))
        assert max(abs(at - was) for at, was in zip(times, starts, strict=True)) <= MS_US


def test_a_track_that_was_published_anew_goes_on_in_the_same_one(vault: Vault) -> None:
    made = make_recording(vault)
    content, _ = exported(opened(vault, made), Format.MKV)
    with av.open(io.BytesIO(content)) as film:
        decoded = [frame.time for frame in film.decode(video=0)]
    assert len(decoded) == 210
    assert max(later - earlier for earlier, later in itertools.pairwise(decoded)) == pytest.approx(
        1.03, abs=0.01
    )


def test_h264_that_changes_its_size_can_be_decoded_throughout(vault: Vault) -> None:
    tracks = [
        Track(CLINIC, "ultrasound", "video", video("h264", 60)),
        Track(CLINIC, "ultrasound", "video", video("h264", 60, width=640, from_us=START_US + 3_000_000)),
        Track(CLINIC, "ultrasound", "video", video("h264", 60, from_us=START_US + 6_000_000)),
    ]
    made = make_recording(vault, tracks=tracks)
    content, report = exported(opened(vault, made), Format.MKV)
    assert report.tracks == 1
    with av.open(io.BytesIO(content)) as film:
        widths = [frame.width for frame in film.decode(video=0)]
    assert widths == [320] * 60 + [640] * 60 + [320] * 60
    content, report = exported(opened(vault, made), Format.MP4)
    with av.open(io.BytesIO(content)) as film:
        widths = [frame.width for frame in film.decode(video=0)]
    assert widths == [640] * 180
    assert report.remarks == [
        f"{CLINIC_NAME}: ultrasound was H.264 of several sizes; MP4 has it encoded anew as H.264 of 640x240."
    ]


def test_another_codec_gets_a_track_of_its_own_in_matroska(vault: Vault) -> None:
    tracks = [
        Track(HUB, "camera", "video", video("vp8", 60)),
        Track(HUB, "camera", "video", video("h264", 60, from_us=START_US + 3_000_000)),
    ]
    content, _ = exported(opened(vault, make_recording(vault, tracks=tracks)), Format.MKV)
    with av.open(io.BytesIO(content)) as film:
        assert [stream.codec_context.name for stream in film.streams.video] == ["vp8", "h264"]
    content, _ = exported(opened(vault, make_recording(vault, tracks=tracks)), Format.MP4)
    with av.open(io.BytesIO(content)) as film:
        assert len(list(film.decode(video=0))) == 120


def test_marks_and_the_floor_are_chapters_and_chat_is_a_subtitle(vault: Vault, tmp_path: Path) -> None:
    content, _ = exported(opened(vault, make_recording(vault)), Format.MKV)
    told = probed(content, tmp_path / "film.mkv")
    chapters = [(float(each["start_time"]), each["tags"]["title"]) for each in told["chapters"]]
    # A mark that was taken back is not among them.
    assert chapters == [(0.0, f"{HUB_NAME}, {CLINIC_NAME}"), (2.0, "Van hai lá"), (5.0, CLINIC_NAME)]
    texts = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(tmp_path / "film.mkv"), "-map", "0:s:0", "-f", "srt", "-"],
        capture_output=True,
        check=True,
    ).stdout.decode()
    assert "00:00:01,500 --> 00:00:07,500" in texts
    assert f"{CLINIC_NAME}: Bên tôi thấy rõ" in texts


@pytest.mark.parametrize("whole", [True, False])
def test_mp4_encodes_vp8_anew_and_copies_the_rest(vault: Vault, tmp_path: Path, whole: bool) -> None:
    made = make_recording(vault)
    content, report = exported(opened(vault, made), Format.MP4, whole=whole)
    told = probed(content, tmp_path / "film.mp4")
    assert [stream["codec_name"] for stream in told["streams"][:5]] == ["h264", "h264", "aac", "opus", "opus"]
    assert abs(float(told["format"]["duration"]) - 8.0) < 0.1
    assert report.remarks == [
        f"{HUB_NAME}: camera was VP8; MP4 has it encoded anew as H.264 of 320x240.",
        "The first sound track has everybody together; the ones after it have each alone.",
    ]
    packets = packets_of(content)
    del packets[2]
    recorder_packets = packets_of(exported(opened(vault, made), Format.MKV)[0])
    assert [data for _, data in packets[0]] == [data for _, data in recorder_packets[0]]
    for number, lane in zip((0, 1, 3), LANES[:3], strict=True):
        starts = recorded_starts(made.of(*lane))
        times = [at_us for at_us, _ in packets[number]]
        assert len(times) == len(starts)
        assert max(abs(at - was) for at, was in zip(times, starts, strict=True)) <= MS_US
    # Players that count packets of sound stay in step through the three seconds of silence.
    heard = [at_us for at_us, _ in packets[4]]
    assert len(heard) == 400
    assert all(later - earlier == 20_000 for earlier, later in itertools.pairwise(heard))


def test_pictures_encoded_anew_look_like_those_that_were_sent(vault: Vault) -> None:
    made = make_recording(vault, tracks=[Track(HUB, "camera", "video", video("vp8", 60))])
    sent = gray(exported(opened(vault, made), Format.MKV)[0])
    shown = gray(exported(opened(vault, made), Format.MP4)[0])
    errors = [float(np.mean((one - other) ** 2)) for one, other in zip(sent, shown, strict=True)]
    assert 10 * np.log10(255**2 / max(errors)) > 32


@pytest.mark.parametrize("format", [Format.MP4, Format.DICOM])
def test_pictures_that_claim_to_be_huge_cost_no_memory(vault: Vault, format: Format) -> None:
    huge = [replace(each, payload=claimed(each.payload, 16_383)) for each in video("vp8", 30)]
    tracks = [
        Track(CLINIC, "camera", "video", huge),
        Track(HUB, "camera", "video", video("vp8", 30)),
    ]
    reader = opened(vault, make_recording(vault, tracks=tracks))
    assert {note.width for track in reader.tracks for note in track.inits.values()} == {16_383, 320}
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if format is Format.MP4:
        _, report = exported(reader, format)
        assert (report.frames, report.losses.frames) == (30, 30)
    with pytest.raises(NotFound):
        exported(reader, format, track=reader.tracks[0].stream)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 600_000


def claimed(payload: bytes, side: int) -> bytes:
    """A keyframe of VP8 that says that it is so large (RFC 6386 section 9.1)."""
    head, code, rest = payload.partition(b"\x9d\x01\x2a")
    return head + code + side.to_bytes(2, "little") * 2 + rest[4:] if code and len(head) < 10 else payload


def gray(content: bytes) -> list[np.ndarray[Any, Any]]:
    with av.open(io.BytesIO(content)) as film:
        return [frame.to_ndarray(format="gray").astype(np.float64) for frame in film.decode(video=0)]


def flashes() -> list[Sent]:
    """White for a tenth of every second, black otherwise, as VP8."""
    context = av.CodecContext.create("libvpx", "w")
    context.width, context.height, context.pix_fmt = 160, 120, "yuv420p"
    context.time_base, context.gop_size = Fraction(1, 30), 30
    context.options = {"deadline": "realtime", "cpu-used": "16"}
    encoded = []
    for number in range(180):
        image = np.full((120, 160, 3), 235 if number % 30 < 3 else 16, np.uint8)
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = number, context.time_base
        encoded += context.encode(frame)
    encoded += context.encode(None)
    pack = get_encoder(RTCRtpCodecParameters(mimeType="video/VP8", clockRate=90_000, payloadType=96)).pack
    sent: list[Sent] = []
    for number, picture in enumerate(encoded):
        payloads, _ = pack(picture)
        for place, payload in enumerate(payloads):
            at_us, last = START_US + number * FRAME_US, place == len(payloads) - 1
            start = place == 0 and bool(picture.is_keyframe)
            sent.append(Sent(0, "vp8", at_us, len(sent), number * 3_000, last, start, payload))
    return sent


def tones() -> list[Sent]:
    """A tone for a tenth of every second, as Opus."""
    context = av.CodecContext.create("libopus", "w")
    context.sample_rate, context.layout, context.format = 48_000, "stereo", "s16"
    context.options = {"application": "lowdelay", "frame_duration": "20"}
    encoded: list[av.Packet] = []
    for number in range(300):
        moments = (np.arange(960) + number * 960) / 48_000
        loud = 12_000 if number % 50 < 5 else 0
        wave = (np.sin(moments * 440 * 2 * np.pi) * loud).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(np.repeat(wave, 2)[None], format="s16", layout="stereo")
        frame.sample_rate, frame.pts = 48_000, number * 960
        encoded += context.encode(frame)
    return [
        Sent(
            0,
            "opus",
            START_US + (number + 1) * 20_000,
            number,
            number * 960,
            number == 0,
            False,
            bytes(packet),
        )
        for number, packet in enumerate(encoded[:300])
    ]


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("format", [Format.MKV, Format.MP4])
def test_flashes_and_tones_lie_together(vault: Vault, format: Format, whole: bool) -> None:
    tracks = [Track(HUB, "camera", "video", flashes()), Track(HUB, "microphone", "audio", tones())]
    reader = opened(vault, make_recording(vault, tracks=tracks))
    content, _ = exported(reader, format, whole=whole, begin_ms=1_500)
    seen: list[float] = []
    with av.open(io.BytesIO(content)) as film:
        bright = True
        for picture in film.decode(video=0):
            was, bright = bright, float(picture.to_ndarray(format="gray").mean()) > 128
            if bright and not was:
                seen.append(picture.time)
    heard: list[float] = []
    with av.open(io.BytesIO(content)) as film:
        quiet_s = 0.0
        for sound_frame in film.decode(audio=0):
            levels = np.abs(sound_frame.to_ndarray()).max(axis=0)
            for block in range(0, sound_frame.samples, 96):
                quiet_s += 0.002
                if levels[block : block + 96].max() > 0.1:
                    if quiet_s > 0.3:
                        heard.append(sound_frame.time + block / 48_000)
                    quiet_s = 0.0
    assert len(seen) == 4
    assert max(min(abs(flash - tone) for tone in heard) for flash in seen) < 0.04


def test_a_window_begins_where_its_pictures_can_be_decoded(vault: Vault) -> None:
    made = make_recording(vault)
    content, report = exported(opened(vault, made), Format.MKV, begin_ms=2_700, end_ms=3_300)
    # Keyframes are a second apart; the last one before 2.7 s is at 2 s.
    assert report.begin_ms == pytest.approx(2_000, abs=1)
    assert report.end_ms == 3_300
    with av.open(io.BytesIO(content)) as film:
        shown = [frame.time for frame in film.decode(video=0)]
    assert len(shown) in (39, 40)
    assert shown[0] < 0.001
    assert shown[-1] <= 1.3


def test_one_track_can_be_chosen_with_what_continues_it(vault: Vault) -> None:
    made = make_recording(vault)
    content, report = exported(opened(vault, made), Format.MKV, track=made.streams[4])
    assert report.tracks == 1
    assert len(packets_of(content)[0]) == 210


@pytest.mark.parametrize("format", list(Format))
def test_what_is_not_there_is_refused(vault: Vault, format: Format) -> None:
    reader = opened(vault, make_recording(vault))
    for begin_ms, end_ms in ((9_000, None), (3_000, 2_000), (-1, None)):
        with pytest.raises(WindowError):
            exported(reader, format, begin_ms=begin_ms, end_ms=end_ms)
    with pytest.raises(NotFound):
        exported(reader, format, track=99)


def test_a_recording_that_its_writer_left_behind_is_exported_as_far_as_it_got(vault: Vault) -> None:
    made = make_recording(vault, sealed=False)
    content, report = exported(opened(vault, made), Format.MKV)
    assert report.losses.parts == 0
    assert len(packets_of(content)[0]) == 210


def test_damaged_parts_are_left_out_and_named_and_pictures_wait_for_a_keyframe(
    vault: Vault, tmp_path: Path
) -> None:
    tracks = [Track(CLINIC, "ultrasound", "video", video("h264", 120, keyframe_every=60))]
    made = make_recording(vault, tracks=tracks)
    path = tmp_path / "recordings" / made.recording / f"{made.streams[0]:08}.parts"
    with opened(vault, made) as reader:
        second = reader.tracks[0].parts[1]
    stored = bytearray(path.read_bytes())
    stored[second.part.offset_bytes + second.part.header.body_offset + 40] ^= 1
    path.write_bytes(stored)
    content, report = exported(opened(vault, made), Format.MKV)
    assert report.losses.parts == 1
    assert f"part {second.number} is altered" in report.losses.texts[0]
    times = [at_us for at_us, _ in packets_of(content)[0]]
    kept = [mark.start_us for part in made.parts[made.streams[0]] for mark in part.frames]
    first_part = len(made.parts[made.streams[0]][0].frames)
    assert len(times) == first_part + 60
    assert abs(times[first_part] - kept[60]) <= MS_US
    with av.open(io.BytesIO(content)) as film:
        assert len(list(film.decode(video=0))) == len(times)


@pytest.mark.parametrize("format", list(Format))
def test_a_track_of_which_nothing_can_be_read_does_not_stop_the_others(
    vault: Vault, tmp_path: Path, format: Format
) -> None:
    made = make_recording(vault)
    path = tmp_path / "recordings" / made.recording / f"{made.streams[1]:08}.parts"
    with opened(vault, made) as reader:
        bodies = [
            (entry.part.offset_bytes + entry.part.header.body_offset) for entry in reader.tracks[1].parts
        ]
    stored = bytearray(path.read_bytes())
    for offset in bodies:
        stored[offset] ^= 1
    path.write_bytes(stored)
    content, report = exported(opened(vault, made), format)
    assert report.frames >= 210
    if format is Format.MKV:
        assert report.tracks == 3
        assert report.losses.parts == len(bodies)
        assert len(packets_of(content)) == 3


def box(name: bytes, content: bytes = b"") -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + name + content


@pytest.mark.parametrize(
    "body",
    [
        box(b"moof"),
        box(b"moof", box(b"traf")),
        box(b"moof", box(b"traf", box(b"tfdt", bytes(12)))),
        box(b"moof", box(b"traf", box(b"tfdt", bytes(12)) + box(b"trun"))),
        box(b"moof")[:-1],
    ],
)
def test_a_part_that_lacks_what_it_needs_says_that_it_cannot_be_read(body: bytes) -> None:
    with pytest.raises(UnreadableRecording):
        unpack(Setup("h264", 320, 240, b""), body, 0, ())


def test_a_sink_that_fails_ends_the_export_with_its_own_error(vault: Vault) -> None:
    reader = opened(vault, make_recording(vault))
    for format in (Format.MKV, Format.MP4):
        with pytest.raises(BrokenPipeError):
            export(reader, format, Onwards(limit_bytes=200_000))


def test_progress_is_told_to_its_end_and_can_stop_the_export(vault: Vault) -> None:
    reader = opened(vault, make_recording(vault))
    told: list[tuple[int, int]] = []
    export(reader, Format.MKV, Onwards(), progress=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1] == (8_000_000, 8_000_000)
    assert len(told) > 10

    def stop(done: int, total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        export(reader, Format.MKV, Onwards(), progress=stop)


def test_sound_alone_is_a_film_too(vault: Vault) -> None:
    made = make_recording(vault, tracks=[Track(HUB, "microphone", "audio", sound(100))])
    for format in (Format.MKV, Format.MP4):
        content, _ = exported(opened(vault, made), format)
        with av.open(io.BytesIO(content)) as film:
            assert sum(frame.samples for frame in film.decode(audio=0)) == 100 * 960


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


def test_sound_that_cannot_be_decoded_is_counted(vault: Vault) -> None:
    spoken = sound(100)
    # Padding of a length that goes on behind the end (RFC 6716 section 3.2.5).
    broken = [
        replace(each, payload=b"\xff\x41\xff") if 40 <= at < 50 else each for at, each in enumerate(spoken)
    ]
    tracks = [Track(HUB, "microphone", "audio", spoken), Track(CLINIC, "microphone", "audio", broken)]
    _, report = exported(opened(vault, make_recording(vault, tracks=tracks)), Format.MP4)
    assert report.losses.frames == 10


@pytest.mark.parametrize("whole", [True, False])
def test_in_mp4_everybody_is_heard_in_the_first_sound_track(vault: Vault, whole: bool) -> None:
    """One speaks for two seconds, another after four: whoever opens the file hears both, at their times."""
    tracks = [
        Track(HUB, "microphone", "audio", sound(100)),
        Track(CLINIC, "microphone", "audio", sound(100, from_us=START_US + 4_000_000)),
    ]
    content, report = exported(opened(vault, make_recording(vault, tracks=tracks)), Format.MP4, whole=whole)
    assert report.tracks == 3
    with av.open(io.BytesIO(content)) as film:
        assert film.streams.audio[0].disposition & film.streams.audio[0].disposition.default
        loud = {}
        for frame in film.decode(audio=0):
            loud[round(frame.time, 2)] = float(np.abs(frame.to_ndarray()).max())
    for at_s, level in loud.items():
        if 0.1 < at_s < 1.9 or 4.1 < at_s < 5.9:
            assert level > 0.15
        if 2.1 < at_s < 3.9:
            assert level < 0.01
    began = min(at_s for at_s, level in loud.items() if at_s > 2.5 and level > 0.02)
    assert began == pytest.approx(4.0, abs=0.03)
    assert max(loud) == pytest.approx(6.0, abs=0.1)
