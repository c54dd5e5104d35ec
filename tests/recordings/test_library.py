"""What a list of recordings costs, and what the library keeps of what is gone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.errors import NotFound
from bridge.ids import SessionFormat, SessionKind
from bridge.recordings import layout
from bridge.recordings.beginnings import read_started
from bridge.recordings.library import Library
from bridge.recordings.marks import write_events
from bridge.store import RecordingRecord
from bridge.vault import ObjectReader, StreamReader, Vault
from tests.recordings.keeping import Keeping, open_keeping
from tests.recordings.making import make_recording


@pytest.fixture
async def keeping(tmp_path: Path) -> AsyncIterator[Keeping]:
    async with open_keeping(tmp_path) as opened:
        yield opened


@pytest.fixture
async def library(keeping: Keeping) -> AsyncIterator[Library]:
    made = keeping.library()
    yield made
    await made.close()


def streams_opened(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    opened: list[int] = []
    real = ObjectReader.stream

    def noting(stored: ObjectReader, number: int) -> StreamReader:
        opened.append(number)
        return real(stored, number)

    monkeypatch.setattr(ObjectReader, "stream", noting)
    return opened


async def clip_of(keeping: Keeping) -> RecordingRecord:
    source = await keeping.add(tracks=[])
    made = await keeping.add(clip_of=source.recording)
    return await keeping.store.get_recording(made.recording)


async def test_a_clip_in_a_list_costs_its_first_stream_once(
    keeping: Keeping, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = await clip_of(keeping)
    opened = streams_opened(monkeypatch)
    for _ in range(3):
        started = await library.started(row)
        assert started is not None
        assert started.session == row.session
    assert opened == [1]


async def test_a_clip_whose_beginning_is_lost_is_not_looked_for_again(
    keeping: Keeping, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = await clip_of(keeping)
    (keeping.folder / "recordings" / row.id / "00000001.parts").unlink()
    opened = streams_opened(monkeypatch)
    assert await library.started(row) is None
    looked = len(opened)
    assert looked
    assert await library.started(row) is None
    assert len(opened) == looked


def test_a_beginning_behind_a_damaged_stream_is_found(tmp_path: Path) -> None:
    vault = Vault(tmp_path)
    made = make_recording(vault, tracks=[])
    started = layout.RecordingStarted(
        at_ms=0,
        session="again",
        title="",
        session_kind=SessionKind.ADVICE,
        session_format=SessionFormat.CONSULT,
        started_at=1,
    )
    ref = layout.ref_of(made.recording)
    write_events(vault.reopen(ref), layout.encode_events([started]), [0])
    assert read_started(vault, made.recording).session != "again"
    path = tmp_path / "recordings" / made.recording / "00000001.parts"
    path.write_bytes(b"\0" * path.stat().st_size)
    assert read_started(vault, made.recording).session == "again"


async def test_what_was_shredded_is_remembered_only_for_long_work(keeping: Keeping, library: Library) -> None:
    first, second = [(await keeping.add(tracks=[])).recording for _ in range(2)]
    await library.shred(first, "staff")
    library.check_on(first)()  # Nothing could be under way on it.
    going = threading.Event()
    working = asyncio.create_task(library.long_work(going.wait))
    await asyncio.sleep(0)
    await library.shred(second, "staff")
    with pytest.raises(NotFound):
        library.check_on(second)()
    going.set()
    await working
    library.check_on(second)()
