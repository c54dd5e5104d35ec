"""A track from packets to parts, on clean and on bad lines; what comes out is read by FFmpeg."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.media.recording.parts import LONGEST_OPEN_US, PART_US, Part
from bridge.media.recording.reorder import VIDEO_WAIT_US
from bridge.media.recording.samples import Codec
from bridge.media.recording.track import TrackRecorder
from tests.media.recording.reading import assert_valid, decode, demux, probe, runs, whole
from tests.media.recording.sending import (
    FRAME_US,
    START_US,
    Sent,
    arriving,
    delayed,
    frame_of,
    jittered,
    pictures,
    sound,
    sound_with_silence,
    video,
)

TICK_US = 250_000

CODECS: tuple[Codec, ...] = ("vp8", "vp9", "h264", "av1", "opus")
STRANGE = st.builds(
    Sent,
    layer=st.integers(0, 3),
    codec=st.sampled_from(CODECS),
    arrived_us=st.integers(START_US, START_US + 20_000_000),
    sequence=st.one_of(st.integers(0, 40), st.integers(0, 1 << 48)),
    timestamp=st.one_of(st.integers(0, 90_000), st.integers(0, 0xFFFF_FFFF)),
    marker=st.booleans(),
    keyframe_start=st.booleans(),
    payload=st.one_of(
        st.binary(max_size=30),
        # A whole VP8 keyframe, and a picture after it; a whole Opus packet.
        st.just(bytes.fromhex("10 50000 0 9d012a 4001 f000".replace(" ", "")) + bytes(9)),
        st.just(bytes.fromhex("10 510000") + bytes(9)),
        st.just(bytes((31 << 3, 7))),
    ),
)


class Recorded:
    """Runs a recorder on the packets' own time, with a tick four times a second."""

    def __init__(self, packets: Sequence[Sent] = (), origin_us: int = START_US - 10_000_000) -> None:
        self.asked_us: list[int] = []
        self.parts: list[Part] = []
        self.now_us = START_US
        self.recorder = TrackRecorder(origin_us, lambda: self.asked_us.append(self.now_us))
        self.play(packets)

    def play(self, packets: Sequence[Sent]) -> None:
        for packet in packets:
            self.wait(packet.arrived_us)
            self.parts += self.recorder.push([packet])

    def wait(self, until_us: int) -> None:
        while self.now_us + TICK_US <= until_us:
            self.now_us += TICK_US
            self.parts += self.recorder.tick(self.now_us)
        self.now_us = max(self.now_us, until_us)

    def end(self) -> list[Part]:
        self.parts += self.recorder.flush(self.now_us)
        return self.parts

    @property
    def frames(self) -> int:
        return sum(len(part.frames) for part in self.parts)


def data_of(parts: Sequence[Part]) -> list[bytes]:
    return [packet.data for run in runs(parts) for packet in demux(whole(run))]


@pytest.mark.parametrize("codec", ["vp8", "h264"])
def test_on_a_clean_line_every_frame_is_kept_and_parts_begin_with_keyframes(codec: Codec) -> None:
    recorded = Recorded(video(codec, 150))
    parts = recorded.end()
    assert_valid(parts)
    assert recorded.frames == 150
    assert len(parts) == 5
    assert all(part.keyframe for part in parts)
    assert abs(parts[0].start_us - 10_000_000) < 1_000
    length_us = parts[-1].start_us + parts[-1].duration_us - parts[0].start_us
    assert abs(length_us - 150 * FRAME_US) < 5_000
    assert not any(part.gaps for part in parts)
    assert len(decode(whole(parts))) == 150
    told = probe(whole(parts))
    assert (told["codec_name"], told["nb_read_packets"]) == (codec, "150")
    assert (told["width"], told["height"]) == ("320", "240")
    if codec == "vp8":
        assert data_of(parts) == pictures("vp8", 150, 30)


def test_sound_is_kept_whole_in_parts_of_a_second() -> None:
    recorded = Recorded(sound(250))
    parts = recorded.end()
    assert_valid(parts)
    assert [len(part.frames) for part in parts] == [50] * 5
    assert probe(whole(parts))["sample_rate"] == "48000"
    decoded = decode(whole(parts))
    assert sum(frame.samples for frame in decoded) == 250 * 960
    assert not recorded.asked_us


