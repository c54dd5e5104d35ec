"""A consult between programs over the public protocol, through the real relay."""

from __future__ import annotations

import asyncio
import signal

import pytest

from bridge.client import Participant
from bridge.demo.pictures import Cine
from bridge.demo.sound import Samples
from bridge.demo.tracks import CineTrack, VoiceTrack
from bridge.errors import BridgeError
from tests.scenarios.receiving import goes_silent, loudest, pictures, receive
from tests.serving import Server

pytestmark = pytest.mark.timeout(120)


def satellite(server: Server, token: str, cine: Cine, sound: Samples | None = None) -> Participant:
    tracks = {"ultrasound": CineTrack(cine)}
    if sound is not None:
        tracks["microphone"] = VoiceTrack(sound)
    return Participant(server.address, token, "Clinic", tracks=tracks, receive=False)


async def test_hub_sees_the_ultrasound_move_and_hears_the_satellite(
    server: Server, cine: Cine, sound: Samples
) -> None:
    tokens = server.create_session()["tokens"]
    clinic = satellite(server, tokens["satellite"], cine, sound)
    hub = Participant(server.address, tokens["hub"], "Dr Hub")
    async with clinic.taking_part(), hub.taking_part():
        seen = await pictures(await receive(hub, "ultrasound", clinic.id))
        heard = await loudest(await receive(hub, "microphone", clinic.id))
        speaking = await hub.until(lambda: [s for s in hub.speakers if s["participant"] == clinic.id])
    assert (seen.width, seen.height) == (640, 480)
    assert seen.moved >= seen.frames // 2
    assert heard > 0.01
    assert speaking


@pytest.mark.alone
async def test_viewer_who_joins_midway_sees_a_picture_within_two_seconds(server: Server, cine: Cine) -> None:
    tokens = server.create_session()["tokens"]
    clinic = satellite(server, tokens["satellite"], cine)
    async with clinic.taking_part():
        first = Participant(server.address, tokens["viewer"], "First")
        async with first.taking_part():
            await pictures(await receive(first, "ultrasound", clinic.id), 60)
            second = Participant(server.address, tokens["viewer"], "Second")
            async with second.taking_part(), asyncio.timeout(2):
                await pictures(await receive(second, "ultrasound", clinic.id), 1)


async def test_blocked_track_stops_for_all_until_it_is_allowed_again(server: Server, cine: Cine) -> None:
    tokens = server.create_session()["tokens"]
    clinic = satellite(server, tokens["satellite"], cine)
    hub = Participant(server.address, tokens["hub"], "Dr Hub")
    async with clinic.taking_part(), hub.taking_part():
        track = await receive(hub, "ultrasound", clinic.id)
        await pictures(track)
        identity = next(i for i, t in hub.tracks.items() if t["source"] == "ultrasound")
        await hub.request("blockTrack", track=identity, blocked=True)
        await goes_silent(track)
        with pytest.raises(BridgeError) as refused:
            await clinic.request("blockTrack", track=identity, blocked=False)
        assert refused.value.code == "notAllowed"
        await hub.request("blockTrack", track=identity, blocked=False)
        await pictures(track)


async def test_taking_the_floor_ends_what_others_see(server: Server, cine: Cine) -> None:
    tokens = server.create_session()["tokens"]
    clinic = satellite(server, tokens["satellite"], cine)
    hub = Participant(server.address, tokens["hub"], "Dr Hub")
    viewer = Participant(server.address, tokens["viewer"], "Viewer")
    async with clinic.taking_part(), hub.taking_part(), viewer.taking_part():
        seen = await receive(viewer, "ultrasound", clinic.id)
        await pictures(seen)
        await hub.request("takeFloor", participant=clinic.id)
        await goes_silent(seen)
        await viewer.until(lambda: clinic.id not in viewer.stage)
        await hub.request("giveFloor", participant=clinic.id)
        await viewer.until(lambda: clinic.id in viewer.stage)
        await pictures(await receive(viewer, "ultrasound", clinic.id))


async def test_removed_participant_cannot_come_back(server: Server, cine: Cine) -> None:
    tokens = server.create_session()["tokens"]
    clinic = satellite(server, tokens["satellite"], cine)
    hub = Participant(server.address, tokens["hub"], "Dr Hub")
    async with hub.taking_part():
        running = asyncio.create_task(clinic.run())
        await asyncio.wait_for(clinic.joined.wait(), 10)
        await hub.request("removeParticipant", participant=clinic.id)
        with pytest.raises(BridgeError) as removed:
            await asyncio.wait_for(running, 10)
        assert removed.value.code == "removed"
        with pytest.raises(BridgeError) as again:
            await asyncio.wait_for(satellite(server, tokens["satellite"], cine).run(), 10)
        assert again.value.code in ("removed", "inviteRevoked")


async def test_second_join_on_a_link_tells_the_older(server: Server) -> None:
    tokens = server.create_session()["tokens"]
    older = Participant(server.address, tokens["hub"], "Older")
    newer = Participant(server.address, tokens["hub"], "Newer")
    running = asyncio.create_task(older.run())
    await asyncio.wait_for(older.joined.wait(), 10)
    async with newer.taking_part():
        with pytest.raises(BridgeError) as told:
            await asyncio.wait_for(running, 10)
        assert told.value.code == "joinedElsewhere"
        assert newer.id == older.id


@pytest.mark.alone
@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL])
async def test_all_are_back_within_five_seconds_of_a_restart(
    server: Server, cine: Cine, sign: signal.Signals
) -> None:
    tokens = server.create_session()["tokens"]
    clinic = satellite(server, tokens["satellite"], cine)
    hub = Participant(server.address, tokens["hub"], "Dr Hub")
    loop = asyncio.get_running_loop()
    async with clinic.taking_part(), hub.taking_part():
        before = await receive(hub, "ultrasound", clinic.id)
        await pictures(before)
        clinic.joined.clear()
        hub.joined.clear()
        await loop.run_in_executor(None, server.stop, sign)
        await loop.run_in_executor(None, server.start)
        async with asyncio.timeout(5):
            await clinic.joined.wait()
            await hub.joined.wait()
            await pictures(await receive(hub, "ultrasound", clinic.id), 1)


async def test_log_holds_no_token_no_address_and_nothing_said(server: Server, cine: Cine) -> None:
    tokens = server.create_session("Nguyễn Văn A")["tokens"]
    clinic = satellite(server, tokens["satellite"], cine)
    hub = Participant(server.address, tokens["hub"], "Dr Hub")
    async with clinic.taking_part(), hub.taking_part():
        await hub.request("sendChat", text="gallbladder wall thickened")
        await pictures(await receive(hub, "ultrasound", clinic.id))
    log = server.log
    assert log.count("\n") > 3
    for secret in (*tokens.values(), "gallbladder", "Nguy", "a=candidate", "a=fingerprint", "Dr Hub"):
        assert secret not in log
    assert "127.0.0.1" not in log.replace(server.address, "").replace("//127.0.0.1", "")
