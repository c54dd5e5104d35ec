"""The thread that makes parts of packets, for all tracks of all recordings; it never waits for a disk.

The event loop hands packets over and says what holds, goes on or ends, in one queue, so that the order is kept. It
works in short slices: the event loop needs the interpreter too. It must not know files or encryption.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from bridge.media._native import TapPacket
from bridge.media.recorder.backlog import RecordingBacklog, TrackBacklog
from bridge.media.recording.parts import Part
from bridge.media.recording.track import TrackRecorder

# Some seconds of a hundred tracks, if this thread does not get on.
INBOX_BYTES = 64 << 20
PACKET_OVERHEAD_BYTES = 256
ROUND_S = 0.1
# After so much work at a stretch, the event loop gets its turn: a thread that goes on and on would hold the
# interpreter for 5 ms each time.
SLICE_S = 0.001
BREATH_S = 0.000_2
# Unless so much waits: on a machine with too much to do, whoever rests is not soon called again.
BEHIND_BYTES = 8 << 20
# What one lost batch of packets stands for in the account of what is missing.
LOST_BATCH_US = 33_333

_log = structlog.get_logger(__name__)


class _Making:
    """One track's recorder. Packets that came before `since_us` are not wanted."""

    def __init__(self, track: TrackBacklog, ask_keyframe: Callable[[], None]) -> None:
        self.track = track
        self.since_us = 0
        self._ask_keyframe = ask_keyframe
        self._recorder = TrackRecorder(track.recording.origin_us, ask_keyframe)

    def push(self, packets: Sequence[TapPacket]) -> None:
        if packets[0].arrived_us < self.since_us:
            packets = [packet for packet in packets if packet.arrived_us >= self.since_us]
        self._keep(self._recorder.push(packets))

    def tick(self, now_us: int) -> None:
        self._keep(self._recorder.tick(now_us))

    def flush(self, now_us: int) -> None:
        self._keep(self._recorder.flush(now_us))

    def _keep(self, parts: list[Part]) -> None:
        for part in parts:
            if self.track.put(part):
                self._ask_keyframe()


class Maker:
    """`ask_keyframe` is called on the maker's thread."""

    def __init__(self, ask_keyframe: Callable[[TrackBacklog], None]) -> None:
        self.dropped_packets = 0
        """Packets that did not fit, since this thread did not get on."""
        self._ask_keyframe = ask_keyframe
        self._inbox: deque[tuple[TrackBacklog, list[TapPacket], int] | Callable[[], None]] = deque()
        # Each is counted up by one thread only.
        self._in_bytes = 0
        self._out_bytes = 0
        self._makings: dict[TrackBacklog, _Making] = {}
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="recorder-making", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Lets the thread end when it has done what it was told."""
        self._stopping = True
        self._wake.set()

    # --- on the event loop ---

    def hand_over(self, track: TrackBacklog, packets: list[TapPacket]) -> None:
        """Packets of a tap, in order."""
        size_bytes = sum(len(packet.payload) for packet in packets) + len(packets) * PACKET_OVERHEAD_BYTES
        if self._in_bytes - self._out_bytes + size_bytes > INBOX_BYTES:
            self.dropped_packets += len(packets)
            recording = track.recording
            at_us = packets[0].arrived_us - recording.origin_us
            recording.lost.add(at_us, at_us + LOST_BATCH_US)
            return
        self._in_bytes += size_bytes
        self._inbox.append((track, packets, size_bytes))

    def resume(self, track: TrackBacklog, since_us: int) -> None:
        """From now on packets of it come that arrived since then."""
        self._tell(partial(self._resume, track, since_us))

    def hold(self, track: TrackBacklog) -> None:
        """Until it goes on, nothing more comes."""
        self._tell(partial(self._flush, track))

    def end(self, track: TrackBacklog) -> None:
        """Nothing more comes of it."""
        self._tell(partial(self._end, track))

    def finish(self, recording: RecordingBacklog, finished: Callable[[], None]) -> None:
        """Calls back, on the maker's thread, when all is made of what came before."""
        self._tell(partial(self._finish, recording, finished))

    def _tell(self, order: Callable[[], None]) -> None:
        self._inbox.append(order)
        self._wake.set()

    # --- on the thread ---

    def _run(self) -> None:
        while not (self._stopping and not self._inbox):
            self._wake.wait(ROUND_S if self._makings else None)
            self._wake.clear()
            try:
                self._work()
            except Exception:
                # Nothing else would make parts.
                _log.exception("making of recordings failed")

    def _work(self) -> None:
        began_s = time.monotonic()
        while self._inbox:
            item = self._inbox.popleft()
            if isinstance(item, tuple):
                self._push(*item)
            else:
                item()
            began_s = self._breathe(began_s)
        now_us = time.monotonic_ns() // 1_000
        for making in list(self._makings.values()):
            self._attempt(making, partial(making.tick, now_us))
            began_s = self._breathe(began_s)

    def _push(self, track: TrackBacklog, packets: list[TapPacket], size_bytes: int) -> None:
        self._out_bytes += size_bytes
        making = self._makings.get(track)
        if making is not None:
            self._attempt(making, partial(making.push, packets))

    def _attempt(self, making: _Making, work: Callable[[], None]) -> None:
        """One track's trouble must not end the making for all: it begins anew."""
        try:
            work()
        except Exception:
            _log.exception("recording track failed", recording=making.track.recording.recording)
            self._makings[making.track] = self._made(making.track, making.since_us)

    def _made(self, track: TrackBacklog, since_us: int) -> _Making:
        making = _Making(track, partial(self._ask_keyframe, track))
        making.since_us = since_us
        return making

    def _resume(self, track: TrackBacklog, since_us: int) -> None:
        known = self._makings.get(track)
        if known is None:
            self._makings[track] = self._made(track, since_us)
        else:
            known.since_us = since_us

    def _flush(self, track: TrackBacklog) -> None:
        making = self._makings.get(track)
        if making is not None:
            self._attempt(making, partial(making.flush, time.monotonic_ns() // 1_000))

    def _end(self, track: TrackBacklog) -> None:
        self._flush(track)
        self._makings.pop(track, None)
        track.ended = True

    def _finish(self, recording: RecordingBacklog, finished: Callable[[], None]) -> None:
        recording.finished = True
        finished()

    def _breathe(self, began_s: float) -> float:
        """Gives the interpreter away for a moment if this slice is over. Returns when the slice began."""
        if time.monotonic() - began_s < SLICE_S or self._in_bytes - self._out_bytes > BEHIND_BYTES:
            return began_s
        time.sleep(BREATH_S)
        return time.monotonic()
