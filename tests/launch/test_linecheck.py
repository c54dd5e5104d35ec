"""A line check through the real relay: what is sent comes back, to nobody else, and not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack

from bridge.auth import Grant
from bridge.demo.sound import voice
from bridge.demo.tracks import VoiceTrack
from bridge.errors import LimitExceeded, NotFound
from bridge.ids import InviteId, Role, SessionId
from bridge.launch import linecheck
from bridge.launch.linecheck import BEGUN_BURST, CHECKS_LIMIT, LASTS_S, LineChecks
from tests.fakes import FakeMedia
from tests.launch.conftest import Happening
from tests.media.webrtc import MovingPicture

GOOD = {
    "camera": "ok",
    "microphone": "ok",
    "udp": True,
    "https": True,
    "rttMs": 40,
    "jitterMs": 5,
    "lossUp": 0,
    "lossDown": 0.001,
    "upBps": 3.5e6,
    "downBps": 4e6,
    "picture": {"width": 640, "height": 480, "fps": 25},
    "browser": "Chromium 140",
}
SDP = {"Content-Type": "application/sdp"}


@dataclass
class Line:
    """A link that checks its line, as a page does."""

    event: Happening
    token: str

    async def begin(self) -> str:
        status, body = await self.event.house.ask("POST", "/api/linecheck", self.token)
        assert (status, body["expiresInS"]) == (201, LASTS_S), body
        return str(body["check"])

    async def exchange(self, check: str, way: str, connection: RTCPeerConnection) -> None:
        await connection.setLocalDescription(await connection.createOffer())
        status, answer = await self.post(check, way, connection.localDescription.sdp)
        assert status == 201, answer
        await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    async def post(self, check: str, way: str, offer: str) -> tuple[int, str]:
        url = f"{self.event.house.url}/api/linecheck/{check}/{way}"
        headers = SDP | {"Authorization": f"Bearer {self.token}"}
        async with self.event.house.client.post(url, data=offer, headers=headers) as response:
            return response.status, await response.text()

    async def result(self, check: str, **measured: Any) -> tuple[int, dict[str, Any]]:
        path = f"/api/linecheck/{check}/result"
        return await self.event.house.ask("POST", path, self.token, json=GOOD | measured)

    @asynccontextmanager
    async def mirrored(self, check: str) -> AsyncIterator[dict[str, MediaStreamTrack]]:
        """Picture and sound that come back of those that are sent."""
        sending, receiving = (RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2))
        back: dict[str, MediaStreamTrack] = {}
        receiving.on("track", lambda track: back.setdefault(track.kind, track))
        try:
            sending.addTrack(MovingPicture(320, 240, 90))
            sending.addTrack(VoiceTrack(voice()))
            await self.exchange(check, "up", sending)
            for kind in ("video", "audio"):
                receiving.addTransceiver(kind, direction="recvonly")
            await self.exchange(check, "back", receiving)
            yield back
        finally:
            await sending.close()
            await receiving.close()


@pytest.fixture
async def line(event: Happening) -> Line:
    made = await event.ask("POST", "/points", json={"name": "Phòng siêu âm"})
    return Line(event, made["link"].partition("#")[2])


async def test_what_is_sent_comes_back_and_the_result_is_kept_for_the_point(
    event: Happening, line: Line
) -> None:
    check = await line.begin()
    async with asyncio.timeout(30), line.mirrored(check) as back:
        frame: Any = await back["video"].recv()
        assert (frame.width, frame.height) == (320, 240)
        assert (await back["audio"].recv()).pts is not None
        assert event.house.server.rooms.counts().participants == 0
        status, verdict = await line.result(check, upBps=900_000)
        assert (status, verdict["grade"]) == (200, "amber")
        assert verdict["reasons"] == [{"code": "slowUp", "grade": "amber", "value": 900_000}]
    assert event.house.server.engine.peer_count == 0
    (point,) = await event.points()
    assert point["check"]["grade"] == "amber"
    assert point["check"]["measured"]["browser"] == "Chromium 140"
    assert point["check"]["at"] > 0
    checks = await event.ask("GET", "/checks")
    assert checks == {"points": [{"point": point["id"], "check": point["check"]}]}
    again = await line.begin()
    assert (await line.result(again))[1] == {"grade": "green", "reasons": [], "kept": True}
    assert (await event.points())[0]["check"]["grade"] == "green"


async def test_a_new_link_keeps_what_was_measured(event: Happening, line: Line) -> None:
    assert (await line.result(await line.begin()))[0] == 200
    (point,) = await event.points()
    new = await event.ask("POST", f"/points/{point['id']}/link")
    assert new["check"] == point["check"]


async def test_a_second_check_of_a_link_ends_the_first(line: Line) -> None:
    first = await line.begin()
    second = await line.begin()
    path = "/api/linecheck/{}"
    assert await line.event.house.code("DELETE", path.format(first), line.token) == (404, "notFound")
    assert (await line.event.house.ask("DELETE", path.format(second), line.token))[0] == 204


async def test_another_link_does_not_touch_a_check(event: Happening, line: Line) -> None:
    check = await line.begin()
    other = Line(event, event.organiser)
    assert (await other.result(check))[0] == 403
    assert (await other.post(check, "up", "v=0\r\n"))[0] == 403
    assert await event.house.code("POST", "/api/linecheck", event.house.staff_token()) == (
        401,
        "notAuthorised",
    )


@pytest.mark.parametrize("offer", ["", "v=0\r\n", "x" * 50_000])
async def test_an_offer_that_cannot_be_used_ends_the_check_and_leaves_nothing(line: Line, offer: str) -> None:
    check = await line.begin()
    status, _ = await line.post(check, "up", offer)
    assert 400 <= status < 500
    assert line.event.house.server.engine.peer_count == 0
    assert (await line.post(check, "back", offer))[0] in (404, 409)


async def test_nothing_comes_back_before_something_is_sent(line: Line) -> None:
    check = await line.begin()
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connection.addTransceiver("video", direction="recvonly")
    await connection.setLocalDescription(await connection.createOffer())
    assert (await line.post(check, "back", connection.localDescription.sdp))[0] == 409
    await connection.close()


@pytest.mark.parametrize(
    "measured", [{"lossUp": 1.5}, {"rttMs": -1}, {"camera": "broken"}, {"browser": "x" * 500}]
)
async def test_figures_that_cannot_be_are_refused(line: Line, measured: dict[str, Any]) -> None:
    assert (await line.result(await line.begin(), **measured))[0] == 400


async def test_the_result_of_a_link_for_many_is_told_and_not_kept(event: Happening) -> None:
    viewer = Line(event, event.house.token(event.made, Role.VIEWER))
    first, second = await viewer.begin(), await viewer.begin()
    assert (await viewer.result(first, udp=False))[1]["grade"] == "red"
    assert (await viewer.result(second))[1]["grade"] == "green"


def grant(number: int, seats: int = 1) -> Grant:
    return Grant(InviteId(f"i{number}"), SessionId("s"), Role.SATELLITE, "", seats, 2**40)


class Clock:
    now_ms = 1_000_000

    def __call__(self) -> int:
        return self.now_ms


async def test_so_many_run_at_once_and_they_end_by_themselves() -> None:
    clock = Clock()
    media = FakeMedia()
    checks = LineChecks(media, lambda: False, clock)
    ids = [await checks.begin(grant(number)) for number in range(CHECKS_LIMIT)]
    with pytest.raises(LimitExceeded, match="others"):
        await checks.begin(grant(100))
    clock.now_ms += LASTS_S * 1000 - 1
    await checks.sweep()
    await checks.end(grant(0), ids[0])
    clock.now_ms += 1
    await checks.sweep()
    with pytest.raises(NotFound):
        await checks.end(grant(1), ids[1])
    await checks.begin(grant(100))


async def test_they_are_swept_as_soon_as_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linecheck, "SWEPT_EVERY_S", 0.001)
    clock = Clock()
    checks = LineChecks(FakeMedia(), lambda: False, clock)
    running = asyncio.create_task(checks.run())
    try:
        for number in range(2):
            # The second time, it rests again.
            await asyncio.sleep(0)
            await checks.begin(grant(number))
            clock.now_ms += 1000 * LASTS_S
            async with asyncio.timeout(5):
                while checks._checks or checks._begun:  # noqa: ASYNC110  # nothing tells of it
                    await asyncio.sleep(0.001)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_none_begins_while_a_live_session_needs_the_server() -> None:
    busy = True
    checks = LineChecks(FakeMedia(), lambda: busy, Clock())
    with pytest.raises(LimitExceeded, match="busy"):
        await checks.begin(grant(1))
    busy = False
    await checks.begin(grant(1))


async def test_a_link_that_begins_checks_all_the_time_is_slowed_down() -> None:
    checks = LineChecks(FakeMedia(), lambda: False, Clock())
    for _ in range(BEGUN_BURST):
        await checks.begin(grant(1))
    with pytest.raises(LimitExceeded, match="too often"):
        await checks.begin(grant(1))


async def test_a_link_for_many_runs_a_few_at_once() -> None:
    checks = LineChecks(FakeMedia(), lambda: False, Clock())
    for _ in range(3):
        await checks.begin(grant(1, seats=500))
    with pytest.raises(LimitExceeded, match="too many places"):
        await checks.begin(grant(1, seats=500))
