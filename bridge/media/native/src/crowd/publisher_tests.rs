use std::net::{Ipv4Addr, UdpSocket};

use bridge_relay_core::api::{Codec, SrtpProfile};
use bridge_relay_core::codec;
use bridge_relay_core::srtp::SrtpReceiver;
use bridge_relay_core::wire::demux::{DatagramKind, classify};
use bridge_relay_core::wire::rtcp::ReportBlock;
use bridge_relay_core::wire::rtp::RtpHeader;

use super::super::client::{Account, Keys};
use super::super::reel::Layer as ReelLayer;
use super::*;
use crate::send::Backend;

const PROFILE: SrtpProfile = SrtpProfile::AeadAes128Gcm;
const KEY: [u8; 28] = [7; 28];
const EXTENSIONS: ExtensionIds = ExtensionIds {
    mid: 1,
    rid: 10,
    repaired_rid: 11,
    audio_level: 2,
    abs_send_time: 3,
    transport_wide_cc: 4,
    video_orientation: 0,
    playout_delay: 0,
    dependency_descriptor: 0,
};
const RTX: u8 = 97;
const LOW: u32 = 100;
const HIGH: u32 = 200;
const SOUND: u32 = 300;

struct Packet {
    header: RtpHeader,
    names: Vec<(u8, Vec<u8>)>,
    payload: Vec<u8>,
}

/// A publisher, and the relay's end of its line.
struct World {
    relay: UdpSocket,
    receiver: SrtpReceiver,
    client: Client,
    publisher: Publisher,
    queue: SendQueue,
    counts: Counts,
}

impl World {
    fn new() -> Self {
        let relay = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        relay.set_nonblocking(true).unwrap();
        let account = Account {
            relay: relay.local_addr().unwrap(),
            ufrag: "relay".into(),
            pwd: "p".repeat(22),
            local_ufrag: "crowd".into(),
            tie_breaker: 1,
        };
        let mut client = Client::open(&account).unwrap();
        client.keys = Some(Keys::new(PROFILE, &KEY, &KEY).unwrap());
        let mut keyframe = vec![9; 3_000];
        keyframe[..10].copy_from_slice(&[0x10, 0, 0, 0x9d, 0x01, 0x2a, 240, 0, 136, 0]);
        let mut frames: Vec<(bool, &[u8])> = vec![(true, &keyframe)];
        frames.resize(1_000, (false, &[1; 500]));
        let layers =
            [("l", 10), ("h", 20)].map(|(rid, rate)| ReelLayer::new(rid.into(), rate, &frames).unwrap());
        let layer = |rid: &str, ssrc| VideoLayerSpec { rid: rid.into(), ssrc, rtx_ssrc: ssrc + 1 };
        let spec = PublisherSpec {
            extensions: EXTENSIONS,
            audio: Some(AudioSpec { mid: "0".into(), payload_type: 111, ssrc: SOUND }),
            video: Some(VideoSpec {
                mid: "1".into(),
                payload_type: 96,
                rtx_payload_type: RTX,
                layers: vec![layer("l", LOW), layer("h", HIGH)],
            }),
        };
        let reel = Arc::new(Reel::new(layers.into()).unwrap());
        let mut publisher = Publisher::new(spec, reel).unwrap();
        publisher.start(0);
        Self {
            relay,
            receiver: SrtpReceiver::new(PROFILE, &KEY).unwrap(),
            client,
            publisher,
            queue: SendQueue::with_arena(Backend::SendMmsg, 64 << 10),
            counts: Counts::default(),
        }
    }

    /// Runs until `until_us` by steps of a millisecond, and returns what the relay got.
    fn run(&mut self, from_us: u64, until_us: u64) -> Vec<Packet> {
        let mut packets = Vec::new();
        for now_us in (from_us..until_us).step_by(1_000) {
            let mut turn = Turn { now_us, queue: &mut self.queue, counts: &mut self.counts };
            self.publisher.send_due(&mut self.client, &mut turn);
            packets.extend(self.received());
        }
        packets
    }

    fn tell(&mut self, now_us: u64, compound: &[u8]) -> Vec<Packet> {
        let mut turn = Turn { now_us, queue: &mut self.queue, counts: &mut self.counts };
        self.publisher.receive_rtcp(compound, &mut self.client, &mut turn);
        self.received()
    }

    /// Loopback delivers before sending returns, so no wait is needed.
    fn received(&mut self) -> Vec<Packet> {
        self.queue.transmit(&self.client.port);
        let mut packets = Vec::new();
        let mut buffer = [0; 2_048];
        while let Ok(len) = self.relay.recv(&mut buffer) {
            let datagram = &mut buffer[..len];
            if classify(datagram) != DatagramKind::Rtp {
                continue;
            }
            let header = RtpHeader::parse(datagram).unwrap();
            let names = header.extensions(datagram).map(|(id, value)| (id, value.to_vec())).collect();
            let plain = self.receiver.unprotect_rtp(&header, datagram).unwrap();
            let payload = datagram[header.len..plain.len].to_vec();
            packets.push(Packet { header, names, payload });
        }
        packets
    }
}

