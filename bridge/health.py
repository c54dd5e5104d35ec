"""Whether this server can do its work now: relay, store, recordings, event loop.

Anybody may ask, often; so the answer is made at most once a second, whoever asks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

STORE_TIMEOUT_S = 3.0
RELAY_SILENT_S = 5.0
"""The relay reports about once a second."""
LOOP_LAG_LIMIT_S = 0.5
KEEP_S = 1.0

_log = structlog.get_logger(__name__)


class Health:
    """Checks the parts. `relay_report` gives the relay's newest report: a new object each time it reported."""

    def __init__(
        self,
        relay_report: Callable[[], object | None],
        check_store: Callable[[], Awaitable[None]],
        loop_lag_s: Callable[[], float],
        recordings_fail: Callable[[], bool],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._relay_report = relay_report
        self._check_store = check_store
        self._loop_lag_s = loop_lag_s
        self._recordings_fail = recordings_fail
        self._now_s = now_s
        self._last_report: object | None = None
        self._reported_at_s = now_s()
        self._asking = asyncio.Lock()
        self._failing: tuple[str, ...] = ()
        self._answered_at_s: float | None = None

    def watch(self) -> None:
        """Looks whether the relay reported since; to be called about once a second."""
        report = self._relay_report()
        if report is not None and report is not self._last_report:
            self._last_report = report
            self._reported_at_s = self._now_s()

    async def failing(self) -> tuple[str, ...]:
        """The names of the parts that fail: `relay`, `store`, `loop`, `recordings` (they cannot be written)."""
        async with self._asking:
            if self._answered_at_s is None or self._now_s() - self._answered_at_s >= KEEP_S:
                self._failing = await self._ask()
                self._answered_at_s = self._now_s()
            return self._failing

    async def _ask(self) -> tuple[str, ...]:
        self.watch()
        failing = []
        if self._now_s() - self._reported_at_s > RELAY_SILENT_S:
            failing.append("relay")
        if not await self._store_writes():
            failing.append("store")
        if self._loop_lag_s() > LOOP_LAG_LIMIT_S:
            failing.append("loop")
        if self._recordings_fail():
            failing.append("recordings")
        return tuple(failing)

    async def _store_writes(self) -> bool:
        try:
            async with asyncio.timeout(STORE_TIMEOUT_S):
                await self._check_store()
        except Exception as error:
            # Whatever the driver raises means the same here.
            _log.warning("store takes no writes", error=type(error).__name__)
            return False
        return True
