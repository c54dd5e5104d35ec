"""The relay's SRTP against libsrtp, both ways, through the running relay."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from bridge.media import _native
from tests.media.relay_client import (
    PAYLOAD_FEEDBACK,
    PROFILES,
    RECEIVER_REPORT,
    SENDER_REPORT,
    Client,
    carry_audio,
    carry_video,
    connected_pair,
    picture_loss,
    rtp,
    rtp_payload,
    sender_report,
    vp8_payload,
    wait_for,
)

PAIRS = [(one, one) for one in PROFILES] + [
    ("SRTP_AEAD_AES_128_GCM", "SRTP_AES128_CM_SHA1_80"),
    ("SRTP_AES128_CM_SHA1_80", "SRTP_AEAD_AES_256_GCM"),
]


@pytest.fixture
def relay() -> Iterator[_native.Relay]:
    relay = _native.Relay("127.0.0.1")
    yield relay
    relay.close()


@pytest.fixture(params=PAIRS, ids=lambda pair: f"{pair[0]}-{pair[1]}")
def clients(relay: _native.Relay, request: pytest.FixtureRequest) -> Iterator[tuple[Client, Client]]:
    with connected_pair(relay, request.param) as clients:
        yield clients


def test_rtp_passes_unchanged_across_a_wrap_of_the_sequence_number(
    relay: _native.Relay, clients: tuple[Client, Client]
) -> None:
    publisher, subscriber = clients
    ssrc = carry_audio(relay, publisher, subscriber)
    before = None
    for number in range(65_400, 65_700):
        payload = struct.pack("!I", number) * (1 + number % 200)
        publisher.send_rtp(rtp(111, number, 960 * number, 1111, payload))
        packet = subscriber.receive_rtp()
        assert rtp_payload(packet) == payload
        sequence, timestamp, got_ssrc = struct.unpack_from("!HII", packet, 2)
        assert got_ssrc == ssrc
        if before is not None:
            assert ((sequence - before[0]) & 0xFFFF, (timestamp - before[1]) & 0xFFFFFFFF) == (1, 960)
        before = sequence, timestamp
    stats = wait_for(relay, _native.Stats)
    assert (stats.relay.unauthenticated, stats.relay.replayed) == (0, 0)


def test_sender_reports_pass_to_the_subscriber(relay: _native.Relay, clients: tuple[Client, Client]) -> None:
    publisher, subscriber = clients
    ssrc = carry_audio(relay, publisher, subscriber)
    publisher.send_rtp(rtp(111, 1, 960, 1111, b"sound"))
    subscriber.receive_rtp()
    report = sender_report(1111, 960, 1)
    publisher.send_rtcp(report)
    publisher.send_rtp(rtp(111, 2, 1920, 1111, b"sound"))
    received = subscriber.receive_rtcp(SENDER_REPORT)
    got_ssrc, ntp = struct.unpack_from("!IQ", received, 4)
    assert got_ssrc == ssrc
    # The publisher's own clock, or time run on from it.
    assert 0 <= ntp - struct.unpack_from("!Q", report, 8)[0] < 5 << 32


def test_the_publisher_gets_receiver_reports(relay: _native.Relay, clients: tuple[Client, Client]) -> None:
    publisher, subscriber = clients
    carry_audio(relay, publisher, subscriber)
    publisher.send_rtp(rtp(111, 7, 960, 1111, b"sound"))
    report = publisher.receive_rtcp(RECEIVER_REPORT)
    assert report[0] & 0x1F == 1
    reported_ssrc, highest = struct.unpack_from("!I4xI", report, 8)
    assert (reported_ssrc, highest) == (1111, 7)


def test_a_keyframe_request_goes_through_to_the_publisher(
    relay: _native.Relay, clients: tuple[Client, Client]
) -> None:
    publisher, subscriber = clients
    ssrc = carry_video(relay, publisher, subscriber)
    publisher.send_rtp(rtp(96, 1, 3000, 3333, vp8_payload(1, first=True, keyframe=True), marker=True))
    packet = subscriber.receive_rtp()
    assert rtp_payload(packet)[4:] == vp8_payload(1, first=True, keyframe=True)[4:]
    subscriber.send_rtcp(picture_loss(1, ssrc))
    request = publisher.receive_rtcp(PAYLOAD_FEEDBACK)
    at = len(request) - 12
    assert request[at] & 0x1F == 1
    assert struct.unpack_from("!I", request, at + 8)[0] == 3333
    stats = wait_for(relay, _native.Stats, lambda stats: stats.relay.keyframe_requests_received > 0)
    assert stats.relay.unauthenticated == 0
