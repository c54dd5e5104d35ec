"""Points and run of show of an event over HTTP: what is imported, who may, what the audit has of it."""

from __future__ import annotations

import asyncio
import csv
import io
import time

import pytest

from bridge.audit import Event, read_lines
from bridge.client import Participant
from bridge.ids import Role, SessionFormat
from tests.launch.conftest import Happening

SHEET = """Tỉnh;Đơn vị;Điểm cầu;Liên hệ
Sơn La;BVĐK Mộc Châu;Phòng siêu âm;Bs. Lò Văn Pánh, +84 912
Điện Biên;BVĐK Điện Biên;Hội trường;
Điện Biên;TTYT Mường Nhé;;Sùng A Dơ
"""


def audited(event: Happening) -> list[tuple[object, object]]:
    """What the audit says of the event: what happened, and who did it."""
    audit = event.house.server.audit
    lines = [line.content for line in read_lines(audit.folder, audit.key)]
    return [
        (line["event"], line["who"]) for line in lines if line.get("on") == f"session/{event.made.session.id}"
    ]


async def test_a_sheet_gives_each_point_a_link_that_opens_the_event(event: Happening) -> None:
    done = await event.put_points(SHEET)
    assert done == {"added": 3, "changed": 0, "unchanged": 0, "removed": 0, "problems": []}
    points = await event.points("?links=1")
    assert [(p["province"], p["organisation"], p["name"]) for p in points] == [
        ("Sơn La", "BVĐK Mộc Châu", "Phòng siêu âm"),
        ("Điện Biên", "BVĐK Điện Biên", "Hội trường"),
        ("Điện Biên", "TTYT Mường Nhé", ""),
    ]
    assert points[0]["contact"] == "Bs. Lò Văn Pánh, +84 912"
    assert not any(p["connected"] or p["revoked"] or p["check"] for p in points)
    for point, shown in zip(
        points, ("BVĐK Mộc Châu, Phòng siêu âm", "BVĐK Điện Biên, Hội trường", "TTYT Mường Nhé"), strict=True
    ):
        token = point["link"].partition("#")[2]
        status, invite = await event.house.ask("GET", "/api/invite", token)
        assert (status, invite["role"], invite["point"]) == (200, "satellite", shown)


async def test_a_preview_says_what_would_change_and_changes_nothing(event: Happening) -> None:
    await event.put_points(SHEET)
    before = await event.points()
    other = "organisation,point,province,contact\nBVĐK ĐIỆN BIÊN,Hội trường,Điện Biên,\nMới,,Lai Châu,\n,,Lai Châu,x\n"
    done = await event.put_points(other, "?preview=1")
    assert (done["added"], done["changed"], done["unchanged"], done["removed"]) == (1, 1, 0, 0)
    assert [(row["line"], row["change"]) for row in done["rows"]] == [(2, "changed"), (3, "added")]
    assert [(one["line"], one["code"]) for one in done["problems"]] == [(4, "empty")]
    assert await event.points() == before


async def test_links_stay_good_through_a_second_import(event: Happening) -> None:
    await event.put_points(SHEET)
    links = {p["id"]: p["link"] for p in await event.points("?links=1")}
    done = await event.put_points(SHEET.replace("Sùng A Dơ", "Giàng A Páo"))
    assert (done["added"], done["changed"], done["unchanged"]) == (0, 1, 2)
    assert {p["id"]: p["link"] for p in await event.points("?links=1")} == links


async def test_points_missing_in_the_file_go_only_if_asked_and_no_line_has_a_problem(
    event: Happening,
) -> None:
    await event.put_points(SHEET)
    gone = next(p for p in await event.points("?links=1") if p["organisation"] == "BVĐK Mộc Châu")
    rest = "\n".join([SHEET.splitlines()[0], *SHEET.splitlines()[2:]]) + "\n"
    assert (await event.put_points(rest))["removed"] == 0
    done = await event.put_points(rest + ";;;x\n", "?remove=1")
    assert done["removed"] == 0
    assert [one["code"] for one in done["problems"]] == ["empty", "nothingRemoved"]
    assert len(await event.points()) == 3
    preview = await event.put_points(rest, "?remove=1&preview=1")
    assert [one["id"] for one in preview["gone"]] == [gone["id"]]
    assert (await event.put_points(rest, "?remove=1"))["removed"] == 1
    assert gone["id"] not in {p["id"] for p in await event.points()}
    token = gone["link"].partition("#")[2]
    assert await event.house.code("GET", "/api/invite", token) == (401, "inviteRevoked")


