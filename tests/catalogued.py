"""A real catalogue on a real file, and studies that come into it without an archive around them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bridge.ids import SessionId
from bridge.imaging.catalogue import Belonging, Catalogue, StoreEntries, StudyEntry
from bridge.imaging.parsing import StudyFacts
from bridge.store import Store, sqlite_url
from bridge.vault import Vault
from tests.imaging.corpus import running_loop

HERE = SessionId("here")


@contextmanager
def opened_catalogue(folder: Path) -> Iterator[Catalogue]:
    """Its store has an event loop of its own, so that any thread may wait for it."""
    with running_loop() as loop:
        opened = Store.open(sqlite_url(folder / "bridge.sqlite"))
        store = asyncio.run_coroutine_threadsafe(opened, loop).result(60)
        try:
            yield Catalogue(Vault(folder), StoreEntries(store, loop))
        finally:
            asyncio.run_coroutine_threadsafe(store.close(), loop).result(60)


def entry(study: str, instances: int, at_ms: int = 1000) -> StudyEntry:
    facts = StudyFacts(patient_name="NGUYEN^Van^An=阮^文^安", study_date="20261122", description="CT ngực")
    return StudyEntry(
        id=study,
        uid=f"1.2.{len(study)}",
        facts=facts,
        modalities=("CT",),
        series=1,
        instances=instances,
        first_at_ms=at_ms,
        last_at_ms=at_ms + instances,
    )


def arrive(catalogue: Catalogue, study: str, instances: int, session: SessionId | None = HERE) -> None:
    catalogue.begin(entry(study, 0))
    if catalogue.belonging(study).session != session:
        catalogue.assign(study, Belonging(session, "Trạm Mai Sơn"))
    catalogue.update(entry(study, instances))
