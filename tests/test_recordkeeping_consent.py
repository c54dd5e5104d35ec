"""Nothing is kept of who has not agreed; from agreeing on, everything is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.audit import Event
from bridge.consent import WORDING
from bridge.errors import BridgeError
from bridge.ids import RecordMode, Role
from bridge.media.contract import Description, Source
from bridge.messages import Wish
from bridge.recordings import layout
from tests.fakes import House, a_house


@pytest.fixture
async def auto(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path, record=RecordMode.AUTO) as house:
        yield house


@pytest.fixture
async def asking(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path, record=RecordMode.AUTO, consent=True) as house:
        yield house


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
