"""The relay as Python sees it: arguments, events, threads. What it does with packets is tested in the core."""

from __future__ import annotations

import asyncio
import gc
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator

import pytest

from bridge.media import _native
from tests.media.relay_client import Client, carry_audio, connected_pair, rtp, rtp_payload, wait_for

PWD = "p" * 22
SO_TIMESTAMPNS = 35
"""socket(7) in asm-generic; Python does not name it."""


@pytest.fixture
def relay() -> Iterator[_native.Relay]:
    relay = _native.Relay("127.0.0.1")
    yield relay
    relay.close()


@pytest.fixture
def client(relay: _native.Relay) -> Iterator[Client]:
    client = Client(relay, 1)
    yield client
    client.close()


def readable(fd: int) -> bool:
    return bool(select.select([fd], [], [], 0)[0])


def test_an_authenticated_check_connects_the_peer(relay: _native.Relay, client: Client) -> None:
    client.connect()
    assert wait_for(relay, _native.PeerConnected).peer == 1


def test_one_port_serves_ipv4_and_ipv6() -> None:
    relay = _native.Relay()
    four, six = Client(relay, 1), Client(relay, 2, host="::1")
    four.connect()
    six.connect()
    four.close()
    six.close()
    relay.close()


def test_a_check_with_a_wrong_password_gets_no_more_bytes_than_it_had(
    relay: _native.Relay, client: Client
) -> None:
    request = bytes(client.check(pwd="w" * 32))
    client.socket.send(request)
    client.socket.send(bytes(client.check()))
    answers = [client.socket.recv(2048)]
    while answers[-1][:2] != b"\x01\x01" and len(answers) < 10:
        answers.append(client.socket.recv(2048))
    assert answers[-1][:2] == b"\x01\x01", "the right one is answered"
    assert sum(len(answer) for answer in answers[:-1]) <= len(request)


def test_dtls_goes_up_and_down(relay: _native.Relay, client: Client) -> None:
    client.connect()
    client.socket.send(b"\x16\xfe\xfdhello")
    event = wait_for(relay, _native.DtlsReceived)
    assert (event.peer, event.datagram) == (1, b"\x16\xfe\xfdhello")
    relay.send_dtls(1, b"\x16\xfe\xfdanswer")
    assert client.socket.recv(2048) == b"\x16\xfe\xfdanswer"


def test_the_descriptor_is_readable_exactly_while_events_wait(relay: _native.Relay, client: Client) -> None:
    client.connect()
    assert select.select([relay.event_fd()], [], [], 5)[0]
    assert readable(relay.event_fd()), "until drained"
    assert relay.drain()
    assert not readable(relay.event_fd())
    assert relay.drain() == []


async def test_an_event_loop_can_watch_the_descriptor(relay: _native.Relay, client: Client) -> None:
    connected = asyncio.Event()

    def drain() -> None:
        if any(isinstance(event, _native.PeerConnected) for event in relay.drain()):
            connected.set()

    loop = asyncio.get_running_loop()
    loop.add_reader(relay.event_fd(), drain)
    await asyncio.to_thread(client.connect)
    await asyncio.wait_for(connected.wait(), 5)
    loop.remove_reader(relay.event_fd())


def test_statistics_come_by_themselves(relay: _native.Relay, client: Client) -> None:
    client.connect()
    stats = wait_for(relay, _native.Stats, lambda stats: stats.relay.packets_in > 0)
    assert [peer.peer for peer in stats.peers] == [1]
    assert len(stats.relay.transit) == len(_native.TRANSIT_BOUNDS_US) + 1
    assert stats.relay.thread_cpu_us > 0
    assert (stats.relay.panics, stats.relay.events_dropped) == (0, 0)
    later = wait_for(relay, _native.Stats)
    assert later.relay.thread_cpu_us >= stats.relay.thread_cpu_us


def test_an_overlong_datagram_is_counted_as_malformed(relay: _native.Relay, client: Client) -> None:
    client.socket.send(b"\x80" * 5000)
    assert wait_for(relay, _native.Stats, lambda stats: stats.relay.malformed == 1)


def test_events_that_nobody_drains_are_bounded_and_counted() -> None:
    relay = _native.Relay("127.0.0.1", event_capacity=8)
    client = Client(relay, 1)
    client.connect()
    for _ in range(100):
        client.socket.send(b"\x16\xfe\xfdflood")
        client.socket.send(bytes(client.check()))
        client.socket.recv(2048)
    assert len(relay.drain()) == 8
    # One peer alone is told of no more than some dozens of times at once.
    assert 50 <= wait_for(relay, _native.Stats).relay.events_dropped < 92
    client.close()
    relay.close()


def test_closing_frees_the_port_and_may_be_repeated(relay: _native.Relay) -> None:
    port = relay.port
    relay.close()
    relay.close()
    again = _native.Relay("127.0.0.1", port)
    assert again.port == port
    again.close()


def test_dropping_the_last_reference_closes() -> None:
    relay = _native.Relay("127.0.0.1")
    port = relay.port
    del relay
    gc.collect()
    _native.Relay("127.0.0.1", port).close()


def test_after_closing_commands_are_ignored_and_events_can_still_be_drained(
    relay: _native.Relay, client: Client
) -> None:
    client.connect()
    relay.close()
    relay.remove_peer(1)
    assert any(isinstance(event, _native.PeerConnected) for event in relay.drain())
    assert not readable(relay.event_fd())


def test_a_taken_port_is_an_os_error(relay: _native.Relay) -> None:
    with pytest.raises(OSError, match="in use"):
        _native.Relay("127.0.0.1", relay.port)


