"""A launch event in a real server, for tests: points by their own links, viewers and who runs it, all with real media.

Points and viewers are a crowd (`bridge.crowd`): real ICE, DTLS and SRTP, and pictures that were really encoded.
"""

from __future__ import annotations

import asyncio
import csv
import io
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from bridge.client import Participant
from bridge.crowd import reel
from bridge.crowd.crew import Crew
from bridge.crowd.member import Heights, Member, Message, Role
from bridge.demo.sound import Samples
from bridge.demo.tracks import VoiceTrack
from tests.media.webrtc import MovingPicture
from tests.serving import Server

PROVINCES = ("Sơn La", "Hà Giang", "Quảng Ninh", "Cà Mau", "Đắk Lắk")
PATIENCE_S = 40.0
LOOK_EVERY_S = 0.05
COMING_AT_ONCE = 10

Heard = dict[str, list[Message]]


def sheet(points_each: int) -> bytes:
    """The list of points as an organiser has it from a spreadsheet."""
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(["Tỉnh", "Đơn vị", "Điểm cầu", "Liên hệ"])
    for province in PROVINCES:
        for number in range(1, points_each + 1):
            table.writerow(
                [province, f"BVĐK {province}", f"Phòng {number}", f"Bs. {number}, 0912 555 {number:03}"]
            )
    return out.getvalue().encode()


async def until(true: Callable[[], Any], what: str) -> Any:
    """Waits until something is so, and returns it."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + PATIENCE_S
    while not (value := true()):
        assert loop.time() < deadline_s, f"it did not become so: {what}"
        await asyncio.sleep(LOOK_EVERY_S)
    return value


async def together(work: Iterable[Awaitable[Any]], at_once: int = COMING_AT_ONCE) -> None:
    turns = asyncio.Semaphore(at_once)

    async def one(each: Awaitable[Any]) -> None:
        async with turns:
            await each

    await asyncio.gather(*(one(each) for each in work))


@dataclass
class EventDay:
    """What a test knows of the event. `heard` is what each member was told, by member and type of message."""

    server: Server
    http: aiohttp.ClientSession
    crew: Crew
    session: str
    tokens: dict[str, str]
    points: dict[str, Member] = field(default_factory=dict)
    viewers: list[Member] = field(default_factory=list)
    heard: dict[str, Heard] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    organiser: Participant = field(init=False)
    hub: Participant = field(init=False)

    @property
    def members(self) -> list[Member]:
        return [*self.points.values(), *self.viewers]

    # Over HTTP

    async def ask(self, method: str, path: str = "", **options: Any) -> Any:
        """A request of the organiser about this event; JSON as an object, all else as bytes."""
        headers = {"Authorization": f"Bearer {self.tokens['organiser']}", **options.pop("headers", {})}
        address = f"{self.server.address}/api/events/{self.session}{path}"
        async with self.http.request(method, address, headers=headers, **options) as answer:
            body = await answer.read()
            assert answer.status < 300, (method, path, answer.status, body[:300])
            return await answer.json() if answer.content_type == "application/json" else body

    async def look_at_wall(self, after: int) -> tuple[int, set[str]]:
        """Whose pictures were taken since."""
        address = f"{self.server.address}/api/wall?after={after}"
        headers = {"Authorization": f"Bearer {self.tokens['organiser']}"}
        async with self.http.get(address, headers=headers) as answer:
            wall = await answer.json()
        return wall["after"], {one["participant"] for one in wall["pictures"] if one["jpeg"]}

    async def stands_at(self, number: int) -> None:
        """This item of the run of show is going on, and those before it are done."""
        agenda = (await self.ask("GET"))["agenda"]
        for place, item in enumerate(agenda["items"]):
            item["state"] = "done" if place < number else "now" if place == number else "planned"
        saved = await self.ask("PUT", "/agenda", json=agenda)
        told = self.heard["organiser"]["agendaChanged"]
        await until(lambda: told and told[-1]["version"] == saved["version"], "agendaChanged")

    # Who takes part

    def member(self, token: str, name: str, role: Role, *, speaking: bool = False) -> Member:
        """One of the crowd that has not come yet."""
        heard = self.heard[name]
        return Member(
            self.crew,
            self.http,
            self.server.address,
            token,
            name,
            role,
            Heights(),
            speaking=speaking,
            on_message=lambda message: heard[message["type"]].append(message),
        )

    def viewer(self, name: str) -> Member:
        return self.member(self.tokens["viewer"], name, "viewer")

    def newest(self, member: Member, kind: str) -> Message | None:
        """What a member was told last of this type."""
        told = self.heard[member.name][kind]
        return told[-1] if told else None

    async def come(self, members: Iterable[Member]) -> None:
        """All set out at once, and are in when it returns."""
        deadline_s = asyncio.get_running_loop().time() + PATIENCE_S
        await together((member.come(deadline_s) for member in members), at_once=1000)

    # What is on the stage

    def tracks(self, participants: Iterable[str], kind: str | None = None) -> set[str]:
        """As the organiser knows them."""
        whose = set(participants)
        return {
            id
            for id, track in self.organiser.tracks.items()
            if track["participant"] in whose and kind in (None, track["kind"])
        }

    def all_see_the_stage(self) -> bool:
        """Whether everybody off the stage has had a picture and sound of each on it, and is sent nothing else."""
        stage = self.organiser.stage
        pictures, sounds = self.tracks(stage, "video"), self.tracks(stage, "audio")
        return all(
            member.offered() == pictures | sounds
            and pictures <= member.first_pictures_s().keys()
            and sounds <= member.first_sounds_s().keys()
            for member in self.members
            if member.id not in stage
        )


@asynccontextmanager
async def event_day(server: Server, sound: Samples, capacity: int) -> AsyncIterator[EventDay]:
    """An event whose organiser and hub are there; the hub has a camera and speaks."""
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=None, connect=PATIENCE_S),
            )
        )
        crew = stack.enter_context(Crew(await asyncio.to_thread(reel.encode, 1)))
        wish = {
            "title": "Khánh thành",
            "format": "event",
            "kind": "training",
            "capacity": capacity,
            "record": "auto",
        }
        staff = {"Authorization": f"Bearer {server.staff_token()}"}
        async with http.post(f"{server.address}/api/sessions", json=wish, headers=staff) as answer:
            made = await answer.json()
        day = EventDay(server, http, crew, made["session"], made["tokens"])
        heard = day.heard["organiser"]
        day.organiser = Participant(
            server.address,
            day.tokens["organiser"],
            "Bình",
            receive=False,
            on_message=lambda message: heard[message["type"]].append(message),
        )
        tracks = {"camera": MovingPicture(320, 240), "microphone": VoiceTrack(sound)}
        day.hub = Participant(server.address, day.tokens["hub"], "Gs. Hà", tracks=tracks, receive=False)
        await stack.enter_async_context(day.organiser.taking_part())
        await stack.enter_async_context(day.hub.taking_part())
        try:
            yield day
        finally:
            await together((member.close() for member in day.members), at_once=50)
