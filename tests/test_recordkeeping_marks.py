"""Marks in the recording of a session that runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.errors import BridgeError
from bridge.ids import RecordMode, Role
from bridge.recordings import layout
from tests.fakes import House, a_house


@pytest.fixture
async def auto(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path, record=RecordMode.AUTO) as house:
        yield house


async def test_a_mark_is_kept_at_its_moment_and_can_be_taken_back(auto: House) -> None:
    hub, client = await auto.join(Role.HUB, "Dr Hub")
    _, satellite = await auto.join(Role.SATELLITE)
    await auto.pass_time(100)
    recording = auto.recorder.newest
    await auto.pass_time(10_000, 1000)
    mark = auto.rooms.records.add_mark(hub, "finding:\n  effusion ", auto.now_ms - 4000.5)
    assert (mark.text, mark.name) == ("finding: effusion", "Dr Hub")
    (kept,) = recording.of(layout.MarkAdded)
    assert kept.at_ms == recording_clock(auto) - 4001
    assert client.take("marksChanged")[-1]["marks"][0]["id"] == mark.id
    assert satellite.take("marksChanged") == []
    _, organiser = await auto.join(Role.ORGANISER)
    assert [known["id"] for known in organiser.joined["marks"]] == [mark.id]
    auto.rooms.records.remove_mark(hub, mark.id)
    assert recording.of(layout.MarkRemoved)[0].mark == mark.id
    assert client.take("marksChanged")[-1]["marks"] == []
    with pytest.raises(BridgeError) as refusal:
        auto.rooms.records.remove_mark(hub, mark.id)
    assert refusal.value.code == "notFound"


def recording_clock(house: House) -> int:
    return house.now_ms - house.recorder.newest.begun_at_ms


@pytest.mark.parametrize("offset_ms", [-1e15, 1e15])
async def test_a_mark_lies_within_the_recording(auto: House, offset_ms: float) -> None:
    hub, _ = await auto.join(Role.HUB)
    await auto.join(Role.SATELLITE)
    await auto.pass_time(5000)
    auto.rooms.records.add_mark(hub, "", offset_ms)
    (kept,) = auto.recorder.newest.of(layout.MarkAdded)
    assert kept.at_ms == (0 if offset_ms < 0 else recording_clock(auto))


async def test_marks_need_a_recording_that_runs_and_somebody_who_may(auto: House) -> None:
    hub, _ = await auto.join(Role.HUB)
    with pytest.raises(BridgeError) as refusal:
        auto.rooms.records.add_mark(hub, "", None)
    assert refusal.value.code == "conflict"
    satellite, _ = await auto.join(Role.SATELLITE)
    await auto.pass_time(100)
    with pytest.raises(BridgeError) as refusal:
        auto.rooms.records.add_mark(satellite, "", None)
    assert refusal.value.code == "notAllowed"
    auto.rooms.records.pause(hub, True)
    with pytest.raises(BridgeError) as refusal:
        auto.rooms.records.add_mark(hub, "", None)
    assert refusal.value.code == "conflict"


async def test_marks_are_bounded_and_a_new_recording_begins_without_any(auto: House) -> None:
    hub, client = await auto.join(Role.HUB)
    await auto.join(Role.SATELLITE)
    await auto.pass_time(100)
    for _ in range(500):
        auto.rooms.records.add_mark(hub, "x", None)
    with pytest.raises(BridgeError) as refusal:
        auto.rooms.records.add_mark(hub, "x", None)
    assert refusal.value.code == "tooMany"
    auto.rooms.records.stop(hub)
    client.take()
    auto.rooms.records.start(hub)
    assert client.take("marksChanged")[-1]["marks"] == []
