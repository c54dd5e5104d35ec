"""Recordings as films: every track at its times and as it was sent, held against what was recorded."""

from __future__ import annotations

import io
import itertools
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest

from bridge.recordings.export import Format, export
from bridge.vault import Vault
from tests.media.recording.sending import START_US, sound, sound_with_silence, video
from tests.recordings.exporting import (
    LANES,
    MS_US,
    Onwards,
    exported,
    opened,
    packets_of,
    probed,
    recorded_starts,
)
from tests.recordings.making import CLINIC, CLINIC_NAME, HUB, HUB_NAME, Track, make_recording


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path)


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


@pytest.mark.parametrize("format", [Format.MKV, Format.MP4])
def test_what_an_open_microphone_left_out_in_silence_shifts_nothing(vault: Vault, format: Format) -> None:
    tracks = [
        Track(HUB, "camera", "video", video("h264", 300)),
        Track(HUB, "microphone", "audio", sound_with_silence(500, range(100, 400))),
    ]
    content, _ = exported(opened(vault, make_recording(vault, tracks=tracks)), format)
    with av.open(io.BytesIO(content)) as film:
        frames = list(film.decode(film.streams.audio[-1]))
        heard = np.concatenate([np.abs(frame.to_ndarray()[0].astype(np.float64)) for frame in frames])
        began_s = float(frames[0].pts * frames[0].time_base)
        assert abs(began_s) < 0.04
        assert sum(frame.samples for frame in frames) == 500 * 960
    loud = heard > heard.max() / 10
    last, again = np.flatnonzero(loud[: 5 * 48_000])[-1], np.flatnonzero(loud[5 * 48_000 :])[0] + 5 * 48_000
    assert abs(last / 48_000 - 2.0) < 0.04
    assert abs(again / 48_000 - 8.0) < 0.04


def test_sound_alone_is_a_film_too(vault: Vault) -> None:
    made = make_recording(vault, tracks=[Track(HUB, "microphone", "audio", sound(100))])
    for format in (Format.MKV, Format.MP4):
        content, _ = exported(opened(vault, made), format)
        with av.open(io.BytesIO(content)) as film:
            assert sum(frame.samples for frame in film.decode(audio=0)) == 100 * 960
