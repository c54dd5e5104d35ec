"""When a session is recorded, what goes in and what stays out, and who is told what of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bridge.audit import Event
from bridge.consent import WORDING
from bridge.errors import BridgeError
from bridge.ids import RecordingState, RecordMode, Role, SessionFormat
from bridge.media.contract import Description, Source, StorageChanged
from bridge.messages import Wish
from bridge.recordings import layout
from bridge.recordings.endings import Ending
from bridge.recordkeeping import AGAIN_AFTER_MS, ALONE_MS, GOES_ON_WITHIN_MS
from bridge.store import Store
from tests.fakes import Client, FakeRecording, House, a_house, restart

AUTO, MANUAL, NEVER = RecordMode.AUTO, RecordMode.MANUAL, RecordMode.NEVER


@pytest.fixture
async def auto(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path, record=AUTO) as house:
        yield house


@pytest.fixture
async def asking(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path, record=AUTO, consent=True) as house:
        yield house


@asynccontextmanager
async def house_with(folder: Path, mode: RecordMode) -> AsyncIterator[House]:
    async with a_house(folder, record=mode) as house:
        yield house


def told_recording(client: Client) -> object:
    """The recording in the newest news of the session."""
    told = client.take("sessionChanged")
    return told[-1]["session"]["recording"] if told else "nothing told"


# When


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
    async with house_with(tmp_path, MANUAL) as house:
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
    async with house_with(tmp_path, NEVER) as house:
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


@pytest.mark.parametrize("mode", [AUTO, MANUAL])
@pytest.mark.parametrize("salvaged", [True, False])
async def test_what_a_crash_cut_goes_on_in_a_new_one(
    tmp_path: Path, mode: RecordMode, salvaged: bool
) -> None:
    async with house_with(tmp_path, mode) as house:
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
    async with house_with(tmp_path, MANUAL) as house:
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


@pytest.mark.parametrize("mode", [AUTO, MANUAL])
async def test_what_was_paused_before_a_crash_goes_on_paused(tmp_path: Path, mode: RecordMode) -> None:
    async with house_with(tmp_path, mode) as house:
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
    async with house_with(tmp_path, MANUAL) as house:
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
    async with house_with(tmp_path, MANUAL) as house:
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


@pytest.mark.parametrize("mode", [AUTO, MANUAL])
async def test_what_somebody_stopped_before_a_crash_stays_stopped(tmp_path: Path, mode: RecordMode) -> None:
    async with house_with(tmp_path, mode) as house:
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


# What goes in


def joined_names(recording: FakeRecording) -> list[str]:
    return [event.name for event in recording.of(layout.ParticipantJoined)]


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


# Consent


@pytest.mark.parametrize("answer", [None, False])
async def test_nothing_is_kept_of_who_has_not_agreed(asking: House, answer: bool | None) -> None:
    hub, _ = await asking.join(Role.HUB, "Dr Hub")
    asking.rooms.records.answer_consent(hub, True)
    satellite, client = await asking.join(Role.SATELLITE, "Bác sĩ Lan")
    assert client.joined["consentWording"] == WORDING["en"]
    await asking.pass_time(100)
    recording = asking.recorder.newest
    if answer is not None:
        asking.rooms.records.answer_consent(satellite, answer)
    await asking.publish(satellite, Source.ULTRASOUND, Source.MICROPHONE)
    asking.rooms.send_chat(satellite, "not for the record")
    asking.rooms.set_name(satellite, "Lan")
    asking.rooms.set_hand(satellite, True, None)
    await asking.pass_time(1000)
    assert recording.open == set()
    written = layout.encode_events(recording.events).decode()
    for secret in ("Lan", "not for the record"):
        assert secret not in written
    assert "Dr Hub" in written


async def test_from_agreeing_on_everything_is_kept_with_the_words_that_were_agreed_to(asking: House) -> None:
    _, watching = await asking.join(Role.HUB, "Dr Hub")
    satellite, client = await asking.join(Role.SATELLITE, "Clinic")
    await asking.publish(satellite, Source.ULTRASOUND)
    await asking.pass_time(100)
    recording = asking.recorder.newest
    asking.rooms.records.answer_consent(satellite, True)
    assert recording.open == {(satellite.id, Source.ULTRASOUND)}
    (answered,) = recording.of(layout.ConsentAnswered)
    assert (answered.participant, answered.name, answered.agreed) == (satellite.id, "Clinic", True)
    assert (answered.language, answered.wording) == ("en", WORDING["en"])
    assert answered.answered_at == asking.now_ms
    assert [e.name for e in recording.of(layout.ParticipantRenamed)] == ["Clinic"]
    for told in (watching, client):
        assert told.take("participantChanged")[-1]["participant"]["consent"] == "given"
    await asking.settle()
    entry = next(entry for entry in asking.written if entry.event is Event.CONSENT_ANSWERED)
    assert (entry.who, dict(entry.detail)) == (f"participant:{satellite.id}", {"agreed": 1})


async def test_who_takes_its_consent_back_is_kept_no_more(asking: House) -> None:
    await asking.join(Role.HUB)
    satellite, _ = await asking.join(Role.SATELLITE, "Clinic")
    await asking.publish(satellite, Source.ULTRASOUND)
    asking.rooms.records.answer_consent(satellite, True)
    await asking.pass_time(100)
    recording = asking.recorder.newest
    assert recording.open
    asking.rooms.records.answer_consent(satellite, False)
    asking.rooms.send_chat(satellite, "not for the record")
    assert recording.open == set()
    assert recording.of(layout.ChatSent) == []
    assert recording.of(layout.ParticipantRenamed)[-1].name == ""
    assert [answer.agreed for answer in recording.of(layout.ConsentAnswered)] == [True, False]


async def test_answers_from_before_are_in_the_recording_and_outlive_a_reload(asking: House) -> None:
    grant = await asking.grant(Role.SATELLITE)
    satellite, client = await asking.join(grant, "Clinic")
    asking.rooms.records.answer_consent(satellite, True)
    answered_at_ms = asking.now_ms
    await asking.pass_time(1000)
    await asking.join(Role.HUB)
    await asking.pass_time(100)
    (answered,) = asking.recorder.newest.of(layout.ConsentAnswered)
    assert answered.answered_at == answered_at_ms
    asking.rooms.disconnected(satellite, client)
    again, _ = await asking.join(grant, "Clinic")
    assert again.consent == "given"


async def test_a_stranger_on_a_seat_of_many_has_not_agreed(asking: House) -> None:
    grant = await asking.grant(Role.VIEWER, seats=2)
    first, _ = await asking.join(grant, "First")
    asking.rooms.records.answer_consent(first, True)
    asking.rooms.leave(first)
    second, _ = await asking.join(grant, "Second")
    assert second.id == first.id
    assert second.consent == "pending"


@pytest.mark.parametrize("first_leaves", [True, False])
async def test_the_next_one_on_the_same_link_has_not_agreed(asking: House, first_leaves: bool) -> None:
    await asking.join(Role.HUB)
    grant = await asking.grant(Role.SATELLITE)
    first, _ = await asking.join(grant, "First")
    asking.rooms.records.answer_consent(first, True)
    await asking.pass_time(100)
    if first_leaves:
        asking.rooms.leave(first)
    second, _ = await asking.join(grant, "Second")
    assert second.consent == "pending"
    await asking.publish(second, Source.CAMERA)
    asking.rooms.send_chat(second, "not for the record")
    recording = asking.recorder.newest
    assert recording.open == set()
    written = layout.encode_events(recording.events).decode()
    assert "First" in written
    assert "Second" not in written
    assert "not for the record" not in written


async def test_whose_line_was_lost_for_long_is_not_asked_again(asking: House) -> None:
    grant = await asking.grant(Role.SATELLITE)
    first, client = await asking.join(grant, "First")
    asking.rooms.records.answer_consent(first, True)
    asking.rooms.disconnected(first, client)
    await asking.pass_time(60_000, 1000)
    assert first.gone
    again, _ = await asking.join(grant, "First")
    assert again.consent == "given"


async def test_a_device_is_taken_as_agreed(asking: House) -> None:
    wishes = [Wish(mid="0", source="ultrasound")]
    device, _ = await asking.rooms.join_device(
        await asking.grant(Role.SATELLITE), "Machine", Description("offer"), wishes
    )
    assert device.consent == "given"


async def test_where_nobody_is_asked_nobody_answers(auto: House) -> None:
    hub, client = await auto.join(Role.HUB)
    assert client.joined["consentWording"] is None
    assert client.joined["participants"][0]["consent"] is None
    with pytest.raises(BridgeError) as refusal:
        auto.rooms.records.answer_consent(hub, True)
    assert refusal.value.code == "conflict"


# Marks


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


# Storage


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


async def test_who_takes_its_consent_back_is_kept_no_more_even_if_that_cannot_be_noted(
    asking: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError("broken")

    await asking.join(Role.HUB)
    satellite, _ = await asking.join(Role.SATELLITE)
    await asking.publish(satellite, Source.ULTRASOUND)
    asking.rooms.records.answer_consent(satellite, True)
    await asking.pass_time(100)
    assert asking.recorder.newest.open
    monkeypatch.setattr(asking.recorder, "note", broken)
    asking.rooms.records.answer_consent(satellite, False)
    assert asking.recorder.newest.open == set()


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


async def test_an_event_is_recorded_with_those_who_have_the_floor(tmp_path: Path) -> None:
    async with a_house(tmp_path, SessionFormat.EVENT, record=AUTO) as house:
        hub, _ = await house.join(Role.HUB)
        satellite, _ = await house.join(Role.SATELLITE)
        await house.publish(satellite, Source.CAMERA)
        await house.pass_time(100)
        assert house.recorder.newest.followed == ()
        house.rooms.give_floor(hub, satellite.id)
        assert house.recorder.newest.open == {(satellite.id, Source.CAMERA)}
