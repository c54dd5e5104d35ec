//! SRTP through its public calls: agreement with libsrtp, round trips, replays, limits.

use bridge_relay_core::api::SrtpProfile;
use bridge_relay_core::srtp::{SrtpError, SrtpReceiver, SrtpSender};
use bridge_relay_core::wire::rtp::{HeaderFields, RtpHeader, write_header};
use proptest::prelude::*;

use crate::{hex, vectors};

const PROFILES: [(SrtpProfile, &str, usize); 3] = [
    (SrtpProfile::AeadAes128Gcm, "SRTP_AEAD_AES_128_GCM", 28),
    (SrtpProfile::AeadAes256Gcm, "SRTP_AEAD_AES_256_GCM", 44),
    (SrtpProfile::Aes128CmSha1_80, "SRTP_AES128_CM_SHA1_80", 30),
];
const SSRC: u32 = 77;

fn pair(profile: SrtpProfile, key_len: usize) -> (SrtpSender, SrtpReceiver) {
    let master: Vec<u8> = (0..key_len as u8).collect();
    (SrtpSender::new(profile, &master).unwrap(), SrtpReceiver::new(profile, &master).unwrap())
}

fn plain_packet(ssrc: u32, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 12];
    let fields = HeaderFields { sequence, timestamp: 90_000, ..HeaderFields::default() };
    write_header(&mut packet, ssrc, 96, &fields, &[]).unwrap();
    packet.extend_from_slice(payload);
    packet
}

fn protect(sender: &mut SrtpSender, ssrc: u32, index: u64) -> Result<Vec<u8>, SrtpError> {
    let mut packet = plain_packet(ssrc, index as u16, b"frame");
    packet.resize(packet.len() + sender.rtp_overhead(), 0);
    let stream = sender.stream(ssrc)?;
    sender.protect_rtp(stream, index, &mut packet, 12)?;
    Ok(packet)
}

fn unprotect(receiver: &mut SrtpReceiver, packet: &[u8]) -> Result<u64, SrtpError> {
    let mut packet = packet.to_vec();
    let header = RtpHeader::parse(&packet).unwrap();
    let plain = receiver.unprotect_rtp(&header, &mut packet)?;
    assert_eq!(&packet[header.len..plain.len], b"frame");
    Ok(plain.index)
}

#[test]
fn agrees_with_libsrtp_byte_for_byte() {
    for case in vectors("srtp_libsrtp").as_array().unwrap() {
        let (profile, ..) = PROFILES.iter().find(|(_, name, _)| case["profile"] == *name).unwrap();
        let master = hex(case["master"].as_str().unwrap());
        let mut sender = SrtpSender::new(*profile, &master).unwrap();
        let mut receiver = SrtpReceiver::new(*profile, &master).unwrap();
        let mut newest = 0;
        for packet in case["rtp"].as_array().unwrap() {
            let (plain, protected) =
                (hex(packet["plain"].as_str().unwrap()), hex(packet["protected"].as_str().unwrap()));
            let header = RtpHeader::parse(&plain).unwrap();
            let index =
                if u64::from(header.sequence) < newest { 0x1_0000 } else { 0 } + u64::from(header.sequence);
            newest = index;
            let stream = sender.stream(header.ssrc).unwrap();
            let mut ours = plain.clone();
            ours.resize(plain.len() + sender.rtp_overhead(), 0);
            sender.protect_rtp(stream, index, &mut ours, header.len).unwrap();
            assert_eq!(ours, protected);
            let mut theirs = protected;
            let opened = receiver.unprotect_rtp(&header, &mut theirs).unwrap();
            assert_eq!((opened.index, &theirs[..opened.len]), (index, plain.as_slice()));
        }
        for packet in case["rtcp"].as_array().unwrap() {
            let (plain, protected) =
                (hex(packet["plain"].as_str().unwrap()), hex(packet["protected"].as_str().unwrap()));
            let mut ours = vec![0; plain.len() + sender.rtcp_overhead()];
            sender.protect_rtcp(&plain, &mut ours).unwrap();
            assert_eq!(ours, protected);
            let mut theirs = protected;
            let len = receiver.unprotect_rtcp(&mut theirs).unwrap();
            assert_eq!(&theirs[..len], plain);
        }
    }
}

#[test]
fn sealing_from_elsewhere_gives_the_same_packet() {
    for (profile, _, key_len) in PROFILES {
        let (mut in_place, _) = pair(profile, key_len);
        let (mut apart, _) = pair(profile, key_len);
        let payload: Vec<u8> = (0..=255).collect();
        let plain = plain_packet(SSRC, 5, &payload);
        let mut expected = plain.clone();
        expected.resize(plain.len() + in_place.rtp_overhead(), 0);
        let stream = in_place.stream(SSRC).unwrap();
        in_place.protect_rtp(stream, 5, &mut expected, 12).unwrap();
        let mut packet = plain[..12].to_vec();
        packet.resize(expected.len(), 0xaa);
        let stream = apart.stream(SSRC).unwrap();
        apart.seal_rtp(stream, 5, &mut packet, 12, &payload).unwrap();
        assert_eq!(packet, expected);
    }
}

