"""Hostile objects come by every way during a live session, and those that are taken are looked at: a worker dies at
most, who sent is told, the server goes on, and the pictures of the session with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from pydicom.uid import generate_uid

from bridge.client import Participant
from bridge.demo.pictures import Cine
from bridge.demo.sound import Samples
from bridge.demo.tracks import CineTrack, VoiceTrack
from bridge.imaging.parsing import parse
from tests.imaging.corpus import ct_slice
from tests.imaging.malice import LOOKED_AT
from tests.imaging.test_hostile import bombs
from tests.imaging.ways import WAYS
from tests.imaging.webclients import Web, staff_token
from tests.measuring import quantile_ms, read_metrics
from tests.scenarios.receiving import receive
from tests.serving import Server, free_port, running_server

pytestmark = pytest.mark.timeout(400)

BY_EVERY_WAY = (
    "zeros that pack well",
    "elements without number",
    "sequences without end",
    "a length beyond the file",
    "a number that is a puzzle",
)
REFUSED = {"C000", "A900", "A901", "damaged", "tooLarge"}
LEAST_PER_S = 5.0
TRANSIT_LIMIT_MS = 20.0
"""Of half the packets: a relay that is held up is seen, a machine that was busy for an instant is not."""
MEMORY_LIMIT_MB = 700.0
"""More than before, of the server itself: what arrives at one time has a limit far above a bomb."""
LOOKING_LIMIT_S = 90.0


@dataclass
class Watched:
    """A doctor who sees the ultrasound of a clinic."""

    doctor: Participant
    frames: int = 0
    ended: bool = False

    async def watch(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                await track.recv()
                self.frames += 1
        except MediaStreamError:
            self.ended = True


@asynccontextmanager
async def live_session(server: Server, cine: Cine, sound: Samples) -> AsyncIterator[Watched]:
    tokens = (await asyncio.to_thread(server.create_session))["tokens"]
    tracks = {"ultrasound": CineTrack(cine), "microphone": VoiceTrack(sound)}
    clinic = Participant(server.address, tokens["satellite"], "Clinic", tracks=tracks, receive=False)
    doctor = Participant(server.address, tokens["hub"], "Doctor")
    async with clinic.taking_part(), doctor.taking_part():
        watched = Watched(doctor)
        task = asyncio.create_task(watched.watch(await receive(doctor, "ultrasound", clinic.id)))
        try:
            yield watched
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def send_everything(server: Server, token: str) -> list[str]:
    """What was not refused as it should be."""
    wrong = []
    made = bombs()
    for name in BY_EVERY_WAY:
        for way in WAYS:
            answer = way(server, token).send(made[name][1])
            if answer not in REFUSED:
                wrong.append(f"{name} by {way.__name__}: {answer}")
    return wrong


def look_at_everything(server: Server, token: str) -> dict[str, tuple[str, int]]:
    """Of each that is taken only for whole: whether it was, and what is answered to who wants to see it."""
    web = Web(server, token)
    found: dict[str, tuple[str, int]] = {}
    for number, (name, make) in enumerate(LOOKED_AT.items()):
        content = make()
        answer, status = WAYS[number % len(WAYS)](server, token).send(content), 0
        if answer == "kept":
            note = parse(content).note
            where = f"/studies/{note.study}/series/{note.series}/instances/{note.sop_instance}"
            began_s = time.monotonic()
            status = web.get(where + "/rendered").status_code
            assert time.monotonic() - began_s < LOOKING_LIMIT_S, name
        found[name] = (answer, status)
    return found


def memory_mb(server: Server) -> float:
    assert server.process is not None
    return float(psutil.Process(server.process.pid).memory_info().rss) / 1e6


@pytest.mark.alone
async def test_hostile_objects_by_every_way_leave_a_live_session_alone(
    tmp_path: Path, cine: Cine, sound: Samples
) -> None:
    settings = {"dicom_port": str(free_port()), "dicom_peers": "SENDER=127.0.0.1"}
    with running_server(tmp_path / "data", settings=settings) as server:
        assert server.process is not None
        pid, token = server.process.pid, await asyncio.to_thread(staff_token, server)
        async with live_session(server, cine, sound) as watched:
            socket = watched.doctor._socket
            before, memory_before_mb = await asyncio.to_thread(read_metrics, server), memory_mb(server)
            began_s, frames = time.monotonic(), watched.frames

            assert await asyncio.to_thread(send_everything, server, token) == []
            looked = await asyncio.to_thread(look_at_everything, server, token)
            assert looked == {
                "eats memory": ("kept", 413),
                "eats time": ("kept", 413),
                "lies about its size": ("kept", 422),
            }

            after = await asyncio.to_thread(read_metrics, server)
            assert quantile_ms(before.transit, after.transit, 0.5) < TRANSIT_LIMIT_MS
            assert (watched.frames - frames) / (time.monotonic() - began_s) > LEAST_PER_S
            assert not watched.ended
            assert watched.doctor._socket is socket, "nobody had to come back"
            assert server.process.poll() is None
            assert server.process.pid == pid
            assert memory_mb(server) - memory_before_mb < MEMORY_LIMIT_MB

            study = str(generate_uid())
            good = ct_slice(1, study, generate_uid(), side=64)
            for way in WAYS:
                assert await asyncio.to_thread(way(server, token).send, good) == "kept"
            shown = await asyncio.to_thread(Web(server, token).get, f"/studies/{study}/rendered")
            assert shown.status_code == 200
