//! Whatever bytes arrive, nothing panics and nothing loops: random ones, and valid ones with a few changes.

use bridge_relay_core::api::SrtpProfile;
use bridge_relay_core::srtp::SrtpReceiver;
use bridge_relay_core::wire::demux::classify;
use bridge_relay_core::wire::rtcp::{
    self, FeedbackFields, RtcpPacket, write_nack, write_remb, write_sdes_cname, write_sender_report,
    write_transport_feedback,
};
use bridge_relay_core::wire::rtp::{HeaderFields, RtpHeader, write_header};
use bridge_relay_core::wire::stun::{self, IntegrityKey, Message};
use proptest::prelude::*;

/// Goes through everything a datagram could be taken for.
fn read_as_everything(datagram: &[u8]) {
    let _ = classify(datagram);
    let key = IntegrityKey::new("password");
    match stun::parse(datagram) {
        Ok(Message::Request(request)) => {
            let _ = request.local_ufrag();
            assert!(request.verify(&key).is_err());
        }
        Ok(Message::Response(response)) => assert!(response.verify(&key).is_err()),
        Ok(Message::Indication) | Err(_) => {}
    }
    if let Ok(header) = RtpHeader::parse(datagram) {
        assert!(header.len <= datagram.len());
        assert!(header.extensions(datagram).count() <= datagram.len());
        if let Ok(payload) = header.payload(datagram) {
            assert!(payload.start <= payload.end && payload.end <= datagram.len());
        }
    }
    let mut packets = 0;
    let mut statuses = 0;
    for packet in rtcp::parse(datagram) {
        packets += 1;
        match packet {
            Ok(RtcpPacket::SenderReport { reports, .. } | RtcpPacket::ReceiverReport { reports, .. }) => {
                assert!(reports.count() <= 31);
            }
            Ok(RtcpPacket::SourceDescription { chunks }) => assert!(chunks.count() <= 31),
            Ok(RtcpPacket::Goodbye { ssrcs } | RtcpPacket::Remb { ssrcs, .. }) => {
                assert!(ssrcs.count() <= 255)
            }
            Ok(RtcpPacket::Nack { sequences, .. }) => assert!(sequences.count() <= datagram.len() * 5),
            Ok(RtcpPacket::FullIntraRequest { entries, .. }) => assert!(entries.count() <= datagram.len()),
            Ok(RtcpPacket::TransportFeedback(feedback)) => {
                let given = feedback.arrivals().count();
                assert_eq!(given, usize::from(feedback.status_count));
                statuses += given;
            }
            Ok(RtcpPacket::PictureLoss { .. } | RtcpPacket::Other { .. }) | Err(_) => {}
        }
    }
    assert!(packets <= datagram.len() / 4 + 1 && statuses <= 8_192);
    for (profile, key_len) in [(SrtpProfile::AeadAes128Gcm, 28), (SrtpProfile::Aes128CmSha1_80, 30)] {
        let mut receiver = SrtpReceiver::new(profile, &vec![1; key_len]).unwrap();
        if let Ok(header) = RtpHeader::parse(datagram) {
            assert!(receiver.unprotect_rtp(&header, &mut datagram.to_vec()).is_err());
        }
        assert!(receiver.unprotect_rtcp(&mut datagram.to_vec()).is_err());
    }
}

fn valid_datagrams() -> Vec<Vec<u8>> {
    let mut check = vec![0; stun::MAX_WRITTEN_LEN];
    let fields = stun::RequestFields {
        transaction_id: [7; 12],
        username: "abcd:efgh",
        priority: 1,
        role: stun::IceRole::Controlling(9),
        use_candidate: true,
    };
    let len = stun::write_request(&mut check, &fields, &IntegrityKey::new("another")).unwrap();
    check.truncate(len);
    let mut packet = vec![0; 64];
    write_header(&mut packet, 9, 96, &HeaderFields::default(), &[(1, b"0"), (3, &[0; 3]), (10, b"hi")])
        .unwrap();
    let mut compound = Vec::new();
    write_sender_report(&mut compound, 1, &rtcp::SenderInfo::default(), &[rtcp::ReportBlock::default(); 2]);
    write_sdes_cname(&mut compound, 1, "cname");
    write_nack(&mut compound, 1, 2, &[1, 5, 900]);
    write_remb(&mut compound, 1, 1_000_000, &[2, 3]);
    let arrivals: Vec<_> = (0..90).map(|i| (i % 7 != 0).then_some(i * 977)).collect();
    write_transport_feedback(&mut compound, &FeedbackFields::default(), &arrivals);
    vec![check, packet, compound]
}

#[test]
fn survives_every_cut_of_a_valid_datagram() {
    for datagram in valid_datagrams() {
        for len in 0..=datagram.len() {
            read_as_everything(&datagram[..len]);
        }
    }
}

proptest! {
    #[test]
    fn survives_random_datagrams(datagram in prop::collection::vec(any::<u8>(), 0..1_500)) {
        read_as_everything(&datagram);
    }

    #[test]
    fn survives_changed_datagrams(
        which in 0usize..3,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut datagram = valid_datagrams().swap_remove(which);
        for (at, byte) in changes {
            *at.get_mut(&mut datagram) = byte;
        }
        read_as_everything(&datagram);
    }
}