def test_packets_that_overtake_each_other_change_nothing() -> None:
    packets = video("vp8", 90)
    recorded = Recorded(jittered(packets, 50_000, seed=4))
    parts = recorded.end()
    assert_valid(parts)
    assert data_of(parts) == pictures("vp8", 90, 30)
    assert recorded.recorder.counts.lost_packets == 0


@pytest.mark.parametrize("codec", ["vp8", "h264"])
def test_a_packet_healed_in_time_is_no_loss(codec: Codec) -> None:
    packets = video(codec, 90)
    late = frame_of(packets, 40)
    others = [packet for packet in packets if packet not in late]
    recorded = Recorded(arriving(others, delayed(late, VIDEO_WAIT_US - 100_000)))
    parts = recorded.end()
    assert_valid(parts)
    assert recorded.frames == 90
    assert not any(part.gaps for part in parts)


@pytest.mark.parametrize("codec", ["vp8", "h264"])
def test_after_a_loss_the_picture_stands_still_until_the_keyframe_and_the_gap_is_marked(codec: Codec) -> None:
    packets = video(codec, 150, keyframe_every=60)
    lost = frame_of(packets, 70)
    recorded = Recorded([packet for packet in packets if packet not in lost])
    parts = recorded.end()
    assert_valid(parts)
    assert recorded.frames == 150 - 50
    (gap,) = [gap for part in parts for gap in part.gaps]
    assert (gap.reason, gap.lost_packets) == ("loss", len(lost))
    assert abs(gap.start_us - 10_000_000 - 70 * FRAME_US) < 2_000
    assert abs(gap.duration_us - 50 * FRAME_US) < 2_000
    lost_at_us = lost[0].arrived_us
    assert any(
        lost_at_us <= asked_us <= lost_at_us + VIDEO_WAIT_US + 100_000 for asked_us in recorded.asked_us
    )
    assert recorded.recorder.counts.skipped == 49
    assert not any(part.damaged for part in parts)
    # Nothing is left out of the file: the frame before the gap is shown until its end, or the time is empty.
    shown_us = sum(part.duration_us for part in parts)
    assert shown_us >= 100 * FRAME_US


def test_a_publisher_that_never_sends_keyframes_is_kept_and_marked_damaged() -> None:
    packets = video("vp8", 300, keyframe_every=1_000)
    lost = frame_of(packets, 40)
    recorded = Recorded([packet for packet in packets if packet not in lost])
    parts = recorded.end()
    assert_valid(parts)
    assert [part.damaged for part in parts].count(True) >= 3
    assert not parts[0].damaged
    assert parts[-1].frames[-1].start_us > 10_000_000 + 295 * FRAME_US
    assert len(recorded.asked_us) < 10


def test_a_recording_that_begins_amid_a_track_asks_at_once_and_starts_at_the_keyframe() -> None:
    packets = [packet for packet in video("vp8", 60, keyframe_every=40) if packet.sequence > 65_503]
    recorded = Recorded(packets)
    parts = recorded.end()
    assert recorded.asked_us[0] == packets[0].arrived_us
    assert parts[0].keyframe
    assert recorded.frames == 20


def test_a_long_group_of_pictures_is_cut_each_second_and_a_keyframe_asked_for() -> None:
    recorded = Recorded(video("vp8", 300, keyframe_every=1_000))
    parts = recorded.end()
    assert_valid(parts)
    assert recorded.frames == 300
    assert all(part.duration_us <= PART_US + FRAME_US for part in parts)
    assert [part.keyframe for part in parts].count(True) == 1
    assert 1 <= len(recorded.asked_us) <= 6


def test_a_track_that_falls_silent_is_put_out_by_the_tick() -> None:
    sent = video("vp8", 45)
    recorded = Recorded(sent)
    recorded.wait(START_US + 45 * FRAME_US + LONGEST_OPEN_US)
    assert recorded.frames == 45
    resumed = video(
        "vp8",
        30,
        from_us=START_US + 10_000_000,
        timestamp=sent[0].timestamp + 900_000 & 0xFFFF_FFFF,
        sequence=sent[-1].sequence + 1,
    )
    recorded.play(resumed)
    parts = recorded.end()
    assert_valid(parts)
    (gap,) = [gap for part in parts for gap in part.gaps]
    assert gap.reason == "silence"
    assert abs(gap.start_us + gap.duration_us - 20_000_000) < 5_000
    assert abs(gap.duration_us - (10_000_000 - 45 * FRAME_US)) < 40_000


