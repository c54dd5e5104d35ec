"""The participant as a program lets go of everything, whenever it is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aioice.ice
import pytest
from aiortc import AudioStreamTrack

from bridge.client import Participant
from bridge.ids import Role
from tests.house import House, open_house

SEVERAL_ADDRESSES = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path) as opened:
        yield opened


def telling(real: Callable[..., Awaitable[Any]], count: int, reached: asyncio.Event) -> Any:
    """The same function, which tells when it is called for this time."""
    called = 0

    async def told(*args: Any, **more: Any) -> Any:
        nonlocal called
        called += 1
        if called == count:
            reached.set()
        return await real(*args, **more)

    return told


@pytest.mark.parametrize(
    ("place", "count"),
    [
        ("get_component_candidates", 1),  # The publisher's.
        ("connect", 1),
        ("get_component_candidates", 2),  # The subscriber's.
        ("connect", 2),
        ("close", 1),
    ],
)
async def test_no_socket_is_left_wherever_it_is_stopped(
    house: House, monkeypatch: pytest.MonkeyPatch, place: str, count: int
) -> None:
    reached, opened = asyncio.Event(), []

    def connection_made(protocol: aioice.ice.StunProtocol, transport: asyncio.DatagramTransport) -> None:
        opened.append(transport)
        protocol.transport = transport

    monkeypatch.setattr(aioice.ice.StunProtocol, "connection_made", connection_made)
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda **_: SEVERAL_ADDRESSES)
    real = getattr(aioice.Connection, place)
    monkeypatch.setattr(aioice.Connection, place, telling(real, count, reached))
    made = await house.make()
    hub, clinic = (
        Participant(house.url, house.token(made, role), role.value, tracks={"microphone": AudioStreamTrack()})
        for role in (Role.HUB, Role.SATELLITE)
    )
    async with asyncio.timeout(20):
        running = [asyncio.create_task(each.run()) for each in (hub, clinic)]
        if place == "close":
            await asyncio.gather(hub.joined.wait(), clinic.joined.wait())
            await clinic.until(lambda: clinic.received)
            for task in running:
                task.cancel()
        await reached.wait()
        # In the midst of it, a turn of the loop later.
        await asyncio.sleep(0)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    assert opened
    assert [transport for transport in opened if not transport.is_closing()] == []
