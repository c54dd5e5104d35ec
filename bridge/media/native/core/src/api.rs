//! What goes into the relay and what comes out: the seam between the pure core and whatever drives it.
//!
//! Time is always `now_us`: microseconds on one monotonic clock, passed in by the caller.

use std::net::SocketAddr;
use std::sync::Arc;

/// One ICE/DTLS transport: the publishing or the receiving half of a participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub u32);

/// One published track, all its layers together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackId(pub u32);

/// One subscriber's receiving slot. What it shows can be switched without renegotiation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriptionId(pub u32);

/// Index into a track's layers in the order they were declared, lowest quality first.
pub type LayerIndex = u8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaKind {
    Audio,
    Video,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    Opus,
    Vp8,
    Vp9,
    H264,
    Av1,
}

/// SRTP protection profiles (RFC 5764 section 4.1.2, RFC 7714 section 14.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SrtpProfile {
    AeadAes128Gcm,
    AeadAes256Gcm,
    Aes128CmSha1_80,
}

/// Local ICE credentials (RFC 8445 section 5.3). The relay is ICE-lite: it only answers checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IceCredentials {
    pub ufrag: String,
    pub pwd: String,
}

/// Ids of the RTP header extensions (RFC 8285) on one transport; 0 where not negotiated. Ids 1 to 14 only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtensionIds {
    pub mid: u8,
    pub rid: u8,
    pub repaired_rid: u8,
    pub audio_level: u8,
    pub abs_send_time: u8,
    pub transport_wide_cc: u8,
    pub video_orientation: u8,
    pub playout_delay: u8,
    pub dependency_descriptor: u8,
}

/// One codec of a transport's payload type table. `rtx_payload_type` is 0 where RTX was not negotiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadType {
    pub payload_type: u8,
    pub codec: Codec,
    pub clock_rate_hz: u32,
    pub rtx_payload_type: u8,
}

/// One simulcast layer of a track. With `rid` the SSRCs are learnt from the packets' extensions; without, they
/// are what the offer said; both absent (single layer) means: whatever arrives with the track's mid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayerSpec {
    pub rid: Option<String>,
    pub ssrc: Option<u32>,
    pub rtx_ssrc: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackSpec {
    pub kind: MediaKind,
    pub mid: String,
    /// Lowest quality first; at least one, at most eight.
    pub layers: Vec<LayerSpec>,
    /// The publisher understands generic NACK (RFC 4585).
    pub nack: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionSpec {
    pub kind: MediaKind,
    pub mid: String,
    pub ssrc: u32,
    /// 0 where RTX was not negotiated.
    pub rtx_ssrc: u32,
    /// What this slot may carry; a source track whose codec is not here is not forwarded.
    pub payloads: Vec<PayloadType>,
    /// Canonical name for RTCP SDES (RFC 7022).
    pub cname: String,
}

#[derive(Clone, Debug)]
pub enum Command {
    AddPeer {
        peer: PeerId,
        ice: IceCredentials,
    },
    /// New credentials (RFC 8445 section 9). The old path goes on until a check with the new ones arrives.
    RestartIce {
        peer: PeerId,
        ice: IceCredentials,
    },
    RemovePeer {
        peer: PeerId,
    },
    /// Keys from the DTLS handshake (RFC 5764 section 4.2), each the master key followed by the master salt.
    SetKeys {
        peer: PeerId,
        profile: SrtpProfile,
        local: Vec<u8>,
        remote: Vec<u8>,
    },
    SendDtls {
        peer: PeerId,
        datagram: Vec<u8>,
    },
    /// How to read what this peer sends. May be repeated; the newest table counts.
    SetReceiving {
        peer: PeerId,
        extensions: ExtensionIds,
        payloads: Vec<PayloadType>,
    },
    /// How to write what is sent to this peer. `transport_cc`: the peer returns transport-wide feedback.
    SetSending {
        peer: PeerId,
        extensions: ExtensionIds,
        transport_cc: bool,
        remb: bool,
    },
    AddTrack {
        track: TrackId,
        peer: PeerId,
        spec: TrackSpec,
    },
    /// A paused track is still received and accounted, but nothing of it is forwarded or tapped.
    PauseTrack {
        track: TrackId,
        paused: bool,
    },
    RemoveTrack {
        track: TrackId,
    },
    /// Starts without a source (`SwitchSubscription` gives it one) and without a layer limit: the best that flows.
    AddSubscription {
        subscription: SubscriptionId,
        peer: PeerId,
        spec: SubscriptionSpec,
    },
    /// The slot shows another track (or none); SSRC, sequence numbers and time stamps stay continuous.
    SwitchSubscription {
        subscription: SubscriptionId,
        track: Option<TrackId>,
    },
    /// The highest layer wanted, reached at a keyframe of it, else the next lower that flows; `None` pauses at once.
    SetLayer {
        subscription: SubscriptionId,
        layer: Option<LayerIndex>,
    },
    RemoveSubscription {
        subscription: SubscriptionId,
    },
    /// Asks the publisher for a keyframe of every layer; merged with those of subscribers.
    RequestKeyframe {
        track: TrackId,
    },
    SetTap {
        track: TrackId,
        on: bool,
    },
    /// May the relay probe for bandwidth up to this rate to this peer (0: no probing).
    SetProbeLimit {
        peer: PeerId,
        bitrate_bps: u64,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    DtlsReceived {
        peer: PeerId,
        datagram: Vec<u8>,
    },
    /// The first authenticated check arrived, or a check after `PeerSilent`.
    PeerConnected {
        peer: PeerId,
    },
    /// An authenticated check selected another remote address.
    PeerMoved {
        peer: PeerId,
    },
    /// Nothing authenticated came from it for [`CONSENT_EXPIRY_US`]; sending to it has stopped.
    PeerSilent {
        peer: PeerId,
    },
    TrackStarted {
        track: TrackId,
        layer: LayerIndex,
    },
    /// A layer that was flowing gave nothing for two seconds.
    TrackStalled {
        track: TrackId,
        layer: LayerIndex,
    },
    /// What a subscription really carries from now on.
    LayerChanged {
        subscription: SubscriptionId,
        layer: Option<LayerIndex>,
    },
    /// RFC 6464 levels in -dBov (0 loudest, 127 silent), smoothed, for tracks that changed; a few times a second.
    AudioLevels {
        levels: Vec<(TrackId, u8)>,
    },
    /// What each subscriber's link bears, where it changed by more than 5 %.
    Estimates {
        estimates: Vec<(PeerId, u64)>,
    },
    /// Made by whoever collects what [`Outbox::tap`] brings.
    TapPackets {
        track: TrackId,
        packets: TapBatch,
    },
    Stats(Box<Stats>),
}

/// One decrypted packet of a tapped track, in order of arrival (RTX already folded in, duplicates removed).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapPacket {
    pub layer: LayerIndex,
    pub codec: Codec,
    pub arrived_us: u64,
    /// Extended by the roll-over counter, so that it never wraps.
    pub sequence: u64,
    pub timestamp: u32,
    pub marker: bool,
    pub keyframe_start: bool,
}

/// A packet's payload as it is kept for forwarding: who taps it shares it, a copy would cost the relay more.
pub type Payload = Arc<Vec<u8>>;

/// Tapped packets of one track, each with its payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TapBatch {
    packets: Vec<(TapPacket, Payload)>,
    size_bytes: usize,
}

