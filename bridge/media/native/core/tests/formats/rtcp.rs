//! RTCP: packets of others as captured or built by hand, what is refused, and round trips.

use bridge_relay_core::wire::rtcp::{
    FeedbackFields, ReportBlock, RtcpError, RtcpPacket, SenderInfo, TransportFeedback, parse, write_bye,
    write_fir, write_nack, write_pli, write_receiver_report, write_remb, write_sdes_cname,
    write_sender_report, write_transport_feedback,
};
use proptest::prelude::*;

use crate::hex;

fn only(compound: &[u8]) -> RtcpPacket<'_> {
    let mut packets = parse(compound);
    let packet = packets.next().expect("a packet").expect("well formed");
    assert!(packets.next().is_none());
    packet
}

fn feedback(compound: &[u8]) -> TransportFeedback<'_> {
    match only(compound) {
        RtcpPacket::TransportFeedback(feedback) => feedback,
        other => panic!("not transport feedback: {other:?}"),
    }
}

#[test]
fn reads_a_compound_packet_by_packet() {
    let mut compound = Vec::new();
    write_receiver_report(&mut compound, 1, &[]);
    write_sdes_cname(&mut compound, 1, "hub");
    write_pli(&mut compound, 1, 2);
    write_fir(&mut compound, 1, 3, 9);
    compound.extend_from_slice(&hex("80cc0002 00000001 6e616d65"));
    let packets: Vec<_> = parse(&compound).map(Result::unwrap).collect();
    assert!(matches!(packets[0], RtcpPacket::ReceiverReport { ssrc: 1, .. }));
    let RtcpPacket::SourceDescription { chunks } = packets[1] else { panic!("no SDES") };
    assert_eq!(chunks.collect::<Vec<_>>(), [(1, &b"hub"[..])]);
    assert!(matches!(packets[2], RtcpPacket::PictureLoss { sender: 1, media: 2 }));
    let RtcpPacket::FullIntraRequest { sender: 1, entries } = packets[3] else { panic!("no FIR") };
    assert_eq!(entries.collect::<Vec<_>>(), [(3, 9)]);
    assert!(matches!(packets[4], RtcpPacket::Other { packet_type: 204, format: 0 }));
    assert_eq!(packets.len(), 5);
}

#[test]
fn reads_sdes_chunks_with_and_without_a_cname() {
    // Chunk 1: a tool item only. Chunk 2: a name item, then CNAME "ab". Each padded to a word.
    let packet = hex("82ca0006 00000001 06 03 785f79 000000 00000002 02 01 6e 01 02 6162 00");
    let RtcpPacket::SourceDescription { chunks } = only(&packet) else { panic!("no SDES") };
    assert_eq!(chunks.collect::<Vec<_>>(), [(2, &b"ab"[..])]);
}

#[test]
fn reads_negative_losses() {
    let packet = hex("81c90007 00000001 00000002 40ffffff 00010002 00000003 00000004 00000005");
    let RtcpPacket::ReceiverReport { mut reports, .. } = only(&packet) else { panic!("no RR") };
    let report = reports.next().unwrap();
    assert_eq!((report.fraction_lost, report.cumulative_lost), (0x40, -1));
    assert_eq!(reports.next(), None);
}

#[test]
fn reads_a_rate_beyond_64_bits_as_the_greatest() {
    let packet = hex("8fce0005 00000001 00000000 52454d42 01ffffff 00000007");
    let RtcpPacket::Remb { bitrate_bps, ssrcs, .. } = only(&packet) else { panic!("no REMB") };
    assert_eq!(bitrate_bps, u64::MAX);
    assert_eq!(ssrcs.collect::<Vec<_>>(), [7]);
}

#[test]
fn strips_padding() {
    let packet = hex("a1cd0004 00000001 00000002 00050000 00000004");
    let RtcpPacket::Nack { sequences, .. } = only(&packet) else { panic!("no NACK") };
    assert_eq!(sequences.collect::<Vec<_>>(), [5]);
}

#[test]
fn refuses_what_contradicts_itself() {
    let table = [
        ("80", RtcpError::Truncated),
        ("80c90001", RtcpError::Truncated),
        ("40c90001 00000001", RtcpError::Version),
        ("81c90001 00000001", RtcpError::Malformed),
        ("80c80001 00000001", RtcpError::Malformed),
        ("82cb0001 00000001", RtcpError::Malformed),
        ("81cd0001 00000001", RtcpError::Malformed),
        ("a0c90001 00000000", RtcpError::Malformed),
        ("a0c90001 000000ff", RtcpError::Malformed),
        ("8fce0004 00000001 00000000 52454d42 01000000", RtcpError::Malformed),
        // Transport feedback: no chunk for one status; a delta missing; a reserved symbol; an empty run.
        ("8fcd0004 00000001 00000002 00000001 00000000", RtcpError::Malformed),
        ("8fcd0005 00000001 00000002 00000004 00000000 20042001", RtcpError::Malformed),
        ("8fcd0005 00000001 00000002 00000001 00000000 60010000", RtcpError::Malformed),
        ("8fcd0005 00000001 00000002 00000001 00000000 20000000", RtcpError::Malformed),
    ];
    for (packet, expected) in table {
        let packet = hex(packet);
        let mut packets = parse(&packet);
        assert_eq!(packets.next().unwrap().err(), Some(expected), "{packet:02x?}");
        assert!(packets.next().is_none(), "the iteration ends after an error");
    }
}

