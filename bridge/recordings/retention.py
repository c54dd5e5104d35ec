"""How long recordings are kept: by the kind of their session; what is past its time is shredded, unless it is held."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from bridge.config import Settings
from bridge.errors import BridgeError, Conflict
from bridge.ids import RecordingId, SessionKind
from bridge.store import Store

PERIOD_S = 3600.0
FIRST_AFTER_S = 60.0
"""A server that starts has other things to do."""
SHREDDED_AT_ONCE = 200
"""In one run; the rest waits for the next."""
_DAY_MS = 24 * 3600 * 1000

_log = structlog.get_logger(__name__)

KeepDays = Callable[[SessionKind], int]
"""Days that recordings of a kind are kept; 0 is for ever."""


def keep_days_of(settings: Settings) -> KeepDays:
    """As the settings say it for each kind."""
    return lambda kind: int(getattr(settings, f"retention_days_{kind.value}"))


def retain_until_ms(keep_days: KeepDays, kind: SessionKind, now_ms: int) -> int | None:
    """Until when what ends now is kept; None is for ever."""
    days = keep_days(kind)
    return now_ms + days * _DAY_MS if days else None


async def shred_expired(
    store: Store, shred: Callable[[RecordingId], Awaitable[None]], now_ms: Callable[[], int]
) -> int:
    """One run; gives how many were shredded. `shred` looks again at what holds it, and raises Conflict then."""
    done = 0
    for row in await store.expired_recordings(now_ms()):
        if done == SHREDDED_AT_ONCE:
            break
        try:
            await shred(row.id)
            done += 1
        except Conflict:
            continue
        except BridgeError as error:
            _log.error("recording not shredded", recording=row.id, code=error.code)
    if done:
        _log.info("recordings past their time shredded", count=done)
    return done


async def keep_shredding(
    store: Store, shred: Callable[[RecordingId], Awaitable[None]], now_ms: Callable[[], int]
) -> None:
    """Runs as long as the server."""
    await asyncio.sleep(FIRST_AFTER_S)
    while True:
        await shred_expired(store, shred, now_ms)
        await asyncio.sleep(PERIOD_S)
