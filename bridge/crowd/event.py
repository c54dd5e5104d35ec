"""The event that is measured, from its beginning to its end: points come, some go on stage, viewers storm in, all stay.

It drives a server that it starts itself, by the same API, WebSocket and media as everybody; what the server is doing it
only knows from its metrics.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import aiohttp

from bridge.crowd import reel
from bridge.crowd.crew import Crew
from bridge.crowd.member import Heights, Member, Role
from bridge.crowd.server import MeasuredServer, Reading, measured_server
from bridge.errors import BridgeError
from bridge.media._native import CrowdCounts

POINTS_PER_S = 10.0
PATIENCE_S = 60.0
"""How long after the last was due somebody may still be on the way in."""
SETTLE_S = 5.0
"""After the storm, until the steady state is measured: layers are raised and lowered for a few seconds."""
TELL_EVERY_S = 10.0
LEAVING_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for. Heights are those of the pictures that everybody asks for."""

    points: int = 200
    stage: int = 9
    viewers: int = 500
    storm_s: float = 15.0
    seconds: float = 60.0
    speaking: int = 2
    points_watch: bool = True
    storms: int = 1
    """How often the viewers come; all but the last time they leave again at once."""
    reel_s: int = reel.REEL_S
    heights: Heights = field(default_factory=Heights)


@dataclass(frozen=True, slots=True)
class Moment:
    """Server and crowd at one time; `own_cpu_s` is this process's."""

    server: Reading
    crowd: CrowdCounts
    own_cpu_s: float


@dataclass(frozen=True, slots=True)
class Course:
    """What happened. `failed`: codes of those who did not get in; `firsts` and `wholes`: seconds from setting out until
    a viewer saw the first, and all pictures of the stage; None: never."""

    wish: Wish
    empty: Moment
    before_storm: Moment
    after_storm: Moment
    steady: Moment
    end: Moment
    failed: list[str]
    refused: list[str]
    waited: int
    joins_s: list[float]
    firsts_s: list[float | None]
    wholes_s: list[float | None]
    dropped_out: int
    memories_bytes: list[int]
    """The server's memory before any viewer came, and after each of the storms that left again."""
    asked: Counter[int]
    layers_wanted: Counter[str]
    errors: list[str]


async def run(wish: Wish, say: Callable[[str], None]) -> Course:
    """Plays the event once."""
    timeout = aiohttp.ClientTimeout(total=None, connect=PATIENCE_S)
    connector = aiohttp.TCPConnector(limit=0)
    encoding = asyncio.create_task(asyncio.to_thread(reel.encode, wish.reel_s))
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as http:
        say("starting a server, encoding the pictures that cameras send")
        async with measured_server(http) as server:
            with Crew(await encoding) as crew:
                return await _Event(wish, say, http, server, crew).play()