#[test]
fn refuses_replays_and_accepts_late_packets_once() {
    for (profile, _, key_len) in PROFILES {
        let (mut sender, mut receiver) = pair(profile, key_len);
        let packets: Vec<_> = (100..1_200).map(|index| protect(&mut sender, SSRC, index).unwrap()).collect();
        assert_eq!(unprotect(&mut receiver, &packets[0]), Ok(100));
        assert_eq!(unprotect(&mut receiver, &packets[2]), Ok(102));
        assert_eq!(unprotect(&mut receiver, &packets[2]), Err(SrtpError::Replayed));
        assert_eq!(unprotect(&mut receiver, &packets[1]), Ok(101));
        assert_eq!(unprotect(&mut receiver, &packets[1]), Err(SrtpError::Replayed));
        assert_eq!(unprotect(&mut receiver, &packets[1_099]), Ok(1_199));
        assert_eq!(unprotect(&mut receiver, &packets[3]), Err(SrtpError::TooOld));
        assert_eq!(unprotect(&mut receiver, &packets[1_099 - 128]), Ok(1_199 - 128));
    }
}

#[test]
fn follows_the_sequence_number_around_with_losses_and_reordering() {
    for (profile, _, key_len) in PROFILES {
        let (mut sender, mut receiver) = pair(profile, key_len);
        let order = [
            65_000, 65_535, 65_537, 65_534, 65_536, 98_000, 130_000, 131_071, 131_073, 131_072, 160_000,
            190_000, 196_608,
        ];
        for index in order {
            let packet = protect(&mut sender, SSRC, index).unwrap();
            assert_eq!(unprotect(&mut receiver, &packet), Ok(index));
        }
    }
}

#[test]
fn a_forgery_changes_nothing() {
    for (profile, _, key_len) in PROFILES {
        let (mut sender, mut receiver) = pair(profile, key_len);
        let first = protect(&mut sender, SSRC, 1).unwrap();
        let second = protect(&mut sender, SSRC, 2).unwrap();
        for at in 0..first.len() {
            let mut forged = first.clone();
            forged[at] ^= 1;
            if let Ok(header) = RtpHeader::parse(&forged) {
                assert!(receiver.unprotect_rtp(&header, &mut forged).is_err(), "byte {at}");
            }
        }
        // A forged far-ahead number must not have moved the window or the roll-over counter.
        let mut ahead = second.clone();
        ahead[2] = 0x7f;
        let header = RtpHeader::parse(&ahead).unwrap();
        assert_eq!(receiver.unprotect_rtp(&header, &mut ahead), Err(SrtpError::Unauthenticated));
        assert_eq!(unprotect(&mut receiver, &second), Ok(2));
        assert_eq!(unprotect(&mut receiver, &first), Ok(1));
    }
}

#[test]
fn never_uses_an_index_twice() {
    for (profile, _, key_len) in PROFILES {
        let (mut sender, _) = pair(profile, key_len);
        protect(&mut sender, SSRC, 10).unwrap();
        assert_eq!(protect(&mut sender, SSRC, 10), Err(SrtpError::Replayed));
        protect(&mut sender, SSRC, 9).unwrap();
        assert_eq!(protect(&mut sender, SSRC, 9), Err(SrtpError::Replayed));
        protect(&mut sender, SSRC, 2_000).unwrap();
        assert_eq!(protect(&mut sender, SSRC, 11), Err(SrtpError::TooOld));
        // Another SSRC has numbers of its own.
        protect(&mut sender, SSRC + 1, 10).unwrap();
    }
}

#[test]
fn refuses_to_protect_what_the_index_does_not_fit() {
    let (mut sender, _) = pair(SrtpProfile::AeadAes128Gcm, 28);
    let stream = sender.stream(SSRC).unwrap();
    let other = sender.stream(SSRC + 1).unwrap();
    let mut packet = plain_packet(SSRC, 7, &[0; 21]);
    assert_eq!(sender.protect_rtp(stream, 8, &mut packet, 12), Err(SrtpError::Mismatch));
    assert_eq!(sender.protect_rtp(other, 7, &mut packet, 12), Err(SrtpError::Mismatch));
    assert_eq!(sender.protect_rtp(stream, 0x1_0007, &mut packet, 12), Err(SrtpError::Mismatch));
    assert_eq!(sender.seal_rtp(stream, 7, &mut packet, 12, &[0; 20]), Err(SrtpError::Mismatch));
    assert_eq!(sender.protect_rtp(stream, 7, &mut packet, 12), Ok(()));
    assert_eq!(protect(&mut sender, SSRC, 1 << 48 | 8), Err(SrtpError::Exhausted));
    let mut short = [0; 11];
    assert_eq!(sender.protect_rtp(stream, 0, &mut short, 12), Err(SrtpError::Mismatch));
    assert_eq!(sender.protect_rtcp(&[0; 8], &mut [0; 27]), Err(SrtpError::Mismatch));
    assert_eq!(sender.protect_rtcp(&[0; 7], &mut [0; 27]), Err(SrtpError::Mismatch));
}

