"""What viewers who came and went leave behind in a server: nothing."""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from OpenSSL import SSL

from bridge.crowd import reel
from bridge.crowd.crew import Crew
from bridge.crowd.member import Heights, Member
from bridge.crowd.member import Role as Coming
from bridge.desk import MadeSession
from bridge.ids import RecordMode, Role, SessionFormat
from tests.house import House, open_house

VIEWERS = 6
STORMS = 3
TIMEOUT_S = 20.0
COUNTED = (
    "bridge.",
    "aiohttp.",
    "OpenSSL.",
    "aiortc.",
    "_asyncio.",
    "asyncio.",
    "builtins.coroutine",
)
"""What begins so is counted: what leaks hangs on an object of ours or of what we use. (SQLite's connections keep some
hundred weak references of their own.)"""


@pytest.mark.timeout(120)
async def test_storms_of_viewers_leave_nothing_behind(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        made = await house.make(
            format=SessionFormat.EVENT, record=RecordMode.NEVER, satellite_points=("One",)
        )
        with Crew(await asyncio.to_thread(reel.encode, 1)) as crew:
            point = await _stage(house, crew, made)
            peers = house.server.engine.peer_count
            # The first makes what is made once.
            await _storm(house, crew, made)
            await _until(lambda: house.server.engine.peer_count == peers)
            before = _objects()
            for _ in range(STORMS):
                await _storm(house, crew, made)
            deadline_s = time.monotonic() + TIMEOUT_S
            # Sockets take a moment to close.
            while (grown := _grown(before)) and time.monotonic() < deadline_s:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
            assert grown == {}
            assert house.server.engine.peer_count == peers
            await point.leave()


async def test_a_viewer_who_is_in_leaves_openssl_behind_and_no_task_of_a_handshake(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        made = await house.make(
            format=SessionFormat.EVENT, record=RecordMode.NEVER, satellite_points=("One",)
        )
        with Crew(await asyncio.to_thread(reel.encode, 1)) as crew:
            point = await _stage(house, crew, made)
            viewers = await _come(house, crew, made)
            peers = [peer.dtls for peer in house.server.engine._registry.peers.values()]
            # All but the point's publisher, which is listened to.
            await _until(lambda: sum(dtls.settled for dtls in peers) == len(peers) - 1)
            gc.collect()
            connections = sum(isinstance(known, SSL.Connection) for known in gc.get_objects())
            # The crowd's own ends, and that publisher.
            assert connections == len(peers) + 1
            await asyncio.gather(*(viewer.leave() for viewer in viewers))
            await point.leave()


async def _stage(house: House, crew: Crew, made: MadeSession) -> Member:
    """A point that is seen by all."""
    organiser = _member(house, crew, made, Role.ORGANISER, "organiser")
    await organiser.come(asyncio.get_running_loop().time() + TIMEOUT_S)
    point = _member(house, crew, made, Role.SATELLITE, "point", watching=False)
    await point.come(asyncio.get_running_loop().time() + TIMEOUT_S)
    await organiser.request("giveFloor", participant=point.id)
    await organiser.leave()
    return point


async def _come(house: House, crew: Crew, made: MadeSession) -> list[Member]:
    viewers = [_member(house, crew, made, Role.VIEWER, "viewer") for _ in range(VIEWERS)]
    deadline_s = asyncio.get_running_loop().time() + TIMEOUT_S
    await asyncio.gather(*(viewer.come(deadline_s) for viewer in viewers))
    await _until(lambda: all(viewer.first_pictures_s() for viewer in viewers))
    return viewers


async def _storm(house: House, crew: Crew, made: MadeSession) -> None:
    await asyncio.gather(*(viewer.leave() for viewer in await _come(house, crew, made)))


def _grown(before: Counter[str]) -> dict[str, int]:
    """Types of which there is at least one more for each viewer of one storm."""
    return {name: count for name, count in (_objects() - before).items() if count >= VIEWERS}


def _objects() -> Counter[str]:
    """How many objects of each type there are."""
    gc.collect()
    kinds = (type(known) for known in gc.get_objects())
    names = (f"{kind.__module__}.{kind.__qualname__}" for kind in kinds)
    return Counter(name for name in names if name.startswith(COUNTED))


def _member(
    house: House, crew: Crew, made: MadeSession, role: Role, coming: Coming, *, watching: bool = True
) -> Member:
    token = house.token(made, role)
    return Member(crew, house.client, house.url, token, "Somebody", coming, Heights(), watching=watching)


async def _until(true: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + TIMEOUT_S
    while not true():
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.02)