impl TapBatch {
    #[must_use]
    pub fn with_capacity(packets: usize) -> Self {
        Self { packets: Vec::with_capacity(packets), size_bytes: 0 }
    }

    pub fn push(&mut self, packet: TapPacket, payload: Payload) {
        self.size_bytes += payload.len();
        self.packets.push((packet, payload));
    }

    /// In the order of `push`, each with its payload.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&TapPacket, &[u8])> {
        self.packets.iter().map(|(packet, payload)| (packet, payload.as_slice()))
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Of the payloads.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }
}

pub const CONSENT_EXPIRY_US: u64 = 30_000_000;

/// A snapshot, about once a second. Counters are totals since the thing was made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    pub peers: Vec<PeerStats>,
    pub layers: Vec<LayerStats>,
    pub subscriptions: Vec<SubscriptionStats>,
    pub relay: RelayStats,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PeerStats {
    pub peer: PeerId,
    /// By its reports on what we send it (RFC 3550 section 6.4.1); of a peer that only publishes, how long a
    /// retransmission takes. 0 until measured.
    pub rtt_us: u32,
    /// Share of packets lost in the last interval, 0 to 1: towards the peer (as it reports) and from it (as seen).
    pub loss_out: f32,
    pub loss_in: f32,
    pub estimate_bps: u64,
    pub bitrate_in_bps: u64,
    pub bitrate_out_bps: u64,
    /// Packets left out because the peer or the socket could not take more.
    pub dropped: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LayerStats {
    pub track: TrackId,
    pub layer: LayerIndex,
    pub codec: Codec,
    pub bitrate_bps: u64,
    pub frames_per_second: f32,
    /// 0 where the codec's headers do not tell or none was seen.
    pub width: u16,
    pub height: u16,
    pub packets: u64,
    pub lost: u64,
    pub recovered: u64,
    pub jitter_us: u32,
    pub keyframes: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SubscriptionStats {
    pub subscription: SubscriptionId,
    pub layer: Option<LayerIndex>,
    pub bitrate_bps: u64,
    pub packets: u64,
    pub retransmitted: u64,
    pub nacked: u64,
    pub dropped: u64,
    pub keyframe_requests: u64,
}

/// Upper bounds, in microseconds, of the transit histogram's buckets; the last one is open.
pub const TRANSIT_BOUNDS_US: [u32; 20] = [
    10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 750, 1_000, 1_500, 2_000, 3_000, 5_000, 10_000, 20_000,
    50_000, 100_000,
];

#[derive(Clone, Debug, Default, PartialEq)]
pub struct RelayStats {
    pub packets_in: u64,
    pub bytes_in: u64,
    pub packets_out: u64,
    pub bytes_out: u64,
    /// Packets refused, by why.
    pub unknown_sender: u64,
    pub malformed: u64,
    pub unauthenticated: u64,
    pub replayed: u64,
    pub dropped_out: u64,
    pub nacks_sent: u64,
    pub keyframe_requests_sent: u64,
    pub keyframe_requests_received: u64,
    /// Packets per bucket of [`TRANSIT_BOUNDS_US`], one more for the rest. Packet in to packet handed to the socket.
    pub transit: Vec<u64>,
    pub transit_sum_us: u64,
}

/// Where the core puts what it wants sent. Slots to one address in a row become one batch of the driver.
pub trait Outbox {
    /// `len` bytes to be filled at once and sent to `to`, in order. `None`: there is no room now; the caller counts
    /// the packet as dropped and goes on.
    fn slot(&mut self, to: SocketAddr, len: usize) -> Option<&mut [u8]>;
    /// Gives the newest slot back unsent (encryption failed).
    fn cancel(&mut self);
    /// Called between one subscriber's packets and the next one's, so that the first need not wait for the last. If
    /// everything so far has been handed to the socket by now: the time of that.
    fn between_runs(&mut self) -> Option<u64> {
        None
    }
    /// A packet of a tapped track. Not an event: there are many, and they may be told together, though in their order
    /// among the events.
    fn tap(&mut self, track: TrackId, packet: TapPacket, payload: &Payload);
    fn event(&mut self, event: Event);
}
