//! The whole relay against a publisher and a subscriber who hold valid keys and send what the input says: RTP and
//! RTCP with hostile content, raw datagrams, commands and time in any order. Nothing may panic, stall or flood.
#![no_main]

use std::net::SocketAddr;

use bridge_relay_core::api::{
    Codec, Command, Event, ExtensionIds, IceCredentials, LayerSpec, MediaKind, Outbox, Payload, PayloadType,
    PeerId, SrtpProfile, SubscriptionId, SubscriptionSpec, TapPacket, TrackId, TrackSpec,
};
use bridge_relay_core::relay::Relay;
use bridge_relay_core::srtp::SrtpSender;
use bridge_relay_core::wire::rtp::{HeaderFields, MAX_WRITTEN_HEADER_LEN, write_header};
use bridge_relay_core::wire::stun::{IceRole, IntegrityKey, MAX_WRITTEN_LEN, RequestFields, write_request};
use libfuzzer_sys::fuzz_target;

const PUBLISHER: PeerId = PeerId(1);
const SUBSCRIBER: PeerId = PeerId(2);
const CAMERA: TrackId = TrackId(1);
const MICROPHONE: TrackId = TrackId(2);
const SCREEN: SubscriptionId = SubscriptionId(1);
const SPEAKER: SubscriptionId = SubscriptionId(2);
const PROFILE: SrtpProfile = SrtpProfile::AeadAes128Gcm;
const KEY_LEN: usize = 28;
const PASSWORD: &str = "a password of some length";
/// A step takes a few bytes of input; what it sets off in a relay of two peers must stay in proportion.
const MOST_SENT_PER_STEP: usize = 4_000;

fuzz_target!(|input: &[u8]| {
    let mut world = World::new();
    let mut rest = input;
    while let [kind, argument, len, others @ ..] = rest {
        let (body, others) = others.split_at(usize::from(*len).min(others.len()));
        rest = others;
        let before = world.outbox.sent;
        world.step(*kind, *argument, body);
        assert!(world.outbox.sent - before <= MOST_SENT_PER_STEP, "a flood");
    }
});

struct World {
    relay: Relay,
    outbox: Sink,
    now_us: u64,
    publisher: Client,
    subscriber: Client,
}

struct Client {
    address: SocketAddr,
    srtp: SrtpSender,
    /// Per SSRC in use, the packet index last sent.
    indices: [u64; 6],
}

