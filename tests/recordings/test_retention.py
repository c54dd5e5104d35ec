"""Recordings are kept as long as their session's kind says, and no hold is overrun."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.errors import Conflict, NotFound
from bridge.ids import RecordingId, RecordingState, SessionKind
from bridge.recordings.layout import ref_of
from bridge.recordings.library import Library
from bridge.recordings.retention import retain_until_ms, shred_expired
from tests.recordings.keeping import DAY_MS, NOW_MS, Keeping, keep_days, open_keeping

PAST = NOW_MS - 1


@pytest.fixture
async def keeping(tmp_path: Path) -> AsyncIterator[Keeping]:
    async with open_keeping(tmp_path) as opened:
        yield opened


@pytest.fixture
async def library(keeping: Keeping) -> AsyncIterator[Library]:
    made = keeping.library()
    yield made
    await made.close()


def folder(keeping: Keeping, recording: RecordingId) -> Path:
    return keeping.folder / "recordings" / recording


@pytest.mark.parametrize(
    ("kind", "until"), [(SessionKind.ADVICE, NOW_MS + 10 * DAY_MS), (SessionKind.TRAINING, None)]
)
def test_the_kind_says_how_long(kind: SessionKind, until: int | None) -> None:
    assert retain_until_ms(keep_days, kind, NOW_MS) == until


async def test_what_is_past_its_time_is_shredded_and_nothing_else(keeping: Keeping, library: Library) -> None:
    expired = await keeping.add(retain_until_ms=PAST)
    others = [
        await keeping.add(retain_until_ms=PAST, hold=True),
        await keeping.add(retain_until_ms=NOW_MS + 1),
        await keeping.add(),
        await keeping.add(RecordingState.RUNNING, retain_until_ms=PAST),
    ]
    done = await shred_expired(keeping.store, lambda id: library.shred(id, "system"), lambda: NOW_MS)
    assert done == 1
    assert not folder(keeping, expired.recording).exists()
    assert (await keeping.store.get_recording(expired.recording)).state is RecordingState.SHREDDED
    assert all(folder(keeping, other.recording).exists() for other in others)
    lines = keeping.audited(expired.recording)
    assert [(line["event"], line["who"], line["outcome"]) for line in lines] == [
        ("objectShredded", "system", 1),
        ("objectShredded", "system", 0),
    ]


async def test_a_hold_set_at_the_last_moment_counts(keeping: Keeping, library: Library) -> None:
    made = await keeping.add(retain_until_ms=PAST)

    async def shred(recording: RecordingId) -> None:
        await keeping.store.hold_recording(recording, True)
        await library.shred(recording, "system")

    assert await shred_expired(keeping.store, shred, lambda: NOW_MS) == 0
    assert folder(keeping, made.recording).exists()
    (line,) = keeping.audited(made.recording)
    assert (line["event"], line["outcome"]) == ("objectShredded", 4)


async def test_one_that_cannot_be_shredded_does_not_stop_the_others(
    keeping: Keeping, library: Library
) -> None:
    stuck, fine = [await keeping.add(retain_until_ms=PAST) for _ in range(2)]
    (folder(keeping, stuck.recording) / "in the way").mkdir()
    assert await shred_expired(keeping.store, lambda id: library.shred(id, "system"), lambda: NOW_MS) == 1
    assert not folder(keeping, fine.recording).exists()
    (folder(keeping, stuck.recording) / "in the way").rmdir()
    assert await shred_expired(keeping.store, lambda id: library.shred(id, "system"), lambda: NOW_MS) == 1
    assert not folder(keeping, stuck.recording).exists()


async def test_a_shredding_that_the_store_was_not_told_of_is_finished(
    keeping: Keeping, library: Library
) -> None:
    made = await keeping.add(retain_until_ms=PAST)
    keeping.vault.shred(ref_of(made.recording), keeping.audit, "system")
    await library.shred(made.recording, "staff")
    assert (await keeping.store.get_recording(made.recording)).state is RecordingState.SHREDDED
    with pytest.raises(NotFound):
        await library.shred(made.recording, "staff")


async def test_a_running_one_is_not_shredded(keeping: Keeping, library: Library) -> None:
    made = await keeping.add(RecordingState.RUNNING)
    with pytest.raises(Conflict):
        await library.shred(made.recording, "staff")
