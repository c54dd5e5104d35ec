"""The thread that puts on the disk what waits, for all recordings, a few times a second; only it waits for the disk.

It tells how it goes by `RecordingBacklog.trouble` and `busy_s`, and tries again for ever. It must not know packets.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from bridge.config import ConfigError
from bridge.media.recorder.backlog import EventsEntry, Memory, PartEntry, RecordingBacklog, TrackBacklog
from bridge.media.recorder.streams import StoredStream
from bridge.recordings.layout import TrackNote, encode_note, ref_of
from bridge.vault import ObjectWriter, StreamReader, StreamWriter, Trouble, Vault, VaultError

# Together with a part's length this is what a crash takes.
ROUND_S = 0.1
RETRY_S = 0.5
# It reads all headers each time: not too often on a disk that stays full.
SEAL_RETRY_S = 5.0
# Making a file waits for the disk by itself. When very many tracks begin at once, what goes on must not wait for all.
NEW_FILES_PER_ROUND = 8
# At once: many sessions may end together, and each seal keeps the interpreter busy.
SEALS = 2

_log = structlog.get_logger(__name__)

Closed = Callable[[RecordingBacklog, int], None]


class _StoredRecording:
    """One recording's object and streams."""

    def __init__(self, vault: Vault, backlog: RecordingBacklog, may_begin: Callable[[], bool]) -> None:
        self.backlog = backlog
        self.may_begin = may_begin
        self._vault = vault
        self._ref = ref_of(backlog.recording)
        self._object: ObjectWriter | None = None
        self._events: StoredStream[EventsEntry] = StoredStream(self, backlog.events)
        self._tracks: dict[TrackBacklog, StoredStream[PartEntry]] = {}
        self._trouble: str | None = None
        self._retry_s = 0.0

    # --- what streams need ---

    def new_stream(self) -> StreamWriter:
        return self._opened().new_stream()

    def read_stream(self, stream: int) -> StreamReader:
        return self._vault.open(self._ref).stream(stream, from_disk=True)

    # --- a round ---

    def append(self) -> None:
        self._trouble = None
        while self.backlog.tracks:
            track = self.backlog.tracks.popleft()
            self._tracks[track] = StoredStream(self, track, _head(track))
        if time.monotonic() < self._retry_s:
            self._trouble = self.backlog.trouble
            return
        # First of all what says what this is.
        with self._noting_trouble():
            self._events.append()
        if self._object is not None:
            for stream in self._tracks.values():
                with self._noting_trouble():
                    stream.append()

    def sync(self, memory: Memory) -> None:
        """Confirms what was appended, and ends the streams of tracks that are over."""
        if time.monotonic() < self._retry_s:
            return
        with self._noting_trouble():
            self._events.sync()
        for track, stream in list(self._tracks.items()):
            with self._noting_trouble():
                stream.sync()
                if track.ended and stream.idle:
                    stream.end()
                    del self._tracks[track]
                    memory.remove(track)
        self._retry_s = time.monotonic() + RETRY_S if self._trouble is not None else 0.0

    @property
    def trouble(self) -> str | None:
        """Of the round that is over."""
        return self._trouble

    def end(self) -> bool:
        """Ends the events too if nothing more is to come. Returns whether the object can be sealed."""
        backlog = self.backlog
        if not backlog.finished or backlog.tracks or self._tracks or self._trouble is not None:
            return False
        backlog.events.recovered(backlog.ended_ms, backlog.lost.total_ms)
        with self._noting_trouble():
            self._events.append()
            self._events.sync()
            self._events.end()
        return self._trouble is None and self._events.idle

    def seal(self) -> int:
        """Writes the list of contents. Returns the size of all in bytes. Raises VaultError."""
        return sum(summary.size_bytes for summary in self._opened().seal())

    def close(self, memory: Memory) -> None:
        """Lets all files go as they are."""
        self._events.close()
        for track, stream in self._tracks.items():
            stream.close()
            memory.remove(track)

    def _opened(self) -> ObjectWriter:
        if self._object is None:
            try:
                self._object = self._vault.create(self._ref.kind, self._ref.id)
            except VaultError as error:
                if error.trouble is not Trouble.EXISTS:
                    raise
                # An earlier try could neither finish nor take back what it had begun.
                self._object = self._vault.reopen(self._ref)
        return self._object

    @contextmanager
    def _noting_trouble(self) -> Iterator[None]:
        try:
            yield
        except VaultError as error:
            self._trouble = self._trouble or _told(error.trouble)
        except ConfigError as error:
            _log.error("recording cannot be encrypted", reason=str(error))
            self._trouble = self._trouble or Trouble.IO
        except Exception:
            _log.exception("recording not written", recording=self.backlog.recording)
            self._trouble = self._trouble or Trouble.IO


