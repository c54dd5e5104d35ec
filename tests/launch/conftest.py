"""An event on a running server, and who asks about it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bridge.desk import MadeSession
from bridge.ids import Role, SessionFormat
from tests.house import House, open_house


@dataclass
class Happening:
    """A house with one event in it."""

    house: House
    made: MadeSession

    @property
    def path(self) -> str:
        return f"/api/events/{self.made.session.id}"

    @property
    def organiser(self) -> str:
        return self.house.token(self.made, Role.ORGANISER)

    @property
    def hub(self) -> str:
        return self.house.token(self.made, Role.HUB)

    async def ask(self, method: str, path: str = "", token: str | None = None, **more: Any) -> Any:
        """The answer to the organiser, which must be a good one."""
        status, body = await self.house.ask(method, self.path + path, token or self.organiser, **more)
        assert status < 300, body
        return body

    async def put_points(self, text: str | bytes, query: str = "", **more: Any) -> Any:
        data = text.encode() if isinstance(text, str) else text
        headers = {"Content-Type": "text/csv"}
        return await self.ask("PUT", f"/points{query}", data=data, headers=headers, **more)

    async def points(self, query: str = "") -> list[dict[str, Any]]:
        return list((await self.ask("GET", query))["points"])


@pytest.fixture
async def event(tmp_path: Path) -> AsyncIterator[Happening]:
    async with open_house(tmp_path) as house:
        yield Happening(house, await house.make("Khánh thành", format=SessionFormat.EVENT))
