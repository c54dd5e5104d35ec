"""WebSocket connections against a real server: coming in, being refused, limits, and ends with their reasons."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bridge import signaling as under_test
from bridge.config import Settings
from bridge.errors import CODES
from bridge.guard import BadTokens, Clients, errors_middleware
from bridge.handlers import HANDLERS
from bridge.ids import Role
from bridge.messages import MESSAGE_LIMIT_BYTES, SUBPROTOCOL
from bridge.signaling import Signaling
from bridge.store import NewInvite
from tests.fakes import House, a_house

Message = dict[str, Any]
TIMEOUT_S = 10.0


class Socket:
    """A client of the protocol that knows nothing but JSON."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self._requests = 0

    async def say(self, type_: str, **fields: object) -> int:
        self._requests += 1
        await self.socket.send_json({"type": type_, "request": self._requests, **fields})
        return self._requests

    async def ask(self, type_: str, **fields: object) -> Message:
        """Says something and waits for what answers it."""
        request = await self.say(type_, **fields)
        return await self.until(lambda m: m.get("request") == request)

    async def until(self, wanted: Any) -> Message:
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                message = json.loads(await self.socket.receive_str())
                if wanted(message):
                    return message

    async def heard(self, type_: str) -> Message:
        return await self.until(lambda m: m["type"] == type_)

    async def end(self) -> tuple[int | None, str, Message | None]:
        """Waits for the end: close code, reason, and the last error that answered nothing."""
        error = None
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                frame = await self.socket.receive()
                if frame.type is aiohttp.WSMsgType.TEXT:
                    message = json.loads(frame.data)
                    if message["type"] == "error" and "request" not in message:
                        error = message
                elif frame.type is aiohttp.WSMsgType.CLOSE:
                    return frame.data, frame.extra or "", error
                elif frame.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
                    return self.socket.close_code, "", error


@dataclass
class Site:
    house: House
    signaling: Signaling
    server: TestServer
    http: aiohttp.ClientSession
    sockets: list[Socket] = field(default_factory=list)

    async def token(self, role: Role, seats: int = 1) -> str:
        house = self.house
        wish = NewInvite(role, "", seats, house.now_ms + 3_600_000)
        return house.auth.invite_token(await house.store.create_invite(house.session, wish, house.now_ms))

    async def connect(self, protocols: tuple[str, ...] = (SUBPROTOCOL,), **headers: str) -> Socket:
        raw = await self.http.ws_connect(
            self.server.make_url("/ws"), protocols=protocols, headers=headers, autoping=False
        )
        self.sockets.append(Socket(raw))
        return self.sockets[-1]

    async def join(self, role: Role | str, name: str = "Somebody") -> tuple[Socket, Message]:
        token = role if not isinstance(role, Role) else await self.token(role)
        socket = await self.connect()
        joined = await socket.ask("join", token=token, name=name, language="vi", client="tests 1")
        assert joined["type"] == "joined", joined
        return socket, joined