def test_a_paused_recording_keeps_nothing_and_goes_on_at_a_keyframe_in_its_place() -> None:
    recorded = Recorded(video("h264", 45))
    recorded.parts += recorded.recorder.flush(recorded.now_us)
    before = recorded.frames
    packets = video(
        "h264", 90, keyframe_every=60, from_us=START_US + 30_000_000, timestamp=7, sequence=200_000
    )
    recorded.play(packets[10:])
    parts = recorded.end()
    assert_valid(parts)
    assert before == 45
    assert recorded.frames == 45 + 30
    assert abs(parts[-1].frames[-1].start_us - 40_000_000 - 89 * FRAME_US) < 20_000
    assert parts[2].keyframe


def test_a_stream_published_anew_goes_on_at_the_true_time() -> None:
    again = video("h264", 60, width=640, from_us=START_US + 4_000_000, timestamp=99, sequence=2 * 65_536 + 17)
    recorded = Recorded(arriving(video("h264", 90), again))
    parts = recorded.end()
    assert_valid(parts)
    assert recorded.frames == 150
    assert {part.init.configuration.width for part in parts} == {320, 640}
    first_again = next(part for part in parts if part.init.configuration.width == 640)
    assert abs(first_again.start_us - 14_000_000) < 5_000


def test_a_change_of_codec_begins_a_new_initialisation_segment() -> None:
    then = video("vp8", 60, from_us=START_US + 60 * FRAME_US, timestamp=12_345, sequence=70_000)
    recorded = Recorded(arriving(video("h264", 60), then))
    parts = recorded.end()
    assert_valid(parts)
    assert recorded.frames == 120
    kinds = list(dict.fromkeys(part.init.media_type.split(";")[0] for part in parts))
    assert kinds == ["video/mp4", "video/webm"]
    assert not any(gap for part in parts for gap in part.gaps)


def test_the_highest_layer_is_kept_and_changes_come_at_keyframes() -> None:
    low = video("vp8", 300, keyframe_every=30, layer=0, timestamp=5)
    from_us = START_US + 45 * FRAME_US
    high = video(
        "vp8", 90, keyframe_every=1_000, layer=1, width=640, timestamp=77, sequence=9_000, from_us=from_us
    )
    recorded = Recorded(arriving(low, high))
    parts = recorded.end()
    assert_valid(parts)
    layers = [part.layer for part in parts]
    assert layers == sorted(layers[: layers.index(1)]) + [1] * layers.count(1) + [0] * layers[::-1].index(1)
    for part, before in zip(parts[1:], parts, strict=False):
        assert part.keyframe or part.layer == before.layer
        assert (part.init.configuration.width == 640) == (part.layer == 1)
    up = next(part for part in parts if part.layer == 1)
    # The first of them came while lower ones were still kept, and follow those at once; the others lie in their place.
    assert abs(up.frames[0].start_us - 10_000_000 - 45 * FRAME_US) < 150_000
    assert abs(up.frames[10].start_us - 10_000_000 - 55 * FRAME_US) < 2_000
    down = next(part for part in parts if part.layer == 0 and part.start_us > up.start_us)
    assert down.start_us - (10_000_000 + 135 * FRAME_US) < 2_000_000
    assert len([packet for packet in parts if packet.layer == 1 and packet.keyframe]) == 1


def test_lost_sound_is_filled_so_that_it_stays_continuous_and_is_marked() -> None:
    packets = sound(200)
    recorded = Recorded([packet for place, packet in enumerate(packets) if not 70 <= place < 85])
    parts = recorded.end()
    assert_valid(parts)
    assert (recorded.frames, sum(part.filled for part in parts)) == (185, 15)
    (gap,) = [gap for part in parts for gap in part.gaps]
    assert (gap.reason, gap.lost_packets) == ("loss", 15)
    assert abs(gap.duration_us - 300_000) < 1_000
    assert sum(frame.samples for frame in decode(whole(parts))) == 200 * 960


