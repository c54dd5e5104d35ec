"""The wall of an event, through a real server: small pictures of all points, for moderators only, while one looks."""

from __future__ import annotations

import asyncio
import base64
import io
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import numpy as np
import pytest
from PIL import Image

from bridge.client import Participant
from tests.media.webrtc import MovingPicture
from tests.serving import Server

pytestmark = pytest.mark.timeout(120)

GREYS = (30, 110, 190)


async def ask(
    http: aiohttp.ClientSession, server: Server, token: str, after: int = 0
) -> tuple[int, dict[str, Any]]:
    address = f"{server.address}/api/wall?after={after}"
    async with http.get(address, headers={"Authorization": f"Bearer {token}"}) as response:
        return response.status, await response.json()


async def invited(http: aiohttp.ClientSession, server: Server, session: str, token: str, point: str) -> str:
    address = f"{server.address}/api/sessions/{session}/invites"
    wish = {"role": "satellite", "point": point}
    async with http.post(address, json=wish, headers={"Authorization": f"Bearer {token}"}) as response:
        return str((await response.json())["token"])


async def test_moderators_see_each_point_and_it_changes_as_time_goes_on(server: Server) -> None:
    made = server.create_session("Launch", "--format", "event")
    tokens = made["tokens"]
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        organiser = Participant(server.address, tokens["organiser"], "Bình", receive=False)
        await stack.enter_async_context(organiser.taking_part())
        points: dict[str, int] = {}
        for number, grey in enumerate(GREYS):
            token = await invited(http, server, made["session"], tokens["organiser"], f"Point {number}")
            tracks = {"camera": MovingPicture(320, 240, grey)}
            clinic = Participant(server.address, token, f"Clinic {number}", tracks=tracks, receive=False)
            await stack.enter_async_context(clinic.taking_part())
            points[clinic.id] = grey

        pictures: dict[str, list[str]] = {}
        after = 0
        async with asyncio.timeout(40):
            while len(pictures) < len(points) or min(map(len, pictures.values())) < 2:
                status, wall = await ask(http, server, tokens["organiser"], after)
                assert status == 200
                assert wall["after"] >= after
                after = wall["after"]
                for one in wall["pictures"]:
                    pictures.setdefault(one["participant"], []).append(one["jpeg"])
                await asyncio.sleep(0.5)
        assert pictures.keys() == points.keys()
        for point, (first, second, *_) in pictures.items():
            assert first != second
            picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(first))).convert("L"))
            assert picture.shape == (144, 192)
            assert abs(float(np.median(picture)) - points[point]) < 12

        assert (await ask(http, server, tokens["hub"]))[0] == 200
        for role in ("satellite", "viewer"):
            status, answer = await ask(http, server, tokens[role])
            assert (status, answer["error"]["code"]) == (403, "notAllowed")
