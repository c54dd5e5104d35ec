"""The organiser's desk in a real browser: run of show, full stage, messages to some, muting, door, small screens."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from bridge.client import Participant
from bridge.clientnews import Message
from bridge.demo.sound import voice
from bridge.demo.tracks import VoiceTrack
from tests.e2e.conftest import Launch
from tests.e2e.eventwall import Shoot, comes, many_points, on_desk, open_wall, tile
from tests.e2e.hearing import faults, open_checked
from tests.e2e.looking import moves
from tests.e2e.people import by_id, open_join, press_join
from tests.media.webrtc import MovingPicture
from tests.serving import Server, running_server

pytestmark = [pytest.mark.browser, pytest.mark.alone, pytest.mark.timeout(240)]

SHEET = """province,organisation,point
Sơn La,BVĐK Mộc Châu,Phòng siêu âm
Cà Mau,BVĐK Năm Căn,Hội trường
Hà Giang,TTYT Mèo Vạc,Phòng khám
"""
CUT_WORDS = """
() => [...document.querySelectorAll('.control')]
  .filter((one) => one.checkVisibility() && one.scrollWidth > one.clientWidth + 1)
  .map((one) => one.dataset.testid)
"""
FITS = "() => document.documentElement.scrollWidth <= document.documentElement.clientWidth"


def ask(server: Server, made: dict[str, Any], method: str, path: str, body: Any = None) -> Any:
    """A request of the organiser about the event; a text is a CSV."""
    type = "text/csv" if isinstance(body, str) else "application/json"
    data = body.encode() if isinstance(body, str) else None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"{server.address}/api/events/{made['session']}{path}",
        data,
        {"Authorization": f"Bearer {made['tokens']['organiser']}", "Content-Type": type},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def prepare(server: Server, made: dict[str, Any]) -> dict[str, str]:
    """Three points and a run of show; the points' links by organisation."""
    ask(server, made, "PUT", "/points", SHEET)
    points = {point["organisation"]: point for point in ask(server, made, "GET", "?links=1")["points"]}
    items = [
        {"kind": "speech", "title": "Khai mạc", "minutes": 10},
        {"kind": "consult", "title": "Hội chẩn ca 1", "minutes": 20, "point": points["BVĐK Mộc Châu"]["id"]},
        {"kind": "consult", "title": "Hội chẩn ca 2", "minutes": 20, "point": points["TTYT Mèo Vạc"]["id"]},
    ]
    ask(server, made, "PUT", "/agenda", {"version": 0, "items": items})
    return {organisation: point["link"] for organisation, point in points.items()}


def states(server: Server, made: dict[str, Any]) -> list[str]:
    return [item["state"] for item in ask(server, made, "GET", "")["agenda"]["items"]]


async def goes_on_by_key(page: Page, title: str) -> None:
    """A press soon after another belongs to that one: then it takes a second."""
    for _ in range(3):
        await page.keyboard.press("n")
        with suppress(AssertionError):
            await expect(by_id(page, "show-now")).to_contain_text(title, timeout=3_000)
            return
    raise AssertionError(f"{title} does not go on")