impl Client {
    fn new(port: u16) -> Self {
        let srtp = SrtpSender::new(PROFILE, &[port as u8; KEY_LEN]).expect("a valid key");
        Self { address: SocketAddr::from(([127, 0, 0, 1], port)), srtp, indices: [1_000; 6] }
    }
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            relay: Relay::new(1_000_000),
            outbox: Sink::default(),
            now_us: 1_000_000,
            publisher: Client::new(1),
            subscriber: Client::new(2),
        };
        for (peer, port) in [(PUBLISHER, 1u8), (SUBSCRIBER, 2)] {
            let ice = IceCredentials { ufrag: format!("frag{port}"), pwd: PASSWORD.to_owned() };
            world.command(Command::AddPeer { peer, ice });
            world.check(port);
            let (local, remote) = (vec![port + 100; KEY_LEN], vec![port; KEY_LEN]);
            world.command(Command::SetKeys { peer, profile: PROFILE, local, remote });
            world.command(Command::SetReceiving { peer, extensions: extensions(), payloads: payloads() });
            world.command(Command::SetSending {
                peer,
                extensions: extensions(),
                transport_cc: true,
                remb: true,
            });
        }
        let layer = |rid: &str| LayerSpec { rid: Some(rid.to_owned()), ..LayerSpec::default() };
        for (track, kind, mid, layers) in [
            (CAMERA, MediaKind::Video, "0", vec![layer("l"), layer("h")]),
            (MICROPHONE, MediaKind::Audio, "1", vec![LayerSpec { ssrc: Some(104), ..LayerSpec::default() }]),
        ] {
            let spec = TrackSpec { kind, mid: mid.to_owned(), layers, nack: true };
            world.command(Command::AddTrack { track, peer: PUBLISHER, spec });
            world.command(Command::SetTap { track, on: true });
        }
        for (subscription, kind, ssrc, track) in
            [(SCREEN, MediaKind::Video, 201, CAMERA), (SPEAKER, MediaKind::Audio, 203, MICROPHONE)]
        {
            let mid = ssrc.to_string();
            let cname = "hub".to_owned();
            let spec = SubscriptionSpec { kind, mid, ssrc, rtx_ssrc: ssrc + 1, payloads: payloads(), cname };
            world.command(Command::AddSubscription { subscription, peer: SUBSCRIBER, spec });
            world.command(Command::SwitchSubscription { subscription, track: Some(track) });
        }
        world
    }

    fn step(&mut self, kind: u8, argument: u8, body: &[u8]) {
        self.outbox.refusing = kind & 0xe0 == 0xe0;
        match kind & 7 {
            0 => self.advance(u64::from(argument) * 1_000),
            1 | 2 => self.send_rtp(argument, body),
            3 => self.send_rtcp(false, argument, body),
            4 => self.send_rtcp(true, argument, body),
            5 => self.send_raw(argument, body),
            6 => self.check(argument),
            _ => self.command(control(argument)),
        }
        if kind & 8 == 0 {
            self.relay.flush(self.now_us, &mut self.outbox);
            self.relay.sent(self.now_us);
        }
    }

    fn advance(&mut self, by_us: u64) {
        self.relay.flush(self.now_us, &mut self.outbox);
        self.now_us += by_us;
        self.relay.tick(self.now_us, &mut self.outbox);
    }

    fn command(&mut self, command: Command) {
        self.relay.command(self.now_us, command, &mut self.outbox);
    }

    /// An authenticated check, now and then from another address.
    fn check(&mut self, argument: u8) {
        let publishes = argument & 3 == 1;
        let client = if publishes { &mut self.publisher } else { &mut self.subscriber };
        client.address.set_port(if argument < 4 {
            u16::from(argument)
        } else {
            1_000 + u16::from(argument & 15)
        });
        let fields = RequestFields {
            transaction_id: [argument; 12],
            username: if publishes { "frag1:theirs" } else { "frag2:theirs" },
            priority: 1,
            role: IceRole::Controlling(1),
            use_candidate: argument & 0x40 != 0,
        };
        let mut datagram = [0; MAX_WRITTEN_LEN];
        let len =
            write_request(&mut datagram, &fields, &IntegrityKey::new(PASSWORD)).expect("room for a check");
        self.relay.receive(self.now_us, client.address, &mut datagram[..len], &mut self.outbox);
    }

    fn send_rtp(&mut self, argument: u8, body: &[u8]) {
        let [ahead, ticks, flags, payload @ ..] = body else { return };
        let stream = usize::from(argument % 6);
        let client = &mut self.publisher;
        let index = client.indices[stream].saturating_add_signed(i64::from(*ahead as i8));
        client.indices[stream] = index;
        let ssrc = 100 + stream as u32;
        let fields = HeaderFields {
            marker: flags & 1 != 0,
            sequence: index as u16,
            timestamp: u32::from(*ticks) << (flags >> 3 & 0x1c),
            abs_send_time: u32::from(*ticks),
            transport_sequence: index as u16,
        };
        let names: [(u8, &[u8]); 6] = [(2, b"l"), (2, b"h"), (3, b"l"), (3, b"h"), (4, b"\x85"), (2, b"?")];
        let values = [(1, &b"0"[..]), names[stream], (5, &body[..3]), (6, &body[..2])];
        let chosen = values.get(..usize::from(flags >> 1 & 7).min(4)).unwrap_or_default();
        let payload_type = [96, 97, 98, 99, 100, 101, 102, 103, 111, 0][usize::from(argument / 6 % 10)];
        let mut packet = vec![0; MAX_WRITTEN_HEADER_LEN];
        let Ok(len) = write_header(&mut packet, ssrc, payload_type, &fields, chosen) else { return };
        packet.truncate(len);
        packet[0] |= flags & 0x20;
        packet.extend_from_slice(payload);
        packet.resize(packet.len() + client.srtp.rtp_overhead(), 0);
        let Ok(slot) = client.srtp.stream(ssrc) else { return };
        if client.srtp.protect_rtp(slot, index, &mut packet, len).is_ok() {
            self.relay.receive(self.now_us, client.address, &mut packet, &mut self.outbox);
        }
    }

    fn send_rtcp(&mut self, subscribes: bool, argument: u8, body: &[u8]) {
        let client = if subscribes { &mut self.subscriber } else { &mut self.publisher };
        let mut plain = vec![0x80 | argument >> 3, 200 + argument % 8, 0, 0];
        plain.extend_from_slice(body);
        plain.resize(plain.len().next_multiple_of(4).max(8), 0);
        let words = (plain.len() / 4 - 1) as u16;
        plain[2..4].copy_from_slice(&words.to_be_bytes());
        let mut packet = vec![0; plain.len() + client.srtp.rtcp_overhead()];
        client.srtp.protect_rtcp(&plain, &mut packet).expect("a few packets never exhaust the index");
        self.relay.receive(self.now_us, client.address, &mut packet, &mut self.outbox);
    }

    fn send_raw(&mut self, argument: u8, body: &[u8]) {
        let from = match argument & 3 {
            0 => self.publisher.address,
            1 => self.subscriber.address,
            _ => SocketAddr::from(([127, 0, 0, 9], u16::from(argument))),
        };
        self.relay.receive(self.now_us, from, &mut body.to_vec(), &mut self.outbox);
        if argument & 4 != 0 {
            self.relay.send_refused(self.now_us, from);
        }
    }
}

