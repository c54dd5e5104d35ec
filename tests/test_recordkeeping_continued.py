"""A recording that a crash or a restart cut: whether it goes on, and how."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.ids import RecordingState, RecordMode, Role
from bridge.media.contract import Source
from bridge.recordings.endings import Ending
from bridge.recordkeeping import GOES_ON_WITHIN_MS
from bridge.store import Store
from tests.fakes import House, a_house, restart
from tests.recordkept import joined_names, told_recording


@pytest.fixture
async def auto(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path, record=RecordMode.AUTO) as house:
        yield house


@pytest.mark.parametrize("mode", [RecordMode.AUTO, RecordMode.MANUAL])
@pytest.mark.parametrize("salvaged", [True, False])
async def test_what_a_crash_cut_goes_on_in_a_new_one(
    tmp_path: Path, mode: RecordMode, salvaged: bool
) -> None:
    async with a_house(tmp_path, record=mode) as house:
        grant = await house.grant(Role.HUB)
        hub, _ = await house.join(grant)
        await house.join(Role.SATELLITE)
        house.rooms.records.start(hub)
        await house.pass_time(1000)
        (row,) = await house.store.list_recordings(house.session)
        restart(house)
        if salvaged:
            await cut(house.store, row.id, 1000)
        house.clock.now_ms += 5000
        await house.join(grant)
        await house.settle()
        await house.pass_time(100)
        assert len(house.recorder.running) == 1
        assert len(await house.store.list_recordings(house.session)) == 2


async def cut(store: Store, recording: object, duration_ms: int) -> None:
    """What salvage does to the row."""
    await store.close_recording(
        recording,  # type: ignore[arg-type]
        RecordingState.CUT,
        duration_ms=duration_ms,
        size_bytes=1,
        retain_until_ms=None,
    )


async def test_what_a_stopping_server_ended_goes_on_after_its_restart(tmp_path: Path) -> None:
    async with a_house(tmp_path, record=RecordMode.MANUAL) as house:
        grant = await house.grant(Role.HUB)
        hub, _ = await house.join(grant)
        house.rooms.records.start(hub)
        await house.pass_time(1000)
        await house.keeper.close()
        restart(house)
        house.clock.now_ms += 5000
        await house.join(grant)
        await house.settle()
        await house.pass_time(100)
        assert len(house.recorder.running) == 1


@pytest.mark.parametrize("mode", [RecordMode.AUTO, RecordMode.MANUAL])
async def test_what_was_paused_before_a_crash_goes_on_paused(tmp_path: Path, mode: RecordMode) -> None:
    async with a_house(tmp_path, record=mode) as house:
        grant = await house.grant(Role.HUB)
        hub, _ = await house.join(grant)
        house.rooms.records.start(hub)
        house.rooms.records.pause(hub, True)
        await house.settle()
        restart(house)
        house.clock.now_ms += 5000
        hub, client = await house.join(grant, "Dr Hub")
        satellite, _ = await house.join(Role.SATELLITE)
        await house.publish(satellite, Source.ULTRASOUND)
        await house.settle()
        await house.pass_time(100)
        told = told_recording(client)
        assert isinstance(told, dict)
        assert told["state"] == "paused"
        assert house.recorder.newest.open == set()
        assert [type(e).__name__ for e in house.recorder.newest.events] == ["RecordingPaused"]
        house.rooms.records.start(hub)
        assert house.recorder.newest.open == {(satellite.id, Source.ULTRASOUND)}
        assert "Dr Hub" in joined_names(house.recorder.newest)


async def test_nothing_begins_by_itself_before_it_is_known_how_the_last_one_ended(
    auto: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = asyncio.Event()

    async def slowly(_: object) -> Ending:
        await read.wait()
        return Ending("salvaged", paused=False)

    grant = await auto.grant(Role.HUB)
    hub, _ = await auto.join(grant)
    auto.rooms.records.start(hub)
    await auto.settle()
    restart(auto)
    auto.clock.now_ms += 5000
    monkeypatch.setattr("bridge.recordbook.RecordBook.ending", lambda _, recording: slowly(recording))
    await auto.join(grant)
    await auto.join(Role.SATELLITE)
    for _ in range(20):
        auto.clock.now_ms += 100
        auto.rooms.tick()
    assert auto.recorder.recordings == {}
    read.set()
    await auto.pass_time(200)
    await auto.pass_time(200)
    assert len(auto.recorder.running) == 1


async def test_what_people_decide_stands_whatever_is_learned_then_of_the_last_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_house(tmp_path, record=RecordMode.MANUAL) as house:
        hub, _ = await house.join(Role.HUB)
        house.rooms.records.start(hub)
        await house.settle()
        restart(house)
        read = asyncio.Event()

        async def slowly(_: object) -> Ending:
            await read.wait()
            return Ending("salvaged", paused=False)

        monkeypatch.setattr("bridge.recordbook.RecordBook.ending", lambda _, recording: slowly(recording))
        hub, _ = await house.join(Role.HUB)
        await house.join(Role.SATELLITE)
        house.rooms.records.start(hub)
        house.rooms.records.stop(hub)
        read.set()
        await house.pass_time(1000)
        assert house.recorder.running == []
        assert len(house.recorder.recordings) == 1


async def test_what_was_cut_long_ago_does_not_go_on(tmp_path: Path) -> None:
    async with a_house(tmp_path, record=RecordMode.MANUAL) as house:
        grant = await house.grant(Role.HUB)
        hub, _ = await house.join(grant)
        house.rooms.records.start(hub)
        await house.settle()
        (row,) = await house.store.list_recordings(house.session)
        restart(house)
        await cut(house.store, row.id, 1000)
        house.clock.now_ms += GOES_ON_WITHIN_MS + 2000
        await house.join(grant)
        await house.settle()
        await house.pass_time(1000)
        assert house.recorder.recordings == {}


@pytest.mark.parametrize("mode", [RecordMode.AUTO, RecordMode.MANUAL])
async def test_what_somebody_stopped_before_a_crash_stays_stopped(tmp_path: Path, mode: RecordMode) -> None:
    async with a_house(tmp_path, record=mode) as house:
        grant = await house.grant(Role.HUB)
        hub, _ = await house.join(grant)
        house.rooms.records.start(hub)
        house.rooms.records.stop(hub)
        await house.settle()
        restart(house)
        house.clock.now_ms += 5000
        await house.join(grant)
        await house.join(Role.SATELLITE)
        await house.settle()
        await house.pass_time(1000)
        assert house.recorder.recordings == {}
