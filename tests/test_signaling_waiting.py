"""WebSocket connections that wait to come into an event: a real server, until they are in, sent away or gone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge import signaling as under_test
from bridge.admission import Pace
from bridge.ids import Role, SessionFormat
from tests import test_signaling as clients
from tests.fakes import a_house
from tests.test_signaling import TIMEOUT_S, Message, Site, Socket, a_site, refused


@pytest.fixture
async def event(tmp_path: Path) -> AsyncIterator[Site]:
    pace = Pace(joins_per_s=150, burst=2)
    async with (
        a_house(tmp_path, SessionFormat.EVENT, capacity=600, pace=pace) as house,
        a_site(house) as site,
    ):
        yield site


async def ask_to_join(site: Site, token: str) -> Socket:
    socket = await site.connect()
    await socket.say("join", token=token, name="Somebody", language="ru", client="tests 1")
    return socket


async def with_lobby(site: Site) -> Socket:
    organiser, _ = await site.join(Role.ORGANISER)
    answer = await organiser.ask("setDoor", lobby=True, locked=False)
    assert answer["type"] == "ok"
    return organiser


async def nobody_waits(site: Site) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        for _ in range(int(TIMEOUT_S / 0.01)):
            if site.house.rooms.admission.waiting == 0:
                return
            await asyncio.sleep(0.01)
    raise AssertionError("somebody still waits")


async def waiting(organiser: Socket, count: int) -> list[Message]:
    told = await organiser.until(lambda m: m["type"] == "deskChanged" and len(m["waiting"]) == count)
    people: list[Message] = told["waiting"]
    return people


async def let_them_in(site: Site, stop: asyncio.Event) -> None:
    """Lets time pass while somebody waits, and never so much that the server would ping."""
    for _ in range(under_test.PING_EVERY_MS // 60):
        if site.house.rooms.admission.waiting:
            site.house.clock.now_ms += 50
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0.05)
            return


async def test_a_whole_event_that_comes_at_once_is_let_in_one_after_another(
    event: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "TIMEOUT_S", 50.0)
    token = await event.token(Role.VIEWER, seats=300)
    sockets = [await event.connect() for _ in range(300)]
    for socket in sockets:
        await socket.say("join", token=token, name="Somebody", language="ru", client="tests 1")
    stop = asyncio.Event()
    clock = asyncio.create_task(let_them_in(event, stop))
    try:
        async with asyncio.timeout(60):
            joined = await asyncio.gather(*(socket.heard("joined") for socket in sockets))
    finally:
        stop.set()
        await clock
    assert len({message["participant"] for message in joined}) == 300
    assert event.house.rooms.admission.waiting == 0


async def test_who_waits_in_the_lobby_is_not_timed_out_and_joins_when_admitted(
    event: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "JOIN_WITHIN_S", 0.05)
    monkeypatch.setattr(under_test, "KNOCKING_LIMIT", 1)
    organiser = await with_lobby(event)
    token = await event.token(Role.SATELLITE)
    clinic = await ask_to_join(event, token)
    assert await clinic.heard("waiting") == {"type": "waiting", "reason": "lobby", "place": 0}
    another = await ask_to_join(event, await event.token(Role.VIEWER))
    await another.heard("waiting")
    await asyncio.sleep(0.1)  # longer than anybody may take to join
    assert (await clinic.ask("syncClock", clientAt=1.0))["type"] == "clock"
    event.house.clock.now_ms += 1000
    first, _ = await waiting(organiser, 2)
    await organiser.ask("admit", waiting=[first["id"]])
    joined = await clinic.heard("joined")
    assert joined["request"] == 1
    assert (await clinic.ask("syncClock", clientAt=2.0))["type"] == "clock"


async def test_who_is_turned_away_is_told_why(event: Site) -> None:
    organiser = await with_lobby(event)
    viewer = await ask_to_join(event, await event.token(Role.VIEWER))
    await viewer.heard("waiting")
    event.house.clock.now_ms += 1000
    (one,) = await waiting(organiser, 1)
    assert (await organiser.ask("turnAway", waiting=one["id"]))["type"] == "ok"
    await refused(viewer, "removed")


@pytest.mark.parametrize("goodbye", ["leave", "close"])
async def test_who_gives_up_waiting_is_not_on_the_list_any_more(event: Site, goodbye: str) -> None:
    await with_lobby(event)
    viewer = await ask_to_join(event, await event.token(Role.VIEWER))
    await viewer.heard("waiting")
    assert event.house.rooms.admission.waiting == 1
    if goodbye == "leave":
        assert (await viewer.ask("leave"))["type"] == "ok"
        assert (await viewer.end())[0] == 1000
    else:
        await viewer.socket.close()
    await nobody_waits(event)


async def test_who_waits_may_say_nothing_else(event: Site) -> None:
    await with_lobby(event)
    viewer = await ask_to_join(event, await event.token(Role.VIEWER))
    await viewer.heard("waiting")
    await viewer.say("setHand", raised=True)
    await refused(viewer, "notAuthorised")
    await nobody_waits(event)


async def test_a_waiting_line_that_is_dead_is_given_up(event: Site) -> None:
    await with_lobby(event)
    viewer = await ask_to_join(event, await event.token(Role.VIEWER))
    await viewer.heard("waiting")
    event.house.clock.now_ms += under_test.SILENT_LIMIT_MS + 1
    await refused(viewer, "joinTimeout")
    await nobody_waits(event)


async def test_a_locked_event_refuses_who_is_new(event: Site) -> None:
    organiser, _ = await event.join(Role.ORGANISER)
    await organiser.ask("setDoor", lobby=False, locked=True)
    await refused(await ask_to_join(event, await event.token(Role.VIEWER)), "sessionLocked")


async def test_stopping_server_tells_those_who_wait(event: Site) -> None:
    await with_lobby(event)
    viewer = await ask_to_join(event, await event.token(Role.VIEWER))
    await viewer.heard("waiting")
    stopping = asyncio.create_task(event.signaling.stop())
    await refused(viewer, "shuttingDown")
    for socket in event.sockets:
        await socket.socket.close()
    await stopping
