"""Coming into an event by the calls of rooms: the pace, the lobby, the lock, and who is known at the door."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bridge import admission as under_test
from bridge.admission import Pace
from bridge.auth import Grant
from bridge.errors import BridgeError
from bridge.eventdoor import Knock
from bridge.ids import Role, SessionFormat
from bridge.media.contract import Description
from bridge.participant import Participant
from tests.fakes import Client, House, a_house, restart
from tests.test_rooms_events import newest, refused

PACE = Pace(joins_per_s=10, burst=5)


@pytest.fixture
async def event(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path, SessionFormat.EVENT, capacity=400, pace=PACE) as house:
        yield house


@pytest.fixture
async def consult(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path, SessionFormat.CONSULT, pace=PACE) as house:
        yield house


async def knock(house: House, role: Role | Grant, token: str | None = None) -> tuple[Knock, Client]:
    grant = role if isinstance(role, Grant) else await house.grant(role)
    client = Client()
    return await house.rooms.admission.knock(grant, "Somebody", client, token), client


async def come_in(house: House, asked: Knock, client: Client, token: str | None = None) -> Participant:
    """What signaling does when the turn has come."""
    assert asked.turn.is_set()
    entry = await house.rooms.join(asked.grant, asked.name, "en", client, token, asked)
    house.rooms.admission.gone(asked)
    return entry.participant


async def set_door(house: House, actor: Participant, *, lobby: bool = False, locked: bool = False) -> None:
    await house.rooms.admission.set_door(actor, lobby=lobby, locked=locked)


async def test_a_storm_is_let_in_at_the_pace_and_nobody_is_lost(event: House) -> None:
    link = await event.grant(Role.VIEWER, seats=30)
    asked = [await knock(event, link) for _ in range(30)]
    assert sum(one.turn.is_set() for one, _ in asked) == PACE.burst
    assert [client.take()[-1]["place"] for one, client in asked if not one.turn.is_set()] == list(
        range(1, 26)
    )
    await event.pass_time(1000)
    assert sum(one.turn.is_set() for one, _ in asked) == PACE.burst + PACE.joins_per_s
    await event.pass_time(1500)
    assert {(await come_in(event, *one)).seat for one in asked} == set(range(30))
    assert event.rooms.admission.waiting == 0


async def test_places_are_told_anew_at_most_every_two_seconds(event: House) -> None:
    asked = [await knock(event, Role.VIEWER) for _ in range(PACE.burst + 40)]
    last = asked[-1][1]
    assert last.take() == [{"type": "waiting", "reason": "pacing", "place": 40}]
    await event.pass_time(1900)
    assert not last.take()
    await event.pass_time(2000)
    (told,) = last.take()
    assert told["place"] == 20


@pytest.mark.parametrize("role", [Role.ORGANISER, Role.HUB])
async def test_who_moderates_never_waits(event: House, role: Role) -> None:
    storm = [await knock(event, Role.VIEWER) for _ in range(50)]
    assert not storm[-1][0].turn.is_set()
    asked, client = await knock(event, role)
    await come_in(event, asked, client)
    assert not client.take("waiting")


async def test_who_was_in_comes_back_past_the_queue(event: House) -> None:
    point = await event.grant(Role.SATELLITE)
    link = await event.grant(Role.VIEWER, seats=2)
    clinic, viewer = await knock(event, point), await knock(event, link)
    await come_in(event, *clinic)
    token = (await event.rooms.join(link, "Viewer", "en", viewer[1], None, viewer[0])).answer.resume_token
    event.rooms.admission.gone(viewer[0])
    for _ in range(50):
        await knock(event, Role.VIEWER)
    assert (await knock(event, point))[0].turn.is_set()
    assert (await knock(event, link, token))[0].turn.is_set()
    assert not (await knock(event, link, "another token"))[0].turn.is_set()


async def test_who_gives_up_frees_its_place(event: House) -> None:
    asked = [await knock(event, Role.VIEWER) for _ in range(PACE.burst + 2)]
    event.rooms.admission.gone(asked[-2][0])
    await event.pass_time(2000)
    assert not asked[-2][0].turn.is_set()
    assert asked[-1][0].turn.is_set()
    assert event.rooms.admission.waiting == PACE.burst + 1


async def test_no_more_wait_than_there_is_room_for(event: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "WAITING_LIMIT", 3)
    for _ in range(3):
        await knock(event, Role.VIEWER)
    with refused("tooMany"):
        await knock(event, Role.VIEWER)


async def test_one_link_does_not_fill_the_lobby(event: House) -> None:
    organiser, desk = await event.join(Role.ORGANISER)
    await set_door(event, organiser, lobby=True)
    many = await event.grant(Role.VIEWER, seats=3)
    for _ in range(3):
        await knock(event, many)
    with refused("sessionFull"):
        await knock(event, many)
    clinic = await event.grant(Role.SATELLITE)
    first, client = await knock(event, clinic)
    again, waits = await knock(event, clinic)
    assert (client.closed, waits.closed) == ("joinedElsewhere", None)
    event.rooms.admission.gone(first)
    assert event.rooms.admission.waiting == 4
    await event.pass_time(1000)
    assert [one["id"] for one in newest(desk, "deskChanged")["waiting"]][-1] == again.id
    event.rooms.admission.admit(organiser, ())
    await event.pass_time(1000)
    await come_in(event, again, waits)


async def test_nobody_waits_for_a_consult(consult: House) -> None:
    asked = [await knock(consult, Role.SATELLITE) for _ in range(20)]
    assert all(one.turn.is_set() for one, _ in asked)


async def test_a_queue_is_sent_away_when_the_session_ends(event: House) -> None:
    asked = [await knock(event, Role.VIEWER) for _ in range(8)]
    await event.rooms.end_session(event.session)
    assert asked[-1][1].closed == "sessionEnded"


async def test_a_withdrawn_link_waits_no_longer(event: House) -> None:
    link = await event.grant(Role.VIEWER, seats=20)
    asked = [await knock(event, link) for _ in range(8)]
    await event.store.revoke_invite(link.invite)
    await event.pass_time(3000)
    assert asked[-1][1].closed == "inviteRevoked"
    with refused("inviteRevoked"):
        await event.rooms.join(link, "Viewer", "en", Client(), None, asked[-1][0])


# Lobby


async def in_lobby(house: House) -> tuple[Participant, Client]:
    organiser, desk = await house.join(Role.ORGANISER)
    await set_door(house, organiser, lobby=True)
    return organiser, desk


def listed(desk: Client) -> list[dict[str, Any]]:
    waiting: list[dict[str, Any]] = newest(desk, "deskChanged")["waiting"]
    return waiting


async def test_lobby_lets_in_whom_a_moderator_admits(event: House) -> None:
    organiser, desk = await in_lobby(event)
    assert newest(desk, "sessionChanged")["session"]["lobby"] is True
    (first, one), (second, other) = await knock(event, Role.SATELLITE), await knock(event, Role.VIEWER)
    assert one.take() == [{"type": "waiting", "reason": "lobby", "place": 0}]
    await event.pass_time(1000)
    assert [(w["id"], w["role"]) for w in listed(desk)] == [(first.id, "satellite"), (second.id, "viewer")]
    event.rooms.admission.admit(organiser, (second.id, "unknown"))
    assert not first.turn.is_set()
    await come_in(event, second, other)
    await event.pass_time(1000)
    assert [w["id"] for w in listed(desk)] == [first.id]
    event.rooms.admission.admit(organiser, ())
    await come_in(event, first, one)


async def test_all_who_are_admitted_at_once_still_come_at_the_pace(event: House) -> None:
    organiser, _ = await in_lobby(event)
    asked = [await knock(event, Role.VIEWER) for _ in range(20)]
    event.rooms.admission.admit(organiser, ())
    assert sum(one.turn.is_set() for one, _ in asked) == PACE.burst
    assert asked[-1][1].take("waiting")[-1] == {"type": "waiting", "reason": "pacing", "place": 15}
    await event.pass_time(2000)
    for one in asked:
        await come_in(event, *one)


async def test_who_is_turned_away_is_told_and_waits_no_longer(event: House) -> None:
    organiser, desk = await in_lobby(event)
    asked, client = await knock(event, Role.VIEWER)
    event.rooms.admission.turn_away(organiser, asked.id)
    assert client.closed == "removed"
    await event.pass_time(1000)
    assert listed(desk) == []
    with refused("notFound"):
        event.rooms.admission.turn_away(organiser, asked.id)


async def test_lobby_that_is_switched_off_lets_all_in(event: House) -> None:
    organiser, _ = await in_lobby(event)
    asked, client = await knock(event, Role.VIEWER)
    await set_door(event, organiser)
    await come_in(event, asked, client)


async def test_lobby_that_is_switched_on_takes_those_in_the_queue(event: House) -> None:
    organiser, _ = await event.join(Role.ORGANISER)
    asked = [await knock(event, Role.VIEWER) for _ in range(8)]
    await set_door(event, organiser, lobby=True)
    await event.pass_time(1000)
    assert asked[-1][1].take()[-1] == {"type": "waiting", "reason": "lobby", "place": 0}
    event.rooms.admission.admit(organiser, (asked[-1][0].id,))
    await come_in(event, *asked[-1])


async def test_who_was_let_in_once_comes_back_without_asking(event: House) -> None:
    organiser, _ = await in_lobby(event)
    point = await event.grant(Role.SATELLITE)
    link = await event.grant(Role.VIEWER, seats=3)
    clinic, viewer = await knock(event, point), await knock(event, link)
    event.rooms.admission.admit(organiser, ())
    event.rooms.leave(await come_in(event, *clinic))
    entry = await event.rooms.join(link, "Viewer", "en", viewer[1], None, viewer[0])
    event.rooms.admission.gone(viewer[0])
    event.rooms.leave(entry.participant)
    assert (await knock(event, point))[0].turn.is_set()
    assert (await knock(event, link, entry.answer.resume_token))[0].turn.is_set()
    assert not (await knock(event, link))[0].turn.is_set(), "a stranger took the seat of one who left"


async def test_who_was_removed_from_a_link_of_many_is_not_known_any_more(event: House) -> None:
    organiser, _ = await in_lobby(event)
    link = await event.grant(Role.VIEWER, seats=3)
    viewer = await knock(event, link)
    event.rooms.admission.admit(organiser, ())
    entry = await event.rooms.join(link, "Viewer", "en", viewer[1], None, viewer[0])
    event.rooms.admission.gone(viewer[0])
    await event.rooms.remove(organiser, entry.participant.id)
    assert not (await knock(event, link, entry.answer.resume_token))[0].turn.is_set()


@pytest.mark.parametrize("role", [Role.SATELLITE, Role.VIEWER])
async def test_only_moderators_keep_the_door(event: House, role: Role) -> None:
    who, _ = await event.join(role)
    for command in (
        lambda: event.rooms.admission.admit(who, ()),
        lambda: event.rooms.admission.turn_away(who, "w"),
    ):
        with refused("notAllowed"):
            command()
    with refused("notAllowed"):
        await set_door(event, who, lobby=True)


async def test_a_consult_has_no_door(consult: House) -> None:
    hub, _ = await consult.join(Role.HUB)
    with refused("conflict"):
        await set_door(consult, hub, lobby=True)
    with refused("conflict"):
        consult.rooms.admission.admit(hub, ())


# Lock


@pytest.mark.parametrize("role", [Role.SATELLITE, Role.VIEWER])
async def test_nobody_new_comes_into_a_locked_event_but_who_was_in(event: House, role: Role) -> None:
    organiser, _ = await event.join(Role.ORGANISER)
    known = await event.grant(role)
    who, _ = await event.join(known)
    event.rooms.leave(who)
    await set_door(event, organiser, locked=True)
    with refused("sessionLocked"):
        await knock(event, role)
    with refused("sessionLocked"):
        await event.join(role)
    asked, client = await knock(event, known)
    await come_in(event, asked, client)
    await event.join(Role.HUB)


async def test_who_is_in_the_queue_when_the_door_is_locked_does_not_come_in(event: House) -> None:
    organiser, _ = await event.join(Role.ORGANISER)
    asked = [await knock(event, Role.VIEWER) for _ in range(8)]
    await set_door(event, organiser, locked=True)
    await event.pass_time(1000)
    with refused("sessionLocked"):
        await come_in(event, *asked[-1])


async def test_a_moderator_lets_somebody_from_the_lobby_into_a_locked_event(event: House) -> None:
    organiser, _ = await in_lobby(event)
    asked, client = await knock(event, Role.VIEWER)
    await set_door(event, organiser, lobby=True, locked=True)
    event.rooms.admission.admit(organiser, (asked.id,))
    await come_in(event, asked, client)


@pytest.mark.parametrize("door", [{"locked": True}, {"lobby": True}])
async def test_encoders_and_players_come_in_only_on_links_that_were_in(
    event: House, door: dict[str, bool]
) -> None:
    organiser, _ = await event.join(Role.ORGANISER)
    known = await event.grant(Role.SATELLITE)
    who, _ = await event.join(known)
    event.rooms.leave(who)
    await set_door(event, organiser, **door)
    stranger = await event.grant(Role.SATELLITE)
    with refused("sessionLocked"):
        await event.rooms.join_device(stranger, "Encoder", Description("offer"), [])
    with refused("sessionLocked"):
        await event.rooms.play(stranger, Description("offer"), None, None)
    await event.rooms.join_device(known, "Encoder", Description("offer"), [])
    await event.rooms.play(known, Description("offer"), None, None)


async def test_two_moderators_at_the_door_take_nothing_of_each_other_back(event: House) -> None:
    organiser, _ = await event.join(Role.ORGANISER)
    other, desk = await event.join(Role.ORGANISER)
    door = event.rooms.admission
    await asyncio.gather(
        door.set_door(organiser, lobby=True, locked=None), door.set_door(other, lobby=None, locked=True)
    )
    session = desk.take("sessionChanged")[-1]["session"]
    assert (session["lobby"], session["locked"]) == (True, True)
    await door.set_door(organiser, lobby=False, locked=None)
    await door.set_door(organiser, lobby=None, locked=None)
    restart(event)
    _, desk = await event.join(Role.ORGANISER)
    session = desk.joined["session"]
    assert (session["lobby"], session["locked"]) == (False, True)


async def test_the_door_stands_as_it_was_after_a_restart(event: House) -> None:
    organiser, _ = await event.join(Role.ORGANISER)
    await set_door(event, organiser, lobby=True, locked=True)
    restart(event)
    _, desk = await event.join(Role.ORGANISER)
    session = desk.joined["session"]
    assert (session["lobby"], session["locked"]) == (True, True)
    with refused("sessionLocked"):
        await knock(event, Role.VIEWER)


# Draining


async def test_a_server_that_is_being_emptied_lets_nobody_into_what_is_not_live(event: House) -> None:
    event.rooms.drain(True)
    with refused("shuttingDown"):
        await event.join(Role.ORGANISER)
    assert (await event.store.get_session(event.session)).started_at_ms is None
    event.rooms.drain(False)
    organiser, _ = await event.join(Role.ORGANISER)
    event.rooms.drain(True)
    await event.join(Role.VIEWER)
    event.rooms.leave(organiser)
    await event.join(Role.ORGANISER)


async def test_a_session_that_empties_while_the_server_does_is_not_entered_again(event: House) -> None:
    organiser, _ = await event.join(Role.ORGANISER)
    event.rooms.drain(True)
    event.rooms.leave(organiser)
    with refused("shuttingDown"):
        await event.join(Role.ORGANISER)


# Memory


async def storm(house: House, link: Grant) -> None:
    asked = [await knock(house, link) for _ in range(link.seats)]
    await house.pass_time(4000)
    for who in [await come_in(house, *one) for one in asked]:
        house.rooms.leave(who)
    await house.pass_time(120_000, step_ms=1000)


def left_in_memory() -> int:
    gc.collect()
    return sum(isinstance(one, Knock | Participant | Client) for one in gc.get_objects())


async def test_storms_leave_nothing_behind(event: House) -> None:
    link = await event.grant(Role.VIEWER, seats=40)
    await storm(event, link)
    after_the_first = left_in_memory()
    for _ in range(9):
        await storm(event, link)
    assert left_in_memory() == after_the_first


async def test_a_name_without_letters_is_refused_before_anybody_waits(event: House) -> None:
    client = Client()
    with pytest.raises(BridgeError) as refusal:
        await event.rooms.admission.knock(await event.grant(Role.VIEWER), "  ", client, None)
    assert refusal.value.code == "malformed"
    assert event.rooms.admission.waiting == 0
