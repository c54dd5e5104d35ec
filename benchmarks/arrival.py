"""What a gigabyte of CT that arrives does to live video: transit time, loss and loop lag, without it and with it.

A whole server in processes of its own carries a session: points publish the ultrasound loop and a voice, viewers
receive them, by the public protocol. Then dcmtk's `storescu` brings CT slices over some associations at once. Transit
is the relay's own histogram, from a datagram's arrival in the kernel to its forwarding; loss is what viewers miss.
Those who send and those who view run on the same machine, where a hospital has others: the senders give way to all
else. The last line is one JSON object; each list is without and with.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import io
import json
import os
import tempfile
import time
import uuid
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from pydicom.uid import UID

from bridge.client import Participant
from bridge.demo.pictures import cine_path, read_cine
from bridge.demo.sound import voice
from bridge.demo.tracks import CineTrack, VoiceTrack
from tests.imaging.corpus import ct_slice, file_of
from tests.measuring import Reading, quantile_ms, read_metrics
from tests.serving import Server, free_port, running_server

CALLING = "BENCH"
GIGABYTE = 10**9
WARM_UP_S = 5.0
SETTLE_S = 5.0
"""Between the two: what was begun for one is not counted with the other."""
WAIT_S = 900.0
PUBLISHERS = {"satellite": "ultrasound", "hub": "camera"}
"""Role and source: each sends a loop of pictures and a voice."""
VIEWERS = 2
TRANSIT, LAG, DROPPED = (
    "bridge_relay_transit_seconds",
    "bridge_loop_lag_seconds",
    "bridge_relay_dropped_out_total",
)


@dataclass(frozen=True)
class Moment:
    """Totals at one time."""

    relay: Reading
    lost: float


@dataclass(frozen=True)
class Result:
    transit_p50_ms: float
    transit_p99_ms: float
    lost: int
    loop_lag_p99_ms: float


def make_slices(folder: Path, count: int) -> list[Path]:
    """A study in files: one noisy slice, shifted a little from each to the next."""
    study = f"2.25.{uuid.uuid4().int}"
    dataset = pydicom.dcmread(io.BytesIO(ct_slice(1, study, study + ".1")))
    pixels = np.frombuffer(dataset.PixelData, np.int16)
    folder.mkdir()
    paths = []
    for number in range(1, count + 1):
        uid = UID(f"{study}.{number}")
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
        dataset.InstanceNumber = number
        dataset.PixelData = np.roll(pixels, 7 * number).tobytes()
        paths.append(folder / f"{number:05}.dcm")
        paths[-1].write_bytes(file_of(dataset))
    return paths


# --- the live session ------------------------------------------------------------------------------------------------


async def join(stack: AsyncExitStack, server: Server, tokens: dict[str, str]) -> list[Participant]:
    """Those who publish, and viewers; returned are the viewers, each with all pictures on their way."""
    cine, samples = read_cine(cine_path()), voice()
    for role, source in PUBLISHERS.items():
        tracks = {source: CineTrack(cine), "microphone": VoiceTrack(samples)}
        publisher = Participant(server.address, tokens[role], role, tracks=tracks, receive=False)
        await stack.enter_async_context(publisher.taking_part())
    viewers = [Participant(server.address, tokens["viewer"], f"Viewer {n + 1}") for n in range(VIEWERS)]
    for viewer in viewers:
        await stack.enter_async_context(viewer.taking_part())
        await viewer.until(functools.partial(_sees_all, viewer))
    return viewers


def _sees_all(viewer: Participant) -> bool:
    seen = {track["source"] for identity, track in viewer.tracks.items() if identity in viewer.received}
    return seen >= set(PUBLISHERS.values())


async def consume(viewer: Participant) -> None:
    """Takes what comes, so that nothing waits at the viewer."""

    async def take(track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                await track.recv()

    await asyncio.gather(*(take(track) for track in list(viewer.received.values())))


async def lost(viewers: list[Participant]) -> float:
    """Packets that viewers missed for good."""
    total = 0.0
    for viewer in viewers:
        connection = viewer._subscriber
        if connection is None:
            raise SystemExit("a viewer lost its connection")
        for report in (await connection.getStats()).values():
            if report.type == "inbound-rtp":
                total += report.packetsLost
    return total


# --- what is measured ------------------------------------------------------------------------------------------------


async def moment(server: Server, viewers: list[Participant]) -> Moment:
    reading = await asyncio.to_thread(read_metrics, server)
    return Moment(reading, reading.dropped + await lost(viewers))


def between(before: Moment, after: Moment) -> Result:
    return Result(
        quantile_ms(before.relay.transit, after.relay.transit, 0.5),
        quantile_ms(before.relay.transit, after.relay.transit, 0.99),
        round(after.lost - before.lost),
        quantile_ms(before.relay.lag, after.relay.lag, 0.99),
    )


async def store(port: int, studies: list[list[Path]]) -> float:
    """Objects a second, each study over an association of its own."""
    began_s = time.monotonic()
    environment = {**os.environ, "TCP_NODELAY": "1"}
    senders = [
        await asyncio.create_subprocess_exec(
            *("nice", "-n", "19", "/usr/bin/storescu", "-aet", CALLING, "-aec", "BRIDGE"),
            *("127.0.0.1", str(port), *map(str, study)),
            env=environment,
            stdout=asyncio.subprocess.DEVNULL,
        )
        for study in studies
    ]
    if any(await asyncio.wait_for(asyncio.gather(*(each.wait() for each in senders)), WAIT_S)):
        raise SystemExit("not everything was taken")
    return sum(map(len, studies)) / (time.monotonic() - began_s)


async def measure(server: Server, port: int, studies: list[list[Path]], quiet_s: float) -> None:
    made = await asyncio.to_thread(server.create_session)
    async with AsyncExitStack() as stack:
        viewers = await join(stack, server, made["tokens"])
        taking = [asyncio.create_task(consume(viewer)) for viewer in viewers]
        await asyncio.sleep(WARM_UP_S)
        before = await moment(server, viewers)
        await asyncio.sleep(quiet_s)
        without = between(before, await moment(server, viewers))
        print(f"without: {without}", flush=True)
        await asyncio.sleep(SETTLE_S)
        before = await moment(server, viewers)
        store_per_s = await store(port, studies)
        after = await moment(server, viewers)
        during = between(before, after)
        print(f"of what was lost the relay itself dropped {after.relay.dropped - before.relay.dropped:.0f}")
        print(f"with: {during}", flush=True)
        ended = [task for task in taking if task.done()]
        for task in taking:
            task.cancel()
        await asyncio.gather(*taking, return_exceptions=True)
        if ended:
            raise SystemExit("a viewer's pictures ended before the measurement did")
    print(f"load of the machine: {os.getloadavg()[0]:.1f}")
    told = {name: [value, vars(during)[name]] for name, value in vars(without).items()}
    print(json.dumps(told | {"store_per_s": round(store_per_s, 1)}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bytes", type=int, default=GIGABYTE, help="of pixels that arrive")
    parser.add_argument("--associations", type=int, default=4)
    parser.add_argument("--quiet", type=float, default=30.0, help="seconds that are measured without")
    chosen = parser.parse_args()
    each = -(-chosen.bytes // (512 * 512 * 2 * chosen.associations))
    with tempfile.TemporaryDirectory(prefix="bench-arrival-") as name:
        folder, port = Path(name), free_port()
        studies = [make_slices(folder / f"study{number}", each) for number in range(chosen.associations)]
        settings = {"dicom_port": str(port), "dicom_peers": f"{CALLING}=127.0.0.1"}
        with running_server(folder / "data", settings=settings) as server:
            asyncio.run(measure(server, port, studies, chosen.quiet))


if __name__ == "__main__":
    main()
