"""A server is killed in the midst of an event: who was there is known afterwards, and no name lies in the clear."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from bridge.client import Participant
from tests.scenarios.test_nothing_in_the_clear import everything_under, spellings
from tests.serving import Server, running_server

pytestmark = pytest.mark.timeout(120)

CLINIC, DOCTOR, CONTACT, ASKED = (
    "Nguyễn Thị Bí Mật",
    "Тайная Анна",
    "Lò Văn Pánh 0912555777",
    "túi mật thế nào",
)


def ask(server: Server, method: str, path: str, token: str, body: bytes | None = None, type: str = "") -> Any:
    headers = {"Authorization": f"Bearer {token}"} | ({"Content-Type": type} if type else {})
    request = urllib.request.Request(server.address + path, body, headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        data = answer.read()
    return json.loads(data) if answer.headers.get_content_type() == "application/json" else data


def look_through(server: Server) -> None:
    secrets = [spelling for text in (CLINIC, DOCTOR, CONTACT, ASKED) for spelling in spellings(text)]
    files = everything_under(server.data_dir)
    assert any(path.name == "bridge.db" for path in files)
    for path, content in files.items():
        for number, secret in enumerate(secrets):
            assert secret not in content, f"secret {number} stands in {path.relative_to(server.data_dir)}"


def until_remembered(server: Server) -> None:
    """What is decided is written about once a second."""
    database = sqlite3.connect(f"file:{server.data_dir / 'bridge.db'}?mode=ro", uri=True)
    try:
        for _ in range(200):
            if database.execute("SELECT count(*) FROM session_memory").fetchone() == (1,):
                return
            time.sleep(0.05)
        raise AssertionError("nothing was remembered")
    finally:
        database.close()


async def test_an_events_layout_and_titles_are_there_again_after_a_restart(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        tokens = server.create_session("Khánh thành", "--format", "event")["tokens"]
        organiser = Participant(server.address, tokens["organiser"], DOCTOR, receive=False)
        async with organiser.taking_part():
            await organiser.request("setStageLayout", layout="grid")
            title = {"participant": organiser.id, "title": CLINIC, "subtitle": ""}
            await organiser.request("setLowerThird", lowerThird=title)
            # Told to stop, it writes what it has not written yet.
            await asyncio.get_running_loop().run_in_executor(None, server.stop)
        look_through(server)
        server.start()
        back = Participant(server.address, tokens["organiser"], DOCTOR, receive=False)
        async with back.taking_part():
            event = await back.until(lambda: back.event)
            assert (event["layout"], event["lowerThird"]) == ("grid", title)


async def test_who_was_in_an_event_survives_the_death_of_the_server_and_lies_sealed(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        made = server.create_session("Khánh thành", "--format", "event")
        path, organiser = f"/api/events/{made['session']}", made["tokens"]["organiser"]
        sheet = f"province,point,contact\nSơn La,Hội trường,{CONTACT}\n".encode()
        ask(server, "PUT", f"{path}/points", organiser, sheet, "text/csv")
        (point,) = ask(server, "GET", f"{path}?links=1", organiser)["points"]
        assert point["contact"] == CONTACT
        token = urllib.parse.urlparse(point["link"]).fragment
        clinic = Participant(server.address, token, CLINIC, receive=False)
        doctor = Participant(server.address, made["tokens"]["hub"], DOCTOR, receive=False)
        async with clinic.taking_part(), doctor.taking_part():
            await clinic.request("askQuestion", text=ASKED)
            loop = asyncio.get_running_loop()
            seen = await loop.run_in_executor(None, ask, server, "GET", f"{path}/attendance", organiser)
            assert {row["name"] for row in seen["rows"]} == {CLINIC, DOCTOR}
            await loop.run_in_executor(None, until_remembered, server)
            look_through(server)
            await loop.run_in_executor(None, server.stop, signal.SIGKILL)
        look_through(server)
        server.start()
        rows = {row["name"]: row for row in ask(server, "GET", f"{path}/attendance", organiser)["rows"]}
        assert rows.keys() == {CLINIC, DOCTOR}
        assert all(row["joinedAt"] <= row["leftAt"] for row in rows.values())
        assert rows[CLINIC]["point"] == "Hội trường"
        for kind in ("csv", "xlsx"):
            assert ask(server, "GET", f"{path}/attendance.{kind}", organiser)
        desk = Participant(server.address, organiser, DOCTOR, receive=False)
        async with desk.taking_part():
            (question,) = await desk.until(lambda: desk.questions)
            assert (question["text"], question["name"], question["state"]) == (ASKED, CLINIC, "open")
        assert CLINIC not in server.log
        look_through(server)
