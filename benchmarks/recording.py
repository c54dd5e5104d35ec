"""What recording costs: tracks of 1.5 Mbit/s on one core, sealed bytes a second, seeking, and what taps cost the relay.

Publishers with real SRTP run natively in another process and send VP8-shaped frames to the real relay here; its taps go
into the real recorder, vault and disk. Seeking asks a whole server over HTTP for random moments of an hour. The last
line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import secrets
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import aiohttp
from relay import EXTENSIONS, PATIENCE_S, VIDEO, Account, build_load, pipe_out, running

from bridge import app
from bridge.config import Settings
from bridge.desk import SessionWish
from bridge.errors import NotFound
from bridge.ids import RecordingId, RecordingState, SessionFormat, SessionId, SessionKind, new_id
from bridge.media import _native
from bridge.media.contract import RecordedTrack, RecordingClosed, Source, TrackId
from bridge.media.intake import TapListener
from bridge.media.recorder import DiskRecorder
from bridge.recordings import layout
from bridge.store import RecordingRecord
from bridge.vault import ObjectKind, Vault

TRACKS_PER_RECORDING = 5
WARM_UP_S = 3
FRAMES_PER_SECOND = 30
PART_BYTES = 187_500
"""A second of 1.5 Mbit/s."""
SEALED_PARTS = 1_000

PUBLISHERS, SUBSCRIBERS = 24, 5
"""Four consults of a hub and five satellites, each seen by all others: of fewer, a second of the relay's work is too
little to be measured. A track of an event has hundreds of subscribers."""
OVERHEAD_ROUNDS = 120
"""Of a second each; a multiple of four."""

HOUR_S = 3_600
KEYFRAME_EVERY_S = 4
SEEKS = 200
SMALL_PICTURE_BYTES, SOUND_BYTES = 40_000, 5_000
HOUR_TRACKS = (
    (Source.ULTRASOUND, PART_BYTES),
    (Source.CAMERA, SMALL_PICTURE_BYTES),
    (Source.CAMERA, SMALL_PICTURE_BYTES),
    (Source.MICROPHONE, SOUND_BYTES),
    (Source.MICROPHONE, SOUND_BYTES),
    (Source.MICROPHONE, SOUND_BYTES),
)


@dataclass
class Taps:
    """A relay's taps on the event loop, as the engine gives them, and its statistics."""

    relay: _native.Relay
    listeners: dict[int, TapListener] = field(default_factory=dict)
    on_stats: Callable[[_native.RelayStats], None] = lambda _stats: None

    def set_tap(self, track: TrackId, listener: TapListener) -> Callable[[], None]:
        native = int(track)
        self.listeners[native] = listener
        self.relay.set_tap(native, True)
        return lambda: self._end(native)

    def request_keyframe(self, track: TrackId) -> None:
        if int(track) not in self.listeners:
            raise NotFound("There is no such track.")
        self.relay.request_keyframe(int(track))

    def _end(self, native: int) -> None:
        del self.listeners[native]
        self.relay.set_tap(native, False)

    def read(self) -> None:
        for event in self.relay.drain():
            if isinstance(event, _native.TapPackets):
                listener = self.listeners.get(event.track)
                if listener is not None:
                    listener(event)
            elif isinstance(event, _native.Stats):
                self.on_stats(event.relay)


@contextmanager
def open_relay() -> Iterator[_native.Relay]:
    relay = _native.Relay("127.0.0.1", 0)
    try:
        yield relay
    finally:
        relay.close()


def add_publishers(relay: _native.Relay, tracks: int) -> list[str]:
    """Tracks 1 to N; the lines that tell the load about them."""
    lines = [f"relay 127.0.0.1:{relay.port}"]
    for number in range(1, tracks + 1):
        account = Account.new(number)
        account.connect(relay)
        relay.set_receiving(number, EXTENSIONS, [VIDEO])
        layer = _native.Layer(ssrc=account.video_ssrc)
        relay.add_track(number, number, "video", "v", [layer], nack=True)
        lines.append(account.line("publisher"))
    return lines