class _Event:
    def __init__(
        self,
        wish: Wish,
        say: Callable[[str], None],
        http: aiohttp.ClientSession,
        server: MeasuredServer,
        crew: Crew,
    ) -> None:
        self._wish = wish
        self._say = say
        self._http = http
        self._server = server
        self._crew = crew
        self._failed: list[str] = []

    async def play(self) -> Course:
        wish = self._wish
        tokens, points_tokens = await self._invite()
        empty = await self._moment()
        organiser = self._member(tokens["organiser"], "Organiser", "organiser")
        await organiser.come(asyncio.get_running_loop().time() + PATIENCE_S)
        points = [
            self._member(token, f"Point {n + 1}", "point", speaking=n < wish.speaking)
            for n, token in enumerate(points_tokens)
        ]
        await self._come(points, wish.points / POINTS_PER_S, "points")
        here = [point for point in points if point.id]
        await organiser.request("takeFloor", participant=organiser.id)
        for point in here[: wish.stage]:
            await organiser.request("giveFloor", participant=point.id)
        self._say(f"{len(here[: wish.stage])} points on the stage, {wish.speaking} of them speak")
        await asyncio.sleep(SETTLE_S)
        memories_bytes = await self._come_and_go(tokens["viewer"])
        before_storm = await self._moment()
        viewers = self._viewers(tokens["viewer"])
        await self._come(viewers, wish.storm_s, "viewers")
        await asyncio.sleep(SETTLE_S)
        after_storm = await self._moment()
        self._say(f"measuring {wish.seconds:g} s of steady state")
        steady = await self._moment()
        await self._stay(points + viewers)
        end = await self._moment()
        dropped_out = sum(not member.connected for member in points + viewers if member.id)
        course = Course(
            wish,
            empty,
            before_storm,
            after_storm,
            steady,
            end,
            self._failed,
            [code for member in points + viewers for code in member.coming.refused],
            sum(member.coming.waited for member in points + viewers),
            [m.coming.joined_s - m.coming.begun_s for m in viewers if m.coming.joined_s is not None],
            *_pictures(viewers),
            dropped_out,
            memories_bytes,
            Counter(height for member in points + viewers for height in member.pictures().values()),
            Counter("+".join(p.layers_wanted) if p.layers_wanted is not None else "not said" for p in here),
            [code for member in (organiser, *points, *viewers) for code in member.errors],
        )
        self._say("leaving")
        await self._leave([*viewers, *points, organiser])
        return course

    async def _invite(self) -> tuple[dict[str, str], list[str]]:
        """A session with a link for each role, and one for each point."""
        wish = self._wish
        capacity = max(2, wish.points + wish.viewers + 2)
        made = await self._server.post(
            "/api/sessions",
            {
                "title": "Launch event",
                "format": "event",
                "kind": "training",
                "capacity": capacity,
                "record": "never",
            },
        )
        path = f"/api/sessions/{made['session']}/invites"
        tokens = []
        for number in range(wish.points):
            invite = await self._server.post(path, {"role": "satellite", "point": f"Point {number + 1}"})
            tokens.append(invite["token"])
        return made["tokens"], tokens

    def _member(self, token: str, name: str, role: Role, *, speaking: bool = False) -> Member:
        watching = role == "viewer" or self._wish.points_watch
        return Member(
            self._crew,
            self._http,
            self._server.address,
            token,
            name,
            role,
            self._wish.heights,
            speaking=speaking,
            watching=watching,
        )

    def _viewers(self, token: str) -> list[Member]:
        return [self._member(token, f"Viewer {n + 1}", "viewer") for n in range(self._wish.viewers)]

    async def _come_and_go(self, token: str) -> list[int]:
        """All storms but the last."""
        memories_bytes = [(await self._moment()).server.memory_bytes]
        for number in range(1, self._wish.storms):
            self._say(f"storm {number} of {self._wish.storms}")
            viewers = self._viewers(token)
            await self._come(viewers, self._wish.storm_s, "viewers")
            await self._leave(viewers)
            await asyncio.sleep(SETTLE_S)
            memories_bytes.append((await self._moment()).server.memory_bytes)
        return memories_bytes

    async def _come(self, members: Sequence[Member], within_s: float, name: str) -> None:
        """All set out within this time, evenly; returns when all are in or given up."""
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        deadline_s = start_s + within_s + PATIENCE_S
        done = 0

        async def one(number: int, member: Member) -> None:
            nonlocal done
            await asyncio.sleep(max(0.0, start_s + within_s * number / len(members) - loop.time()))
            try:
                await member.come(deadline_s)
            except BridgeError as error:
                self._failed.append(error.code)
            done += 1

        if not members:
            return
        self._say(f"{len(members)} {name} come within {within_s:g} s")
        coming = asyncio.gather(*(one(number, member) for number, member in enumerate(members)))
        while not coming.done():
            await asyncio.wait([coming], timeout=TELL_EVERY_S)
            self._say(f"  {done} of {len(members)} {name} are in after {loop.time() - start_s:.1f} s")
        await coming

    async def _stay(self, members: Sequence[Member]) -> None:
        end_s = time.monotonic() + self._wish.seconds
        while (left_s := end_s - time.monotonic()) > 0:
            await asyncio.sleep(min(left_s, TELL_EVERY_S))
            counts = await self._crew.counts()
            connected = sum(member.connected for member in members)
            self._say(
                f"  {connected} of {len(members)} connected, {counts.flowing} of {counts.pictures} pictures flow,"
                f" {counts.lost} packets lost so far"
            )

    async def _moment(self) -> Moment:
        return Moment(await self._server.read(), await self._crew.counts(), time.process_time())

    async def _leave(self, members: Sequence[Member]) -> None:
        turns = asyncio.Semaphore(LEAVING_AT_ONCE)

        async def one(member: Member) -> None:
            async with turns:
                await member.leave()

        await asyncio.gather(*(one(member) for member in members))


def _pictures(viewers: Sequence[Member]) -> tuple[list[float | None], list[float | None]]:
    """Seconds from setting out to the first picture, and to the last of all that were asked for."""
    firsts: list[float | None] = []
    wholes: list[float | None] = []
    for viewer in viewers:
        seen = viewer.first_pictures_s()
        asked = viewer.pictures()
        begun_s = viewer.coming.begun_s
        firsts.append(min(seen.values()) - begun_s if seen else None)
        whole = bool(asked) and asked.keys() <= seen.keys()
        wholes.append(max(seen[track] for track in asked) - begun_s if whole else None)
    return firsts, wholes
