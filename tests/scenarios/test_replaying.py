"""Recordings of real sessions, replayed over HTTP while they run, after they ended, and after a kill of the server."""

from __future__ import annotations

import asyncio
import io
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import av
import pytest

from bridge.client import Participant
from bridge.demo.pictures import Cine
from bridge.demo.sound import Samples
from bridge.demo.tracks import CineTrack, VoiceTrack
from tests.serving import Server

pytestmark = pytest.mark.timeout(120)

PATIENCE_S = 30.0


@dataclass
class Asking:
    """One link's token over HTTP."""

    http: aiohttp.ClientSession
    server: Server
    token: str

    async def ask(self, method: str, path: str, **body: Any) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.token}"}
        more = {"json": body} if body else {}
        url = f"{self.server.address}/api/recordings{path}"
        async with self.http.request(method, url, headers=headers, **more) as answer:
            is_json = answer.content_type == "application/json"
            return answer.status, await answer.json() if is_json else await answer.read()

    async def get(self, path: str) -> Any:
        status, body = await self.ask("GET", path)
        assert status == 200, body
        return body

    async def until(self, path: str, true: Callable[[Any], object]) -> Any:
        """Asks until the answer is so, and gives that answer."""
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            status, body = await self.ask("GET", path)
            if status == 200 and true(body):
                return body
            assert time.monotonic() < deadline_s, body
            await asyncio.sleep(0.2)


@asynccontextmanager
async def asking(server: Server, token: str) -> AsyncIterator[Asking]:
    async with aiohttp.ClientSession() as http:
        yield Asking(http, server, token)


@asynccontextmanager
async def session_of(
    server: Server, tokens: dict[str, str], cine: Cine, sound: Samples
) -> AsyncIterator[tuple[str, Participant]]:
    """A clinic and a hub, recorded; gives the recording's id, and the hub."""
    tracks = {"ultrasound": CineTrack(cine), "microphone": VoiceTrack(sound)}
    clinic = Participant(server.address, tokens["satellite"], "Phòng khám Lan", tracks=tracks, receive=False)
    hub = Participant(server.address, tokens["hub"], "Bác sĩ Hà", receive=False)
    async with clinic.taking_part(), hub.taking_part():
        await hub.until(lambda: hub.recording is not None)
        assert hub.recording is not None
        yield hub.recording["id"], hub


def ultrasound(whole: Any) -> Any:
    return next((track for track in whole["tracks"] if track["source"] == "ultrasound"), None)


async def decoded(hub: Asking, recording: str, track: Any, rows: list[list[int]]) -> int:
    """How many pictures come out of these parts."""
    path = f"/{recording}/tracks/{track['id']}/parts"
    content = await hub.get(f"{path}/{rows[0][1]}")
    for row in rows:
        content += await hub.get(f"{path}/{row[0]}")
    with av.open(io.BytesIO(content)) as container:
        return sum(1 for _ in container.decode(video=0))


