"""A disk that is full, read-only, failing or hanging while the recorder writes: real ones, real errors."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from bridge.ids import RecordingId
from bridge.media.contract import RecordingClosed, Source, StorageChanged, Subscription
from bridge.media.recorder import DiskRecorder
from bridge.media.recorder.backlog import MEMORY_BYTES
from bridge.recordings import layout
from bridge.vault import Vault
from tests.media.disks import Disk, failing_disk, loop_disk, memory_disk
from tests.media.recording.reading import demux
from tests.media.recording.sending import Sent, pictures, video
from tests.media.taped import (
    Line,
    Tape,
    new_recording,
    next_news,
    play_back,
    recorded,
    started,
    until,
    wish,
)
from tests.media.webrtc import frames, publish, running_engine, subscribe

STOPPED = layout.RecordingEnded(reason="stopped")
ULTRASOUND = Source.ULTRASOUND
DISK_BYTES = 48 << 20
ALARM_S = 3.0
"""From the failure until everybody is told; part of it is waiting for the next part, or for what hangs."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Disk]:
    with memory_disk(tmp_path / "disk", DISK_BYTES) as disk:
        yield disk


@pytest.fixture
def ext4_disk(tmp_path: Path) -> Iterator[Disk]:
    with loop_disk(tmp_path / "disk", tmp_path / "image", DISK_BYTES) as disk:
        yield disk


@dataclass
class Session:
    """One recording of one track that sends without a pause."""

    line: Line
    recorder: DiskRecorder
    vault: Vault
    recording: RecordingId
    sending: asyncio.Task[None]

    async def clock(self, ms: int) -> None:
        await until(lambda: self.recorder.clock_ms(self.recording) >= ms)

    async def alarm(self, trouble: str | None, timeout_s: float = ALARM_S) -> StorageChanged:
        news = await asyncio.wait_for(self.recorder.events.get(), timeout_s)
        assert isinstance(news, StorageChanged)
        assert (news.recording, news.trouble) == (self.recording, trouble)
        return news

    async def tape(self) -> Tape:
        """Of all that was sent."""
        await self.sending
        self.recorder.end(self.recording, STOPPED)
        closed = await next_news(self.recorder)
        assert isinstance(closed, RecordingClosed)
        tape = play_back(self.vault, self.recording)
        assert tape.sealed
        return tape


@contextlib.asynccontextmanager
async def session(
    disk: Disk, sent: Sequence[Sent], memory_bytes: int = MEMORY_BYTES
) -> AsyncIterator[Session]:
    line, vault = Line("heart"), Vault(disk.folder / "data")
    recorder = DiskRecorder(line, vault, memory_bytes=memory_bytes)
    recorder.start()
    recording = new_recording()
    recorder.begin(recording, started())
    recorder.follow(recording, [wish("heart")])
    sending = asyncio.create_task(line.play({"heart": sent}))
    try:
        yield Session(line, recorder, vault, recording, sending)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await recorder.close()


def kept(tape: Tape) -> list[bytes]:
    """All pictures, over all streams of the track."""
    return [packet.data for track in tape.tracks for content in track.files for packet in demux(content)]


def told(tape: Tape) -> list[str]:
    """The events of the disk, which those of the session enclose."""
    types = tape.types()
    assert (types[0], types[-1]) == ("recordingStarted", "recordingEnded")
    return types[1:-1]


async def test_a_full_disk_is_told_at_once_and_what_waited_is_kept(small_disk: Disk) -> None:
    async with session(small_disk, video("vp8", 210)) as running:
        await running.clock(1_500)
        with small_disk.full():
            await running.alarm("diskFull")
            await running.clock(4_500)
            assert running.recorder.events.empty()
        recovered = await running.alarm(None)
        assert recovered.lost_ms == 0
        tape = await running.tape()
    assert told(tape) == ["storageFailed", "storageRecovered"]
    assert kept(tape) == pictures("vp8", 210, 30)
    (track,) = tape.tracks
    assert track.gaps == []
    assert list(running.vault.verify(layout.ref_of(running.recording))) == []
    assert running.recorder.waiting_bytes == 0


async def test_a_recording_can_begin_on_a_full_disk(small_disk: Disk) -> None:
    Vault(small_disk.folder / "data")
    with contextlib.ExitStack() as while_full:
        while_full.enter_context(small_disk.full())
        async with session(small_disk, video("vp8", 120)) as running:
            await running.alarm("diskFull")
            await running.clock(2_500)
            while_full.close()
            await running.alarm(None)
            tape = await running.tape()
    assert kept(tape) == pictures("vp8", 120, 30)
    assert told(tape) == ["storageFailed", "storageRecovered"]


