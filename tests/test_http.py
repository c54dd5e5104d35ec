"""The HTTP interface on a real server: what it answers, and what it refuses with which code."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from bridge.client import Participant
from bridge.ids import Role
from tests.house import House, open_house


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path, title="Bệnh viện Bạch Mai") as opened:
        yield opened


async def test_staff_makes_a_session_whose_links_open_it(house: House) -> None:
    status, made = await house.ask(
        "POST",
        "/api/sessions",
        house.staff_token(),
        json={"title": "  Echo   with Sơn La ", "format": "event"},
    )
    assert status == 201
    assert set(made) == {"session", "tokens", "links"}
    assert set(made["tokens"]) == set(made["links"]) == {"organiser", "hub", "satellite", "viewer"}
    for role, token in made["tokens"].items():
        assert made["links"][role] == f"{house.url}/join#{token}"
        assert await house.ask("GET", "/api/invite", token) == (
            200,
            {
                "session": {
                    "id": made["session"],
                    "title": "Echo with Sơn La",
                    "kind": "consultation",
                    "format": "event",
                    "state": "open",
                    "record": "auto",
                    "consent": False,
                },
                "role": role,
                "point": "",
                "host": "Bệnh viện Bạch Mai",
            },
        )


async def test_viewers_of_a_new_session_have_as_many_seats_as_it_holds(house: House) -> None:
    made = await house.make(capacity=17)
    seats = {role: invite.seats for role, invite in made.invites.items()}
    assert seats == {Role.ORGANISER: 1, Role.HUB: 1, Role.SATELLITE: 1, Role.VIEWER: 17}


async def test_sessions_are_listed_to_staff(house: House) -> None:
    made = await house.make("Echo")
    status, listed = await house.ask("GET", "/api/sessions", house.staff_token())
    assert status == 200
    (session,) = listed["sessions"]
    assert listed["usual"] == {"record": "auto", "consent": False}
    assert session.pop("createdAt") == made.session.created_at_ms
    assert session == {
        "id": made.session.id,
        "title": "Echo",
        "kind": "consultation",
        "format": "consult",
        "state": "open",
        "capacity": 24,
        "startedAt": None,
        "record": "auto",
        "consent": False,
        "lobby": False,
        "locked": False,
        "recording": None,
        "connected": 0,
    }


async def test_an_organiser_sees_and_makes_and_withdraws_invites_of_its_session(house: House) -> None:
    made = await house.make()
    organiser = house.token(made, Role.ORGANISER)
    path = f"/api/sessions/{made.session.id}"
    status, new = await house.ask(
        "POST",
        f"{path}/invites",
        organiser,
        json={"role": "satellite", "point": "Sơn La", "expiresInS": 3600},
    )
    assert status == 201
    assert set(new) == {"invite", "token", "link"}
    assert await house.ask("GET", f"{path}/invites/{new['invite']}/link", organiser) == (
        200,
        {"token": new["token"], "link": new["link"]},
    )
    _, seen = await house.ask("GET", path, organiser)
    assert set(seen) == {"session", "participants", "invites"}
    assert len(seen["invites"]) == 5
    (shown,) = [invite for invite in seen["invites"] if invite["id"] == new["invite"]]
    assert set(shown) == {"id", "role", "point", "seats", "expiresAt", "revoked", "connected"}
    assert (shown["point"], shown["seats"], shown["revoked"], shown["connected"]) == ("Sơn La", 1, False, 0)
    assert await house.ask("DELETE", f"{path}/invites/{new['invite']}", organiser) == (204, {})
    assert await house.code("GET", "/api/invite", new["token"]) == (401, "inviteRevoked")
    assert await house.code("GET", f"{path}/invites/{new['invite']}/link", organiser) == (409, "conflict")


async def test_an_ended_session_admits_nobody(house: House) -> None:
    made = await house.make()
    organiser, hub = house.token(made, Role.ORGANISER), house.token(made, Role.HUB)
    path = f"/api/sessions/{made.session.id}"
    assert await house.ask("POST", f"{path}/end", organiser) == (204, {})
    assert await house.code("GET", "/api/invite", hub) == (410, "sessionEnded")
    assert await house.code("GET", path, organiser) == (410, "sessionEnded")
    staff = house.staff_token()
    assert (await house.ask("GET", path, staff))[1]["session"]["state"] == "ended"
    assert await house.code("POST", f"{path}/invites", staff, json={"role": "hub"}) == (410, "sessionEnded")


async def test_ending_and_withdrawing_disconnect_who_is_in_the_session(house: House) -> None:
    made = await house.make()
    staff = house.staff_token()
    path = f"/api/sessions/{made.session.id}"
    closes = []
    for role, method, what in (
        (Role.SATELLITE, "DELETE", f"{path}/invites/{made.invites[Role.SATELLITE].id}"),
        (Role.HUB, "POST", f"{path}/end"),
    ):
        async with house.client.ws_connect(f"{house.url}/ws", protocols=("bridge.v1",)) as socket:
            await socket.send_json(
                {
                    "type": "join",
                    "token": house.token(made, role),
                    "name": "x",
                    "language": "vi",
                    "client": "t",
                }
            )
            assert (await socket.receive_json(timeout=5))["type"] == "joined"
            _, listed = await house.ask("GET", "/api/sessions", staff)
            assert listed["sessions"][0]["connected"] == 1
            _, seen = await house.ask("GET", path, staff)
            assert [person["role"] for person in seen["participants"]] == [role]
            assert (await house.ask(method, what, staff))[0] == 204
            while (await socket.receive(timeout=5)).type is aiohttp.WSMsgType.TEXT:
                pass
            closes.append(socket.close_code)
    assert closes == [4403, 4410]


async def test_points_are_kept(house: House) -> None:
    staff = house.staff_token()
    point = {"name": "Sơn La", "organisation": "Bệnh viện tỉnh", "province": "Sơn La"}
    status, made = await house.ask("POST", "/api/points", staff, json=point)
    assert (status, {name: made[name] for name in point}) == (201, point)
    assert await house.ask("GET", "/api/points", staff) == (200, {"points": [made]})
    assert await house.code("POST", "/api/points", staff, json=point) == (409, "conflict")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/sessions"),
        ("POST", "/api/sessions"),
        ("GET", "/api/sessions/SESSION"),
        ("POST", "/api/sessions/SESSION/invites"),
        ("DELETE", "/api/sessions/SESSION/invites/INVITE"),
        ("GET", "/api/sessions/SESSION/invites/INVITE/link"),
        ("POST", "/api/sessions/SESSION/end"),
        ("GET", "/api/points"),
        ("POST", "/api/points"),
    ],
)
async def test_who_may_not_is_refused_and_nothing_happens(house: House, method: str, path: str) -> None:
    made, other = await house.make(), await house.make("another")
    path = path.replace("SESSION", made.session.id).replace("INVITE", made.invites[Role.HUB].id)
    body = {"json": {"title": "x", "role": "hub", "name": "x"}} if method == "POST" else {}
    assert await house.code(method, path, **body) == (401, "notAuthorised")
    assert await house.code(method, path, "nonsense", **body) == (401, "notAuthorised")
    for_staff_only = {"/api/sessions", "/api/points"}
    expected = (401, "notAuthorised") if path in for_staff_only else (403, "notAllowed")
    for role in (Role.HUB, Role.SATELLITE, Role.VIEWER):
        assert await house.code(method, path, house.token(made, role), **body) == expected
    assert await house.code(method, path, house.token(other, Role.ORGANISER), **body) == expected
    store = house.server.office.store
    assert await store.get_session(made.session.id) == made.session
    assert len(await store.list_sessions()) == 2
    assert [invite.revoked for invite in await store.list_invites(made.session.id)] == [False] * 4
    assert await store.list_points() == []


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer  ", "Basic abc", "Token abc", "bearer\tabc"])
async def test_another_authorization_is_refused(house: House, header: str) -> None:
    answer = await house.code("GET", "/api/sessions", headers={"Authorization": header})
    assert answer == (401, "notAuthorised")


async def test_a_token_in_the_query_does_not_count(house: House) -> None:
    path = f"/api/sessions?token={house.staff_token()}&access_token={house.staff_token()}"
    assert await house.code("GET", path) == (401, "notAuthorised")


async def test_a_session_says_whether_it_is_recorded_and_who_is_asked(house: House) -> None:
    wish = {"title": "Echo", "record": "manual", "consent": True}
    status, made = await house.ask("POST", "/api/sessions", house.staff_token(), json=wish)
    assert status == 201
    _, shown = await house.ask("GET", f"/api/sessions/{made['session']}", made["tokens"]["organiser"])
    assert (shown["session"]["record"], shown["session"]["consent"]) == ("manual", True)
    assert shown["session"]["recording"] is None


async def test_a_recording_that_runs_is_shown_with_its_session(house: House) -> None:
    made = await house.make()
    hub = Participant(house.url, house.token(made, Role.HUB), "Dr Hub", receive=False)
    clinic = Participant(house.url, house.token(made, Role.SATELLITE), "Clinic", receive=False)
    async with hub.taking_part(), clinic.taking_part():
        await hub.until(lambda: hub.recording)
        _, listed = await house.ask("GET", "/api/sessions", house.staff_token())
        assert listed["sessions"][0]["recording"] == hub.recording
        await hub.request("stopRecording")
        _, listed = await house.ask("GET", "/api/sessions", house.staff_token())
        assert listed["sessions"][0]["recording"] is None


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (b"", (400, "malformed")),
        (b"{", (400, "malformed")),
        (b"[]", (400, "malformed")),
        (b"\xff\xfe", (400, "malformed")),
        (b"{}", (400, "malformed")),
        (b'{"title": 5}', (400, "malformed")),
        (b'{"title": ""}', (400, "malformed")),
        (b'{"title": " \\n "}', (400, "malformed")),
        (b'{"title": "a\\u0000b"}', (400, "malformed")),
        (b'{"title": "x", "kind": "party"}', (400, "malformed")),
        (b'{"title": "x", "record": "secretly"}', (400, "malformed")),
        (b'{"title": "x", "consent": "yes"}', (400, "malformed")),
        (b'{"title": "x", "capacity": "many"}', (400, "malformed")),
        (b'{"title": "x", "capacity": -1}', (400, "malformed")),
        (b'{"title": "x", "capacity": 1}', (413, "tooLarge")),
        (b'{"title": "x", "capacity": 1001}', (413, "tooLarge")),
        (b'{"title": "' + b"x" * 201 + b'"}', (413, "tooLarge")),
        (b"[" * 100_000, (400, "malformed")),
        (b'{"title": "x"}' + b" " * 300_000, (413, "tooLarge")),
    ],
)
async def test_a_bad_body_is_refused(house: House, body: bytes, refusal: tuple[int, str]) -> None:
    answer = await house.code(
        "POST", "/api/sessions", house.staff_token(), data=body, headers={"Content-Type": "application/json"}
    )
    assert answer == refusal
    assert await house.server.office.store.list_sessions() == []


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_another_media_type_is_refused(house: House, content_type: str) -> None:
    answer = await house.code(
        "POST",
        "/api/sessions",
        house.staff_token(),
        data=b'{"title": "x"}',
        headers={"Content-Type": content_type},
    )
    assert answer == (415, "wrongType")


@pytest.mark.parametrize(
    "wish",
    [
        {"seats": 0},
        {"seats": 25},
        {"expiresInS": 59},
        {"expiresInS": 2**31},
        {"role": "boss"},
        {"point": "x" * 200},
    ],
)
async def test_an_invite_out_of_bounds_is_refused(house: House, wish: dict[str, object]) -> None:
    made = await house.make()
    status, code = await house.code(
        "POST",
        f"/api/sessions/{made.session.id}/invites",
        house.token(made, Role.ORGANISER),
        json={"role": "viewer"} | wish,
    )
    assert (status, code) in {(400, "malformed"), (413, "tooLarge")}


async def test_an_invite_of_another_session_cannot_be_reached_through_the_own(house: House) -> None:
    mine, other = await house.make(), await house.make()
    organiser = house.token(mine, Role.ORGANISER)
    path = f"/api/sessions/{mine.session.id}/invites/{other.invites[Role.HUB].id}"
    assert await house.code("DELETE", path, organiser) == (404, "notFound")
    assert await house.code("GET", f"{path}/link", organiser) == (404, "notFound")
    assert not (await house.server.office.store.get_invite(other.invites[Role.HUB].id)).revoked


@pytest.mark.parametrize(
    "path", ["/api", "/api/", "/api/nothing", "/api/sessions/NONE", "/api/sessions/none/none", "/nothing"]
)
async def test_what_is_not_there_is_not_found(house: House, path: str) -> None:
    assert await house.code("GET", path, house.staff_token()) == (404, "notFound")


async def test_a_session_that_is_not_there_is_not_found_by_staff(house: House) -> None:
    for method, path in (("GET", "/api/sessions/none"), ("POST", "/api/sessions/none/end")):
        assert await house.code(method, path, house.staff_token()) == (404, "notFound")


async def test_the_server_says_that_it_is_well(house: House) -> None:
    status, health = await house.ask("GET", "/healthz")
    assert (status, health["status"]) == (200, "ok")
    assert health["version"]


async def test_a_server_that_is_being_emptied_goes_on_with_what_is_live(house: House) -> None:
    made = await house.make("Live")
    hub = Participant(house.url, house.token(made, Role.HUB), "Hub", receive=False)
    viewer = Participant(house.url, house.token(made, Role.VIEWER), "Viewer", receive=False)
    drain = {"json": {"draining": True}}
    async with hub.taking_part():
        refused = await house.code("POST", "/api/drain", house.token(made, Role.ORGANISER), **drain)
        assert refused == (401, "notAuthorised")
        status, said = await house.ask("POST", "/api/drain", house.staff_token(), **drain)
        assert (status, said) == (200, {"draining": True, "sessions": 1, "participants": 1})
        status, health = await house.ask("GET", "/healthz")
        assert (status, health["status"]) == (503, "draining")
        async with viewer.taking_part():
            assert (await hub.request("syncClock", clientAt=1.0))["type"] == "clock"
    await house.ask("POST", "/api/drain", house.staff_token(), json={"draining": False})
    assert (await house.ask("GET", "/api/drain", house.staff_token()))[1]["draining"] is False
    assert (await house.ask("GET", "/healthz"))[0] == 200


async def test_a_store_that_takes_no_writes_is_told(house: House, tmp_path: Path) -> None:
    blocker = sqlite3.connect(tmp_path / "data" / "bridge.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    status, health = await house.ask("GET", "/healthz")
    blocker.close()
    assert (status, health["status"], health["failing"]) == (503, "failing", ["store"])


async def test_links_begin_with_the_public_address_if_there_is_one(tmp_path: Path) -> None:
    async with open_house(tmp_path, public_url="https://bridge.example.org") as house:
        _, made = await house.ask("POST", "/api/sessions", house.staff_token(), json={"title": "x"})
        assert made["links"]["hub"].startswith("https://bridge.example.org/join#")
