"""`bridge check`: proves this installation by a call through the real relay, and says what is wrong and what to do.

First what can be known without a call: data folder, page, ports, kernel. Then a whole server on free loopback ports
with a data folder of its own, a satellite that sends a picture and a tone, and a hub that must see and hear them.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json as jsonlib
import os
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import typer
from aiortc import MediaStreamTrack

from bridge.app import Server, running
from bridge.client import Participant
from bridge.config import ConfigError, Settings
from bridge.demo.pictures import draw_room
from bridge.demo.sound import voice
from bridge.demo.tracks import CineTrack, VoiceTrack
from bridge.desk import SessionWish
from bridge.errors import BridgeError
from bridge.ids import RecordMode, Role
from bridge.pages import FOLDER

CALL_TIMEOUT_S = 20.0
FRAMES = 10
SOUND_S = 3.0
LEAST_LOUDNESS = 0.01
GOOD_BUFFER_BYTES = 1_000_000
"""A keyframe to a few hundred subscribers at once; the kernel's default holds about a fifth of it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One checked thing. `todo` says what mends it; a warning does not fail the check."""

    name: str
    state: str
    text: str
    todo: str = ""

    @property
    def failed(self) -> bool:
        return self.state == "failed"


def good(name: str, text: str) -> Finding:
    return Finding(name, "good", text)


def warning(name: str, text: str, todo: str) -> Finding:
    return Finding(name, "warning", text, todo)


def failed(name: str, text: str, todo: str) -> Finding:
    return Finding(name, "failed", text, todo)


def run(settings: Settings, *, json: bool = False) -> int:
    """Checks everything, prints what was found as it is found; 0 if all is well, else 1."""
    findings: list[Finding] = []

    def note(finding: Finding) -> None:
        findings.append(finding)
        if not json:
            typer.echo(_line(finding))

    for look in (_data_folder, _page, _media_port, _page_port, _kernel_buffers, _https):
        note(look(settings))
    asyncio.run(_call(note))
    ok = not any(finding.failed for finding in findings)
    if json:
        typer.echo(jsonlib.dumps({"ok": ok, "findings": [dataclasses.asdict(f) for f in findings]}))
    else:
        typer.echo("\nThis installation works." if ok else "\nThis installation does not work yet.")
    return 0 if ok else 1


def _line(finding: Finding) -> str:
    mark = {"good": "ok     ", "warning": "look   ", "failed": "FAILED "}[finding.state]
    todo = f"\n        {finding.todo}" if finding.todo else ""
    return f"{mark} {finding.name}: {finding.text}{todo}"


def _data_folder(settings: Settings) -> Finding:
    folder = settings.data_dir
    existing = (
        folder if folder.exists() else next((p for p in folder.resolve().parents if p.exists()), Path("/"))
    )
    if not os.access(existing, os.W_OK | os.X_OK):
        return failed(
            "data folder", f"{folder} cannot be written", "Set data_dir, or give this user the folder."
        )
    try:
        with tempfile.TemporaryFile(dir=existing) as probe:
            probe.write(b"x")
            os.fsync(probe.fileno())
    except OSError as error:
        return failed(
            "data folder", f"{folder}: {os.strerror(error.errno or 0)}", "Make room, or mend the disk."
        )
    return good("data folder", f"{folder} can be written")


def _page(settings: Settings) -> Finding:
    if not (FOLDER / "index.html").is_file():
        return failed("page", "the page is not built", "Run `make build`.")
    return good("page", "built")


def _media_port(settings: Settings) -> Finding:
    return _port("media port", settings.media_host or "0.0.0.0", settings.media_port, socket.SOCK_DGRAM)  # noqa: S104


def _page_port(settings: Settings) -> Finding:
    return _port("page port", settings.host, settings.port, socket.SOCK_STREAM)


def _port(name: str, host: str, port: int, kind: socket.SocketKind) -> Finding:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    transport = "UDP" if kind is socket.SOCK_DGRAM else "TCP"
    try:
        with socket.socket(family, kind) as probe:
            if kind is socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        why = os.strerror(error.errno or 0)
        return warning(
            name,
            f"{transport} {port}: {why}",
            "If it is this server that runs already, all is well. If not, end the other program or set another port.",
        )
    return good(name, f"{transport} {port} is free")