async def test_what_does_not_fit_in_memory_is_a_gap_to_a_keyframe(small_disk: Disk) -> None:
    # Keyframes only every two seconds; a second is about 190 kB.
    sent = video("vp8", 300, keyframe_every=60)
    limit_bytes = 600_000
    most_bytes = 0
    async with session(small_disk, sent, limit_bytes) as running:
        await running.clock(1_500)
        with small_disk.full():
            await running.alarm("diskFull")
            while running.recorder.clock_ms(running.recording) < 8_000:
                most_bytes = max(most_bytes, running.recorder.waiting_bytes)
                await asyncio.sleep(0.02)
            grown = [
                (await running.alarm("diskFull")).lost_ms for _ in range(running.recorder.events.qsize())
            ]
        recovered = await running.alarm(None)
        tape = await running.tape()
    assert 0 < most_bytes <= limit_bytes
    # While it lasts, it is told that more and more is missing.
    assert grown
    assert grown == sorted(set(grown))
    assert grown[-1] <= recovered.lost_ms
    (track,) = tape.tracks
    after, (gap,) = next((part, part.gaps) for part in track.parts if part.gaps)
    assert after.key
    assert gap.reason == "loss"
    assert gap.start_us + gap.duration_us == after.start_us
    before = track.parts[track.parts.index(after) - 1]
    assert abs(before.start_us + before.duration_us - gap.start_us) < 2_000
    assert abs(recovered.lost_ms * 1_000 - gap.duration_us) < 2_000
    assert 2_000 <= recovered.lost_ms < 6_000
    told_lost = [event["lostMs"] for event in tape.events if event["type"] == "storageRecovered"]
    assert told_lost == [recovered.lost_ms]
    whole = pictures("vp8", 300, 60)
    first = kept(tape)
    place = next(
        number for number, (one, other) in enumerate(zip(first, whole, strict=False)) if one != other
    )
    lost = len(whole) - len(first)
    assert first == whole[:place] + whole[place + lost :]
    assert (place + lost) % 60 == 0
    assert abs(lost * 33_333 - gap.duration_us) < 50_000


async def test_a_disk_that_went_read_only_can_be_taken_out_mended_and_used_again(ext4_disk: Disk) -> None:
    async with session(ext4_disk, video("vp8", 270)) as running:
        await running.clock(2_500)
        ext4_disk.abort()
        await running.alarm("readOnly")
        await until(lambda: can_be_repaired(ext4_disk), 5.0)
        recovered = await next_news(running.recorder)
        # For a moment nothing at all was mounted there.
        if recovered == StorageChanged(running.recording, "io", 0):
            recovered = await next_news(running.recorder)
        assert recovered == StorageChanged(running.recording, None, 0)
        tape = await running.tape()
    # It went on in new streams, with nothing missing and nothing twice.
    assert kept(tape) == pictures("vp8", 270, 30)
    assert [track.ended for track in tape.tracks] == [False, True]
    assert len({track.note for track in tape.tracks}) == 1
    parts = [part for track in tape.tracks for part in track.parts]
    for before, after in itertools.pairwise(parts):
        assert abs(before.start_us + before.duration_us - after.start_us) < 2_000
    assert (told(tape)[0], told(tape)[-1]) == ("storageFailed", "storageRecovered")


def can_be_repaired(disk: Disk) -> bool:
    try:
        disk.repair()
    except AssertionError:
        return False
    return True


async def test_what_a_sync_could_not_confirm_is_written_again(tmp_path: Path) -> None:
    with failing_disk(tmp_path, DISK_BYTES) as (disk, beneath):
        async with session(disk, video("vp8", 240)) as running:
            await running.clock(1_500)
            with beneath.full():
                await running.alarm("diskFull")
                await running.clock(5_000)
            await running.alarm(None, 5.0)
            tape = await running.tape()
        assert kept(tape) == pictures("vp8", 240, 30)
        assert told(tape) == ["storageFailed", "storageRecovered"]


@pytest.mark.alone
async def test_a_hanging_disk_is_noticed_while_it_hangs_and_live_pictures_go_on(ext4_disk: Disk) -> None:
    async with running_engine() as (engine, news):
        vault = Vault(ext4_disk.folder / "data")
        recorder = DiskRecorder(engine, vault)
        recorder.start()
        sender = await publish(engine, ULTRASOUND)
        track = sender.tracks[ULTRASOUND]
        receiver = await subscribe(engine, news, Subscription(track.track))
        picture = await asyncio.wait_for(receiver.received.get(), 15.0)
        recording = new_recording()
        recorder.begin(recording, started())
        recorder.follow(recording, [recorded(track)])
        await frames(picture, 30)
        lag = asyncio.create_task(longest_lag_s())
        with ext4_disk.frozen():
            news_at = await asyncio.wait_for(recorder.events.get(), 2.0 + ALARM_S)
            assert news_at == StorageChanged(recording, "slow", 0)
            began_s = time.monotonic()
            assert len(await frames(picture, 60)) == 60
            assert time.monotonic() - began_s < 4.0
        lag.cancel()
        assert await lag < 0.5
        assert await next_news(recorder) == StorageChanged(recording, None, 0)
        recorder.end(recording, STOPPED)
        assert isinstance(await next_news(recorder), RecordingClosed)
        await recorder.close()
        await sender.connection.close()
        await receiver.connection.close()
    tape = play_back(vault, recording)
    (taped,) = tape.tracks
    assert taped.gaps == []
    assert told(tape) == ["storageFailed", "storageRecovered"]
    assert list(vault.verify(layout.ref_of(recording))) == []


async def longest_lag_s() -> float:
    """How late the event loop was at worst, until cancelled."""
    longest_s = 0.0
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            before_s = time.monotonic()
            await asyncio.sleep(0.01)
            longest_s = max(longest_s, time.monotonic() - before_s - 0.01)
    return longest_s


@pytest.mark.alone
async def test_closing_does_not_wait_for_a_disk_that_hangs(ext4_disk: Disk) -> None:
    async with session(ext4_disk, video("vp8", 90)) as running:
        await running.sending
        await running.clock(3_500)
        with ext4_disk.frozen():
            running.line.send("heart", video("vp8", 1))
            began_s = time.monotonic()
            await running.recorder.close(1.0)
            assert time.monotonic() - began_s < 2.0
        tape = play_back(running.vault, running.recording)
        assert not tape.sealed
        assert sum(track.frames for track in tape.tracks) >= 60
