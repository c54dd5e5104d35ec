"""A launch event from its list of points to its attendance: forty points, a hundred viewers, two consults."""

from __future__ import annotations

import asyncio
import csv
import io
import urllib.parse
import zipfile
from collections import Counter
from typing import Any
from xml.etree import ElementTree

import pytest

from bridge.client import Participant
from bridge.crowd.member import Member
from bridge.demo.sound import Samples
from bridge.errors import BridgeError
from tests.scenarios.eventday import PROVINCES, EventDay, event_day, sheet, together, until
from tests.scenarios.receiving import loudest, pictures, receive
from tests.scenarios.recorded import recordings, until_recorded
from tests.serving import Server

pytestmark = pytest.mark.timeout(240)

EACH = 8
"""Points of a province."""
VIEWERS = 100
FIRST, SECOND = "Sơn La 1", "Cà Mau 3"
"""Who is called to a consult, one after the other."""
RETURNS, LOSES_ALL = "Hà Giang 2", "Quảng Ninh 4"
KEYFRAMES_APART_US = 500_000
"""The server asks once a second for a layer at most; a busy machine may hand two on closer together."""


async def hand_in_points(day: EventDay) -> dict[str, str]:
    """Imports the list; the token of each point, by name."""
    body, csv_type = sheet(EACH), {"Content-Type": "text/csv"}
    preview = await day.ask("PUT", "/points?preview=1", data=body, headers=csv_type)
    assert (preview["added"], preview["problems"]) == (40, [])
    assert (await day.ask("GET"))["points"] == []
    done = await day.ask("PUT", "/points", data=body, headers=csv_type)
    assert (done["added"], done["problems"]) == (40, [])
    again = await day.ask("PUT", "/points", data=body, headers=csv_type)
    assert (again["added"], again["unchanged"]) == (0, 40)

    file = await day.ask("GET", "/points.csv?language=en")
    rows = list(csv.DictReader(io.StringIO(file.decode("utf-8-sig"))))
    links = {f"{row['Province']} {row['Point'].split()[-1]}": row["Link"] for row in rows}
    known = {point["link"] for point in (await day.ask("GET", "?links=1"))["points"]}
    assert set(links.values()) == known
    assert len(known) == 40
    return {name: urllib.parse.urlparse(link).fragment for name, link in links.items()}


async def write_agenda(day: EventDay) -> None:
    event = await day.ask("GET")
    ids = {f"{p['province']} {p['name'].split()[-1]}": p["id"] for p in event["points"]}
    items = [
        {"kind": "speech", "title": "Khai mạc", "minutes": 10},
        {"kind": "consult", "title": "Hội chẩn 1", "minutes": 20, "point": ids[FIRST]},
        {"kind": "questions", "title": "Hỏi đáp", "minutes": 10},
        {"kind": "consult", "title": "Hội chẩn 2", "minutes": 20, "point": ids[SECOND]},
    ]
    await day.ask("PUT", "/agenda", json={"version": event["agenda"]["version"], "items": items})


async def points_come(day: EventDay, tokens: dict[str, str]) -> None:
    for name, token in tokens.items():
        day.points[name] = day.member(token, name, "point", speaking=name in (FIRST, SECOND))
    await day.come(day.points.values())
    listed = {point["participant"]: point for point in (await day.ask("GET"))["points"]}
    assert {member.id for member in day.points.values()} == listed.keys()
    assert all(point["connected"] for point in listed.values())
    for name, member in day.points.items():
        assert name.startswith(listed[member.id]["province"])
    # Nobody looks at more of them than a thumbnail.
    await until(lambda: all(p.layers_wanted == ["l"] for p in day.points.values()), "thumbnails only")


async def wall_shows_all_provinces(day: EventDay) -> None:
    province = {p["participant"]: p["province"] for p in (await day.ask("GET"))["points"]}
    after, seen = 0, set[str]()
    async with asyncio.timeout(60):
        while len(seen & province.keys()) < len(province):
            after, some = await day.look_at_wall(after)
            seen |= some
            await asyncio.sleep(0.5)
    assert Counter(province[id] for id in seen & province.keys()) == dict.fromkeys(PROVINCES, EACH)


async def a_viewer_really_sees_and_hears(day: EventDay) -> None:
    early = Participant(day.server.address, day.tokens["viewer"], "Early")
    async with early.taking_part():
        seen = await pictures(await receive(early, "camera", day.hub.id))
        assert seen.moved >= seen.frames // 2
        assert await loudest(await receive(early, "microphone", day.hub.id)) > 0.01
        await early.leave()


async def viewers_storm_in(day: EventDay) -> None:
    day.viewers = [day.viewer(f"Viewer {number}") for number in range(VIEWERS)]
    await day.come(day.viewers)
    await until(day.all_see_the_stage, "every viewer sees the stage")


