"""What never comes out in a log line, whoever logs it."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from bridge import logs
from bridge.ids import Role
from bridge.logs import masked_text
from tests.house import open_house

TOKEN = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ1c2UiOiJzdGFmZiJ9.sHY6810vUd6Xjh3Cy6o3LATn-YQXWdv2q5eeTPTA_54"
)
SDP = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\na=ice-pwd:swordfish\r\n"


@pytest.fixture
def written() -> Iterator[Callable[[], str]]:
    """Sends all logs, down to debug, to a text; the function gives what was written so far."""
    before = structlog.get_config()
    level = logging.getLogger().level
    out = io.StringIO()
    logs.configure("json", "debug", out)
    yield out.getvalue
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, logging.StreamHandler) and handler.stream is out:
            root.removeHandler(handler)
    root.setLevel(level)
    structlog.configure(**before)


@pytest.mark.parametrize(
    "secret",
    [
        TOKEN,
        f"Authorization: Bearer {TOKEN}",
        "Bearer swordfish",
        SDP,
        repr(SDP),
        f"offer was {SDP}",
        "a=candidate:1 1 udp 1 192.0.2.1 9 typ host",
        "a=ice-pwd:swordfish",
        "ice-ufrag:swordfish",
        "192.0.2.1",
        "from 192.0.2.1:4242",
        "('192.0.2.1', 4242)",
        "[2001:db8::1]:443",
        "2001:db8:1:2:3:4:5:6",
        "::ffff:192.0.2.1",
        "fe80::1%eth0",
        "GET /whip?name=Nguyen HTTP/1.1",
        "https://bridge.example.org/join#swordfish",
        "resume Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MA failed",
    ],
)
def test_what_is_secret_is_masked_wherever_it_stands(secret: str) -> None:
    masked = masked_text(f"it was {secret}!") if not secret.startswith(("v=", "a=")) else masked_text(secret)
    for part in ("eyJ", "swordfish", "192.0.2", "2001:db8", "fe80", "Nguyen", "Zm9v", "v=0"):
        assert part not in masked


@pytest.mark.parametrize(
    "text",
    [
        "participant.joined",
        "took 1.25 s at 12:34:56",
        "version 1.2.3",
        "std::vector",
        "/work/bridge/media/negotiation.py line 12",
        "p116cabc5eea47d75 i2bqqheloamfxscy",
        "a+b=c",
        "Cannot connect to host",
    ],
)
def test_what_is_harmless_stays_readable(text: str) -> None:
    assert masked_text(text) == text


def test_named_values_are_never_written(written: Callable[[], str]) -> None:
    structlog.get_logger("x").info(
        "event",
        token="swordfish",
        sdp="swordfish",
        name="swordfish",
        remote="swordfish",
        nested={"payload": "swordfish", "list": [{"pwd": "swordfish"}]},
        data=b"swordfish",
        kept=5,
    )
    line = json.loads(written())
    assert "swordfish" not in written()
    assert (line["event"], line["kept"], line["data"], line["level"]) == ("event", 5, "[9 bytes]", "info")


def test_tracebacks_and_other_libraries_pass_the_same_mask(written: Callable[[], str]) -> None:
    secret = f"from 192.0.2.1 with {TOKEN}"
    try:
        raise ValueError(secret)
    except ValueError:
        structlog.get_logger("x").exception("failed", why=secret)
        logging.getLogger("some.library").exception("failed %s %s", "192.0.2.1", {"sdp": SDP})
    lines = [json.loads(line) for line in written().splitlines()]
    assert len(lines) == 2
    assert all("ValueError" in line["exception"] for line in lines)
    assert not [part for part in ("192.0.2.1", "eyJ", "v=0", "swordfish") if part in written()]


def test_values_are_bounded(written: Callable[[], str]) -> None:
    deep: dict[str, Any] = {}
    deep["self"] = deep
    structlog.get_logger("x").info("event", long="x" * 100_000, deep=deep)
    assert len(written()) < 10_000


def test_configuring_twice_writes_once() -> None:
    before = structlog.get_config()
    first, second = io.StringIO(), io.StringIO()
    logs.configure("json", "info", first)
    logs.configure("json", "info", second)
    logging.getLogger("x").warning("once")
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, logging.StreamHandler) and handler.stream is second:
            root.removeHandler(handler)
    structlog.configure(**before)
    assert (first.getvalue(), second.getvalue().count("once")) == ("", 1)


async def test_a_server_at_work_logs_no_token_address_or_name(
    tmp_path: Path, written: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_house(tmp_path) as house:
        made = await house.make("Nguyễn Văn An")
        tokens = [house.staff_token(), *(house.token(made, role) for role in Role), "forged.token.swordfish"]
        for token in tokens:
            for method, path in (
                ("GET", "/api/invite"),
                ("GET", f"/api/sessions/{made.session.id}"),
                ("GET", f"/nothing?token={token}"),
                ("POST", "/whip?name=Tr%E1%BA%A7n"),
                ("POST", "/whep"),
            ):
                headers = {"Content-Type": "application/sdp"} if method == "POST" else {}
                await house.ask(method, path, token, headers=headers, data=SDP if method == "POST" else None)
            async with house.client.ws_connect(f"{house.url}/ws", protocols=("bridge.v1",)) as socket:
                join = {
                    "type": "join",
                    "token": token,
                    "name": "Trần Thị Bình",
                    "language": "vi",
                    "client": "t",
                }
                await socket.send_json(join)
                answer = await socket.receive_json(timeout=5)
                await socket.send_json({"type": "sendChat", "text": "Bệnh nhân Phạm", "request": 1})
                await socket.send_json({"type": "publishOffer", "sdp": SDP, "tracks": [], "request": 2})
                if answer["type"] == "joined":
                    tokens_seen = answer["resumeToken"]
                    while (await socket.receive_json(timeout=5)).get("request") != 2:
                        pass
                    assert tokens_seen not in written()

        async def fail(*_: object) -> None:
            raise RuntimeError(f"at 192.0.2.1 with {tokens[0]}")

        monkeypatch.setattr(house.server.office.store, "list_sessions", fail)
        assert (await house.ask("GET", "/api/sessions", tokens[0]))[0] == 500
        reader_address = house.server.url.removeprefix("http://").partition(":")[0]
    text = written()
    assert "request failed" in text
    assert "participant.joined" in text
    secrets = [*tokens, *(token.rpartition(".")[2] for token in tokens), "eyJ", "swordfish", "v=0"]
    people = ["Nguyễn", "Trần", "Tr%E1", "Bình", "Phạm"]
    found = [secret for secret in (*secrets, *people, reader_address, "192.0.2.1") if secret in text]
    assert found == []


async def test_what_is_not_http_is_answered_and_not_logged(
    tmp_path: Path, written: Callable[[], str]
) -> None:
    async with open_house(tmp_path) as house:
        for line in (b"\x16\x03\x01\x02\x00\r\n\r\n", b"GET / HTTP/1.1\r\nSecret: swordfish\x01\r\n\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
            writer.write(line)
            assert b" 400 " in await asyncio.wait_for(reader.readline(), 5)
            writer.close()
            await writer.wait_closed()
    assert "Traceback" not in written()
    assert "swordfish" not in written()
