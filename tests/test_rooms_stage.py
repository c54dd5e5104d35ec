"""The floor, moderation, hands and chat: who may do what, and who is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from bridge.errors import BridgeError
from bridge.ids import Role, SessionFormat
from bridge.media.contract import Source
from bridge.participant import Participant
from tests.fakes import Client, House, a_house


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path) as house:
        yield house


@pytest.fixture
async def event(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path, SessionFormat.EVENT) as house:
        yield house


def refused(code: str) -> pytest.RaisesExc[BridgeError]:
    return pytest.RaisesExc(BridgeError, check=lambda error: error.code == code)


def types(client: Client) -> list[str]:
    return [message["type"] for message in client.take()]


@pytest.mark.parametrize(
    ("session_format", "role", "gets"),
    [
        (SessionFormat.CONSULT, Role.HUB, True),
        (SessionFormat.CONSULT, Role.SATELLITE, True),
        (SessionFormat.CONSULT, Role.ORGANISER, True),
        (SessionFormat.CONSULT, Role.VIEWER, False),
        (SessionFormat.EVENT, Role.HUB, True),
        (SessionFormat.EVENT, Role.ORGANISER, True),
        (SessionFormat.EVENT, Role.SATELLITE, False),
        (SessionFormat.EVENT, Role.VIEWER, False),
    ],
)
async def test_floor_on_joining_follows_role_and_format(
    tmp_path: Path, session_format: SessionFormat, role: Role, gets: bool
) -> None:
    async with a_house(tmp_path, session_format) as house:
        participant, client = await house.join(role)
        assert (participant.id in client.joined["stage"]) is gets


async def test_viewer_given_the_floor_is_shown_to_all_and_may_publish(event: House) -> None:
    organiser, moderator = await event.join(Role.ORGANISER)
    viewer, own = await event.join(Role.VIEWER, "Dr Lan")
    _, other = await event.join(Role.VIEWER)
    moderator.take()
    event.rooms.give_floor(organiser, viewer.id)
    assert types(other) == ["participantJoined", "stageChanged"]
    assert types(moderator) == ["stageChanged"]
    told = own.take()
    assert [m["type"] for m in told] == ["stageChanged", "permissionsChanged"]
    assert {"publish:microphone", "publish:camera"} <= set(told[1]["permissions"])
    await event.publish(viewer, Source.MICROPHONE, Source.CAMERA)
    assert types(other).count("trackPublished") == 2


async def test_viewer_who_loses_the_floor_is_not_listed_nor_heard_any_more(event: House) -> None:
    organiser, _ = await event.join(Role.ORGANISER)
    viewer, own = await event.join(Role.VIEWER)
    other, watching = await event.join(Role.VIEWER)
    event.rooms.give_floor(organiser, viewer.id)
    (track,) = await event.publish(viewer, Source.CAMERA)
    assert event.media.forwarded(other) == {track}
    watching.take(), own.take()
    event.rooms.take_floor(organiser, viewer.id)
    assert types(watching) == ["stageChanged", "trackUnpublished", "participantLeft"]
    assert types(own) == ["stageChanged", "permissionsChanged"]
    assert event.media.forwarded(other) == set()
    with refused("notAllowed"):
        await event.publish(viewer, Source.CAMERA, Source.MICROPHONE)


async def test_satellite_off_the_stage_of_an_event_is_told_to_moderators_only(event: House) -> None:
    organiser, moderator = await event.join(Role.ORGANISER)
    viewer, client = await event.join(Role.VIEWER)
    _, neighbour = await event.join(Role.SATELLITE)
    moderator.take()
    clinic, _ = await event.join(Role.SATELLITE)
    (track,) = await event.publish(clinic, Source.ULTRASOUND)
    assert {"participantJoined", "trackPublished"} <= set(types(moderator))
    for others in (client, neighbour):
        assert not {"participantJoined", "trackPublished"} & set(types(others))
    assert event.media.forwarded(viewer) == set()
    event.rooms.give_floor(organiser, clinic.id)
    await event.settle()
    assert {"participantJoined", "trackPublished", "stageChanged"} <= set(types(client))
    assert event.media.forwarded(viewer) == {track}


async def test_full_stage_is_a_conflict(event: House) -> None:
    organiser, _ = await event.join(Role.ORGANISER)
    clinics = [(await event.join(Role.SATELLITE))[0] for _ in range(9)]
    for clinic in clinics[:8]:
        event.rooms.give_floor(organiser, clinic.id)
    with refused("conflict"):
        event.rooms.give_floor(organiser, clinics[8].id)
    event.rooms.take_floor(organiser, clinics[0].id)
    event.rooms.give_floor(organiser, clinics[8].id)


async def test_floor_that_was_taken_does_not_come_back_by_joining_again(house: House) -> None:
    hub, _ = await house.join(Role.HUB)
    grant = await house.grant(Role.SATELLITE)
    clinic, _ = await house.join(grant)
    house.rooms.take_floor(hub, clinic.id)
    _, again = await house.join(grant)
    assert clinic.id not in again.joined["stage"]


async def test_anybody_may_step_down(house: House) -> None:
    clinic, client = await house.join(Role.SATELLITE)
    house.rooms.take_floor(clinic, clinic.id)
    assert client.take("stageChanged")[-1]["stage"] == []


ModeratorAct = Callable[[House, Participant, Participant, str], object]
ACTS: dict[str, ModeratorAct] = {
    "giveFloor": lambda house, actor, whom, track: house.rooms.give_floor(actor, whom.id),
    "takeFloor": lambda house, actor, whom, track: house.rooms.take_floor(actor, whom.id),
    "blockTrack": lambda house, actor, whom, track: house.rooms.block_track(actor, track, True),
    "removeParticipant": lambda house, actor, whom, track: house.rooms.remove(actor, whom.id),
    "endSession": lambda house, actor, whom, track: house.rooms.end_by(actor),
    "lowerHand": lambda house, actor, whom, track: house.rooms.set_hand(actor, False, whom.id),
    "muteAnothers": lambda house, actor, whom, track: house.rooms.set_track_muted(actor, track, True),
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("role", [Role.SATELLITE, Role.VIEWER])
async def test_who_does_not_moderate_is_refused_and_nothing_changes(
    house: House, act: str, role: Role
) -> None:
    hub, _ = await house.join(Role.HUB)
    (track,) = await house.publish(hub, Source.CAMERA)
    house.rooms.set_hand(hub, True, None)
    actor, client = await house.join(role)
    with refused("notAllowed"):
        result = ACTS[act](house, actor, hub, track)
        if hasattr(result, "__await__"):
            await result
    assert client.take() == []
    assert track not in house.media.paused
    assert not hub.gone


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (Role.ORGANISER, {Source.MICROPHONE, Source.CAMERA, Source.SCREEN}),
        (Role.HUB, set(Source)),
        (Role.SATELLITE, set(Source)),
        (Role.VIEWER, set()),
    ],
)
@pytest.mark.parametrize("source", list(Source))
async def test_role_decides_what_may_be_published(
    house: House, role: Role, allowed: set[Source], source: Source
) -> None:
    participant, _ = await house.join(role)
    if source in allowed:
        assert await house.publish(participant, source)
    else:
        with refused("notAllowed"):
            await house.publish(participant, source)
        assert not any(peer.kind == "publisher" for peer in house.media.peers.values())


async def test_removed_participant_is_told_and_its_invite_is_withdrawn_for_good(house: House) -> None:
    hub, moderator = await house.join(Role.HUB)
    grant = await house.grant(Role.SATELLITE)
    clinic, client = await house.join(grant)
    moderator.take()
    await house.rooms.remove(hub, clinic.id)
    assert client.closed == "removed"
    assert moderator.take("participantLeft")[0]["reason"] == "removed"
    with refused("inviteRevoked"):
        await house.join(grant)
    with refused("resumeFailed"):
        await house.rooms.resume(client.joined["resumeToken"], 0, Client())
    assert (await house.store.get_invite(grant.invite)).revoked


async def test_removing_one_viewer_leaves_the_others_of_the_link_alone(event: House) -> None:
    organiser, _ = await event.join(Role.ORGANISER)
    grant = await event.grant(Role.VIEWER, seats=3)
    bad, bad_client = await event.join(grant)
    _, good_client = await event.join(grant)
    await event.rooms.remove(organiser, bad.id)
    assert (bad_client.closed, good_client.closed) == ("removed", None)
    newcomer, _ = await event.join(grant)
    assert newcomer.id != bad.id


async def test_nobody_removes_itself(house: House) -> None:
    hub, _ = await house.join(Role.HUB)
    with refused("notAllowed"):
        await house.rooms.remove(hub, hub.id)


async def test_withdrawn_invite_disconnects_who_came_on_it(house: House) -> None:
    grant = await house.grant(Role.SATELLITE)
    _, client = await house.join(grant)
    await house.rooms.revoke_invite(house.session, grant.invite)
    assert client.closed == "inviteRevoked"
    with refused("inviteRevoked"):
        await house.join(grant)


async def test_invite_withdrawn_beside_the_server_disconnects_too(house: House) -> None:
    grant = await house.grant(Role.SATELLITE)
    _, client = await house.join(grant)
    await house.store.revoke_invite(grant.invite)
    await house.pass_time(3000)
    assert client.closed == "inviteRevoked"


async def test_session_ended_beside_the_server_ends(house: House) -> None:
    _, client = await house.join(Role.HUB)
    await house.store.end_session(house.session, house.now_ms)
    await house.pass_time(3000)
    assert client.closed == "sessionEnded"


async def test_ended_session_tells_all_frees_media_and_refuses_joins(house: House) -> None:
    hub, client = await house.join(Role.HUB)
    clinic, other = await house.join(Role.SATELLITE)
    grant = await house.grant(Role.VIEWER)
    await house.publish(clinic, Source.ULTRASOUND)
    await house.rooms.end_by(hub)
    await house.settle()
    assert (client.closed, other.closed) == ("sessionEnded", "sessionEnded")
    assert other.take("sessionChanged")[-1]["session"]["state"] == "ended"
    assert house.media.peers == {}
    with refused("sessionEnded"):
        await house.join(grant)


async def test_block_really_stops_the_track_and_only_moderators_lift_it(house: House) -> None:
    hub, _ = await house.join(Role.HUB)
    clinic, client = await house.join(Role.SATELLITE)
    (track,) = await house.publish(clinic, Source.MICROPHONE)
    assert house.media.forwarded(hub) == {track}
    house.rooms.block_track(hub, track, True)
    assert house.media.forwarded(hub) == set()
    assert client.take("trackChanged")[-1]["track"]["blocked"] is True
    with refused("notAllowed"):
        house.rooms.set_track_muted(clinic, track, False)
    house.rooms.block_track(hub, track, False)
    assert house.media.forwarded(hub) == {track}


async def test_block_outlives_a_new_connection_and_a_new_join(house: House) -> None:
    hub, _ = await house.join(Role.HUB)
    grant = await house.grant(Role.SATELLITE)
    clinic, _ = await house.join(grant)
    (track,) = await house.publish(clinic, Source.MICROPHONE)
    house.rooms.block_track(hub, track, True)
    clinic, _ = await house.join(grant)
    (track,) = await house.publish(clinic, Source.MICROPHONE)
    assert track in house.media.paused
    house.rooms.block_track(hub, track, False)
    assert track not in house.media.paused


async def test_block_outlives_leaving_and_coming_again_on_the_same_link(house: House) -> None:
    hub, _ = await house.join(Role.HUB)
    grant = await house.grant(Role.SATELLITE)
    clinic, _ = await house.join(grant)
    microphone, camera = await house.publish(clinic, Source.MICROPHONE, Source.CAMERA)
    house.rooms.block_track(hub, microphone, True)
    house.rooms.leave(clinic)
    clinic, client = await house.join(grant)
    microphone, camera = await house.publish(clinic, Source.MICROPHONE, Source.CAMERA)
    assert house.media.forwarded(hub) == {camera}
    with refused("notAllowed"):
        house.rooms.set_track_muted(clinic, microphone, False)
    house.rooms.block_track(hub, microphone, False)
    assert client.take("trackChanged")[-1]["track"]["blocked"] is False
    house.rooms.leave(clinic)
    clinic, _ = await house.join(grant)
    assert set(await house.publish(clinic, Source.MICROPHONE)) <= house.media.forwarded(hub)


async def test_on_a_link_of_many_nobody_is_muted_for_who_sat_there_before(house: House) -> None:
    hub, _ = await house.join(Role.HUB)
    grant = await house.grant(Role.SATELLITE, seats=3)
    clinic, _ = await house.join(grant)
    (microphone,) = await house.publish(clinic, Source.MICROPHONE)
    house.rooms.block_track(hub, microphone, True)
    house.rooms.leave(clinic)
    other, _ = await house.join(grant)
    assert other.id == clinic.id
    assert set(await house.publish(other, Source.MICROPHONE)) <= house.media.forwarded(hub)


async def test_muted_track_is_not_forwarded_and_others_see_it(house: House) -> None:
    hub, client = await house.join(Role.HUB)
    clinic, _ = await house.join(Role.SATELLITE)
    (track,) = await house.publish(clinic, Source.MICROPHONE, muted=True)
    assert client.take("trackPublished")[-1]["track"]["muted"] is True
    assert house.media.forwarded(hub) == set()
    house.rooms.set_track_muted(clinic, track, False)
    assert client.take("trackChanged")[-1]["track"]["muted"] is False
    assert house.media.forwarded(hub) == {track}


async def test_hands_stand_in_the_order_they_were_raised(house: House) -> None:
    hub, client = await house.join(Role.HUB)
    first, _ = await house.join(Role.SATELLITE)
    second, _ = await house.join(Role.SATELLITE)
    house.rooms.set_hand(second, True, None)
    house.rooms.set_hand(first, True, None)
    house.rooms.set_hand(second, True, None)
    assert client.take("handsChanged")[-1]["hands"] == [second.id, first.id]
    house.rooms.set_hand(hub, False, second.id)
    assert client.take("handsChanged")[-1]["hands"] == [first.id]
    house.rooms.leave(first)
    assert client.take("handsChanged")[-1]["hands"] == []


async def test_hands_of_unlisted_viewers_are_shown_to_moderators_and_themselves(event: House) -> None:
    _, moderator = await event.join(Role.ORGANISER)
    viewer, own = await event.join(Role.VIEWER)
    _, other = await event.join(Role.VIEWER)
    event.rooms.set_hand(viewer, True, None)
    assert moderator.take("handsChanged")[-1]["hands"] == [viewer.id]
    assert own.take("handsChanged")[-1]["hands"] == [viewer.id]
    assert other.take() == []


async def test_giving_the_floor_lowers_the_hand(event: House) -> None:
    organiser, client = await event.join(Role.ORGANISER)
    viewer, _ = await event.join(Role.VIEWER)
    event.rooms.set_hand(viewer, True, None)
    event.rooms.give_floor(organiser, viewer.id)
    assert client.take("handsChanged")[-1]["hands"] == []


async def test_nobody_raises_anothers_hand(house: House) -> None:
    hub, _ = await house.join(Role.HUB)
    clinic, _ = await house.join(Role.SATELLITE)
    with refused("notAllowed"):
        house.rooms.set_hand(hub, True, clinic.id)


async def test_chat_reaches_all_and_the_last_lines_who_comes_later(house: House) -> None:
    viewer, client = await house.join(Role.VIEWER, "Dr Minh")
    for number in range(205):
        house.rooms.send_chat(viewer, f"line {number}\u202e")
    line = client.take("chatSent")[0]["line"]
    assert (line["from"], line["name"], line["text"]) == (viewer.id, "Dr Minh", "line 0")
    _, late = await house.join(Role.HUB)
    assert [line["text"] for line in late.joined["chat"]] == [f"line {n}" for n in range(5, 205)]


async def test_viewers_are_counted_for_who_does_not_see_them(event: House) -> None:
    _, moderator = await event.join(Role.ORGANISER)
    clinic, client = await event.join(Role.SATELLITE, caught_up=False)
    event.rooms.catch_up(clinic)
    (audience,) = client.take("audienceChanged")
    assert (audience["count"], audience["points"]) == (1, 1)
    for _ in range(3):
        await event.join(Role.VIEWER)
    assert len(moderator.take("participantJoined")) == 4
    await event.pass_time(2500)
    told = client.take()
    assert [(m["count"], m["points"]) for m in told if m["type"] == "audienceChanged"] == [(4, 1)]
    assert "participantJoined" not in {m["type"] for m in told}


async def test_points_are_counted_by_place_and_those_without_a_name_by_link(event: House) -> None:
    _, client = await event.join(Role.ORGANISER)
    for _ in range(3):
        await event.join(await event.grant(Role.SATELLITE))
    for _ in range(2):
        await event.join(await event.grant(Role.SATELLITE, point="TTYT Mường Nhé"))
    await event.pass_time(2500)
    assert client.take("audienceChanged")[-1]["points"] == 4


async def test_new_name_is_told(house: House) -> None:
    _, client = await house.join(Role.HUB)
    clinic, _ = await house.join(Role.SATELLITE)
    house.rooms.set_name(clinic, "Dr Петров")
    assert client.take("participantChanged")[-1]["participant"]["name"] == "Dr Петров"


async def test_clock_is_told_with_the_next_batch(house: House) -> None:
    _, client = await house.join(Role.HUB)
    clinic, _ = await house.join(Role.SATELLITE)
    client.take()
    house.rooms.report_clock(clinic, -41.5)
    assert client.take() == []
    await house.pass_time(1200)
    assert client.take("participantChanged")[-1]["participant"]["clockOffsetMs"] == -41.5


async def test_stage_is_saved(house: House) -> None:
    hub, _ = await house.join(Role.HUB)
    clinic, _ = await house.join(Role.SATELLITE)
    await house.settle()
    assert (await house.store.get_session(house.session)).stage == (hub.id, clinic.id)
    house.rooms.leave(clinic)
    await house.settle()
    assert (await house.store.get_session(house.session)).stage == (hub.id,)


@pytest.mark.parametrize("unknown", ["nobody", ""])
async def test_unknown_participants_and_tracks_are_not_found(house: House, unknown: str) -> None:
    hub, _ = await house.join(Role.HUB)
    for act in (
        lambda: house.rooms.give_floor(hub, unknown),
        lambda: house.rooms.take_floor(hub, unknown),
        lambda: house.rooms.block_track(hub, unknown, True),
        lambda: house.rooms.set_track_muted(hub, unknown, True),
        lambda: house.rooms.set_subscription(hub, unknown, 100),
        lambda: house.rooms.set_hand(hub, False, unknown),
    ):
        with refused("notFound"):
            act()