# --- recording ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Moment:
    """Seconds of time and of CPU."""

    wall_s: float
    process_s: float
    relay_s: float
    threads_s: dict[str, float]

    @classmethod
    def now(cls, relay: _native.RelayStats) -> Moment:
        threads = {
            thread.name: time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
            for thread in threading.enumerate()
            if thread.ident is not None
        }
        return cls(time.monotonic(), time.process_time(), relay.thread_cpu_us / 1e6, threads)


@dataclass(frozen=True)
class Recorded:
    tracks_per_core: float
    cpu_s_per_track_hour: float


async def measure_recording(load: Path, folder: Path, tracks: int, seconds: int) -> Recorded:
    vault = Vault(folder)
    with open_relay() as relay:
        taps = Taps(relay)
        moments: list[Moment] = []
        last: list[_native.RelayStats] = []

        def note(stats: _native.RelayStats) -> None:
            moments.append(Moment.now(stats))
            last[:] = [stats]

        taps.on_stats = note
        loop = asyncio.get_running_loop()
        loop.add_reader(relay.event_fd(), taps.read)
        recorder = DiskRecorder(taps, vault)
        recorder.start()
        lines = [*add_publishers(relay, tracks), f"seconds {seconds + WARM_UP_S}"]
        recordings = begin_all(recorder, tracks)
        lags_s: list[float] = []
        measuring = asyncio.create_task(measure_lag(lags_s))
        with running(load, "call", lines) as process:
            out = pipe_out(process)
            async with asyncio.timeout(seconds + WARM_UP_S + PATIENCE_S):
                await asyncio.to_thread(out.readline)
                began_s = time.monotonic()
                published = json.loads(await asyncio.to_thread(out.readline))["published"]
        measuring.cancel()
        for recording in recordings:
            recorder.end(recording, layout.RecordingEnded(reason="stopped"))
        sizes = [
            event.size_bytes
            for event in [await recorder.events.get() for _ in recordings]
            if isinstance(event, RecordingClosed)
        ]
        await recorder.close()
        loop.remove_reader(relay.event_fd())
        if recorder.dropped_packets or last[0].events_dropped or len(sizes) < len(recordings):
            raise RuntimeError(
                f"the recorder did not keep up: {recorder.dropped_packets} packets and {last[0].events_dropped} events"
                f" dropped, {len(sizes)} of {len(recordings)} recordings closed"
            )
    frames, lost = await asyncio.to_thread(count_frames, vault, recordings)
    # Whole seconds in which all tracks flowed.
    within = [m for m in moments if began_s + WARM_UP_S <= m.wall_s <= began_s + WARM_UP_S + seconds]
    before, after = within[0], within[-1]
    wall_s = after.wall_s - before.wall_s
    relay_s = after.relay_s - before.relay_s
    cpu_s = after.process_s - before.process_s - relay_s
    result = Recorded(
        tracks_per_core=round(tracks * wall_s / cpu_s, 1),
        cpu_s_per_track_hour=round(cpu_s / wall_s / tracks * 3600, 2),
    )
    shares = {
        name: (after.threads_s[name] - before.threads_s[name]) / wall_s
        for name in ("MainThread", "recorder-making", "recorder-writing")
    }
    lags_ms = sorted(1_000 * lag_s for lag_s in lags_s)
    print(
        f"{tracks} tracks of 1.5 Mbit/s through the relay's taps for {wall_s:.0f} s: {100 * cpu_s / wall_s:.1f} % of a"
        f" core ({', '.join(f'{name} {100 * share:.1f} %' for name, share in shares.items())}), the relay beside it"
        f" {100 * relay_s / wall_s:.1f} %; {frames} frames kept of {published} packets sent, {lost} packets lost,"
        f" {sum(sizes) / 1e6:.0f} MB sealed; event loop late by {lags_ms[len(lags_ms) // 2]:.1f} ms in the median,"
        f" {lags_ms[len(lags_ms) * 99 // 100]:.1f} ms at p99, {lags_ms[-1]:.1f} ms at most",
        flush=True,
    )
    return result


