"""A CT that comes in during a session and is read together, by programs over the public protocol."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
from pydicom.uid import generate_uid

from bridge.client import Participant
from bridge.errors import BridgeError
from tests.imaging.corpus import ct_slice
from tests.imaging.webclients import Web
from tests.serving import Server

NEWS = {"studiesListed", "studyChanged", "readingChanged", "viewChanged", "readersChanged"}
STUDY, SERIES = generate_uid(), generate_uid()


@dataclass
class Point:
    """A program in the session, and what it heard of reading."""

    participant: Participant
    token: str
    heard: list[dict[str, Any]] = field(default_factory=list)

    async def break_line(self) -> None:
        """Its socket dies without a goodbye; it comes back by itself."""
        socket = self.participant._socket
        assert socket is not None
        assert socket._writer.transport is not None
        socket._writer.transport.abort()

    async def sees(self, **slots: Any) -> None:
        wanted = {name.replace("_", "."): value for name, value in slots.items()}
        await self.participant.until(lambda: self.participant.view == wanted)


def point(server: Server, token: str, name: str) -> Point:
    heard: list[dict[str, Any]] = []

    def hear(message: dict[str, Any]) -> None:
        if message["type"] in NEWS:
            heard.append(message)

    return Point(Participant(server.address, token, name, receive=False, on_message=hear), token, heard)


def recorded(server: Server, session: str, token: str) -> list[dict[str, Any]]:
    """The events of the session's recording so far, once the newest of reading are there."""
    (recording,) = ask(server, f"/api/recordings?session={session}", token)["recordings"]
    deadline_s = time.monotonic() + 15
    while True:
        events: list[dict[str, Any]] = ask(
            server, f"/api/recordings/{recording['id']}/changes?events=0", token
        )["events"]
        if sum(each["type"] == "leadChanged" for each in events) == 2 or time.monotonic() > deadline_s:
            return events


def ask(server: Server, path: str, token: str) -> dict[str, Any]:
    answer = requests.get(server.address + path, headers={"Authorization": f"Bearer {token}"}, timeout=10)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_three_points_read_a_ct_together(server: Server) -> None:
    made = server.create_session()
    tokens = made["tokens"]
    hub, clinic = point(server, tokens["hub"], "Dr Hải"), point(server, tokens["satellite"], "Trạm Mai Sơn")
    organiser, viewer = point(server, tokens["organiser"], "Desk"), point(server, tokens["viewer"], "Student")
    async with AsyncExitStack() as stack:
        for each in (hub, clinic, viewer):
            await stack.enter_async_context(each.participant.taking_part())

        # The clinic sends a study; the hub sees it come without asking.
        sender = Web(server, clinic.token)
        for numbers in ((1, 2), (3, 4, 5)):
            objects = [ct_slice(number, STUDY, SERIES, side=64) for number in numbers]
            assert (await asyncio.to_thread(sender.send, *objects)).status_code == 200
        study = await hub.participant.until(
            lambda: (
                hub.participant.studies.get(STUDY, {}).get("instances") == 5
                and hub.participant.studies[STUDY]
            )
        )
        assert study["arriving"]
        assert (study["modalities"], study["series"]) == (["CT"], 1)
        await hub.participant.until(lambda: not hub.participant.studies[STUDY]["arriving"])

        # The hub leads, the clinic follows.
        await hub.participant.request("askLead", asking=True)
        await hub.participant.request("setView", changes={"study": STUDY, "layout": "1x1", "at.0": 0})
        await clinic.sees(study=STUDY, layout="1x1", at_0=0)
        for index in range(1, 5):
            await hub.participant.request("setView", changes={"at.0": index})
        await clinic.sees(study=STUDY, layout="1x1", at_0=4)
        with pytest.raises(BridgeError) as refused:
            await clinic.participant.request("setView", changes={"at.0": 0})
        assert refused.value.code == "notAllowed"

        # Who comes late lands where the others are.
        await stack.enter_async_context(organiser.participant.taking_part())
        await organiser.sees(study=STUDY, layout="1x1", at_0=4)
        await organiser.participant.until(lambda: set(organiser.participant.studies) == {STUDY})
        assert organiser.participant.leader == hub.participant.id

        # The clinic asks and is given the lead; then the hub follows.
        await clinic.participant.request("askLead", asking=True)
        await hub.participant.until(lambda: hub.participant.asking == [clinic.participant.id])
        await hub.participant.request("giveLead", participant=clinic.participant.id)
        await clinic.participant.until(lambda: clinic.participant.leader == clinic.participant.id)
        await clinic.participant.request("setView", changes={"window.0": [40, 400, 0]})
        await hub.participant.until(lambda: hub.participant.view.get("window.0") == [40, 400, 0])
        await hub.participant.request("reportReading", following=True, preview=5, sharp=5, total=5)
        await clinic.participant.until(lambda: hub.participant.id in clinic.participant.readers)

        # A line that breaks loses neither the lead nor the view.
        await hub.break_line()
        await clinic.participant.request("setView", changes={"at.0": 2})
        await hub.participant.until(lambda: hub.participant.view.get("at.0") == 2)
        await clinic.break_line()
        await hub.participant.until(
            lambda: not hub.participant.participants[clinic.participant.id]["connected"]
        )
        await hub.participant.until(lambda: hub.participant.participants[clinic.participant.id]["connected"])
        assert hub.participant.leader == clinic.participant.id
        await clinic.participant.request("setView", changes={"at.0": 1})
        await hub.participant.until(lambda: hub.participant.view.get("at.0") == 1)
        # The recording keeps who led and that a study was shown, by an id that tells nothing.
        told = await asyncio.to_thread(recorded, server, made["session"], tokens["hub"])
        assert [each["name"] for each in told if each["type"] == "leadChanged"] == ["Dr Hải", "Trạm Mai Sơn"]
        (shown,) = [each for each in told if each["type"] == "studyShown"]
        assert (shown["participant"], shown["name"]) == (hub.participant.id, "Dr Hải")
        assert shown["study"]
        assert STUDY not in str(told)
    assert viewer.heard == []
    assert "read" not in viewer.participant.permissions


