"""Trouble with line, page and server: everybody is back without anyone clicking."""

from __future__ import annotations

import asyncio
import signal
import time

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import Launch
from tests.e2e.looking import NEW_FRAME, is_heard, moves, picture, until
from tests.e2e.people import (
    by_id,
    hub_joins,
    in_session,
    open_join,
    open_people,
    person,
    press_join,
    satellite_joins,
    who,
)
from tests.serving import Server

pytestmark = [pytest.mark.browser, pytest.mark.alone, pytest.mark.timeout(240)]


async def test_reloaded_pages_go_on_by_themselves(server: Server, launch: Launch) -> None:
    made = server.create_session()
    clinic = await satellite_joins(await launch(), made["links"]["satellite"])
    hub = await hub_joins(await launch(), made["links"]["hub"])
    nurse, doctor = who(server, made, "satellite"), who(server, made, "hub")
    await moves(hub, picture("ultrasound", nurse), 1)

    await clinic.reload()
    await expect(in_session(clinic)).to_be_visible(timeout=10_000)
    await moves(hub, picture("ultrasound", nurse))
    await hub.reload()
    await expect(in_session(hub)).to_be_visible(timeout=10_000)
    await moves(hub, picture("ultrasound", nurse))
    await is_heard(hub)
    await moves(clinic, picture("camera", doctor))
    assert (who(server, made, "satellite"), who(server, made, "hub")) == (nurse, doctor)


async def test_reloaded_viewer_keeps_its_seat_and_the_floor(server: Server, launch: Launch) -> None:
    made = server.create_session()
    browser = await launch()
    hub = await hub_joins(browser, made["links"]["hub"])
    viewer = await open_join(browser, made["links"]["viewer"], "Student")
    await press_join(viewer)
    student = who(server, made, "viewer")
    await open_people(hub)
    await person(hub, student).get_by_test_id("give-floor").click()
    await expect(by_id(viewer, "mute-button")).to_be_visible()
    await viewer.reload()
    await expect(by_id(viewer, "mute-button")).to_be_visible(timeout=10_000)
    assert who(server, made, "viewer") == student


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
async def test_all_are_back_within_five_seconds_of_a_restarted_server(
    server: Server, launch: Launch, sign: signal.Signals
) -> None:
    made = server.create_session()
    clinic = await satellite_joins(await launch(), made["links"]["satellite"])
    hub = await hub_joins(await launch(), made["links"]["hub"])
    nurse = who(server, made, "satellite")
    await moves(hub, picture("ultrasound", nurse), 1)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, server.stop, sign)
    await asyncio.sleep(0.5)
    await loop.run_in_executor(None, server.start)
    up_s = time.monotonic()
    await until(hub, NEW_FRAME, picture("ultrasound", nurse))
    back_s = time.monotonic() - up_s
    assert back_s < 5, f"back after {back_s:.1f} s"
    assert who(server, made, "satellite") == nurse
    await moves(clinic, picture("camera"), 1)