#[test]
fn bounds_the_statuses_of_a_compound() {
    // 8191 packets not received, in 24 bytes.
    let one = hex("8fcd0005 00000001 00000002 00001fff 00000000 1fff0000");
    let compound = one.repeat(3);
    let found: Vec<_> = parse(&compound).map(|packet| packet.map(|_| ())).collect();
    assert_eq!(found, [Ok(()), Err(RtcpError::Malformed)]);
}

#[test]
fn reads_every_kind_of_transport_feedback_chunk() {
    // A run of 2 small deltas; one bit each: received, 13 lost; two bits each: large, small, lost.
    let packet = hex("8fcd0007 00000001 00000002 fffe0015 0000022a 2002 a000 e400 04 08 0c ff38 10");
    let feedback = feedback(&packet);
    assert_eq!((feedback.base_sequence, feedback.status_count, feedback.feedback_count), (0xfffe, 21, 0x2a));
    assert_eq!(feedback.reference_time_us, 2 * 64_000);
    let received: Vec<_> =
        feedback.arrivals().filter_map(|(sequence, at)| at.map(|at| (sequence, at - 128_000))).collect();
    let ticks = [(0xfffe, 4), (0xffff, 12), (0, 24), (14, 24 - 200), (15, 24 - 200 + 16)];
    assert_eq!(received, ticks.map(|(sequence, ticks)| (sequence, ticks * 250)));
    assert_eq!(feedback.arrivals().count(), 21);
}

#[test]
fn reads_a_negative_reference_time() {
    let packet = hex("afcd0005 00000001 00000002 00000001 ffffff00 2001 04 01");
    let arrivals: Vec<_> = feedback(&packet).arrivals().collect();
    assert_eq!(arrivals, [(0, Some(-64_000 + 1_000))]);
}

#[test]
fn goes_on_in_another_packet_when_a_delta_does_not_fit() {
    let arrivals = [Some(1_000), None, Some(9_000_000), Some(9_000_500)];
    let fields = FeedbackFields { base_sequence: 10, ..FeedbackFields::default() };
    let mut out = Vec::new();
    assert_eq!(write_transport_feedback(&mut out, &fields, &arrivals), 2);
    out.clear();
    assert_eq!(write_transport_feedback(&mut out, &fields, &arrivals[2..]), 2);
    let read: Vec<_> = feedback(&out).arrivals().collect();
    assert_eq!(read, [(10, Some(9_000_000)), (11, Some(9_000_500))]);
}

#[test]
fn writes_no_feedback_when_nothing_arrived() {
    let mut out = Vec::new();
    assert_eq!(write_transport_feedback(&mut out, &FeedbackFields::default(), &[None; 40]), 0);
    assert_eq!(write_transport_feedback(&mut out, &FeedbackFields::default(), &[]), 0);
    assert!(out.is_empty());
}

#[test]
fn a_written_nack_packs_seventeen_numbers_into_an_entry() {
    let sequences: Vec<u16> = (0..17).map(|step| 65_530u16.wrapping_add(step)).collect();
    let mut out = Vec::new();
    write_nack(&mut out, 1, 2, &sequences);
    assert_eq!(out, hex("81cd0003 00000001 00000002 fffaffff"));
}

#[test]
fn writers_bound_what_a_header_cannot_count() {
    let mut out = Vec::new();
    write_bye(&mut out, &[1; 40]);
    let RtcpPacket::Goodbye { ssrcs } = only(&out) else { panic!("no BYE") };
    assert_eq!(ssrcs.count(), 31);
    out.clear();
    write_receiver_report(&mut out, 1, &[ReportBlock::default(); 40]);
    let RtcpPacket::ReceiverReport { reports, .. } = only(&out) else { panic!("no RR") };
    assert_eq!(reports.count(), 31);
    out.clear();
    write_sdes_cname(&mut out, 1, &"c".repeat(300));
    let RtcpPacket::SourceDescription { mut chunks } = only(&out) else { panic!("no SDES") };
    assert_eq!(chunks.next().unwrap().1.len(), 255);
}

fn report_block() -> impl Strategy<Value = ReportBlock> {
    (any::<u32>(), any::<u8>(), -0x80_0000i32..0x80_0000, any::<[u32; 4]>()).prop_map(
        |(ssrc, fraction_lost, lost, rest)| ReportBlock {
            ssrc,
            fraction_lost,
            cumulative_lost: lost,
            highest_sequence: rest[0],
            jitter: rest[1],
            last_sender_report: rest[2],
            delay_since_last: rest[3],
        },
    )
}