async def test_a_removed_point_is_restored_with_a_new_link(event: Happening) -> None:
    await event.put_points(SHEET)
    point = (await event.points("?links=1"))[0]
    await event.ask("DELETE", f"/points/{point['id']}")
    assert len(await event.points()) == 2
    back = await event.ask("POST", f"/points/{point['id']}/restore")
    assert back["id"] == point["id"]
    assert back["link"] != point["link"]
    status, _ = await event.house.ask("GET", "/api/invite", back["link"].partition("#")[2])
    assert status == 200
    assert await event.house.code("POST", f"{event.path}/points/{point['id']}/restore", event.organiser) == (
        404,
        "notFound",
    )


async def test_a_renamed_point_keeps_its_link_and_is_shown_by_its_new_name(event: Happening) -> None:
    made = await event.ask("POST", "/points", json={"province": "Sơn La", "name": "Hội trường"})
    changed = await event.ask("PATCH", f"/points/{made['id']}", json={"name": "Phòng mổ"})
    assert (changed["name"], changed["province"]) == ("Phòng mổ", "Sơn La")
    status, invite = await event.house.ask("GET", "/api/invite", made["link"].partition("#")[2])
    assert (status, invite["point"]) == (200, "Phòng mổ")


async def test_places_of_one_name_in_two_provinces_are_shown_apart(event: Happening) -> None:
    await event.put_points("province,organisation\nSơn La,TTYT Châu Thành\nLai Châu,TTYT Châu Thành\n")

    async def shown() -> list[str]:
        links = [point["link"].partition("#")[2] for point in await event.points("?links=1")]
        return sorted([(await event.house.ask("GET", "/api/invite", link))[1]["point"] for link in links])

    assert await shown() == ["TTYT Châu Thành", "TTYT Châu Thành, Lai Châu"]
    made = await event.ask("POST", "/points", json={"province": "Sơn La", "name": "Hội trường"})
    await event.ask("PATCH", f"/points/{made['id']}", json={"province": "Hà Nội", "name": "TTYT Châu Thành"})
    await event.ask("POST", "/points", json={"name": "TTYT Châu Thành"})
    assert await shown() == [
        "TTYT Châu Thành",
        "TTYT Châu Thành (2)",
        "TTYT Châu Thành, Hà Nội",
        "TTYT Châu Thành, Lai Châu",
    ]


async def test_who_came_on_a_link_before_counts_to_its_point_whatever_that_is_called_now(
    event: Happening,
) -> None:
    made = await event.ask("POST", "/points", json={"province": "Sơn La", "name": "Hội trường"})
    token = made["link"].partition("#")[2]
    async with Participant(event.house.url, token, "Bs. Lan", receive=False).taking_part():
        pass
    # By then it is written.
    assert len((await event.ask("GET", "/attendance"))["rows"]) == 1
    await event.ask("POST", f"/points/{made['id']}/link")
    await event.ask("PATCH", f"/points/{made['id']}", json={"name": "Phòng mổ"})
    (row,) = (await event.ask("GET", "/attendance"))["byPoint"]
    assert (row["id"], row["name"], row["people"]) == (made["id"], "Phòng mổ", 1)


async def test_two_who_change_different_fields_of_a_point_lose_nothing(event: Happening) -> None:
    made = await event.ask("POST", "/points", json={"name": "Hội trường"})
    for number in range(5):
        changes = {"province": f"T{number}", "organisation": f"B{number}", "contact": f"C{number}"}
        await asyncio.gather(
            *(
                event.ask("PATCH", f"/points/{made['id']}", json={field: text})
                for field, text in changes.items()
            )
        )
        (point,) = await event.points()
        assert {field: point[field] for field in changes} == changes