def test_an_open_microphone_in_a_silent_room_has_no_gaps() -> None:
    sent = sound_with_silence(300, range(100, 250))
    recorded = Recorded(sent)
    parts = recorded.end()
    assert_valid(parts)
    assert not [gap for part in parts for gap in part.gaps]
    assert recorded.frames == len(sent) < 180
    assert recorded.frames + sum(part.filled for part in parts) == 300
    assert sum(frame.samples for frame in decode(whole(parts))) == 300 * 960


def test_a_packet_lost_in_the_silence_of_an_open_microphone_is_a_gap_by_loss() -> None:
    sent = sound_with_silence(300, range(100, 250))
    parts = Recorded([packet for place, packet in enumerate(sent) if place != 107]).end()
    gaps = [gap for part in parts for gap in part.gaps]
    assert {gap.reason for gap in gaps} == {"loss"}
    assert sum(gap.lost_packets for gap in gaps) == 1


def test_a_pause_of_the_microphone_is_filled_or_left_open_by_its_length() -> None:
    short = sound(
        50, from_us=START_US + 2_500_000, timestamp=0xFFFF_F000 + 120_000 & 0xFFFF_FFFF, sequence=60
    )
    recorded = Recorded(arriving(sound(50), short))
    recorded.wait(START_US + 20_000_000)
    long = sound(
        50, from_us=START_US + 20_000_000, timestamp=0xFFFF_F000 + 960_000 & 0xFFFF_FFFF, sequence=110
    )
    recorded.play(long)
    parts = recorded.end()
    assert_valid(parts)
    assert [gap.reason for part in parts for gap in part.gaps] == ["silence"] * 3
    assert sum(part.filled for part in parts) == 75
    assert abs(parts[-1].start_us - 30_000_000) < 5_000


def test_sound_and_picture_over_one_jittery_line_lie_together() -> None:
    picture = Recorded(jittered(video("vp8", 300), 60_000, seed=1)).end()
    heard = Recorded(jittered(sound(500), 60_000, seed=2)).end()
    for parts, step_us in ((picture, FRAME_US), (heard, 20_000)):
        marks = [mark for part in parts for mark in part.frames]
        errors = [mark.start_us - 10_000_000 - place * step_us for place, mark in enumerate(marks)]
        assert max(map(abs, errors)) < 20_000


def test_frames_out_of_order_are_kept_in_the_order_of_decoding() -> None:
    packets = video("h264", 30)
    ticks = packets[0].timestamp
    swapped = [
        replace(packet, timestamp=ticks + (place ^ 1) * 3_000 & 0xFFFF_FFFF)
        for place, each in enumerate(dict.fromkeys(packet.timestamp for packet in packets))
        for packet in packets
        if packet.timestamp == each and place > 1
    ]
    kept = [packet for packet in packets if packet.timestamp in (ticks, ticks + 3_000 & 0xFFFF_FFFF)]
    recorded = Recorded(kept + swapped)
    assert_valid(recorded.end())
    assert recorded.frames == 30


@given(st.lists(STRANGE, max_size=60))
@settings(max_examples=200)
def test_whatever_strangers_send_makes_parts_that_can_be_read_or_none(packets: list[Sent]) -> None:
    recorded = Recorded(arriving(packets))
    parts = recorded.end()
    assert [part.number for part in parts] == list(range(len(parts)))
    starts = [mark.start_us for part in parts for mark in part.frames]
    assert starts == sorted(set(starts))
    for run in runs(parts):
        assert len(demux(whole(run))) == sum(len(part.frames) + part.filled for part in run)


@pytest.mark.parametrize("kind", ["holes", "one endless frame", "frames without end"])
def test_memory_stays_bounded_whatever_comes(kind: str) -> None:
    recorder = TrackRecorder(START_US, lambda: None)
    head = video("vp8", 1)
    recorder.push(head)
    kept_bytes = 0
    tracemalloc.start()
    for number in range(1, 20_000):
        payload = b"\x10\x51" + bytes(1_200) if kind == "frames without end" else b"\0" + bytes(1_200)
        packet = replace(
            head[-1],
            sequence=head[-1].sequence + number * (2 if kind == "holes" else 1),
            timestamp=number if kind == "frames without end" else 7,
            marker=kind == "frames without end",
            keyframe_start=False,
            payload=payload,
        )
        kept_bytes += sum(len(part.data) for part in recorder.push([packet]))
    size_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size_bytes < 12 << 20
    if kind == "frames without end":
        assert kept_bytes > 10 << 20
