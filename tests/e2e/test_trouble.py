"""Trouble with line, page and server: everybody is back without anyone clicking."""

from __future__ import annotations

import asyncio
import signal
import time
import urllib.request

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


GONE_WITHIN_S = 15.0
"""Half of the time after which the relay gives up a line from which it hears nothing."""


def packets_sent(server: Server) -> float:
    """What the relay has forwarded to all."""
    with urllib.request.urlopen(f"{server.address}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return next(
        float(line.split()[1]) for line in lines if line.startswith("bridge_relay_packets_out_total ")
    )


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


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "left for another page"])
async def test_nothing_is_sent_any_more_to_a_page_that_went(
    server: Server, launch: Launch, closed: bool
) -> None:
    made = server.create_session()
    browser = await launch()
    await satellite_joins(browser, made["links"]["satellite"])
    viewer = await open_join(browser, made["links"]["viewer"], "Student")
    await press_join(viewer)
    await moves(viewer, picture("ultrasound", who(server, made, "satellite")), 1)
    if closed:
        await viewer.close()
    else:
        await viewer.goto("about:blank")
    sent = [packets_sent(server)]
    deadline_s = time.monotonic() + GONE_WITHIN_S
    # Statistics are a second old.
    while sent[-1:] * 3 != sent[-3:]:
        assert time.monotonic() < deadline_s, sent
        await asyncio.sleep(1.2)
        sent.append(packets_sent(server))


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