def _kernel_buffers(settings: Settings) -> Finding:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, GOOD_BUFFER_BYTES)
        # The kernel counts its own overhead in and answers twice what it grants.
        granted = probe.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 2
    if granted < GOOD_BUFFER_BYTES:
        return warning(
            "network buffers",
            f"the kernel grants {granted // 1000} kB",
            "Enough for a consult. For events: sysctl -w net.core.wmem_max=8388608 net.core.rmem_max=8388608",
        )
    return good("network buffers", f"{granted // 1000} kB")


def _https(settings: Settings) -> Finding:
    outside = settings.public_url or (settings.host not in ("127.0.0.1", "::1", "localhost"))
    if outside and settings.tls == "off" and not settings.public_url.startswith("https:"):
        return warning(
            "HTTPS",
            "off, but other machines shall use this server: browsers will give them no camera",
            "Set tls to self-signed to try it, or give it a certificate; behind a proxy set public_url to https://...",
        )
    return good("HTTPS", settings.tls)


async def _call(note: Callable[[Finding], None]) -> None:
    """The call itself, in steps that are told one by one; the first that fails ends it."""
    try:
        with tempfile.TemporaryDirectory(prefix="bridge-check-") as folder:
            async with asyncio.timeout(CALL_TIMEOUT_S), _loopback_server(Path(folder)) as server:
                note(good("server", "starts"))
                await _see_and_hear(server, note)
    except TimeoutError:
        note(failed("call", "nothing came through in time", "Is UDP on 127.0.0.1 filtered on this machine?"))
    except (BridgeError, ConfigError, OSError) as error:
        note(failed("call", str(error), "Run `bridge serve --log-level debug` to see where it stops."))


@asynccontextmanager
async def _loopback_server(folder: Path) -> AsyncIterator[Server]:
    own = Settings(data_dir=folder, port=0, media_host="127.0.0.1", media_port=0)
    async with running(own) as server:
        yield server


async def _see_and_hear(server: Server, note: Callable[[Finding], None]) -> None:
    desk = server.office.desk
    made = await desk.create_session(SessionWish("Check", record=RecordMode.NEVER))
    tracks: dict[str, MediaStreamTrack] = {
        "camera": CineTrack(draw_room()),
        "microphone": VoiceTrack(voice()),
    }
    satellite = Participant(
        server.url, desk.token(made.invites[Role.SATELLITE]), "Satellite", tracks=tracks, receive=False
    )
    hub = Participant(server.url, desk.token(made.invites[Role.HUB]), "Hub")
    started_s = time.monotonic()
    async with satellite.taking_part(), hub.taking_part():
        note(good("signaling", "hub and satellite have joined"))
        picture = await _received(hub, "camera")
        await picture.recv()
        note(good("picture", f"the first came {time.monotonic() - started_s:.1f} s after joining"))
        note(await _moves(picture))
        note(await _sounds(await _received(hub, "microphone")))
    stats = server.engine.stats()
    if stats is not None and stats.relay.transit:
        mean_us = stats.relay.transit_sum_us / max(1, sum(stats.relay.transit))
        note(
            good("relay", f"forwarded {stats.relay.packets_out} packets, each in {mean_us:.0f} µs on average")
        )


async def _received(hub: Participant, source: str) -> MediaStreamTrack:
    def found() -> str | None:
        return next((i for i, t in hub.tracks.items() if t["source"] == source and i in hub.received), None)

    return hub.received[await hub.until(found, CALL_TIMEOUT_S)]


async def _moves(track: MediaStreamTrack) -> Finding:
    frames = []
    for _ in range(FRAMES):
        frame = await track.recv()
        assert isinstance(frame, av.VideoFrame)  # noqa: S101 (a video track gives nothing else)
        frames.append(frame.to_ndarray(format="gray").astype(np.int16))
    changes = [np.abs(a - b).mean() > 0 for a, b in itertools.pairwise(frames) if a.shape == b.shape]
    if sum(changes) < FRAMES // 2:
        return failed("movement", "the picture stands still", "Is the machine overloaded? Try again.")
    height, width = frames[-1].shape
    return good("movement", f"{width} × {height} pixels, and it moves")


async def _sounds(track: MediaStreamTrack) -> Finding:
    best = 0.0
    for _ in range(int(SOUND_S * 50)):
        frame = await track.recv()
        assert isinstance(frame, av.AudioFrame)  # noqa: S101 (an audio track gives nothing else)
        samples = frame.to_ndarray().astype(np.float64) / 32768
        best = max(best, float(np.sqrt((samples**2).mean())))
        if best > LEAST_LOUDNESS:
            return good("sound", "arrives")
    return failed("sound", "only silence came through", "Is the machine overloaded? Try again.")