async def test_the_run_of_show_goes_on_by_one_press_and_offers_its_points(
    server: Server, launch: Launch, shoot: Shoot
) -> None:
    made = server.create_session("Khai trương", "--format", "event")
    links = prepare(server, made)
    browser = await launch()
    clinic = await comes(browser, links["BVĐK Mộc Châu"], "Nurse Lan", width=1024, height=768)
    other = Participant(server.address, links["BVĐK Năm Căn"].partition("#")[2], "Nurse Mai", receive=False)
    viewer = Participant(server.address, made["tokens"]["viewer"], "Student", receive=False)
    async with other.taking_part(), viewer.taking_part():
        organiser = await comes(browser, made["links"]["organiser"], "Bình", width=1024, height=768)
        await open_wall(organiser)

        # Who is here of those invited, and people of all kinds.
        await expect(by_id(organiser, "wall-counts")).to_have_text("2 of 3 points, 4 people", timeout=10_000)
        await expect(by_id(organiser, "wall-absent")).to_have_count(1)
        await expect(by_id(organiser, "wall-load")).to_have_text("Server calm")
        await expect(by_id(organiser, "wall-load-meaning")).to_have_count(0)

        now, then = by_id(organiser, "show-now"), by_id(organiser, "show-next")
        await expect(now).to_have_text("Not begun yet")
        await expect(then).to_contain_text("Khai mạc")
        await by_id(organiser, "go-on").click()
        await expect(now).to_contain_text("Khai mạc")
        await expect(then).to_contain_text("Hội chẩn ca 1")
        await expect(then).to_contain_text("BVĐK Mộc Châu")
        assert states(server, made) == ["now", "planned", "planned"]
        await shoot(organiser, "wall-show-1024")

        # The point of the coming consult is made next from there.
        await then.get_by_test_id("show-cue").click()
        await expect(by_id(organiser, "desk-next")).to_contain_text("BVĐK Mộc Châu")
        await expect(then).to_contain_text("next")
        await expect(by_id(clinic, "next-banner")).to_be_visible()
        await goes_on_by_key(organiser, "Hội chẩn ca 1")
        await expect(then).to_contain_text("TTYT Mèo Vạc")
        await expect(then).to_contain_text("not here")
        assert states(server, made) == ["done", "now", "planned"]

        # A slip is taken back.
        await by_id(organiser, "undo").click()
        await expect(now).to_contain_text("Khai mạc")
        assert states(server, made) == ["now", "planned", "planned"]

        # What another organiser writes is seen at once, and gone on from there.
        event = ask(server, made, "GET", "")["agenda"]
        event["items"][1]["title"] = "Ca lâm sàng"
        ask(server, made, "PUT", "/agenda", event)
        await expect(then).to_contain_text("Ca lâm sàng")

        async with organiser.context.expect_page() as opened:
            await by_id(organiser, "to-event-page").click()
        page = await opened.value
        await expect(by_id(page, "event-title")).to_have_text("Khai trương")
        await by_id(page, "to-live").click()  # the join page asks before it takes the link over
        await expect(by_id(page, "join-button")).to_be_visible()
        await expect(by_id(organiser, "wall")).to_be_visible()


async def test_a_point_off_the_stage_sees_what_is_seen_of_it(
    server: Server, launch: Launch, shoot: Shoot
) -> None:
    made = server.create_session("Khai trương", "--format", "event")
    links = prepare(server, made)
    clinic = await comes(await launch(), links["BVĐK Mộc Châu"], "Nurse Lan", width=1024, height=768)
    organiser = Participant(server.address, made["tokens"]["organiser"], "Bình", receive=False)
    async with organiser.taking_part():
        await moves(clinic, '[data-testid="self-view"]', 1)
        await expect(by_id(clinic, "self-view-words")).to_contain_text("Nobody hears you")
        await shoot(clinic, "event-self-view-1024")
        await clinic.set_viewport_size({"width": 360, "height": 740})
        await shoot(clinic, "event-self-view-360")
        await fits(clinic)
        assert await clinic.evaluate(CUT_WORDS) == []
        for one in ("self-view", "self-view-words"):
            await expect(by_id(clinic, one)).to_be_in_viewport(ratio=1)
        await clinic.set_viewport_size({"width": 1024, "height": 768})
        await by_id(clinic, "camera-button").click()
        await expect(by_id(clinic, "self-view")).to_have_count(0)
        await expect(by_id(clinic, "self-view-words")).to_contain_text("Your camera is off")
        await by_id(clinic, "camera-button").click()
        await expect(by_id(clinic, "self-view")).to_have_count(1)
        (point,) = (who for who in organiser.participants.values() if who["role"] == "satellite")
        # Next, the banner shows it; on the stage, it is among the pictures.
        await organiser.request("setCue", participant=point["id"])
        await expect(by_id(clinic, "next-preview")).to_be_visible()
        await expect(by_id(clinic, "self-view-words")).to_have_count(0)
        await organiser.request("takeCue", participant=point["id"], replacing=None)
        await expect(by_id(clinic, "next-preview")).to_have_count(0)
        await expect(by_id(clinic, "self-view-words")).to_have_count(0)


