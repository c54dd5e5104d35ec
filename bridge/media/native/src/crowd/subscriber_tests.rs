use std::net::{Ipv4Addr, UdpSocket};

use bridge_relay_core::api::{Codec, SrtpProfile};
use bridge_relay_core::srtp::{SrtpReceiver, SrtpSender};
use bridge_relay_core::wire::rtp::{HeaderFields, write_header};

use super::super::client::{Account, Keys};
use super::super::counts::Counts;
use super::*;
use crate::send::{Backend, SendQueue};

const PROFILE: SrtpProfile = SrtpProfile::AeadAes128Gcm;
const KEY: [u8; 28] = [7; 28];
const SSRC: u32 = 100;
const RTX_SSRC: u32 = 101;
const KEYFRAME: [u8; 14] = [0x90, 0x80, 0x80, 0x01, 0x10, 0, 0, 0x9d, 0x01, 0x2a, 240, 0, 136, 0];
const REST: [u8; 6] = [0x80, 0x80, 0x80, 0x01, 1, 2];

/// A receiver, and the relay's end of its line.
struct World {
    relay: UdpSocket,
    sender: SrtpSender,
    receiver: SrtpReceiver,
    client: Client,
    subscriber: Subscriber,
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
        let mut subscriber = Subscriber::new(0, 0);
        let video = TrackSpec {
            kind: MediaKind::Video,
            codec: Codec::Vp8,
            clock_rate_hz: 90_000,
            ssrc: SSRC,
            rtx_ssrc: RTX_SSRC,
        };
        let extensions = ExtensionIds { transport_wide_cc: 4, ..ExtensionIds::default() };
        subscriber.set_tracks(extensions, vec![video], None);
        Self {
            relay,
            sender: SrtpSender::new(PROFILE, &KEY).unwrap(),
            receiver: SrtpReceiver::new(PROFILE, &KEY).unwrap(),
            client,
            subscriber,
            queue: SendQueue::with_arena(Backend::SendMmsg, 64 << 10),
            counts: Counts::default(),
        }
    }

    /// A packet from the relay comes at `now_us`.
    fn take(&mut self, now_us: u64, ssrc: u32, sequence: u16, marker: bool, payload: &[u8]) -> Option<u64> {
        let fields = HeaderFields { marker, sequence, ..HeaderFields::default() };
        let mut packet = [0; 200];
        let number = sequence.to_be_bytes();
        let header_len = write_header(&mut packet, ssrc, 96, &fields, &[(4, &number)]).unwrap();
        let len = header_len + payload.len() + self.sender.rtp_overhead();
        let slot = self.sender.stream(ssrc).unwrap();
        self.sender.seal_rtp(slot, u64::from(sequence), &mut packet[..len], header_len, payload).unwrap();
        let mut turn = Turn { now_us, queue: &mut self.queue, counts: &mut self.counts };
        let first = self.subscriber.receive_rtp(&mut packet[..len], &mut self.client, &mut turn);
        first.map(|first| first.at_us)
    }

    /// Compounds that it sends until `until_us`.
    fn reports(&mut self, from_us: u64, until_us: u64) -> Vec<Vec<u8>> {
        let mut compounds = Vec::new();
        for now_us in (from_us..until_us).step_by(1_000) {
            let mut turn = Turn { now_us, queue: &mut self.queue, counts: &mut self.counts };
            self.subscriber.report_due(&mut self.client, &mut turn);
            self.queue.transmit(&self.client.port);
            let mut buffer = [0; 2_048];
            while let Ok(len) = self.relay.recv(&mut buffer) {
                let plain_len = self.receiver.unprotect_rtcp(&mut buffer[..len]).unwrap();
                compounds.push(buffer[..plain_len].to_vec());
            }
        }
        compounds
    }
}

fn nacked(compounds: &[Vec<u8>]) -> Vec<u16> {
    let mut asked = Vec::new();
    for packet in compounds.iter().flat_map(|compound| rtcp::parse(compound)).flatten() {
        if let RtcpPacket::Nack { media: SSRC, sequences, .. } = packet {
            asked.extend(sequences);
        }
    }
    asked
}

#[test]
fn a_lost_packet_is_asked_for_and_its_retransmission_makes_the_first_picture_whole() {
    let mut world = World::new();
    assert_eq!(world.take(1_000, SSRC, 1, false, &KEYFRAME), None);
    assert_eq!(world.take(2_000, SSRC, 3, true, &REST), None);
    let asked = nacked(&world.reports(2_000, 20_000));
    assert_eq!(asked, [2]);
    let again = [&2_u16.to_be_bytes()[..], &REST].concat();
    assert_eq!(world.take(21_000, RTX_SSRC, 1, false, &again), Some(21_000));
    assert_eq!((world.counts.received, world.counts.recovered, world.counts.lost), (3, 1, 0));
    assert_eq!(world.counts.nacks_sent, 1);
    assert!(nacked(&world.reports(21_000, 500_000)).is_empty());
}

#[test]
fn what_never_comes_is_counted_as_lost_and_a_keyframe_is_asked_for() {
    let mut world = World::new();
    world.take(1_000, SSRC, 1, true, &KEYFRAME);
    world.take(2_000, SSRC, 3, true, &REST);
    world.reports(2_000, 1_500_000);
    assert_eq!((world.counts.lost, world.counts.recovered), (1, 0));
    assert_eq!(world.counts.keyframes_asked, 1);
}

#[test]
fn reports_ten_times_a_second_what_came_when_and_every_second_what_was_lost() {
    let mut world = World::new();
    for number in 0..100 {
        world.take(u64::from(number) * 10_000, SSRC, number, true, &KEYFRAME);
        world.reports(u64::from(number) * 10_000, u64::from(number) * 10_000 + 1);
    }
    let compounds = world.reports(1_000_000, 2_100_000);
    let packets: Vec<_> = compounds.iter().flat_map(|compound| rtcp::parse(compound)).flatten().collect();
    let told = packets.iter().find_map(|packet| match packet {
        RtcpPacket::ReceiverReport { reports, .. } => reports.clone().next(),
        _ => None,
    });
    let report = told.expect("a receiver report");
    assert_eq!((report.ssrc, report.highest_sequence, report.cumulative_lost), (SSRC, 99, 0));
    assert!(packets.iter().any(|packet| matches!(packet, RtcpPacket::TransportFeedback(_))));
    assert_eq!(world.counts.received, 100);
    assert!(world.counts.checked < 100, "one in sixteen is decrypted once the first picture is whole");
}

#[test]
fn what_is_not_as_the_relay_sealed_it_is_wrong() {
    let mut world = World::new();
    world.sender = SrtpSender::new(PROFILE, &[8; 28]).unwrap();
    assert_eq!(world.take(1_000, SSRC, 1, true, &KEYFRAME), None);
    assert_eq!((world.counts.wrong, world.counts.received), (1, 0));
}
