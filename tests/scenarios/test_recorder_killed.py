"""A process that records real tracks is killed at a random moment, fifty times: each recording opens, and has all but
the last two seconds of what had arrived."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from bridge.ids import RecordingId
from bridge.media._native import TapPackets
from bridge.media.contract import Source, TrackId
from bridge.media.recorder import DiskRecorder
from bridge.recordings import layout
from bridge.vault import Trouble, Vault
from tests.media.recording.reading import demux
from tests.media.taped import Tape, new_recording, play_back, recorded, started
from tests.media.webrtc import publish, running_engine

ROUNDS = 50
AT_ONCE = 4
LONGEST_S = 3.5
ALLOWED_US = 2_000_000
REPORT_S = 0.02
START_TIMEOUT_S = 60.0
SOURCES = (Source.ULTRASOUND, Source.MICROPHONE)


@dataclass(frozen=True)
class Arrived:
    """What a process said of its tracks: when the first and the last packet of each came, on the recording's clock."""

    first_us: dict[str, int]
    last_us: dict[str, int]


def record(folder: Path, recording: RecordingId, reports: Connection) -> None:
    """The process: publishes, records, and says what arrived, until it is killed."""
    asyncio.run(_record(folder, recording, reports))


async def _record(folder: Path, recording: RecordingId, reports: Connection) -> None:
    async with running_engine() as (engine, _):
        recorder = DiskRecorder(engine, Vault(folder))
        recorder.start()
        sender = await publish(engine, *SOURCES)
        names = {track.track: source for source, track in sender.tracks.items()}
        said = Arrived({}, {})
        recorder.begin(recording, started())
        origin_us = time.monotonic_ns() // 1_000

        def note(track: TrackId, event: TapPackets) -> None:
            at_us = event.packets[-1].arrived_us - origin_us
            said.first_us.setdefault(names[track], at_us)
            said.last_us[names[track]] = at_us

        for track in names:
            engine.set_tap(track, lambda event, track=track: note(track, event))
        recorder.follow(recording, [recorded(track) for track in sender.tracks.values()])
        while True:
            await asyncio.sleep(REPORT_S)
            if len(said.first_us) == len(SOURCES):
                reports.send(said)


def kill_one(folder: Path, seed: int) -> tuple[Arrived, Tape]:
    """Records and kills. Returns what had arrived by the last report, and what is on the disk."""
    processes = multiprocessing.get_context("forkserver")
    recording = new_recording()
    mine, theirs = processes.Pipe(duplex=False)
    process = processes.Process(target=record, args=(folder, recording, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        assert mine.poll(START_TIMEOUT_S)
        arrived: Arrived = mine.recv()
        kill_at_s = time.monotonic() + random.Random(seed).uniform(0, LONGEST_S)
        while (left_s := kill_at_s - time.monotonic()) > 0:
            if mine.poll(left_s):
                arrived = mine.recv()
    finally:
        process.kill()
        process.join()
    with contextlib.suppress(EOFError):
        while mine.poll():
            arrived = mine.recv()
    mine.close()
    vault = Vault(folder)
    left_by_a_kill = {Trouble.UNSEALED, Trouble.UNENDED, Trouble.CUT}
    assert {finding.trouble for finding in vault.verify(layout.ref_of(recording))} <= left_by_a_kill
    return arrived, play_back(vault, recording)


@pytest.mark.alone
@pytest.mark.timeout(240)
def test_a_kill_at_any_moment_costs_two_seconds_at_most(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    Vault(folder)
    multiprocessing.get_context("forkserver").set_forkserver_preload([__name__])
    with ThreadPoolExecutor(AT_ONCE) as pool:
        rounds = list(pool.map(lambda seed: kill_one(folder, seed), range(ROUNDS)))
    lost_us = []
    for arrived, tape in rounds:
        assert tape.types() == ["recordingStarted"]
        assert not tape.sealed
        for source in SOURCES:
            tracks = tape.of(source)
            for content, (_, _, parts) in (
                (c, run) for t in tracks for c, run in zip(t.files, t.runs, strict=True)
            ):
                assert len(demux(content)) == sum(note.frames for note, _ in parts)
            end_us = max((track.end_us for track in tracks), default=arrived.first_us[source])
            lost_us.append(arrived.last_us[source] - end_us)
    assert len(lost_us) == ROUNDS * len(SOURCES)
    assert max(lost_us) <= ALLOWED_US
    # It was recording all the time: most had something to lose, and had kept something.
    assert sum(bool(tape.tracks) for _, tape in rounds) > ROUNDS // 2
    print(f"lost: at most {max(lost_us) / 1e6:.2f} s, mean {sum(lost_us) / len(lost_us) / 1e6:.2f} s")
