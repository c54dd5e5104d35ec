"""The recordings of one installation, for who has been let in: reads them, marks, cuts, holds and shreds them.

Every change is in the audit before it is made. Who may ask is decided before (`bridge.auth.ReplayGrant`), and how it is
asked and answered is the HTTP interface's business.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Protocol
from weakref import WeakValueDictionary

import structlog

from bridge.audit import Audit, Entry, Outcome
from bridge.audit import Event as AuditEvent
from bridge.errors import BridgeError, Conflict, LimitExceeded, NotFound, ProtocolError
from bridge.ids import RecordingId, RecordingState, new_id
from bridge.recordings.accesses import Accesses
from bridge.recordings.beginnings import read_started
from bridge.recordings.clips import LIMIT_MS, cut_clip
from bridge.recordings.index import RecordingReader
from bridge.recordings.layout import (
    Event,
    MarkAdded,
    MarkRemoved,
    RecordingStarted,
    UnreadableRecording,
    ref_of,
)
from bridge.recordings.marks import MARK_LIMIT, append_events, clean_text, standing
from bridge.recordings.readers import Readers
from bridge.recordings.retention import KeepDays, retain_until_ms
from bridge.store import RecordingRecord, Store
from bridge.vault import DISK_TROUBLES, Trouble, Vault, VaultError

HOUSEKEEPING_S = 15.0
LONG_WORKS = 2
"""Clips and exports at once: they read and seal as fast as the disk goes, beside a live session."""
LONG_WORK_NICENESS = 10
TITLE_LIMIT = 200
CLIPS_KNOWN = 10_000
NOTED_WITHIN_S = 5.0
"""The recorder writes several times a second."""
NOTED_LOOK_S = 0.2
_SYSTEM = "system"
_SHREDDED = "This recording was shredded: nobody can read it any more."

_log = structlog.get_logger(__name__)


class Running(Protocol):
    """Who writes the recordings that are running now; unknown ones are ignored."""

    def note(self, recording: RecordingId, event: Event) -> None:
        """Keeps an event."""

    def clock_ms(self, recording: RecordingId) -> int:
        """Now, on the recording's clock; 0 for an unknown one."""