@asynccontextmanager
async def a_site(house: House) -> AsyncIterator[Site]:
    """The WebSockets of a house, on a free port."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        signaling = Signaling(house.rooms, house.auth, house.clock, ["https://consult.example"])
        app = web.Application(middlewares=[errors_middleware(Clients(Settings()), BadTokens(1000))])
        signaling.add_routes(app)
        server = TestServer(app)
        await server.start_server()
        signaling.start()
        site = Site(house, signaling, server, http)
        yield site
        for socket in site.sockets:
            await socket.socket.close()
        await signaling.stop()
        await server.close()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with a_house(tmp_path) as house, a_site(house) as site:
        yield site


def close_of(code: str) -> int:
    close = CODES[code].close
    assert close is not None
    return close


async def refused(socket: Socket, code: str) -> None:
    number, reason, error = await socket.end()
    assert (number, reason) == (close_of(code), code)
    assert error is not None
    assert error["code"] == code
    assert error["text"]


async def test_hub_and_satellite_meet(site: Site) -> None:
    hub, _ = await site.join(Role.HUB, "Dr Hub")
    clinic, joined = await site.join(Role.SATELLITE, "Trạm y tế")
    assert (await hub.heard("participantJoined"))["participant"]["name"] == "Trạm y tế"
    answer = await clinic.ask(
        "publishOffer", sdp="offer", tracks=[{"mid": "0", "source": "ultrasound", "muted": False}]
    )
    assert (answer["type"], answer["tracks"][0]["mid"]) == ("publishAnswer", "0")
    published = await hub.heard("trackPublished")
    assert published["track"]["participant"] == joined["participant"]
    offer = await hub.heard("subscribeOffer")
    assert [t["track"] for t in offer["tracks"]] == [answer["tracks"][0]["track"]]
    assert (await hub.ask("subscribeAnswer", negotiation=1, sdp="answer"))["type"] == "ok"
    stale = await hub.ask("subscribeAnswer", negotiation=1, sdp="answer")
    assert (stale["type"], stale["code"]) == ("error", "conflict")


async def test_every_client_message_has_a_handler() -> None:
    from typing import get_args

    from bridge.messages import AnyClientMessage

    assert set(HANDLERS) == set(get_args(AnyClientMessage))


async def test_clock_is_answered(site: Site) -> None:
    socket, _ = await site.join(Role.HUB)
    answer = await socket.ask("syncClock", clientAt=123.5)
    assert (answer["clientAt"], answer["serverTimeAt"]) == (123.5, site.house.now_ms)
    assert (await socket.ask("reportClock", clockOffsetMs=-3.5))["type"] == "ok"


async def test_room_messages_are_answered_with_ok(site: Site) -> None:
    hub, _ = await site.join(Role.HUB)
    clinic, joined = await site.join(Role.SATELLITE)
    answer = await clinic.ask("publishOffer", sdp="o", tracks=[{"mid": "0", "source": "camera"}])
    track, whom = answer["tracks"][0]["track"], joined["participant"]
    for request in (
        ("setSubscription", {"track": track, "maxHeight": 360.5}),
        ("restartSubscriber", {"fresh": False}),
        ("blockTrack", {"track": track, "blocked": True}),
        ("takeFloor", {"participant": whom}),
        ("giveFloor", {"participant": whom}),
        ("setHand", {"raised": True}),
        ("sendChat", {"text": "Xin chào"}),
        ("setName", {"name": "Bác sĩ Hoa"}),
        ("removeParticipant", {"participant": whom}),
    ):
        assert (await hub.ask(request[0], **request[1]))["type"] == "ok"
    await refused(clinic, "removed")
    assert (await hub.ask("endSession"))["type"] == "ok"
    await refused(hub, "sessionEnded")


async def test_message_without_request_is_answered_only_when_something_is_wrong(site: Site) -> None:
    socket, _ = await site.join(Role.HUB)
    await socket.socket.send_json({"type": "setHand", "raised": True})
    await socket.socket.send_json({"type": "takeFloor", "participant": "nobody"})
    first = await socket.until(lambda m: m["type"] in ("ok", "error"))
    assert (first["type"], first["code"]) == ("error", "notFound")
    assert "request" not in first


async def test_leaving_is_answered_and_closes_normally(site: Site) -> None:
    hub, _ = await site.join(Role.HUB)
    clinic, _ = await site.join(Role.SATELLITE)
    assert (await clinic.ask("leave"))["type"] == "ok"
    assert (await clinic.end())[0] == 1000
    assert (await hub.heard("participantLeft"))["reason"] == "left"


@pytest.mark.parametrize("token", ["nonsense", "a.b.c", "x" * 4000])
async def test_bad_token_is_not_authorised(site: Site, token: str) -> None:
    socket = await site.connect()
    await socket.say("join", token=token, name="A", language="en")
    await refused(socket, "notAuthorised")


async def test_staff_token_is_no_invite(site: Site) -> None:
    socket = await site.connect()
    await socket.say("join", token=site.house.auth.staff_token(60), name="A", language="en")
    await refused(socket, "notAuthorised")


async def test_expired_token_is_refused(site: Site) -> None:
    token = await site.token(Role.HUB)
    site.house.clock.now_ms += 3_600_001
    socket = await site.connect()
    await socket.say("join", token=token, name="A", language="en")
    await refused(socket, "tokenExpired")


async def test_revoked_invite_and_ended_session_are_refused(site: Site) -> None:
    token, other = await site.token(Role.HUB), await site.token(Role.SATELLITE)
    await site.house.store.revoke_invite((await site.house.auth.admit(token)).invite)
    socket = await site.connect()
    await socket.say("join", token=token, name="A", language="en")
    await refused(socket, "inviteRevoked")
    await site.house.rooms.end_session(site.house.session)
    socket = await site.connect()
    await socket.say("join", token=other, name="A", language="en")
    await refused(socket, "sessionEnded")


async def test_older_connection_on_the_same_link_is_told(site: Site) -> None:
    token = await site.token(Role.HUB)
    older, _ = await site.join(token)
    _, joined = await site.join(token)
    await refused(older, "joinedElsewhere")
    assert [p["connected"] for p in joined["participants"]] == [True]


@pytest.mark.parametrize("first", ["sendChat", "leave", "publishOffer"])
async def test_who_has_not_joined_may_do_nothing(site: Site, first: str) -> None:
    socket = await site.connect()
    await socket.say(first, text="hi", sdp="o", tracks=[])
    await refused(socket, "notAuthorised")


@pytest.mark.parametrize("data", ["", "{", "[]", "null", '{"type":"join"}', '{"type":"what"}'])
async def test_malformed_first_message_ends_the_connection(site: Site, data: str) -> None:
    socket = await site.connect()
    await socket.socket.send_str(data)
    await refused(socket, "malformed")


async def test_malformed_message_later_is_answered_and_hurts_nobody(site: Site) -> None:
    socket, _ = await site.join(Role.HUB)
    await socket.socket.send_str('{"type":"setHand","raised":7,"request":41}')
    answer = await socket.until(lambda m: m.get("request") == 41)
    assert answer["code"] == "malformed"
    await socket.socket.send_str("\x00")
    assert (await socket.heard("error"))["code"] == "malformed"
    assert (await socket.ask("join", token="t", name="A", language="en"))["code"] == "malformed"
    assert (await socket.ask("syncClock", clientAt=1))["type"] == "clock"


async def test_binary_frames_are_malformed(site: Site) -> None:
    socket, _ = await site.join(Role.HUB)
    await socket.socket.send_bytes(b"\x00\x01")
    await refused(socket, "malformed")


@pytest.mark.parametrize("joined", [True, False])
async def test_message_over_the_limit_ends_the_connection(site: Site, joined: bool) -> None:
    socket = (await site.join(Role.HUB))[0] if joined else await site.connect()
    await socket.socket.send_str("x" * (MESSAGE_LIMIT_BYTES + 1))
    await refused(socket, "tooLarge")


async def test_field_over_its_limit_is_answered(site: Site) -> None:
    socket, _ = await site.join(Role.HUB)
    assert (await socket.ask("sendChat", text="x" * 2001))["code"] == "tooLarge"
    assert (await socket.ask("setName", name="x" * 81))["code"] == "tooLarge"


async def test_flood_of_messages_ends_the_connection_and_it_may_resume(site: Site) -> None:
    socket, joined = await site.join(Role.HUB)
    for _ in range(120):
        await socket.socket.send_str('{"type":"syncClock","clientAt":1}')
    await refused(socket, "tooMany")
    again = await site.connect()
    resumed = await again.ask("resume", resumeToken=joined["resumeToken"], seq=0)
    assert resumed["type"] == "resumed"


async def test_wrong_sub_protocol_is_unsupported(site: Site) -> None:
    socket = await site.connect(protocols=())
    await refused(socket, "unsupported")


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://evil.example", 403),
        ("null", 403),
        ("http://127.0.0.1:1", 403),
        ("https://consult.example", 101),
    ],
)
async def test_pages_of_other_sites_are_refused(site: Site, origin: str, status: int) -> None:
    if status == 101:
        await site.connect(Origin=origin)
        return
    with pytest.raises(aiohttp.WSServerHandshakeError) as handshake:
        await site.connect(Origin=origin)
    assert handshake.value.status == status


async def test_page_of_this_server_may_connect(site: Site) -> None:
    await site.connect(Origin=str(site.server.make_url("")).rstrip("/"))


async def test_lost_socket_resumes_with_what_was_missed(site: Site) -> None:
    hub, _ = await site.join(Role.HUB)
    clinic, joined = await site.join(Role.SATELLITE)
    audience = await clinic.heard("audienceChanged")
    transport = clinic.socket._response.connection.transport  # type: ignore[union-attr]
    transport.abort()  # type: ignore[union-attr]
    await hub.until(lambda m: m["type"] == "participantChanged" and not m["participant"]["connected"])
    await hub.ask("sendChat", text="we lost you")
    again = await site.connect()
    resumed = await again.ask("resume", resumeToken=joined["resumeToken"], seq=audience["seq"])
    assert [m["line"]["text"] for m in resumed["missed"] if m["type"] == "chatSent"] == ["we lost you"]
    numbers = [m["seq"] for m in resumed["missed"]]
    assert numbers == list(range(audience["seq"] + 1, audience["seq"] + 1 + len(numbers)))
    assert (await again.heard("audienceChanged"))["seq"] == audience["seq"] + 1 + len(numbers)


@pytest.mark.parametrize(("code", "gone"), [(1001, True), (4001, True), (1000, False), (4000, False)])
async def test_close_code_of_the_client_says_whether_its_media_goes_on(
    site: Site, code: int, gone: bool
) -> None:
    hub, _ = await site.join(Role.HUB)
    clinic, joined = await site.join(Role.SATELLITE)
    sent = [{"mid": "0", "source": "camera", "muted": False}]
    await clinic.ask("publishOffer", sdp="offer", tracks=sent, fresh=True)
    await clinic.socket.close(code=code)
    await hub.until(lambda m: m["type"] == "participantChanged" and not m["participant"]["connected"])
    again = await site.connect()
    resumed = await again.ask("resume", resumeToken=joined["resumeToken"], seq=joined["seq"])
    assert resumed["publisher"] == ("none" if gone else "down")


async def test_failed_resumption_is_answered_and_join_goes_on_there(site: Site) -> None:
    socket = await site.connect()
    answer = await socket.ask("resume", resumeToken="unknown", seq=0)
    assert (answer["type"], answer["code"]) == ("error", "resumeFailed")
    joined = await socket.ask("join", token=await site.token(Role.HUB), name="A", language="en")
    assert joined["type"] == "joined"


async def test_trying_resume_tokens_is_bounded(site: Site) -> None:
    socket = await site.connect()
    for number in range(under_test.ENTRY_TRIES):
        await socket.say("resume", resumeToken=f"guess{number}", seq=0)
    await refused(socket, "tooMany")


async def test_who_does_not_join_in_time_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "JOIN_WITHIN_S", 0.05)
    await refused(await site.connect(), "joinTimeout")


async def test_silent_connections_cannot_hold_the_door_shut(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "SILENT_LIMIT", 3)
    silent = [await site.connect() for _ in range(3)]
    socket, _ = await site.join(Role.HUB)
    await refused(silent[0], "tooMany")
    assert (await socket.ask("syncClock", clientAt=1))["type"] == "clock"
    answer = await silent[1].ask("join", token=await site.token(Role.SATELLITE), name="A", language="en")
    assert answer["type"] == "joined"


async def test_who_floods_others_is_answered_and_goes_on(site: Site) -> None:
    hub, _ = await site.join(Role.HUB)
    viewer, _ = await site.join(Role.VIEWER)
    for _ in range(60):
        await viewer.say("sendChat", text="look at me")
    answer = await viewer.until(lambda m: m["type"] == "error")
    assert answer["code"] == "tooMany"
    assert (await viewer.ask("syncClock", clientAt=1))["type"] == "clock"
    await hub.say("sendChat", text="enough")
    heard = 0
    while (await hub.heard("chatSent"))["line"]["text"] != "enough":
        heard += 1
    assert heard == 40
    site.house.clock.now_ms += 1000
    assert (await viewer.ask("setHand", raised=True))["type"] == "ok"


async def test_silent_connection_is_pinged_and_then_dropped(site: Site) -> None:
    socket, _ = await site.join(Role.HUB)
    site.house.clock.now_ms += 10_500
    async with asyncio.timeout(TIMEOUT_S):
        while (await socket.socket.receive()).type is not aiohttp.WSMsgType.PING:
            pass
    site.house.clock.now_ms += 20_000
    await refused(socket, "joinTimeout")


async def test_ping_of_a_client_is_answered(site: Site) -> None:
    socket, _ = await site.join(Role.HUB)
    await socket.socket.ping(b"there?")
    async with asyncio.timeout(TIMEOUT_S):
        while (frame := await socket.socket.receive()).type is not aiohttp.WSMsgType.PONG:
            pass
    assert bytes(frame.data) == b"there?"


async def test_stopping_server_tells_everybody(site: Site) -> None:
    socket, _ = await site.join(Role.HUB)
    waiting = await site.connect()
    ends = asyncio.gather(socket.end(), waiting.end())
    await site.signaling.stop()
    assert [(code, reason) for code, reason, _ in await ends] == [(4503, "shuttingDown")] * 2


async def test_client_that_reads_nothing_is_dropped(site: Site) -> None:
    talker, told = await site.house.join(Role.HUB)
    slow, joined = await site.join(Role.SATELLITE)
    line = slow.socket._response.connection.transport  # type: ignore[union-attr]
    line.pause_reading()  # type: ignore[union-attr]
    for number in range(2000):
        site.house.rooms.send_chat(talker, f"{number} ".ljust(2000, "\U0001f600"))
        await asyncio.sleep(0)
    changed = await told.until(lambda m: m["type"] == "participantChanged")
    assert changed["participant"]["id"] == joined["participant"]
    assert changed["participant"]["connected"] is False
    line.abort()  # type: ignore[union-attr]


async def test_failure_in_one_handler_answers_internal_and_hurts_nobody(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(site.house.rooms, "send_chat", broken)
    socket, _ = await site.join(Role.HUB)
    answer = await socket.ask("sendChat", text="hello")
    assert (answer["type"], answer["code"]) == ("error", "internal")
    assert "secret" not in json.dumps(answer)
    assert (await socket.ask("setHand", raised=True))["type"] == "ok"


async def test_role_that_may_not_is_answered_and_goes_on(site: Site) -> None:
    hub, hub_joined = await site.join(Role.HUB)
    viewer, _ = await site.join(Role.VIEWER)
    for type_, fields in (
        ("removeParticipant", {"participant": hub_joined["participant"]}),
        ("endSession", {}),
        ("publishOffer", {"sdp": "o", "tracks": [{"mid": "0", "source": "camera"}]}),
    ):
        answer = await viewer.ask(type_, **fields)
        assert (answer["type"], answer["code"]) == ("error", "notAllowed")
    assert (await hub.ask("syncClock", clientAt=0))["type"] == "clock"
