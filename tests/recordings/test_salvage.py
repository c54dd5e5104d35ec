"""What a dead server left is closed as it is at the next start, and nothing of it is lost."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.audit import AuditError, Entry
from bridge.ids import RecordingId, RecordingState, SessionFormat, SessionKind
from bridge.recordings import clips
from bridge.recordings.layout import RecordingStarted, ref_of
from bridge.recordings.salvage import salvage_all
from bridge.vault import Trouble
from tests.recordings.keeping import DAY_MS, NOW_MS, Keeping, keep_days, open_keeping


@pytest.fixture
async def keeping(tmp_path: Path) -> AsyncIterator[Keeping]:
    async with open_keeping(tmp_path) as opened:
        yield opened


async def salvage(keeping: Keeping) -> list[str]:
    found = await salvage_all(keeping.vault, keeping.audit, keeping.store, keep_days, lambda: NOW_MS)
    return [str(recording) for recording in found]


async def test_a_recording_whose_server_died_is_closed_and_says_so(keeping: Keeping) -> None:
    made = await keeping.add(RecordingState.RUNNING)
    path = keeping.folder / "recordings" / made.recording / f"{made.streams[1]:08}.parts"
    os.truncate(path, path.stat().st_size - 100)
    assert await salvage(keeping) == [made.recording]
    row = await keeping.store.get_recording(made.recording)
    assert (row.state, row.duration_ms, row.retain_until_ms) == (
        RecordingState.CUT,
        8_000,
        NOW_MS + 10 * DAY_MS,
    )
    with keeping.reader(made.recording) as reader:
        assert reader.sealed
        assert reader.events()[-1] == {"type": "recordingEnded", "atMs": 8_000, "reason": "salvaged"}
        assert row.size_bytes == reader.size_bytes
        assert [len(track.parts) for track in reader.tracks] == [
            len(made.parts[stream]) - (stream == made.streams[1]) for stream in made.streams
        ]
        assert not any(track.live for track in reader.tracks)
        assert [track.findings() for track in reader.tracks] == [[]] * 5
    troubles = {finding.trouble for finding in keeping.vault.verify(ref_of(made.recording))}
    assert troubles == {Trouble.UNENDED, Trouble.CUT}
    assert [line["detail"] for line in keeping.audited(made.recording)] == [{"salvaged": 1, "endMs": 8_000}]


async def test_salvaging_again_changes_nothing(keeping: Keeping) -> None:
    made = await keeping.add(RecordingState.RUNNING)
    await salvage(keeping)
    with keeping.reader(made.recording) as reader:
        before = reader.events()
    assert await salvage(keeping) == []
    with keeping.reader(made.recording) as reader:
        assert reader.events() == before


async def test_one_that_was_sealed_but_not_noted_is_whole(keeping: Keeping) -> None:
    made = await keeping.add(RecordingState.RUNNING, sealed=True)
    await salvage(keeping)
    assert (await keeping.store.get_recording(made.recording)).state is RecordingState.ENDED
    with keeping.reader(made.recording) as reader:
        assert reader.events()[-1]["reason"] == "stopped"


async def test_what_the_store_does_not_know_is_put_back(keeping: Keeping) -> None:
    made = await keeping.add()
    cut = await keeping.add(RecordingState.RUNNING)
    database = keeping.folder / "bridge.db"
    async with open_keeping(keeping.folder / "other") as other:
        lost = await other.add()
    shutil.copytree(
        keeping.folder / "other" / "recordings" / lost.recording,
        keeping.folder / "recordings" / lost.recording,
    )
    await keeping.store.close()
    with sqlite3.connect(database) as connection:
        connection.execute("DELETE FROM recordings")
    connection.close()
    assert sorted(await salvage(keeping)) == sorted([made.recording, cut.recording])
    rows = {row.id: row for row in await keeping.store.list_recordings()}
    assert {id: row.state for id, row in rows.items()} == {
        made.recording: RecordingState.ENDED,
        cut.recording: RecordingState.CUT,
    }
    assert rows[made.recording].retain_until_ms == NOW_MS + 10 * DAY_MS
    assert rows[made.recording].duration_ms == 8_000
    # Another server's: its key does not open here, and it is left as it is.
    assert (keeping.folder / "recordings" / lost.recording / "key.age").exists()


async def test_a_clip_that_was_being_cut_when_the_server_died_says_so(keeping: Keeping) -> None:
    source = await keeping.add()
    ref = ref_of(RecordingId("clipclipclipcli2"))
    started = RecordingStarted(
        at_ms=1_000,
        session=keeping.session.id,
        title="Echo",
        session_kind=SessionKind.CONSULTATION,
        session_format=SessionFormat.CONSULT,
        started_at=NOW_MS,
        clip_of=source.recording,
        begin_ms=1_000,
        end_ms=6_000,
    )

    def die() -> None:
        raise MemoryError

    with keeping.reader(source.recording) as reader, pytest.MonkeyPatch.context() as patch:
        patch.setattr(clips, "_remove", lambda *_: None)  # As if the machine had lost power.
        with pytest.raises(MemoryError):
            clips.cut_clip(keeping.vault, keeping.audit, reader, ref, started, die)
    assert await salvage(keeping) == [ref.id]
    row = await keeping.store.get_recording(RecordingId(ref.id))
    assert (row.state, row.clip_of) == (RecordingState.CUT, source.recording)


async def test_what_cannot_be_put_back_does_not_keep_the_server_from_starting(
    keeping: Keeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keeping.add()
    await keeping.store.close()
    with sqlite3.connect(keeping.folder / "bridge.db") as connection:
        connection.execute("DELETE FROM recordings")
    connection.close()

    def fail(*_entries: Entry) -> None:
        raise AuditError("The audit cannot be written: the disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(keeping.audit, "record", fail)
        assert await salvage(keeping) == []
    assert len(await salvage(keeping)) == 1


async def test_one_that_never_came_to_the_disk_is_cut_at_nothing(keeping: Keeping) -> None:
    made = await keeping.add(RecordingState.RUNNING)
    shutil.rmtree(keeping.folder / "recordings" / made.recording)
    await salvage(keeping)
    row = await keeping.store.get_recording(made.recording)
    assert (row.state, row.duration_ms) == (RecordingState.CUT, 0)


async def test_one_without_its_key_counts_as_shredded(keeping: Keeping) -> None:
    made = await keeping.add(RecordingState.RUNNING)
    (keeping.folder / "recordings" / made.recording / "key.age").unlink()
    await salvage(keeping)
    assert (await keeping.store.get_recording(made.recording)).state is RecordingState.SHREDDED


async def test_one_that_cannot_be_opened_does_not_stop_the_others(keeping: Keeping) -> None:
    broken, fine = [await keeping.add(RecordingState.RUNNING) for _ in range(2)]
    (keeping.folder / "recordings" / broken.recording / "key.age").write_bytes(b"nonsense")
    assert await salvage(keeping) == [fine.recording]
    assert (await keeping.store.get_recording(broken.recording)).state is RecordingState.RUNNING


async def test_what_is_kept_for_ever_gets_no_end(tmp_path: Path) -> None:
    async with open_keeping(tmp_path, SessionKind.TRAINING) as keeping:
        made = await keeping.add(RecordingState.RUNNING)
        await salvage(keeping)
        assert (await keeping.store.get_recording(made.recording)).retain_until_ms is None
