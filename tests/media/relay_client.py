"""A client of the relay made of a plain socket, aioice's STUN and libsrtp: nothing of it is the relay's own code."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeVar

from aioice import stun
from pylibsrtp import Policy, Session

from bridge.media import _native

TIMEOUT_S = 5.0
PROFILES: dict[_native.Profile, tuple[int, int]] = {
    "SRTP_AEAD_AES_128_GCM": (Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 16 + 12),
    "SRTP_AEAD_AES_256_GCM": (Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 32 + 12),
    "SRTP_AES128_CM_SHA1_80": (Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 16 + 14),
}
"""libsrtp's number, and the bytes of master key and salt."""

OPUS = _native.PayloadType(111, "opus", 48_000)
VP8 = _native.PayloadType(96, "vp8", 90_000)
RECEIVER_REPORT, SENDER_REPORT, PAYLOAD_FEEDBACK = 201, 200, 206
PICTURE_LOSS = 1


class Client:
    """One peer of the relay, on a socket of its own."""

    def __init__(
        self,
        relay: _native.Relay,
        peer: int,
        profile: _native.Profile = "SRTP_AEAD_AES_128_GCM",
        host: Literal["127.0.0.1", "::1"] = "127.0.0.1",
    ) -> None:
        self.relay = relay
        self.peer = peer
        self.ufrag, self.pwd = f"peer{peer:04}", f"{peer:032}"
        number, key_bytes = PROFILES[profile]
        ours, theirs = bytes([peer]) * key_bytes, bytes([peer + 100]) * key_bytes
        self.protect = Session(Policy(ours, Policy.SSRC_ANY_OUTBOUND, srtp_profile=number))
        self.unprotect = Session(Policy(theirs, Policy.SSRC_ANY_INBOUND, srtp_profile=number))
        relay.add_peer(peer, self.ufrag, self.pwd)
        relay.set_keys(peer, profile, theirs, ours)
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.socket.connect((host, relay.port))
        self.socket.settimeout(TIMEOUT_S)

    def connect(self) -> None:
        """An authenticated check that nominates, and its answer."""
        request = self.check()
        self.socket.send(bytes(request))
        for _ in range(100):
            datagram = self.socket.recv(2048)
            if datagram[0] < 4:
                response = stun.parse_message(datagram)
                assert response.check_message_integrity(self.pwd.encode())
                assert response.message_class == stun.Class.RESPONSE
                assert response.transaction_id == request.transaction_id
                assert response.attributes["XOR-MAPPED-ADDRESS"] == self.socket.getsockname()[:2]
                return
        raise AssertionError("no answer to the check")

    def check(self, pwd: str | None = None) -> stun.Message:
        request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
        request.attributes["USERNAME"] = f"{self.ufrag}:client"
        request.attributes["PRIORITY"] = 1_845_501_695
        request.attributes["ICE-CONTROLLING"] = self.peer
        request.attributes["USE-CANDIDATE"] = None
        request.add_message_integrity((pwd or self.pwd).encode())
        request.add_fingerprint()
        return request

    def send_rtp(self, plain: bytes) -> None:
        self.socket.send(self.protect.protect(plain))

    def send_rtcp(self, plain: bytes) -> None:
        self.socket.send(self.protect.protect_rtcp(plain))

    def receive_rtp(self) -> bytes:
        """The next RTP packet, decrypted; RTCP and STUN in between are left aside."""
        for _ in range(1000):
            datagram = self.socket.recv(2048)
            if datagram[0] >> 6 == 2 and not is_rtcp(datagram):
                return self.unprotect.unprotect(datagram)
        raise AssertionError("no RTP packet")

    def receive_rtcp(self, packet_type: int) -> bytes:
        """The next compound that holds a packet of this type, decrypted."""
        for _ in range(1000):
            datagram = self.socket.recv(2048)
            if datagram[0] >> 6 == 2 and is_rtcp(datagram):
                compound = self.unprotect.unprotect_rtcp(datagram)
                if packet_type in rtcp_types(compound):
                    return compound
        raise AssertionError(f"no RTCP packet of type {packet_type}")

    def close(self) -> None:
        self.socket.close()


@contextmanager
def connected_pair(
    relay: _native.Relay,
    profiles: tuple[_native.Profile, _native.Profile] = ("SRTP_AEAD_AES_128_GCM", "SRTP_AEAD_AES_128_GCM"),
) -> Iterator[tuple[Client, Client]]:
    """A publisher (peer 1) and a subscriber (peer 2), both through ICE."""
    publisher, subscriber = Client(relay, 1, profiles[0]), Client(relay, 2, profiles[1])
    try:
        publisher.connect()
        subscriber.connect()
        yield publisher, subscriber
    finally:
        publisher.close()
        subscriber.close()