def begin_all(recorder: DiskRecorder, tracks: int) -> list[RecordingId]:
    recordings = []
    for first in range(1, tracks + 1, TRACKS_PER_RECORDING):
        recording = RecordingId(new_id())
        recorder.begin(recording, started("session"))
        followed = range(first, min(first + TRACKS_PER_RECORDING, tracks + 1))
        recorder.follow(
            recording,
            [RecordedTrack(TrackId(str(n)), "somebody", Source.ULTRASOUND, "video") for n in followed],
        )
        recordings.append(recording)
    return recordings


async def measure_lag(lags_s: list[float]) -> None:
    while True:
        before_s = time.monotonic()
        await asyncio.sleep(0.01)
        lags_s.append(time.monotonic() - before_s - 0.01)


def count_frames(vault: Vault, recordings: list[RecordingId]) -> tuple[int, int]:
    """Frames that are on the disk, and packets that are told to be lost."""
    frames = lost = 0
    for recording in recordings:
        stored = vault.open(layout.ref_of(recording))
        for number in stored.streams():
            with stored.stream(number) as stream:
                notes = [layout.decode_note(part.note) for part in stream.parts]
            parts = [note for note in notes if isinstance(note, layout.PartNote)]
            frames += sum(part.frames for part in parts)
            lost += sum(gap.lost for part in parts for gap in part.gaps)
    return frames, lost


def started(session: str) -> layout.RecordingStarted:
    return layout.RecordingStarted(
        at_ms=0,
        session=session,
        title="Benchmark",
        session_kind=SessionKind.CONSULTATION,
        session_format=SessionFormat.CONSULT,
        started_at=0,
    )


# --- sealing --------------------------------------------------------------------------------------------------------


def measure_sealing(folder: Path) -> float:
    """Megabytes a CPU second: encryption and writing by one thread, without waiting for the disk."""
    body, note = secrets.token_bytes(PART_BYTES), b"n" * 300
    with Vault(folder).create(ObjectKind.RECORDING).new_stream() as stream:
        before_s = time.thread_time()
        for _ in range(SEALED_PARTS):
            stream.append(body, note, durable=False)
        cpu_s = time.thread_time() - before_s
        stream.discard()
    rate = SEALED_PARTS * PART_BYTES / 1e6 / cpu_s
    print(f"sealing: {rate:.0f} MB a second of one core", flush=True)
    return round(rate)


# --- what taps cost the relay ---------------------------------------------------------------------------------------