class Writer:
    """`changed` is called when the trouble of a recording changed, `closed` with a recording and its size in bytes
    when that is sealed; both on a thread of the writer's."""

    def __init__(self, vault: Vault, memory: Memory, changed: Callable[[], None], closed: Closed) -> None:
        self._vault = vault
        self._memory = memory
        self._changed = changed
        self._closed = closed
        self._new: list[RecordingBacklog] = []
        self._stored: dict[RecordingBacklog, _StoredRecording] = {}
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._round_began_s: float | None = None
        self._new_files = 0
        self._seals = threading.Semaphore(SEALS)
        self._thread = threading.Thread(target=self._run, name="recorder-writing", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Lets the thread end, whatever is not written yet."""
        self._stopping.set()
        self._wake.set()

    def begin(self, recording: RecordingBacklog) -> None:
        """Takes up a recording, at once."""
        self._new.append(recording)
        self._wake.set()

    def hurry(self) -> None:
        """Begins the next round now."""
        self._wake.set()

    @property
    def busy_s(self) -> float:
        """How long the present round has taken so far."""
        began_s = self._round_began_s
        return time.monotonic() - began_s if began_s is not None else 0.0

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(ROUND_S if self._stored else None)
            self._wake.clear()
            self._round_began_s = time.monotonic()
            try:
                self._round()
            except Exception:
                # Nothing else would write.
                _log.exception("writing of recordings failed")
            self._round_began_s = None
        for stored in self._stored.values():
            stored.close(self._memory)

    def _round(self) -> None:
        while self._new:
            backlog = self._new.pop(0)
            self._stored[backlog] = _StoredRecording(self._vault, backlog, self._may_begin)
        self._new_files = 0
        # All are written before any is confirmed: the disk can then do much at once.
        for stored in self._stored.values():
            stored.append()
        changed = False
        for backlog, stored in list(self._stored.items()):
            stored.sync(self._memory)
            ended = stored.end()
            changed |= backlog.trouble != stored.trouble
            backlog.trouble = stored.trouble
            if ended:
                # It reads all headers of the recording, which the others must not wait for.
                threading.Thread(
                    target=self._seal, args=(stored,), name="recorder-sealing", daemon=True
                ).start()
                del self._stored[backlog]
        if changed:
            self._changed()

    def _may_begin(self) -> bool:
        self._new_files += 1
        return self._new_files <= NEW_FILES_PER_ROUND

    def _seal(self, stored: _StoredRecording) -> None:
        backlog = stored.backlog
        while True:
            try:
                with self._seals:
                    size_bytes = stored.seal()
            except Exception as error:
                # Whatever it is: nobody else would seal it, and who waits for that would wait for ever.
                if not isinstance(error, VaultError):
                    _log.exception("recording not sealed", recording=backlog.recording)
                backlog.trouble = _told(error.trouble) if isinstance(error, VaultError) else Trouble.IO
                self._changed()
                if self._stopping.wait(SEAL_RETRY_S):
                    return
            else:
                backlog.trouble = None
                self._closed(backlog, size_bytes)
                return


def _head(track: TrackBacklog) -> bytes:
    followed = track.track
    return encode_note(
        TrackNote(
            track=followed.track,
            participant=followed.participant,
            source=followed.source,
            kind=followed.kind,
        )
    )


def _told(trouble: Trouble) -> str:
    return trouble if trouble in (Trouble.DISK_FULL, Trouble.READ_ONLY) else Trouble.IO