async def test_on_a_full_stage_the_next_one_replaces_another_and_that_is_taken_back(
    server: Server, launch: Launch
) -> None:
    made = server.create_session("Khai trương", "--format", "event")
    async with many_points(server, made, 9) as points:
        organiser = await comes(await launch(), made["links"]["organiser"], "Bình")
        await open_wall(organiser)
        await expect(by_id(organiser, "wall-tile")).to_have_count(9)
        hub = Participant(server.address, made["tokens"]["hub"], "Dr Hà", receive=False)
        async with hub.taking_part():
            for point in points[:7]:  # with the organiser and the hub that is all there is room for
                await hub.request("giveFloor", participant=point.id)
            await expect(by_id(organiser, "desk-person")).to_have_count(9)
            await organiser.keyboard.press("3")
            await tile(organiser, "Trạm y tế 9").get_by_test_id("wall-press").click()
            await expect(by_id(organiser, "desk-next")).to_contain_text("Trạm y tế 9")
            await by_id(organiser, "take").click()
            choices = by_id(organiser, "replace-dialog").get_by_test_id("replace")
            await expect(choices).to_have_count(8)  # nobody takes oneself from the stage by a slip
            replaced, taken = points[2].id, points[8].id
            await organiser.locator(f'[data-testid="replace"][data-participant="{replaced}"]').click()
            await expect(on_desk(organiser, taken)).to_have_count(1)
            await expect(on_desk(organiser, replaced)).to_have_count(0)
            assert taken in hub.stage
            assert replaced not in hub.stage
            await by_id(organiser, "undo").click()
            await expect(on_desk(organiser, replaced)).to_have_count(1)
            await expect(on_desk(organiser, taken)).to_have_count(0)
            await hub.until(lambda: replaced in hub.stage and taken not in hub.stage)


async def test_a_message_reaches_the_chosen_points_and_muting_spares_the_stage(
    server: Server, launch: Launch
) -> None:
    made = server.create_session("Khai trương", "--format", "event")
    sound = voice()
    async with many_points(server, made, 4, lambda _: {"microphone": VoiceTrack(sound)}) as points:
        told: dict[str, list[str]] = {point.name: [] for point in points}

        def listening(name: str) -> Callable[[Message], None]:
            def heard(message: Message) -> None:
                if message["type"] == "noticeReceived":
                    told[name].append(message["notice"]["text"])

            return heard

        for point in points:
            point._on_message = listening(point.name)
        organiser = await comes(await launch(), made["links"]["organiser"], "Bình")
        await open_wall(organiser)
        await expect(by_id(organiser, "wall-tile")).to_have_count(4)

        await by_id(organiser, "tab-messages").click()
        await by_id(organiser, "notice-to").select_option("chosen")
        await expect(by_id(organiser, "notice-send")).to_have_attribute("aria-disabled", "true")
        for number in (1, 3, 4):
            await tile(organiser, f"Trạm y tế {number}").get_by_test_id("wall-press").click()
        await tile(organiser, "Trạm y tế 4").get_by_test_id("wall-press").click()  # not this one after all
        await expect(by_id(organiser, "notice-chosen")).to_have_text("Nurse 1, Nurse 3")
        await by_id(organiser, "notice-text").fill("Xin bật đèn")
        await by_id(organiser, "notice-send").click()
        await expect(by_id(organiser, "notice-text")).to_have_value("")
        await by_id(organiser, "notice-to").select_option("points")
        await by_id(organiser, "notice-text").fill("Bắt đầu")
        await by_id(organiser, "notice-send").click()
        for point in points:
            await point.until(partial(told[point.name].__contains__, "Bắt đầu"))
        assert told == {
            "Nurse 1": ["Xin bật đèn", "Bắt đầu"],
            "Nurse 2": ["Bắt đầu"],
            "Nurse 3": ["Xin bật đèn", "Bắt đầu"],
            "Nurse 4": ["Bắt đầu"],
        }

        await by_id(organiser, "tab-stage").click()
        await tile(organiser, "Trạm y tế 2").get_by_test_id("wall-more").click()
        await by_id(organiser, "act-stage").click()
        await expect(on_desk(organiser, points[1].id)).to_have_count(1)
        await by_id(organiser, "mute-off-stage").click()
        for number, words in (
            (1, "muted by the organiser"),
            (2, "microphone on"),
            (3, "muted by the organiser"),
        ):
            await expect(tile(organiser, f"Trạm y tế {number}")).to_contain_text(words)
        # Who comes on the stage can be heard again.
        await tile(organiser, "Trạm y tế 1").get_by_test_id("wall-more").click()
        await by_id(organiser, "act-stage").click()
        await expect(tile(organiser, "Trạm y tế 1")).to_contain_text("microphone on")


