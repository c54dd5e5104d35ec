"""How long studies are kept, what holds them, and how they are shredded: key, index, and all that was made of them.

A study of a session is kept some days by the session's kind, counted from when it ended or the last object came; one
without a session until somebody removes it. Who may ask is decided before. Every change is in the audit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import structlog

from bridge.audit import Audit, Entry, Event, Outcome
from bridge.errors import BridgeError, Conflict, NotFound
from bridge.ids import SessionId, SessionKind
from bridge.imaging.archive import Archive
from bridge.store import StudyRecord
from bridge.studyrows import StudyRows
from bridge.vault import Trouble, VaultError

PERIOD_S = 3600.0
FIRST_AFTER_S = 90.0
"""A server that starts has other things to do."""
SHREDDED_AT_ONCE = 200
"""In one run; the rest waits for the next."""
SYSTEM = "system"
_DAY_MS = 24 * 3600 * 1000

KeepDays = Callable[[SessionKind], int]
"""Days that studies of a kind are kept; 0 is for ever."""
Run = Callable[[Callable[[], Any]], Awaitable[Any]]
Forget = Callable[[str], None]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Retention:
    """The rule that a study is kept by: `days` after the end of a session of this kind, 0 is for ever; without a
    kind until somebody removes it. `until_ms` is None where nothing says an end, as while its session is open."""

    kind: SessionKind | None = None
    days: int = 0
    until_ms: int | None = None


class Keeping:
    """For one event loop. `run` does what blocks; `forgets` are told of a study before and after it goes."""

    def __init__(
        self,
        *,
        archive: Archive,
        rows: StudyRows,
        audit: Audit,
        run: Run,
        keep_days: KeepDays,
        now_ms: Callable[[], int],
        forgets: Iterable[Forget] = (),
    ) -> None:
        """More `forgets` may come before the first study is shredded."""
        self._archive = archive
        self._rows = rows
        self._audit = audit
        self._run = run
        self._keep_days = keep_days
        self._now_ms = now_ms
        self.forgets = list(forgets)
        self._lock = asyncio.Lock()

    async def hold(self, study: str, who: str, hold: bool) -> None:
        """Puts it under legal hold, or lets it go. Raises NotFound, AuditError."""
        await self._rows.get(study)
        await self._record(Entry(Event.OBJECT_CHANGED, who, _on(study), detail={"hold": int(hold)}))
        await self._rows.hold(study, hold)

    async def shred(self, study: str, who: str) -> None:
        """Makes it unreadable for ever. Raises NotFound, Conflict (arriving, held), VaultError, AuditError."""
        async with self._lock:
            try:
                await self._rows.begin_shredding(study, who)
            except Conflict:
                await self._record(Entry(Event.OBJECT_SHREDDED, who, _on(study), Outcome.REFUSED))
                raise
            try:
                await self._shred(study, who)
            except Conflict:
                await self._rows.keep_after_all(study)
                await self._record(Entry(Event.OBJECT_SHREDDED, who, _on(study), Outcome.REFUSED))
                raise

    async def finish(self) -> int:
        """Ends what a server that died had begun to shred; gives how many. To be called at the start."""
        done = 0
        for row in await self._rows.half_shredded():
            try:
                async with self._lock:
                    await self._shred(row.id, row.shredded_by or SYSTEM)
                done += 1
            except BridgeError as error:
                _log.error("study not shredded", study=row.id, code=error.code)
        return done

    async def sweep(self) -> int:
        """One run over what is past its time; gives how many were shredded."""
        done = 0
        for kind in SessionKind:
            days = self._keep_days(kind)
            if not days:
                continue
            before_ms = self._now_ms() - days * _DAY_MS
            for study in await self._rows.expired(kind, before_ms, SHREDDED_AT_ONCE - done):
                done += await self._shred_expired(study)
        if done:
            _log.info("studies past their time shredded", count=done)
        return done

    async def keep_sweeping(self) -> None:
        """Runs as long as the server."""
        await self.finish()
        await asyncio.sleep(FIRST_AFTER_S)
        while True:
            await self.sweep()
            await asyncio.sleep(PERIOD_S)

    async def retention(self, rows: Iterable[StudyRecord]) -> dict[str, Retention]:
        """How and until when each is kept as things are."""
        rows = list(rows)
        sessions = {row.session for row in rows if row.session is not None}
        ended = await self._rows.ended(sessions)
        return {row.id: self._retention(row, ended) for row in rows}

    def _retention(
        self, row: StudyRecord, ended: dict[SessionId, tuple[SessionKind, int | None]]
    ) -> Retention:
        if row.session is None or row.session not in ended:
            return Retention()
        kind, ended_at_ms = ended[row.session]
        days = self._keep_days(kind)
        if ended_at_ms is None or not days:
            return Retention(kind, days)
        return Retention(kind, days, max(ended_at_ms, row.changed_at_ms) + days * _DAY_MS)

    async def _shred_expired(self, study: str) -> bool:
        try:
            await self.shred(study, SYSTEM)
            return True
        except (Conflict, NotFound):
            return False
        except BridgeError as error:
            _log.error("study not shredded", study=study, code=error.code)
            return False

    async def _shred(self, study: str, who: str) -> None:
        await self._forget(study)
        try:
            await self._run(lambda: self._archive.shred(study, self._audit, who))
        except VaultError as error:
            if error.trouble is not Trouble.NOT_FOUND:
                raise
            # Its key went before, with a server that died before it could say so in the index.
            await self._record(Entry(Event.OBJECT_SHREDDED, who, _on(study)))
            await self._run(lambda: self._archive.catalogue.forget(study))
        # Who came in just before may have opened it again.
        await self._forget(study)

    async def _forget(self, study: str) -> None:
        for forget in self.forgets:
            await self._run(lambda forget=forget: forget(study))  # type: ignore[misc]

    async def _record(self, *entries: Entry) -> None:
        await self._run(lambda: self._audit.record(*entries))


def _on(study: str) -> str:
    return f"study/{study}"