def test_unknown_ids_are_ignored(relay: _native.Relay, client: Client) -> None:
    nothing = _native.ExtensionIds()
    relay.restart_ice(77, "abcd", PWD)
    relay.remove_peer(77)
    relay.set_keys(77, "SRTP_AEAD_AES_128_GCM", bytes(28), bytes(28))
    relay.send_dtls(77, b"\x16")
    relay.set_receiving(77, nothing, [])
    relay.set_sending(77, nothing, transport_cc=True, remb=True)
    relay.add_track(77, 77, "video", "0", [_native.Layer()], nack=True)
    relay.pause_track(77, True)
    relay.remove_track(77)
    relay.add_subscription(77, 77, "video", "0", 1, 2, [], "cname")
    relay.switch_subscription(77, 77)
    relay.switch_subscription(77, None)
    relay.set_layer(77, 7)
    relay.set_layer(77, None)
    relay.remove_subscription(77)
    relay.request_keyframe(77)
    relay.set_tap(77, True)
    relay.set_probe_limit(77, 2**64 - 1)
    client.connect()
    stats = wait_for(relay, _native.Stats, lambda stats: len(stats.peers) == 1)
    assert stats.relay.panics == 0
    assert stats.layers == []
    assert stats.subscriptions == []


BAD_CALLS: dict[str, Callable[[_native.Relay], object]] = {
    "port": lambda _: _native.Relay("127.0.0.1", 65_536),
    "host": lambda _: _native.Relay("localhost"),
    "send": lambda _: _native.Relay("127.0.0.1", send="carrier pigeon"),  # type: ignore[arg-type]
    "event capacity": lambda _: _native.Relay("127.0.0.1", event_capacity=0),
    "peer": lambda relay: relay.remove_peer(2**32),
    "negative": lambda relay: relay.remove_peer(-1),
    "short ufrag": lambda relay: relay.add_peer(1, "abc", PWD),
    "ufrag with a colon": lambda relay: relay.add_peer(1, "ab:cd", PWD),
    "short pwd": lambda relay: relay.add_peer(1, "abcd", "p" * 21),
    "profile": lambda relay: relay.set_keys(1, "NULL", b"", b""),  # type: ignore[arg-type]
    "key length": lambda relay: relay.set_keys(1, "SRTP_AEAD_AES_256_GCM", bytes(28), bytes(28)),
    "empty DTLS": lambda relay: relay.send_dtls(1, b""),
    "long DTLS": lambda relay: relay.send_dtls(1, bytes(2049)),
    "extension id": lambda _: _native.ExtensionIds(mid=15),
    "extension id twice": lambda _: _native.ExtensionIds(mid=3, rid=3),
    "payload type": lambda _: _native.PayloadType(128, "vp8", 90_000),
    "RTX payload type": lambda _: _native.PayloadType(96, "vp8", 90_000, 300),
    "clock rate": lambda _: _native.PayloadType(96, "vp8", 0),
    "codec": lambda _: _native.PayloadType(96, "h265", 90_000),  # type: ignore[arg-type]
    "rid": lambda _: _native.Layer(rid=""),
    "SSRC": lambda _: _native.Layer(ssrc=2**32),
    "kind": lambda relay: relay.add_track(1, 1, "text", "0", [_native.Layer()], nack=False),  # type: ignore[arg-type]
    "no layers": lambda relay: relay.add_track(1, 1, "video", "0", [], nack=False),
    "nine layers": lambda relay: relay.add_track(1, 1, "video", "0", [_native.Layer()] * 9, nack=False),
    "mid": lambda relay: relay.add_track(1, 1, "video", "", [_native.Layer()], nack=False),
    "cname": lambda relay: relay.add_subscription(1, 1, "video", "0", 1, 2, [], "c" * 256),
    "layer": lambda relay: relay.set_layer(1, 8),
    "bit rate": lambda relay: relay.set_probe_limit(1, 2**64),
}


@pytest.mark.parametrize("call", BAD_CALLS.values(), ids=BAD_CALLS.keys())
def test_values_out_of_range_are_value_errors(
    relay: _native.Relay, call: Callable[[_native.Relay], object]
) -> None:
    with pytest.raises(ValueError):
        call(relay)


def test_forwarding_goes_on_while_python_holds_the_interpreter(relay: _native.Relay) -> None:
    with connected_pair(relay) as (publisher, subscriber):
        carry_audio(relay, publisher, subscriber)
        publisher.send_rtp(rtp(111, 0, 0, 1111, b"first"))
        assert rtp_payload(subscriber.receive_rtp()) == b"first"
        note_deliveries(relay, subscriber)
        packets = [publisher.protect.protect(rtp(111, n, 960 * n, 1111, b"x" * 80)) for n in range(1, 101)]
        for packet in packets:
            publisher.socket.send(packet)
        sum(range(60_000_000))  # one C call that keeps the interpreter's lock for about a second
        end_s = time.time()
        assert max(delivery_time_s(subscriber) for _ in packets) < end_s


def note_deliveries(relay: _native.Relay, client: Client) -> None:
    """Lets the kernel note when it delivers; it begins some time after it is told to, and before that notes when it
    is asked."""
    client.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    deadline_s = time.monotonic() + 5
    while time.monotonic() < deadline_s:
        relay.send_dtls(client.peer, b"\x16")
        select.select([client.socket], [], [], 5)
        asked_s = time.time()
        if delivery_time_s(client) < asked_s:
            return
    raise AssertionError("the kernel notes no times")


def delivery_time_s(client: Client) -> float:
    _, ancillary, _, _ = client.socket.recvmsg(2048, 64)
    seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
    return float(seconds + nanoseconds / 1e9)
