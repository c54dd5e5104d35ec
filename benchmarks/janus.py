"""Debian's Janus as a measured server: its configuration folder, its process, and viewers of one mountpoint by its API.

The streaming plugin takes plain RTP by UDP and gives it to everybody who watches. Everything is as shipped but for
ICE-lite (as Bridge has it), a session's timeout, plugins and transports that are not needed, and the number of event
loops if one is given (as shipped, each viewer has a thread of its own).
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks import stream
from benchmarks.hosts import FAR_ADDRESS, Host
from bridge.crowd import sdp
from bridge.crowd.crew import Crew, Link
from bridge.media import _native

COMMAND = "janus"
EXTENSION_BYTES = 12
"""What it adds to each packet's header."""
PLUGIN = "janus.plugin.streaming"
PAYLOAD_TYPE = 96
HTTP_PORT, RTP_PORT = 8088, 5004
START_TIMEOUT_S, STOP_TIMEOUT_S, ANSWER_TIMEOUT_S = 20.0, 10.0, 20.0
LOOK_EVERY_S = 0.1
_MOUNTPOINT = 1
_SSRC = 77
_CANDIDATE = f"a=candidate:1 1 udp 2113937151 {FAR_ADDRESS} 9 typ host\r\n"
"""Janus waits for one. Where a viewer is it learns from its checks, as with browsers that hide their addresses."""
_MOST_EVENTS = 20
_LIBRARIES = Path("/usr/lib/x86_64-linux-gnu/janus")
_UNNEEDED_PLUGINS = [
    "audiobridge",
    "duktape",
    "echotest",
    "lua",
    "nosip",
    "recordplay",
    "sip",
    "textroom",
    "videocall",
    "videoroom",
    "voicemail",
]
_UNNEEDED_TRANSPORTS = ("mqtt", "nanomsg", "pfunix", "rabbitmq", "websockets")


def configuration(folder: Path, event_loops: int, libraries: Path = _LIBRARIES) -> dict[str, str]:
    """Files by name, in the syntax of libconfig. `event_loops` 0: as shipped."""
    general = {
        "configs_folder": str(folder),
        **{
            f"{kind}_folder": str(libraries / kind) for kind in ("plugins", "transports", "events", "loggers")
        },
        "debug_level": 4,
        # Viewers here do not poll: it would be counted as work.
        "session_timeout": 0,
    }
    if event_loops:
        general["event_loops"] = event_loops
    return {
        "janus.jcfg": _section("general", general)
        + _section("nat", {"ice_lite": True, "nice_debug": False})
        + _section("plugins", {"disable": _names(_UNNEEDED_PLUGINS)})
        + _section("transports", {"disable": _names(_UNNEEDED_TRANSPORTS)}),
        "janus.transport.http.jcfg": _section(
            "general",
            {"json": "compact", "base_path": "/janus", "http": True, "port": HTTP_PORT, "https": False},
        )
        + _section("admin", {"admin_http": False}),
        f"{PLUGIN}.jcfg": _section(
            "measured",
            {
                "type": "rtp",
                "id": _MOUNTPOINT,
                "audio": False,
                "video": True,
                "videoport": RTP_PORT,
                "videopt": PAYLOAD_TYPE,
                "videocodec": "vp8",
            },
        ),
    }


def _section(name: str, values: dict[str, Any]) -> str:
    lines = []
    for key, value in values.items():
        if isinstance(value, bool):
            written = "true" if value else "false"
        else:
            written = f'"{value}"' if isinstance(value, str) else str(value)
        lines.append(f"  {key} = {written}\n")
    return f"{name}: {{\n{''.join(lines)}}}\n"


def _names(short: Sequence[str]) -> str:
    return ",".join(f"libjanus_{name}.so" for name in short)


