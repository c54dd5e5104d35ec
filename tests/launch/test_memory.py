"""What a restart of the server finds again of a session: layout, who is next, titles, questions, who was muted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bridge import tables
from bridge.eventstate import RETURN_WITHIN_MS
from bridge.ids import Role, SessionFormat
from bridge.launch.memory import SessionMemory
from bridge.launch.sealing import Sealer
from bridge.media.contract import Source
from bridge.messages import LowerThirdObject
from bridge.participant import Participant
from bridge.rooms import Rooms
from tests.fakes import Client, House, a_house, restart

TITLE, ASKED = "Bs. Lan Bí Mật", "Túi mật thế nào?"


@dataclass
class Kept:
    """A house whose sessions are remembered."""

    house: House
    memory: SessionMemory

    def build(self, key: bytes = bytes(32)) -> None:
        house = self.house
        self.memory = SessionMemory(house.store, Sealer(key), house.clock)
        house.rooms = Rooms(
            house.media, house.store, house.keeper, house.studies, house.clock, memory=self.memory
        )

    async def start_again(self, key: bytes = bytes(32)) -> None:
        await self.memory.write(self.house.rooms.sessions())
        await self.house.settle()
        restart(self.house)
        self.build(key)

    async def rows(self) -> list[bytes]:
        async with self.house.store.reading() as connection:
            return list(await connection.scalars(sa.select(tables.session_memory.c.sealed)))


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    async with a_house(tmp_path, SessionFormat.EVENT) as house:
        made = Kept(house, SessionMemory(house.store, Sealer(bytes(32)), house.clock))
        made.build()
        yield made


@pytest.fixture
async def consult(tmp_path: Path) -> AsyncIterator[Kept]:
    async with a_house(tmp_path, SessionFormat.CONSULT) as house:
        made = Kept(house, SessionMemory(house.store, Sealer(bytes(32)), house.clock))
        made.build()
        yield made


async def come(house: House, *grants: Any) -> list[tuple[Participant, Client]]:
    found = [await house.join(grant) for grant in grants]
    for who, _ in found:
        house.rooms.catch_up(who)
    return found


def newest(client: Client, kind: str) -> dict[str, Any]:
    """What was told last of this kind; what was told of others stays."""
    told = client.take()
    client.told = [message for message in told if message["type"] != kind]
    return next(message for message in reversed(told) if message["type"] == kind)


async def test_an_events_stage_and_questions_are_as_before_a_restart(kept: Kept) -> None:
    grants = [await kept.house.grant(role) for role in (Role.ORGANISER, Role.SATELLITE, Role.SATELLITE)]
    (organiser, _), (clinic, _), (next_one, _) = await come(kept.house, *grants)
    events = kept.house.rooms.events
    kept.house.rooms.give_floor(organiser, clinic.id)
    events.set_layout(organiser, "pair", organiser.id, clinic.id)
    events.set_cue(organiser, next_one.id)
    events.set_lower_third(organiser, LowerThirdObject(participant=clinic.id, title=TITLE, subtitle=""))
    asked = events.ask(clinic, ASKED)
    events.pick(organiser, asked, "shown")
    await kept.start_again()

    (back, desk), (_, stage), (_, waiting) = await come(kept.house, *grants)
    told = newest(stage, "eventChanged")
    assert (told["layout"], told["main"], told["second"]) == ("pair", organiser.id, clinic.id)
    assert told["lowerThird"]["title"] == TITLE
    assert (told["question"]["text"], told["question"]["name"]) == (ASKED, clinic.name)
    assert newest(waiting, "eventChanged")["next"] is True
    assert newest(desk, "deskChanged")["cue"] == next_one.id
    assert [one["text"] for one in newest(desk, "questionsChanged")["questions"]] == [ASKED]
    kept.house.rooms.events.take_cue(back, next_one.id, None)
    kept.house.rooms.events.pick(back, asked, "answered")


async def test_who_does_not_come_back_is_not_waited_for_on_the_screen(kept: Kept) -> None:
    grants = [await kept.house.grant(role) for role in (Role.ORGANISER, Role.SATELLITE)]
    (organiser, _), (clinic, _) = await come(kept.house, *grants)
    kept.house.rooms.events.set_cue(organiser, clinic.id)
    third = LowerThirdObject(participant=clinic.id, title=TITLE, subtitle="")
    kept.house.rooms.events.set_lower_third(organiser, third)
    await kept.start_again()
    ((_, desk),) = await come(kept.house, grants[0])
    assert newest(desk, "deskChanged")["cue"] == clinic.id
    await kept.house.pass_time(RETURN_WITHIN_MS)
    assert newest(desk, "deskChanged")["cue"] is None
    assert newest(desk, "eventChanged")["lowerThird"] is None


async def test_on_a_link_of_many_nobody_is_taken_for_who_sat_there_before(kept: Kept) -> None:
    grants = [await kept.house.grant(Role.ORGANISER), await kept.house.grant(Role.VIEWER, seats=5)]
    (organiser, _), (viewer, _) = await come(kept.house, *grants)
    kept.house.rooms.events.set_cue(organiser, viewer.id)
    await kept.start_again()
    (_, desk), (stranger, _) = await come(kept.house, *grants)
    assert stranger.id == viewer.id
    await kept.house.pass_time(1000)
    assert newest(desk, "deskChanged")["cue"] is None


async def test_who_was_muted_is_muted_after_a_restart(consult: Kept) -> None:
    grants = [await consult.house.grant(role) for role in (Role.HUB, Role.SATELLITE)]
    (hub, _), (clinic, _) = await come(consult.house, *grants)
    (track,) = await consult.house.publish(clinic, Source.MICROPHONE)
    consult.house.rooms.block_track(hub, track, True)
    await consult.start_again()
    _, (clinic, _) = await come(consult.house, *grants)
    assert clinic.blocked_sources == {Source.MICROPHONE}


async def test_what_people_wrote_lies_sealed_and_is_gone_with_the_session(kept: Kept) -> None:
    ((clinic, _),) = await come(kept.house, await kept.house.grant(Role.SATELLITE))
    await kept.memory.write(kept.house.rooms.sessions())
    assert await kept.rows() == []
    kept.house.rooms.events.ask(clinic, ASKED)
    await kept.memory.write(kept.house.rooms.sessions())
    (sealed,) = await kept.rows()
    assert ASKED.encode() not in sealed
    await kept.memory.write(kept.house.rooms.sessions())
    assert await kept.rows() == [sealed]
    live = list(kept.house.rooms.sessions())
    await kept.house.store.end_session(kept.house.session, kept.house.now_ms)
    kept.house.rooms.events.ask(clinic, "Nữa?")
    await kept.memory.write(live)
    assert await kept.rows() == []


async def test_what_cannot_be_opened_does_not_keep_a_session_from_beginning(kept: Kept) -> None:
    grant = await kept.house.grant(Role.SATELLITE)
    ((clinic, _),) = await come(kept.house, grant)
    kept.house.rooms.events.ask(clinic, ASKED)
    await kept.start_again(key=b"\1" * 32)
    ((clinic, client),) = await come(kept.house, grant)
    assert newest(client, "eventChanged")["question"] is None
    kept.house.rooms.events.ask(clinic, ASKED)


async def test_a_database_that_fails_is_tried_again(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    ((clinic, _),) = await come(kept.house, await kept.house.grant(Role.SATELLITE))
    kept.house.rooms.events.ask(clinic, ASKED)
    seal = Sealer.seal

    def refuse(self: Sealer, text: str, row: str) -> bytes:
        raise OSError("disk")

    monkeypatch.setattr(Sealer, "seal", refuse)
    await kept.memory.write(kept.house.rooms.sessions())
    monkeypatch.setattr(Sealer, "seal", seal)
    assert await kept.rows() == []
    await kept.memory.write(kept.house.rooms.sessions())
    assert len(await kept.rows()) == 1