async def consult(day: EventDay, name: str, item: int) -> Member:
    """The point is cued, told, and taken on the stage."""
    point, organiser = day.points[name], day.organiser
    others = [member for member in day.members if member is not point]
    await day.stands_at(item)
    await organiser.request("setCue", participant=point.id)
    await until(lambda: _is_next(day, point), "the next one is told")
    assert not any(_is_next(day, member) for member in others)
    await until(lambda: "h" in (point.layers_wanted or []), "who is next sends its full picture")
    before = set(organiser.stage)
    await organiser.request("takeCue", participant=point.id, replacing=None)
    await organiser.until(lambda: set(organiser.stage) == before | {point.id})
    await until(day.all_see_the_stage, f"everybody sees {name}")
    await until(lambda: not _is_next(day, point), "nobody is next")
    off_stage = [member for member in day.points.values() if member is not point]
    assert all(member.layers_wanted == ["l"] for member in off_stage)
    return point


def _is_next(day: EventDay, member: Member) -> bool:
    told = day.newest(member, "eventChanged")
    return told is not None and bool(told["next"])


async def give_back(day: EventDay, point: Member) -> None:
    await day.organiser.request("takeFloor", participant=point.id)
    await until(lambda: point.layers_wanted == ["l"], "off the stage only a thumbnail is sent")
    await until(day.all_see_the_stage, "who gave the floor back is seen no more")


async def words_go_round(day: EventDay, point: Member) -> None:
    """Question, notice, lower third."""
    organiser, asker = day.organiser, day.viewers[7]
    asked = await asker.request("askQuestion", text="Tổn thương sâu bao nhiêu?")
    told = day.heard["organiser"]["questionsChanged"]
    await until(lambda: told and asked["question"] in [q["id"] for q in told[-1]["questions"]], "it is asked")
    await organiser.request("pickQuestion", question=asked["question"], state="shown")
    await until(
        lambda: all(_shown(day, member) == "Tổn thương sâu bao nhiêu?" for member in day.members), "shown"
    )
    await organiser.request("pickQuestion", question=asked["question"], state="answered")
    await until(lambda: all(_shown(day, member) is None for member in day.members), "it is shown no more")
    (own,) = (day.newest(asker, "questionsChanged") or {})["questions"]
    assert own["state"] == "answered"

    some = [day.points[f"{province} 5"] for province in PROVINCES[:3]]
    await organiser.request("sendNotice", participants=[member.id for member in some], text="Bật đèn lên")
    lower = {"participant": point.id, "title": "Bs. Lan", "subtitle": "Sơn La"}
    await organiser.request("setLowerThird", lowerThird=lower)
    await until(lambda: all(_lower_third(day, member) == lower for member in day.members), "the lower third")
    # Whoever has been told of the lower third has been told of the notice before, if it was for them.
    assert {m.name for m in day.members if day.heard[m.name]["noticeReceived"]} == {m.name for m in some}
    await organiser.request("setLowerThird", lowerThird=None)


def _shown(day: EventDay, member: Member) -> str | None:
    question = (day.newest(member, "eventChanged") or {}).get("question")
    return None if question is None else str(question["text"])


def _lower_third(day: EventDay, member: Member) -> Any:
    return (day.newest(member, "eventChanged") or {}).get("lowerThird")


async def mute_all_but_the_stage(day: EventDay) -> None:
    organiser = day.organiser
    await organiser.request("muteOffStage")
    off_stage = {p.id for p in day.points.values()} - set(organiser.stage)
    await organiser.until(lambda: _blocked(day) == off_stage)


def _blocked(day: EventDay) -> set[str]:
    return {track["participant"] for track in day.organiser.tracks.values() if track["blocked"]}


async def door_holds(day: EventDay) -> None:
    organiser, late = day.organiser, day.viewer("Late")
    await organiser.request("setDoor", lobby=True, locked=False)
    coming = asyncio.create_task(day.come([late]))
    desk = day.heard["organiser"]["deskChanged"]
    waiting = await until(lambda: desk[-1]["waiting"], "somebody waits in the lobby")
    assert [one["name"] for one in waiting] == ["Late"]
    assert not coming.done()
    await organiser.request("admit", waiting=[waiting[0]["id"]])
    await coming
    day.viewers.append(late)

    await organiser.request("setDoor", lobby=False, locked=True)
    stranger = day.viewer("Stranger")
    with pytest.raises(BridgeError) as refused:
        await day.come([stranger])
    assert refused.value.code == "sessionLocked"
    await stranger.close()
    await day.points[LOSES_ALL].close()
    await day.come([day.points[LOSES_ALL]])  # who was in comes back
    await organiser.request("setDoor", lobby=False, locked=False)
    await until(day.all_see_the_stage, "who came late sees the stage")


