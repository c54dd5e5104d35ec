from __future__ import annotations

import asyncio
import gc
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

from bridge.media.transport import (
    MAX_QUEUED_DATAGRAMS,
    MAX_REPEATS,
    DtlsTransport,
    fingerprint_of,
    make_certificate,
)

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
    """Our server side and aiortc's client side. `lose` tells by its number which of the server's sends is lost."""

    listening: bool = True
    lose: Callable[[int], bool] = lambda number: False
    sent: list[bytes] = field(default_factory=list)
    keys: list[tuple[str, bytes, bytes]] = field(default_factory=list)
    over: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    server_certificate: RTCCertificate = field(default_factory=make_certificate)

    def __post_init__(self) -> None:
        self.certificate = RTCCertificate.generateCertificate()
        wire = Wire()

        def send(datagram: bytes) -> None:
            self.sent.append(datagram)
            if not self.lose(len(self.sent)):
                wire.arrived.put_nowait(datagram)

        self.server = DtlsTransport(
            self.server_certificate,
            send,
            lambda profile, local, remote: self.keys.append((profile, local, remote)),
            self.over.put_nowait,
            listening=self.listening,
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
    assert len(pair.server._association.path._queue) == MAX_QUEUED_DATAGRAMS
    assert await pair.connect()


@pytest.fixture
async def unheard() -> AsyncIterator[Pair]:
    """One whose server does not wait for the client's goodbye."""
    made = Pair(listening=False)
    yield made
    await made.client.stop()
    await made.server.close()


async def test_lets_go_of_openssl_when_nobody_listens(unheard: Pair) -> None:
    assert await unheard.connect()
    assert unheard.server.settled
    gc.collect()
    connections = [known for known in gc.get_objects() if isinstance(known, SSL.Connection)]
    assert connections == [unheard.client._ssl]
    assert not [task for task in asyncio.all_tasks() if "_Association" in repr(task)]


async def test_goodbye_of_a_settled_server_reaches_the_other_side(unheard: Pair) -> None:
    assert await unheard.connect()
    closed = asyncio.Event()
    unheard.client.on("statechange", closed.set)
    await unheard.server.close()
    await asyncio.wait_for(closed.wait(), TIMEOUT_S)
    assert unheard.client.state == "closed"
    assert unheard.over.empty()


async def test_a_client_that_missed_the_last_flight_gets_it_again_from_a_settled_server() -> None:
    # The first two: HelloVerifyRequest is not used, so these are the server's first flight, and its last.
    pair = Pair(listening=False, lose=lambda number: number == 2)
    try:
        assert await pair.connect()
        assert pair.server.settled
        assert pair.client.state == "connected"
        assert len(pair.sent) == 3
        assert pair.sent[1] == pair.sent[2]
    finally:
        await pair.client.stop()
        await pair.server.close()


async def test_a_settled_server_repeats_its_last_flight_a_few_times_only(unheard: Pair) -> None:
    assert await unheard.connect()
    before = len(unheard.sent)
    finished = b"\x16\xfe\xfd\x00\x01" + bytes(6) + b"\x00\x28" + bytes(40)
    verify = b"\x16\xfe\xfd\x00\x00" + bytes(6) + b"\x00\x03" + bytes(3)
    for _ in range(3 * MAX_REPEATS):
        unheard.server.feed(verify + finished)
    assert len(unheard.sent) - before == MAX_REPEATS


@pytest.mark.parametrize(
    "datagram",
    [
        b"\x15\xfe\xfd\x00\x01" + bytes(6) + b"\x00\x1a" + bytes(26),
        b"\x16\xfe\xfd\x00\x00" + bytes(6) + b"\x00\x02" + bytes(2),
        b"\x16\xfe\xfd\x00\x00" + bytes(6) + b"\xff\xff" + bytes(40),
        b"\x17\xfe\xfd\x00\x01",
        b"\x14",
        b"",
    ],
    ids=["alert", "hello", "too long", "cut short", "one byte", "empty"],
)
async def test_a_settled_server_believes_nothing_that_comes(unheard: Pair, datagram: bytes) -> None:
    assert await unheard.connect()
    before = len(unheard.sent)
    unheard.server.feed(datagram)
    assert len(unheard.sent) == before
    assert unheard.server.settled
    assert unheard.over.empty()


async def test_a_settled_server_that_is_closed_says_nothing_more(unheard: Pair) -> None:
    assert await unheard.connect()
    await unheard.server.close()
    before = len(unheard.sent)
    await unheard.server.close()
    unheard.server.feed(b"\x16\xfe\xfd\x00\x01" + bytes(6) + b"\x00\x28" + bytes(40))
    assert len(unheard.sent) == before


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