def is_rtcp(datagram: bytes) -> bool:
    """RFC 5761 section 4."""
    return 192 <= datagram[1] <= 223


def rtcp_types(compound: bytes) -> list[int]:
    types, at = [], 0
    while at < len(compound):
        types.append(compound[at + 1])
        at += 4 * (struct.unpack_from("!H", compound, at + 2)[0] + 1)
    assert at == len(compound)
    return types


def rtp(
    payload_type: int, sequence: int, timestamp: int, ssrc: int, payload: bytes, *, marker: bool = False
) -> bytes:
    second = payload_type | (0x80 if marker else 0)
    return struct.pack("!BBHII", 0x80, second, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc) + payload


def rtp_payload(packet: bytes) -> bytes:
    """What follows the fixed header, the contributing sources and the extensions."""
    at = 12 + 4 * (packet[0] & 0x0F)
    if packet[0] & 0x10:
        at += 4 + 4 * struct.unpack_from("!H", packet, at + 2)[0]
    return packet[at:]


def sender_report(ssrc: int, rtp_timestamp: int, packets: int) -> bytes:
    ntp = int((time.time() + 2_208_988_800) * 2**32)
    return struct.pack("!BBHIQIII", 0x80, SENDER_REPORT, 6, ssrc, ntp, rtp_timestamp, packets, packets * 80)


def picture_loss(sender: int, media: int) -> bytes:
    """A compound of an empty receiver report and a PLI (RFC 4585 section 6.3.1)."""
    report = struct.pack("!BBHI", 0x80, RECEIVER_REPORT, 1, sender)
    return report + struct.pack("!BBHII", 0x80 | PICTURE_LOSS, PAYLOAD_FEEDBACK, 2, sender, media)


def vp8_payload(number: int, *, first: bool, keyframe: bool, size_bytes: int = 1000) -> bytes:
    """RFC 7741 with a 15-bit picture id, its content told by `number`."""
    head = bytes([0x90 if first else 0x80, 0x80]) + struct.pack("!H", 0x8000 | number)
    if first:
        head += bytes([0x10 if keyframe else 0x11, 0, 0])
    if first and keyframe:
        head += b"\x9d\x01\x2a" + struct.pack("<HH", 640, 480)
    return head + bytes([number % 251]) * (size_bytes - len(head))


def carry_audio(relay: _native.Relay, publisher: Client, subscriber: Client, ssrc: int = 1111) -> int:
    """One Opus track from publisher to subscriber; returns the SSRC it has there."""
    relay.set_receiving(publisher.peer, _native.ExtensionIds(), [OPUS])
    relay.add_track(1, publisher.peer, "audio", "0", [_native.Layer(ssrc=ssrc)], nack=False)
    relay.set_sending(subscriber.peer, _native.ExtensionIds(), transport_cc=False, remb=False)
    relay.add_subscription(1, subscriber.peer, "audio", "0", 2222, 0, [OPUS], "hub")
    relay.switch_subscription(1, 1)
    return 2222


def carry_video(relay: _native.Relay, publisher: Client, subscriber: Client, ssrc: int = 3333) -> int:
    """One VP8 track from publisher to subscriber; returns the SSRC it has there."""
    relay.set_receiving(publisher.peer, _native.ExtensionIds(), [VP8])
    relay.add_track(2, publisher.peer, "video", "1", [_native.Layer(ssrc=ssrc)], nack=True)
    relay.set_sending(subscriber.peer, _native.ExtensionIds(), transport_cc=False, remb=False)
    relay.add_subscription(2, subscriber.peer, "video", "1", 4444, 0, [VP8], "hub")
    relay.switch_subscription(2, 2)
    return 4444


T = TypeVar("T")


def wait_for(relay: _native.Relay, kind: type[T], accept: Callable[[T], bool] = lambda _: True) -> T:
    """The next event of this kind that is accepted; others are dropped."""
    deadline = time.monotonic() + TIMEOUT_S
    while (left_s := deadline - time.monotonic()) > 0:
        select.select([relay.event_fd()], [], [], left_s)
        for event in relay.drain():
            if isinstance(event, kind) and accept(event):
                return event
    raise AssertionError(f"no {kind.__name__}")
