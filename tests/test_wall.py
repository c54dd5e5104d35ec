"""The wall of an event: pictures are taken while somebody looks, and nothing is done while nobody does."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bridge import wall as walls
from bridge.ids import Role, SessionFormat, SessionKind
from bridge.media.contract import Source, TrackFlowing, TrackId
from tests.fakes import House, a_house


class Camera:
    """Every picture of it is the same."""

    def __init__(self) -> None:
        self.taken: asyncio.Queue[TrackId] = asyncio.Queue()

    async def take(self, track: TrackId) -> bytes:
        self.taken.put_nowait(track)
        return b"picture"


async def test_a_picture_comes_at_once_when_somebody_looks_and_none_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walls, "TICK_S", 1000.0)
    async with a_house(tmp_path, SessionFormat.EVENT) as house:
        clinic, _ = await house.join(Role.SATELLITE)
        (track,) = await house.publish(clinic, Source.CAMERA)
        await house.hear(TrackFlowing(track, True))
        camera = Camera()
        wall = house.rooms.open_wall(camera)
        running = asyncio.create_task(wall.run())
        await asyncio.sleep(0)
        assert camera.taken.empty()
        wall.look(house.session, 0)
        async with asyncio.timeout(5):
            while not (found := wall.look(house.session, 0)[1]):  # noqa: ASYNC110  # pages ask again, too
                await asyncio.sleep(0)
        assert [(still.participant, still.jpeg) for still in found] == [(clinic.id, b"picture")]
        assert camera.taken.get_nowait() == track
        assert camera.taken.empty()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def points(house: House, count: int) -> list[TrackId]:
    """Of that many new points, each with a camera."""
    tracks = []
    for _ in range(count):
        clinic, _ = await house.join(Role.SATELLITE)
        tracks += await house.publish(clinic, Source.CAMERA)
    await house.hear(*(TrackFlowing(track, True) for track in tracks))
    return tracks


async def test_where_pictures_are_few_two_events_get_them_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walls, "TICK_S", 0.001)
    monkeypatch.setattr(walls, "AT_ONCE", 1)
    async with a_house(tmp_path, SessionFormat.EVENT) as house:
        first, of_first = house.session, await points(house, 6)
        other, _ = await house.store.create_session(
            title="Other", kind=SessionKind.CONSULTATION, format=SessionFormat.EVENT, capacity=50, at_ms=0
        )
        house.session = other.id
        of_other = await points(house, 3)
        camera = Camera()
        wall = house.rooms.open_wall(camera)
        wall.look(first, 0)
        wall.look(other.id, 0)
        running = asyncio.create_task(wall.run())
        async with asyncio.timeout(5):
            taken = {await camera.taken.get() for _ in range(6)}
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert taken == {*of_first[:3], *of_other}
