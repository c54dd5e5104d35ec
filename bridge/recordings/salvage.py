"""What a dead server left: recordings that were running are closed as they are, and nothing of them is deleted.

It runs before the server takes anybody in, and looks only at what the store calls running and at objects that the store
does not know (it was put back from an older backup, say). Knows no HTTP and no live session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from bridge.audit import Audit, Entry, Event
from bridge.errors import BridgeError
from bridge.ids import RecordingId, RecordingState, SessionId
from bridge.recordings.beginnings import read_started
from bridge.recordings.index import RecordingReader
from bridge.recordings.layout import (
    RecordingEnded,
    UnreadableRecording,
    encode_events,
    event_of,
    ref_of,
)
from bridge.recordings.marks import write_events
from bridge.recordings.retention import KeepDays, retain_until_ms
from bridge.store import RecordingRecord, Store
from bridge.vault import ObjectKind, ObjectRef, Trouble, Vault, VaultError

WHO = "system"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What there is of a recording. `cut`: its end was not written by the recorder."""

    cut: bool
    begin_ms: int
    end_ms: int
    size_bytes: int


async def salvage_all(
    vault: Vault, audit: Audit, store: Store, keep_days: KeepDays, now_ms: Callable[[], int]
) -> list[RecordingId]:
    """Closes all that a dead server left; gives what was touched. One that fails does not stop the others."""
    touched = []
    left = await store.list_recordings(state=RecordingState.RUNNING)
    known = {str(id) for id in await store.recording_ids()}
    stored = await asyncio.to_thread(lambda: list(vault.objects(ObjectKind.RECORDING)))
    unknown = [ref for ref in stored if ref.id not in known]
    if left or unknown:
        _log.info("salvaging recordings", running=len(left), unknown=len(unknown))
    for row in left:
        if await _close(vault, audit, store, row, keep_days, now_ms()):
            touched.append(row.id)
    for ref in unknown:
        if await _put_back(vault, audit, store, ref, keep_days, now_ms()):
            touched.append(RecordingId(ref.id))
    if touched:
        _log.info("recordings salvaged", count=len(touched))
    return touched


def close_recording(vault: Vault, ref: ObjectRef) -> Salvaged:
    """Says in the recording that it was cut, and seals it, unless it is whole. Raises VaultError, ConfigError."""
    with RecordingReader(vault.open(ref)) as reader:
        end_ms = reader.end_ms
        # A clip tells of its end first of all: it is whole only with the list of its streams.
        cut = not any(_ends(event_of(event)) for event in reader.events_as_written()) or (
            not reader.sealed and _is_clip(reader)
        )
        if not reader.sealed:
            writer = vault.reopen(ref)
            if cut:
                ended = RecordingEnded(at_ms=end_ms, reason="salvaged")
                write_events(writer, encode_events([ended]), [end_ms])
            writer.seal()
            reader.refresh()
        return Salvaged(cut, reader.begin_ms, end_ms, reader.size_bytes)


def _is_clip(reader: RecordingReader) -> bool:
    try:
        return reader.started.clip_of is not None
    except UnreadableRecording:
        return False


def _ends(event: object) -> bool:
    return isinstance(event, RecordingEnded) and event.reason != "salvaged"


async def _close(
    vault: Vault, audit: Audit, store: Store, row: RecordingRecord, keep_days: KeepDays, now_ms: int
) -> bool:
    try:
        kind = (await store.get_session(row.session)).kind
        try:
            found = await asyncio.to_thread(close_recording, vault, ref_of(row.id))
        except VaultError as error:
            if error.trouble is Trouble.KEY_MISSING:
                await store.recording_shredded(row.id)
                return True
            if error.trouble is not Trouble.NOT_FOUND:
                raise
            found = Salvaged(cut=True, begin_ms=0, end_ms=0, size_bytes=0)  # It died before it could write.
        await _record(audit, row.id, found)
        await store.close_recording(
            row.id,
            RecordingState.CUT if found.cut else RecordingState.ENDED,
            duration_ms=found.end_ms - found.begin_ms,
            size_bytes=found.size_bytes,
            retain_until_ms=retain_until_ms(keep_days, kind, now_ms),
        )
        return True
    except BridgeError as error:
        # It stays as it is, and is tried again at the next start.
        _log.error("recording not salvaged", recording=row.id, code=error.code)
        return False


async def _put_back(
    vault: Vault, audit: Audit, store: Store, ref: ObjectRef, keep_days: KeepDays, now_ms: int
) -> bool:
    """An object that the store does not know, into the store again, if its session is there."""
    recording = RecordingId(ref.id)
    try:
        started = await asyncio.to_thread(read_started, vault, recording)
        session = await store.get_session(SessionId(started.session))
        found = await asyncio.to_thread(close_recording, vault, ref)
        await _record(audit, recording, found)
        await store.add_recording(
            RecordingRecord(
                recording,
                session.id,
                RecordingState.CUT if found.cut else RecordingState.ENDED,
                started.started_at,
                duration_ms=found.end_ms - found.begin_ms,
                size_bytes=found.size_bytes,
                retain_until_ms=retain_until_ms(keep_days, session.kind, now_ms),
                clip_of=RecordingId(started.clip_of) if started.clip_of is not None else None,
            )
        )
        return True
    except BridgeError as error:
        # Without its key it was shredded; without its session nobody could be let in to it. An audit or a key file
        # that fails must not keep the server from starting: the next start tries again.
        _log.warning("stored recording not put back", recording=ref.id, code=error.code)
        return False


async def _record(audit: Audit, recording: RecordingId, found: Salvaged) -> None:
    entry = Entry(
        Event.OBJECT_CHANGED,
        WHO,
        str(ref_of(recording)),
        detail={"salvaged": int(found.cut), "endMs": found.end_ms},
    )
    await asyncio.to_thread(audit.record, entry)
