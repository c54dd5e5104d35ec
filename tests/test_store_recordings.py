"""What the store knows of recordings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.errors import Conflict, NotFound
from bridge.ids import RecordingId, RecordingState, SessionFormat, SessionId, SessionKind, new_id
from bridge.store import RecordingRecord, SessionRecord, Store, sqlite_url

RUNNING, ENDED, CUT = RecordingState.RUNNING, RecordingState.ENDED, RecordingState.CUT


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(sqlite_url(tmp_path / "bridge.db"))
    yield store
    await store.close()


async def make_session(store: Store) -> SessionRecord:
    session, _ = await store.create_session(
        title="Echo", kind=SessionKind.ADVICE, format=SessionFormat.CONSULT, capacity=2, at_ms=1
    )
    return session


@pytest.fixture
async def session(store: Store) -> SessionRecord:
    return await make_session(store)


async def add(
    store: Store, session: SessionRecord, started_at_ms: int = 1, **more: object
) -> RecordingRecord:
    row = RecordingRecord(RecordingId(new_id()), session.id, RUNNING, started_at_ms)
    row = replace(row, **more)  # type: ignore[arg-type]
    await store.add_recording(row)
    return row


async def test_a_recording_is_kept_as_it_was_added(store: Store, session: SessionRecord) -> None:
    source = await add(store, session)
    row = await add(
        store, session, 7, state=ENDED, duration_ms=5, size_bytes=2**40, hold=True, clip_of=source.id
    )
    assert await store.get_recording(row.id) == row
    with pytest.raises(Conflict):
        await store.add_recording(row)
    with pytest.raises(NotFound):
        await store.add_recording(replace(row, id=RecordingId(new_id()), session=SessionId("none")))


async def test_recordings_are_listed_the_newest_first(store: Store, session: SessionRecord) -> None:
    other = await make_session(store)
    first, second, third = [
        await add(store, each, at_ms) for each, at_ms in ((session, 1), (other, 2), (session, 3))
    ]
    assert await store.list_recordings() == [third, second, first]
    assert await store.list_recordings(limit=2) == [third, second]
    assert await store.recording_ids() == {first.id, second.id, third.id}
    assert await store.list_recordings(session.id) == [third, first]
    assert await store.list_recordings(state=ENDED) == []
    assert await store.get_sessions({session.id, other.id, SessionId("none")}) == {
        session.id: session,
        other.id: other,
    }


async def test_a_recording_is_closed_held_and_shredded(store: Store, session: SessionRecord) -> None:
    row = await add(store, session)
    await store.close_recording(row.id, CUT, duration_ms=5, size_bytes=6, retain_until_ms=7)
    await store.hold_recording(row.id, True)
    closed = replace(row, state=CUT, duration_ms=5, size_bytes=6, retain_until_ms=7, hold=True)
    assert await store.get_recording(row.id) == closed
    await store.hold_recording(row.id, False)
    await store.recording_shredded(row.id)
    shredded = replace(closed, state=RecordingState.SHREDDED, size_bytes=0, hold=False)
    assert await store.get_recording(row.id) == shredded


async def test_only_what_is_over_past_its_time_and_not_held_has_expired(
    store: Store, session: SessionRecord
) -> None:
    expired = [await add(store, session, state=state, retain_until_ms=10) for state in (ENDED, CUT)]
    for state in (RUNNING, RecordingState.SHREDDED):
        await add(store, session, state=state, retain_until_ms=10)
    await add(store, session, state=ENDED, retain_until_ms=11)
    await add(store, session, state=ENDED)
    await add(store, session, state=ENDED, retain_until_ms=1, hold=True)
    assert {row.id for row in await store.expired_recordings(10)} == {row.id for row in expired}


async def test_one_that_is_not_there_is_told(store: Store) -> None:
    none = RecordingId("none")
    with pytest.raises(NotFound):
        await store.get_recording(none)
    with pytest.raises(NotFound):
        await store.close_recording(none, CUT, duration_ms=1, size_bytes=1, retain_until_ms=None)
    with pytest.raises(NotFound):
        await store.hold_recording(none, True)
    with pytest.raises(NotFound):
        await store.recording_shredded(none)
