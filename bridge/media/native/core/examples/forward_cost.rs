//! What forwarding costs in the core alone, encryption included and without a socket: CPU nanoseconds a packet by
//! number of subscribers. Needs Linux (the thread's own CPU time).

use std::net::SocketAddr;

use bridge_relay_core::api::{
    Codec, Command, Event, ExtensionIds, IceCredentials, LayerSpec, MediaKind, Outbox, Payload, PayloadType,
    PeerId, SrtpProfile, SubscriptionId, SubscriptionSpec, TapPacket, TrackId, TrackSpec,
};
use bridge_relay_core::relay::Relay;
use bridge_relay_core::srtp::SrtpSender;
use bridge_relay_core::wire::rtp::{HeaderFields, write_header};
use bridge_relay_core::wire::stun::{self, IceRole, IntegrityKey, RequestFields};

const FRAMES: u64 = 600;
const PACKETS_PER_FRAME: u64 = 6;
const PAYLOAD_LEN: usize = 1_060;
const VIDEO: PayloadType =
    PayloadType { payload_type: 96, codec: Codec::Vp8, clock_rate_hz: 90_000, rtx_payload_type: 97 };

/// Room for one turn, forgotten after it, as the driver's arena is.
struct Sink {
    arena: Vec<u8>,
    used: usize,
    datagrams: u64,
    last: usize,
}

impl Outbox for Sink {
    fn slot(&mut self, _to: SocketAddr, len: usize) -> Option<&mut [u8]> {
        if self.used + len > self.arena.len() {
            self.used = 0;
        }
        let start = self.used;
        self.used += len;
        self.last = len;
        self.datagrams += 1;
        self.arena.get_mut(start..start + len)
    }

    fn cancel(&mut self) {
        self.used -= self.last;
        self.datagrams -= 1;
    }

    fn tap(&mut self, _track: TrackId, _packet: TapPacket, _payload: &Payload) {}

    fn event(&mut self, _event: Event) {}
}

fn address(number: u32) -> SocketAddr {
    SocketAddr::from(([10, 0, (number >> 8) as u8, number as u8], 4_000))
}

fn key(number: u32, side: u8) -> Vec<u8> {
    (0..28).map(|at| at ^ side ^ number as u8).collect()
}

fn connect(relay: &mut Relay, sink: &mut Sink, number: u32) {
    let peer = PeerId(number);
    let ice = IceCredentials { ufrag: format!("u{number}"), pwd: "p".repeat(22) };
    let extensions =
        ExtensionIds { mid: 1, abs_send_time: 4, transport_wide_cc: 5, ..ExtensionIds::default() };
    for command in [
        Command::AddPeer { peer, ice },
        Command::SetKeys {
            peer,
            profile: SrtpProfile::AeadAes128Gcm,
            local: key(number, 0),
            remote: key(number, 128),
        },
        Command::SetReceiving { peer, extensions, payloads: vec![VIDEO] },
        Command::SetSending { peer, extensions, transport_cc: true, remb: false },
    ] {
        relay.command(0, command, sink);
    }
    let username = format!("u{number}:x");
    let fields = RequestFields {
        transaction_id: [1; 12],
        username: &username,
        priority: 1,
        role: IceRole::Controlling(1),
        use_candidate: true,
    };
    let mut check = vec![0; stun::MAX_WRITTEN_LEN];
    if let Ok(len) = stun::write_request(&mut check, &fields, &IntegrityKey::new(&"p".repeat(22))) {
        relay.receive(0, address(number), &mut check[..len], sink);
    }
}

fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn measure(subscribers: u32) -> Option<(f64, u64)> {
    let mut relay = Relay::new(0);
    let mut sink = Sink { arena: vec![0; 4 << 20], used: 0, datagrams: 0, last: 0 };
    for number in 0..=subscribers {
        connect(&mut relay, &mut sink, number);
    }
    let spec = TrackSpec {
        kind: MediaKind::Video,
        mid: "0".into(),
        layers: vec![LayerSpec { ssrc: Some(7), ..LayerSpec::default() }],
        nack: true,
    };
    relay.command(0, Command::AddTrack { track: TrackId(1), peer: PeerId(0), spec }, &mut sink);
    for number in 1..=subscribers {
        let subscription = SubscriptionId(number);
        let spec = SubscriptionSpec {
            kind: MediaKind::Video,
            mid: "0".into(),
            ssrc: 100 + number,
            rtx_ssrc: 100_000 + number,
            payloads: vec![VIDEO],
            cname: "c".into(),
        };
        relay.command(0, Command::AddSubscription { subscription, peer: PeerId(number), spec }, &mut sink);
        let track = Some(TrackId(1));
        relay.command(0, Command::SwitchSubscription { subscription, track }, &mut sink);
    }
    let mut sender = SrtpSender::new(SrtpProfile::AeadAes128Gcm, &key(0, 128)).ok()?;
    let stream = sender.stream(7).ok()?;
    let overhead = sender.rtp_overhead();
    let mut batches = Vec::new();
    for frame in 0..FRAMES {
        let mut batch = Vec::new();
        for number in 0..PACKETS_PER_FRAME {
            let index = frame * PACKETS_PER_FRAME + number;
            let mut packet = vec![0; 12 + PAYLOAD_LEN + overhead];
            let fields = HeaderFields {
                marker: number + 1 == PACKETS_PER_FRAME,
                sequence: index as u16,
                timestamp: frame as u32 * 3_000,
                ..HeaderFields::default()
            };
            let len = write_header(&mut packet, 7, 96, &fields, &[]).ok()?;
            // Start of a frame, the first one a keyframe of 1280x720.
            packet[len] = if number == 0 { 0x10 } else { 0 };
            packet[len + 1..len + 11].copy_from_slice(&[
                u8::from(frame > 0),
                0,
                0,
                0x9d,
                1,
                0x2a,
                0,
                5,
                0xd0,
                2,
            ]);
            sender.protect_rtp(stream, index, &mut packet, len).ok()?;
            batch.push(packet);
        }
        batches.push(batch);
    }
    sink.datagrams = 0;
    let start_ns = cpu_ns();
    for (frame, batch) in batches.iter_mut().enumerate() {
        let now_us = 1_000 + frame as u64 * 33_333;
        for packet in batch {
            relay.receive(now_us, address(0), packet, &mut sink);
        }
        relay.flush(now_us, &mut sink);
        relay.sent(now_us);
        while relay.next_timeout_us() <= now_us {
            relay.tick(now_us, &mut sink);
        }
    }
    let spent_ns = cpu_ns().saturating_sub(start_ns);
    Some((spent_ns as f64 / sink.datagrams as f64, sink.datagrams))
}

fn main() {
    for subscribers in [1, 50, 200, 500] {
        match measure(subscribers) {
            Some((ns, datagrams)) => {
                println!("{subscribers:4} subscribers: {ns:6.0} ns a packet ({datagrams} sent)")
            }
            None => println!("{subscribers:4} subscribers: could not be set up"),
        }
    }
}
