"""Attacks from the network on a running server, while a call goes on that must not notice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiortc.mediastreams import MediaStreamError

from bridge.client import Participant
from bridge.demo.pictures import Cine
from bridge.demo.tracks import CineTrack
from bridge.errors import BridgeError
from tests.scenarios.hostile import (
    Burden,
    beginning_of_frame,
    check,
    flood,
    insider,
    lines,
    noise,
    offer,
    upgrade,
)
from tests.scenarios.receiving import receive
from tests.serving import Server

pytestmark = [pytest.mark.alone, pytest.mark.timeout(60)]

FRAMES_PER_S = 30
LEAST_SHARE = 0.5
"""Of the frames that must arrive: the attack takes time of the same two cores as the call's own decoder."""
LONGEST_ANSWER_S = 1.0
DATAGRAMS = 60_000


@dataclass
class Call:
    """A clinic that shows its ultrasound to a hub, and how that goes."""

    server: Server
    tokens: dict[str, str]
    hub: Participant
    frames: int = 0
    flowing: asyncio.Event = field(default_factory=asyncio.Event)
    answers_s: list[float] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def undisturbed(self) -> AsyncIterator[None]:
        """The picture moves on through the block, and messages are answered."""
        begun_s, before = time.monotonic(), self.frames
        self.answers_s.clear()
        yield
        await asyncio.sleep(max(0.0, begun_s + 1.5 - time.monotonic()))
        took_s = time.monotonic() - begun_s
        assert self.frames - before > took_s * FRAMES_PER_S * LEAST_SHARE
        assert self.answers_s
        assert max(self.answers_s) < LONGEST_ANSWER_S

    async def watch(self) -> None:
        track = await receive(self.hub, "ultrasound", next(iter(self.others())))
        with contextlib.suppress(MediaStreamError):
            while True:
                await track.recv()
                self.frames += 1
                if self.frames > 10:
                    self.flowing.set()

    async def ask(self) -> None:
        while True:
            begun_s = time.monotonic()
            await self.hub.request("syncClock", clientAt=0)
            self.answers_s.append(time.monotonic() - begun_s)
            await asyncio.sleep(0.1)

    def others(self) -> list[str]:
        return [track["participant"] for track in self.hub.tracks.values()]


@pytest.fixture
async def call(server: Server, cine: Cine) -> AsyncIterator[Call]:
    tokens = server.create_session()["tokens"]
    clinic = Participant(
        server.address, tokens["satellite"], "Clinic", tracks={"ultrasound": CineTrack(cine)}, receive=False
    )
    hub = Participant(server.address, tokens["hub"], "Dr Hub")
    async with clinic.taking_part(), hub.taking_part():
        running = Call(server, tokens, hub)
        await hub.until(running.others)
        tasks = [asyncio.create_task(running.watch()), asyncio.create_task(running.ask())]
        await asyncio.wait_for(running.flowing.wait(), 20)
        yield running
        for task in tasks:
            assert not task.done()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    levels = [json.loads(line)["level"] for line in server.log.splitlines() if line.startswith("{")]
    assert "error" not in levels
    assert "never retrieved" not in server.log


@contextlib.asynccontextmanager
async def somebody(call: Call, role: str = "viewer") -> AsyncIterator[Participant]:
    """An attacker with a link of a session of its own."""
    tokens = (await asyncio.to_thread(call.server.create_session, "Elsewhere"))["tokens"]
    async with Participant(call.server.address, tokens[role], "Evil", receive=False).taking_part() as evil:
        yield evil


async def test_silent_connections_keep_nobody_out(call: Call) -> None:
    viewer = Participant(call.server.address, call.tokens["viewer"], "Late", receive=False)
    async with call.undisturbed(), lines(call.server, 1200, upgrade(call.server)), viewer.taking_part(5):
        assert viewer.id


async def test_halves_of_messages_fill_no_memory(call: Call) -> None:
    before = Burden.of(call.server)
    half = upgrade(call.server) + beginning_of_frame(1_000_000, 900_000)
    async with call.undisturbed(), lines(call.server, 300, half) as connections:
        await asyncio.gather(*(line.drain() for line in connections), return_exceptions=True)
        assert Burden.of(call.server).memory_mib < before.memory_mib + 100


