"""Real publishers recorded through the real relay into a real vault, and read back."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from av import VideoFrame

from bridge.media.contract import RecordedTrack, RecordingClosed, Source, TrackFlowing, TrackId
from bridge.media.engine import Engine
from bridge.media.recorder import DiskRecorder
from bridge.recordings import layout
from bridge.vault import Vault, VaultError
from tests.media.recording.reading import decode, demux, probe
from tests.media.recording.sending import encoded_pictures, pictures, sound, video
from tests.media.taped import (
    Line,
    Tape,
    TapedTrack,
    bytes_on_disk,
    new_recording,
    next_news,
    now_us,
    play_back,
    recorded,
    started,
    until,
    wish,
)
from tests.media.webrtc import News, publish, running_engine

ULTRASOUND, MICROPHONE, CAMERA = Source.ULTRASOUND, Source.MICROPHONE, Source.CAMERA
STOPPED = layout.RecordingEnded(reason="stopped")
BAR_STEP, BAR_RANGE = 7, 288


@dataclass
class Stage:
    engine: Engine
    news: News
    recorder: DiskRecorder
    vault: Vault
    folder: Path

    async def end(self, recording: layout.RecordingId) -> Tape:
        """Ends a recording and reads it, being whole."""
        self.recorder.end(recording, STOPPED)
        closed = await next_news(self.recorder)
        assert isinstance(closed, RecordingClosed)
        assert closed.recording == recording
        return self.closed(closed)

    def closed(self, closed: RecordingClosed) -> Tape:
        assert closed.size_bytes == bytes_on_disk(
            self.folder / "recordings" / closed.recording
        ) - size_of_list(self.folder, closed)
        assert list(self.vault.verify(layout.ref_of(closed.recording))) == []
        tape = play_back(self.vault, closed.recording)
        assert tape.sealed
        assert all(track.ended for track in tape.tracks)
        return tape


def size_of_list(folder: Path, closed: RecordingClosed) -> int:
    return (folder / "recordings" / closed.recording / "00000000.parts").stat().st_size


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with running_engine() as (engine, news):
        vault = Vault(tmp_path / "data")
        recorder = DiskRecorder(engine, vault)
        recorder.start()
        yield Stage(engine, news, recorder, vault, tmp_path / "data")
        await recorder.close()


@dataclass
class Lined:
    """A recorder whose tracks send what a test says."""

    line: Line
    recorder: DiskRecorder
    vault: Vault

    async def tape(self, recording: layout.RecordingId) -> Tape:
        self.recorder.end(recording, STOPPED)
        assert isinstance(await next_news(self.recorder), RecordingClosed)
        return play_back(self.vault, recording)


@pytest.fixture
async def lined(tmp_path: Path) -> AsyncIterator[Lined]:
    line, vault = Line("heart", "voice"), Vault(tmp_path / "data")
    recorder = DiskRecorder(line, vault)
    recorder.start()
    yield Lined(line, recorder, vault)
    await recorder.close()


def assert_flows(track: TapedTrack) -> None:
    """Valid files whose packets are those that the notes tell of, with times that rise."""
    for (init, _, parts), content in zip(track.runs, track.files, strict=True):
        read = demux(content)
        times = [packet.dts for packet in read]
        assert all(earlier < later for earlier, later in itertools.pairwise(times))
        assert len(read) == sum(note.frames for note, _ in parts)
        assert probe(content)["codec_name"] == init.codec
        assert abs(float(read[0].pts) * 1e6 - parts[0][0].start_us) < 2_000
        for note, _ in parts:
            assert len(note.steps_us) == note.frames
            assert sum(note.steps_us) == note.duration_us
    for before, after in itertools.pairwise(track.parts):
        assert after.start_us > before.start_us


def bars(track: TapedTrack) -> list[int]:
    """Where the bar stands in each decoded picture, in steps."""
    places = []
    for content in track.files:
        for frame in decode(content):
            assert isinstance(frame, VideoFrame)
            row = frame.to_ndarray(format="gray")[120:].mean(axis=0)
            # The middle of what is bright.
            bright = np.flatnonzero(row > 110)
            places.append(round((bright.mean() - 15.5) / BAR_STEP))
    return places


async def flowing(news: News, track: TrackId) -> None:
    await news.wait(TrackFlowing, lambda event: event.track == track and event.flowing)


@pytest.mark.parametrize("codec", ["vp8", "h264"])
async def test_each_frame_sent_on_a_clean_link_is_read_back(stage: Stage, codec: str) -> None:
    sender = await publish(stage.engine, ULTRASOUND, MICROPHONE, prefer=codec)
    recording, recorder = new_recording(), stage.recorder
    seen: dict[TrackId, set[int]] = {}
    for track in sender.tracks.values():
        stamps = seen.setdefault(track.track, set())
        stage.engine.set_tap(
            track.track,
            lambda event, stamps=stamps: stamps.update(packet.timestamp for packet in event.packets),
        )
    recorder.begin(recording, started())
    recorder.follow(recording, [recorded(track) for track in sender.tracks.values()])
    await until(lambda: recorder.clock_ms(recording) > 4_000)
    # Nothing is under way when it ends: what was sent is what arrived.
    await sender.connection.close()
    tape = await stage.end(recording)
    (picture,), (voice,) = tape.of(ULTRASOUND), tape.of(MICROPHONE)
    assert_flows(picture)
    assert_flows(voice)
    assert (picture.runs[0][0].codec, voice.runs[0][0].codec) == (codec, "opus")
    assert picture.frames == len(seen[sender.tracks[ULTRASOUND].track]) > 90
    assert voice.frames == len(seen[sender.tracks[MICROPHONE].track]) > 150
    shown = bars(picture)
    assert len(shown) == picture.frames
    around = BAR_RANGE / BAR_STEP
    steps = [(later - earlier) % around for earlier, later in itertools.pairwise(shown)]
    assert all(min(step - 1, around - step + 1) <= 1.01 for step in steps)
    assert sum(step == 1 for step in steps) > 0.9 * len(steps)
    assert picture.gaps == []
    assert tape.types() == ["recordingStarted", "recordingEnded"]


async def test_sound_and_pictures_lie_together_on_the_clock(lined: Lined) -> None:
    recording = new_recording()
    lined.recorder.begin(recording, started())
    lined.recorder.follow(recording, [wish("heart"), wish("voice", "audio", MICROPHONE)])
    await lined.line.play({"heart": video("vp8", 60), "voice": sound(100)})
    tape = await lined.tape(recording)
    (picture,), (voice,) = tape.of(ULTRASOUND), tape.of(MICROPHONE)
    # Their first samples were taken at the same moment.
    assert abs(picture.parts[0].start_us - voice.parts[0].start_us) < 40_000
    assert abs(picture.end_us - voice.end_us) < 40_000
    assert (picture.frames, voice.frames) == (60, 100)


async def test_what_begins_a_recording_is_durable_at_once(stage: Stage) -> None:
    recording = new_recording()
    stage.recorder.begin(recording, started())

    def is_there() -> bool:
        try:
            return len(play_back(stage.vault, recording).events) == 1
        except VaultError:
            return False

    await until(is_there, 2.0)
    tape = play_back(stage.vault, recording)
    assert tape.events[0]["title"] == started().title
    assert tape.events[0]["atMs"] == 0
    assert not tape.sealed


async def test_held_time_is_kept_out_and_the_clock_goes_on(stage: Stage) -> None:
    sender = await publish(stage.engine, ULTRASOUND, MICROPHONE)
    tracks = list(sender.tracks.values())
    recording, recorder = new_recording(), stage.recorder
    recorder.begin(recording, started())
    recorder.follow(recording, [recorded(track) for track in tracks])
    await until(lambda: recorder.clock_ms(recording) > 2_000)
    recorder.note(recording, layout.RecordingPaused(by="hub"))
    recorder.follow(recording, [recorded(track, held=True) for track in tracks])
    paused_us = recorder.clock_ms(recording) * 1_000
    await until(lambda: recorder.clock_ms(recording) > 4_000)
    recorder.note(recording, layout.RecordingResumed(by="hub"))
    resumed_us = recorder.clock_ms(recording) * 1_000
    recorder.follow(recording, [recorded(track) for track in tracks])
    await until(lambda: recorder.clock_ms(recording) > 6_000)
    tape = await stage.end(recording)
    assert tape.types() == ["recordingStarted", "recordingPaused", "recordingResumed", "recordingEnded"]
    for source in (ULTRASOUND, MICROPHONE):
        (track,) = tape.of(source)
        assert_flows(track)
        before = [part for part in track.parts if part.start_us < paused_us]
        after = track.parts[len(before) :]
        # Less than a frame over: the last one kept is shown for its time.
        assert max(part.start_us + part.duration_us for part in before) < paused_us + 50_000
        assert after[0].start_us > resumed_us - 50_000
        assert after[0].key
        assert [gap.reason for gap in after[0].gaps] == ["silence"]
        assert track.end_us > 5_900_000
    await sender.connection.close()


async def test_a_late_track_has_its_time_and_one_published_again_its_own_stream(stage: Stage) -> None:
    first = await publish(stage.engine, ULTRASOUND)
    recording, recorder = new_recording(), stage.recorder
    recorder.begin(recording, started())
    recorder.follow(recording, [recorded(first.tracks[ULTRASOUND])])
    await until(lambda: recorder.clock_ms(recording) > 1_500)
    late = await publish(stage.engine, CAMERA)
    late_us = recorder.clock_ms(recording) * 1_000
    recorder.follow(recording, [recorded(first.tracks[ULTRASOUND]), recorded(late.tracks[CAMERA])])
    await stage.engine.close_peer(first.peer)
    gone_us = recorder.clock_ms(recording) * 1_000
    # Whoever follows may not have heard of it yet.
    recorder.follow(recording, [recorded(first.tracks[ULTRASOUND]), recorded(late.tracks[CAMERA])])
    again = await publish(stage.engine, ULTRASOUND)
    recorder.follow(recording, [recorded(again.tracks[ULTRASOUND]), recorded(late.tracks[CAMERA])])
    await until(lambda: recorder.clock_ms(recording) > 4_000)
    tape = await stage.end(recording)
    early, anew = tape.of(ULTRASOUND)
    (camera,) = tape.of(CAMERA)
    assert early.note.participant == anew.note.participant == "clinic"
    assert early.note.track != anew.note.track
    assert early.end_us < gone_us + 50_000
    assert anew.parts[0].start_us > gone_us
    assert camera.parts[0].start_us > late_us
    for track in tape.tracks:
        assert_flows(track)
        assert track.parts[0].key
    for sender in (first, late, again):
        await sender.connection.close()


async def test_a_change_of_codec_goes_on_in_the_same_stream(lined: Lined) -> None:
    recording = new_recording()
    lined.recorder.begin(recording, started())
    lined.recorder.follow(recording, [wish("heart")])
    before = video("vp8", 45)
    after = video("h264", 45, from_us=before[-1].arrived_us + 33_000, sequence=70_000_000, timestamp=5)
    await lined.line.play({"heart": [*before, *after]})
    (track,) = (await lined.tape(recording)).tracks
    assert [init.codec for init, _, _ in track.runs] == ["vp8", "h264"]
    assert [sum(note.frames for note, _ in parts) for _, _, parts in track.runs] == [45, 45]
    assert_flows(track)
    assert [packet.data for packet in demux(track.files[0])] == pictures("vp8", 45, 30)


async def test_packets_from_before_a_hold_ended_are_not_kept(lined: Lined) -> None:
    recording = new_recording()
    lined.recorder.begin(recording, started())
    lined.recorder.follow(recording, [wish("voice", "audio", MICROPHONE, held=True)])
    held = sound(25, from_us=now_us() - 500_000)
    lined.recorder.follow(recording, [wish("voice", "audio", MICROPHONE)])
    # They lay in the relay's queue while the event loop was busy.
    lined.line.send("voice", held)
    fresh = sound(25, sequence=35, timestamp=24_000, from_us=now_us() - 15_000)
    lined.line.send("voice", fresh)
    (track,) = (await lined.tape(recording)).tracks
    assert track.frames == 25
    assert [packet.data for packet in demux(track.files[0])] == [packet.payload for packet in fresh]


async def test_silent_tracks_leave_nothing_and_gone_ones_are_no_error(lined: Lined) -> None:
    recording = new_recording()
    lined.recorder.begin(recording, started())
    lined.recorder.follow(recording, [wish("heart"), wish("nobody"), wish("voice", "audio", MICROPHONE)])
    lined.line.close("heart")
    lined.recorder.follow(recording, [wish("heart"), wish("heart", held=True)])
    lined.recorder.follow(recording, [])
    tape = await lined.tape(recording)
    assert tape.tracks == []
    assert len(tape.events) == 2


async def test_unknown_recordings_are_ignored(lined: Lined) -> None:
    unknown = new_recording()
    lined.recorder.follow(unknown, [wish("heart")])
    lined.recorder.note(unknown, layout.RecordingPaused(by="hub"))
    lined.recorder.end(unknown, STOPPED)
    assert lined.recorder.clock_ms(unknown) == 0
    assert lined.line.asked == []


async def test_events_lie_where_they_say_or_at_the_present(lined: Lined) -> None:
    recording = new_recording()
    lined.recorder.begin(recording, started())
    await until(lambda: lined.recorder.clock_ms(recording) >= 300)
    lined.recorder.note(
        recording,
        layout.MarkAdded(at_ms=120, mark="m", participant="hub", name="Hà", text="phình", until_ms=200),
    )
    lined.recorder.note(recording, layout.ChatSent(participant="hub", name="Hà", text="thấy rõ"))
    tape = await lined.tape(recording)
    at_ms = {event["type"]: event["atMs"] for event in tape.events}
    assert at_ms["markAdded"] == 120
    assert 300 <= at_ms["chatSent"] <= at_ms["recordingEnded"]


async def test_a_picture_is_asked_for_when_recording_begins_and_goes_on(lined: Lined) -> None:
    recording = new_recording()
    lined.recorder.begin(recording, started())
    lined.recorder.follow(recording, [wish("heart"), wish("voice", "audio", MICROPHONE)])
    assert lined.line.asked == ["heart"]
    lined.recorder.follow(recording, [wish("heart", held=True)])
    lined.recorder.follow(recording, [wish("heart")])
    assert lined.line.asked == ["heart", "heart"]
    # And while none comes, from the thread that misses it.
    deltas = [packet for packet in video("vp8", 30) if packet.timestamp != video("vp8", 1)[0].timestamp]
    await lined.line.play({"heart": deltas})
    await until(lambda: len(lined.line.asked) > 2)
    assert (await lined.tape(recording)).tracks == []


async def test_two_recordings_of_one_track_are_whole_both(lined: Lined) -> None:
    one, other = new_recording(), new_recording()
    for recording in (one, other):
        lined.recorder.begin(recording, started())
        lined.recorder.follow(recording, [wish("heart")])
    await lined.line.play({"heart": video("h264", 40)})
    for recording in (one, other):
        (track,) = (await lined.tape(recording)).tracks
        assert track.frames == 40


async def test_closing_ends_and_seals_all_that_runs(tmp_path: Path) -> None:
    line, vault = Line("heart"), Vault(tmp_path / "data")
    recorder = DiskRecorder(line, vault)
    recorder.start()
    recordings = [new_recording() for _ in range(3)]
    for recording in recordings:
        recorder.begin(recording, started())
        recorder.follow(recording, [wish("heart")])
    line.send("heart", video("vp8", 20, from_us=now_us()))
    await recorder.close()
    for recording in recordings:
        tape = play_back(vault, recording)
        assert tape.sealed
        assert tape.tracks[0].frames == 20
        assert [event.get("reason") for event in tape.events] == [None, "shutdown"]
        assert list(vault.verify(layout.ref_of(recording))) == []


async def test_the_event_loop_is_free_while_many_tracks_are_recorded(tmp_path: Path) -> None:
    names = [f"track{number}" for number in range(30)]
    line, vault = Line(*names), Vault(tmp_path / "data")
    recorder = DiskRecorder(line, vault)
    recorder.start()
    recording = new_recording()
    recorder.begin(recording, started())
    recorder.follow(recording, [wish(name) for name in names])
    late_s: list[float] = []

    async def measure() -> None:
        loop = asyncio.get_running_loop()
        while True:
            before_s = loop.time()
            await asyncio.sleep(0.01)
            late_s.append(loop.time() - before_s - 0.01)

    measuring = asyncio.create_task(measure())
    await line.play({name: video("vp8", 60) for name in names})
    measuring.cancel()
    await asyncio.gather(measuring, return_exceptions=True)
    await recorder.close()
    tape = play_back(vault, recording)
    assert [track.frames for track in tape.tracks] == [60] * 30
    assert recorder.dropped_packets == 0
    assert sorted(late_s)[len(late_s) // 2] < 0.02


def test_the_pictures_that_are_sent_fill_several_packets() -> None:
    assert max(packet.size for packet in encoded_pictures("vp8", 60, 30, 320)) > 3_000


async def test_a_track_of_another_kind_of_id_is_followed_once(lined: Lined) -> None:
    recording = new_recording()
    lined.recorder.begin(recording, started())
    twice = RecordedTrack(TrackId("heart"), "clinic", ULTRASOUND, "video")
    lined.recorder.follow(recording, [twice, twice])
    lined.recorder.follow(recording, [twice])
    lined.line.send("heart", video("vp8", 10, from_us=now_us()))
    (track,) = (await lined.tape(recording)).tracks
    assert track.frames == 10
