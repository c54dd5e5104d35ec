"""Exports of what is damaged, unfinished or made to do harm, and to who does not take them."""

from __future__ import annotations

import io
import resource
from dataclasses import replace
from pathlib import Path

import av
import pytest

from bridge.errors import NotFound
from bridge.recordings.export import Format, WindowError, export
from bridge.recordings.export.unpacking import Setup, unpack
from bridge.recordings.layout import UnreadableRecording
from bridge.vault import Vault
from tests.media.recording.sending import video
from tests.recordings.exporting import MS_US, Onwards, exported, opened, packets_of
from tests.recordings.making import CLINIC, HUB, Track, make_recording


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path)


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
