"""`contract.Recorder` on the event loop: taps, clocks and news of all recordings; it hands work over and never blocks.

It must not know how parts are made or written.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import structlog

from bridge.errors import NotFound
from bridge.ids import RecordingId
from bridge.media._native import TapPackets
from bridge.media.contract import RecordedTrack, RecorderEvent, RecordingClosed, StorageChanged, TrackId
from bridge.media.intake import TapListener
from bridge.media.recorder.backlog import MEMORY_BYTES, Memory, RecordingBacklog, TrackBacklog
from bridge.media.recorder.making import Maker
from bridge.media.recorder.writing import Writer
from bridge.recordings import layout
from bridge.vault import Vault

MAX_NEWS = 1_000
WATCH_S = 0.25
# A round of writing that takes longer: the disk hangs, or cannot keep up. A kill would take more than it may.
SLOW_S = 2.0
# So long it has to do well until it counts as well again.
CALM_S = 2.0
CLOSE_TIMEOUT_S = 10.0
# How much more must be missing until that is told.
LOST_TOLD_EVERY_MS = 1_000

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Followed:
    """A track of a recording. `end_tap` is None while it is held, or gone."""

    backlog: TrackBacklog
    end_tap: Callable[[], None] | None = None


@dataclass(slots=True)
class _Recording:
    backlog: RecordingBacklog
    tracks: dict[TrackId, _Followed] = field(default_factory=dict)
    told: str | None = None
    told_lost_ms: int = 0

    @property
    def clock_ms(self) -> int:
        return (_now_us() - self.backlog.origin_us) // 1_000


class Taps(Protocol):
    """What is needed of `engine.Engine`. Both raise NotFound for a track that is gone."""

    def set_tap(self, track: TrackId, listener: TapListener) -> Callable[[], None]: ...
    def request_keyframe(self, track: TrackId) -> None: ...


class DiskRecorder:
    """Made on the event loop. `contract.Recorder` says the rest."""

    events: asyncio.Queue[RecorderEvent]

    def __init__(self, engine: Taps, vault: Vault, *, memory_bytes: int = MEMORY_BYTES) -> None:
        self.events = asyncio.Queue(MAX_NEWS)
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._memory = Memory(memory_bytes)
        self._maker = Maker(self._keyframe_needed)
        self._writer = Writer(vault, self._memory, self._storage_changed, self._sealed)
        self._running: dict[RecordingId, _Recording] = {}
        self._ending: dict[RecordingId, _Recording] = {}
        self._watching: asyncio.TimerHandle | None = None
        self._slow = False
        self._calm_since_s = 0.0
        self._dropped_said = 0
        self._all_closed = asyncio.Event()
        self._all_closed.set()

    def start(self) -> None:
        self._maker.start()
        self._writer.start()

    async def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Ends and seals everything, unless the disk does not let it in time: then what is written stays as it is."""
        for recording in list(self._running):
            self.end(recording, layout.RecordingEnded(reason="shutdown"))
        try:
            async with asyncio.timeout(timeout_s):
                await self._all_closed.wait()
        except TimeoutError:
            _log.error("recordings not closed in time", recordings=len(self._ending))
        self._maker.stop()
        self._writer.stop()
        if self._watching is not None:
            self._watching.cancel()

    @property
    def dropped_packets(self) -> int:
        """Packets that were lost because this machine could not keep up; stays 0 in health."""
        return self._maker.dropped_packets

    @property
    def waiting_bytes(self) -> int:
        """What waits for the disk."""
        return self._memory.used_bytes

    # --- contract.Recorder ---

    def begin(self, recording: RecordingId, started: layout.RecordingStarted) -> None:
        if recording in self._running or recording in self._ending:
            return
        backlog = RecordingBacklog(recording, _now_us())
        backlog.note(started, 0)
        self._running[recording] = _Recording(backlog)
        self._all_closed.clear()
        self._writer.begin(backlog)
        self._watch()

    def follow(self, recording: RecordingId, tracks: Sequence[RecordedTrack]) -> None:
        known = self._running.get(recording)
        if known is None:
            return
        wanted = {track.track: track for track in tracks}
        for missing in [track for track in known.tracks if track not in wanted]:
            self._end_track(known, missing)
        for track in wanted.values():
            if track.track not in known.tracks:
                known.tracks[track.track] = self._new_track(known.backlog, track)
            followed = known.tracks[track.track]
            if track.held:
                self._hold(followed)
            elif followed.end_tap is None:
                self._tap(followed)

    def note(self, recording: RecordingId, event: layout.Event) -> None:
        known = self._running.get(recording)
        if known is not None:
            known.backlog.note(event, known.clock_ms)

    def clock_ms(self, recording: RecordingId) -> int:
        known = self._running.get(recording)
        return known.clock_ms if known is not None else 0

    def end(self, recording: RecordingId, reason: layout.RecordingEnded) -> None:
        known = self._running.pop(recording, None)
        if known is None:
            return
        for track in list(known.tracks):
            self._end_track(known, track)
        known.backlog.ended_ms = known.clock_ms
        known.backlog.note(reason, known.backlog.ended_ms)
        self._ending[recording] = known
        self._maker.finish(known.backlog, self._writer.hurry)

    # --- tracks ---

    def _new_track(self, recording: RecordingBacklog, track: RecordedTrack) -> _Followed:
        backlog = self._memory.add(recording, track)
        recording.tracks.append(backlog)
        return _Followed(backlog)

    def _tap(self, followed: _Followed) -> None:
        track = followed.backlog.track
        try:
            end_tap = self._engine.set_tap(track.track, partial(self._tapped, followed.backlog))
        except NotFound:
            return  # Its end is on the way to who follows it.
        followed.end_tap = end_tap
        self._maker.resume(followed.backlog, _now_us())
        if track.kind == "video":
            self._engine.request_keyframe(track.track)

    def _hold(self, followed: _Followed) -> None:
        if followed.end_tap is not None:
            followed.end_tap()
            followed.end_tap = None
            self._maker.hold(followed.backlog)

    def _end_track(self, recording: _Recording, track: TrackId) -> None:
        followed = recording.tracks.pop(track)
        if followed.end_tap is not None:
            followed.end_tap()
        self._maker.end(followed.backlog)

    def _tapped(self, backlog: TrackBacklog, event: TapPackets) -> None:
        self._maker.hand_over(backlog, event.packets)

    def _keyframe_needed(self, backlog: TrackBacklog) -> None:
        self._soon(self._ask_keyframe, backlog.track.track)

    def _ask_keyframe(self, track: TrackId) -> None:
        try:
            self._engine.request_keyframe(track)
        except NotFound:
            return

    # --- storage ---

    def _storage_changed(self) -> None:
        self._soon(self._look)

    def _sealed(self, backlog: RecordingBacklog, size_bytes: int) -> None:
        self._soon(self._recording_closed, backlog, size_bytes)

    def _recording_closed(self, backlog: RecordingBacklog, size_bytes: int) -> None:
        closed = self._ending.pop(backlog.recording)
        self._compare(closed)
        self._tell(RecordingClosed(backlog.recording, backlog.ended_ms, size_bytes))
        if not self._running and not self._ending:
            self._all_closed.set()

    def _watch(self) -> None:
        """A disk that hangs tells nothing: the event loop looks itself."""
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None
        self._look()
        if self._running or self._ending:
            self._watching = self._loop.call_later(WATCH_S, self._watch)

    def _look(self) -> None:
        if self.dropped_packets > self._dropped_said:
            _log.error("recorder overloaded", packets=self.dropped_packets - self._dropped_said)
            self._dropped_said = self.dropped_packets
        now_s = self._loop.time()
        if self._writer.busy_s > SLOW_S:
            self._slow, self._calm_since_s = True, now_s
        elif self._slow and now_s - self._calm_since_s > CALM_S:
            self._slow = False
        for recording in (*self._running.values(), *self._ending.values()):
            self._compare(recording)

    def _compare(self, recording: _Recording) -> None:
        """Tells what changed of a recording's storage, once."""
        backlog = recording.backlog
        trouble = "slow" if self._slow else backlog.trouble
        lost_ms = backlog.lost.total_ms
        if trouble == recording.told:
            # Without trouble too: this machine may not keep up, or pictures wait for a keyframe after a recovery.
            if lost_ms - recording.told_lost_ms >= LOST_TOLD_EVERY_MS:
                recording.told_lost_ms = lost_ms
                self._tell(StorageChanged(backlog.recording, trouble, lost_ms))
            return
        recording.told, recording.told_lost_ms = trouble, lost_ms
        if trouble is not None:
            backlog.note(layout.StorageFailed(trouble=trouble), recording.clock_ms)
            _log.warning("recording storage failed", recording=backlog.recording, trouble=trouble)
        else:
            backlog.note(layout.StorageRecovered(lost_ms=lost_ms), recording.clock_ms)
            _log.info("recording storage recovered", recording=backlog.recording, lost_ms=lost_ms)
        self._tell(StorageChanged(backlog.recording, trouble, lost_ms))

    # --- news ---

    def _tell(self, event: RecorderEvent) -> None:
        try:
            self.events.put_nowait(event)
        except asyncio.QueueFull:
            _log.error("recorder news dropped", kind=type(event).__name__)

    def _soon(self, work: Callable[..., None], *arguments: object) -> None:
        """On the event loop, from any thread; the loop may be over when the disk comes back."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(work, *arguments)


def _now_us() -> int:
    """The relay's clock: CLOCK_MONOTONIC in microseconds."""
    return time.monotonic_ns() // 1_000
