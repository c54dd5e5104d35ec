"""Whatever comes from the network costs little, is counted, and stops nothing."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Callable, Iterator

import pytest

from bridge.media import _native
from tests.media.relay_client import Client, carry_audio, connected_pair, rtp, rtp_payload, wait_for

STORM_PACKETS = 2000


def stun_like(random: random.Random) -> bytes:
    attributes = random.randbytes(4 * random.randrange(20))
    length = random.choice([len(attributes), random.randrange(65_536)])
    kind = random.choice([0x0001, 0x0101, 0x0111, 0x0011, random.randrange(0x4000)])
    return struct.pack("!HHI", kind, length, 0x2112A442) + random.randbytes(12) + attributes


def dtls_like(random: random.Random) -> bytes:
    return bytes([random.randrange(20, 64)]) + random.randbytes(random.randrange(200))


def rtp_like(random: random.Random) -> bytes:
    return bytes([random.randrange(128, 192), random.randrange(256)]) + random.randbytes(
        random.randrange(300)
    )


def rtcp_like(random: random.Random) -> bytes:
    kind = random.randrange(192, 224)
    return bytes([random.randrange(128, 192), kind]) + random.randbytes(random.randrange(300))


def anything(random: random.Random) -> bytes:
    return random.randbytes(random.randrange(100))


STORMS: list[Callable[[random.Random], bytes]] = [stun_like, dtls_like, rtp_like, rtcp_like, anything]


@pytest.fixture
def relay() -> Iterator[_native.Relay]:
    relay = _native.Relay("127.0.0.1")
    yield relay
    relay.close()


@pytest.fixture
def clients(relay: _native.Relay) -> Iterator[tuple[Client, Client]]:
    """Publisher and subscriber of an Opus track."""
    with connected_pair(relay) as (publisher, subscriber):
        carry_audio(relay, publisher, subscriber)
        yield publisher, subscriber


@pytest.mark.parametrize("make", STORMS)
@pytest.mark.parametrize("sender", ["stranger", "publisher", "subscriber"])
def test_a_storm_does_not_stop_forwarding(
    relay: _native.Relay,
    clients: tuple[Client, Client],
    make: Callable[[random.Random], bytes],
    sender: str,
) -> None:
    publisher, subscriber = clients
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.connect(("127.0.0.1", relay.port))
        storm = {"stranger": stranger, "publisher": publisher.socket, "subscriber": subscriber.socket}[sender]
        source = random.Random(f"{make.__name__} {sender}")
        for number in range(STORM_PACKETS):
            storm.send(make(source))
            if number % 100 == 0:
                payload = number.to_bytes(4, "big")
                publisher.send_rtp(rtp(111, number // 100, 48 * number, 1111, payload))
                assert rtp_payload(subscriber.receive_rtp()) == payload
    stats = wait_for(relay, _native.Stats, lambda stats: stats.relay.packets_in >= STORM_PACKETS)
    assert stats.relay.panics == 0
    if make in (rtp_like, rtcp_like):
        refused = stats.relay.malformed + stats.relay.unauthenticated + stats.relay.unknown_sender
        assert refused >= STORM_PACKETS * 0.95, "what was refused is counted"


def test_a_stranger_is_not_answered_with_more_than_it_sent(relay: _native.Relay) -> None:
    Client(relay, 1).close()
    source = random.Random(1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.connect(("127.0.0.1", relay.port))
        sent = 0
        for _ in range(STORM_PACKETS):
            sent += stranger.send(source.choice(STORMS)(source))
        wait_for(relay, _native.Stats, lambda stats: stats.relay.packets_in >= STORM_PACKETS)
        stranger.setblocking(False)
        received = 0
        for _ in range(STORM_PACKETS):
            try:
                received += len(stranger.recv(2048))
            except BlockingIOError:
                break
        assert received <= sent


def test_a_replayed_packet_is_refused_and_counted(
    relay: _native.Relay, clients: tuple[Client, Client]
) -> None:
    publisher, subscriber = clients
    packet = publisher.protect.protect(rtp(111, 1, 960, 1111, b"once"))
    for _ in range(5):
        publisher.socket.send(packet)
    publisher.send_rtp(rtp(111, 2, 1920, 1111, b"next"))
    assert rtp_payload(subscriber.receive_rtp()) == b"once"
    assert rtp_payload(subscriber.receive_rtp()) == b"next"
    assert wait_for(relay, _native.Stats, lambda stats: stats.relay.replayed == 4)


def test_a_changed_packet_is_refused_and_counted(
    relay: _native.Relay, clients: tuple[Client, Client]
) -> None:
    publisher, subscriber = clients
    packet = bytearray(publisher.protect.protect(rtp(111, 1, 960, 1111, b"original")))
    packet[13] ^= 1
    publisher.socket.send(packet)
    publisher.send_rtp(rtp(111, 2, 1920, 1111, b"next"))
    assert rtp_payload(subscriber.receive_rtp()) == b"next"
    assert wait_for(relay, _native.Stats, lambda stats: stats.relay.unauthenticated == 1)
