"""An event's desk: who is next, the stage's layout, lower third, notices and questions, by the calls of rooms."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import BridgeError
from bridge.forwarding import Forwarding
from bridge.ids import Role, SessionFormat
from bridge.media.contract import Source
from bridge.messages import LINE_LIMIT, Joined, LowerThirdObject
from bridge.participant import Participant
from bridge.rooms import RESUME_WITHIN_S, Rooms
from tests.fakes import Client, House, a_house


@pytest.fixture
async def event(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path, SessionFormat.EVENT) as house:
        yield house


@pytest.fixture
async def consult(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path, SessionFormat.CONSULT) as house:
        yield house


def newest(client: Client, kind: str) -> dict[str, Any]:
    return client.take(kind)[-1]


def refused(code: str) -> pytest.RaisesExc[BridgeError]:
    return pytest.RaisesExc(BridgeError, check=lambda error: error.code == code)


COMMANDS: dict[str, Callable[[Rooms, Participant], object]] = {
    "cue": lambda rooms, who: rooms.events.set_cue(who, who.id),
    "take": lambda rooms, who: rooms.events.take_cue(who, who.id, None),
    "layout": lambda rooms, who: rooms.events.set_layout(who, "grid", None, None),
    "lower third": lambda rooms, who: rooms.events.set_lower_third(who, None),
    "mute": lambda rooms, who: rooms.events.mute_off_stage(who),
    "notice": lambda rooms, who: rooms.events.send_notice(who, "everybody", "hello"),
    "pick": lambda rooms, who: rooms.events.pick(who, "q", "shown"),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("role", [Role.SATELLITE, Role.VIEWER])
async def test_only_moderators_run_an_event(
    event: House, command: Callable[[Rooms, Participant], object], role: Role
) -> None:
    who, _ = await event.join(role)
    with refused("notAllowed"):
        command(event.rooms, who)


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
async def test_a_consult_has_nothing_of_an_event(
    consult: House, command: Callable[[Rooms, Participant], object]
) -> None:
    hub, client = await consult.join(Role.HUB)
    with refused("conflict"):
        command(consult.rooms, hub)
    with refused("conflict"):
        consult.rooms.events.ask(hub, "why?")
    assert not client.take("eventChanged", "deskChanged", "questionsChanged")


async def test_cue_is_told_that_it_is_next_and_moderators_see_it_before_others(event: House) -> None:
    organiser, desk = await event.join(Role.ORGANISER)
    other, second_desk = await event.join(Role.HUB)
    viewer, watching = await event.join(Role.VIEWER)
    clinic, own = await event.join(Role.SATELLITE)
    (camera,) = await event.publish(clinic, Source.CAMERA)
    event.rooms.events.set_cue(organiser, clinic.id)
    await event.settle()
    assert newest(own, "eventChanged")["next"] is True
    assert [newest(one, "deskChanged")["cue"] for one in (desk, second_desk)] == [clinic.id] * 2
    assert event.media.forwarded(organiser) == event.media.forwarded(other) == {camera}
    assert event.media.forwarded(viewer) == set()
    assert not watching.take("deskChanged", "eventChanged")

    event.rooms.events.take_cue(other, clinic.id, None)
    await event.settle()
    assert newest(own, "eventChanged")["next"] is False
    assert newest(desk, "deskChanged")["cue"] is None
    assert event.media.forwarded(viewer) == {camera}
    assert clinic.id in newest(watching, "stageChanged")["stage"]


async def test_the_cue_takes_the_place_of_another_in_one_step_on_a_full_stage(event: House) -> None:
    organiser, desk = await event.join(Role.ORGANISER)
    clinics = [(await event.join(Role.SATELLITE))[0] for _ in range(9)]
    for clinic in clinics[:8]:
        event.rooms.give_floor(organiser, clinic.id)
    event.rooms.events.set_cue(organiser, clinics[8].id)
    with refused("conflict"):
        event.rooms.events.take_cue(organiser, clinics[8].id, None)
    assert newest(desk, "deskChanged")["cue"] == clinics[8].id
    event.rooms.events.take_cue(organiser, clinics[8].id, clinics[0].id)
    stage = newest(desk, "stageChanged")["stage"]
    assert set(stage) == {organiser.id, *(clinic.id for clinic in clinics[1:])}


async def test_nobody_is_taken_on_whom_another_moderator_has_changed_meanwhile(event: House) -> None:
    organiser, desk = await event.join(Role.ORGANISER)
    seen, _ = await event.join(Role.SATELLITE)
    other, _ = await event.join(Role.SATELLITE)
    event.rooms.events.set_cue(organiser, other.id)
    with refused("conflict"):
        event.rooms.events.take_cue(organiser, seen.id, None)
    assert newest(desk, "deskChanged")["cue"] == other.id
    assert not desk.take("stageChanged")


async def test_nobody_is_next_on_the_stage_and_nobody_is_taken_who_is_not_next(event: House) -> None:
    organiser, desk = await event.join(Role.ORGANISER)
    clinic, _ = await event.join(Role.SATELLITE)
    with refused("conflict"):
        event.rooms.events.take_cue(organiser, clinic.id, None)
    event.rooms.events.set_cue(organiser, clinic.id)
    event.rooms.give_floor(organiser, clinic.id)
    assert newest(desk, "deskChanged")["cue"] is None
    with refused("conflict"):
        event.rooms.events.set_cue(organiser, clinic.id)


async def test_a_cue_that_goes_is_next_no_more(event: House) -> None:
    organiser, desk = await event.join(Role.ORGANISER)
    clinic, _ = await event.join(Role.SATELLITE)
    event.rooms.events.set_cue(organiser, clinic.id)
    event.rooms.leave(clinic)
    await event.pass_time(1000)
    assert newest(desk, "deskChanged")["cue"] is None
    with refused("conflict"):
        event.rooms.events.take_cue(organiser, clinic.id, None)


async def test_all_follow_the_layout_also_who_comes_later(event: House) -> None:
    organiser, _ = await event.join(Role.ORGANISER)
    hub, _ = await event.join(Role.HUB)
    viewer, watching = await event.join(Role.VIEWER)
    event.rooms.events.set_layout(organiser, "pair", hub.id, organiser.id)
    told = newest(watching, "eventChanged")
    assert (told["layout"], told["main"], told["second"]) == ("pair", hub.id, organiser.id)
    with refused("conflict"):
        event.rooms.events.set_layout(organiser, "speaker", viewer.id, None)
    late, later = await event.join(Role.VIEWER, caught_up=False)
    event.rooms.catch_up(late)
    assert newest(later, "eventChanged")["layout"] == "pair"
    event.rooms.leave(hub)
    await event.pass_time(1000)
    assert newest(watching, "eventChanged")["main"] is None


async def test_a_lower_third_is_over_somebody_until_it_is_taken_away_or_that_one_goes(event: House) -> None:
    organiser, _ = await event.join(Role.ORGANISER)
    hub, _ = await event.join(Role.HUB)
    _, watching = await event.join(Role.VIEWER)
    shown = LowerThirdObject(participant=hub.id, title="Dr\u202e Lan", subtitle="Hà Giang")
    event.rooms.events.set_lower_third(organiser, shown)
    third = newest(watching, "eventChanged")["lowerThird"]
    assert third == {"participant": hub.id, "title": "Dr Lan", "subtitle": "Hà Giang"}
    with refused("malformed"):
        event.rooms.events.set_lower_third(organiser, LowerThirdObject(participant=hub.id, title="\u200b"))
    event.rooms.leave(hub)
    await event.pass_time(1000)
    assert newest(watching, "eventChanged")["lowerThird"] is None


async def test_who_is_off_the_stage_is_muted_until_the_floor_comes(event: House) -> None:
    organiser, desk = await event.join(Role.ORGANISER)
    hub, _ = await event.join(Role.HUB)
    clinic, _ = await event.join(Role.SATELLITE)
    other, _ = await event.join(Role.SATELLITE)
    await event.publish(hub, Source.MICROPHONE)
    microphone, _ = await event.publish(clinic, Source.MICROPHONE, Source.CAMERA)
    (by_hand,) = await event.publish(other, Source.MICROPHONE)
    event.rooms.block_track(organiser, by_hand, True)
    desk.take()
    event.rooms.events.mute_off_stage(organiser)
    blocked = {m["track"]["id"] for m in desk.take("trackChanged") if m["track"]["blocked"]}
    assert blocked == {microphone}
    with refused("notAllowed"):
        event.rooms.set_track_muted(clinic, microphone, False)
    event.rooms.give_floor(organiser, clinic.id)
    event.rooms.give_floor(organiser, other.id)
    unblocked = {m["track"]["id"] for m in desk.take("trackChanged") if not m["track"]["blocked"]}
    assert unblocked == {microphone}


async def test_the_floor_does_not_lift_what_another_moderator_blocked_by_hand_since(event: House) -> None:
    organiser, _ = await event.join(Role.ORGANISER)
    hub, _ = await event.join(Role.HUB)
    clinic, _ = await event.join(Role.SATELLITE)
    (microphone,) = await event.publish(clinic, Source.MICROPHONE)
    event.rooms.events.mute_off_stage(organiser)
    event.rooms.block_track(hub, microphone, False)
    event.rooms.block_track(hub, microphone, True)
    event.rooms.give_floor(organiser, clinic.id)
    assert clinic.blocked_sources == {Source.MICROPHONE}


@pytest.mark.parametrize(
    ("to", "who"),
    [
        ("everybody", {"organiser", "clinic", "other", "viewer"}),
        ("points", {"clinic", "other"}),
        ("viewers", {"viewer"}),
        ("one", {"clinic"}),
    ],
)
async def test_a_notice_reaches_whom_it_is_for_and_nobody_else(event: House, to: Any, who: set[str]) -> None:
    clients: dict[str, Client] = {}
    organiser, clients["organiser"] = await event.join(Role.ORGANISER, "Bình")
    clinic, clients["clinic"] = await event.join(Role.SATELLITE)
    _, clients["other"] = await event.join(Role.SATELLITE)
    _, clients["viewer"] = await event.join(Role.VIEWER)
    event.rooms.events.send_notice(organiser, (clinic.id,) if to == "one" else to, " Please wait. ")
    received = {name: client.take("noticeReceived") for name, client in clients.items()}
    assert {name for name, notices in received.items() if notices} == who
    notice = next(notices[0]["notice"] for notices in received.values() if notices)
    assert (notice["name"], notice["text"]) == ("Bình", "Please wait.")


async def test_a_notice_names_only_who_is_here(event: House) -> None:
    organiser, _ = await event.join(Role.ORGANISER)
    clinic, client = await event.join(Role.SATELLITE)
    with refused("notFound"):
        event.rooms.events.send_notice(organiser, (clinic.id, "nobody"), "hello")
    assert not client.take("noticeReceived")


async def test_a_question_is_seen_by_moderators_and_shown_to_all_when_it_is_picked(event: House) -> None:
    organiser, desk = await event.join(Role.ORGANISER)
    viewer, own = await event.join(Role.VIEWER, "Dr Hoa")
    _, other = await event.join(Role.VIEWER)
    first = event.rooms.events.ask(viewer, "What dose?")
    second = event.rooms.events.ask(viewer, "And for children?")
    await event.pass_time(1000)
    assert [q["text"] for q in newest(desk, "questionsChanged")["questions"]] == [
        "What dose?",
        "And for children?",
    ]
    assert len(newest(own, "questionsChanged")["questions"]) == 2
    assert not other.take("questionsChanged", "eventChanged")

    event.rooms.events.pick(organiser, first, "shown")
    assert newest(other, "eventChanged")["question"]["name"] == "Dr Hoa"
    event.rooms.events.pick(organiser, second, "shown")
    assert newest(other, "eventChanged")["question"]["text"] == "And for children?"
    states = {q["id"]: q["state"] for q in newest(own, "questionsChanged")["questions"]}
    assert states == {first: "answered", second: "shown"}
    event.rooms.events.pick(organiser, second, "answered")
    assert newest(other, "eventChanged")["question"] is None
    assert not other.take("questionsChanged")


async def test_questions_are_withdrawn_by_who_asked_and_not_by_others(event: House) -> None:
    organiser, _ = await event.join(Role.ORGANISER)
    viewer, own = await event.join(Role.VIEWER)
    other, watching = await event.join(Role.VIEWER)
    id = event.rooms.events.ask(viewer, "What dose?")
    event.rooms.events.pick(organiser, id, "shown")
    with refused("notAllowed"):
        event.rooms.events.withdraw(other, id)
    event.rooms.events.withdraw(viewer, id)
    assert newest(watching, "eventChanged")["question"] is None
    assert newest(own, "questionsChanged")["questions"] == []
    with refused("notFound"):
        event.rooms.events.pick(organiser, id, "shown")


async def test_who_sits_on_a_link_of_many_after_somebody_else_sees_nothing_of_what_that_one_asked(
    event: House,
) -> None:
    organiser, desk = await event.join(Role.ORGANISER)
    grant = await event.grant(Role.VIEWER, seats=3)
    first, _ = await event.join(grant, "Dr Hoa")
    asked = [event.rooms.events.ask(first, f"About my patient {number}") for number in range(5)]
    event.rooms.leave(first)
    second, own = await event.join(grant, "Dr Minh", caught_up=False)
    event.rooms.catch_up(second)
    assert second.id == first.id
    assert not own.take("questionsChanged")
    with refused("notAllowed"):
        event.rooms.events.withdraw(second, asked[0])
    event.rooms.events.ask(second, "Mine")
    event.rooms.events.pick(organiser, asked[0], "shown")
    await event.pass_time(1000)
    assert [question["text"] for question in newest(own, "questionsChanged")["questions"]] == ["Mine"]
    told = newest(desk, "questionsChanged")["questions"]
    assert [(question["name"], question["participant"]) for question in told] == [
        *[("Dr Hoa", "")] * 5,
        ("Dr Minh", second.id),
    ]


async def test_who_reloads_a_page_on_a_link_of_many_still_sees_its_own_questions(event: House) -> None:
    grant = await event.grant(Role.VIEWER, seats=3)
    client = Client()
    entry = await event.rooms.join(grant, "Dr Hoa", "en", client)
    assert isinstance(entry.answer, Joined)
    event.rooms.events.ask(entry.participant, "What dose?")
    event.rooms.disconnected(entry.participant, client)
    again = Client()
    back = await event.rooms.join(grant, "Dr Hoa", "en", again, entry.answer.resume_token)
    event.rooms.catch_up(back.participant)
    assert [question["text"] for question in newest(again, "questionsChanged")["questions"]] == ["What dose?"]


@pytest.mark.parametrize("title", ["\u0958" * 120, "\U0001d160" * 120])
async def test_a_title_that_grows_as_it_is_normalised_is_refused(event: House, title: str) -> None:
    organiser, _ = await event.join(Role.ORGANISER)
    with refused("tooLarge"):
        event.rooms.events.set_lower_third(
            organiser, LowerThirdObject(participant=organiser.id, title=title[:LINE_LIMIT], subtitle="")
        )


async def test_one_person_has_no_more_than_five_questions_waiting(event: House) -> None:
    organiser, _ = await event.join(Role.ORGANISER)
    viewer, _ = await event.join(Role.VIEWER)
    ids = [event.rooms.events.ask(viewer, f"question {number}") for number in range(5)]
    with refused("conflict"):
        event.rooms.events.ask(viewer, "one more")
    event.rooms.events.pick(organiser, ids[0], "declined")
    event.rooms.events.ask(viewer, "one more")


async def test_questions_do_not_grow_without_bound(event: House) -> None:
    organiser, _ = await event.join(Role.ORGANISER)
    for number in range(45):
        viewer, _ = await event.join(Role.VIEWER)
        for _ in range(5):
            id = event.rooms.events.ask(viewer, "why?")
            if number < 40:
                event.rooms.events.pick(organiser, id, "answered")
    late, desk = await event.join(Role.HUB, caught_up=False)
    event.rooms.catch_up(late)
    questions = newest(desk, "questionsChanged")["questions"]
    assert len(questions) == 200
    assert sum(question["state"] == "open" for question in questions) == 25


async def test_points_off_the_stage_send_the_small_picture_and_nothing_more(event: House) -> None:
    organiser, _ = await event.join(Role.ORGANISER)
    clinic, own = await event.join(Role.SATELLITE)
    _, ultrasound = await event.publish(clinic, Source.CAMERA, Source.ULTRASOUND)

    def told() -> dict[str, list[str]]:
        return {m["track"]: m["layers"] for m in own.take("layersWanted")}

    assert told() == {ultrasound: []}
    event.rooms.events.set_cue(organiser, clinic.id)
    assert told() == {ultrasound: ["l", "h"]}
    event.rooms.events.take_cue(organiser, clinic.id, None)
    assert told() == {}
    event.rooms.take_floor(organiser, clinic.id)
    assert told() == {ultrasound: []}


async def test_a_consult_wants_all_layers(consult: House) -> None:
    clinic, own = await consult.join(Role.SATELLITE)
    await consult.publish(clinic, Source.CAMERA)
    await consult.settle()
    assert not own.take("layersWanted")


async def test_hundreds_off_the_stage_who_are_lost_at_one_moment_hold_nobody_up(
    event: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at, want = 0, Forwarding._want

    def counted(*asked: Any) -> None:
        nonlocal looked_at
        looked_at += 1
        want(*asked)

    organiser, _ = await event.join(Role.ORGANISER)
    (camera,) = await event.publish(organiser, Source.CAMERA)
    link, clinics = (
        await event.grant(Role.VIEWER, seats=30),
        [await event.join(Role.SATELLITE) for _ in range(3)],
    )
    for clinic, _ in clinics:
        await event.publish(clinic, Source.CAMERA)
    viewers = [await event.join(link) for _ in range(12)]
    stays, _ = await event.join(link)
    await event.settle()
    monkeypatch.setattr(Forwarding, "_want", counted)
    for who, client in [*clinics, *viewers]:
        event.rooms.disconnected(who, client, page_gone=True)
    await event.pass_time(RESUME_WITHIN_S * 1000 + 2000)
    assert [who.gone for who, _ in [*clinics, *viewers]] == [True] * 15
    assert looked_at == 0
    assert event.media.forwarded(stays) == {camera}


@pytest.mark.parametrize("session_format", list(SessionFormat))
async def test_pictures_begin_small_in_an_event_until_a_page_says_how_it_shows_them(
    tmp_path: Path, session_format: SessionFormat
) -> None:
    async with a_house(tmp_path, session_format) as house:
        hub, _ = await house.join(Role.HUB)
        viewer, _ = await house.join(Role.VIEWER)
        (camera,) = await house.publish(hub, Source.CAMERA)
        await house.settle()
        assert [one.max_height for one in viewer.wanted] == [
            180 if session_format is SessionFormat.EVENT else None
        ]
        house.rooms.set_subscription(viewer, camera, 720)
        assert [one.max_height for one in viewer.wanted] == [720]
