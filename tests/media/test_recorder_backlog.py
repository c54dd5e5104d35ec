"""What waits for the disk, without a disk: what goes when memory is short, and how it is told."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from bridge.media.contract import RecordedTrack, Source, TrackId
from bridge.media.recorder import making
from bridge.media.recorder.backlog import (
    EVENTS_PER_PART,
    PART_OVERHEAD_BYTES,
    EventsBacklog,
    LostTime,
    Memory,
    PartEntry,
    RecordingBacklog,
    TrackBacklog,
)
from bridge.media.recorder.making import Maker
from bridge.media.recording.parts import FrameMark, Gap, Part, init_of
from bridge.media.recording.samples import Configuration
from bridge.recordings import layout
from tests.media.recording.sending import Sent, sound
from tests.media.taped import new_recording

VP8 = init_of(Configuration("vp8", "vp8", 640, 480))
BODY_BYTES = 100_000
PART_BYTES = BODY_BYTES + PART_OVERHEAD_BYTES
SECOND_US = 1_000_000


def part(second: int, *, key: bool = True, damaged: bool = False, gaps: tuple[Gap, ...] = ()) -> Part:
    return Part(
        number=second,
        init=VP8,
        layer=0,
        start_us=second * SECOND_US,
        duration_us=SECOND_US,
        keyframe=key,
        damaged=damaged,
        frames=tuple(
            FrameMark(second * SECOND_US + at, 100_000, 9, False) for at in range(0, SECOND_US, 100_000)
        ),
        filled=0,
        gaps=gaps,
        data=bytes(BODY_BYTES),
    )


def recording(origin_us: int = 0) -> RecordingBacklog:
    return RecordingBacklog(new_recording(), origin_us)


def track(memory: Memory, of: RecordingBacklog, kind: str = "video") -> TrackBacklog:
    sort = "video" if kind == "video" else "audio"
    return memory.add(of, RecordedTrack(TrackId(kind), "clinic", Source.ULTRASOUND, sort))


def taken(backlog: TrackBacklog) -> list[PartEntry]:
    return list(iter(backlog.take, None))


def seconds(entries: Sequence[PartEntry]) -> list[int]:
    return [entry.part.start_us // SECOND_US for entry in entries]


def test_what_does_not_fit_goes_oldest_first_up_to_a_keyframe() -> None:
    memory, of = Memory(5 * PART_BYTES), recording()
    heart = track(memory, of)
    for second in range(8):
        assert not heart.put(part(second, key=second % 3 == 0))
    assert memory.used_bytes <= 5 * PART_BYTES
    left = taken(heart)
    assert seconds(left) == [3, 4, 5, 6, 7]
    assert left[0].before == Gap(0, 3 * SECOND_US, "loss", 0)
    assert of.lost.total_ms == 3_000
    assert [entry.before for entry in left[1:]] == [None] * 4


def test_losses_one_after_the_other_are_told_as_one_gap() -> None:
    memory, of = Memory(2 * PART_BYTES), recording()
    heart = track(memory, of)
    for second in range(10):
        heart.put(part(second))
    left = taken(heart)
    assert seconds(left) == [8, 9]
    note = layout.decode_note(left[0].note(7))
    assert isinstance(note, layout.PartNote)
    assert note.gaps == (layout.GapNote(0, 8 * SECOND_US, "loss"),)
    assert (note.init, note.frames, sum(note.steps_us)) == (7, 10, SECOND_US)


def test_without_a_keyframe_nothing_is_kept_until_one_comes_and_one_is_asked_for() -> None:
    memory, of = Memory(2 * PART_BYTES), recording()
    heart = track(memory, of)
    asked = [heart.put(part(second, key=second == 0)) for second in range(5)]
    assert asked == [False, False, True, True, True]
    assert heart.empty
    assert memory.used_bytes == 0
    assert not heart.put(part(5))
    (left,) = taken(heart)
    assert left.before == Gap(0, 5 * SECOND_US, "loss", 0)
    assert of.lost.total_ms == 5_000


def test_a_source_that_makes_no_keyframes_goes_on_where_it_can() -> None:
    memory = Memory(2 * PART_BYTES)
    heart = track(memory, recording())
    for second in range(5):
        heart.put(part(second, key=False, damaged=True))
    assert seconds(taken(heart)) == [3, 4]


def test_pictures_go_before_sound_and_the_oldest_of_all_recordings_first() -> None:
    memory = Memory(4 * PART_BYTES)
    early, late = recording(0), recording(10 * SECOND_US)
    voice, heart, other = track(memory, early, "audio"), track(memory, early), track(memory, late)
    for second in range(2):
        voice.put(part(second))
    other.put(part(0))
    heart.put(part(9))
    heart.put(part(11))
    assert [seconds(taken(each)) for each in (voice, heart, other)] == [[0, 1], [11], [0]]
    memory = Memory(2 * PART_BYTES)
    voice = track(memory, early, "audio")
    for second in range(4):
        voice.put(part(second))
    assert seconds(taken(voice)) == [2, 3]


def test_what_is_being_written_counts_until_it_is_safe_and_can_come_back() -> None:
    memory = Memory(3 * PART_BYTES)
    heart = track(memory, recording())
    for second in range(3):
        heart.put(part(second))
    first, second = heart.take(), heart.take()
    assert first is not None
    assert second is not None
    assert memory.used_bytes == 3 * PART_BYTES
    heart.put(part(3))
    # The oldest that still waited had to go.
    assert seconds(taken(heart)) == [3]
    heart.give_back([first, second])
    left = taken(heart)
    assert seconds(left) == [0, 1]
    heart.written(left)
    assert memory.used_bytes == PART_BYTES


def test_a_track_that_is_over_leaves_nothing_in_memory() -> None:
    memory = Memory(10 * PART_BYTES)
    heart = track(memory, recording())
    heart.put(part(0))
    memory.remove(heart)
    assert memory.used_bytes == 0


def test_notes_tell_at_most_so_many_gaps_and_fit() -> None:
    gaps = tuple(Gap(900_000_000_000 + at * 90_000, 80_000, "loss", 3) for at in range(12))
    entry = PartEntry(part(1, gaps=gaps), Gap(0, SECOND_US, "loss", 0))
    encoded = entry.note(123_456)
    assert len(encoded) <= layout.NOTE_LIMIT_BYTES
    note = layout.decode_note(encoded)
    assert isinstance(note, layout.PartNote)
    assert len(note.gaps) == layout.GAPS_LIMIT
    last = note.gaps[-1]
    assert last.start_us + last.duration_us == gaps[-1].start_us + gaps[-1].duration_us
    assert sum(gap.lost for gap in note.gaps) == 36


def test_lost_time_is_counted_once_however_many_tracks_lost_it() -> None:
    lost = LostTime()
    for start_us, end_us in [(5, 6), (1, 2), (5.5, 7), (1.95, 2.05), (9, 9.5), (0, 0.5), (2.1, 4.95)]:
        lost.add(round(start_us * SECOND_US), round(end_us * SECOND_US))
    # Told as one: 0-0.5, 1-7, 9-9.5.
    assert lost.total_ms == 7_000


def test_events_are_written_in_bounded_parts_and_come_back_in_order() -> None:
    backlog = EventsBacklog()
    for at_ms in range(EVENTS_PER_PART + 10):
        backlog.put(layout.RecordingPaused(at_ms=at_ms, by="hub"))
    first, second = backlog.take(), backlog.take()
    assert first is not None
    assert second is not None
    assert (first.about.count, second.about.count) == (EVENTS_PER_PART, 10)
    assert backlog.take() is None
    assert backlog.empty
    backlog.give_back([first, second])
    assert not backlog.empty
    again = [entry for entry in iter(backlog.take, None)]
    times = [event["atMs"] for entry in again for event in layout.decode_events(entry.body)]
    assert times == list(range(EVENTS_PER_PART + 10))


def test_a_disk_said_to_have_failed_is_said_to_be_back_once() -> None:
    backlog = EventsBacklog()
    backlog.recovered(5, 0)
    assert backlog.empty
    backlog.put(layout.StorageFailed(at_ms=1, trouble="io"))
    backlog.recovered(7, 40)
    backlog.recovered(8, 40)
    entry = backlog.take()
    assert entry is not None
    assert [event["type"] for event in layout.decode_events(entry.body)] == [
        "storageFailed",
        "storageRecovered",
    ]


def test_packets_are_dropped_and_counted_when_nobody_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "INBOX_BYTES", 20_000)
    asked: list[TrackBacklog] = []
    maker = Maker(asked.append)  # Its thread does not run.
    of = recording()
    voice = track(Memory(), of, "audio")
    packets: list[Sent] = sound(200, from_us=0)
    for packet in packets:
        maker.hand_over(voice, [packet])  # type: ignore[list-item]  # as good as a tap's
    size_bytes = sum(len(packet.payload) + making.PACKET_OVERHEAD_BYTES for packet in packets)
    assert size_bytes > 40_000
    kept = len(packets) - maker.dropped_packets
    assert 20_000 - 1_000 < kept * (size_bytes / len(packets)) <= 20_000 + 1_000
    dropped_ms = (packets[-1].arrived_us - packets[kept].arrived_us) // 1_000 + 33
    # A short packet may still have fitted after a long one did not.
    assert abs(of.lost.total_ms - dropped_ms) <= 100


def test_a_track_that_breaks_its_recorder_begins_anew_and_harms_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    of, memory = recording(), Memory()
    voice, other = track(memory, of, "audio"), track(memory, of, "audio")
    maker = Maker(lambda _track: None)
    packets = sound(120, from_us=0)
    for each in (voice, other):
        maker.resume(each, 0)
    for number, packet in enumerate(packets):
        # Not a packet at all, as after a fault of our own.
        bad: object = object()
        if number == 60:
            maker._inbox.append((voice, [bad], 0))  # type: ignore[list-item]
        for each in (voice, other):
            maker.hand_over(each, [packet])  # type: ignore[list-item]
    for each in (voice, other):
        maker.end(each)
    maker.stop()
    maker.start()
    maker._thread.join(10)
    assert not maker._thread.is_alive()
    harmed, whole = ([entry.part for entry in taken(each)] for each in (voice, other))
    assert sum(len(made.frames) for made in whole) == 120
    # All but what was in the open part and in the window.
    assert 60 <= sum(len(made.frames) for made in harmed) < 120
    assert all(before.start_us < after.start_us for before, after in itertools.pairwise(harmed))
