"""Who is in an event from when to when: told by sessions, kept in the store, shown to who may see it."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
import sqlalchemy as sa

from bridge.audit import Event, read_lines
from bridge.client import Participant
from bridge.ids import Role
from tests.launch.conftest import Happening


async def attendance(event: Happening) -> dict[str, Any]:
    return dict(await event.ask("GET", "/attendance"))


async def test_comings_and_goings_are_shown_while_it_goes_on_and_after(event: Happening) -> None:
    made = await event.ask(
        "POST", "/points", json={"province": "Sơn La", "organisation": "BVĐK", "name": "Hội trường"}
    )
    token = made["link"].partition("#")[2]
    url = event.house.url
    async with Participant(url, event.organiser, "Bình", receive=False).taking_part():
        async with Participant(url, token, "Bs. Lan", receive=False).taking_part():
            rows = {row["name"]: row for row in (await attendance(event))["rows"]}
            assert set(rows) == {"Bình", "Bs. Lan"}
            assert rows["Bs. Lan"]["leftAt"] is None
            assert rows["Bs. Lan"]["organisation"] == "BVĐK"
        async with Participant(url, token, "Bs. Lan", receive=False).taking_part():
            pass
        async with Participant(url, token, "Y tá Hoa", receive=False).taking_part():
            pass
        seen = await attendance(event)
    rows = {row["name"]: row for row in seen["rows"]}
    assert (rows["Bs. Lan"]["comings"], rows["Y tá Hoa"]["comings"]) == (1, 1)
    assert rows["Bs. Lan"]["leftAt"] >= rows["Bs. Lan"]["joinedAt"]
    (point,) = seen["byPoint"]
    assert (point["people"], point["comings"]) == (2, 2)
    assert seen["byProvince"] == [
        {"province": "Sơn La", "invited": 1, "came": 1, "people": 2, "minutes": point["minutes"]}
    ]
    assert (seen["peak"]["people"], seen["peak"]["points"]) == (2, 1)
    await event.house.server.rooms.end_session(event.made.session.id)
    assert (await attendance(event))["rows"][0]["leftAt"] is not None


async def test_a_name_that_changes_is_the_same_person(event: Happening) -> None:
    async with Participant(
        event.house.url, event.organiser, "Binh", receive=False
    ).taking_part() as organiser:
        await organiser.request("setName", name="Bình")
    assert [(row["name"], row["comings"]) for row in (await attendance(event))["rows"]] == [("Bình", 1)]


async def test_a_consult_keeps_no_attendance(event: Happening) -> None:
    consult = await event.house.make("Hội chẩn")
    token = event.house.token(consult, Role.HUB)
    async with Participant(event.house.url, token, "Bs. Lan", receive=False).taking_part():
        await event.house.server.office.store.check_writable()
    async with event.house.server.office.store.reading() as connection:
        assert (await connection.execute(sa.text("select count(*) from attendance"))).scalar() == 0


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
async def test_files_of_names_are_given_with_a_line_of_the_audit(event: Happening, kind: str) -> None:
    async with Participant(event.house.url, event.organiser, "Bình", receive=False).taking_part():
        pass
    url = f"{event.house.url}{event.path}/attendance.{kind}?language=vi&offset=420"
    async with event.house.client.get(url, headers={"Authorization": f"Bearer {event.hub}"}) as answer:
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "no-store"
        data = await answer.read()
    if kind == "csv":
        rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig")), delimiter=";"))
        assert [row[3] for row in rows[1:]] == ["Bình"]
    else:
        assert data.startswith(b"PK")
    audit = event.house.server.audit
    last = list(read_lines(audit.folder, audit.key))[-1].content
    assert (last["event"], last["who"]) == (
        Event.OBJECT_EXPORTED,
        f"invite:{event.made.invites[Role.HUB].id}",
    )


@pytest.mark.parametrize("path", ["/attendance", "/attendance.csv", "/attendance.xlsx"])
async def test_only_who_ran_it_sees_who_was_there(event: Happening, path: str) -> None:
    for role in (Role.SATELLITE, Role.VIEWER):
        token = event.house.token(event.made, role)
        assert await event.house.code("GET", event.path + path, token) == (403, "notAllowed")


async def test_looking_at_names_and_being_refused_stand_in_the_audit(event: Happening) -> None:
    audit = event.house.server.audit
    for _ in range(3):
        await attendance(event)
        await event.points()
    viewer = event.house.token(event.made, Role.VIEWER)
    assert await event.house.code("GET", event.path + "/attendance", viewer) == (403, "notAllowed")
    lines = [line.content for line in read_lines(audit.folder, audit.key)]
    looks = [
        (line["who"].partition(":")[2], line["outcome"])
        for line in lines
        if line["event"] == Event.OBJECT_ACCESSED
    ]
    organiser, refused = (event.made.invites[role].id for role in (Role.ORGANISER, Role.VIEWER))
    assert looks == [(organiser, 1), (organiser, 1), (refused, 4)]


async def test_events_that_are_made_up_do_not_fill_the_audit(event: Happening) -> None:
    viewer, other = event.house.token(event.made, Role.VIEWER), await event.house.make("Hội chẩn")
    audit = event.house.server.audit
    for asked in ("a1", "a2", "a3", "a4", other.session.id):
        path = f"/api/events/{asked}/attendance"
        assert await event.house.code("GET", path, viewer) == (403, "notAllowed")
    lines = [line.content for line in read_lines(audit.folder, audit.key)]
    refused = [line["on"] for line in lines if line["event"] == Event.OBJECT_ACCESSED]
    assert refused == [f"session/{event.made.session.id}", f"session/{other.session.id}"]


async def test_odd_questions_are_refused(event: Happening) -> None:
    for query in ("language=xx", "offset=841", "offset=1e3", "offset=0x10"):
        path = f"{event.path}/attendance.csv?{query}"
        assert await event.house.code("GET", path, event.organiser) == (400, "malformed")
