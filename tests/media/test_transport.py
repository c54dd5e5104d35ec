from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
from aiortc.rtcdtlstransport import (
    SRTP_AEAD_AES_128_GCM,
    SRTP_AEAD_AES_256_GCM,
    SRTP_AES128_CM_SHA1_80,
    RTCCertificate,
    RTCDtlsParameters,
    RTCDtlsTransport,
    SRTPProtectionProfile,
)
from OpenSSL import SSL

from bridge.media.transport import MAX_QUEUED_DATAGRAMS, DtlsTransport, fingerprint_of, make_certificate

TIMEOUT_S = 5.0
PROFILES_OF_ALL = [SRTP_AEAD_AES_128_GCM, SRTP_AEAD_AES_256_GCM, SRTP_AES128_CM_SHA1_80]


class Wire:
    """The client's end of a path without loss."""

    role = "controlling"

    def __init__(self) -> None:
        self.arrived: asyncio.Queue[bytes] = asyncio.Queue()
        self.send: Callable[[bytes], None] = lambda _: None

    async def _recv(self) -> bytes:
        return await self.arrived.get()

    async def _send(self, data: bytes) -> None:
        self.send(data)


@dataclass
class Pair:
    """Our server side and aiortc's client side."""

    keys: list[tuple[str, bytes, bytes]] = field(default_factory=list)
    over: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    server_certificate: RTCCertificate = field(default_factory=make_certificate)

    def __post_init__(self) -> None:
        self.certificate = RTCCertificate.generateCertificate()
        wire = Wire()
        self.server = DtlsTransport(
            self.server_certificate,
            wire.arrived.put_nowait,
            lambda profile, local, remote: self.keys.append((profile, local, remote)),
            self.over.put_nowait,
        )
        wire.send = self.server.feed
        self.client = RTCDtlsTransport(wire, [self.certificate])
        self.client._set_role("client")

    async def connect(self, fingerprints: list[tuple[str, str]] | None = None) -> bool:
        known = [(known.algorithm, known.value) for known in self.certificate.getFingerprints()]
        remote = RTCDtlsParameters(self.server_certificate.getFingerprints(), "server")
        opened = asyncio.create_task(self.server.open(known if fingerprints is None else fingerprints))
        client = asyncio.create_task(self.client.start(remote))
        try:
            return await asyncio.wait_for(opened, TIMEOUT_S)
        finally:
            await asyncio.wait_for(asyncio.gather(client, return_exceptions=True), TIMEOUT_S)


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    made = Pair()
    yield made
    await made.client.stop()
    await made.server.close()


@pytest.mark.parametrize(
    ("offered", "chosen", "lengths"),
    [
        ([SRTP_AEAD_AES_256_GCM, SRTP_AEAD_AES_128_GCM, SRTP_AES128_CM_SHA1_80], "SRTP_AEAD_AES_128_GCM", 28),
        ([SRTP_AES128_CM_SHA1_80, SRTP_AEAD_AES_256_GCM], "SRTP_AEAD_AES_256_GCM", 44),
        ([SRTP_AES128_CM_SHA1_80], "SRTP_AES128_CM_SHA1_80", 30),
    ],
)
async def test_our_order_of_profiles_decides(
    pair: Pair, offered: list[SRTPProtectionProfile], chosen: str, lengths: int
) -> None:
    pair.client._srtp_profiles = offered
    assert await pair.connect()
    ((profile, local, remote),) = pair.keys
    assert profile == chosen
    assert (len(local), len(remote)) == (lengths, lengths)
    assert local != remote


@pytest.mark.parametrize("fingerprints", [[("sha-256", ":".join(["00"] * 32))], [("md5", "00:11")]])
async def test_a_certificate_that_was_not_announced_gets_no_keys(
    pair: Pair, fingerprints: list[tuple[str, str]]
) -> None:
    assert not await pair.connect(fingerprints)
    assert pair.keys == []
    assert await asyncio.wait_for(pair.over.get(), TIMEOUT_S) == "handshakeFailed"


async def test_goodbye_of_the_other_side_is_told_once(pair: Pair) -> None:
    await pair.connect()
    await pair.client.stop()
    assert await asyncio.wait_for(pair.over.get(), TIMEOUT_S) == "closed"
    await pair.server.close()
    assert pair.over.empty()


async def test_our_goodbye_reaches_the_other_side(pair: Pair) -> None:
    await pair.connect()
    closed = asyncio.Event()
    pair.client.on("statechange", closed.set)
    await pair.server.close()
    await asyncio.wait_for(closed.wait(), TIMEOUT_S)
    assert pair.client.state == "closed"
    assert pair.over.empty()


async def test_nobody_coming_ends_in_a_timeout(pair: Pair) -> None:
    assert not await pair.server.open([("sha-256", "00")], timeout_s=0.05)
    assert await pair.over.get() == "handshakeTimeout"


async def test_rubbish_before_the_handshake_does_no_harm(pair: Pair) -> None:
    for size in (0, 1, 13, 200, 2000):
        pair.server.feed(b"\x16" * size)
    for _ in range(3 * MAX_QUEUED_DATAGRAMS):
        pair.server.feed(b"\x14\xfe\xfd" + bytes(10))
    assert len(pair.server._path._queue) == MAX_QUEUED_DATAGRAMS
    assert await pair.connect()


def test_fingerprint_is_sha_256_of_the_certificate() -> None:
    digest = fingerprint_of(make_certificate())
    assert len(digest.split(":")) == 32
    assert digest == digest.upper()


def test_all_handshakes_of_a_certificate_share_a_context_that_keeps_no_sessions() -> None:
    certificate = make_certificate()
    context = certificate._create_ssl_context(PROFILES_OF_ALL)
    assert certificate._create_ssl_context(PROFILES_OF_ALL) is context
    assert make_certificate()._create_ssl_context(PROFILES_OF_ALL) is not context
    assert context.get_session_cache_mode() == SSL.SESS_CACHE_OFF


async def test_peers_of_one_certificate_get_keys_of_their_own() -> None:
    first = Pair()
    second = Pair(server_certificate=first.server_certificate)
    try:
        assert await first.connect()
        assert await second.connect()
        assert first.keys != second.keys
    finally:
        for pair in (first, second):
            await pair.client.stop()
            await pair.server.close()
