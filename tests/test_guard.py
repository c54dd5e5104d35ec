"""Headers, errors, client addresses and the limit on bad tokens, on a real server where one is needed."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from bridge.config import Settings
from bridge.guard import BadTokens, Clients, host
from tests.house import House, open_house


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path, auth_failures_per_minute=5) as opened:
        yield opened


async def headers_of(house: House, path: str, **more: Any) -> Mapping[str, str]:
    async with house.client.get(house.url + path, **more) as response:
        return response.headers


@pytest.mark.parametrize("path", ["/", "/join", "/api/sessions", "/nothing", "/healthz", "/metrics"])
async def test_every_answer_carries_the_security_headers(house: House, path: str) -> None:
    headers = await headers_of(house, path)
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=(self), microphone=(self), fullscreen=(self)" in headers["Permissions-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["Server"] == "bridge"
    assert "Strict-Transport-Security" not in headers


async def test_pages_may_load_from_their_own_server_only(house: House) -> None:
    policy = (await headers_of(house, "/"))["Content-Security-Policy"]
    rules = {name: rest for name, _, rest in (rule.partition(" ") for rule in policy.split("; "))}
    assert rules["script-src"] == rules["style-src"] == rules["font-src"] == "'self'"
    here = house.url.removeprefix("http://")
    assert rules["connect-src"] == f"'self' wss://{here} ws://{here}"
    assert rules["media-src"] == "'self' blob: mediastream:"
    assert rules["base-uri"] == rules["form-action"] == rules["frame-ancestors"] == "'none'"
    assert "unsafe" not in policy
    assert "*" not in policy


async def test_a_worker_may_compile_webassembly_and_fetch_nothing(house: House) -> None:
    async with house.client.get(house.url + "/") as response:
        script = re.search(r'src="(/assets/[^"]+\.js)"', await response.text())
    assert script is not None
    for more in ({}, {"headers": {"If-None-Match": "*"}}):
        policy = (await headers_of(house, script[1], **more))["Content-Security-Policy"]
        assert policy == "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; frame-ancestors 'none'"


@pytest.mark.parametrize("path", ["/api/sessions", "/api/invite", "/healthz", "/nothing"])
async def test_answers_of_the_interface_are_not_kept(house: House, path: str) -> None:
    assert (await headers_of(house, path))["Cache-Control"] == "no-store"


async def test_a_strange_host_does_not_get_into_the_policy(house: House) -> None:
    policy = (await headers_of(house, "/", headers={"Host": "a; script-src *"}))["Content-Security-Policy"]
    assert "script-src *" not in policy


@pytest.mark.parametrize("said", ["a b", "a/b", "a;b", "a\tb", "", "[::1", "a:123456", "a@b", "a#b"])
def test_a_host_that_is_none_is_not_used(said: str) -> None:
    assert host(make_mocked_request("GET", "/", headers=CIMultiDict({"Host": said}))) == "localhost"


@pytest.mark.parametrize(
    "said", ["bridge.example.org", "bridge.example.org:8443", "192.0.2.1:80", "[2001:db8::1]:80"]
)
def test_a_host_is_used_as_said(said: str) -> None:
    assert host(make_mocked_request("GET", "/", headers=CIMultiDict({"Host": said}))) == said


async def test_bad_tokens_are_told_to_wait_and_good_ones_still_pass(house: House) -> None:
    answers = [await house.code("GET", "/api/sessions", "nonsense") for _ in range(7)]
    assert answers[:5] == [(401, "notAuthorised")] * 5
    assert answers[5:] == [(429, "tooMany")] * 2
    assert (await house.ask("GET", "/api/sessions", house.staff_token()))[0] == 200


async def test_bad_tokens_count_at_every_door(house: House) -> None:
    offer = {"data": b"v=0\r\n", "headers": {"Content-Type": "application/sdp"}}
    for _ in range(2):
        async with house.client.ws_connect(f"{house.url}/ws", protocols=("bridge.v1",)) as socket:
            await socket.send_json({"type": "join", "token": "nonsense", "name": "x", "language": "vi"})
            assert (await socket.receive_json(timeout=5))["code"] == "notAuthorised"
            await socket.receive(timeout=5)
        assert socket.close_code == 4401
    for _ in range(3):
        assert (await house.code("POST", "/whip", "nonsense", **offer))[0] == 401
    assert await house.code("GET", "/api/invite", "nonsense") == (429, "tooMany")


async def test_the_wrong_method_is_refused_with_the_right_ones(house: House) -> None:
    async with house.client.delete(f"{house.url}/healthz") as response:
        assert response.status == 405
        assert "GET" in response.headers["Allow"]
        assert (await response.json())["error"]["code"] == "malformed"


async def test_a_fault_of_ours_says_nothing_more(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("the password is swordfish")

    monkeypatch.setattr(house.server.office.store, "list_sessions", fail)
    status, body = await house.ask("GET", "/api/sessions", house.staff_token())
    assert (status, body["error"]["code"]) == (500, "internal")
    assert "swordfish" not in str(body)


def test_the_bucket_of_bad_tokens_refills_within_a_minute() -> None:
    now_s = 0.0
    bad = BadTokens(6, lambda: now_s)
    one, other = ip_address("192.0.2.1"), ip_address("192.0.2.2")
    assert [bad.note(one) for _ in range(8)] == [False] * 6 + [True] * 2
    assert not bad.note(other)
    now_s = 20.0
    assert [bad.note(one) for _ in range(3)] == [False, True, True]
    now_s = 100.0
    assert [bad.note(one) for _ in range(7)] == [False] * 6 + [True]


def test_one_customer_of_ipv6_is_one_client() -> None:
    bad = BadTokens(1, lambda: 0.0)
    assert not bad.note(ip_address("2001:db8:0:1::1"))
    assert bad.note(ip_address("2001:db8:0:1:ffff::2"))
    assert not bad.note(ip_address("2001:db8:0:2::1"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("198.51.100.7", [], "198.51.100.7"),
        ("198.51.100.7", ["192.0.2.1"], "198.51.100.7"),
        ("10.0.0.1", ["192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", ["203.0.113.9, 192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", ["203.0.113.9, 192.0.2.1, 10.0.0.2"], "192.0.2.1"),
        ("10.0.0.1", ["203.0.113.9", "192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", ["nonsense"], None),
        ("10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
        ("::ffff:10.0.0.1", ["192.0.2.1"], "192.0.2.1"),
        ("::ffff:198.51.100.7", [], "198.51.100.7"),
        (None, [], None),
    ],
)
def test_forwarded_addresses_are_believed_from_trusted_proxies_only(
    peer: str | None, forwarded: list[str], client: str | None
) -> None:
    clients = Clients(Settings(trusted_proxies=("10.0.0.0/8",)))
    headers = CIMultiDict([("X-Forwarded-For", value) for value in forwarded])
    request = make_mocked_request("GET", "/", headers=headers)
    request = request.clone(remote=peer)
    assert clients.address(request) == (ip_address(client) if client else None)


@pytest.mark.parametrize(
    ("peer", "proto", "https"),
    [("10.0.0.1", "https", True), ("10.0.0.1", "http", False), ("198.51.100.7", "https", False)],
)
def test_https_is_believed_from_trusted_proxies_only(peer: str, proto: str, https: bool) -> None:
    clients = Clients(Settings(trusted_proxies=("10.0.0.0/8",)))
    request = make_mocked_request("GET", "/", headers=CIMultiDict({"X-Forwarded-Proto": proto}))
    assert clients.is_https(request.clone(remote=peer)) is https


async def test_behind_a_trusted_proxy_links_and_headers_are_those_of_https(tmp_path: Path) -> None:
    async with open_house(tmp_path, trusted_proxies=("127.0.0.0/8",)) as house:
        forwarded = {
            "X-Forwarded-Proto": "https",
            "X-Forwarded-For": "192.0.2.1",
            "Host": "bridge.example.org",
        }
        headers = await headers_of(house, "/", headers=forwarded)
        assert headers["Strict-Transport-Security"] == "max-age=31536000"
        _, made = await house.ask(
            "POST", "/api/sessions", house.staff_token(), json={"title": "x"}, headers=forwarded
        )
        assert made["links"]["hub"].startswith("https://bridge.example.org/join#")
