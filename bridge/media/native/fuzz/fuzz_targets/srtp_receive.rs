//! SRTP receiving: random bytes never authenticate; packets really sent, in any order, changed or repeated, are
//! accepted exactly when they are unchanged, new and within the window.
#![no_main]

use std::collections::BTreeSet;

use bridge_relay_core::api::SrtpProfile;
use bridge_relay_core::srtp::{SrtpReceiver, SrtpSender};
use bridge_relay_core::wire::rtp::{HeaderFields, RtpHeader, write_header};
use libfuzzer_sys::fuzz_target;

const SSRC: u32 = 0x0b0b_0b0b;
const WINDOW_LEN: u64 = 960;
/// Distances at which windows and the estimate of the roll-over counter could go wrong.
const EDGES: [i64; 12] = [0, 1, -1, 63, 64, -959, -960, -961, 959, 1_024, 32_767, -32_768];

fuzz_target!(|input: &[u8]| {
    let [which, steps @ ..] = input else { return };
    let (profile, key_len) = [
        (SrtpProfile::AeadAes128Gcm, 28),
        (SrtpProfile::AeadAes256Gcm, 44),
        (SrtpProfile::Aes128CmSha1_80, 30),
    ][usize::from(which % 3)];
    let master = vec![0x5a; key_len];
    let receiver = || SrtpReceiver::new(profile, &master).expect("a valid key");
    receive_random(&mut receiver(), steps);
    receive_sent(&mut receiver(), || SrtpSender::new(profile, &master).expect("a valid key"), steps);
});

fn receive_random(receiver: &mut SrtpReceiver, datagram: &[u8]) {
    let mut packet = datagram.to_vec();
    if let Ok(header) = RtpHeader::parse(&packet) {
        assert!(receiver.unprotect_rtp(&header, &mut packet).is_err(), "nobody guesses a tag");
    }
    assert!(receiver.unprotect_rtcp(&mut datagram.to_vec()).is_err(), "nobody guesses a tag");
}

fn receive_sent(receiver: &mut SrtpReceiver, sender: impl Fn() -> SrtpSender, steps: &[u8]) {
    let mut accepted = BTreeSet::<u64>::new();
    for step in steps.chunks_exact(4).take(64) {
        let [high, low, change, at] = [step[0], step[1], step[2], step[3]];
        let leap = match change >> 4 & 3 {
            0 => i64::from(i16::from_be_bytes([high, low])),
            1 => i64::from(high as i8),
            _ => EDGES[usize::from(high) % EDGES.len()],
        };
        let newest = accepted.last().copied();
        let mut index = newest.unwrap_or(1_000).saturating_add_signed(leap);
        if newest.is_none() {
            index &= 0x7fff;
        }
        let Some(mut packet) = protect(&sender, index) else { continue };
        let changed = change & 7 == 0;
        if changed {
            let at = usize::from(at) % packet.len();
            packet[at] ^= 1 << (low & 7);
        }
        let Ok(header) = RtpHeader::parse(&packet) else { continue };
        let fresh = !accepted.contains(&index) && newest.is_none_or(|newest| index + WINDOW_LEN > newest);
        let opened = receiver.unprotect_rtp(&header, &mut packet);
        assert_eq!(opened.is_ok(), fresh && !changed, "index {index} after {newest:?}: {opened:?}");
        if let Ok(opened) = opened {
            assert_eq!((opened.index, &packet[header.len..opened.len]), (index, &b"payload"[..]));
            accepted.insert(index);
        }
    }
}

/// A packet as its sender would make it; a new sender each time, as it refuses to send an index again.
fn protect(sender: &impl Fn() -> SrtpSender, index: u64) -> Option<Vec<u8>> {
    let mut sender = sender();
    let mut packet = vec![0; 12];
    let stream = sender.stream(SSRC).ok()?;
    let mut send = |index: u64| {
        let fields = HeaderFields { sequence: index as u16, ..HeaderFields::default() };
        packet.resize(12, 0);
        write_header(&mut packet, SSRC, 96, &fields, &[]).expect("a bare header fits");
        packet.extend_from_slice(b"payload");
        packet.resize(packet.len() + sender.rtp_overhead(), 0);
        sender.protect_rtp(stream, index, &mut packet, 12)
    };
    if index > 0xffff {
        // A stream's first index must be below 65536.
        send(0).ok()?;
    }
    send(index).ok()?;
    Some(packet)
}
