"""Encoders and players as participants and audience, and what their tokens open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bridge.doors import RoomDoors
from bridge.errors import BridgeError
from bridge.ids import Role, SessionFormat
from bridge.media.contract import Description, Levels, PeerClosed, PeerDown, PeerId, PeerUp, Source, TrackId
from bridge.store import NewInvite
from tests.fakes import FakePeer, House, a_house

OFFER = Description(
    "\r\n".join(
        [
            "v=0",
            "o=- 1 1 IN IP4 127.0.0.1",
            "s=-",
            "t=0 0",
            "a=group:BUNDLE 0 1",
            "m=video 9 UDP/TLS/RTP/SAVPF 96",
            "c=IN IP4 0.0.0.0",
            "a=mid:0",
            "a=sendonly",
            "a=rtpmap:96 H264/90000",
            "m=audio 9 UDP/TLS/RTP/SAVPF 97",
            "c=IN IP4 0.0.0.0",
            "a=mid:1",
            "a=sendonly",
            "a=rtpmap:97 opus/48000/2",
            "",
        ]
    )
)
UNUSABLE = Description(OFFER.replace("s=-", "s=unusable"))


@dataclass
class Porch:
    house: House
    doors: RoomDoors

    async def token(self, role: Role, seats: int = 1, point: str = "") -> str:
        house = self.house
        wish = NewInvite(role, point, seats, house.now_ms + 3_600_000)
        return house.auth.invite_token(await house.store.create_invite(house.session, wish, house.now_ms))

    async def publish(self, token: str, name: str | None = None, offer: Description = OFFER) -> str:
        opened = await self.doors.publish(token, name, offer, Source.ULTRASOUND, Source.MICROPHONE)
        assert opened.answer
        await self.house.settle()
        return opened.resource

    async def play(self, token: str, source: Source | None = None, participant: str | None = None) -> str:
        opened = await self.doors.play(token, OFFER, source, participant)
        await self.house.settle()
        return opened.resource

    def peers(self, kind: str) -> list[FakePeer]:
        return [peer for peer in self.house.media.peers.values() if peer.kind == kind]

    def shown(self) -> tuple[TrackId | None, TrackId | None]:
        (player,) = self.peers("player")
        return player.shown


@pytest.fixture
async def porch(tmp_path: Path) -> AsyncIterator[Porch]:
    async with a_house(tmp_path) as house:
        yield Porch(house, RoomDoors(house.rooms, house.auth))


def refused(code: str) -> pytest.RaisesExc[BridgeError]:
    return pytest.RaisesExc(BridgeError, check=lambda error: error.code == code)


async def test_encoder_is_a_participant_on_the_stage_named_after_its_point(porch: Porch) -> None:
    hub, client = await porch.house.join(Role.HUB)
    await porch.publish(await porch.token(Role.SATELLITE, point="Echo room"))
    told = client.take()
    joined = next(m for m in told if m["type"] == "participantJoined")["participant"]
    assert (joined["name"], joined["role"], joined["connected"]) == ("Echo room", "satellite", True)
    published = [m["track"] for m in told if m["type"] == "trackPublished"]
    assert [t["source"] for t in published] == ["ultrasound", "microphone"]
    assert porch.house.media.forwarded(hub) == {t["id"] for t in published}


async def test_encoder_may_give_its_name(porch: Porch) -> None:
    await porch.publish(await porch.token(Role.SATELLITE), "OBS in room 2")
    assert porch.house.rooms.participants(porch.house.session)[0].name == "OBS in room 2"


async def test_encoder_that_ends_its_resource_leaves(porch: Porch) -> None:
    _, client = await porch.house.join(Role.HUB)
    token = await porch.token(Role.SATELLITE)
    resource = await porch.publish(token)
    client.take()
    await porch.doors.close(resource, token)
    await porch.house.settle()
    assert client.take("participantLeft")[0]["reason"] == "left"
    assert porch.peers("publisher") == []
    with refused("notFound"):
        await porch.doors.close(resource, token)


async def test_other_links_token_opens_nothing(porch: Porch) -> None:
    resource = await porch.publish(await porch.token(Role.SATELLITE))
    other = await porch.token(Role.HUB)
    with refused("notAuthorised"):
        await porch.doors.close(resource, other)
    with refused("notAuthorised"):
        await porch.doors.restart(resource, other, Description("fragment"))
    assert len(porch.peers("publisher")) == 1


@pytest.mark.parametrize("token", ["", "nonsense", "a.b.c"])
async def test_bad_token_is_refused_everywhere(porch: Porch, token: str) -> None:
    resource = await porch.publish(await porch.token(Role.SATELLITE))
    with refused("notAuthorised"):
        await porch.publish(token)
    with refused("notAuthorised"):
        await porch.play(token)
    with refused("notAuthorised"):
        await porch.doors.restart(resource, token, Description("fragment"))
    with refused("notAuthorised"):
        await porch.doors.close(resource, token)


async def test_viewers_link_publishes_nothing(porch: Porch) -> None:
    with refused("notAllowed"):
        await porch.publish(await porch.token(Role.VIEWER, seats=5))
    assert porch.peers("publisher") == []
    assert porch.house.rooms.connected(porch.house.session) == 0


async def test_offer_that_cannot_be_used_replaces_nobody(porch: Porch) -> None:
    house = porch.house
    token = await porch.token(Role.SATELLITE)
    _, client = await house.join(await house.auth.admit(token))
    with refused("unsupported"):
        await porch.publish(token, offer=UNUSABLE)
    assert client.closed is None
    assert porch.peers("publisher") == []
    await porch.publish(token)
    assert client.closed == "joinedElsewhere"


async def test_full_session_refuses_encoders_and_players(tmp_path: Path) -> None:
    async with a_house(tmp_path, capacity=2) as house:
        porch = Porch(house, RoomDoors(house.rooms, house.auth))
        await house.join(Role.HUB)
        viewer = await porch.token(Role.VIEWER)
        await porch.play(viewer)
        with refused("sessionFull"):
            await porch.play(viewer)
        with refused("sessionFull"):
            await porch.publish(await porch.token(Role.SATELLITE))
        assert (len(porch.peers("player")), len(porch.peers("publisher"))) == (1, 0)


async def test_one_link_cannot_play_everywhere(porch: Porch) -> None:
    token = await porch.token(Role.SATELLITE)
    for _ in range(3):
        await porch.play(token)
    with refused("tooMany"):
        await porch.play(token)


async def test_one_link_cannot_play_everywhere_at_once_either(porch: Porch) -> None:
    token = await porch.token(Role.SATELLITE)
    real = porch.house.media.open_player

    async def slowly(offer: Description) -> tuple[PeerId, Description]:
        await asyncio.sleep(0)
        return await real(offer)

    porch.house.media.open_player = slowly  # type: ignore[method-assign]
    asked = await asyncio.gather(*(porch.play(token) for _ in range(8)), return_exceptions=True)
    refusals = [each.code for each in asked if isinstance(each, BridgeError)]
    assert refusals == ["tooMany"] * 5
    await porch.house.settle()
    assert len(porch.peers("player")) == 3


async def test_players_count_as_audience(porch: Porch) -> None:
    _, client = await porch.house.join(Role.HUB)
    token = await porch.token(Role.VIEWER)
    resource = await porch.play(token)
    await porch.house.pass_time(2500)
    assert client.take("audienceChanged")[-1]["count"] == 1
    await porch.doors.close(resource, token)
    await porch.house.pass_time(2500)
    assert client.take("audienceChanged")[-1]["count"] == 0
    assert porch.peers("player") == []


async def test_player_shows_the_ultrasound_before_any_camera(porch: Porch) -> None:
    house = porch.house
    await porch.play(await porch.token(Role.VIEWER))
    assert porch.shown() == (None, None)
    hub, _ = await house.join(Role.HUB)
    camera, microphone = await house.publish(hub, Source.CAMERA, Source.MICROPHONE)
    assert porch.shown() == (camera, microphone)
    clinic, _ = await house.join(Role.SATELLITE)
    (ultrasound,) = await house.publish(clinic, Source.ULTRASOUND)
    assert porch.shown() == (ultrasound, microphone)
    house.rooms.take_floor(hub, clinic.id)
    assert porch.shown() == (camera, microphone)


async def test_player_follows_who_speaks(porch: Porch) -> None:
    house = porch.house
    await porch.play(await porch.token(Role.VIEWER))
    hub, _ = await house.join(Role.HUB)
    clinic, _ = await house.join(Role.SATELLITE)
    of_hub = await house.publish(hub, Source.CAMERA, Source.MICROPHONE)
    of_clinic = await house.publish(clinic, Source.CAMERA, Source.MICROPHONE)
    await house.hear(Levels(((of_clinic[1], -20),)))
    await house.pass_time(500)
    assert porch.shown() == tuple(of_clinic)
    await house.hear(Levels(((of_clinic[1], -90), (of_hub[1], -20))))
    await house.pass_time(1500)
    assert porch.shown() == tuple(of_hub)


async def test_player_may_ask_for_a_source_and_a_participant(porch: Porch) -> None:
    house = porch.house
    hub, _ = await house.join(Role.HUB)
    clinic, _ = await house.join(Role.SATELLITE)
    await house.publish(hub, Source.CAMERA, Source.MICROPHONE)
    ultrasound, camera, microphone = await house.publish(
        clinic, Source.ULTRASOUND, Source.CAMERA, Source.MICROPHONE
    )
    token = await porch.token(Role.VIEWER)
    resource = await porch.play(token, participant=clinic.id)
    assert porch.shown() == (ultrasound, microphone)
    await porch.doors.close(resource, token)
    await house.settle()
    await porch.play(token, Source.CAMERA, clinic.id)
    assert porch.shown() == (camera, microphone)
    with refused("notFound"):
        await porch.play(token, participant="nobody")


async def test_blocked_picture_gives_way_to_another(porch: Porch) -> None:
    house = porch.house
    hub, _ = await house.join(Role.HUB)
    first, _ = await house.join(Role.SATELLITE)
    second, _ = await house.join(Role.SATELLITE)
    (one,) = await house.publish(first, Source.ULTRASOUND)
    (two,) = await house.publish(second, Source.ULTRASOUND)
    await porch.play(await porch.token(Role.VIEWER))
    assert porch.shown()[0] == one
    house.rooms.block_track(hub, one, True)
    assert porch.shown()[0] == two
    house.rooms.block_track(hub, one, False)
    assert porch.shown()[0] == two


async def test_ice_restart_passes_through(porch: Porch) -> None:
    token = await porch.token(Role.SATELLITE)
    resource = await porch.publish(token)
    assert await porch.doors.restart(resource, token, Description("a=ice-ufrag:x"))
    with refused("notFound"):
        await porch.doors.restart("unknown", token, Description("a=ice-ufrag:x"))


async def test_encoder_whose_line_is_down_is_waited_for(porch: Porch) -> None:
    house = porch.house
    _, client = await house.join(Role.HUB)
    token = await porch.token(Role.SATELLITE)
    resource = await porch.publish(token)
    (peer,) = [id for id, peer in house.media.peers.items() if peer.kind == "publisher"]
    await house.hear(PeerUp(peer), PeerDown(peer))
    assert client.take("participantChanged")[-1]["participant"]["connected"] is False
    await house.pass_time(20_000, step_ms=1000)
    await house.hear(PeerUp(peer))
    assert client.take("participantChanged")[-1]["participant"]["connected"] is True
    await house.hear(PeerDown(peer))
    await house.pass_time(31_000, step_ms=1000)
    assert client.take("participantLeft")[0]["reason"] == "lost"
    with refused("notFound"):
        await porch.doors.close(resource, token)


async def test_resources_that_never_connect_end_by_themselves(porch: Porch) -> None:
    await porch.publish(await porch.token(Role.SATELLITE))
    await porch.play(await porch.token(Role.VIEWER))
    await porch.house.pass_time(31_000, step_ms=1000)
    assert porch.house.media.peers == {}
    assert porch.house.rooms.connected(porch.house.session) == 0


async def test_closed_connections_end_their_resources(porch: Porch) -> None:
    await porch.publish(await porch.token(Role.SATELLITE))
    await porch.play(await porch.token(Role.VIEWER))
    # It was looked just now who is lost: what says goodbye does not wait until that is due again.
    await porch.house.pass_time(100)
    await porch.house.hear(*(PeerClosed(peer, "bye") for peer in list(porch.house.media.peers)))
    await porch.house.pass_time(100)
    assert porch.house.rooms.connected(porch.house.session) == 0


async def test_player_ends_with_its_invite_and_its_session(porch: Porch) -> None:
    house = porch.house
    token = await porch.token(Role.VIEWER)
    await porch.play(token)
    await house.rooms.revoke_invite(house.session, (await house.auth.admit(token)).invite)
    await house.settle()
    assert porch.peers("player") == []
    await porch.play(await porch.token(Role.VIEWER))
    await house.rooms.end_session(house.session)
    await house.settle()
    assert porch.peers("player") == []


async def test_encoder_off_the_stage_of_an_event_is_not_forwarded(tmp_path: Path) -> None:
    async with a_house(tmp_path, SessionFormat.EVENT) as house:
        porch = Porch(house, RoomDoors(house.rooms, house.auth))
        organiser, _ = await house.join(Role.ORGANISER)
        await porch.publish(await porch.token(Role.SATELLITE))
        assert house.media.forwarded(organiser) == set()
        clinic = house.rooms.participants(house.session)[1]
        house.rooms.give_floor(organiser, clinic.id)
        await house.settle()
        assert len(house.media.forwarded(organiser)) == 2
