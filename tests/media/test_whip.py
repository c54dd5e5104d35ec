from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from bridge.errors import MediaError, NotAuthorised, NotFound
from bridge.media.contract import Description, Source
from bridge.media.whip import Opened, add_routes

OFFER = (Path(__file__).parent / "offers" / "obs_publisher.sdp").read_text()
SDP = {"Authorization": "Bearer good", "Content-Type": "application/sdp"}
FRAGMENT = {"Authorization": "Bearer good", "Content-Type": "application/trickle-ice-sdpfrag"}
RESTART = "a=ice-ufrag:newone\r\na=ice-pwd:" + "q" * 22 + "\r\n"
TRICKLED = (
    "a=ice-ufrag:Xo1R\r\na=ice-pwd:"
    + "q" * 22
    + "\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\na=end-of-candidates\r\n"
)

Client = TestClient[web.Request, web.Application]


@dataclass
class RecordingDoors:
    """Doors that note what they were asked, with a real refusal of a wrong token."""

    calls: list[tuple[object, ...]] = field(default_factory=list)
    open: set[str] = field(default_factory=set)
    restarts: int = 0

    def check(self, token: str, resource: str | None = None) -> None:
        if token != "good":
            raise NotAuthorised("No.")
        if resource is not None and resource not in self.open:
            raise NotFound("Gone.")

    def opened(self) -> Opened:
        resource = f"r{len(self.calls)}"
        self.open.add(resource)
        return Opened(
            resource, Description(f"v=0\r\na=ice-ufrag:server{resource}\r\na=ice-pwd:{'s' * 22}\r\n")
        )

    async def publish(
        self, token: str, name: str | None, offer: Description, video: Source, audio: Source
    ) -> Opened:
        self.check(token)
        if "opus" not in offer:
            raise MediaError("Nothing usable.")
        self.calls.append(("publish", name, video, audio))
        return self.opened()

    async def play(
        self, token: str, offer: Description, source: Source | None, participant: str | None
    ) -> Opened:
        self.check(token)
        self.calls.append(("play", source, participant))
        return self.opened()

    async def require(self, resource: str, token: str) -> None:
        self.check(token, resource)

    async def restart(self, resource: str, token: str, fragment: Description) -> Description:
        self.check(token, resource)
        self.restarts += 1
        return Description(f"a=ice-ufrag:again{self.restarts}\r\na=ice-pwd:{'s' * 22}\r\n")

    async def close(self, resource: str, token: str) -> None:
        self.check(token, resource)
        self.open.discard(resource)


@pytest.fixture
def doors() -> RecordingDoors:
    return RecordingDoors()


@pytest.fixture
async def client(doors: RecordingDoors) -> AsyncIterator[Client]:
    app = web.Application()
    add_routes(app, doors)
    async with TestClient(TestServer(app)) as made:
        yield made


async def code_of(response: object) -> tuple[int, str]:
    assert hasattr(response, "status")
    assert hasattr(response, "json")
    body = await response.json()
    assert set(body) == {"error"}
    return response.status, body["error"]["code"]


async def test_post_answers_with_location_and_tag(client: Client, doors: RecordingDoors) -> None:
    response = await client.post("/whip?name=Cart%201", data=OFFER, headers=SDP)
    assert response.status == 201
    assert response.content_type == "application/sdp"
    assert response.headers["Location"] == "/whip/r1"
    assert response.headers["ETag"].startswith('"')
    assert "Location" in response.headers["Access-Control-Expose-Headers"]
    assert doors.calls == [("publish", "Cart 1", Source.ULTRASOUND, Source.MICROPHONE)]


async def test_query_chooses_sources(client: Client, doors: RecordingDoors) -> None:
    await client.post("/whip?source=camera&audio=ultrasoundSound", data=OFFER, headers=SDP)
    await client.post("/whep?source=screen&participant=p7", data=OFFER, headers=SDP)
    await client.post("/whep", data=OFFER, headers=SDP)
    assert doors.calls == [
        ("publish", None, Source.CAMERA, Source.ULTRASOUND_SOUND),
        ("play", Source.SCREEN, "p7"),
        ("play", None, None),
    ]