async def lines_break_and_come_back(day: EventDay, on_stage: Member) -> None:
    organiser = day.organiser
    stage, offered = list(organiser.stage), day.viewers[0].offered()
    await on_stage.lose_connection()
    await organiser.until(lambda: not organiser.participants[on_stage.id]["connected"])
    assert organiser.stage == stage
    await on_stage.resume()
    await organiser.until(lambda: organiser.participants[on_stage.id]["connected"])
    assert organiser.stage == stage
    assert day.viewers[0].offered() == offered

    returning = day.points[RETURNS]
    before = returning.id
    await returning.leave()
    await organiser.until(lambda: before not in organiser.participants)
    await day.come([returning])
    assert returning.id == before
    await until(day.all_see_the_stage, "who came back sees the stage")


async def check_what_flowed(day: EventDay) -> None:
    assert all(member.connected for member in day.members)
    counts = await day.crew.counts()
    assert counts.lost == counts.wrong == counts.unsent == 0
    assert counts.received > 0
    assert counts.keyframe_apart_us == 0 or counts.keyframe_apart_us > KEYFRAMES_APART_US


async def end(day: EventDay) -> None:
    await day.organiser.request("endSession")
    await until(lambda: not any(member.connected for member in day.members), "all are sent home")
    assert {code for member in day.members for code in member.errors} == {"sessionEnded"}
    await together((member.close() for member in day.members), at_once=50)


async def check_attendance(day: EventDay) -> None:
    seen = await day.ask("GET", "/attendance")
    rows = {row["name"]: row for row in seen["rows"]}
    assert Counter(row["role"] for row in seen["rows"]) == {
        "organiser": 1,
        "hub": 1,
        "satellite": 40,
        "viewer": VIEWERS + 2,  # Early and Late
    }
    assert {name for name, row in rows.items() if row["comings"] != 1} == {RETURNS}
    for row in rows.values():
        assert row["joinedAt"] <= row["leftAt"]
        span_min = (row["leftAt"] - row["joinedAt"]) / 60_000
        there = row["comings"] == 1
        assert (
            row["minutes"] == pytest.approx(span_min, abs=0.06)
            if there
            else row["minutes"] <= span_min + 0.06
        )
    assert rows[RETURNS]["comings"] == 2
    assert len(seen["byPoint"]) == 40
    for point in seen["byPoint"]:
        name = f"{point['province']} {point['name'].split()[-1]}"
        assert (point["people"], point["minutes"]) == (1, rows[name]["minutes"])
        assert (rows[name]["province"], rows[name]["organisation"]) == (
            point["province"],
            point["organisation"],
        )
    assert {row["province"]: (row["invited"], row["came"], row["people"]) for row in seen["byProvince"]} == {
        province: (EACH, EACH, EACH) for province in PROVINCES
    }
    for row in seen["byProvince"]:
        minutes = sum(one["minutes"] for one in seen["byPoint"] if one["province"] == row["province"])
        assert row["minutes"] == pytest.approx(minutes, abs=0.05)
    assert (seen["peak"]["points"], seen["peak"]["people"]) == (40, 40 + VIEWERS + 1 + 2)
    await _check_files(day, seen)


async def _check_files(day: EventDay, seen: dict[str, Any]) -> None:
    people = csv.DictReader(io.StringIO((await day.ask("GET", "/attendance.csv")).decode("utf-8-sig")))
    lines = {row["Name"]: row for row in people}
    assert lines.keys() == {row["name"] for row in seen["rows"]}
    assert (lines[FIRST]["Province"], lines[FIRST]["Comings"]) == ("Sơn La", "1")
    book = zipfile.ZipFile(io.BytesIO(await day.ask("GET", "/attendance.xlsx")))
    counts = [
        len(ElementTree.fromstring(book.read(f"xl/worksheets/sheet{number}.xml")).findall(".//{*}row"))
        for number in (1, 2, 3)
    ]
    assert counts == [1 + 40, 1 + len(seen["rows"]), 1 + len(PROVINCES)]


async def check_recording(day: EventDay, *on_stage: str) -> None:
    """One, sealed, and in it those who were on the stage and nobody else."""
    await until_recorded(day.server, lambda found: len(found) == 1 and found[0].sealed)
    with recordings(day.server) as (reader,):
        recorded = {(track.about.participant, track.about.source) for track in reader.tracks if track.parts}
    assert recorded == {(id, source) for id in on_stage for source in ("camera", "microphone")}


async def test_forty_points_and_a_hundred_viewers_from_the_list_of_points_to_the_attendance(
    server: Server, sound: Samples
) -> None:
    async with event_day(server, sound, capacity=200) as day:
        tokens = await hand_in_points(day)
        await write_agenda(day)
        await points_come(day, tokens)
        await day.stands_at(0)
        await a_viewer_really_sees_and_hears(day)
        await wall_shows_all_provinces(day)
        await viewers_storm_in(day)
        first = await consult(day, FIRST, 1)
        await words_go_round(day, first)
        await mute_all_but_the_stage(day)
        await door_holds(day)
        await give_back(day, first)
        second = await consult(day, SECOND, 3)
        assert second.id not in _blocked(day)
        await lines_break_and_come_back(day, second)
        await check_what_flowed(day)
        await end(day)
        await check_attendance(day)
        await check_recording(day, day.hub.id, first.id, second.id)
