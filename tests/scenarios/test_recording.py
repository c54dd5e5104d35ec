"""Sessions on a real server that are recorded, and what then lies on the disk."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bridge.client import Participant
from bridge.consent import WORDING
from bridge.demo.pictures import Cine
from bridge.demo.sound import Samples
from bridge.demo.tracks import CineTrack, VoiceTrack
from bridge.errors import BridgeError
from bridge.recordings import layout
from bridge.recordings.index import RecordingReader
from tests.media.disks import Disk, memory_disk
from tests.scenarios.receiving import pictures, receive
from tests.scenarios.recorded import events, recordings, until_recorded, windows_ms
from tests.serving import Server, running_server

pytestmark = pytest.mark.timeout(120)

PAUSE_S = 2.0
EDGE_MS = 500.0
"""Frames that were on their way when recording went on, on a machine that has other work too."""


def clinic_of(server: Server, token: str, cine: Cine, sound: Samples, **more: Any) -> Participant:
    tracks = {"ultrasound": CineTrack(cine), "microphone": VoiceTrack(sound)}
    return Participant(server.address, token, "Phòng khám Lan", tracks=tracks, receive=False, **more)


def hub_of(server: Server, token: str, **more: Any) -> Participant:
    return Participant(server.address, token, "Dr Hub", **more)


def parts_of(participant: Participant, source: str, least: int) -> Any:
    """There is so much of its track in the newest recording."""
    return lambda found: bool(found) and len(windows_ms(found[-1], participant.id, source)) >= least


async def recorded_by_itself(hub: Participant) -> None:
    await hub.until(lambda: hub.recording is not None and hub.recording["state"] == "recording")


def all_sealed(found: list[RecordingReader]) -> bool:
    return bool(found) and all(reader.sealed for reader in found)


async def test_two_who_meet_are_recorded_until_their_session_ends(
    server: Server, cine: Cine, sound: Samples
) -> None:
    tokens = server.create_session()["tokens"]
    clinic, hub = clinic_of(server, tokens["satellite"], cine, sound), hub_of(server, tokens["hub"])
    async with clinic.taking_part():
        assert clinic.session["record"] == "auto"
        assert clinic.recording is None
        async with hub.taking_part():
            await recorded_by_itself(hub)
            await clinic.until(lambda: clinic.recording)
            await hub.request("sendChat", text="gallbladder wall thickened")
            mark = (await hub.request("addMark", text="finding"))["mark"]
            slip = (await hub.request("addMark", text="slip"))["mark"]
            await hub.until(lambda: len(hub.marks) == 2)
            await hub.request("removeMark", mark=slip["id"])
            with pytest.raises(BridgeError, match="moderators"):
                await clinic.request("addMark", text="mine")
            await pictures(await receive(hub, "ultrasound", clinic.id), 60)
            await until_recorded(server, parts_of(clinic, "ultrasound", 2))
            await hub.request("endSession")
            await until_recorded(server, all_sealed)
    with recordings(server) as (reader,):
        known = events(reader)
        joined = {e.participant: e.name for e in known if isinstance(e, layout.ParticipantJoined)}
        assert joined == {clinic.id: "Phòng khám Lan", hub.id: "Dr Hub"}
        assert [e.text for e in known if isinstance(e, layout.ChatSent)] == ["gallbladder wall thickened"]
        marks = [e for e in known if isinstance(e, layout.MarkAdded)]
        assert [(e.mark, e.text) for e in marks] == [(mark["id"], "finding"), (slip["id"], "slip")]
        assert [e.mark for e in known if isinstance(e, layout.MarkRemoved)] == [slip["id"]]
        assert [e.reason for e in known if isinstance(e, layout.RecordingEnded)] == ["sessionEnded"]
        for source in ("ultrasound", "microphone"):
            assert windows_ms(reader, clinic.id, source)
        assert reader.findings() == []


async def test_nothing_is_kept_while_paused(server: Server, cine: Cine, sound: Samples) -> None:
    tokens = server.create_session()["tokens"]
    clinic, hub = clinic_of(server, tokens["satellite"], cine, sound), hub_of(server, tokens["hub"])
    async with clinic.taking_part(), hub.taking_part():
        await recorded_by_itself(hub)
        watched = await receive(hub, "ultrasound", clinic.id)
        await until_recorded(server, parts_of(clinic, "ultrasound", 2))
        await hub.request("pauseRecording", paused=True)
        await clinic.until(lambda: clinic.recording and clinic.recording["state"] == "paused")
        await hub.request("sendChat", text="between us")
        with pytest.raises(BridgeError, match="paused"):
            await hub.request("addMark", text="x")
        await asyncio.sleep(PAUSE_S)
        await pictures(watched)
        await hub.request("pauseRecording", paused=False)
        with recordings(server) as (reader,):
            before = len(windows_ms(reader, clinic.id, "ultrasound"))
        await until_recorded(server, parts_of(clinic, "ultrasound", before + 2))
        await hub.request("stopRecording")
        await until_recorded(server, all_sealed)
    with recordings(server) as (reader,):
        known = events(reader)
        (paused,) = [e.at_ms for e in known if isinstance(e, layout.RecordingPaused)]
        (resumed,) = [e.at_ms for e in known if isinstance(e, layout.RecordingResumed)]
        assert paused is not None
        assert resumed is not None
        assert resumed - paused >= PAUSE_S * 1000
        for source in ("ultrasound", "microphone"):
            windows = windows_ms(reader, clinic.id, source)
            within = [w for w in windows if w[1] > paused + EDGE_MS and w[0] < resumed - EDGE_MS]
            assert within == []
            assert any(begin >= resumed - EDGE_MS for begin, _ in windows)
        assert not [e for e in known if isinstance(e, layout.ChatSent)]


async def test_manual_is_recorded_from_start_to_stop_only(server: Server, cine: Cine, sound: Samples) -> None:
    tokens = server.create_session("Echo", "--record", "manual")["tokens"]
    clinic, hub = clinic_of(server, tokens["satellite"], cine, sound), hub_of(server, tokens["hub"])
    async with clinic.taking_part(), hub.taking_part():
        await pictures(await receive(hub, "ultrasound", clinic.id))
        assert hub.recording is None
        with pytest.raises(BridgeError, match="moderators"):
            await clinic.request("startRecording")
        await hub.request("startRecording")
        await hub.until(lambda: hub.recording)
        await until_recorded(server, parts_of(clinic, "ultrasound", 1))
        await hub.request("stopRecording")
        await hub.until(lambda: hub.recording is None)
        await until_recorded(server, all_sealed)
        await hub.request("startRecording")
        await until_recorded(server, lambda found: len(found) == 2)


async def test_never_is_never_recorded(server: Server, cine: Cine, sound: Samples) -> None:
    tokens = server.create_session("Echo", "--record", "never")["tokens"]
    clinic, hub = clinic_of(server, tokens["satellite"], cine, sound), hub_of(server, tokens["hub"])
    async with clinic.taking_part(), hub.taking_part():
        await pictures(await receive(hub, "ultrasound", clinic.id))
        with pytest.raises(BridgeError, match="never"):
            await hub.request("startRecording")
    with recordings(server) as found:
        assert found == []


@pytest.mark.parametrize("consent", [None, False])
async def test_nothing_of_who_has_not_agreed_is_on_the_disk(
    server: Server, cine: Cine, sound: Samples, consent: bool | None
) -> None:
    tokens = server.create_session("Echo", "--consent")["tokens"]
    clinic = clinic_of(server, tokens["satellite"], cine, sound, consent=consent)
    hub = Participant(server.address, tokens["hub"], "Dr Hub", tracks={"microphone": VoiceTrack(sound)})
    async with clinic.taking_part(), hub.taking_part():
        await recorded_by_itself(hub)
        wanted = "pending" if consent is None else "declined"
        await hub.until(lambda: hub.participants[clinic.id]["consent"] == wanted)
        assert hub.participants[hub.id]["consent"] == "given"
        await clinic.request("sendChat", text="not for the record")
        await pictures(await receive(hub, "ultrasound", clinic.id), 60)
        await until_recorded(server, parts_of(hub, "microphone", 3))
        await clinic.request("answerConsent", agreed=True)
        await until_recorded(server, parts_of(clinic, "ultrasound", 1))
        await hub.request("stopRecording")
        await until_recorded(server, all_sealed)
    with recordings(server) as (reader,):
        known = events(reader)
        (answer,) = [
            e
            for e in known
            if isinstance(e, layout.ConsentAnswered) and e.participant == clinic.id and e.agreed
        ]
        assert answer.wording == WORDING["en"]
        assert answer.at_ms is not None
        early = [e for e in known if e.at_ms is not None and e.at_ms < answer.at_ms]
        for secret in ("Lan", "not for the record"):
            assert secret not in layout.encode_events(list(early)).decode()
        for source in ("ultrasound", "microphone"):
            windows = windows_ms(reader, clinic.id, source)
            assert min(begin for begin, _ in windows) >= answer.at_ms - EDGE_MS


@pytest.mark.parametrize(
    ("sign", "reason"),
    [(signal.SIGKILL, "salvaged"), (signal.SIGTERM, "shutdown")],
    ids=["killed", "stopped"],
)
async def test_a_server_that_starts_again_goes_on_in_a_new_recording(
    server: Server, cine: Cine, sound: Samples, sign: signal.Signals, reason: str
) -> None:
    tokens = server.create_session("Echo", "--record", "manual")["tokens"]
    clinic, hub = clinic_of(server, tokens["satellite"], cine, sound), hub_of(server, tokens["hub"])
    async with clinic.taking_part(), hub.taking_part():
        await hub.request("startRecording")
        await until_recorded(server, parts_of(clinic, "ultrasound", 3))
        first = hub.recording
        hub.joined.clear()
        await asyncio.to_thread(server.stop, sign)
        await asyncio.to_thread(server.start)
        await asyncio.wait_for(hub.joined.wait(), 10)
        await hub.until(lambda: hub.recording)
        assert first is not None
        assert hub.recording is not None
        assert hub.recording["id"] != first["id"]
        await until_recorded(server, lambda found: len(found) == 2)
        await until_recorded(server, parts_of(clinic, "ultrasound", 1))
        await asyncio.to_thread(server.stop)
    with recordings(server) as (cut, again):
        assert len(windows_ms(cut, clinic.id, "ultrasound")) >= 3
        assert [e.reason for e in events(cut) if isinstance(e, layout.RecordingEnded)] == [reason]
        assert [e.reason for e in events(again) if isinstance(e, layout.RecordingEnded)] == ["shutdown"]
        assert cut.sealed
        assert again.sealed


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    (tmp_path / "data").mkdir()
    with memory_disk(tmp_path / "data" / "recordings", 32 << 20) as disk:
        yield disk


async def health(server: Server) -> tuple[int, list[str]]:
    async with aiohttp.ClientSession() as http, http.get(f"{server.address}/healthz") as answer:
        return answer.status, (await answer.json()).get("failing", [])


async def metric(server: Server, name: str) -> float:
    async with aiohttp.ClientSession() as http, http.get(f"{server.address}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


async def test_a_full_disk_alarms_who_may_record_and_the_call_goes_on(
    tmp_path: Path, disk: Disk, cine: Cine, sound: Samples
) -> None:
    with running_server(tmp_path / "data") as server:
        tokens = server.create_session()["tokens"]
        clinic, hub = clinic_of(server, tokens["satellite"], cine, sound), hub_of(server, tokens["hub"])
        told: list[object] = []
        organiser = Participant(server.address, tokens["organiser"], "Organiser", receive=False)
        viewer = Participant(
            server.address,
            tokens["viewer"],
            "Viewer",
            receive=False,
            on_message=lambda m: told.append(m["session"]) if m["type"] == "sessionChanged" else None,
        )
        async with (
            clinic.taking_part(),
            hub.taking_part(),
            organiser.taking_part(),
            viewer.taking_part(),
        ):
            await recorded_by_itself(hub)
            watched = await receive(hub, "ultrasound", clinic.id)
            await until_recorded(server, parts_of(clinic, "ultrasound", 1))
            with disk.full():
                for moderator in (hub, organiser):
                    await moderator.until(lambda of=moderator: of.recording and of.recording["trouble"])
                    assert moderator.recording is not None
                    assert moderator.recording["trouble"] == "diskFull"
                await pictures(watched, 30)
                await hub.request("sendChat", text="we go on")
                await clinic.until(lambda: clinic.chat)
                assert (await health(server)) == (503, ["recordings"])
                assert await metric(server, "bridge_recordings_in_trouble") == 1
            await hub.until(lambda: hub.recording and hub.recording["trouble"] is None)
            assert clinic.recording is not None
            assert clinic.recording["trouble"] is None
            assert await metric(server, "bridge_recordings_in_trouble") == 0
            assert await metric(server, "bridge_recordings") == 1
        assert all(session["recording"] is None or not session["recording"]["trouble"] for session in told)
        await asyncio.to_thread(server.stop)
        with recordings(server) as (reader,):
            known = events(reader)
            assert [e.trouble for e in known if isinstance(e, layout.StorageFailed)] == ["diskFull"]
            assert [e for e in known if isinstance(e, layout.StorageRecovered)]
