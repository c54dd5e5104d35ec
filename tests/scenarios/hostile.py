"""What an attacker needs that no client of ours can do: broken bytes, half messages, floods, offers of nonsense."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aioice import stun

from bridge.client import Participant
from tests.serving import Server

UPGRADE = (
    "GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Protocol: bridge.v1\r\n\r\n"
)
TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Burden:
    """What a server process holds."""

    memory_mib: float
    files: int

    @classmethod
    def of(cls, server: Server) -> Burden:
        assert server.process is not None
        folder = Path("/proc") / str(server.process.pid)
        resident = re.search(r"VmRSS:\s+(\d+) kB", (folder / "status").read_text())
        assert resident is not None
        return cls(int(resident[1]) / 1024, len(list((folder / "fd").iterdir())))


@contextlib.asynccontextmanager
async def lines(server: Server, count: int, first: bytes = b"") -> AsyncIterator[list[asyncio.StreamWriter]]:
    """Plain connections that begin with some bytes, read nothing more and end with the block."""
    writers: list[asyncio.StreamWriter] = []
    try:
        for _ in range(count):
            _, writer = await asyncio.open_connection(server.host, server.port)
            writer.write(first)
            writers.append(writer)
        yield writers
    finally:
        for writer in writers:
            writer.transport.abort()


def upgrade(server: Server) -> bytes:
    """The request that opens a WebSocket."""
    return UPGRADE.format(host=f"{server.host}:{server.port}").encode()


def beginning_of_frame(length: int, sent: int) -> bytes:
    """A masked text frame (RFC 6455 section 5.2) of which only a part comes."""
    return struct.pack(">BBQI", 0x81, 0x80 | 127, length, 0) + b"x" * sent


def offer(*lines: str, formats: Sequence[int] = (96, 97)) -> str:
    """An offer of one video that is good but for what is added."""
    fingerprint = ":".join(["AB"] * 32)
    numbers = " ".join(str(number) for number in formats)
    return "\r\n".join(
        [
            "v=0",
            "o=- 1 1 IN IP4 127.0.0.1",
            "s=-",
            "t=0 0",
            "a=group:BUNDLE 0",
            f"m=video 9 UDP/TLS/RTP/SAVPF {numbers}",
            "c=IN IP4 0.0.0.0",
            "a=mid:0",
            "a=sendonly",
            "a=rtcp-mux",
            "a=setup:actpass",
            "a=ice-ufrag:evil",
            "a=ice-pwd:" + "e" * 22,
            f"a=fingerprint:sha-256 {fingerprint}",
            "a=rtpmap:96 VP8/90000",
            *lines,
            "",
        ]
    )


def check(ufrag: str, pwd: str) -> bytes:
    """An ICE connectivity check that nominates (RFC 8445 section 7.2.2)."""
    request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
    request.attributes["USERNAME"] = f"{ufrag}:evil"
    request.attributes["PRIORITY"] = 1_845_501_695
    request.attributes["ICE-CONTROLLING"] = 7
    request.attributes["USE-CANDIDATE"] = None
    request.add_message_integrity(pwd.encode())
    request.add_fingerprint()
    return bytes(request)


@dataclass(frozen=True)
class Insider:
    """The media side of somebody who was let in: a socket whose checks are good, and its ICE credentials."""

    socket: socket.socket
    ufrag: str
    pwd: str


@contextlib.asynccontextmanager
async def insider(server: Server, participant: Participant) -> AsyncIterator[Insider]:
    """Publishes nonsense and passes one check with it."""
    answer = await participant.request(
        "publishOffer", sdp=offer(), tracks=[{"mid": "0", "source": "camera"}], fresh=True
    )
    found = re.search(r"a=ice-ufrag:(\S+)\s+a=ice-pwd:(\S+)", answer["sdp"])
    assert found is not None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.connect((server.host, server.media_port))
        line.settimeout(TIMEOUT_S)
        line.send(check(found[1], found[2]))
        assert await asyncio.to_thread(line.recv, 2048)
        yield Insider(line, found[1], found[2])


def flood(line: socket.socket, datagrams: Sequence[bytes], count: int) -> None:
    """Sends as fast as the machine takes it."""
    for number in range(count):
        with contextlib.suppress(OSError):  # the kernel's answer to an earlier one; the flood goes on
            line.send(datagrams[number % len(datagrams)])


def noise(length: int) -> bytes:
    return os.urandom(length)
