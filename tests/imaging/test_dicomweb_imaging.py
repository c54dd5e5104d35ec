"""What the server's imaging part does beside requests: nothing of it may hold up the event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge.audit import AUDIT_FOLDER, Audit
from bridge.auth import KEY_BYTES, Auth
from bridge.dicomweb import Imaging, imaging, open_imaging
from bridge.imaging.dicomweb.shelf import Shelf
from bridge.imaging.framestore import FrameStore
from bridge.imaging.unfinished import FORGOTTEN_S, PIECE_LEAST_BYTES, Unfinished
from bridge.recordings.accesses import Accesses
from bridge.store import Store, sqlite_url
from bridge.vault import Vault


@asynccontextmanager
async def house(folder: Path, **more: int) -> AsyncIterator[Imaging]:
    store = await Store.open(sqlite_url(folder / "bridge.sqlite"))
    audit = Audit(folder / AUDIT_FOLDER)
    try:
        auth, accesses = Auth(bytes(KEY_BYTES), store), Accesses(audit, asyncio.to_thread)
        async with open_imaging(folder, Vault(folder), store, audit, auth, accesses, **more) as opened:
            yield opened
    finally:
        audit.close()
        await store.close()


def until(condition: Callable[[], bool]) -> None:
    bell = threading.Event()
    deadline_s = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline_s
        bell.wait(0.01)


async def run_until(opened: Imaging, condition: Callable[[], bool]) -> None:
    running = asyncio.create_task(opened.run())
    await asyncio.to_thread(until, condition)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imaging, "HOUSEKEEPING_S", 0.001)


def noted(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> set[int]:
    """The threads that call a method from now on."""
    threads: set[int] = set()
    real = getattr(owner, name)

    def noting(self: object, *arguments: Any) -> Any:
        threads.add(threading.get_ident())
        return real(self, *arguments)

    monkeypatch.setattr(owner, name, noting)
    return threads


def test_what_waits_for_the_disk_is_no_matter_of_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as opened:
            now_s = [0.0]
            monkeypatch.setattr(opened.pieces._objects, "_now_s", lambda: now_s[0])
            unfinished, _ = await opened.pieces.begin("one", "k" * 16, 2 * PIECE_LEAST_BYTES)
            unfinished.append(0, bytes(PIECE_LEAST_BYTES))
            now_s[0] += FORGOTTEN_S
            closing = [
                noted(monkeypatch, Shelf, "let_idle_go"),
                noted(monkeypatch, FrameStore, "let_idle_go"),
                noted(monkeypatch, Unfinished, "close"),
            ]
            await run_until(opened, lambda: all(closing))
            assert threading.get_ident() not in set.union(*closing)

    asyncio.run(scenario())


def test_pictures_that_may_not_be_kept_any_more_are_freed(tmp_path: Path) -> None:
    left = tmp_path / "derived" / "abcdefghijklmnop"
    left.mkdir(parents=True)
    (left / "00000001.parts").write_bytes(bytes(1000))

    async def scenario() -> None:
        async with house(tmp_path, cache_bytes=0) as opened:
            await run_until(opened, lambda: not left.exists())

    asyncio.run(scenario())