#[test]
fn refuses_replayed_forged_and_unencrypted_control() {
    for (profile, _, key_len) in PROFILES {
        let (mut sender, mut receiver) = pair(profile, key_len);
        let plain = hex("80c90001 00000007 81ce0002 00000007 00000009");
        let mut protected = vec![0; plain.len() + sender.rtcp_overhead()];
        sender.protect_rtcp(&plain, &mut protected).unwrap();
        for at in 0..protected.len() {
            let mut forged = protected.clone();
            forged[at] ^= 0x80;
            assert!(receiver.unprotect_rtcp(&mut forged).is_err(), "byte {at}");
        }
        assert_eq!(receiver.unprotect_rtcp(&mut protected.clone()), Ok(plain.len()));
        assert_eq!(receiver.unprotect_rtcp(&mut protected.clone()), Err(SrtpError::Replayed));
    }
}

#[test]
fn bounds_the_streams_of_one_peer() {
    let (mut sender, mut receiver) = pair(SrtpProfile::AeadAes128Gcm, 28);
    for ssrc in 0..128 {
        let packet = protect(&mut sender, ssrc, 1).unwrap();
        assert_eq!(unprotect(&mut receiver, &packet), Ok(1));
    }
    let packet = protect(&mut sender, 128, 1).unwrap();
    assert_eq!(unprotect(&mut receiver, &packet), Err(SrtpError::TooManyStreams));
    let packet = protect(&mut sender, 5, 2).unwrap();
    assert_eq!(unprotect(&mut receiver, &packet), Ok(2));
    for ssrc in 128..4_096 {
        sender.stream(ssrc).unwrap();
    }
    assert_eq!(sender.stream(4_096), Err(SrtpError::TooManyStreams));
}

#[test]
fn refuses_keys_of_another_length() {
    for (profile, _, key_len) in PROFILES {
        for len in [0, key_len - 1, key_len + 1] {
            assert_eq!(SrtpSender::new(profile, &vec![0; len]).err(), Some(SrtpError::KeyLength));
            assert_eq!(SrtpReceiver::new(profile, &vec![0; len]).err(), Some(SrtpError::KeyLength));
        }
    }
}

#[test]
fn refuses_packets_too_short_for_their_tag() {
    for (profile, _, key_len) in PROFILES {
        let (sender, mut receiver) = pair(profile, key_len);
        for len in 12..12 + sender.rtp_overhead() {
            let mut packet = plain_packet(SSRC, 1, &vec![0; len - 12]);
            let header = RtpHeader::parse(&packet).unwrap();
            assert_eq!(receiver.unprotect_rtp(&header, &mut packet), Err(SrtpError::Malformed));
        }
        for len in 0..8 + sender.rtcp_overhead() {
            assert_eq!(receiver.unprotect_rtcp(&mut vec![0xff; len]), Err(SrtpError::Malformed));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_protected_is_opened(
        which in 0usize..3,
        sequence in 0u16..32_768,
        extension in prop::collection::vec(any::<u8>(), 1..=16),
        payload in prop::collection::vec(any::<u8>(), 0..1_200),
    ) {
        let (profile, _, key_len) = PROFILES[which];
        let (mut sender, mut receiver) = pair(profile, key_len);
        let mut packet = vec![0; 40];
        let fields = HeaderFields { sequence, ..HeaderFields::default() };
        let header_len = write_header(&mut packet, SSRC, 96, &fields, &[(4, &extension)]).unwrap();
        packet.truncate(header_len);
        packet.extend_from_slice(&payload);
        let plain = packet.clone();
        packet.resize(plain.len() + sender.rtp_overhead(), 0);
        let stream = sender.stream(SSRC).unwrap();
        sender.protect_rtp(stream, u64::from(sequence), &mut packet, header_len).unwrap();
        let header = RtpHeader::parse(&packet).unwrap();
        let opened = receiver.unprotect_rtp(&header, &mut packet).unwrap();
        prop_assert_eq!(opened.index, u64::from(sequence));
        prop_assert_eq!(&packet[..opened.len], plain.as_slice());
    }
}
