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

@final
class FirstFrame:
    """The first of an incoming track that can be shown or heard: its last packet came at `at_us` (`time.monotonic`)."""

    peer: int
    ssrc: int
    at_us: int

@final
class CrowdCounts:
    """What a crowd has counted since it began, all members together; who left still counts."""

    members: int
    """Now there; of these `connected` have their checks answered. `pictures` come to them, of which `flowing` do."""
    connected: int
    pictures: int
    flowing: int
    received: int
    """Media packets, each counted once, and the bytes of their datagrams; `sounds` of them are sound."""
    received_bytes: int
    sounds: int
    sound_bytes: int
    recovered: int
    """Lost at first, came by retransmission."""
    duplicates: int
    lost: int
    """Given up after asking again and again."""
    early: int
    """Came before our half of the DTLS handshake was through; `strange` belongs to no track."""
    strange: int
    checked: int
    """Decrypted and authenticated: all of a track until a frame is whole, then one in sixteen; `wrong` failed."""
    wrong: int
    sent: int
    sent_bytes: int
    resent: int
    unsent: int
    lost_up: int
    """Of what was sent, as the relay reports it."""
    nacks_sent: int
    keyframes_asked: int
    keyframe_requests: int
    keyframe_apart_us: int
    """The shortest time between two requests for one layer; 0 while there were no two."""
    keyframes_sent: int
    thread_cpu_us: int
    lateness: list[int]
    """How late packets were sent: how many per bucket of `TRANSIT_BOUNDS_US`, and one more for the rest."""

CrowdEvent = PeerConnected | DtlsReceived | FirstFrame | CrowdCounts

@final
class Crowd:
    """Clients of a relay that load it, on one native thread: ICE checks, SRTP, what browsers send and report.

    Each member has a UDP socket. It publishes (VP8 from the reel by simulcast, Opus-shaped sound) or receives, from
    `set_keys` on. `reel`: its layers as (rid, frames a second, frames as (is a keyframe, encoded picture)), each
    beginning with a keyframe. Members are numbered by the caller, below 65536; commands that name an unknown one are
    ignored. All methods raise ValueError for arguments out of range.
    """

    def __new__(cls, reel: Sequence[tuple[str, int, Sequence[tuple[bool, bytes]]]]) -> Crowd: ...
    def event_fd(self) -> int:
        """A file descriptor that is readable while events wait."""
    def drain(self) -> list[CrowdEvent]:
        """All events that wait, oldest first; clears the file descriptor."""
    def close(self) -> None:
        """Stops the thread and closes the sockets; may be repeated."""
    def add(
        self, peer: int, host: str, port: int, ufrag: str, pwd: str, local_ufrag: str, local_pwd: str = ""
    ) -> None:
        """A new member, with the relay's address and credentials. With `local_pwd` it answers the relay's checks.

        Raises OSError where there is no socket for it.
        """
    def remove(self, peer: int) -> None: ...
    def send_dtls(self, peer: int, datagram: bytes) -> None: ...
    def set_keys(self, peer: int, profile: Profile, local: bytes, remote: bytes) -> None:
        """`local` and `remote`: master key followed by master salt; what we and what the relay encrypts with."""
    def publish(
        self,
        peer: int,
        extensions: ExtensionIds,
        *,
        audio: tuple[str, int, int] | None = None,
        video: tuple[str, int, int, Sequence[tuple[str, int, int]]] | None = None,
    ) -> None:
        """`audio`: mid, payload type, SSRC; `video`: mid, payload type, RTX's, layers as (rid, SSRC, RTX SSRC)."""
    def set_layers(self, peer: int, rids: Sequence[str]) -> None:
        """Only these layers are sent from now on; at first all are."""
    def set_speaking(self, peer: int, speaking: bool) -> None:
        """Whether its sound is speech; at first it is silence, which is sent, too."""
    def receive(
        self, peer: int, extensions: ExtensionIds, tracks: Sequence[tuple[Kind, Codec, int, int]]
    ) -> None:
        """All tracks that come from now on, as (kind, codec, SSRC, RTX SSRC or 0)."""
    def count(self) -> None:
        """Tells `CrowdCounts` as an event."""
