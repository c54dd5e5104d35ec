//! RTCP compounds, as they come and in a well-formed frame; each iterator is run to its end and must be bounded.
#![no_main]

use bridge_relay_core::wire::rtcp::{
    FeedbackFields, RtcpPacket, parse, write_nack, write_remb, write_transport_feedback,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    handle(input);
    if let [format, packet_type, body @ ..] = input {
        let mut packet = vec![0x80 | format & 0x3f, 200 + packet_type % 8, 0, 0];
        packet.extend_from_slice(body);
        packet.resize(packet.len().next_multiple_of(4), 0);
        let words = (packet.len() / 4 - 1) as u16;
        packet[2..4].copy_from_slice(&words.to_be_bytes());
        handle(&packet);
    }
});

fn handle(compound: &[u8]) {
    let mut statuses = 0;
    for packet in parse(compound) {
        let Ok(packet) = packet else { break };
        match packet {
            RtcpPacket::SenderReport { reports, .. } | RtcpPacket::ReceiverReport { reports, .. } => {
                assert!(reports.count() <= 31);
            }
            RtcpPacket::SourceDescription { chunks } => assert!(chunks.count() <= 31),
            RtcpPacket::Goodbye { ssrcs } => assert!(ssrcs.count() <= 31),
            RtcpPacket::Remb { sender, bitrate_bps, ssrcs } => {
                let ssrcs: Vec<_> = ssrcs.collect();
                let mut out = Vec::new();
                write_remb(&mut out, sender, bitrate_bps, &ssrcs);
                let Some(Ok(RtcpPacket::Remb { bitrate_bps: again, .. })) = parse(&out).next() else {
                    panic!("unreadable REMB")
                };
                assert!(again <= bitrate_bps && bitrate_bps - again <= bitrate_bps >> 17);
            }
            RtcpPacket::Nack { sender, media, sequences } => {
                let mut sequences: Vec<_> = sequences.collect();
                assert!(sequences.len() <= compound.len() / 4 * 17);
                sequences.truncate(256);
                let mut out = Vec::new();
                write_nack(&mut out, sender, media, &sequences);
                let Some(Ok(RtcpPacket::Nack { sequences: again, .. })) = parse(&out).next() else {
                    panic!("unreadable NACK")
                };
                let again: Vec<_> = again.collect();
                assert!(sequences.iter().all(|sequence| again.contains(sequence)));
            }
            RtcpPacket::FullIntraRequest { entries, .. } => assert!(entries.count() <= compound.len() / 8),
            RtcpPacket::TransportFeedback(feedback) => {
                let arrivals: Vec<_> = feedback.arrivals().collect();
                assert_eq!(arrivals.len(), usize::from(feedback.status_count));
                statuses += arrivals.len();
                rewrite(feedback.base_sequence, &arrivals);
            }
            RtcpPacket::PictureLoss { .. } | RtcpPacket::Other { .. } => {}
        }
    }
    assert!(statuses <= 8192);
}

/// Writes what was read, in as many packets as it takes, and reads it again.
fn rewrite(base_sequence: u16, arrivals: &[(u16, Option<i64>)]) {
    let wrap_us = 64_000i64 << 24;
    let times: Vec<_> = arrivals.iter().map(|(_, at)| at.map(|us| us.rem_euclid(wrap_us) as u64)).collect();
    let mut done = 0;
    while let Some(rest) = times.get(done..).filter(|rest| rest.iter().any(Option::is_some)) {
        let fields =
            FeedbackFields { base_sequence: base_sequence.wrapping_add(done as u16), ..Default::default() };
        let mut out = Vec::new();
        let covered = write_transport_feedback(&mut out, &fields, rest);
        assert!(covered > 0 && out.len() <= 3_300);
        let Some(Ok(RtcpPacket::TransportFeedback(again))) = parse(&out).next() else {
            panic!("unreadable feedback")
        };
        for ((_, read), written) in again.arrivals().zip(rest) {
            assert_eq!(read.map(|us| us.rem_euclid(wrap_us) as u64), *written);
        }
        done += covered;
    }
}
