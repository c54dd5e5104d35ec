"""A call over a line of our own: the server near, and the browser of the hub or the satellite at the far end."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from playwright.async_api import Browser

from tests.e2e.conftest import CHROMIUM, Launch
from tests.netns.hosts import NEAR_ADDRESS, Line, two_hosts
from tests.serving import Server, running_server


@dataclass
class Place:
    """The line, the server at its near end, and a browser for each side of the call. Nobody has joined yet."""

    line: Line
    server: Server
    hub: Browser
    satellite: Browser
    links: dict[str, str] = field(default_factory=dict)


@contextlib.asynccontextmanager
async def call_place(
    tmp_path: Path, launch: Launch, far: Literal["hub", "satellite"]
) -> AsyncIterator[Place]:
    """Makes the hosts, the server and the browsers; `far` says whose browser is behind the line."""
    with (
        two_hosts() as line,
        running_server(tmp_path / "data", host=NEAR_ADDRESS, prefix=line.near.command()) as server,
    ):
        made: dict[str, Any] = server.create_session()
        # The far browser may use a camera only in a secure context; this address stands for one with HTTPS.
        trusted = f"--unsafely-treat-insecure-origin-as-secure={server.address}"
        beside = await launch(trusted, executable=str(line.near.wrapper(tmp_path, CHROMIUM)))
        behind = await launch(trusted, executable=str(line.far.wrapper(tmp_path, CHROMIUM)))
        hub, satellite = (behind, beside) if far == "hub" else (beside, behind)
        yield Place(line, server, hub, satellite, made["links"])
