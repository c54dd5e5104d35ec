"""Recordings are read from their headers: whole, while they are written, and with whatever was done to their files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.errors import BridgeError
from bridge.recordings import layout
from bridge.recordings.index import OPEN_STREAMS, RecordingReader
from bridge.vault import ObjectKind, Trouble, Vault, VaultError
from tests.media.recording.sending import video
from tests.recordings.making import Made, init_note, make_recording, part_note, parts_of, write_events
from tests.recordings.making import events as told


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path)


@pytest.fixture
def made(vault: Vault) -> Made:
    return make_recording(vault)


def reader_of(vault: Vault, made: Made) -> RecordingReader:
    return RecordingReader(vault.open(layout.ref_of(made.recording)))


def stream_file(tmp_path: Path, made: Made, stream: int) -> Path:
    return tmp_path / "recordings" / made.recording / f"{stream:08}.parts"


def test_a_recording_is_found_as_it_was_written(vault: Vault, made: Made) -> None:
    reader = reader_of(vault, made)
    assert [track.stream for track in reader.tracks] == made.streams
    for track, sent in zip(reader.tracks, made.tracks, strict=True):
        parts = made.parts[track.stream]
        assert (track.about.participant, track.about.source) == (sent.participant, sent.source)
        assert [track.read(entry.number) for entry in track.parts] == [part.data for part in parts]
        assert [entry.note.start_us for entry in track.parts] == [part.start_us for part in parts]
        assert [track.read(number) for number in track.inits] == [parts[0].init.data]
        assert {entry.init for entry in track.parts} == set(track.inits)
        assert track.begin_us == parts[0].start_us
        assert track.end_us == parts[-1].start_us + parts[-1].duration_us
        assert (track.live, track.findings()) == (False, [])
    assert (reader.begin_ms, reader.end_ms, reader.sealed, reader.findings()) == (0, 8_000, True, [])
    assert reader.started.title == "Tim thai, 24 tuần"
    assert [event["type"] for event in reader.events()][-1] == "recordingEnded"


def test_events_of_several_streams_stand_in_the_order_of_time(vault: Vault, made: Made) -> None:
    reader = reader_of(vault, made)
    before = reader.events_as_written()
    writer = vault.reopen(layout.ref_of(made.recording))
    write_events(writer, [layout.MarkAdded(at_ms=2_500, mark="m", participant="p", name="", text="")])
    reader.refresh()
    assert reader.events_as_written(len(before))[0]["mark"] == "m"
    assert reader.events_as_written()[: len(before)] == before
    times = [event["atMs"] for event in reader.events()]
    assert times == sorted(times)


def test_a_recording_is_followed_while_it_is_written(vault: Vault) -> None:
    parts = parts_of(video("vp8", 90))
    writer = vault.create(ObjectKind.RECORDING)
    write_events(writer, told("s")[:1], sealed=False)
    reader = RecordingReader(vault.open(writer.ref))
    assert (reader.tracks, reader.sealed, reader.end_ms) == ([], False, 0)
    stream = writer.new_stream()
    about = layout.TrackNote(track="t", participant="p", source="camera", kind="video")
    stream.append(b"", layout.encode_note(about))
    stream.append(parts[0].init.data, layout.encode_note(init_note(parts[0])))
    for count, part in enumerate(parts, 1):
        stream.append(part.data, layout.encode_note(part_note(part)))
        reader.refresh()
        (track,) = reader.tracks
        assert len(track.parts) == count
        assert track.read(track.parts[-1].number) == part.data
        assert track.live
        assert track.findings() == []
        assert reader.end_ms == (part.start_us + part.duration_us) // 1000
    stream.end()
    writer.seal()
    reader.refresh()
    assert not track.live
    assert reader.sealed


def test_a_writer_that_takes_parts_back_is_followed(vault: Vault, tmp_path: Path) -> None:
    parts = parts_of(video("vp8", 90))
    writer = vault.create(ObjectKind.RECORDING)
    stream = writer.new_stream()
    about = layout.TrackNote(track="t", participant="p", source="camera", kind="video")
    stream.append(b"", layout.encode_note(about))
    stream.append(parts[0].init.data, layout.encode_note(init_note(parts[0])))
    size_bytes = stream.size_bytes
    stream.append(parts[0].data, layout.encode_note(part_note(parts[0])))
    reader = RecordingReader(vault.open(writer.ref))
    path = tmp_path / "recordings" / writer.ref.id / "00000001.parts"
    first = path.read_bytes()
    os.truncate(path, size_bytes)
    reader.refresh()
    assert reader.tracks[0].parts == []
    path.write_bytes(first)
    reader.refresh()
    assert [entry.number for entry in reader.tracks[0].parts] == [2]
    assert reader.tracks[0].size_bytes == len(parts[0].init.data) + len(parts[0].data)


def test_what_a_crash_leaves_is_whole_up_to_there(vault: Vault, tmp_path: Path) -> None:
    made = make_recording(vault, sealed=False)
    path = stream_file(tmp_path, made, made.streams[1])
    os.truncate(path, path.stat().st_size - 100)
    reader = reader_of(vault, made)
    track = reader.tracks[1]
    assert len(track.parts) == len(made.parts[track.stream]) - 1
    assert track.live
    assert track.findings() == []


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("where", ["note", "body"])
def test_a_damaged_part_is_named_and_the_others_are_read(
    vault: Vault, made: Made, tmp_path: Path, where: str
) -> None:
    track = reader_of(vault, made).tracks[1]
    hurt = track.parts[3]
    offset = hurt.part.offset_bytes + (60 if where == "note" else hurt.part.header.body_offset + 5)
    flip(stream_file(tmp_path, made, track.stream), offset)
    track = reader_of(vault, made).tracks[1]
    with pytest.raises(VaultError) as caught:
        track.read(hurt.number)
    assert (caught.value.trouble, caught.value.code) == (Trouble.ALTERED, "damaged")
    assert f"part {hurt.number}" in caught.value.text
    if where == "note":
        assert [finding.part for finding in track.findings()] == [hurt.number]
    rest = [entry.number for entry in track.parts if entry.number != hurt.number]
    bodies = [part.data for part in made.parts[track.stream]]
    assert [track.read(number) for number in rest] == bodies[:3] + bodies[4:]


def cut_out(content: bytes, begin: int, end: int) -> bytes:
    return content[:begin] + content[end:]


@pytest.mark.parametrize(
    ("harm", "trouble"),
    [
        (lambda content, begin, end: cut_out(content, begin, end), Trouble.MISSING),
        (lambda content, begin, end: content[:end] + content[begin:], Trouble.REPEATED),
        (lambda content, begin, end: cut_out(content, end - 50, end), Trouble.CUT_SHORT),
        (
            lambda content, begin, end: (
                cut_out(content, begin, end)[:-84] + content[begin:end] + content[-84:]
            ),
            Trouble.MOVED,
        ),
    ],
)
def test_parts_that_were_tampered_with_are_named(
    vault: Vault,
    made: Made,
    tmp_path: Path,
    harm: Callable[[bytes, int, int], bytes],
    trouble: Trouble,
) -> None:
    hurt = reader_of(vault, made).tracks[3].parts[1].part
    path = stream_file(tmp_path, made, made.streams[3])
    content = path.read_bytes()
    path.write_bytes(harm(content, hurt.offset_bytes, hurt.offset_bytes + hurt.header.frame_bytes))
    reader = reader_of(vault, made)
    track = reader.tracks[3]
    assert [finding.trouble for finding in track.findings()] == [trouble]
    untouched = [entry.number for entry in track.parts if entry.number != hurt.number]
    assert len(untouched) == len(made.parts[track.stream]) - 1
    assert all(track.read(number) for number in untouched)
    assert all(other.findings() == [] for other in reader.tracks if other is not track)


def test_a_stream_that_was_cut_after_it_was_sealed_is_told(vault: Vault, made: Made, tmp_path: Path) -> None:
    track = reader_of(vault, made).tracks[1]
    os.truncate(stream_file(tmp_path, made, track.stream), track.parts[5].part.offset_bytes)
    track = reader_of(vault, made).tracks[1]
    assert len(track.parts) == 5
    assert {finding.trouble for finding in track.findings()} == {Trouble.MISSING, Trouble.UNENDED}
    assert not track.live


def test_a_part_of_another_track_is_told(vault: Vault, made: Made, tmp_path: Path) -> None:
    reader = reader_of(vault, made)
    other = reader.tracks[3].parts[1].part
    stolen = stream_file(tmp_path, made, made.streams[3]).read_bytes()[
        other.offset_bytes : other.offset_bytes + other.header.frame_bytes
    ]
    place = reader.tracks[4].parts[1].part
    path = stream_file(tmp_path, made, made.streams[4])
    content = path.read_bytes()
    path.write_bytes(
        content[: place.offset_bytes] + stolen + content[place.offset_bytes + place.header.frame_bytes :]
    )
    track = reader_of(vault, made).tracks[4]
    assert Trouble.FOREIGN in {finding.trouble for finding in track.findings()}
    with pytest.raises(VaultError):
        track.read(place.number)


def test_a_track_that_is_gone_is_told(vault: Vault, made: Made, tmp_path: Path) -> None:
    stream_file(tmp_path, made, made.streams[0]).unlink()
    reader = reader_of(vault, made)
    assert [finding.trouble for finding in reader.findings()] == [Trouble.STREAM_MISSING]
    assert [track.stream for track in reader.tracks] == made.streams[1:]


def test_parts_without_their_initialisation_segment_say_so(vault: Vault, made: Made, tmp_path: Path) -> None:
    stored = vault.open(layout.ref_of(made.recording))
    with stored.stream(made.streams[1]) as stream:
        about, init = stream.parts[:2]
    flip(stream_file(tmp_path, made, made.streams[1]), init.offset_bytes + 60)
    flip(stream_file(tmp_path, made, made.streams[1]), about.offset_bytes + 60)
    track = reader_of(vault, made).tracks[1]
    assert {entry.init for entry in track.parts} == {None}
    assert (track.about.participant, track.about.source) == ("", "unknown")


def test_a_recording_without_its_beginning_is_read_all_the_same(
    vault: Vault, made: Made, tmp_path: Path
) -> None:
    flip(stream_file(tmp_path, made, 1), 60)
    reader = reader_of(vault, made)
    with pytest.raises(BridgeError) as caught:
        _ = reader.started
    assert caught.value.code == "damaged"
    assert reader.events()
    assert reader.findings()
    assert len(reader.tracks) == 5
    assert reader.end_ms == 8_000


def test_notes_of_later_versions_stop_nothing(vault: Vault) -> None:
    writer = vault.create(ObjectKind.RECORDING)
    write_events(writer, told("s"))
    with writer.new_stream() as stream:
        stream.append(b"?", b'{"k":"hologram"}')
        stream.append(b"?", b"\xff\xfe")
        stream.end()
    writer.seal()
    reader = RecordingReader(vault.open(writer.ref))
    assert len(reader.events()) == len(told("s"))
    assert reader.tracks == []
    assert len(reader.findings()) == 2


def test_few_files_stay_open(vault: Vault) -> None:
    writer = vault.create(ObjectKind.RECORDING)
    write_events(writer, told("s"), sealed=False)
    about = layout.TrackNote(track="t", participant="p", source="camera", kind="video")
    streams = [writer.new_stream() for _ in range(OPEN_STREAMS * 2)]
    for stream in streams:
        stream.append(b"", layout.encode_note(about), durable=False)
    before = len(os.listdir("/proc/self/fd"))
    reader = RecordingReader(vault.open(writer.ref))
    reader.refresh()
    assert len(reader.tracks) == OPEN_STREAMS * 2
    assert len(os.listdir("/proc/self/fd")) - before <= OPEN_STREAMS
    reader.close()
    assert len(os.listdir("/proc/self/fd")) == before
    for stream in streams:
        stream.close()
