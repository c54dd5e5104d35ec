"""Coming into sessions, coming back, leaving, and being refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.errors import BridgeError
from bridge.ids import Role, SessionFormat, SessionId, SessionKind
from bridge.livesession import LiveSession
from bridge.media.contract import Source
from bridge.store import SessionRecord
from tests.fakes import Client, House, a_house, restart


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path) as house:
        yield house


@pytest.fixture
async def event(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path, SessionFormat.EVENT, capacity=600) as house:
        yield house


def refused(code: str) -> pytest.RaisesExc[BridgeError]:
    return pytest.RaisesExc(BridgeError, check=lambda error: error.code == code)


async def test_snapshot_holds_the_session_and_who_is_there(house: House) -> None:
    hub, _ = await house.join(Role.HUB, "Dr Hub")
    track = (await house.publish(hub, Source.CAMERA))[0]
    clinic, client = await house.join(await house.grant(Role.SATELLITE, point="Room 3"), "Clinic")
    joined = client.joined
    assert joined["participant"] == clinic.id
    assert joined["session"]["title"] == "Morning consult"
    assert joined["session"]["startedAt"] == house.now_ms
    assert [(p["name"], p["role"], p["point"]) for p in joined["participants"]] == [
        ("Dr Hub", "hub", ""),
        ("Clinic", "satellite", "Room 3"),
    ]
    assert [t["id"] for t in joined["tracks"]] == [track]
    assert joined["stage"] == [hub.id, clinic.id]
    assert joined["seq"] == 0
    assert "moderate" not in joined["permissions"]


async def test_others_are_told_of_a_join_and_the_stage(house: House) -> None:
    hub, client = await house.join(Role.HUB)
    clinic, own = await house.join(Role.SATELLITE, "Clinic", caught_up=False)
    told = client.take()
    assert [m["type"] for m in told] == ["participantJoined", "stageChanged"]
    assert told[0]["participant"]["name"] == "Clinic"
    assert told[1]["stage"] == [hub.id, clinic.id]
    assert own.take() == []


async def test_changes_are_numbered_without_gaps_for_each_of_them(event: House) -> None:
    _, moderator = await event.join(Role.ORGANISER, caught_up=False)
    viewer, watching = await event.join(await event.grant(Role.VIEWER, seats=5), caught_up=False)
    event.rooms.catch_up(viewer)
    await event.join(await event.grant(Role.VIEWER, seats=5))
    event.rooms.send_chat(viewer, "hello")
    await event.pass_time(3000)
    for client in (moderator, watching):
        numbers = [m["seq"] for m in client.told if "seq" in m]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) >= 2


async def test_same_invite_gives_the_same_participant_after_a_restart(house: House) -> None:
    grant = await house.grant(Role.SATELLITE)
    before, _ = await house.join(grant)
    await house.settle()
    restart(house)
    after, client = await house.join(grant)
    assert after.id == before.id
    assert client.joined["stage"] == [before.id]


async def test_given_floor_survives_a_restart(event: House) -> None:
    organiser, _ = await event.join(Role.ORGANISER)
    grant = await event.grant(Role.VIEWER)
    viewer, _ = await event.join(grant)
    event.rooms.give_floor(organiser, viewer.id)
    await event.settle()
    restart(event)
    _, client = await event.join(grant)
    assert client.joined["stage"] == [viewer.id]
    assert "publish:camera" in client.joined["permissions"]


async def test_floor_of_a_link_for_many_passes_to_nobody_after_a_restart(event: House) -> None:
    organiser, _ = await event.join(Role.ORGANISER)
    grant = await event.grant(Role.VIEWER, seats=10)
    viewer, _ = await event.join(grant)
    event.rooms.give_floor(organiser, viewer.id)
    await event.settle()
    restart(event)
    _, stranger = await event.join(grant)
    assert stranger.joined["stage"] == []
    assert "publish:camera" not in stranger.joined["permissions"]


async def test_second_join_on_one_link_replaces_the_older_who_is_told(house: House) -> None:
    _, hub = await house.join(Role.HUB)
    grant = await house.grant(Role.SATELLITE)
    older, older_client = await house.join(grant, "Older")
    hub.take()
    newer, newer_client = await house.join(grant, "Newer")
    assert older_client.closed == "joinedElsewhere"
    assert newer.id == older.id
    assert [p["name"] for p in newer_client.joined["participants"]] == ["Somebody", "Newer"]
    told = hub.take()
    came_and_went = [m for m in told if m["type"].startswith("participant")]
    assert [(m["type"], m.get("reason")) for m in came_and_went] == [
        ("participantLeft", "joinedElsewhere"),
        ("participantJoined", None),
    ]
    assert newer.id in told[-1]["stage"]


async def test_replaced_participant_can_do_nothing_more(house: House) -> None:
    grant = await house.grant(Role.HUB)
    older, older_client = await house.join(grant)
    await house.join(grant)
    with refused("notFound"):
        house.rooms.send_chat(older, "still here?")
    house.rooms.disconnected(older, older_client)
    with refused("resumeFailed"):
        await house.rooms.resume(older_client.joined["resumeToken"], 0, Client())


async def test_who_is_replaced_takes_its_tracks_along(house: House) -> None:
    _, hub = await house.join(Role.HUB)
    grant = await house.grant(Role.SATELLITE)
    older, _ = await house.join(grant)
    tracks = await house.publish(older, Source.ULTRASOUND, Source.MICROPHONE)
    hub.take()
    await house.join(grant)
    assert [m["track"] for m in hub.take("trackUnpublished")] == tracks
    await house.settle()
    assert not any(peer.tracks for peer in house.media.peers.values())


async def test_one_join_more_than_seats_replaces_the_oldest(house: House) -> None:
    grant = await house.grant(Role.VIEWER, seats=2)
    _, first = await house.join(grant)
    await house.pass_time(1000)
    _, second = await house.join(grant)
    await house.pass_time(1000)
    _, third = await house.join(grant)
    assert (first.closed, second.closed, third.closed) == ("joinedElsewhere", None, None)


async def test_seat_of_who_is_away_is_taken_before_the_oldest(house: House) -> None:
    grant = await house.grant(Role.VIEWER, seats=2)
    _, oldest = await house.join(grant)
    away, away_client = await house.join(grant)
    house.rooms.disconnected(away, away_client)
    newcomer, _ = await house.join(grant)
    assert newcomer.id == away.id
    assert oldest.closed is None


async def test_full_session_refuses_but_not_who_comes_back(tmp_path: Path) -> None:
    async with a_house(tmp_path, capacity=2) as house:
        grant = await house.grant(Role.HUB)
        await house.join(grant)
        await house.join(Role.SATELLITE)
        with refused("sessionFull"):
            await house.join(Role.SATELLITE)
        await house.join(grant)
        assert house.rooms.connected(house.session) == 2


@pytest.mark.parametrize("role", [Role.HUB, Role.ORGANISER])
async def test_session_full_of_viewers_lets_in_who_leads_it(tmp_path: Path, role: Role) -> None:
    async with a_house(tmp_path, capacity=2) as house:
        grant = await house.grant(Role.VIEWER, seats=2)
        for _ in range(2):
            await house.join(grant)
        with refused("sessionFull"):
            await house.join(Role.SATELLITE)
        await house.join(role)
        assert house.rooms.connected(house.session) == 3


async def test_place_of_who_left_is_free_again(tmp_path: Path) -> None:
    async with a_house(tmp_path, capacity=2) as house:
        leaving, _ = await house.join(Role.SATELLITE)
        await house.join(Role.SATELLITE)
        house.rooms.leave(leaving)
        await house.join(Role.SATELLITE)


@pytest.mark.parametrize("name", [" ", "\u202e\u200b", "\x00\x07"])
async def test_name_without_anything_to_see_is_refused(house: House, name: str) -> None:
    with refused("malformed"):
        await house.join(Role.HUB, name)


async def test_name_is_cleared_of_what_could_deceive(house: House) -> None:
    participant, _ = await house.join(Role.HUB, " Nguyễn\t Thị\u202e Hoa\n")
    assert participant.name == "Nguyễn Thị Hoa"


async def test_lost_connection_resumes_with_what_was_missed(house: House) -> None:
    hub, hub_client = await house.join(Role.HUB)
    clinic, client = await house.join(Role.SATELLITE, caught_up=False)
    house.rooms.catch_up(clinic)
    seen = max(message.get("seq", 0) for message in client.told)
    house.rooms.disconnected(clinic, client)
    assert hub_client.take("participantChanged")[-1]["participant"]["connected"] is False
    house.rooms.send_chat(hub, "are you there?")
    house.rooms.send_chat(hub, "we lost you")
    await house.pass_time(20_000)
    back = Client()
    entry = await house.rooms.resume(client.joined["resumeToken"], seen, back)
    missed = [bytes(change) for change in entry.answer.missed]  # type: ignore[union-attr]
    assert entry.participant is clinic
    assert b"are you there?" in missed[0]
    assert b"we lost you" in missed[-1]
    assert hub_client.take("participantChanged")[-1]["participant"]["connected"] is True
    house.rooms.send_chat(hub, "good")
    assert back.take("chatSent")[0]["seq"] == seen + len(missed) + 1


async def test_resume_token_is_good_for_one_use(house: House) -> None:
    clinic, client = await house.join(Role.SATELLITE)
    token = client.joined["resumeToken"]
    house.rooms.disconnected(clinic, client)
    entry = await house.rooms.resume(token, 0, Client())
    with refused("resumeFailed"):
        await house.rooms.resume(token, 0, Client())
    again = Client()
    await house.rooms.resume(entry.answer.resume_token, 0, again)
    assert clinic.outlet is again


async def test_resuming_before_the_loss_was_noticed_closes_the_dead_connection(house: House) -> None:
    clinic, client = await house.join(Role.SATELLITE)
    await house.rooms.resume(client.joined["resumeToken"], 0, Client())
    assert client.closed == "joinedElsewhere"
    house.rooms.disconnected(clinic, client)
    assert clinic.connected


@pytest.mark.parametrize("seq", [1, 10**9])
async def test_resuming_with_a_number_never_told_is_refused(house: House, seq: int) -> None:
    clinic, client = await house.join(Role.SATELLITE)
    house.rooms.disconnected(clinic, client)
    with refused("resumeFailed"):
        await house.rooms.resume(client.joined["resumeToken"], clinic.journal.seq + seq, Client())


async def test_who_missed_more_than_is_kept_joins_anew(house: House) -> None:
    hub, _ = await house.join(Role.HUB)
    clinic, client = await house.join(Role.SATELLITE)
    house.rooms.disconnected(clinic, client)
    for _ in range(2001):
        house.rooms.send_chat(hub, "x")
    with refused("resumeFailed"):
        await house.rooms.resume(client.joined["resumeToken"], 0, Client())


async def test_who_missed_more_than_is_kept_joins_anew_on_the_same_seat_of_a_link_of_many(
    event: House,
) -> None:
    hub, _ = await event.join(Role.HUB)
    grant = await event.grant(Role.VIEWER, seats=5)
    await event.join(grant, "Another")
    student, client = await event.join(grant, "Student")
    event.rooms.disconnected(student, client)
    for _ in range(2001):
        event.rooms.send_chat(hub, "x")
    token = client.joined["resumeToken"]
    with refused("resumeFailed"):
        await event.rooms.resume(token, 0, Client())
    again, _ = await event.join(grant, "Student", resume_token=token)
    assert again.id == student.id


async def test_a_session_that_fails_does_not_stop_the_time_of_others(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.join(Role.HUB)
    first = house.session
    other, _ = await house.store.create_session(
        title="Other", kind=SessionKind.ADVICE, format=SessionFormat.CONSULT, capacity=5, at_ms=house.now_ms
    )
    house.session = other.id
    hub, client = await house.join(Role.HUB)
    real = LiveSession.tell_batches

    def failing(session: LiveSession, now_ms: int) -> None:
        if session.id == first:
            raise ValueError("expected by this test")
        real(session, now_ms)

    monkeypatch.setattr(LiveSession, "tell_batches", failing)
    house.rooms.report_clock(hub, 5.0)
    client.take()
    await house.pass_time(2000)
    assert client.take("participantChanged")


async def test_who_does_not_resume_in_time_is_lost(house: House) -> None:
    _, hub = await house.join(Role.HUB)
    clinic, client = await house.join(Role.SATELLITE)
    await house.publish(clinic, Source.CAMERA)
    house.rooms.disconnected(clinic, client)
    hub.take()
    await house.pass_time(29_000, step_ms=1000)
    assert hub.take("participantLeft", "trackUnpublished") == []
    await house.pass_time(2000)
    told = hub.take("participantLeft", "trackUnpublished", "stageChanged")
    assert [m["type"] for m in told] == ["trackUnpublished", "participantLeft", "stageChanged"]
    assert told[1]["reason"] == "lost"
    with refused("resumeFailed"):
        await house.rooms.resume(client.joined["resumeToken"], 0, Client())
    assert not any(peer.kind == "publisher" for peer in house.media.peers.values())


async def test_reload_on_a_lost_line_is_the_same_participant_and_not_a_new_one(house: House) -> None:
    _, hub = await house.join(Role.HUB)
    grant = await house.grant(Role.SATELLITE)
    clinic, client = await house.join(grant)
    house.rooms.disconnected(clinic, client)
    hub.take()
    await house.join(grant)
    assert [m["type"] for m in hub.take()] == ["participantChanged", "stageChanged"]


async def test_leaving_tells_the_others(house: House) -> None:
    _, hub = await house.join(Role.HUB)
    clinic, _ = await house.join(Role.SATELLITE)
    hub.take()
    house.rooms.leave(clinic)
    house.rooms.leave(clinic)
    told = hub.take()
    assert [(m["type"], m.get("reason")) for m in told] == [
        ("participantLeft", "left"),
        ("stageChanged", None),
    ]


async def test_stopping_server_tells_all_and_lets_nobody_in(house: House) -> None:
    _, client = await house.join(Role.HUB)
    house.rooms.shut_down()
    assert client.closed == "shuttingDown"
    with refused("shuttingDown"):
        await house.join(Role.SATELLITE)
    with refused("shuttingDown"):
        await house.rooms.resume(client.joined["resumeToken"], 0, Client())


async def test_five_hundred_viewers_cost_messages_in_proportion(event: House) -> None:
    await event.join(Role.ORGANISER)
    grant = await event.grant(Role.VIEWER, seats=500)
    clients = []
    for number in range(500):
        clients.append((await event.join(grant, f"Viewer {number}"))[1])
        if number % 50 == 49:
            await event.pass_time(500)
    await event.pass_time(5000)
    told = sum(len(client.told) for client in clients)
    assert told <= 500 * 5
    assert clients[0].take("audienceChanged")[-1]["count"] == 500
    assert len(clients[-1].joined["participants"]) == 2


async def test_seats_of_one_link_are_all_barred_when_all_were_removed(event: House) -> None:
    organiser, _ = await event.join(Role.ORGANISER)
    grant = await event.grant(Role.VIEWER, seats=2)
    for _ in range(2):
        await event.rooms.remove(organiser, (await event.join(grant))[0].id)
    with refused("inviteRevoked"):
        await event.join(grant)


async def test_stage_place_of_who_was_lost_waits_but_not_of_who_left(event: House) -> None:
    organiser, _ = await event.join(Role.ORGANISER)
    for leaves in (False, True):
        grant = await event.grant(Role.SATELLITE)
        clinic, client = await event.join(grant)
        event.rooms.give_floor(organiser, clinic.id)
        if leaves:
            event.rooms.leave(clinic)
        else:
            event.rooms.disconnected(clinic, client)
            await event.pass_time(31_000, step_ms=1000)
        assert clinic.gone
        _, again = await event.join(grant)
        assert (clinic.id in again.joined["stage"]) is not leaves


async def test_all_come_into_the_same_session_also_after_a_load_that_failed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    grants = [await house.grant(Role.HUB) for _ in range(3)]
    real, loads = house.store.get_session, 0
    failing, loading = asyncio.Event(), asyncio.Event()

    async def get_session(id: SessionId) -> SessionRecord:
        nonlocal loads
        loads += 1
        if loads == 1:
            await failing.wait()
            raise OSError("the database is away")
        await loading.wait()
        return await real(id)

    monkeypatch.setattr(house.store, "get_session", get_session)
    first, second = (asyncio.create_task(house.join(grant)) for grant in grants[:2])
    await asyncio.sleep(0)
    failing.set()
    await asyncio.wait({first})
    await asyncio.sleep(0)
    assert loads == 2
    third = asyncio.create_task(house.join(grants[2]))
    await asyncio.sleep(0)
    loading.set()
    people = [(await task)[0].id for task in (second, third)]
    assert isinstance(first.exception(), OSError)
    assert loads == 2
    assert [p.id for p in house.rooms.participants(house.session)] == people


async def test_two_sessions_know_nothing_of_each_other(house: House) -> None:
    _, client = await house.join(Role.HUB)
    first = house.session
    other, _ = await house.store.create_session(
        title="Other", kind=SessionKind.ADVICE, format=SessionFormat.CONSULT, capacity=5, at_ms=house.now_ms
    )
    house.session = other.id
    stranger, strangers = await house.join(Role.HUB)
    house.rooms.send_chat(stranger, "anybody here?")
    assert [p["id"] for p in strangers.joined["participants"]] == [stranger.id]
    assert client.take() == []
    assert (house.rooms.connected(first), house.rooms.connected(other.id)) == (1, 1)


async def test_reloaded_viewer_gets_its_seat_and_floor_back_on_a_link_of_many(event: House) -> None:
    hub, watching = await event.join(Role.HUB)
    grant = await event.grant(Role.VIEWER, seats=5)
    await event.join(grant, "Another")
    before, first = await event.join(grant, "Student")
    event.rooms.give_floor(hub, before.id)
    watching.take()
    after, second = await event.join(grant, "Student", resume_token=first.joined["resumeToken"])
    assert after.id == before.id
    assert before.id in second.joined["stage"]
    assert first.closed == "joinedElsewhere"
    assert "participantLeft" not in [m["type"] for m in watching.take()]


async def test_resume_token_of_another_invite_gives_no_seat_of_it(event: House) -> None:
    _, other = await event.join(await event.grant(Role.VIEWER, seats=5), "Other")
    mine, _ = await event.join(
        await event.grant(Role.VIEWER, seats=5), "Mine", resume_token=other.joined["resumeToken"]
    )
    assert mine.id != other.joined["participant"]
    assert other.closed is None


async def test_resume_token_that_is_not_good_any_more_is_ignored_by_a_join(event: House) -> None:
    grant = await event.grant(Role.VIEWER, seats=5)
    first, _ = await event.join(grant, resume_token="x" * 43)
    second, _ = await event.join(grant, resume_token="x" * 43)
    assert first.id != second.id


async def test_link_that_is_opened_again_and_again_has_to_wait(house: House) -> None:
    _, hub = await house.join(Role.HUB)
    grant = await house.grant(Role.SATELLITE)
    for _ in range(24):
        await house.join(grant)
    hub.take()
    for _ in range(3):
        with refused("tooMany"):
            await house.join(grant)
    assert hub.take() == []
    await house.join(Role.ORGANISER)
    await house.pass_time(1000)
    await house.join(grant)
