"""What people look at, written into the audit before they see it, with no more than a line a minute for one thing.

The first look opens a minute and is written at once; the looks after it are counted, and the count stands in the line
that follows. It knows ids only, and neither what is looked at nor who may.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bridge.audit import Audit, Entry, Event, Outcome

WINDOW_S = 60.0

Run = Callable[[Callable[[], None]], Awaitable[None]]
"""Runs what blocks for the disk somewhere else than on the event loop."""


@dataclass(frozen=True, slots=True)
class Look:
    """One sort of looking. `unit` names what is counted; `track` is 0 where no track is meant."""

    who: str
    on: str
    unit: str = "looks"
    track: int = 0
    refused: bool = False

    def entry(self, count: int, part: int | None) -> Entry:
        """`count` looks are over; `part` is where more begin (None: there are no more)."""
        detail: dict[str, int | str] = {}
        if self.track:
            detail["track"] = self.track
        if count:
            detail[self.unit] = count
        if part is not None and self.track:
            detail["part"] = part
        outcome = Outcome.REFUSED if self.refused else Outcome.DONE if count else Outcome.BEGUN
        return Entry(Event.OBJECT_ACCESSED, self.who, self.on, outcome, detail)


@dataclass(slots=True)
class _Window:
    opened_s: float
    written: asyncio.Future[None]
    count: int = 0
    before: _Window | None = None
    """The one whose count stands in this one's line, until that is written."""


class Accesses:
    """Looks that are being counted. For one event loop."""

    def __init__(self, audit: Audit, run: Run, now_s: Callable[[], float] = time.monotonic) -> None:
        self._audit = audit
        self._run = run
        self._now_s = now_s
        self._windows: dict[Look, _Window] = {}

    async def note(self, look: Look, part: int | None = 0) -> None:
        """Returns when the audit has it. Raises AuditError: nothing must be shown then."""
        window = self._windows.get(look)
        now_s = self._now_s()
        if window is None or now_s - window.opened_s >= WINDOW_S:
            counted = 0
            if window is not None:
                counted, window.before = window.count, None
            writing = asyncio.ensure_future(self._write([look.entry(counted, part)]))
            window = self._windows[look] = _Window(now_s, writing, before=window)
        window.count += 1
        try:
            # Shielded: who breaks off must not take the line from the others that wait for it.
            await asyncio.shield(window.written)
        except Exception:
            if self._windows.get(look) is window:
                del self._windows[look]
                if window.before is not None:
                    self._windows[look] = window.before
            raise
        window.before = None

    async def settle(self, *, all: bool = False) -> None:
        """Writes the counts of what has not been looked at for a minute (or of everything). Raises what the audit or
        who runs it raises; the counts are kept then."""
        now_s = self._now_s()
        over = [
            look
            for look, window in self._windows.items()
            if (all or now_s - window.opened_s >= WINDOW_S) and window.written.done()
        ]
        counted = [(look, self._windows.pop(look)) for look in over]
        # A single look was told in full when it began.
        entries = [look.entry(window.count, None) for look, window in counted if window.count > 1]
        if not entries:
            return
        try:
            await self._write(entries)
        except BaseException:
            for look, window in counted:
                kept = self._windows.setdefault(look, window)
                if kept is not window:
                    kept.count += window.count
            raise

    async def _write(self, entries: list[Entry]) -> None:
        await self._run(lambda: self._audit.record(*entries))