async def test_who_is_sent_away_at_the_door_is_told_so(server: Server, launch: Launch) -> None:
    made = server.create_session("Khai trương", "--format", "event")
    browser = await launch()
    organiser = await comes(browser, made["links"]["organiser"], "Bình")
    await open_wall(organiser)
    await by_id(organiser, "door-lobby").check()
    viewer = await open_join(browser, made["links"]["viewer"], "Stranger")
    await by_id(viewer, "join-button").click()
    await by_id(organiser, "lobby").locator("summary").click()
    await expect(by_id(organiser, "waiting")).to_contain_text("Stranger")
    await by_id(organiser, "turn-away").click()
    await expect(by_id(viewer, "problem")).to_have_attribute("data-code", "removed")
    await expect(by_id(organiser, "lobby")).to_have_count(0)
    await expect(by_id(organiser, "wall-counts")).to_contain_text("1 person")


async def test_a_strained_server_is_told_of_and_the_wall_is_without_faults(
    tmp_path: Path, launch: Launch, shoot: Shoot
) -> None:
    # Whatever runs on this machine takes more of its memory than that.
    with running_server(tmp_path / "data", settings={"load_memory_percent": "5"}) as server:
        made = server.create_session("Khai trương", "--format", "event")
        prepare(server, made)
        organiser = await open_checked(await launch(), made["links"]["organiser"])
        await by_id(organiser, "name-input").fill("Bình")
        await press_join(organiser)
        async with many_points(server, made, 3):
            await open_wall(organiser)
            await expect(by_id(organiser, "wall-load")).not_to_have_attribute(
                "data-load", "calm", timeout=20_000
            )
            await expect(by_id(organiser, "wall-load")).to_have_text(re.compile("Server (strained|full)"))
            await expect(by_id(organiser, "wall-load-meaning")).to_contain_text("The server is")
            await expect(by_id(organiser, "wall-tile")).to_have_count(3)
            await tile(organiser, "Trạm y tế 2").get_by_test_id("wall-press").click()
            await expect(by_id(organiser, "desk-next")).to_contain_text("Trạm y tế 2")
            await shoot(organiser, "wall-strained")
            assert await faults(organiser) == []
            for tab in ("questions", "messages"):
                await by_id(organiser, f"tab-{tab}").click()
                assert await faults(organiser) == []


async def fits(page: Page) -> None:
    assert await page.evaluate(FITS)


async def test_the_wall_fits_a_telephone_and_a_bright_room(
    server: Server, launch: Launch, shoot: Shoot
) -> None:
    made = server.create_session("Khai trương", "--format", "event")
    prepare(server, made)

    def cameras(number: int) -> dict[str, MovingPicture]:
        return {"camera": MovingPicture(320, 180, 30 + number * 17 % 200)}

    async with many_points(server, made, 8, cameras) as points:
        organiser = await comes(await launch(), made["links"]["organiser"], "Bình", locale="vi-VN")
        await open_wall(organiser)
        await expect(by_id(organiser, "wall-picture")).to_have_count(8, timeout=30_000)
        # Those who came by a link that is not of the list count, too.
        await expect(by_id(organiser, "wall-counts")).to_contain_text("8/11")
        await points[1].request("setHand", raised=True)
        await tile(organiser, "Trạm y tế 3").get_by_test_id("wall-press").click()
        await moves(organiser, '[data-testid="cue-video"]', 1)
        await organiser.emulate_media(reduced_motion="reduce")  # a picture in the midst of a change is none
        await organiser.evaluate("document.documentElement.dataset.theme = 'light'")
        await shoot(organiser, "wall-light")
        await fits(organiser)
        for width, height in ((360, 740), (768, 1024)):
            await organiser.set_viewport_size({"width": width, "height": height})
            await shoot(organiser, f"wall-light-{width}")
            await fits(organiser)
        await organiser.evaluate("document.documentElement.dataset.theme = 'dark'")
        await organiser.set_viewport_size({"width": 360, "height": 740})
        await shoot(organiser, "wall-360")
        for control in ("take", "go-on", "tab-messages"):
            await by_id(organiser, control).scroll_into_view_if_needed()
            await expect(by_id(organiser, control)).to_be_in_viewport()
