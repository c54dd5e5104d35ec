"""What recordings are kept in, without a server: vault, audit and store under one folder, with one session."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.audit import AUDIT_FOLDER, Audit, read_lines
from bridge.ids import RecordingId, RecordingState, SessionFormat, SessionKind
from bridge.recordings.index import RecordingReader
from bridge.recordings.layout import Event, ref_of
from bridge.recordings.library import Library
from bridge.store import RecordingRecord, SessionRecord, Store, sqlite_url
from bridge.vault import Vault
from tests.recordings.making import STARTED_AT_MS, Made, make_recording

NOW_MS = 1_770_000_000_000
DAY_MS = 24 * 3600 * 1000


def keep_days(kind: SessionKind) -> int:
    """Training is kept for ever here."""
    return 0 if kind is SessionKind.TRAINING else 10


class NothingRuns:
    """No recording is being written."""

    def note(self, recording: RecordingId, event: Event) -> None:
        raise AssertionError("nothing runs here")

    def clock_ms(self, recording: RecordingId) -> int:
        return 0


@dataclass
class Keeping:
    folder: Path
    vault: Vault
    audit: Audit
    store: Store
    session: SessionRecord

    async def add(self, state: RecordingState = RecordingState.ENDED, **more: Any) -> Made:
        """A recording in the vault and in the store; one that is running is as its dead writer left it."""
        row = {name: more.pop(name) for name in ("hold", "retain_until_ms", "clip_of") if name in more}
        more.setdefault("sealed", state is not RecordingState.RUNNING)
        made = make_recording(self.vault, session=self.session.id, **more)
        await self.store.add_recording(
            RecordingRecord(made.recording, self.session.id, state, STARTED_AT_MS, **row)
        )
        return made

    def library(self) -> Library:
        """To be closed by the caller."""
        return Library(
            vault=self.vault,
            audit=self.audit,
            store=self.store,
            running=NothingRuns(),
            keep_days=keep_days,
            now_ms=lambda: NOW_MS,
        )

    def reader(self, recording: RecordingId) -> RecordingReader:
        return RecordingReader(self.vault.open(ref_of(recording)))

    def audited(self, recording: str | None = None) -> Sequence[dict[str, Any]]:
        """The audit's lines, of one recording or all."""
        lines = [line.content for line in read_lines(self.folder / AUDIT_FOLDER, self.audit.key)]
        return [line for line in lines if recording is None or line["on"] == f"recording/{recording}"]


@asynccontextmanager
async def open_keeping(folder: Path, kind: SessionKind = SessionKind.CONSULTATION) -> AsyncIterator[Keeping]:
    """Closed with the block."""
    vault = Vault(folder)  # It makes the folder.
    store = await Store.open(sqlite_url(folder / "bridge.db"))
    audit = Audit(folder / AUDIT_FOLDER)
    try:
        session, _ = await store.create_session(
            title="Echo", kind=kind, format=SessionFormat.CONSULT, capacity=5, at_ms=STARTED_AT_MS
        )
        yield Keeping(folder, vault, audit, store, session)
    finally:
        audit.close()
        await store.close()
