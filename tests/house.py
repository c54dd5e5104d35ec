"""A whole server inside the test's own event loop, on free ports, and a client with a token for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from bridge.app import Server, running
from bridge.config import Settings
from bridge.desk import MadeSession, SessionWish
from bridge.ids import Role


def settings_for(folder: Path, **changes: Any) -> Settings:
    """Settings of a server on loopback that keeps everything under this folder."""
    own: dict[str, Any] = {"data_dir": folder / "data", "port": 0, "media_host": "127.0.0.1", "media_port": 0}
    return Settings(**own | changes)


@dataclass
class House:
    """A running server and one HTTP client."""

    server: Server
    client: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return self.server.url

    def staff_token(self) -> str:
        return self.server.office.auth.staff_token(60)

    async def make(self, title: str = "Echo", **wish: Any) -> MadeSession:
        return await self.server.office.desk.create_session(SessionWish(title, **wish))

    def token(self, made: MadeSession, role: Role) -> str:
        return self.server.office.desk.token(made.invites[role])

    async def ask(
        self, method: str, path: str, token: str | None = None, **more: Any
    ) -> tuple[int, dict[str, Any]]:
        """Status and JSON body of one request ({} without a body)."""
        headers = more.pop("headers", {}) | (
            {"Authorization": f"Bearer {token}"} if token is not None else {}
        )
        async with self.client.request(method, self.url + path, headers=headers, **more) as response:
            is_json = response.content_type == "application/json"
            return response.status, await response.json() if is_json else {}

    async def code(self, method: str, path: str, token: str | None = None, **more: Any) -> tuple[int, str]:
        """Status and error code of one request that is refused."""
        status, body = await self.ask(method, path, token, **more)
        assert set(body) == {"error"}, body
        assert set(body["error"]) == {"code", "text"}
        return status, body["error"]["code"]


@asynccontextmanager
async def open_house(folder: Path, **changes: Any) -> AsyncIterator[House]:
    """A running server, stopped with the block."""
    async with (
        running(settings_for(folder, **changes)) as server,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as client,
    ):
        yield House(server, client)
