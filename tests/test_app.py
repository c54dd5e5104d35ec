"""The whole server: starting, stopping, and what the parts do together."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import aiohttp
import pytest

from bridge import app
from bridge.app import running
from bridge.config import ConfigError
from bridge.ids import Role, SessionState
from bridge.office import base_url, open_office
from tests.house import House, open_house, settings_for


async def join(house: House, token: str) -> aiohttp.ClientWebSocketResponse:
    connection = await house.client.ws_connect(f"{house.url}/ws", protocols=("bridge.v1",))
    await connection.send_json({"type": "join", "token": token, "name": "x", "language": "ru", "client": "t"})
    assert (await connection.receive_json(timeout=5))["type"] == "joined"
    return connection


async def end_of(connection: aiohttp.ClientWebSocketResponse) -> int | None:
    async with asyncio.timeout(10):
        while (await connection.receive()).type is aiohttp.WSMsgType.TEXT:
            pass
    return connection.close_code


async def test_a_stopping_server_tells_everybody_to_come_back(tmp_path: Path) -> None:
    async with aiohttp.ClientSession() as client:
        async with running(settings_for(tmp_path)) as server:
            house = House(server, client)
            made = await house.make()
            hub = await join(house, house.token(made, Role.HUB))
            satellite = await join(house, house.token(made, Role.SATELLITE))
            ends = asyncio.gather(end_of(hub), end_of(satellite))
        assert await ends == [4503, 4503]


async def test_links_and_stage_outlive_a_restart(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        made = await house.make()
        token = house.token(made, Role.HUB)
        await (await join(house, token)).close()
    async with open_house(tmp_path) as house:
        again = await join(house, token)
        assert (await house.server.office.store.get_session(made.session.id)).started_at_ms is not None
        await again.close()


async def test_two_servers_do_not_share_a_data_folder(tmp_path: Path) -> None:
    async with open_house(tmp_path):
        with pytest.raises(ConfigError, match="Another server"):
            async with running(settings_for(tmp_path)):
                pass
    async with open_house(tmp_path):
        pass


async def test_taken_ports_are_told_and_nothing_is_left_open(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ConfigError, match=r"TCP port \d+ cannot be used: another program has it"),
    ):
        async with running(settings_for(tmp_path, port=taken.getsockname()[1])):
            pass
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken_udp:
        taken_udp.bind(("127.0.0.1", 0))
        with pytest.raises(ConfigError, match=r"UDP port \d+ cannot be used"):
            async with running(settings_for(tmp_path, media_port=taken_udp.getsockname()[1])):
                pass
    async with open_house(tmp_path):
        pass


@pytest.mark.parametrize("name", ["host", "media_host"])
async def test_an_address_of_another_machine_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError):
        async with running(settings_for(tmp_path, **{name: "192.0.2.77"})):
            pass


async def test_what_the_command_line_ends_ends_in_the_running_server(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        made = await house.make()
        hub = await join(house, house.token(made, Role.HUB))
        satellite = await join(house, house.token(made, Role.SATELLITE))
        async with open_office(settings_for(tmp_path)) as beside:
            await beside.store.revoke_invite(made.invites[Role.SATELLITE].id)
            assert await end_of(satellite) == 4403
            await beside.desk.end_session(made.session.id)
            assert await end_of(hub) == 4410
        assert (await house.server.office.store.get_session(made.session.id)).state is SessionState.ENDED


async def test_a_session_made_beside_the_running_server_is_open_at_once(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house, open_office(settings_for(tmp_path)) as beside:
        made = await House(house.server, house.client).make()
        token = beside.desk.token(made.invites[Role.VIEWER])
        assert (await house.ask("GET", "/api/invite", token))[0] == 200
        assert base_url(beside.settings) == house.url


@pytest.mark.parametrize("host", ["::", ""])
async def test_everything_is_found_over_ipv6_too(tmp_path: Path, host: str) -> None:
    async with open_house(tmp_path, host=host) as house:
        for address in ("127.0.0.1", "[::1]"):
            async with house.client.get(f"http://{address}:{house.server.port}/healthz") as response:
                assert response.status == 200


async def test_a_connection_that_never_asks_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "FIRST_REQUEST_S", 0.3)
    monkeypatch.setattr(app, "HOUSEKEEPING_S", 0.05)
    async with open_house(tmp_path) as house:
        silent = await asyncio.open_connection("127.0.0.1", house.server.port)
        slow = await asyncio.open_connection("127.0.0.1", house.server.port)
        slow[1].write(b"GET / HTTP/1.1\r\nHost: x\r\n")
        asking = await asyncio.open_connection("127.0.0.1", house.server.port)
        asking[1].write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await asking[0].readline()).startswith(b"HTTP/1.1 200")
        async with asyncio.timeout(5):
            assert await silent[0].read() == b""
            await slow[0].read()
        asking[1].write(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(5):
            assert b"404" in await asking[0].readuntil(b"404")
        for _, writer in (silent, slow, asking):
            writer.close()


async def test_a_task_that_fails_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "HOUSEKEEPING_S", 0.0)
    runs = 0

    async def fail_twice() -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise OSError("no luck")

    async with asyncio.timeout(5):
        await app._keep_going("test", fail_twice)
    assert runs == 3
