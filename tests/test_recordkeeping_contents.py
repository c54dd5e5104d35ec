"""What goes into the recording of a session, and what stays out of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.errors import BridgeError
from bridge.ids import RecordMode, Role, SessionFormat
from bridge.media.contract import Source
from bridge.recordings import layout
from tests.fakes import House, a_house
from tests.recordkept import joined_names, told_recording


@pytest.fixture
async def auto(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path, record=RecordMode.AUTO) as house:
        yield house


async def test_who_is_there_and_who_has_the_floor_is_noted_as_it_begins(auto: House) -> None:
    hub, _ = await auto.join(Role.HUB, "Dr Hub")
    satellite, _ = await auto.join(Role.SATELLITE, "Clinic")
    await auto.pass_time(100)
    recording = auto.recorder.newest
    assert joined_names(recording) == ["Dr Hub", "Clinic"]
    assert recording.of(layout.StageChanged)[-1].stage == (hub.id, satellite.id)


async def test_coming_renaming_hands_chat_and_going_are_noted_once_each(auto: House) -> None:
    hub, _ = await auto.join(Role.HUB, "Dr Hub")
    await auto.join(Role.SATELLITE, "Clinic")
    await auto.pass_time(100)
    recording = auto.recorder.newest
    recording.events.clear()
    viewer, _ = await auto.join(Role.VIEWER, "Guest")
    auto.rooms.set_name(viewer, "Guest of honour")
    auto.rooms.set_hand(viewer, True, None)
    auto.rooms.give_floor(hub, viewer.id)
    auto.rooms.send_chat(viewer, "hello")
    auto.rooms.leave(viewer)
    await auto.pass_time(1000)
    names = [type(event).__name__ for event in recording.events]
    assert names == [
        "ParticipantJoined",
        "ParticipantRenamed",
        "HandsChanged",
        "StageChanged",
        "HandsChanged",
        "ChatSent",
        "ParticipantLeft",
        "StageChanged",
    ]
    assert recording.of(layout.ChatSent)[0].text == "hello"
    assert recording.of(layout.ParticipantLeft)[0].reason == "left"


async def test_tracks_of_the_stage_are_kept_while_neither_muted_nor_blocked(auto: House) -> None:
    hub, _ = await auto.join(Role.HUB)
    satellite, _ = await auto.join(Role.SATELLITE)
    await auto.pass_time(100)
    recording = auto.recorder.newest
    track, _ = await auto.publish(satellite, Source.ULTRASOUND, Source.MICROPHONE)
    ultrasound, microphone = (satellite.id, Source.ULTRASOUND), (satellite.id, Source.MICROPHONE)
    assert recording.open == {ultrasound, microphone}
    auto.rooms.set_track_muted(satellite, track, True)
    assert recording.open == {microphone}
    auto.rooms.set_track_muted(satellite, track, False)
    auto.rooms.block_track(hub, track, True)
    assert recording.open == {microphone}
    assert len(recording.followed) == 2
    auto.rooms.block_track(hub, track, False)
    assert recording.open == {ultrasound, microphone}
    auto.rooms.take_floor(hub, satellite.id)
    assert recording.followed == ()


async def test_nothing_is_kept_while_paused_and_all_is_right_afterwards(auto: House) -> None:
    hub, _ = await auto.join(Role.HUB, "Dr Hub")
    satellite, client = await auto.join(Role.SATELLITE, "Clinic")
    await auto.publish(satellite, Source.ULTRASOUND)
    await auto.pass_time(100)
    recording = auto.recorder.newest
    auto.rooms.records.pause(hub, True)
    auto.rooms.records.pause(hub, True)
    assert recording.open == set()
    told = told_recording(client)
    assert isinstance(told, dict)
    assert told["state"] == "paused"
    before = len(recording.events)
    auto.rooms.send_chat(hub, "between us")
    viewer, _ = await auto.join(Role.VIEWER, "Guest")
    auto.rooms.give_floor(hub, viewer.id)
    auto.rooms.leave(satellite)
    await auto.pass_time(1000)
    assert len(recording.events) == before
    auto.rooms.records.pause(hub, False)
    assert recording.of(layout.ChatSent) == []
    assert joined_names(recording) == ["Dr Hub", "Clinic", "Guest"]
    assert [event.participant for event in recording.of(layout.ParticipantLeft)] == [satellite.id]
    assert recording.of(layout.StageChanged)[-1].stage == (hub.id, viewer.id)
    assert [e.by for e in recording.of(layout.RecordingPaused)] == [hub.id]
    assert [e.by for e in recording.of(layout.RecordingResumed)] == [hub.id]


async def test_pausing_what_does_not_run_is_a_conflict(auto: House) -> None:
    hub, _ = await auto.join(Role.HUB)
    with pytest.raises(BridgeError) as refusal:
        auto.rooms.records.pause(hub, True)
    assert refusal.value.code == "conflict"


async def test_an_event_is_recorded_with_those_who_have_the_floor(tmp_path: Path) -> None:
    async with a_house(tmp_path, SessionFormat.EVENT, record=RecordMode.AUTO) as house:
        hub, _ = await house.join(Role.HUB)
        satellite, _ = await house.join(Role.SATELLITE)
        await house.publish(satellite, Source.CAMERA)
        await house.pass_time(100)
        assert house.recorder.newest.followed == ()
        house.rooms.give_floor(hub, satellite.id)
        assert house.recorder.newest.open == {(satellite.id, Source.CAMERA)}
