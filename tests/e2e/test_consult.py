"""Hub and satellite in two real browsers: they see and hear each other, and the moderator's means work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.e2e.conftest import Launch
from tests.e2e.feeds import CINE_SIZE
from tests.e2e.looking import (
    HAS_SIZE,
    falls_silent,
    is_heard,
    moves,
    picture,
    stands_still,
    until,
)
from tests.e2e.people import (
    by_id,
    choose_ultrasound,
    hub_joins,
    open_join,
    open_people,
    person,
    press_join,
    satellite_joins,
    who,
)
from tests.serving import Server, running_server

pytestmark = [pytest.mark.browser, pytest.mark.alone, pytest.mark.timeout(240)]

Shoot = Callable[[Page, str], Awaitable[None]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all: every test has a session of its own."""
    with running_server(tmp_path_factory.mktemp("server") / "data") as server:
        yield server


async def consult(server: Server, launch: Launch) -> tuple[dict[str, Any], Page, Page]:
    """A session with a hub and a satellite, each in a Chromium of its own."""
    made = server.create_session()
    clinic = await satellite_joins(await launch(), made["links"]["satellite"])
    hub = await hub_joins(await launch(), made["links"]["hub"])
    return made, hub, clinic


async def test_hub_and_satellite_see_and_hear_each_other(
    server: Server, launch: Launch, shoot: Shoot
) -> None:
    made = server.create_session()
    clinic = await open_join(await launch(), made["links"]["satellite"], "Nurse Lan", width=1024, height=768)
    await choose_ultrasound(clinic)
    await moves(clinic, '[data-testid="ultrasound-preview"]', 1)
    await shoot(clinic, "join-satellite")
    await press_join(clinic)
    hub = await hub_joins(await launch(), made["links"]["hub"], width=1920, height=1080)
    nurse, doctor = who(server, made, "satellite"), who(server, made, "hub")

    await until(hub, HAS_SIZE, [picture("ultrasound", nurse), *CINE_SIZE])
    await moves(hub, picture("ultrasound", nurse))
    await moves(hub, picture("camera", nurse))
    await moves(clinic, picture("camera", doctor))
    await is_heard(hub)
    await is_heard(clinic)

    facts = by_id(hub, "picture-facts")
    if await facts.count() == 0:
        await by_id(hub, "facts-button").click()
    await expect(facts).to_contain_text("640", timeout=10_000)
    await expect(facts).to_contain_text("ms", timeout=10_000)
    await shoot(hub, "session-hub")
    await shoot(clinic, "session-satellite")


async def test_picture_fills_three_quarters_of_the_hubs_window(server: Server, launch: Launch) -> None:
    made, hub, _ = await consult(server, launch)
    await moves(hub, picture("ultrasound", who(server, made, "satellite")), 1)
    stage = await hub.locator("main.stage").bounding_box()
    size = hub.viewport_size
    assert stage
    assert size
    assert stage["width"] * stage["height"] >= 0.7 * size["width"] * size["height"]


async def test_chat_and_hands_reach_the_others(server: Server, launch: Launch, shoot: Shoot) -> None:
    made, hub, clinic = await consult(server, launch)
    await by_id(hub, "chat-button").click()
    await by_id(hub, "chat-input").fill("Please turn the probe to the left")
    await by_id(hub, "chat-send").click()
    await expect(clinic.get_by_text("Please turn the probe to the left").first).to_be_visible()
    await by_id(clinic, "hand-button").click()
    await open_people(hub)
    await expect(person(hub, who(server, made, "satellite")).locator(".hand").first).to_be_visible()
    await shoot(hub, "session-hub-people")


async def test_mute_by_oneself_and_by_the_hub(server: Server, launch: Launch) -> None:
    made, hub, clinic = await consult(server, launch)
    nurse = who(server, made, "satellite")
    await is_heard(hub)
    await by_id(clinic, "mute-button").click()
    await falls_silent(hub)
    await by_id(clinic, "mute-button").click()
    await is_heard(hub)

    await open_people(hub)
    block = person(hub, nurse).locator('[data-testid="block-track"][data-source="microphone"]')
    await block.click()
    await expect(by_id(clinic, "connection-banner")).to_be_visible()
    await falls_silent(hub)
    await block.click()
    await expect(by_id(clinic, "connection-banner")).to_be_hidden()
    await is_heard(hub)


async def test_floor_taken_and_given_by_the_hub(server: Server, launch: Launch) -> None:
    made, hub, clinic = await consult(server, launch)
    nurse = who(server, made, "satellite")
    viewer = await open_join(await launch(devices=False), made["links"]["viewer"], "Student")
    await press_join(viewer)
    await moves(viewer, picture("ultrasound", nurse))
    await open_people(hub)
    await person(hub, nurse).get_by_test_id("take-floor").click()
    await expect(viewer.locator(picture("ultrasound", nurse))).to_have_count(0)
    await person(hub, nurse).get_by_test_id("give-floor").click()
    await moves(viewer, picture("ultrasound", nurse))
    await moves(clinic, picture("ultrasound", nurse), 1)


async def test_removed_participant_is_told_and_stays_out(
    server: Server, launch: Launch, shoot: Shoot
) -> None:
    made, hub, clinic = await consult(server, launch)
    await open_people(hub)
    await person(hub, who(server, made, "satellite")).get_by_test_id("remove").click()
    await by_id(hub, "confirm-yes").click()
    told = clinic.locator('[data-testid="problem"][data-code="removed"]')
    await expect(told).to_be_visible()
    await shoot(clinic, "removed")
    await expect(hub.locator(picture("ultrasound"))).to_have_count(0)
    await clinic.reload()
    await expect(by_id(clinic, "problem")).to_be_visible()


async def test_camera_off_ends_its_picture_and_releases_the_device(server: Server, launch: Launch) -> None:
    made, hub, clinic = await consult(server, launch)
    nurse = who(server, made, "satellite")
    tile = f'video[data-testid="tile-video"][data-source="camera"][data-participant="{nurse}"]'
    await moves(hub, tile)
    await by_id(clinic, "camera-button").click()
    await stands_still(hub, tile)
    await by_id(clinic, "camera-button").click()
    await moves(hub, tile)
