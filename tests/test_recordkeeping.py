"""When a session is recorded: what begins and ends it, and who is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.audit import Event
from bridge.errors import BridgeError
from bridge.ids import RecordingState, RecordMode, Role
from bridge.media.contract import Description
from bridge.messages import Wish
from bridge.recordkeeping import ALONE_MS
from tests.fakes import House, a_house
from tests.recordkept import told_recording


@pytest.fixture
async def auto(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path, record=RecordMode.AUTO) as house:
        yield house


async def test_begins_by_itself_as_soon_as_two_are_there(auto: House) -> None:
    _, hub = await auto.join(Role.HUB)
    await auto.pass_time(1000)
    assert auto.recorder.running == []
    _, satellite = await auto.join(Role.SATELLITE)
    await auto.pass_time(100)
    (recording,) = auto.recorder.running
    assert recording.started.session == auto.session
    for client in (hub, satellite):
        told = told_recording(client)
        assert isinstance(told, dict)
        assert (told["state"], told["trouble"], told["lostMs"]) == ("recording", None, 0)
    (row,) = await auto.store.list_recordings(auto.session)
    assert row.state is RecordingState.RUNNING


async def test_devices_and_players_are_no_company(auto: House) -> None:
    await auto.join(Role.HUB)
    wishes = [Wish(mid="0", source="ultrasound")]
    await auto.rooms.join_device(await auto.grant(Role.SATELLITE), "Machine", Description("offer"), wishes)
    await auto.rooms.play(await auto.grant(Role.VIEWER), Description("offer"), None, None)
    await auto.pass_time(1000)
    assert auto.recorder.recordings == {}


async def test_who_joins_later_is_told_of_it_at_once(auto: House) -> None:
    await auto.join(Role.HUB)
    await auto.join(Role.SATELLITE)
    await auto.pass_time(100)
    _, viewer = await auto.join(Role.VIEWER)
    assert viewer.joined["session"]["recording"]["state"] == "recording"
    assert viewer.joined["session"]["record"] == "auto"


async def test_ends_when_one_was_alone_for_two_minutes_and_begins_anew_with_the_next(auto: House) -> None:
    _, hub = await auto.join(Role.HUB)
    grant = await auto.grant(Role.SATELLITE)
    satellite, _ = await auto.join(grant)
    await auto.pass_time(5000)
    auto.rooms.leave(satellite)
    await auto.pass_time(ALONE_MS - 1000, 1000)
    assert len(auto.recorder.running) == 1
    await auto.pass_time(2000, 500)
    assert auto.recorder.newest.ended == "alone"
    assert told_recording(hub) is None
    await auto.join(grant)
    await auto.pass_time(100)
    assert len(auto.recorder.recordings) == 2
    assert len(auto.recorder.running) == 1


async def test_a_line_lost_for_a_moment_ends_nothing(auto: House) -> None:
    await auto.join(Role.HUB)
    grant = await auto.grant(Role.SATELLITE)
    satellite, client = await auto.join(grant)
    await auto.pass_time(100)
    auto.rooms.disconnected(satellite, client)
    await auto.pass_time(90_000, 1000)
    await auto.join(grant)
    await auto.pass_time(ALONE_MS + 1000, 1000)
    assert len(auto.recorder.running) == len(auto.recorder.recordings) == 1


async def test_manual_waits_until_somebody_says_so(tmp_path: Path) -> None:
    async with a_house(tmp_path, record=RecordMode.MANUAL) as house:
        hub, _ = await house.join(Role.HUB)
        satellite, client = await house.join(Role.SATELLITE)
        await house.pass_time(1000)
        assert house.recorder.recordings == {}
        with pytest.raises(BridgeError) as refusal:
            house.rooms.records.start(satellite)
        assert refusal.value.code == "notAllowed"
        house.rooms.records.start(hub)
        house.rooms.records.start(hub)
        assert len(house.recorder.running) == 1
        assert isinstance(told_recording(client), dict)
        house.rooms.records.stop(hub)
        assert house.recorder.newest.ended == "stopped"
        await house.pass_time(1000)
        assert len(house.recorder.recordings) == 1


async def test_never_is_refused(tmp_path: Path) -> None:
    async with a_house(tmp_path, record=RecordMode.NEVER) as house:
        hub, _ = await house.join(Role.HUB)
        await house.join(Role.SATELLITE)
        await house.pass_time(1000)
        with pytest.raises(BridgeError) as refusal:
            house.rooms.records.start(hub)
        assert refusal.value.code == "conflict"
        assert house.recorder.recordings == {}


async def test_a_stop_stands_until_somebody_starts_or_all_have_gone(auto: House) -> None:
    hub, _ = await auto.join(Role.HUB)
    satellite, _ = await auto.join(Role.SATELLITE)
    await auto.pass_time(100)
    auto.rooms.records.stop(hub)
    await auto.pass_time(10_000, 1000)
    assert auto.recorder.running == []
    auto.rooms.records.start(hub)
    assert len(auto.recorder.running) == 1
    auto.rooms.records.stop(hub)
    auto.rooms.leave(satellite)
    auto.rooms.leave(hub)
    await auto.pass_time(100)
    await auto.join(Role.HUB)
    await auto.join(Role.SATELLITE)
    await auto.pass_time(100)
    assert len(auto.recorder.recordings) == 3
    assert len(auto.recorder.running) == 1


async def test_a_stop_before_it_began_keeps_it_from_beginning(auto: House) -> None:
    hub, _ = await auto.join(Role.HUB)
    auto.rooms.records.stop(hub)
    await auto.join(Role.SATELLITE)
    await auto.pass_time(1000)
    assert auto.recorder.recordings == {}


async def test_ends_with_the_session_and_is_kept_as_long_as_its_kind_is(auto: House) -> None:
    hub, _ = await auto.join(Role.HUB)
    await auto.join(Role.SATELLITE)
    await auto.pass_time(3000)
    await auto.rooms.end_by(hub)
    await auto.settle()
    assert auto.recorder.newest.ended == "sessionEnded"
    (row,) = await auto.store.list_recordings(auto.session)
    assert row.state is RecordingState.ENDED
    assert row.size_bytes == 1000
    assert row.retain_until_ms == row.started_at_ms + row.duration_ms + 10 * 24 * 3600_000


async def test_a_stopping_server_ends_and_seals_what_runs(auto: House) -> None:
    await auto.join(Role.HUB)
    await auto.join(Role.SATELLITE)
    await auto.pass_time(100)
    await auto.keeper.close()
    assert auto.recorder.newest.ended == "shutdown"
    (row,) = await auto.store.list_recordings(auto.session)
    assert row.state is RecordingState.ENDED


async def test_beginning_pausing_and_stopping_are_in_the_audit(auto: House) -> None:
    hub, _ = await auto.join(Role.HUB)
    await auto.join(Role.SATELLITE)
    await auto.pass_time(100)
    auto.rooms.records.pause(hub, True)
    auto.rooms.records.stop(hub)
    await auto.settle()
    (recording,) = auto.recorder.recordings
    who = f"participant:{hub.id}"
    assert [(entry.event, entry.who, entry.on, dict(entry.detail)) for entry in auto.written] == [
        (Event.OBJECT_CREATED, "system", f"recording/{recording}", {}),
        (Event.OBJECT_CHANGED, who, f"recording/{recording}", {"paused": 1}),
        (Event.OBJECT_CHANGED, who, f"recording/{recording}", {"stopped": 1}),
    ]