fn of(packets: &[Packet], ssrc: u32) -> Vec<&Packet> {
    packets.iter().filter(|packet| packet.header.ssrc == ssrc).collect()
}

fn keyframes(packets: &[Packet], ssrc: u32) -> usize {
    of(packets, ssrc)
        .iter()
        .filter(|packet| codec::inspect(Codec::Vp8, &packet.payload).keyframe_start)
        .count()
}

#[test]
fn sends_sound_and_all_layers_at_their_rates() {
    let mut world = World::new();
    let packets = world.run(0, 1_000_000);
    assert_eq!(of(&packets, SOUND).len(), 50);
    // A keyframe of three packets, then one a frame.
    assert_eq!(of(&packets, LOW).len(), 3 + 9);
    assert_eq!(of(&packets, HIGH).len(), 3 + 19);
    let ends = of(&packets, LOW).iter().filter(|packet| packet.header.marker).count();
    assert_eq!(ends, 10);
    assert_eq!((keyframes(&packets, LOW), keyframes(&packets, HIGH)), (1, 1));
    assert_eq!(world.counts.sent, packets.len() as u64);
    assert_eq!(world.counts.unsent, 0);
}

#[test]
fn says_who_a_stream_is_until_the_relay_reports_on_it() {
    let mut world = World::new();
    let rid = (EXTENSIONS.rid, b"h".to_vec());
    assert!(of(&world.run(0, 200_000), HIGH).iter().all(|packet| packet.names.contains(&rid)));
    let mut compound = Vec::new();
    let block = ReportBlock { ssrc: HIGH, cumulative_lost: 2, ..ReportBlock::default() };
    rtcp::write_receiver_report(&mut compound, 1, &[block]);
    world.tell(200_000, &compound);
    let packets = world.run(200_000, 400_000);
    assert!(of(&packets, HIGH).iter().all(|packet| !packet.names.contains(&rid)));
    assert!(of(&packets, LOW).iter().all(|packet| packet.names.contains(&(EXTENSIONS.rid, b"l".to_vec()))));
    assert_eq!(world.counts.lost_up, 2);
}

#[test]
fn sends_again_what_is_missing_and_only_what_it_sent() {
    let mut world = World::new();
    let packets = world.run(0, 500_000);
    let missing = of(&packets, HIGH)[1];
    let mut compound = Vec::new();
    rtcp::write_nack(&mut compound, 1, HIGH, &[missing.header.sequence, 40_000]);
    let again = world.tell(500_000, &compound);
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].header.ssrc, again[0].header.payload_type), (HIGH + 1, RTX));
    let (original, payload) = again[0].payload.split_at(2);
    assert_eq!(original, missing.header.sequence.to_be_bytes());
    assert_eq!(payload, missing.payload);
    assert_eq!(again[0].header.timestamp, missing.header.timestamp);
    assert!(again[0].names.contains(&(EXTENSIONS.repaired_rid, b"h".to_vec())));
    assert_eq!(world.counts.resent, 1);
}

#[test]
fn a_keyframe_comes_when_asked_and_only_of_that_layer() {
    let mut world = World::new();
    world.run(0, 500_000);
    let mut compound = Vec::new();
    rtcp::write_pli(&mut compound, 1, HIGH);
    world.tell(500_000, &compound);
    let packets = world.run(500_000, 1_000_000);
    assert_eq!((keyframes(&packets, LOW), keyframes(&packets, HIGH)), (0, 1));
    world.tell(1_400_000, &compound);
    assert_eq!(world.counts.keyframe_requests, 2);
    assert_eq!(world.counts.keyframe_apart_us, 900_000);
}

#[test]
fn sends_the_layers_that_are_wanted_and_begins_again_with_a_keyframe() {
    let mut world = World::new();
    world.run(0, 500_000);
    world.publisher.set_layers(&["l".into()], 500_000);
    let packets = world.run(500_000, 1_000_000);
    assert!(of(&packets, HIGH).is_empty());
    assert_eq!(of(&packets, LOW).len(), 5);
    world.publisher.set_layers(&["h".into()], 1_000_000);
    let packets = world.run(1_000_000, 1_500_000);
    assert!(of(&packets, LOW).is_empty());
    // What was missed is not made up for.
    assert!((8..=12).contains(&of(&packets, HIGH).len()));
    assert_eq!(keyframes(&packets, HIGH), 1);
}
