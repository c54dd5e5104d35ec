"""How near its limit a server is: the levels on a clock of the test's own, what is shed, and one real overload."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator
from dataclasses import astuple
from pathlib import Path

import pytest

from bridge import load as under_test
from bridge.gauges import Gauges
from bridge.ids import Role, SessionFormat
from bridge.load import Load, Measures
from bridge.media.contract import Source
from bridge.participant import Participant
from bridge.rooms import Rooms
from tests.fakes import House, a_house
from tests.house import open_house
from tests.test_rooms_events import newest, refused

CALM = Measures(0.01, 0.2, 0.1, 0.5)
STRAINED = Measures(0.01, 0.2, 0.85, 0.5)
BETWEEN = Measures(0.01, 0.2, 0.7, 0.5)
FULL = Measures(2.0, 0.2, 0.85, 0.5)


def after(load: Load, measures: Measures, seconds: int, from_s: int) -> str:
    for second in range(from_s, from_s + seconds):
        load.note(measures, second * 1000)
    return load.level


@pytest.mark.parametrize(
    "measures",
    [Measures(0.4, 0, 0, 0), Measures(0, 0.95, 0, 0), Measures(0, 0, 0.9, 0), Measures(0, 0, 0, 0.95)],
)
def test_any_measure_that_lasts_raises_the_level(measures: Measures) -> None:
    load = Load()
    assert after(load, measures, 3, from_s=0) == "calm"
    assert after(load, measures, 1, from_s=3) == "strained"


def test_one_bad_moment_is_no_load() -> None:
    load = Load()
    assert after(load, FULL, 2, from_s=0) == "calm"
    assert after(load, CALM, 1, from_s=2) == "calm"
    assert after(load, FULL, 2, from_s=3) == "calm"


def test_levels_rise_and_fall_one_after_another() -> None:
    load = Load()
    assert after(load, FULL, 4, from_s=0) == "strained"
    assert after(load, FULL, 4, from_s=4) == "full"
    assert after(load, FULL, 60, from_s=8) == "full"
    assert after(load, CALM, 10, from_s=68) == "full"
    assert after(load, CALM, 1, from_s=78) == "strained"
    assert after(load, CALM, 11, from_s=79) == "calm"


def test_a_level_is_not_left_for_what_is_nearly_as_much() -> None:
    load = Load()
    assert after(load, STRAINED, 4, from_s=0) == "strained"
    assert after(load, BETWEEN, 60, from_s=4) == "strained"
    assert after(load, CALM, 11, from_s=64) == "calm"


@pytest.fixture
async def event(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path, SessionFormat.EVENT) as house:
        yield house


async def bear(house: House, measures: Measures, seconds: int) -> None:
    for _ in range(seconds):
        house.clock.now_ms += 1000
        house.rooms.note_load(measures)
    await house.settle()


def heights(house: House, who: Participant) -> set[int | None]:
    assert who.subscriber is not None
    return {wanted.max_height for wanted in house.media.peers[who.subscriber.peer].wanted}


async def test_under_strain_viewers_get_smaller_pictures_and_nobody_else(event: House) -> None:
    hub, _ = await event.join(Role.HUB)
    (camera,) = await event.publish(hub, Source.CAMERA)
    organiser, desk = await event.join(Role.ORGANISER)
    clinic, _ = await event.join(Role.SATELLITE)
    viewer, _ = await event.join(Role.VIEWER)
    speaking, _ = await event.join(Role.VIEWER)
    event.rooms.give_floor(organiser, speaking.id)
    others = (organiser, clinic, speaking)
    await event.settle()
    for who in (viewer, *others):
        event.rooms.set_subscription(who, camera, 1080)
    await bear(event, STRAINED, 4)
    assert newest(desk, "deskChanged")["load"] == "strained"
    assert heights(event, viewer) == {under_test.VIEWERS_HEIGHT}
    assert [heights(event, who) for who in others] == [{1080}] * 3
    event.rooms.set_subscription(viewer, camera, 90)
    assert heights(event, viewer) == {90}
    event.rooms.set_subscription(viewer, camera, 720)
    assert heights(event, viewer) == {under_test.VIEWERS_HEIGHT}
    await bear(event, CALM, 11)
    assert heights(event, viewer) == {720}
    assert newest(desk, "deskChanged")["load"] == "calm"


async def test_a_full_server_takes_no_new_viewers_and_all_others(event: House) -> None:
    inside = await event.grant(Role.VIEWER)
    who, _ = await event.join(inside)
    await bear(event, FULL, 8)
    with refused("serverBusy"):
        await event.join(Role.VIEWER)
    event.rooms.leave(who)
    await event.join(inside)
    for role in (Role.SATELLITE, Role.HUB, Role.ORGANISER):
        await event.join(role)


def test_gauges_see_what_this_process_does() -> None:
    relay = iter([1_000_000, 1_000_000, None, 1_500_000])
    gauges = Gauges(lambda: 0.25, lambda: next(relay))
    gauges.read()
    hashlib.pbkdf2_hmac("sha256", b"work", b"salt", 300_000)
    first = gauges.read()
    assert (first.loop_lag_s, first.relay_cpu) == (0.25, 0.0)
    assert 0 < first.process_cpu <= 1.1
    assert 0 < first.memory < 1
    assert gauges.read().relay_cpu > 0


async def test_where_shedding_is_switched_off_the_level_is_told_and_nothing_follows(event: House) -> None:
    event.rooms = Rooms(
        event.media, event.store, event.keeper, event.studies, event.clock, load=Load(sheds=False)
    )
    hub, desk = await event.join(Role.HUB)
    (camera,) = await event.publish(hub, Source.CAMERA)
    viewer, _ = await event.join(Role.VIEWER)
    event.rooms.set_subscription(viewer, camera, 1080)
    await bear(event, FULL, 8)
    assert newest(desk, "deskChanged")["load"] == "full"
    assert heights(event, viewer) == {1080}
    await event.join(Role.VIEWER)


def test_a_server_is_full_above_what_strains_it() -> None:
    limits = astuple(under_test.full(under_test.STRAINED))
    assert limits == pytest.approx((1.0, 0.96, 0.92, 0.972))
    load = Load(Measures(0.1, 0.5, 0.5, 0.5))
    assert after(load, Measures(0.01, 0.55, 0.1, 0.1), 30, from_s=0) == "strained"
    assert after(load, Measures(0.01, 0.85, 0.1, 0.1), 30, from_s=30) == "full"


async def test_a_server_that_has_too_much_to_do_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "RISES_AFTER_MS", 500)
    enough = threading.Event()

    def work() -> None:
        while not enough.is_set():
            hashlib.pbkdf2_hmac("sha256", b"work", b"salt", 50_000)

    busy = threading.Thread(target=work)
    async with open_house(tmp_path, load_cpu_percent=5) as house:
        busy.start()
        try:
            async with asyncio.timeout(30):
                for _ in range(100):
                    status, health = await house.ask("GET", "/healthz")
                    if health.get("load") == "strained":
                        break
                    await asyncio.sleep(0.25)
            async with house.client.get(f"{house.url}/metrics") as answer:
                page = await answer.text()
        finally:
            enough.set()
            await asyncio.to_thread(busy.join)
    assert (status, health["load"]) == (200, "strained")
    assert "bridge_load_level 1.0" in page
