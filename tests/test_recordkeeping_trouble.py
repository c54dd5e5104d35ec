"""Disks, databases and recorders that fail: who is told, and that nobody is stopped from talking."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.ids import RecordingState, RecordMode, Role
from bridge.media.contract import Source, StorageChanged
from bridge.recordkeeping import AGAIN_AFTER_MS
from tests.fakes import House, a_house
from tests.recordkept import told_recording


@pytest.fixture
async def auto(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path, record=RecordMode.AUTO) as house:
        yield house


async def test_trouble_with_storage_is_told_to_who_may_record_and_nobody_else(auto: House) -> None:
    _, hub = await auto.join(Role.HUB)
    _, organiser = await auto.join(Role.ORGANISER)
    _, satellite = await auto.join(Role.SATELLITE)
    await auto.pass_time(100)
    for client in (hub, organiser, satellite):
        client.take()
    (recording,) = auto.recorder.recordings
    auto.keeper.hear(StorageChanged(recording, "diskFull", 0))
    for client in (hub, organiser):
        told = told_recording(client)
        assert isinstance(told, dict)
        assert told["trouble"] == "diskFull"
    assert satellite.take("sessionChanged") == []
    assert auto.keeper.counts().in_trouble == 1
    auto.keeper.hear(StorageChanged(recording, None, 4000))
    told = told_recording(hub)
    assert isinstance(told, dict)
    assert (told["trouble"], told["lostMs"]) == (None, 4000)
    counts = auto.keeper.counts()
    assert (counts.running, counts.in_trouble, counts.lost_ms) == (1, 0, 4000)


async def test_a_recorder_that_breaks_stops_nobody_from_talking(
    auto: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError("broken")

    await auto.join(Role.HUB)
    satellite, _ = await auto.join(Role.SATELLITE)
    await auto.pass_time(100)
    for name in ("note", "follow"):
        monkeypatch.setattr(auto.recorder, name, broken)
    await auto.publish(satellite, Source.ULTRASOUND)
    auto.rooms.send_chat(satellite, "hello")
    _, viewer = await auto.join(Role.VIEWER)
    assert [line["text"] for line in viewer.joined["chat"]] == ["hello"]


@pytest.mark.parametrize("method", ["begin", "note"])
async def test_a_recording_that_cannot_begin_is_shown_to_nobody_and_tried_again(
    auto: House, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def broken(*_: object) -> None:
        raise OSError("broken")

    _, hub = await auto.join(Role.HUB)
    await auto.join(Role.SATELLITE)
    with monkeypatch.context() as patch:
        patch.setattr(auto.recorder, method, broken)
        await auto.pass_time(1000)
        assert told_recording(hub) == "nothing told"
        assert auto.recorder.running == []
    await auto.pass_time(AGAIN_AFTER_MS)
    assert len(auto.recorder.running) == 1
    assert isinstance(told_recording(hub), dict)


async def test_a_database_that_fails_is_written_to_again(
    auto: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("bridge.recordbook.AGAIN_AFTER_S", 0.01)
    hub, client = await auto.join(Role.HUB)
    await auto.join(Role.SATELLITE)
    with monkeypatch.context() as failing:
        failing.setattr(auto.store, "add_recording", full)
        auto.clock.now_ms += 100
        auto.rooms.tick()
        assert isinstance(told_recording(client), dict)
        auto.rooms.records.stop(hub)
    await auto.settle()
    (row,) = await auto.store.list_recordings(auto.session)
    assert row.state is RecordingState.ENDED