async def test_a_session_is_replayed_marked_and_cut_while_it_runs(
    server: Server, cine: Cine, sound: Samples
) -> None:
    tokens = server.create_session()["tokens"]
    async with asking(server, tokens["hub"]) as hub:
        async with session_of(server, tokens, cine, sound) as (recording, there):
            whole = await hub.until(
                f"/{recording}/changes?events=0",
                lambda body: (ultrasound(body) or {}).get("endMs", 0) > 3_000,
            )
            assert whole["recording"]["state"] == "running"
            track = ultrasound(whole)
            assert track["live"]
            listed = await hub.get(f"/{recording}/tracks/{track['id']}/parts")
            early = listed["parts"]
            assert listed["findings"] == []
            assert await decoded(hub, recording, track, early) == sum(row[6] for row in early)
            last = early[-1][0]
            await hub.until(
                f"/{recording}/tracks/{track['id']}/parts?after={last}", lambda body: body["parts"]
            )

            known = len((await hub.get(f"/{recording}"))["events"])
            status, made = await hub.ask("POST", f"/{recording}/marks", atMs=1_500, text="Van hai lá")
            assert status == 201, made
            events = (await hub.get(f"/{recording}/changes?events={known}"))["events"]
            assert [event["mark"] for event in events if event["type"] == "markAdded"] == [made["mark"]]
            await there.until(lambda: [mark["text"] for mark in there.marks] == ["Van hai lá"])
            assert (await hub.ask("DELETE", f"/{recording}/marks/{made['mark']}"))[0] == 204
            await there.until(lambda: there.marks == [])
            assert (await hub.ask("DELETE", f"/{recording}/marks/{made['mark']}"))[0] == 404

            status, clip = await hub.ask("POST", f"/{recording}/clips", beginMs=500, endMs=2_000)
            assert status == 201, clip
            cut = await hub.get(f"/{clip['recording']['id']}")
            rows = (await hub.get(f"/{cut['recording']['id']}/tracks/{ultrasound(cut)['id']}/parts"))["parts"]
            assert await decoded(hub, cut["recording"]["id"], ultrasound(cut), rows) > 20
        assert (await hub.ask("DELETE", f"/{recording}"))[0] == 403


async def test_a_recording_is_replayed_after_its_session_ended(
    server: Server, cine: Cine, sound: Samples
) -> None:
    tokens = server.create_session()["tokens"]
    async with asking(server, tokens["organiser"]) as organiser, asking(server, tokens["viewer"]) as viewer:
        async with session_of(server, tokens, cine, sound) as (recording, _):
            await organiser.until(
                f"/{recording}/changes?events=0",
                lambda body: (ultrasound(body) or {}).get("endMs", 0) > 2_000,
            )
            session = (await organiser.get(f"/{recording}"))["recording"]["session"]
            end = f"{server.address}/api/sessions/{session}/end"
            headers = {"Authorization": f"Bearer {organiser.token}"}
            async with organiser.http.post(end, headers=headers) as answer:
                assert answer.status == 204
        whole = await organiser.until(f"/{recording}", lambda body: body["recording"]["state"] == "ended")
        track = ultrasound(whole)
        assert not any(each["live"] for each in whole["tracks"])
        assert whole["recording"]["retainUntil"] > time.time() * 1000
        rows = (await organiser.get(f"/{recording}/tracks/{track['id']}/parts"))["parts"]
        assert await decoded(organiser, recording, track, rows) == sum(row[6] for row in rows)
        assert (await viewer.ask("GET", f"/{recording}"))[0] == 403
        assert (await viewer.ask("GET", f"/{recording}/tracks/{track['id']}/parts/2"))[0] == 403
    assert "Phòng khám" not in server.log


async def test_a_recording_of_a_killed_server_is_salvaged_and_replayed(
    server: Server, cine: Cine, sound: Samples
) -> None:
    tokens = server.create_session()["tokens"]
    async with asking(server, tokens["hub"]) as hub:
        async with session_of(server, tokens, cine, sound) as (recording, _):
            seen = await hub.until(
                f"/{recording}/changes?events=0",
                lambda body: (ultrasound(body) or {}).get("endMs", 0) > 3_000,
            )
            server.stop(signal.SIGKILL)
        server.start()
        whole = await hub.get(f"/{recording}")
        recorded, track = whole["recording"], ultrasound(whole)
        assert recorded["state"] == "cut"
        assert recorded["endMs"] >= seen["recording"]["endMs"] - 2_000
        assert whole["events"][-1]["type"] == "recordingEnded"
        assert whole["events"][-1]["reason"] == "salvaged"
        rows = await hub.get(f"/{recording}/tracks/{track['id']}/parts")
        assert rows["findings"] == []
        assert await decoded(hub, recording, track, rows["parts"]) == sum(row[6] for row in rows["parts"])
        (listed,) = (await hub.get(f"?session={recorded['session']}"))["recordings"]
        assert (listed["state"], listed["endMs"]) == ("cut", recorded["endMs"])
