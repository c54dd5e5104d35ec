"""How long studies are kept, what holds them, and what is left of one that was shredded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bridge.audit import Audit, Event, read_lines
from bridge.errors import Conflict, NotFound
from bridge.ids import SessionFormat, SessionId, SessionKind
from bridge.imaging.archive import Archive
from bridge.imaging.catalogue import Belonging, Catalogue, StoreEntries
from bridge.imaging.dicomweb.shelf import Shelf
from bridge.imaging.keeping import SYSTEM, Keeping, Retention
from bridge.imaging.workers import Workers
from bridge.store import Store, sqlite_url
from bridge.studyrows import StudyRows
from bridge.vault import ObjectKind, Vault
from tests.imaging.corpus import ct_slice

STUDY, SERIES = "1.2.826.0.1.3680043.8.498.61", "1.2.826.0.1.3680043.8.498.62"
STAFF = "staff"
DAY_MS = 24 * 3600 * 1000
NOW_MS = 40_000 * DAY_MS


@dataclass
class Kept:
    """An archive with a keeping that has a clock of its own."""

    folder: Path
    store: Store
    archive: Archive
    shelf: Shelf
    rows: StudyRows
    keeping: Keeping
    audit: Audit
    now_ms: int

    async def take(self, session: SessionId | None = None, study: str = STUDY) -> str:
        """A study of one object that came now."""

        def keep() -> str:
            with self.archive.arrivals() as arrivals:
                kept = arrivals.keep(ct_slice(1, study, SERIES + study[-1], side=32))
            self.archive.catalogue.assign(kept.study, Belonging(session))
            return kept.study

        return await asyncio.to_thread(keep)

    async def session(self, kind: SessionKind, ended_at_ms: int | None) -> SessionId:
        made, _ = await self.store.create_session(
            title="Echo", kind=kind, format=SessionFormat.CONSULT, capacity=2, at_ms=1
        )
        if ended_at_ms is not None:
            await self.store.end_session(made.id, ended_at_ms)
        return made.id

    def shredded(self) -> list[tuple[str, int]]:
        lines = [line.content for line in read_lines(self.audit.folder, self.audit.key)]
        return [
            (line["who"], line["outcome"]) for line in lines if line["event"] == Event.OBJECT_SHREDDED.value
        ]

    def ids(self) -> list[str]:
        return [entry.id for entry in self.archive.catalogue.all()]


@asynccontextmanager
async def kept_in(folder: Path, workers: Workers) -> AsyncIterator[Kept]:
    await asyncio.to_thread(folder.mkdir, exist_ok=True)
    store = await Store.open(sqlite_url(folder / "bridge.db"))
    audit = Audit(folder / "audit")
    clock = {"ms": NOW_MS}
    try:
        vault, loop = Vault(folder), asyncio.get_running_loop()

        def opened() -> Archive:
            catalogue = Catalogue(vault, StoreEntries(store, loop))
            return Archive(vault, catalogue, workers, now_ms=lambda: clock["ms"])

        archive = await asyncio.to_thread(opened)
        shelf, rows = Shelf(archive), StudyRows(store)
        days = {SessionKind.TRAINING: 10, SessionKind.ADVICE: 0}
        keeping = Keeping(
            archive=archive,
            rows=rows,
            audit=audit,
            run=asyncio.to_thread,
            keep_days=lambda kind: days.get(kind, 100),
            now_ms=lambda: kept.now_ms,
            forgets=(shelf.forget,),
        )
        kept = Kept(folder, store, archive, shelf, rows, keeping, audit, NOW_MS)
        yield kept
        shelf.close()
    finally:
        await store.close()
        audit.close()


@pytest.fixture
async def kept(tmp_path: Path, workers: Workers) -> AsyncIterator[Kept]:
    async with kept_in(tmp_path / "data", workers) as opened:
        yield opened


async def test_a_study_is_kept_by_its_session_s_kind_from_its_end_or_last_object(kept: Kept) -> None:
    old_ms = NOW_MS - 50 * DAY_MS
    training = await kept.session(SessionKind.TRAINING, old_ms)
    study = await kept.take(training)
    others = [
        await kept.take(await kept.session(SessionKind.RADIOLOGY, old_ms), STUDY + "1"),
        await kept.take(await kept.session(SessionKind.ADVICE, old_ms), STUDY + "2"),
        await kept.take(await kept.session(SessionKind.TRAINING, None), STUDY + "3"),
        await kept.take(None, STUDY + "4"),
    ]
    rules = await kept.keeping.retention(await kept.rows.get_all([study, *others]))
    assert rules[study] == Retention(SessionKind.TRAINING, 10, NOW_MS + 10 * DAY_MS)
    assert [rules[other] for other in others] == [
        Retention(SessionKind.RADIOLOGY, 100, NOW_MS + 100 * DAY_MS),
        Retention(SessionKind.ADVICE, 0, None),
        Retention(SessionKind.TRAINING, 10, None),
        Retention(),
    ]
    kept.now_ms = NOW_MS + 10 * DAY_MS - 1
    assert await kept.keeping.sweep() == 0
    kept.now_ms += 1
    assert await kept.keeping.sweep() == 1
    assert sorted(kept.ids()) == sorted(others)
    assert kept.shredded() == [(SYSTEM, 1), (SYSTEM, 0)]


async def test_what_is_held_is_not_shredded_until_it_is_released(kept: Kept) -> None:
    study = await kept.take(await kept.session(SessionKind.TRAINING, 1))
    await kept.keeping.hold(study, STAFF, True)
    kept.now_ms = NOW_MS + 1000 * DAY_MS
    assert await kept.keeping.sweep() == 0
    with pytest.raises(Conflict, match="held"):
        await kept.keeping.shred(study, STAFF)
    await kept.keeping.hold(study, STAFF, False)
    assert await kept.keeping.sweep() == 1
    assert kept.shredded() == [(STAFF, 4), (SYSTEM, 1), (SYSTEM, 0)]


async def test_a_shredded_study_is_nowhere_any_more(kept: Kept) -> None:
    study = await kept.take()

    def look() -> None:
        with kept.shelf.study(study) as opened:
            kept.shelf.answers.put(
                ("metadata", study), opened.metadata(opened.reader.instances()[0]).dataset, 1
            )

    await asyncio.to_thread(look)
    assert kept.shelf.answers._values
    await kept.keeping.shred(study, STAFF)
    assert kept.ids() == []
    assert not kept.shelf.answers._values
    assert not kept.shelf._metadata._values
    assert list(kept.archive._vault.objects(ObjectKind.STUDY)) == []
    with pytest.raises(NotFound):
        await kept.rows.get(study)
    for again in (kept.keeping.shred(study, STAFF), kept.keeping.hold(study, STAFF, True)):
        with pytest.raises(NotFound):
            await again
    assert await kept.take() != study, "the same objects may come again"


async def test_a_study_that_is_arriving_is_not_shredded(kept: Kept) -> None:
    begun = kept.archive.arrivals()
    arrivals = begun.__enter__()
    study = await asyncio.to_thread(lambda: arrivals.keep(ct_slice(1, STUDY, SERIES, side=32)).study)
    with pytest.raises(Conflict, match="arriving"):
        await kept.keeping.shred(study, STAFF)
    assert await kept.keeping.finish() == 0, "it is not to be shredded later either"
    await asyncio.to_thread(lambda: arrivals.keep(ct_slice(2, STUDY, SERIES, side=32)))
    await asyncio.to_thread(begun.__exit__, None, None, None)
    assert kept.archive.catalogue.get(study).instances == 2
    await kept.keeping.shred(study, STAFF)


async def test_a_shredding_that_the_server_s_end_broke_off_is_finished(
    tmp_path: Path, workers: Workers
) -> None:
    async with kept_in(tmp_path / "data", workers) as kept:
        marked = await kept.take()
        keyless = await kept.take(study=STUDY + "1")
        for study in (marked, keyless):
            await kept.rows.begin_shredding(study, STAFF)
        (kept.folder / "imaging" / keyless / "key.age").unlink()
        gone = await kept.take(study=STUDY + "2")
        await kept.rows.begin_shredding(gone, STAFF)
        await asyncio.to_thread(
            lambda: kept.archive._vault.shred(
                next(ref for ref in kept.archive._vault.objects(ObjectKind.STUDY) if ref.id == gone),
                kept.audit,
                STAFF,
            )
        )
    async with kept_in(tmp_path / "data", workers) as kept:
        await asyncio.to_thread(lambda: list(kept.archive.recover()))
        with pytest.raises(NotFound):
            await kept.keeping.hold(marked, STAFF, True)
        assert await kept.keeping.finish() == 3
        assert kept.ids() == []
        assert await kept.rows.half_shredded() == []
        assert list(kept.archive._vault.objects(ObjectKind.STUDY)) == []