async def test_view_may_change_as_fast_as_a_wheel_turns_and_no_faster(server: Server) -> None:
    tokens = server.create_session()["tokens"]
    hub, clinic = point(server, tokens["hub"], "Hub"), point(server, tokens["satellite"], "Clinic")
    async with hub.participant.taking_part(), clinic.participant.taking_part():
        await hub.participant.request("askLead", asking=True)
        began_s = time.monotonic()
        codes: list[str] = []
        for index in range(90):
            try:
                await hub.participant.request("setView", changes={"at.0": index})
            except BridgeError as error:
                codes.append(error.code)
        # Between sixty at once and what has come back since.
        allowed = 60 + 25 * (time.monotonic() - began_s) + 1
        assert set(codes) <= {"tooMany"}
        assert 90 - len(codes) <= allowed
        # Where it was refused, the connection goes on.
        await hub.participant.request("syncClock", clientAt=0)
        assert clinic.participant.leader == hub.participant.id


HOSTILE: list[tuple[Any, str]] = [
    ({"At": 1}, "malformed"),
    ({"mark.a": "x" * 3000}, "tooLarge"),
    ({f"mark.{number}": "x" * 1900 for number in range(40)}, "tooLarge"),
    ({f"mark.{number}": 1 for number in range(300)}, "tooLarge"),
    ([1], "malformed"),
]


async def test_hostile_views_are_refused_and_reach_nobody(server: Server) -> None:
    tokens = server.create_session()["tokens"]
    hub, clinic = point(server, tokens["hub"], "Hub"), point(server, tokens["satellite"], "Clinic")
    async with hub.participant.taking_part(), clinic.participant.taking_part():
        await hub.participant.request("askLead", asking=True)
        for changes, code in HOSTILE:
            with pytest.raises(BridgeError) as refused:
                await hub.participant.request("setView", changes=changes)
            assert refused.value.code == code
        await hub.participant.request("setView", changes={"at.0": 1})
        await clinic.sees(at_0=1)
    assert [each["changes"] for each in clinic.heard if each["type"] == "viewChanged"] == [{}, {"at.0": 1}]


async def test_studies_of_one_session_are_not_told_in_another(server: Server) -> None:
    ours, theirs = (server.create_session()["tokens"] for _ in range(2))
    here, there = point(server, ours["hub"], "Here"), point(server, theirs["hub"], "There")
    study = generate_uid()
    async with here.participant.taking_part(), there.participant.taking_part():
        sent = await asyncio.to_thread(
            Web(server, ours["hub"]).send, ct_slice(1, study, generate_uid(), side=32)
        )
        assert sent.status_code == 200
        await here.participant.until(lambda: study in here.participant.studies)
        await there.participant.request("syncClock", clientAt=0)
        assert there.participant.studies == {}
    assert study not in server.log