@pytest.mark.parametrize(
    ("path", "headers", "body", "expected"),
    [
        ("/whip", {"Content-Type": "application/sdp"}, OFFER, (401, "notAuthorised")),
        ("/whip", SDP | {"Authorization": "Basic good"}, OFFER, (401, "notAuthorised")),
        ("/whip", SDP | {"Authorization": "Bearer bad"}, OFFER, (401, "notAuthorised")),
        ("/whip", SDP | {"Authorization": "Bearer " + "x" * 5000}, OFFER, (401, "notAuthorised")),
        ("/whip", SDP | {"Content-Type": "text/plain"}, OFFER, (415, "wrongType")),
        ("/whip", SDP, OFFER.replace("opus", "speex"), (406, "unsupported")),
        ("/whip", SDP, b"\xff\xfe", (400, "malformed")),
        ("/whip", SDP, "v=0\r\n" + "a=x\r\n" * 60_000, (413, "tooLarge")),
        ("/whip?source=kitchen", SDP, OFFER, (400, "malformed")),
        ("/whip?name=" + "x" * 81, SDP, OFFER, (413, "tooLarge")),
        ("/whep?participant=" + "x" * 81, SDP, OFFER, (404, "notFound")),
    ],
)
async def test_refusals_have_their_code(
    client: Client,
    doors: RecordingDoors,
    path: str,
    headers: dict[str, str],
    body: str | bytes,
    expected: tuple[int, str],
) -> None:
    assert await code_of(await client.post(path, data=body, headers=headers)) == expected
    assert doors.calls == []


async def test_body_without_length_is_bounded_too(client: Client) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"a=x\r\n" * 2000

    assert await code_of(await client.post("/whip", data=endless(), headers=SDP)) == (413, "tooLarge")


async def test_restart_needs_a_condition(client: Client) -> None:
    location = (await client.post("/whip", data=OFFER, headers=SDP)).headers["Location"]
    assert await code_of(await client.patch(location, data=RESTART, headers=FRAGMENT)) == (
        428,
        "preconditionRequired",
    )


@pytest.mark.parametrize("any_session", ["*", '"*"'])
async def test_restart_gives_a_new_tag_and_the_old_one_no_longer_counts(
    client: Client, any_session: str
) -> None:
    opened = await client.post("/whip", data=OFFER, headers=SDP)
    location, tag = opened.headers["Location"], opened.headers["ETag"]
    restarted = await client.patch(location, data=RESTART, headers=FRAGMENT | {"If-Match": any_session})
    assert restarted.status == 200
    assert restarted.content_type == "application/trickle-ice-sdpfrag"
    assert "a=ice-ufrag:again1" in await restarted.text()
    assert restarted.headers["ETag"] != tag
    late = await client.patch(location, data=RESTART, headers=FRAGMENT | {"If-Match": tag})
    assert await code_of(late) == (412, "preconditionFailed")


async def test_trickled_candidates_are_taken_and_change_nothing(
    client: Client, doors: RecordingDoors
) -> None:
    opened = await client.post("/whip", data=OFFER, headers=SDP)
    headers = FRAGMENT | {"If-Match": opened.headers["ETag"]}
    response = await client.patch(opened.headers["Location"], data=TRICKLED, headers=headers)
    assert response.status == 204
    assert doors.restarts == 0
    assert (await client.patch(opened.headers["Location"], data=RESTART, headers=headers)).status == 200
    assert doors.restarts == 1


@pytest.mark.parametrize("body", [TRICKLED, RESTART])
@pytest.mark.parametrize(
    ("resource", "token", "expected"),
    [("r1", "bad", (401, "notAuthorised")), ("r2", "good", (404, "notFound"))],
)
async def test_nothing_is_patched_without_the_resource_and_its_token(
    client: Client, body: str, resource: str, token: str, expected: tuple[int, str]
) -> None:
    tag = (await client.post("/whip", data=OFFER, headers=SDP)).headers["ETag"]
    headers = FRAGMENT | {"Authorization": f"Bearer {token}", "If-Match": tag}
    assert await code_of(await client.patch(f"/whip/{resource}", data=body, headers=headers)) == expected


async def test_delete_ends_the_resource(client: Client, doors: RecordingDoors) -> None:
    location = (await client.post("/whep", data=OFFER, headers=SDP)).headers["Location"]
    assert await code_of(await client.delete(location)) == (401, "notAuthorised")
    assert (await client.delete(location, headers=SDP)).status == 200
    assert doors.open == set()
    assert await code_of(await client.delete(location, headers=SDP)) == (404, "notFound")
    gone = await client.patch(location, data=RESTART, headers=FRAGMENT | {"If-Match": "*"})
    assert await code_of(gone) == (404, "notFound")


async def test_options_say_what_may_be_posted(client: Client) -> None:
    response = await client.options("/whip")
    assert (response.status, response.headers["Accept-Post"]) == (200, "application/sdp")
    preflight = {"Origin": "https://player.example", "Access-Control-Request-Method": "POST"}
    response = await client.options("/whep", headers=preflight)
    assert response.status == 204
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert "Authorization" in response.headers["Access-Control-Allow-Headers"]
