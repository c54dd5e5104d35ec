//! RTP headers: reading, the template writer, extensions, and demultiplexing.

use bridge_relay_core::wire::demux::{DatagramKind, classify};
use bridge_relay_core::wire::rtp::{
    HeaderFields, HeaderTemplate, MAX_WRITTEN_HEADER_LEN, RtpError, RtpHeader, abs_send_time, write_header,
};
use proptest::prelude::*;

use crate::hex;

#[test]
fn tells_datagrams_apart_by_their_first_bytes() {
    let table: [(&[u8], usize, DatagramKind); 15] = [
        (&[0], 20, DatagramKind::Stun),
        (&[3], 20, DatagramKind::Stun),
        (&[4], 20, DatagramKind::Unknown),
        (&[19], 20, DatagramKind::Unknown),
        (&[20], 20, DatagramKind::Dtls),
        (&[63], 20, DatagramKind::Dtls),
        (&[64], 20, DatagramKind::Unknown),
        (&[127, 96], 20, DatagramKind::Unknown),
        (&[128, 96], 12, DatagramKind::Rtp),
        (&[128, 96], 11, DatagramKind::Unknown),
        (&[191, 0x80 | 63], 20, DatagramKind::Rtp),
        (&[128, 192], 8, DatagramKind::Rtcp),
        (&[128, 223], 8, DatagramKind::Rtcp),
        (&[128, 200], 7, DatagramKind::Unknown),
        (&[192, 96], 20, DatagramKind::Unknown),
    ];
    for (start, len, expected) in table {
        let mut datagram = start.to_vec();
        datagram.resize(len, 0);
        assert_eq!(classify(&datagram), expected, "{start:?} of {len}");
    }
    assert_eq!(classify(&[]), DatagramKind::Unknown);
    assert_eq!(classify(&[128, 224, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), DatagramKind::Rtp);
}

#[test]
fn reads_sources_extensions_and_padding() {
    let packet =
        hex("b2e00102 03040506 0708090a 11111111 22222222 bede0002 10aa 00 52 010203 00 deadbeef 000003");
    let header = RtpHeader::parse(&packet).unwrap();
    assert_eq!((header.marker, header.payload_type, header.sequence), (true, 0x60, 0x0102));
    assert_eq!((header.timestamp, header.ssrc, header.len), (0x0304_0506, 0x0708_090a, 32));
    let extensions: Vec<_> = header.extensions(&packet).collect();
    assert_eq!(extensions, [(1, &[0xaa][..]), (5, &[1, 2, 3])]);
    assert_eq!(header.payload(&packet), Ok(32..36));
}

#[test]
fn reads_two_byte_extensions_with_empty_and_long_values() {
    let packet =
        hex("90600001 00000000 00000001 10010006 1000 0000 ff12 0102030405060708090a0b0c0d0e0f101112");
    let header = RtpHeader::parse(&packet).unwrap();
    let extensions: Vec<_> = header.extensions(&packet).map(|(id, value)| (id, value.len())).collect();
    assert_eq!(extensions, [(16, 0), (255, 18)]);
}

#[test]
fn passes_over_extension_profiles_it_does_not_know() {
    let packet = hex("90600001 00000000 00000001 abcd0001 10aa0000");
    let header = RtpHeader::parse(&packet).unwrap();
    assert_eq!(header.len, 20);
    assert_eq!(header.extensions(&packet).count(), 0);
}

#[test]
fn ends_the_extensions_where_they_are_malformed_or_stop() {
    let beyond = hex("90600001 00000000 00000001 bede0001 10aa 2f 00");
    assert_eq!(RtpHeader::parse(&beyond).unwrap().extensions(&beyond).count(), 1);
    let stopped = hex("90600001 00000000 00000001 bede0001 f0aa 10bb");
    assert_eq!(RtpHeader::parse(&stopped).unwrap().extensions(&stopped).count(), 0);
}

#[test]
fn refuses_headers_that_do_not_fit() {
    let table = [
        ("", RtpError::Truncated),
        ("80", RtpError::Truncated),
        ("80600001 00000000 000000", RtpError::Truncated),
        ("40600001 00000000 00000001", RtpError::Version),
        ("81600001 00000000 00000001", RtpError::Truncated),
        ("90600001 00000000 00000001", RtpError::Truncated),
        ("90600001 00000000 00000001 bede0001", RtpError::Truncated),
        ("90600001 00000000 00000001 bedeffff 00000000", RtpError::Truncated),
    ];
    for (packet, expected) in table {
        assert_eq!(RtpHeader::parse(&hex(packet)), Err(expected), "{packet}");
    }
}

#[test]
fn refuses_padding_longer_than_the_payload() {
    for (last, expected) in
        [("00", Err(RtpError::Padding)), ("03", Err(RtpError::Padding)), ("02", Ok(12..12))]
    {
        let packet = hex(&format!("a0600001 00000000 00000001 ff{last}"));
        let header = RtpHeader::parse(&packet).unwrap();
        assert_eq!(header.payload(&packet), expected);
    }
    let empty = hex("a0600001 00000000 00000001");
    assert_eq!(RtpHeader::parse(&empty).unwrap().payload(&empty), Err(RtpError::Padding));
}

#[test]
fn template_patches_only_what_differs() {
    let mut template = HeaderTemplate::new(0x0102_0304, 111);
    template.push_abs_send_time(3).unwrap();
    template.push_transport_sequence(5).unwrap();
    template.push_extension(1, b"v0").unwrap();
    let fields = HeaderFields {
        marker: true,
        sequence: 7,
        timestamp: 0xaabb_ccdd,
        abs_send_time: 0xff12_3456,
        transport_sequence: 0xbeef,
    };
    let mut out = [0xee; 64];
    let len = template.write(&mut out, &fields).unwrap();
    assert_eq!(len, template.written_len());
    assert_eq!(out[..len], hex("90ef0007 aabbccdd 01020304 bede0003 32123456 51beef 11 7630 0000"));
    assert_eq!(out[len], 0xee);
}

#[test]
fn template_without_extensions_is_the_bare_header() {
    let mut out = [0; 12];
    let len = HeaderTemplate::new(1, 96).write(&mut out, &HeaderFields::default()).unwrap();
    assert_eq!(out[..len], hex("80600000 00000000 00000001"));
}

#[test]
fn refuses_extensions_that_the_one_byte_form_cannot_hold() {
    let mut template = HeaderTemplate::new(1, 96);
    for (id, value) in [(0, &[1][..]), (15, &[1]), (16, &[1]), (1, &[]), (1, &[0; 17])] {
        assert_eq!(template.push_extension(id, value), Err(RtpError::Extension));
    }
    assert_eq!(template.written_len(), 12);
    for id in 1..=4 {
        template.push_extension(id, &[0; 16]).unwrap();
    }
    assert_eq!(template.push_extension(5, &[0; 16]), Err(RtpError::NoRoom));
    assert_eq!(template.write(&mut [0; 40], &HeaderFields::default()), Err(RtpError::NoRoom));
}

#[test]
fn abs_send_time_wraps_after_64_seconds() {
    let table = [(0, 0), (1_000_000, 1 << 18), (500_000, 1 << 17), (64_000_000, 0), (63_999_999, 0xff_ffff)];
    for (now_us, expected) in table {
        assert_eq!(abs_send_time(now_us), expected, "{now_us}");
    }
    assert!(abs_send_time(u64::MAX) <= 0xff_ffff);
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        ssrc: u32,
        payload_type in 0u8..128,
        marker: bool,
        sequence: u16,
        timestamp: u32,
        extensions in prop::collection::vec((1u8..15, prop::collection::vec(any::<u8>(), 1..=16)), 0..4),
        payload in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let fields = HeaderFields { marker, sequence, timestamp, ..HeaderFields::default() };
        let extensions: Vec<(u8, &[u8])> = extensions.iter().map(|(id, value)| (*id, value.as_slice())).collect();
        let mut packet = vec![0xaa; MAX_WRITTEN_HEADER_LEN];
        let len = write_header(&mut packet, ssrc, payload_type, &fields, &extensions).unwrap();
        prop_assert_eq!(len, HeaderTemplate::new(ssrc, payload_type).written_len_with(&extensions));
        packet.truncate(len);
        packet.extend_from_slice(&payload);
        let header = RtpHeader::parse(&packet).unwrap();
        prop_assert_eq!(
            (header.ssrc, header.payload_type, header.marker, header.sequence, header.timestamp, header.len),
            (ssrc, payload_type, marker, sequence, timestamp, len)
        );
        prop_assert_eq!(header.extensions(&packet).collect::<Vec<_>>(), extensions);
        prop_assert_eq!(&packet[header.payload(&packet).unwrap()], payload.as_slice());
    }
}
