"""The index of studies: sealed in the database, shared by servers, and never in two minds about one study."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from bridge.errors import BridgeError, Conflict, NotFound
from bridge.imaging.archive import Archive
from bridge.imaging.catalogue import OVERLAP_MS, Belonging, Catalogue, StoreEntries, StudyEntry
from bridge.imaging.parsing import StudyFacts
from bridge.imaging.workers import Workers
from bridge.store import SessionId, Store, StudyRecord, sqlite_url
from bridge.vault import Vault
from tests.imaging.corpus import ct_slice, running_loop

ENTRY = StudyEntry(
    id="a" * 16,
    uid="1.2.840.99",
    facts=StudyFacts(patient_name="Nguyễn^Văn", patient_id="P-7", accession="ACC"),
    modalities=("CT", "SR"),
    series=2,
    instances=5,
    size_bytes=77,
    first_at_ms=1_000,
    last_at_ms=2_000,
)


@dataclass
class House:
    """What servers share."""

    vault: Vault
    store: Store
    loop: asyncio.AbstractEventLoop

    def catalogue(self) -> Catalogue:
        return Catalogue(self.vault, StoreEntries(self.store, self.loop))

    def rows(self) -> list[StudyRecord]:
        return asyncio.run_coroutine_threadsafe(self.store.list_studies(), self.loop).result(30)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with running_loop() as loop:
        opened = Store.open(sqlite_url(tmp_path / "bridge.sqlite"))
        store = asyncio.run_coroutine_threadsafe(opened, loop).result(60)
        yield House(Vault(tmp_path), store, loop)
        asyncio.run_coroutine_threadsafe(store.close(), loop).result(60)


def test_an_entry_is_there_after_a_start(house: House) -> None:
    house.catalogue().settle(ENTRY)
    again = house.catalogue()
    assert again.all() == [ENTRY]
    assert again.get(ENTRY.id) == again.find(ENTRY.uid) == ENTRY
    assert again.unsettled() == []
    assert again.find("1.2.840.98") is None


def test_the_row_tells_nothing(house: House) -> None:
    house.catalogue().settle(ENTRY)
    (row,) = house.rows()
    told = repr(row).encode()
    for secret in ("Nguyễn", "P-7", "ACC", "1.2.840.99", "CT"):
        assert secret.encode() not in row.sealed
        assert secret.encode() not in told.replace(repr(row.sealed).encode(), b"")
    assert len(row.uid_hash) == 64


def test_a_begun_study_is_unsettled_and_not_shown_until_it_holds_something(house: House) -> None:
    catalogue = house.catalogue()
    catalogue.begin(msgspec.structs.replace(ENTRY, instances=0))
    assert catalogue.all() == []
    with pytest.raises(NotFound):
        catalogue.get(ENTRY.id)
    after_a_crash = house.catalogue()
    assert [entry.id for entry in after_a_crash.unsettled()] == [ENTRY.id]
    catalogue.settle(ENTRY)
    assert house.catalogue().unsettled() == []
    # Once settled, it has to be begun anew before anything is added.
    catalogue.begin(ENTRY)
    assert [entry.id for entry in house.catalogue().unsettled()] == [ENTRY.id]


def test_one_server_sees_what_another_takes_in(house: House) -> None:
    one, other = house.catalogue(), house.catalogue()
    one.settle(ENTRY)
    assert other.all() == []
    assert other.find(ENTRY.uid) == ENTRY
    later = msgspec.structs.replace(ENTRY, instances=6, last_at_ms=3_000)
    one.settle(later)
    other.refresh()
    assert other.all() == [later]
    one.forget(ENTRY.id)
    assert house.rows() == []


def test_two_studies_cannot_have_one_uid(house: House) -> None:
    one, other = house.catalogue(), house.catalogue()
    one.begin(ENTRY)
    with pytest.raises(Conflict):
        other.begin(msgspec.structs.replace(ENTRY, id="b" * 16))


def test_two_servers_write_to_one_study(house: House, workers: Workers) -> None:
    archives = [Archive(house.vault, house.catalogue(), workers) for _ in range(2)]
    studies = set()
    for number, archive in enumerate(archives):
        with archive.arrivals() as arrivals:
            studies.add(arrivals.keep(ct_slice(number, "1.2", "1.2.3", side=32)).study)
    (study,) = studies
    with archives[0].open(study) as reader:
        assert len(reader.instances()) == 2
    assert len(list(house.vault.objects())) == 2  # The study, and the secret of the index.


def test_a_row_that_was_tampered_with_is_not_believed(house: House) -> None:
    house.catalogue().settle(ENTRY)
    (row,) = house.rows()
    for sealed in (row.sealed[:-1] + bytes([row.sealed[-1] ^ 1]), b"", row.sealed[:11]):
        changed = StudyRecord(row.id, row.uid_hash, sealed, row.settled, row.changed_at_ms)
        asyncio.run_coroutine_threadsafe(house.store.save_study(changed), house.loop).result(30)
        catalogue = house.catalogue()
        assert catalogue.all() == []
        assert catalogue.unreadable == {ENTRY.id}


def test_an_entry_belongs_to_its_own_row(house: House) -> None:
    house.catalogue().settle(ENTRY)
    (row,) = house.rows()
    moved = StudyRecord("b" * 16, "0" * 64, row.sealed, True, row.changed_at_ms)
    asyncio.run_coroutine_threadsafe(house.store.save_study(moved), house.loop).result(30)
    assert house.catalogue().unreadable == {"b" * 16}


def test_a_database_that_is_gone_is_told_plainly(house: House, tmp_path: Path) -> None:
    catalogue = house.catalogue()
    asyncio.run_coroutine_threadsafe(house.store.close(), house.loop).result(30)
    (tmp_path / "bridge.sqlite").unlink()
    with pytest.raises(BridgeError, match="index of studies") as caught:
        catalogue.settle(ENTRY)
    assert caught.value.code == "storageFailed"


async def test_the_event_loop_does_not_wait_for_itself(tmp_path: Path) -> None:
    store = await Store.open(sqlite_url(tmp_path / "bridge.sqlite"))
    entries = StoreEntries(store, asyncio.get_running_loop())
    with pytest.raises(ValueError, match="wait for itself"):
        entries.list(0)
    await store.close()


def test_whom_a_study_belongs_to_outlives_a_start_and_further_objects(house: House) -> None:
    catalogue = house.catalogue()
    with pytest.raises(NotFound):
        catalogue.assign(ENTRY.id, Belonging())
    catalogue.settle(ENTRY)
    assert catalogue.belonging(ENTRY.id) == Belonging(None, "")
    catalogue.assign(ENTRY.id, Belonging(SessionId("s1"), "Bệnh viện Cần Thơ"))
    catalogue.settle(msgspec.structs.replace(ENTRY, instances=6))
    for each in (catalogue, house.catalogue()):
        assert each.belonging(ENTRY.id) == Belonging(SessionId("s1"), "Bệnh viện Cần Thơ")
    catalogue.forget(ENTRY.id)
    assert catalogue.belonging(ENTRY.id) == house.catalogue().belonging(ENTRY.id) == Belonging()


def test_what_the_table_says_later_never_takes_back_what_is_known(house: House) -> None:
    catalogue = house.catalogue()
    empty = msgspec.structs.replace(ENTRY, instances=0)
    catalogue.begin(empty)
    catalogue.update(ENTRY)
    catalogue.refresh()
    assert catalogue.all() == [ENTRY]


def test_what_a_server_with_a_slow_clock_took_in_is_found(house: House) -> None:
    one, other = house.catalogue(), house.catalogue()
    one.settle(ENTRY)
    one.refresh()
    late = msgspec.structs.replace(
        ENTRY, id="b" * 16, uid="1.2.99", last_at_ms=max(1, ENTRY.last_at_ms - OVERLAP_MS // 2)
    )
    other.settle(late)
    one.refresh()
    assert late in one.all()