proptest! {
    #[test]
    fn reports_are_read_as_written(
        ssrc: u32,
        ntp: u64,
        rest: [u32; 3],
        blocks in prop::collection::vec(report_block(), 0..=31),
    ) {
        let info = SenderInfo { ntp, rtp_timestamp: rest[0], packets: rest[1], octets: rest[2] };
        let mut out = Vec::new();
        write_sender_report(&mut out, ssrc, &info, &blocks);
        write_receiver_report(&mut out, ssrc, &blocks);
        let packets: Vec<_> = parse(&out).map(Result::unwrap).collect();
        let RtcpPacket::SenderReport { ssrc: of, info: read, reports } = packets[0] else { panic!("no SR") };
        prop_assert_eq!((of, read), (ssrc, info));
        prop_assert_eq!(reports.collect::<Vec<_>>(), blocks.clone());
        let RtcpPacket::ReceiverReport { ssrc: of, reports } = packets[1] else { panic!("no RR") };
        prop_assert_eq!(of, ssrc);
        prop_assert_eq!(reports.collect::<Vec<_>>(), blocks);
    }

    #[test]
    fn lost_numbers_are_read_as_written(start: u16, gaps in prop::collection::vec(1u16..40, 0..200)) {
        let mut sequences = vec![start];
        for gap in gaps {
            sequences.push(sequences.last().unwrap().wrapping_add(gap));
        }
        let mut out = Vec::new();
        write_nack(&mut out, 3, 4, &sequences);
        let RtcpPacket::Nack { sender: 3, media: 4, sequences: read } = only(&out) else { panic!("no NACK") };
        prop_assert_eq!(read.collect::<Vec<_>>(), sequences);
    }

    #[test]
    fn rates_lose_less_than_the_mantissa_holds(bitrate_bps: u64, ssrcs in prop::collection::vec(any::<u32>(), 0..20)) {
        let mut out = Vec::new();
        write_remb(&mut out, 1, bitrate_bps, &ssrcs);
        let RtcpPacket::Remb { bitrate_bps: read, ssrcs: of, .. } = only(&out) else { panic!("no REMB") };
        prop_assert!(read <= bitrate_bps && bitrate_bps - read <= bitrate_bps >> 17);
        prop_assert_eq!(of.collect::<Vec<_>>(), ssrcs);
    }

    #[test]
    fn names_and_goodbyes_are_read_as_written(ssrc: u32, cname in "[a-z]{0,80}", gone in prop::collection::vec(any::<u32>(), 0..31)) {
        let mut out = Vec::new();
        write_sdes_cname(&mut out, ssrc, &cname);
        write_bye(&mut out, &gone);
        let packets: Vec<_> = parse(&out).map(Result::unwrap).collect();
        let RtcpPacket::SourceDescription { chunks } = packets[0] else { panic!("no SDES") };
        prop_assert_eq!(chunks.collect::<Vec<_>>(), [(ssrc, cname.as_bytes())]);
        let RtcpPacket::Goodbye { ssrcs } = packets[1] else { panic!("no BYE") };
        prop_assert_eq!(ssrcs.collect::<Vec<_>>(), gone);
    }

    /// Losses of any length and order of arrival; times come back in the format's unit of 250 us, without drift.
    #[test]
    fn arrivals_are_read_as_written(
        base_sequence: u16,
        start_us in 0u64..1 << 39,
        steps in prop::collection::vec((0u8..4, 0usize..30, -20_000i64..300_000), 1..200),
    ) {
        let mut arrivals = Vec::new();
        let mut at_us = start_us + 10_000_000;
        for (kind, lost, step_us) in steps {
            let lost = if kind == 0 { lost } else { 0 };
            arrivals.resize(arrivals.len() + lost, None);
            at_us = at_us.checked_add_signed(if kind == 3 { step_us } else { step_us.abs() % 5_000 }).unwrap();
            arrivals.push(Some(at_us));
        }
        let mut rest = arrivals.as_slice();
        let mut first = base_sequence;
        while !rest.is_empty() {
            let fields = FeedbackFields { sender: 1, media: 2, feedback_count: 7, base_sequence: first };
            let mut out = Vec::new();
            let covered = write_transport_feedback(&mut out, &fields, rest);
            prop_assert!(covered > 0 && out.len() <= 1_200 && out.len() % 4 == 0);
            let feedback = feedback(&out);
            let wrap_us = (64_000u64 << 24) as i64;
            let read: Vec<_> = feedback.arrivals().collect();
            prop_assert_eq!(read.len(), covered);
            for (position, (sequence, read_us)) in read.into_iter().enumerate() {
                prop_assert_eq!(sequence, first.wrapping_add(position as u16));
                let expected = rest[position].map(|us| (us / 250 * 250) as i64 % wrap_us);
                prop_assert_eq!(read_us.map(|us| us.rem_euclid(wrap_us)), expected);
            }
            rest = &rest[covered..];
            first = first.wrapping_add(covered as u16);
        }
    }
}