fn control(argument: u8) -> Command {
    let high = argument >> 4;
    let (track, subscription) = (TrackId(u32::from(high & 3)), SubscriptionId(u32::from(high & 3)));
    match argument & 15 {
        0 => Command::PauseTrack { track, paused: high & 4 != 0 },
        1 => Command::SwitchSubscription { subscription, track: (high & 4 != 0).then_some(CAMERA) },
        2 | 3 => Command::SetLayer { subscription, layer: (high < 12).then_some(high) },
        4 => Command::RequestKeyframe { track },
        5 => Command::SetProbeLimit { peer: SUBSCRIBER, bitrate_bps: 1 << (high * 4) },
        6 => Command::RemoveTrack { track },
        7 => Command::RemoveSubscription { subscription },
        8 => Command::SetTap { track, on: high & 4 != 0 },
        9 => Command::SetSending {
            peer: SUBSCRIBER,
            extensions: if high & 4 == 0 { extensions() } else { ExtensionIds::default() },
            transport_cc: high & 1 != 0,
            remb: high & 2 != 0,
        },
        10 => Command::SendDtls { peer: SUBSCRIBER, datagram: vec![22; 13 + usize::from(high)] },
        _ => Command::SwitchSubscription { subscription, track: Some(track) },
    }
}

fn extensions() -> ExtensionIds {
    ExtensionIds {
        mid: 1,
        rid: 2,
        repaired_rid: 3,
        audio_level: 4,
        abs_send_time: 5,
        transport_wide_cc: 6,
        ..ExtensionIds::default()
    }
}

fn payloads() -> Vec<PayloadType> {
    let video = [(96, Codec::Vp8), (98, Codec::Vp9), (100, Codec::H264), (102, Codec::Av1)];
    let mut table: Vec<_> = video
        .map(|(payload_type, codec)| PayloadType {
            payload_type,
            codec,
            clock_rate_hz: 90_000,
            rtx_payload_type: payload_type + 1,
        })
        .into();
    table.push(PayloadType {
        payload_type: 111,
        codec: Codec::Opus,
        clock_rate_hz: 48_000,
        rtx_payload_type: 0,
    });
    table
}

/// Counts what is sent; may have no room.
#[derive(Default)]
struct Sink {
    buffer: Vec<u8>,
    sent: usize,
    refusing: bool,
}

impl Outbox for Sink {
    fn slot(&mut self, _to: SocketAddr, len: usize) -> Option<&mut [u8]> {
        assert!(len > 0 && len <= 2_000, "no datagram is empty or longer than what came in and its overhead");
        if self.refusing {
            return None;
        }
        self.sent += 1;
        self.buffer.resize(len, 0);
        Some(&mut self.buffer)
    }

    fn cancel(&mut self) {
        self.sent -= 1;
    }

    fn tap(&mut self, _track: TrackId, _packet: TapPacket, _payload: &Payload) {}

    fn event(&mut self, _event: Event) {}
}
