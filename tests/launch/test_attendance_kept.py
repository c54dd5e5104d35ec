"""How attendance is kept beside a session, on a clock that only tests move: lines, names, trouble, a dead server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from bridge.ids import Role, SessionFormat
from bridge.launch.attendance import LOOKED_EVERY_MS, SEEN_EVERY_MS, UNWRITTEN_LIMIT, Attendance
from bridge.launch.presences import Presence, Presences
from bridge.launch.sealing import Sealer
from bridge.media.contract import Description, Line, PeerUp, Source
from bridge.messages import Wish
from bridge.rooms import RESUME_WITHIN_S, Rooms
from tests.fakes import House, a_house

SEALER = Sealer(bytes(32))


@dataclass
class Kept:
    """A house whose sessions are witnessed, and what is stored of that."""

    house: House
    presences: Presences
    attendance: Attendance

    async def rows(self) -> list[Presence]:
        await self.attendance.write()
        return self.presences.opened(await self.presences.rows(self.house.session))

    async def pass_time(self, ms: int) -> None:
        await self.house.pass_time(ms)
        self.attendance.look()


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    async with a_house(tmp_path, SessionFormat.EVENT) as house:
        presences = Presences(house.store, SEALER)
        attendance = Attendance(presences, house.clock)
        house.rooms = Rooms(
            house.media, house.store, house.keeper, house.studies, house.clock, witnesses=(attendance,)
        )
        yield Kept(house, presences, attendance)


async def test_who_was_lost_was_there_until_its_line_broke(kept: Kept) -> None:
    clinic, client = await kept.house.join(Role.SATELLITE, "Bs. Lan")
    joined_at = kept.house.now_ms
    await kept.pass_time(3_000)
    kept.house.rooms.disconnected(clinic, client)
    await kept.pass_time(RESUME_WITHIN_S * 1000 + 500)
    (row,) = await kept.rows()
    assert (row.name, row.role) == ("Bs. Lan", Role.SATELLITE)
    assert (row.joined_at_ms, row.left_at_ms) == (joined_at, joined_at + 3_000)


async def test_an_encoder_is_kept_as_a_device_and_does_not_watch(kept: Kept) -> None:
    _, client = await kept.house.join(Role.ORGANISER)
    wishes = [Wish(mid="0", source="ultrasound", muted=False)]
    grant = await kept.house.grant(Role.SATELLITE)
    await kept.house.rooms.join_device(grant, "OBS", Description("offer"), wishes)
    await kept.house.join(Role.VIEWER)
    await kept.pass_time(5_000)
    assert {row.name: row.device for row in await kept.rows()} == {
        "Somebody": False,
        "OBS": True,
    }
    told = client.take("audienceChanged")[-1]
    assert (told["count"], told["points"]) == (1, 1)


async def test_a_line_that_comes_back_in_time_is_one_presence(kept: Kept) -> None:
    grant = await kept.house.grant(Role.SATELLITE)
    clinic, client = await kept.house.join(grant, "Bs. Lan")
    kept.house.rooms.disconnected(clinic, client)
    await kept.pass_time(5_000)
    await kept.house.join(grant, "Bs. Lan")
    await kept.pass_time(LOOKED_EVERY_MS)
    (row,) = await kept.rows()
    assert row.left_at_ms is None


async def test_somebody_else_on_a_link_that_was_open_a_moment_ago_is_another_person(kept: Kept) -> None:
    grant = await kept.house.grant(Role.SATELLITE)
    clinic, client = await kept.house.join(grant, "Bs. Lan")
    kept.house.rooms.disconnected(clinic, client)
    left_at = kept.house.now_ms
    await kept.pass_time(5_000)
    other, _ = await kept.house.join(grant, "Y tá Hoa")
    kept.house.rooms.set_name(other, "Y tá Hòa")
    first, second = await kept.rows()
    assert (first.name, first.left_at_ms) == ("Bs. Lan", left_at)
    assert (second.name, second.joined_at_ms, second.left_at_ms) == ("Y tá Hòa", left_at + 5_000, None)


async def test_shares_of_the_lines_quality_are_kept(kept: Kept) -> None:
    clinic, _ = await kept.house.join(Role.SATELLITE, "Bs. Lan")
    await kept.house.publish(clinic, Source.CAMERA)
    assert clinic.publisher is not None
    peer = clinic.publisher.peer
    await kept.house.hear(PeerUp(peer), Line(peer, 3, 20, 0.0, 0))
    for quality, times in ((3, 3), (2, 2), (1, 1)):
        await kept.house.hear(Line(peer, quality, 20, 0.0, 0))
        for _ in range(times):
            await kept.pass_time(LOOKED_EVERY_MS)
    kept.house.rooms.leave(clinic)
    (row,) = await kept.rows()
    assert (row.good_ms, row.weak_ms, row.bad_ms) == (15_000, 10_000, 5_000)


async def test_the_end_of_the_session_is_when_all_left(kept: Kept) -> None:
    await kept.house.join(Role.SATELLITE, "Bs. Lan")
    await kept.house.join(Role.ORGANISER, "Bình")
    await kept.pass_time(2_000)
    await kept.house.rooms.end_session(kept.house.session)
    kept.attendance.look()
    assert [row.left_at_ms for row in await kept.rows()] == [kept.house.now_ms] * 2


async def test_a_server_that_stops_leaves_nobody_there(kept: Kept) -> None:
    await kept.house.join(Role.SATELLITE, "Bs. Lan")
    await kept.attendance.write()
    await kept.pass_time(2_000)
    await kept.attendance.close()
    (row,) = kept.presences.opened(await kept.presences.rows(kept.house.session))
    assert row.left_at_ms == kept.house.now_ms


async def test_what_a_dead_server_left_open_is_closed_when_it_was_last_seen(kept: Kept) -> None:
    await kept.house.join(Role.SATELLITE, "Bs. Lan")
    assert [row.left_at_ms for row in await kept.rows()] == [None]
    await kept.pass_time(SEEN_EVERY_MS)
    seen_at_ms = kept.house.now_ms
    await kept.rows()
    await kept.pass_time(1_000)
    await Presences(kept.house.store, SEALER).close_open()
    (row,) = kept.presences.opened(await kept.presences.rows(kept.house.session))
    assert row.left_at_ms == seen_at_ms


async def test_what_cannot_be_written_is_written_later(kept: Kept) -> None:
    await kept.rows()
    async with kept.house.store.writing() as connection:
        await connection.execute(sa.text("alter table attendance rename to away"))
    clinic, _ = await kept.house.join(Role.SATELLITE, "Bs. Lan")
    await kept.attendance.write()
    kept.house.rooms.leave(clinic)
    await kept.attendance.write()
    async with kept.house.store.writing() as connection:
        await connection.execute(sa.text("alter table away rename to attendance"))
    (row,) = await kept.rows()
    assert row.left_at_ms is not None


async def test_who_comes_after_a_write_that_only_seemed_to_fail_is_written_too(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = kept.presences.write

    async def answer_lost(new: Sequence[Presence], changed: Sequence[Presence]) -> None:
        await write(new, changed)
        raise OSError("The connection was lost.")

    first, _ = await kept.house.join(Role.SATELLITE, "Bs. Lan")
    monkeypatch.setattr(kept.presences, "write", answer_lost)
    await kept.attendance.write()
    monkeypatch.setattr(kept.presences, "write", write)
    await kept.house.join(Role.SATELLITE, "Bs. Minh")
    kept.house.rooms.leave(first)
    await kept.attendance.write()
    assert {row.name: row.left_at_ms is None for row in await kept.rows()} == {
        "Bs. Lan": False,
        "Bs. Minh": True,
    }
    assert kept.attendance.unwritten == 0


@pytest.mark.parametrize("committed", [True, False])
async def test_what_was_being_written_when_the_server_stopped_is_not_lost(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    write, under_way = kept.presences.write, asyncio.Event()

    async def hang(new: Sequence[Presence], changed: Sequence[Presence]) -> None:
        if committed:
            await write(new, changed)
        under_way.set()
        await asyncio.Event().wait()

    await kept.house.join(Role.SATELLITE, "Bs. Minh")
    clinic, _ = await kept.house.join(Role.SATELLITE, "Bs. Lan")
    kept.house.rooms.leave(clinic)
    monkeypatch.setattr(kept.presences, "write", hang)
    writing = asyncio.create_task(kept.attendance.write())
    await under_way.wait()
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    monkeypatch.setattr(kept.presences, "write", write)
    await kept.attendance.close()
    rows = kept.presences.opened(await kept.presences.rows(kept.house.session))
    assert {row.name: row.left_at_ms is None for row in rows} == {"Bs. Lan": False, "Bs. Minh": False}


async def test_a_database_that_never_comes_back_does_not_fill_the_memory(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.launch.attendance.UNWRITTEN_LIMIT", 5)
    assert UNWRITTEN_LIMIT > 5
    async with kept.house.store.writing() as connection:
        await connection.execute(sa.text("drop table attendance"))
    for number in range(12):
        clinic, _ = await kept.house.join(Role.SATELLITE, f"Bs. {number}")
        kept.house.rooms.leave(clinic)
        await kept.attendance.write()
    assert kept.attendance.unwritten == 5


async def test_names_lie_sealed_and_another_key_opens_none(kept: Kept) -> None:
    await kept.house.join(Role.SATELLITE, "Nguyễn Thị Bí Mật")
    (row,) = await kept.rows()
    assert row.name == "Nguyễn Thị Bí Mật"
    (stored,) = await kept.presences.rows(kept.house.session)
    assert "Bí".encode() not in stored["name"]
    other = Presences(kept.house.store, Sealer(bytes([1] * 32)))
    assert [one.name for one in other.opened([stored])] == [""]


async def test_hundreds_who_come_at_once_are_one_transaction(kept: Kept) -> None:
    grant = await kept.house.grant(Role.VIEWER, seats=40)
    for number in range(40):
        await kept.house.join(grant, f"Viewer {number}")
    assert kept.attendance.unwritten == 40
    await kept.attendance.write()
    assert kept.attendance.unwritten == 0
    assert len(await kept.rows()) == 40