async def measure_overhead(load: Path, publishers: int, subscribers: int) -> float:
    """Per cent that taps add to the relay thread's CPU time a packet sent.

    They are switched on and off from one of the relay's statistics to another, and neighbours are compared, so that
    what else the machine does falls on both. CPU time and packets of a round are of the same two moments.
    """
    with open_relay() as relay:
        lines = add_publishers(relay, publishers)
        for number in range(publishers * subscribers):
            peer = publishers + 1 + number
            account = Account.new(peer)
            account.connect(relay)
            relay.set_sending(peer, EXTENSIONS, transport_cc=True, remb=False)
            relay.add_subscription(
                peer, peer, "video", "v", account.video_ssrc, 500_000 + peer, [VIDEO], "hub"
            )
            relay.switch_subscription(peer, 1 + number % publishers)
            lines.append(account.line("subscriber"))
        lines.append(f"seconds {OVERHEAD_ROUNDS + 3 * WARM_UP_S}")
        snapshots: asyncio.Queue[_native.RelayStats] = asyncio.Queue()
        taps = Taps(relay, on_stats=snapshots.put_nowait)
        loop = asyncio.get_running_loop()
        loop.add_reader(relay.event_fd(), taps.read)
        with running(load, "call", lines) as process:
            await asyncio.to_thread(pipe_out(process).readline)
            await asyncio.sleep(WARM_UP_S)
            rounds = await tap_rounds(relay, snapshots, range(1, publishers + 1))
        loop.remove_reader(relay.event_fd())
    pairs = [(rounds[at], rounds[at + 1]) for at in range(0, OVERHEAD_ROUNDS, 2)]
    # Every other pair has its tapped round first.
    added_us = [
        (second - first) * (1 if place % 2 == 0 else -1) for place, (first, second) in enumerate(pairs)
    ]
    usual_us = statistics.median(us for place, us in enumerate(rounds) if not is_tapped(place))
    # One second differs from the next by more than taps cost: the mean of the middle half of the pairs varies least.
    low_us, _, high_us = statistics.quantiles(added_us, n=4)
    added_pct = 100 * statistics.mean(us for us in added_us if low_us <= us <= high_us) / usual_us
    print(
        f"relay of {publishers} tracks with {subscribers} subscribers each: {usual_us:.2f} us a packet sent, taps"
        f" add {added_pct:.1f} % in the middle half of {len(pairs)} pairs of seconds,"
        f" {100 * low_us / usual_us:.1f} to {100 * high_us / usual_us:.1f} %",
        flush=True,
    )
    return round(added_pct, 2)


async def tap_rounds(
    relay: _native.Relay, snapshots: asyncio.Queue[_native.RelayStats], tracks: Sequence[int]
) -> list[float]:
    """CPU microseconds a packet sent, of rounds of a second."""
    while not snapshots.empty():
        snapshots.get_nowait()
    rounds_us = []
    before = await next_snapshot(snapshots)
    for place in range(OVERHEAD_ROUNDS):
        for track in tracks:
            relay.set_tap(track, is_tapped(place))
        after = await next_snapshot(snapshots)
        cpu_us = after.thread_cpu_us - before.thread_cpu_us
        rounds_us.append(cpu_us / (after.packets_out - before.packets_out))
        before = after
    return rounds_us


def is_tapped(place: int) -> bool:
    """Without, with, with, without: what grows or shrinks steadily falls on both."""
    return place % 4 in (1, 2)


async def next_snapshot(snapshots: asyncio.Queue[_native.RelayStats]) -> _native.RelayStats:
    async with asyncio.timeout(PATIENCE_S):
        return await snapshots.get()


# --- seeking --------------------------------------------------------------------------------------------------------


