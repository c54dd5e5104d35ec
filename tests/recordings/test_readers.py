"""Recordings are kept open for a while, and only so many of them."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.errors import LimitExceeded
from bridge.ids import RecordingId
from bridge.recordings import layout
from bridge.recordings.readers import FRESH_S, IDLE_S, READERS_LIMIT, THREADS, WAITING_LIMIT, Readers
from bridge.vault import ObjectReader, Vault, VaultError
from tests.recordings.making import make_recording, write_events


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path)


@pytest.fixture
async def readers(vault: Vault, clock: Clock) -> AsyncIterator[Readers]:
    made = Readers(vault, clock)
    yield made
    made.close()


async def test_who_asks_at_once_gets_the_same(readers: Readers, vault: Vault) -> None:
    made = make_recording(vault, tracks=[])
    found = await asyncio.gather(*(readers.get(made.recording) for _ in range(20)))
    assert len(set(map(id, found))) == 1
    assert await readers.fresh(made.recording) is found[0]


async def test_what_nobody_looks_at_is_let_go(readers: Readers, vault: Vault, clock: Clock) -> None:
    made = make_recording(vault, tracks=[], sealed=False)
    before = len(os.listdir("/proc/self/fd"))
    reader = await readers.get(made.recording)
    assert len(os.listdir("/proc/self/fd")) == before + 1
    clock.now_s = IDLE_S - 1
    readers.let_idle_go()
    assert await readers.get(made.recording) is reader
    clock.now_s += IDLE_S
    readers.let_idle_go()
    assert len(os.listdir("/proc/self/fd")) == before
    assert await readers.get(made.recording) is not reader


async def test_one_that_is_let_go_while_somebody_looks_at_it_leaves_no_file_open(
    readers: Readers, vault: Vault, clock: Clock
) -> None:
    made = make_recording(vault, tracks=[], sealed=False)
    going = threading.Event()
    busy = [asyncio.create_task(readers.run(going.wait)) for _ in range(THREADS)]
    await asyncio.sleep(0)
    before = len(os.listdir("/proc/self/fd"))
    going.set()
    await asyncio.gather(*busy)
    reader = await readers.get(made.recording)
    going.clear()
    busy = [asyncio.create_task(readers.run(going.wait)) for _ in range(THREADS)]
    await asyncio.sleep(0)
    clock.now_s = FRESH_S
    looking = asyncio.create_task(readers.fresh(made.recording))
    await asyncio.sleep(0)
    readers.forget(made.recording)
    going.set()
    assert await looking is reader
    await asyncio.gather(*busy)
    assert reader.events()
    assert len(os.listdir("/proc/self/fd")) == before


async def test_letting_one_go_waits_for_nobody_who_looks_at_it(
    readers: Readers, vault: Vault, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_recording(vault, tracks=[], sealed=False)
    before = len(os.listdir("/proc/self/fd"))
    reader = await readers.get(made.recording)
    looking, going = threading.Event(), threading.Event()
    real = ObjectReader.streams

    def slow(stored: ObjectReader) -> list[int]:
        looking.set()
        assert going.wait(20)
        return real(stored)

    monkeypatch.setattr(ObjectReader, "streams", slow)
    clock.now_s = FRESH_S
    refreshed = asyncio.create_task(readers.fresh(made.recording))
    assert await asyncio.to_thread(looking.wait, 20)
    late = threading.Timer(2, going.set)  # Who waited for the one that looks would find it done.
    late.start()
    readers.forget(made.recording)
    assert not going.is_set()
    late.cancel()
    going.set()
    assert await refreshed is reader
    assert len(os.listdir("/proc/self/fd")) == before


async def test_the_one_used_longest_ago_makes_room(readers: Readers, vault: Vault) -> None:
    made = [make_recording(vault, tracks=[]) for _ in range(READERS_LIMIT + 1)]
    first, second = [await readers.get(each.recording) for each in made[:2]]
    await readers.get(made[0].recording)
    for each in made[2:]:
        await readers.get(each.recording)
    assert await readers.get(made[0].recording) is first
    assert await readers.get(made[1].recording) is not second


async def test_what_was_added_is_seen_a_moment_later(readers: Readers, vault: Vault, clock: Clock) -> None:
    made = make_recording(vault, tracks=[])
    reader = await readers.fresh(made.recording)
    before = len(reader.events())
    mark = layout.MarkAdded(at_ms=1, mark="m", participant="p", name="", text="")
    write_events(vault.reopen(layout.ref_of(made.recording)), [mark])
    clock.now_s = FRESH_S
    assert len((await readers.fresh(made.recording)).events()) == before + 1


async def test_one_that_is_not_there_is_told_each_time(readers: Readers) -> None:
    for _ in range(2):
        with pytest.raises(VaultError) as caught:
            await readers.get(RecordingId("aaaaaaaaaaaaaaaa"))
        assert caught.value.code == "notFound"


async def test_too_many_that_wait_are_sent_away(readers: Readers) -> None:
    going = threading.Event()
    waiting = [asyncio.create_task(readers.run(going.wait)) for _ in range(WAITING_LIMIT)]
    await asyncio.sleep(0)
    with pytest.raises(LimitExceeded):
        await readers.run(going.wait)
    going.set()
    assert all(await asyncio.gather(*waiting))
    assert await readers.run(going.wait)
