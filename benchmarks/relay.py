"""What the relay costs: CPU time a forwarded packet against the floor, transit time and loss, by number of subscribers.

One publisher sends 720p-like bursts at 1.5 Mbit/s and Opus to the real relay in this process; publisher and N
subscribers with real SRTP keys (AES-128-GCM) run natively in another one, over loopback. Then the same number of
packets of the same sizes are sealed and sent with nothing else: the floor. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import secrets
import select
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from bridge.media import _native

NATIVE = Path(__file__).resolve().parents[1] / "bridge/media/native"
Send = Literal["auto", "sendto", "sendmmsg", "gso"]

PROFILE: _native.Profile = "SRTP_AEAD_AES_128_GCM"
KEY_BYTES = 16 + 12
WARM_UP_S = 2
"""Statistics of this long after the start are the first that count."""
PATIENCE_S = 30
"""Beyond what was asked for, until the load is taken to hang."""

# As the load's publisher.rs writes them.
EXTENSIONS = _native.ExtensionIds(audio_level=1, abs_send_time=2, transport_wide_cc=3, mid=4)
VIDEO = _native.PayloadType(96, "vp8", 90_000, 97)
AUDIO = _native.PayloadType(111, "opus", 48_000)
VIDEO_TRACK, AUDIO_TRACK = 1, 2
PUBLISHER = 1


@dataclass(frozen=True)
class Account:
    """One client: what it and the relay must agree on."""

    peer: int
    ufrag: str
    pwd: str
    client_keys: bytes
    relay_keys: bytes
    video_ssrc: int
    audio_ssrc: int

    @classmethod
    def new(cls, peer: int) -> Account:
        return cls(
            peer=peer,
            ufrag=secrets.token_hex(4),
            pwd=secrets.token_hex(16),
            client_keys=secrets.token_bytes(KEY_BYTES),
            relay_keys=secrets.token_bytes(KEY_BYTES),
            video_ssrc=1_000_000 + 2 * peer,
            audio_ssrc=1_000_001 + 2 * peer,
        )

    def line(self, word: str) -> str:
        keys = f"{self.client_keys.hex()} {self.relay_keys.hex()}"
        return f"{word} {self.ufrag} {self.pwd} {keys} {self.video_ssrc} {self.audio_ssrc}"

    def connect(self, relay: _native.Relay) -> None:
        relay.add_peer(self.peer, self.ufrag, self.pwd)
        relay.set_keys(self.peer, PROFILE, self.relay_keys, self.client_keys)


@dataclass(frozen=True)
class Result:
    us_per_packet: float
    floor_us_per_packet: float
    transit_p50_ms: float
    transit_p99_ms: float
    loss: float


def build_load() -> Path:
    """Builds the native load and returns its executable."""
    command = ["cargo", "build", "--release", "--example", "relay_load", "--message-format=json"]
    done = subprocess.run(
        [*command, "--manifest-path", NATIVE / "Cargo.toml"], check=True, stdout=subprocess.PIPE
    )
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "relay_load":
            return Path(message["executable"])
    raise RuntimeError("cargo built no relay_load")


@contextmanager
def running(load: Path, mode: str, lines: list[str]) -> Iterator[subprocess.Popen[str]]:
    """The load in one of its modes, told what to do."""
    process = subprocess.Popen(
        [load, mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        pipe_in(process).write("\n".join([*lines, "go", ""]))
        yield process
    finally:
        process.kill()
        process.wait()
        pipe_in(process).close()
        pipe_out(process).close()


def pipe_in(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdin is not None
    return process.stdin


def pipe_out(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout


def read_answer(
    process: subprocess.Popen[str], timeout_s: float, events: _native.Relay | None = None
) -> tuple[dict[str, Any], list[_native.RelayStats]]:
    """The load's next line, and the relay's statistics that came while waiting for it."""
    out, stats = pipe_out(process), []
    waited_for: list[Any] = [out] if events is None else [out, events.event_fd()]
    for _ in range(int(timeout_s * 1000)):
        ready, _, _ = select.select(waited_for, [], [], timeout_s)
        if events is not None:
            stats += [event.relay for event in events.drain() if isinstance(event, _native.Stats)]
        if out in ready:
            line = out.readline()
            if line:
                return json.loads(line), stats
        if not ready or out in ready:
            break
    raise RuntimeError("the load gave no answer")


def set_up(relay: _native.Relay, subscribers: int) -> list[str]:
    """Publisher, tracks and subscribers in the relay; the lines that tell the load about them."""
    publisher = Account.new(PUBLISHER)
    publisher.connect(relay)
    relay.set_receiving(PUBLISHER, EXTENSIONS, [VIDEO, AUDIO])
    video, audio = _native.Layer(ssrc=publisher.video_ssrc), _native.Layer(ssrc=publisher.audio_ssrc)
    relay.add_track(VIDEO_TRACK, PUBLISHER, "video", "v", [video], nack=True)
    relay.add_track(AUDIO_TRACK, PUBLISHER, "audio", "a", [audio], nack=False)
    lines = [f"relay 127.0.0.1:{relay.port}", publisher.line("publisher")]
    for peer in range(PUBLISHER + 1, PUBLISHER + 1 + subscribers):
        account = Account.new(peer)
        account.connect(relay)
        relay.set_sending(peer, EXTENSIONS, transport_cc=True, remb=False)
        video_slot, audio_slot = 2 * peer, 2 * peer + 1
        rtx_ssrc = 500_000 + peer
        relay.add_subscription(video_slot, peer, "video", "v", account.video_ssrc, rtx_ssrc, [VIDEO], "hub")
        relay.add_subscription(audio_slot, peer, "audio", "a", account.audio_ssrc, 0, [AUDIO], "hub")
        relay.switch_subscription(video_slot, VIDEO_TRACK)
        relay.switch_subscription(audio_slot, AUDIO_TRACK)
        lines.append(account.line("subscriber"))
    return lines


def quantile_ms(before: _native.RelayStats, after: _native.RelayStats, share: float) -> float:
    """From the transit histogram between two snapshots, linear within a bucket."""
    counts = [new - old for new, old in zip(after.transit, before.transit, strict=True)]
    bounds_us = [0, *_native.TRANSIT_BOUNDS_US]
    wanted = share * sum(counts)
    for number, count in enumerate(counts):
        if count and wanted <= count:
            low_us = bounds_us[number]
            high_us = bounds_us[number + 1] if number + 1 < len(bounds_us) else 2 * low_us
            return (low_us + (high_us - low_us) * wanted / count) / 1000
        wanted -= count
    return 0.0


def measure_call(
    load: Path, subscribers: int, seconds: int, send: Send
) -> tuple[_native.RelayStats, _native.RelayStats, dict[str, Any]]:
    """The relay's statistics after the warm-up and at the end, and what the load received."""
    relay = _native.Relay("", 0, send=send)
    try:
        lines = [*set_up(relay, subscribers), f"seconds {seconds + WARM_UP_S}"]
        with running(load, "call", lines) as process:
            read_answer(process, PATIENCE_S, relay)
            received, stats = read_answer(process, seconds + WARM_UP_S + PATIENCE_S, relay)
    finally:
        relay.close()
    # A second at least, within which packets flowed from end to end.
    if len(stats) < WARM_UP_S + 2:
        raise RuntimeError("the relay gave too few statistics")
    before, after = stats[WARM_UP_S], stats[-2]
    if received["wrong"] or after.panics or after.events_dropped:
        raise RuntimeError(f"the relay did not forward rightly: {received}")
    return before, after, received