async def test_a_point_is_not_restored_where_there_is_no_room(
    event: Happening, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await event.ask("POST", "/points", json={"name": "Một"})
    await event.ask("DELETE", f"/points/{first['id']}")
    await event.ask("POST", "/points", json={"name": "Hai"})
    monkeypatch.setattr("bridge.launch.book.POINTS_LIMIT", 1)
    assert await event.house.code("POST", f"{event.path}/points/{first['id']}/restore", event.organiser) == (
        413,
        "tooLarge",
    )
    assert [point["name"] for point in await event.points()] == ["Hai"]


async def test_two_points_are_never_the_same(event: Happening) -> None:
    one = await event.ask("POST", "/points", json={"province": "Sơn La", "name": "Một"})
    await event.ask("POST", "/points", json={"province": "Sơn La", "name": "Hai"})
    path = f"{event.path}/points"
    assert await event.house.code(
        "POST", path, event.organiser, json={"province": "SƠN LA", "name": "hai"}
    ) == (409, "conflict")
    assert await event.house.code("PATCH", f"{path}/{one['id']}", event.organiser, json={"name": "HAI"}) == (
        409,
        "conflict",
    )
    assert await event.house.code("POST", path, event.organiser, json={"province": "Sơn La"}) == (
        400,
        "malformed",
    )


async def test_a_lost_link_is_replaced_and_the_old_one_is_good_no_more(event: Happening) -> None:
    made = await event.ask("POST", "/points", json={"name": "Một"})
    new = await event.ask("POST", f"/points/{made['id']}/link")
    assert new["id"] == made["id"]
    assert await event.house.code("GET", "/api/invite", made["link"].partition("#")[2]) == (
        401,
        "inviteRevoked",
    )
    assert (await event.house.ask("GET", "/api/invite", new["link"].partition("#")[2]))[0] == 200


async def test_the_link_of_one_point_is_handed_out_to_the_organiser_and_stands_in_the_audit(
    event: Happening,
) -> None:
    made = await event.ask("POST", "/points", json={"name": "Một"})
    path = f"{event.path}/points/{made['id']}/link"
    organiser = (Event.OBJECT_EXPORTED, f"invite:{event.made.invites[Role.ORGANISER].id}")
    before = audited(event).count(organiser)
    shown = await event.ask("GET", f"/points/{made['id']}/link")
    assert shown["link"] == made["link"]
    assert audited(event).count(organiser) == before + 1
    assert await event.house.code("GET", path, event.hub) == (403, "notAllowed")
    await event.house.server.rooms.revoke_invite(event.made.session.id, made["invite"])
    assert await event.house.code("GET", path, event.organiser) == (409, "conflict")


async def test_a_point_shows_who_is_connected_on_it(event: Happening) -> None:
    made = await event.ask("POST", "/points", json={"name": "Một"})
    token = made["link"].partition("#")[2]
    async with Participant(event.house.url, token, "Bs. Lan", receive=False).taking_part() as clinic:
        (point,) = await event.points()
        assert point["connected"]
        assert point["participant"] == clinic.id
    assert (await event.ask("GET"))["agenda"] == {"version": 0, "items": []}


async def test_the_list_of_links_can_be_imported_again_and_computes_nothing(event: Happening) -> None:
    await event.put_points('point,contact\n"=HYPERLINK(""http://x"")",+84 912\nB,-1\n')
    async with event.house.client.get(
        event.house.url + event.path + "/points.csv?language=vi",
        headers={"Authorization": f"Bearer {event.organiser}"},
    ) as answer:
        assert answer.headers["Cache-Control"] == "no-store"
        assert "attachment" in answer.headers["Content-Disposition"]
        data = await answer.read()
    rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig")), delimiter=";"))
    assert rows[0] == ["Tỉnh", "Đơn vị", "Điểm cầu", "Liên hệ", "Đường dẫn"]
    assert sorted(row[2] for row in rows[1:]) == ['\'=HYPERLINK("http://x")', "B"]
    assert all(cell[:1] not in ("=", "+", "-", "@") for row in rows for cell in row)
    again = await event.put_points(data)
    assert (again["unchanged"], again["added"], again["changed"], again["problems"]) == (2, 0, 0, [])
    assert (Event.OBJECT_EXPORTED, f"invite:{event.made.invites[Role.ORGANISER].id}") in audited(event)


async def test_the_hub_reads_without_links_and_changes_nothing(event: Happening) -> None:
    await event.put_points(SHEET)
    points = (await event.ask("GET", token=event.hub))["points"]
    assert len(points) == 3
    assert not any("link" in point for point in points)
    refused = (403, "notAllowed")
    assert await event.house.code("GET", event.path + "?links=1", event.hub) == refused
    assert await event.house.code("GET", event.path + "/points.csv", event.hub) == refused
    agenda = {"version": 0, "items": []}
    assert await event.house.code("PUT", event.path + "/agenda", event.hub, json=agenda) == refused
    for role in (Role.SATELLITE, Role.VIEWER):
        assert await event.house.code("GET", event.path, event.house.token(event.made, role)) == refused
    other = await event.house.make("Khác", format=SessionFormat.EVENT)
    assert await event.house.code("GET", event.path, event.house.token(other, Role.ORGANISER)) == refused


async def test_a_consult_has_no_points(event: Happening) -> None:
    consult = await event.house.make("Hội chẩn")
    path = f"/api/events/{consult.session.id}"
    assert await event.house.code("GET", path, event.house.staff_token()) == (409, "conflict")


async def test_after_the_end_it_is_read_and_not_changed(event: Happening) -> None:
    await event.put_points(SHEET)
    await event.house.server.rooms.end_session(event.made.session.id)
    assert (await event.ask("GET"))["state"] == "ended"
    made = {"name": "Một"}
    assert await event.house.code("POST", event.path + "/points", event.organiser, json=made) == (
        410,
        "sessionEnded",
    )


async def test_a_thousand_points_are_imported_at_once(event: Happening) -> None:
    lines = [f"Tỉnh {n % 35},Bệnh viện {n},Phòng {n},Bác sĩ {n}" for n in range(1000)]
    begun_s = time.monotonic()
    done = await event.put_points("\n".join(["province,organisation,point,contact", *lines]))
    took_s = time.monotonic() - begun_s
    assert (done["added"], done["problems"]) == (1000, [])
    assert len({p["link"] for p in await event.points("?links=1")}) == 1000
    assert took_s < 10, "on a quiet computer it is half a second"
    over = await event.house.code("POST", event.path + "/points", event.organiser, json={"name": "1001"})
    assert over == (413, "tooLarge")


async def test_who_holds_an_old_run_of_show_does_not_overwrite_the_new_one(event: Happening) -> None:
    point = (await event.ask("POST", "/points", json={"name": "Một"}))["id"]
    items = [
        {"kind": "speech", "title": "Khai mạc", "minutes": 10, "state": "now"},
        {"kind": "consult", "title": "Ca bệnh 1", "minutes": 20, "point": point},
    ]
    assert await event.ask("PUT", "/agenda", json={"version": 0, "items": items}) == {"version": 1}
    agenda = (await event.ask("GET"))["agenda"]
    assert agenda["version"] == 1
    assert [item["title"] for item in agenda["items"]] == ["Khai mạc", "Ca bệnh 1"]
    assert len({item["id"] for item in agenda["items"]}) == 2
    put = {"version": 0, "items": items}
    assert await event.house.code("PUT", event.path + "/agenda", event.organiser, json=put) == (
        409,
        "conflict",
    )
    assert await event.ask("PUT", "/agenda", json=agenda) == {"version": 2}
    assert (await event.ask("GET"))["agenda"]["items"] == agenda["items"]


@pytest.mark.parametrize(
    ("items", "refusal"),
    [
        ([{"kind": "speech", "title": "A", "minutes": 1, "state": "now"}] * 2, (400, "malformed")),
        ([{"kind": "speech", "title": "A", "minutes": 1}] * 101, (400, "malformed")),
        ([{"kind": "party", "title": "A", "minutes": 1}], (400, "malformed")),
        ([{"kind": "speech", "title": "\u200b", "minutes": 1}], (400, "malformed")),
        ([{"kind": "consult", "title": "A", "minutes": 1, "point": "nowhere"}], (404, "notFound")),
        # Twice as long once it is normalised: stored like that, the event could not be read any more.
        ([{"kind": "speech", "title": "\u0958" * 200, "minutes": 1}], (413, "tooLarge")),
    ],
)
async def test_a_run_of_show_that_cannot_be_is_refused(
    event: Happening, items: list[dict[str, object]], refusal: tuple[int, str]
) -> None:
    put = {"version": 0, "items": items}
    assert await event.house.code("PUT", event.path + "/agenda", event.organiser, json=put) == refusal
    assert (await event.ask("GET"))["agenda"]["version"] == 0


async def test_moderators_are_told_of_another_run_of_show(event: Happening) -> None:
    told: list[dict[str, object]] = []
    hub = Participant(event.house.url, event.hub, "Hub", receive=False, on_message=told.append)
    viewer_told: list[dict[str, object]] = []
    token = event.house.token(event.made, Role.VIEWER)
    viewer = Participant(event.house.url, token, "V", receive=False, on_message=viewer_told.append)
    async with viewer.taking_part(), hub.taking_part():
        await event.ask("PUT", "/agenda", json={"version": 0, "items": []})
        await hub.until(lambda: any(m["type"] == "agendaChanged" and m["version"] == 1 for m in told))
        assert not any(m["type"] == "agendaChanged" for m in viewer_told)


async def test_when_it_begins_is_kept_and_links_outlast_it(event: Happening) -> None:
    now_ms = int(time.time() * 1000)
    starts_at = now_ms + 200 * 24 * 3600 * 1000
    await event.ask("PATCH", json={"startsAt": starts_at})
    assert (await event.ask("GET"))["startsAt"] == starts_at
    made = await event.ask("POST", "/points", json={"name": "Một"})
    assert made["expiresAt"] >= starts_at + 7 * 24 * 3600 * 1000


async def test_links_that_were_made_before_follow_an_event_that_is_moved(event: Happening) -> None:
    await event.ask("POST", "/points", json={"name": "Một"})
    staff, session = event.house.staff_token(), event.made.session.id
    short = {"role": "viewer", "expiresInS": 3600}
    assert (await event.house.ask("POST", f"/api/sessions/{session}/invites", staff, json=short))[0] == 201
    starts_at = int(time.time() * 1000) + 100 * 24 * 3600 * 1000
    await event.ask("PATCH", json={"startsAt": starts_at})
    later = starts_at + 7 * 24 * 3600 * 1000
    new = {"role": "viewer"}
    assert (await event.house.ask("POST", f"/api/sessions/{session}/invites", staff, json=new))[0] == 201
    _, shown = await event.house.ask("GET", f"/api/sessions/{session}", staff)
    untils = sorted(invite["expiresAt"] for invite in shown["invites"])
    # Who made a link for an hour meant an hour.
    assert untils[0] < starts_at
    assert len(untils) == 7
    assert set(untils[1:]) == {later}
    await event.ask("PATCH", json={"startsAt": starts_at - 24 * 3600 * 1000})
    _, shown = await event.house.ask("GET", f"/api/sessions/{session}", staff)
    assert sorted(invite["expiresAt"] for invite in shown["invites"]) == untils
    (point,) = await event.points("?links=1")
    assert await event.house.ask("GET", f"{event.path}", event.organiser)
    assert point["expiresAt"] == later


@pytest.mark.parametrize(
    ("body", "type", "query", "refusal"),
    [
        (b"x" * (2**20 + 1), "text/csv", "", (413, "tooLarge")),
        (b"point\nA\n", "text/plain", "", (415, "wrongType")),
        (b"point\nA\n", "text/csv", "?charset=koi8-r", (400, "malformed")),
        (b"point\nA\n", "text/csv", "?preview=yes", (400, "malformed")),
    ],
)
async def test_a_file_that_cannot_be_taken_is_refused(
    event: Happening, body: bytes, type: str, query: str, refusal: tuple[int, str]
) -> None:
    headers = {"Content-Type": type}
    path = f"{event.path}/points{query}"
    assert (
        await event.house.code("PUT", path, event.organiser, data=io.BytesIO(body), headers=headers)
        == refusal
    )