class Janus:
    """A running one, with its feed and its viewers."""

    def __init__(
        self, process: subprocess.Popen[bytes], address: str, http: aiohttp.ClientSession, crew: Crew
    ) -> None:
        self.pid = process.pid
        self._sent = 0
        self._crew = crew
        self._links: list[Link] = []
        self._api = f"http://{address}:{HTTP_PORT}/janus"
        self._http = http
        self._frame = 0
        self._playing = False
        self._feeding: asyncio.Task[None] | None = None
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect((address, RTP_PORT))

    async def add_viewer(self) -> None:
        """Raises MediaError or RuntimeError if it cannot watch."""
        session = (await self._ask("", janus="create"))["data"]["id"]
        handle = (await self._ask(f"/{session}", janus="attach", plugin=PLUGIN))["data"]["id"]
        here = f"/{session}/{handle}"
        await self._ask(here, janus="message", body={"request": "watch", "id": _MOUNTPOINT})
        offer = await self._offer(session)
        link = self._crew.link()
        self._links.append(link)
        answered = sdp.answer(offer, link.own)
        if answered.server is None:
            raise RuntimeError("Janus's offer has no transport")
        await self._ask(
            here,
            janus="message",
            body={"request": "start"},
            jsep={"type": "answer", "sdp": answered.sdp + _CANDIDATE, "trickle": False},
        )
        link.begin(answered.server)
        self._crew.native.receive(
            link.number,
            _native.ExtensionIds(**answered.extensions),
            [(each.kind, each.codec, each.ssrc, each.rtx_ssrc) for each in answered.incoming],
        )
        await link.connect(answered.server)

    def play(self, on: bool) -> None:
        self._playing = on

    async def fed(self) -> int:
        """How many packets it was sent."""
        return self._sent

    async def begin(self) -> None:
        self._feeding = asyncio.create_task(self._feed())

    async def end(self) -> None:
        if self._feeding is not None:
            self._feeding.cancel()
            await asyncio.gather(self._feeding, return_exceptions=True)
        await asyncio.gather(*(link.close() for link in self._links))
        self._socket.close()

    async def _feed(self) -> None:
        """A frame's packets at once, in time however late the loop was."""
        start_s, count = time.monotonic(), 0
        while True:
            count += 1
            await asyncio.sleep(max(0.0, start_s + count / stream.FRAMES_PER_SECOND - time.monotonic()))
            if self._playing:
                for packet in stream.frame_packets(self._frame, _SSRC, PAYLOAD_TYPE, EXTENSION_BYTES):
                    self._socket.send(packet)
                    self._sent += 1
                self._frame += 1

    async def _offer(self, session: int) -> str:
        for _ in range(_MOST_EVENTS):
            async with self._http.get(f"{self._api}/{session}") as answer:
                event = await answer.json()
            if "jsep" in event:
                return str(event["jsep"]["sdp"])
        raise RuntimeError("Janus made no offer")

    async def _ask(self, path: str, **body: Any) -> dict[str, Any]:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            async with self._http.post(
                f"{self._api}{path}", json={**body, "transaction": secrets.token_hex(6)}
            ) as answer:
                said: dict[str, Any] = await answer.json()
        if said.get("janus") not in ("success", "ack"):
            raise RuntimeError(f"Janus refused: {said.get('error')}")
        return said

    async def wait(self, process: subprocess.Popen[bytes]) -> None:
        """Until it answers. Raises RuntimeError if it does not."""
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while process.poll() is None and time.monotonic() < deadline_s:
            with contextlib.suppress(aiohttp.ClientError):
                async with self._http.get(f"{self._api}/info") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(LOOK_EVERY_S)
        raise RuntimeError("Janus did not start")


@asynccontextmanager
async def running_janus(
    host: Host, folder: Path, http: aiohttp.ClientSession, crew: Crew, *, event_loops: int
) -> AsyncIterator[Janus]:
    """Starts one there, and ends it with the block. `folder`: for its configuration and its log."""
    process = await asyncio.to_thread(_start, host, folder, event_loops)
    server = Janus(process, host.address, http, crew)
    try:
        await server.wait(process)
        await server.begin()
        yield server
    finally:
        await server.end()
        await asyncio.to_thread(_stop, process)


def _start(host: Host, folder: Path, event_loops: int) -> subprocess.Popen[bytes]:
    folder.mkdir()
    for name, text in configuration(folder, event_loops).items():
        (folder / name).write_text(text)
    with (folder / "janus.log").open("wb") as log:
        command = host.command(COMMAND, "--configs-folder", str(folder))
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
