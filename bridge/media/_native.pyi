"""The relay: one UDP port and one native thread that forwards RTP without decoding.

Every method only puts a command on the relay thread's queue (a few microseconds, no lock held while it works) and
takes effect in the order of the calls. Results come back as events through `drain`, announced by `event_fd`.
Ids are chosen by the caller. A command that names an unknown id is ignored: the peer may just have gone. So is every
command after `close`; events that wait then can still be drained.
"""

from collections.abc import Sequence
from typing import Literal, final

Codec = Literal["opus", "vp8", "vp9", "h264", "av1"]
Kind = Literal["audio", "video"]
Profile = Literal["SRTP_AEAD_AES_128_GCM", "SRTP_AEAD_AES_256_GCM", "SRTP_AES128_CM_SHA1_80"]

@final
class ExtensionIds:
    """Ids (1 to 14, 0: not negotiated) of RTP header extensions (RFC 8285) on one transport."""

    def __new__(
        cls,
        *,
        mid: int = 0,
        rid: int = 0,
        repaired_rid: int = 0,
        audio_level: int = 0,
        abs_send_time: int = 0,
        transport_wide_cc: int = 0,
        video_orientation: int = 0,
        playout_delay: int = 0,
        dependency_descriptor: int = 0,
    ) -> ExtensionIds: ...

@final
class PayloadType:
    """One row of a payload type table. `rtx_payload_type` 0: no RTX."""

    def __new__(
        cls, payload_type: int, codec: Codec, clock_rate_hz: int, rtx_payload_type: int = 0
    ) -> PayloadType: ...

@final
class Layer:
    """One simulcast layer: by `rid`, or by `ssrc`, or (single layer) by neither."""

    def __new__(
        cls, *, rid: str | None = None, ssrc: int | None = None, rtx_ssrc: int | None = None
    ) -> Layer: ...

@final
class DtlsReceived:
    peer: int
    datagram: bytes

@final
class PeerConnected:
    """The first authenticated check, or the first after `PeerSilent`."""

    peer: int

@final
class PeerMoved:
    peer: int

@final
class PeerSilent:
    """Nothing authenticated for 30 s (RFC 7675)."""

    peer: int

@final
class TrackStarted:
    track: int
    layer: int

@final
class TrackStalled:
    track: int
    layer: int

@final
class LayerChanged:
    subscription: int
    layer: int | None

@final
class AudioLevels:
    """(track, level) with level in -dBov: 0 loudest, 127 silent (RFC 6464)."""

    levels: list[tuple[int, int]]

@final
class Estimates:
    """(peer, bit/s) where it changed by more than 5 %."""

    estimates: list[tuple[int, int]]

@final
class TapPacket:
    layer: int
    codec: Codec
    arrived_us: int
    sequence: int
    timestamp: int
    marker: bool
    keyframe_start: bool
    payload: bytes

@final
class TapPackets:
    track: int
    packets: list[TapPacket]

@final
class PeerStats:
    peer: int
    rtt_us: int
    loss_out: float
    loss_in: float
    estimate_bps: int
    bitrate_in_bps: int
    bitrate_out_bps: int
    dropped: int

@final
class LayerStats:
    track: int
    layer: int
    codec: Codec
    bitrate_bps: int
    frames_per_second: float
    width: int
    height: int
    packets: int
    lost: int
    recovered: int
    jitter_us: int
    keyframes: int

@final
class SubscriptionStats:
    subscription: int
    layer: int | None
    bitrate_bps: int
    packets: int
    retransmitted: int
    nacked: int
    dropped: int
    keyframe_requests: int

@final
class RelayStats:
    packets_in: int
    bytes_in: int
    packets_out: int
    bytes_out: int
    unknown_sender: int
    malformed: int
    unauthenticated: int
    replayed: int
    dropped_out: int
    nacks_sent: int
    keyframe_requests_sent: int
    keyframe_requests_received: int
    transit: list[int]
    """Packets per bucket of `TRANSIT_BOUNDS_US`, and one more for the rest."""
    transit_sum_us: int
    thread_cpu_us: int
    events_dropped: int
    """Events lost because nobody drained them; stays 0 in health."""
    panics: int
    """Peers given up because handling one of their packets panicked; stays 0 in health."""

@final
class Stats:
    """About once a second; counters are totals."""

    peers: list[PeerStats]
    layers: list[LayerStats]
    subscriptions: list[SubscriptionStats]
    relay: RelayStats

Event = (
    DtlsReceived
    | PeerConnected
    | PeerMoved
    | PeerSilent
    | TrackStarted
    | TrackStalled
    | LayerChanged
    | AudioLevels
    | Estimates
    | TapPackets
    | Stats
)

TRANSIT_BOUNDS_US: tuple[int, ...]

@final
class Relay:
    """Binds the UDP port and starts the thread.

    `host` is an IP address; "" means IPv4 and IPv6 on all interfaces; port 0 takes a free one. `send`: how packets go
    to the kernel; "auto" takes what `benchmarks/relay.py` shows to be cheapest, and falls back where the kernel or a
    device cannot. Beyond `event_capacity` undrained events are lost and counted, levels, estimates, statistics and
    taps from three quarters of it on. Raises OSError when the port cannot be bound; all methods raise ValueError for
    arguments out of range, and RuntimeError if the thread has stopped taking commands.
    """

    def __new__(
        cls,
        host: str = "",
        port: int = 0,
        *,
        send: Literal["auto", "sendto", "sendmmsg", "gso"] = "auto",
        event_capacity: int = 65536,
    ) -> Relay: ...
    @property
    def port(self) -> int: ...
    def event_fd(self) -> int:
        """A file descriptor that is readable while events wait."""
    def drain(self) -> list[Event]:
        """All events that wait, oldest first; clears the file descriptor."""
    def close(self) -> None:
        """Stops the thread and closes the port; may be repeated."""
    def add_peer(self, peer: int, ufrag: str, pwd: str) -> None: ...
    def restart_ice(self, peer: int, ufrag: str, pwd: str) -> None: ...
    def remove_peer(self, peer: int) -> None: ...
    def set_keys(self, peer: int, profile: Profile, local: bytes, remote: bytes) -> None:
        """`local` and `remote`: master key followed by master salt; what we and what the peer encrypts with."""
    def send_dtls(self, peer: int, datagram: bytes) -> None: ...
    def set_receiving(self, peer: int, extensions: ExtensionIds, payloads: Sequence[PayloadType]) -> None: ...
    def set_sending(self, peer: int, extensions: ExtensionIds, *, transport_cc: bool, remb: bool) -> None: ...
    def add_track(
        self, track: int, peer: int, kind: Kind, mid: str, layers: Sequence[Layer], *, nack: bool
    ) -> None:
        """`layers`: lowest quality first, one to eight."""
    def pause_track(self, track: int, paused: bool) -> None: ...
    def remove_track(self, track: int) -> None: ...
    def add_subscription(
        self,
        subscription: int,
        peer: int,
        kind: Kind,
        mid: str,
        ssrc: int,
        rtx_ssrc: int,
        payloads: Sequence[PayloadType],
        cname: str,
    ) -> None: ...
    def switch_subscription(self, subscription: int, track: int | None) -> None: ...
    def set_layer(self, subscription: int, layer: int | None) -> None:
        """The highest layer wanted, None to pause. A new subscription has no limit: it takes the best that flows."""
    def remove_subscription(self, subscription: int) -> None: ...
    def request_keyframe(self, track: int) -> None: ...
    def set_tap(self, track: int, on: bool) -> None: ...
    def set_probe_limit(self, peer: int, bitrate_bps: int) -> None: ...
