"""What readers are told of studies: never before the audit has it, nothing lost, and no more work than readers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from bridge.audit import AuditError
from bridge.ids import Role, SessionId
from bridge.imaging.catalogue import Catalogue
from bridge.recordings.accesses import Look
from bridge.studynews import TOLD_EVERY_MS
from bridge.studytelling import AGAIN_AFTER_MS
from tests.catalogued import arrive, opened_catalogue
from tests.fakes import Client, House, a_house

NEWS = ("studiesListed", "studyChanged")


class Notary:
    """The audit: writes, refuses, or hangs."""

    def __init__(self) -> None:
        self.looks: list[Look] = []
        self.refuses = False
        self.waiting = 0
        self.open = asyncio.Event()
        self.open.set()

    async def note(self, look: Look) -> None:
        self.waiting += 1
        try:
            await self.open.wait()
        finally:
            self.waiting -= 1
        if self.refuses:
            raise AuditError("The disk is full.")
        self.looks.append(look)


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    (tmp_path / "catalogue").mkdir()
    with opened_catalogue(tmp_path / "catalogue") as catalogue:
        yield catalogue


@pytest.fixture
async def house(tmp_path: Path, catalogue: Catalogue) -> AsyncIterator[House]:
    async with a_house(tmp_path) as house:
        house.studies.follow(catalogue)
        yield house


@pytest.fixture
def notary(house: House) -> Notary:
    notary = Notary()
    house.rooms.readings.telling.note_look = notary.note
    return notary


async def pulses(house: House, count: int = 1) -> None:
    """Time with the server's pulse, without waiting for what hangs."""
    for _ in range(count):
        house.clock.now_ms += TOLD_EVERY_MS
        house.rooms.tick()
        for _ in range(10):
            await asyncio.sleep(0)


def told(client: Client) -> list[list[tuple[str, int]]]:
    """Of each message the studies with their numbers of objects."""
    return [
        [(study["uid"], study["instances"]) for study in message.get("studies", [message.get("study")])]
        for message in client.take(*NEWS)
    ]


async def back(house: House, client: Client) -> Client:
    again = Client()
    entry = await house.rooms.resume(client.joined["resumeToken"], client.joined["seq"], again)
    house.rooms.catch_up(entry.participant)
    return again


async def test_audit_has_the_look_before_anything_is_told(
    house: House, notary: Notary, catalogue: Catalogue
) -> None:
    hub, client = await house.join(Role.HUB)
    arrive(catalogue, "study1", 1, house.session)
    notary.open.clear()
    await pulses(house)
    assert client.take(*NEWS) == []
    notary.open.set()
    await pulses(house)
    assert told(client) == [[("1.2.6", 1)]]
    assert set(notary.looks) == {Look(f"participant:{hub.id}", f"session/{house.session}", "lists")}


async def test_who_comes_back_is_told_that_there_is_no_study_any_more(
    house: House, notary: Notary, catalogue: Catalogue
) -> None:
    hub, client = await house.join(Role.HUB)
    arrive(catalogue, "study1", 1, house.session)
    await pulses(house)
    assert told(client) == [[("1.2.6", 1)]]
    house.rooms.disconnected(hub, client)
    catalogue.forget("study1")
    await pulses(house, 2)
    # It names nobody, so it does not wait for the audit.
    notary.refuses = True
    again = await back(house, client)
    assert told(again) == [[]]
    await house.settle()


async def test_what_the_audit_refused_is_told_once_it_can_be_written(
    house: House, notary: Notary, catalogue: Catalogue
) -> None:
    _, client = await house.join(Role.HUB)
    notary.refuses = True
    arrive(catalogue, "study1", 1, house.session)
    with structlog.testing.capture_logs() as logs:
        await pulses(house, 8)
    assert client.take(*NEWS) == []
    # It is asked again, but not all the time.
    assert len([line for line in logs if line["event"] == "errand.failed"]) == 1
    notary.refuses = False
    await pulses(house, AGAIN_AFTER_MS // TOLD_EVERY_MS)
    assert told(client)[0] == [("1.2.6", 1)]


async def test_hanging_audit_holds_one_piece_of_work_for_each_reader_and_the_newest_is_told(
    house: House, notary: Notary, catalogue: Catalogue
) -> None:
    clients = [(await house.join(role))[1] for role in (Role.HUB, Role.SATELLITE, Role.SATELLITE)]
    await house.settle()
    notary.open.clear()
    for instances in range(1, 40):
        arrive(catalogue, "study1", instances, house.session)
        arrive(catalogue, "study22", instances, house.session)
        await pulses(house)
    assert notary.waiting == len(clients)
    catalogue.forget("study22")
    notary.open.set()
    await pulses(house)
    for client in clients:
        heard = told(client)
        assert len(heard) <= 2
        assert heard[-1] == [("1.2.6", 39)]
        assert not any(uid == "1.2.7" for each in heard for uid, _ in each)


async def test_fault_with_one_reader_keeps_no_other_from_being_told_and_passes(
    house: House, notary: Notary, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, first = await house.join(Role.HUB)
    _, second = await house.join(Role.SATELLITE)
    for study in ("study1", "study22"):
        arrive(catalogue, study, 1, house.session)
    await pulses(house)
    first.take(), second.take()
    faults = 0

    def of(session: SessionId, all_of: Any = house.studies.of) -> Any:
        nonlocal faults
        if faults == 0:
            faults += 1
            raise RuntimeError("once")
        return all_of(session)

    monkeypatch.setattr(house.studies, "of", of)
    catalogue.forget("study1")
    with structlog.testing.capture_logs() as logs:
        await pulses(house, 2)
    assert [line["event"] for line in logs] == ["studies.tell_failed"]
    assert told(first) == told(second) == [[("1.2.7", 1)]]


async def test_who_is_gone_is_owed_nothing(house: House, notary: Notary, catalogue: Catalogue) -> None:
    hub, client = await house.join(Role.HUB)
    notary.open.clear()
    arrive(catalogue, "study1", 1, house.session)
    await pulses(house)
    assert notary.waiting == 1
    house.rooms.leave(hub)
    notary.open.set()
    await pulses(house)
    assert client.take(*NEWS) == []
    assert house.rooms.readings.telling._owed == {}