async def test_what_is_not_http_is_refused_and_fills_no_disk(call: Call) -> None:
    before = len(call.server.log)
    async with call.undisturbed():
        for first in (
            b"\x16\x03\x01\x02\x00\r\n\r\n",
            b"GET / HTTP/1.1\r\nA: \x01\r\n\r\n",
            b"G\xffT /\r\n\r\n",
        ):
            async with lines(call.server, 100, first):
                await asyncio.sleep(0.2)
    assert len(call.server.log) - before < 2000


@pytest.mark.parametrize("line", ["a=rtcp-fb:* x", "a=candidate:1 1 udp 1 192.0.2.1 9 typ host"])
async def test_offers_made_to_be_slow_hold_up_nobody(call: Call, line: str) -> None:
    slow = offer(*[line] * min(9_900, 180_000 // (len(line) + 2)), formats=range(8, 128))
    refused: list[str] = []
    async with somebody(call, "satellite") as evil, call.undisturbed():
        for _ in range(60):
            try:
                await evil.request("publishOffer", sdp=slow, tracks=[{"mid": "0", "source": "camera"}])
            except BridgeError as error:
                refused.append(error.code)
    assert set(refused) == {"tooMany"}


async def test_floods_of_strangers_cost_the_call_nothing(call: Call) -> None:
    async with somebody(call, "satellite") as evil, insider(call.server, evil) as known:
        datagrams: list[bytes] = []
        for _ in range(50):
            datagrams += [check(known.ufrag, "wrong" * 6), check("nobody", known.pwd)]
            datagrams += [b"\x80\x60" + noise(400), b"\x16\xfe\xff" + noise(200), noise(300)]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.connect((call.server.host, call.server.media_port))
            async with call.undisturbed():
                await asyncio.to_thread(flood, stranger, datagrams, DATAGRAMS)


async def test_handshakes_that_never_end_hold_up_nobody(call: Call) -> None:
    async with somebody(call, "satellite") as evil, insider(call.server, evil) as known:
        records = [b"\x16\xfe\xff" + noise(200) for _ in range(50)]
        async with call.undisturbed():
            await asyncio.to_thread(flood, known.socket, records, DATAGRAMS)


async def test_one_link_in_a_loop_is_stopped(call: Call) -> None:
    tokens = (await asyncio.to_thread(call.server.create_session, "Elsewhere"))["tokens"]
    told: list[str] = []
    statuses: list[int] = []
    hub = Participant(
        call.server.address,
        tokens["hub"],
        "Dr Bystander",
        on_message=lambda message: told.append(message["type"]),
    )
    headers = {"Authorization": f"Bearer {tokens['satellite']}", "Content-Type": "application/sdp"}
    async with aiohttp.ClientSession() as http, hub.taking_part(), call.undisturbed():
        for _ in range(200):
            async with http.post(f"{call.server.address}/whip", data=offer(), headers=headers) as answer:
                statuses.append(answer.status)
    assert statuses[0] == 201
    assert set(statuses[50:]) <= {201, 429}
    assert statuses.count(201) < 50
    assert told.count("participantJoined") < 50


async def test_coming_and_going_leaves_nothing_behind(call: Call) -> None:
    made = await asyncio.to_thread(call.server.create_session, "Storm", "--format", "event")
    token, burdens = made["tokens"]["viewer"], []
    before = Burden.of(call.server)

    async def come_and_go(http: aiohttp.ClientSession, number: int) -> None:
        async with http.ws_connect(f"{call.server.address}/ws", protocols=["bridge.v1"]) as line:
            await line.send_json(
                {"type": "join", "token": token, "name": f"Viewer {number}", "language": "vi"}
            )
            told = "waiting"
            while told == "waiting":
                told = (await line.receive_json())["type"]
            assert told == "joined"
            await line.send_json({"type": "leave"})
            async for _ in line:
                pass

    async with call.undisturbed():
        for _ in range(10):
            async with aiohttp.ClientSession() as http:
                await asyncio.gather(*(come_and_go(http, number) for number in range(50)))
            burdens.append(Burden.of(call.server))
    assert burdens[-1].memory_mib < burdens[1].memory_mib + 15
    # Some stay open for the database; a leak would be one for each of 500.
    assert burdens[-1].files < before.files + 100