class Library:
    """For one event loop; `run` keeps house until it is cancelled, `close` lets everything go."""

    def __init__(
        self,
        *,
        vault: Vault,
        audit: Audit,
        store: Store,
        running: Running,
        keep_days: KeepDays,
        now_ms: Callable[[], int],
    ) -> None:
        self._vault = vault
        self._audit = audit
        self._store = store
        self._running = running
        self._keep_days = keep_days
        self._now_ms = now_ms
        self._locks: WeakValueDictionary[RecordingId, asyncio.Lock] = WeakValueDictionary()
        self._clips: dict[RecordingId, RecordingStarted | None] = {}
        self._long = ThreadPoolExecutor(LONG_WORKS, thread_name_prefix="recordings", initializer=_make_way)
        self._long_works = 0
        self._stopping = False
        self._shredded: set[RecordingId] = set()
        """While long work is under way, which must not make something of what is left of them."""
        self.readers = Readers(vault)
        self.accesses = Accesses(audit, self.readers.run)

    async def run(self) -> None:
        """Closes what nobody looks at any more, and writes the counts of accesses."""
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            self.readers.let_idle_go()
            try:
                await self.accesses.settle()
            except BridgeError as error:
                _log.error("audit not written", code=error.code)

    async def break_off(self, _app: object = None) -> None:
        """Ends what takes long, at the next part."""
        self._stopping = True

    async def close(self) -> None:
        """Breaks off what takes long, and waits for what is quick."""
        await self.break_off()
        try:
            await self.accesses.settle(all=True)
        except BridgeError as error:
            _log.error("audit not written", code=error.code)
        await asyncio.to_thread(self._long.shutdown, cancel_futures=True)
        await asyncio.to_thread(self.readers.close)

    def stop_if_asked(self, *_progress: int) -> None:
        """For long work, between two parts. Raises BridgeError (`shuttingDown`)."""
        if self._stopping:
            raise BridgeError("The server stops or restarts: come back.", "shuttingDown")

    def check_on(self, recording: RecordingId) -> Callable[..., None]:
        """The same for long work on this recording; raises NotFound too, once it is shredded."""

        def check(*_progress: int) -> None:
            self.stop_if_asked()
            if recording in self._shredded:
                raise NotFound(_SHREDDED)

        return check

    # --- reading ---------------------------------------------------------------------------------------------------

    async def recording(self, recording: RecordingId) -> RecordingRecord:
        """Raises NotFound, for one that was shredded too."""
        row = await self._store.get_recording(recording)
        if row.state is RecordingState.SHREDDED:
            raise NotFound(_SHREDDED)
        return row

    async def started(self, row: RecordingRecord) -> RecordingStarted | None:
        """How a clip began, for its title and window; None of others, and of what cannot be read."""
        if row.clip_of is None or row.state is RecordingState.SHREDDED:
            return None
        if row.id not in self._clips:
            started: RecordingStarted | None = None
            try:
                started = await self.readers.run(lambda: read_started(self._vault, row.id))
            except UnreadableRecording:
                pass
            except VaultError as error:
                if error.trouble in DISK_TROUBLES:
                    return None
            except BridgeError:
                return None
            if len(self._clips) >= CLIPS_KNOWN:
                self._clips.clear()
            self._clips[row.id] = started
        return self._clips[row.id]

    def end_ms(self, row: RecordingRecord, begin_ms: int) -> int:
        """Where its window ends, as far as that is known without opening it."""
        if row.state is RecordingState.RUNNING:
            return self._running.clock_ms(row.id)
        return begin_ms + row.duration_ms

    # --- marks -----------------------------------------------------------------------------------------------------

    async def add_mark(
        self, row: RecordingRecord, who: str, name: str, at_ms: int, until_ms: int | None, text: str
    ) -> str:
        """Gives the mark's id. Raises ProtocolError, LimitExceeded, Conflict, VaultError, AuditError."""
        text = clean_text(text)
        reader = await self.readers.fresh(row.id)
        end_ms = max(reader.end_ms, self.end_ms(row, reader.begin_ms))
        if not reader.begin_ms <= at_ms <= (until_ms if until_ms is not None else at_ms) <= end_ms:
            raise ProtocolError("A mark lies within the recording.")
        if sum(event.get("type") == "markAdded" for event in reader.events_as_written()) >= MARK_LIMIT:
            raise LimitExceeded(f"A recording has at most {MARK_LIMIT} marks.")
        mark = new_id()
        added = MarkAdded(at_ms=at_ms, mark=mark, participant=who, name=name, text=text, until_ms=until_ms)
        await self._change(row.id, who, {"mark": mark, "atMs": at_ms})
        await self._keep(row, added, lambda reader: mark in standing(reader.events_as_written()))
        return mark

    async def remove_mark(self, row: RecordingRecord, who: str, mark: str) -> None:
        """Raises NotFound, Conflict, VaultError, AuditError."""
        reader = await self.readers.fresh(row.id)
        known = standing(reader.events_as_written()).get(mark)
        if known is None:
            raise NotFound("There is no such mark.")
        await self._change(row.id, who, {"markRemoved": mark})
        removed = MarkRemoved(at_ms=int(known.get("atMs") or 0), mark=mark, participant=who)
        await self._keep(row, removed, lambda reader: mark not in standing(reader.events_as_written()))

    async def _keep(
        self, row: RecordingRecord, event: Event, is_there: Callable[[RecordingReader], bool]
    ) -> None:
        """Puts an event into the recording, whether it is running or over; returns when it is stored."""
        if row.state is RecordingState.RUNNING:
            self._running.note(row.id, event)
            deadline_s = time.monotonic() + NOTED_WITHIN_S
            while time.monotonic() < deadline_s:
                await asyncio.sleep(NOTED_LOOK_S)
                if is_there(await self.readers.fresh(row.id)):
                    return
            if (await self.recording(row.id)).state is RecordingState.RUNNING:
                raise Conflict("The recording takes nothing just now; try again in a moment.")
        async with self._lock(row.id):
            await self.recording(row.id)
            if not is_there(await self.readers.fresh(row.id)):
                await self.readers.run(lambda: append_events(self._vault, ref_of(row.id), [event]))
                await self.readers.run((await self.readers.get(row.id)).refresh)

    # --- clips -----------------------------------------------------------------------------------------------------

    async def cut(
        self, row: RecordingRecord, who: str, begin_ms: int, end_ms: int, title: str
    ) -> RecordingRecord:
        """A new recording. Raises ProtocolError, LimitExceeded, Conflict, VaultError, AuditError."""
        title = clean_text(title, TITLE_LIMIT)
        session = await self._store.get_session(row.session)
        reader = await self.readers.fresh(row.id)
        end_ms = min(end_ms, reader.end_ms)
        if not reader.begin_ms <= begin_ms < end_ms:
            raise ProtocolError("A clip begins before it ends, and lies within the recording.")
        if end_ms - begin_ms > LIMIT_MS:
            raise LimitExceeded(f"A clip is at most {LIMIT_MS // 60_000} minutes long.", "tooLarge")
        made = RecordingId(new_id())
        started = RecordingStarted(
            at_ms=begin_ms,
            session=row.session,
            title=title or session.title,
            session_kind=session.kind,
            session_format=session.format,
            started_at=row.started_at_ms,
            clip_of=row.id,
            begin_ms=begin_ms,
            end_ms=end_ms,
        )
        detail: dict[str, int | str] = {"clipOf": row.id, "beginMs": begin_ms, "endMs": end_ms}
        entry = Entry(AuditEvent.OBJECT_CREATED, who, str(ref_of(made)), Outcome.BEGUN, detail)
        await self.record(entry)

        def work() -> int:
            return cut_clip(self._vault, self._audit, reader, ref_of(made), started, self.check_on(row.id))

        try:
            size_bytes = await self.long_work(work)
            await self._keep_clip(row.id, made)
        except BaseException:
            await self.record(Entry(AuditEvent.OBJECT_CREATED, who, str(ref_of(made)), Outcome.FAILED))
            raise
        clip = RecordingRecord(
            made,
            row.session,
            RecordingState.ENDED,
            row.started_at_ms,
            duration_ms=end_ms - begin_ms,
            size_bytes=size_bytes,
            retain_until_ms=retain_until_ms(self._keep_days, session.kind, self._now_ms()),
            clip_of=row.id,
        )
        await self._store.add_recording(clip)
        await self.record(Entry(AuditEvent.OBJECT_CREATED, who, str(ref_of(made)), detail=detail))
        return clip

    async def _keep_clip(self, source: RecordingId, clip: RecordingId) -> None:
        """Not of a recording that was shredded meanwhile, by another process perhaps: much may be lacking."""
        try:
            await self.recording(source)
        except NotFound:
            await self.readers.run(lambda: self._vault.shred(ref_of(clip), self._audit, _SYSTEM))
            raise

    async def long_work(self, work: Callable[[], Any]) -> Any:
        """Runs what takes long, as exports do. Raises LimitExceeded if that many are under way already."""
        if self._long_works >= LONG_WORKS:
            raise LimitExceeded("Other clips or exports are being made just now; try again in a moment.")
        self._long_works += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._long, work)
        finally:
            self._long_works -= 1
            if not self._long_works:
                self._shredded.clear()

    # --- keeping ---------------------------------------------------------------------------------------------------

    async def hold(self, row: RecordingRecord, who: str, hold: bool) -> None:
        """Puts it under legal hold, or lets it go. Raises NotFound, AuditError."""
        async with self._lock(row.id):
            await self.recording(row.id)
            await self._change(row.id, who, {"hold": int(hold)})
            await self._store.hold_recording(row.id, hold)

    async def shred(self, recording: RecordingId, who: str) -> None:
        """Makes it unreadable for ever. Raises NotFound, Conflict (running, held), VaultError, AuditError."""
        async with self._lock(recording):
            row = await self.recording(recording)
            refusal = (
                "This recording is still running."
                if row.state is RecordingState.RUNNING
                else "This recording is held: it must not be shredded."
                if row.hold
                else None
            )
            on = str(ref_of(recording))
            if refusal is not None:
                await self.record(Entry(AuditEvent.OBJECT_SHREDDED, who, on, Outcome.REFUSED))
                raise Conflict(refusal)
            self._shredded.add(recording)
            self.readers.forget(recording)
            self._clips.pop(recording, None)
            try:
                await self.readers.run(lambda: self._vault.shred(ref_of(recording), self._audit, who))
            except BridgeError as error:
                if not isinstance(error, VaultError) or error.trouble is not Trouble.NOT_FOUND:
                    self._shredded.discard(recording)
                    raise
                # Shredded before, by a server that died before it could say so in the store.
                await self.record(Entry(AuditEvent.OBJECT_SHREDDED, who, on))
            # Who came in just before may have opened it again.
            self.readers.forget(recording)
            await self._store.recording_shredded(recording)
            if not self._long_works:
                self._shredded.discard(recording)

    async def record(self, *entries: Entry) -> None:
        """Writes into the audit. Raises AuditError: what was to be recorded must not be done then."""
        await self.readers.run(lambda: self._audit.record(*entries))

    def _lock(self, recording: RecordingId) -> asyncio.Lock:
        return self._locks.setdefault(recording, asyncio.Lock())

    async def _change(self, recording: RecordingId, who: str, detail: dict[str, int | str]) -> None:
        await self.record(Entry(AuditEvent.OBJECT_CHANGED, who, str(ref_of(recording)), detail=detail))


def _make_way() -> None:
    """A thread that encodes or seals takes only the time that live sessions leave (Linux counts it by thread)."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LONG_WORK_NICENESS)