def measure_floor(load: Path, subscribers: int, seconds: int, send: str, received: dict[str, Any]) -> float:
    """CPU microseconds a packet for sealing and sending alone, in the sizes that the subscribers received."""
    with running(load, "sink", [f"sinks {subscribers}"]) as sinks:
        ports, _ = read_answer(sinks, PATIENCE_S)
        lines = [f"seconds {seconds}", f"send {send}"]
        lines += [f"{kind}_bytes {received[f'{kind}_bytes']}" for kind in ("video", "audio")]
        lines += [f"sink {port}" for port in ports["ports"]]
        with running(load, "floor", lines) as process:
            floor, _ = read_answer(process, seconds + PATIENCE_S)
    return float(floor["cpu_us"]) / float(floor["packets"])


def measure(load: Path, subscribers: int, seconds: int, send: Send) -> Result:
    before, after, received = measure_call(load, subscribers, seconds, send)
    packets = after.packets_out - before.packets_out
    cpu_us = after.thread_cpu_us - before.thread_cpu_us
    result = Result(
        us_per_packet=round(cpu_us / packets, 3),
        floor_us_per_packet=round(measure_floor(load, subscribers, seconds, send, received), 3),
        transit_p50_ms=round(quantile_ms(before, after, 0.50), 3),
        transit_p99_ms=round(quantile_ms(before, after, 0.99), 3),
        loss=round(1 - received["received"] / (received["published"] * subscribers), 6),
    )
    print(
        f"{subscribers:4} subscribers by {send}: {result.us_per_packet:.2f} us a packet,"
        f" floor {result.floor_us_per_packet:.2f} us, transit p50 {result.transit_p50_ms:.2f} ms,"
        f" p99 {result.transit_p99_ms:.2f} ms, loss {100 * result.loss:.3f} %, {packets} packets measured",
        flush=True,
    )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscribers", type=int, nargs="+", default=[1, 50, 200, 500], metavar="N")
    parser.add_argument("--seconds", type=int, default=10, help="measured, for each N")
    parser.add_argument("--send", choices=["auto", "sendto", "sendmmsg", "gso"], default="auto")
    parser.add_argument("--compare", action="store_true", help="every way of sending, for each N")
    arguments = parser.parse_args()
    load = build_load()
    if arguments.compare:
        for send in ("sendto", "sendmmsg", "gso"):
            for subscribers in arguments.subscribers:
                measure(load, subscribers, arguments.seconds, send)
    results = {
        str(n): vars(measure(load, n, arguments.seconds, arguments.send)) for n in arguments.subscribers
    }
    print(json.dumps({"n": results}))


if __name__ == "__main__":
    main()
