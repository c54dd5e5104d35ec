"""The demo clinic lives and ends with its server."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import psutil
import pytest

from bridge.client import Participant
from bridge.demo.satellite import split_link
from tests.scenarios.receiving import pictures, receive
from tests.serving import Server


@pytest.mark.timeout(90)
@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL])
async def test_demo_clinic_shows_its_loop_and_ends_with_the_server(
    tmp_path: Path, sign: signal.Signals
) -> None:
    server = Server(tmp_path / "data")
    loop = asyncio.get_running_loop()
    try:
        await loop.run_in_executor(None, server.start, "--demo")
        address, token = split_link(server.printed_link("Open as hub doctor"))
        hub = Participant(address, token, "Dr Hub")
        async with hub.taking_part():
            clinic = await hub.until(
                lambda: [p for p in hub.participants.values() if p["role"] == "satellite"]
            )
            seen = await pictures(await receive(hub, "ultrasound", clinic[0]["id"]))
        assert (seen.width, seen.height) == (640, 480)
        assert seen.moved >= seen.frames // 2
        assert server.process is not None
        children = psutil.Process(server.process.pid).children()
        assert children
        await loop.run_in_executor(None, server.stop, sign)
        gone, alive = await loop.run_in_executor(None, lambda: psutil.wait_procs(children, timeout=10))
        assert gone
        assert not alive
    finally:
        if server.process is not None:
            server.process.kill()
            server.process.wait()