async def measure_seeking(folder: Path) -> float:
    """Milliseconds (p95) for all that a player needs to show a random moment of an hour: the ultrasound from the
    keyframe before it on, and a sound; what was read last is not in the machine's memory."""
    settings = Settings(data_dir=folder, port=0, media_host="127.0.0.1", media_port=0)
    connector = aiohttp.TCPConnector(limit=6)  # As browsers have it.
    async with app.running(settings) as server, aiohttp.ClientSession(connector=connector) as client:
        made = await server.office.desk.create_session(SessionWish("Benchmark"))
        recording = await asyncio.to_thread(write_hour, server.vault, made.session.id)
        row = RecordingRecord(
            recording, made.session.id, RecordingState.ENDED, 0, HOUR_S * 1_000, size_bytes=1
        )
        await server.office.store.add_recording(row)
        url = f"{server.url}/api/recordings/{recording}"
        headers = {"Authorization": f"Bearer {server.office.auth.staff_token(HOUR_S)}"}
        forget(folder)

        async def get(path: str) -> bytes:
            async with client.get(url + path, headers=headers) as answer:
                body = await answer.read()
                if answer.status != 200:
                    raise RuntimeError(body.decode(errors="replace"))
                return body

        before_s = time.monotonic()
        tracks = {track["source"]: track["id"] for track in json.loads(await get(""))["tracks"]}
        pictures, sounds = tracks[Source.ULTRASOUND], tracks[Source.MICROPHONE]
        listed = json.loads(await get(f"/tracks/{pictures}/parts"))["parts"]
        opening_s = time.monotonic() - before_s
        numbers, keys = [part[0] for part in listed], {part[0] for part in listed if part[4] & 1}
        chance, took_ms = random.Random(1), []
        for _ in range(SEEKS):
            at = chance.randrange(len(numbers))
            first = next(place for place in count(at, -1) if numbers[place] in keys)
            forget(folder)
            before_s = time.monotonic()
            wanted = [f"/tracks/{pictures}/parts/{number}" for number in numbers[first : at + 1]]
            await asyncio.gather(*map(get, [*wanted, f"/tracks/{sounds}/parts/{numbers[at]}"]))
            took_ms.append(1_000 * (time.monotonic() - before_s))
    took_ms.sort()
    p95_ms = took_ms[len(took_ms) * 95 // 100]
    print(
        f"an hour of {len(HOUR_TRACKS)} tracks opens in {opening_s:.2f} s; seeking: {took_ms[len(took_ms) // 2]:.1f} ms"
        f" in the median, {p95_ms:.1f} ms at p95, {took_ms[-1]:.1f} ms at most",
        flush=True,
    )
    return round(p95_ms, 1)


def write_hour(vault: Vault, session: SessionId) -> RecordingId:
    """Parts of the usual sizes and notes; nobody decodes what is in them."""
    recording = RecordingId(new_id())
    writer = vault.create(ObjectKind.RECORDING, layout.ref_of(recording).id)
    with writer.new_stream() as events:
        note = layout.EventsNote(from_ms=0, until_ms=0, count=1)
        events.append(layout.encode_events([started(session)]), layout.encode_note(note))
        events.end()
    for place, (source, size_bytes) in enumerate(HOUR_TRACKS):
        sound = source is Source.MICROPHONE
        body, frames = secrets.token_bytes(size_bytes), 50 if sound else FRAMES_PER_SECOND
        about = layout.TrackNote(
            track=str(place), participant=str(place), source=source, kind="audio" if sound else "video"
        )
        media_type = 'audio/mp4; codecs="opus"' if sound else 'video/webm; codecs="vp8"'
        init = layout.InitNote(
            media_type=media_type, codec="opus" if sound else "vp8", width=1280, height=720
        )
        with writer.new_stream() as stream:
            stream.append(b"", layout.encode_note(about), durable=False)
            stream.append(body[:500], layout.encode_note(init), durable=False)
            for second in range(HOUR_S):
                part = layout.PartNote(
                    start_us=second * 1_000_000,
                    duration_us=1_000_000,
                    frames=frames,
                    key=sound or second % KEYFRAME_EVERY_S == 0,
                    init=1,
                    steps_us=(1_000_000 // frames,) * frames,
                )
                stream.append(body, layout.encode_note(part), durable=False)
            stream.end()
    writer.seal()
    return recording


def forget(folder: Path) -> None:
    """Lets the kernel drop what it keeps of the recordings in memory."""
    for path in folder.rglob("*.parts"):
        file = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tracks", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=15, help="of recording, after the warm-up")
    parser.add_argument("--folder", type=Path, help="on the disk to measure; two gigabytes are needed")
    arguments = parser.parse_args()
    load = build_load()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        recorded = asyncio.run(
            measure_recording(load, folder / "tracks", arguments.tracks, arguments.seconds)
        )
        sealed = measure_sealing(folder / "sealing")
        overhead = asyncio.run(measure_overhead(load, PUBLISHERS, SUBSCRIBERS))
        seek_ms = asyncio.run(measure_seeking(folder / "hour"))
    print(
        json.dumps(
            {
                "tracks_per_core": recorded.tracks_per_core,
                "cpu_s_per_track_hour": recorded.cpu_s_per_track_hour,
                "sealed_mb_per_s": sealed,
                "seek_p95_ms": seek_ms,
                "relay_overhead_pct": overhead,
            }
        )
    )


if __name__ == "__main__":
    main()
