//! Writers of RTCP packets; each appends one whole packet.

use super::blocks::ITEM_CNAME;
use super::{
    FORMAT_APPLICATION, FORMAT_FIR, FORMAT_NACK, FORMAT_PLI, GOODBYE, HEADER_LEN, MAX_COUNT,
    PAYLOAD_SPECIFIC, RECEIVER_REPORT, REMB_NAME, ReportBlock, SENDER_REPORT, SOURCE_DESCRIPTION, SenderInfo,
    TRANSPORT_SPECIFIC,
};

/// How far before the first number of an entry the mask reaches (RFC 4585 section 6.2.1).
const NACK_MASK_BITS: u16 = 16;
/// So that the longest packet fits a datagram; what is left out is asked for the next time.
const MAX_NACK_ENTRIES: usize = 256;
const REMB_MANTISSA_BITS: u32 = 18;

/// Appends a header whose length [`finish`] fills in; returns where it lies.
pub(super) fn start(out: &mut Vec<u8>, packet_type: u8, count: u8) -> usize {
    let at = out.len();
    out.extend_from_slice(&[0x80 | count, packet_type, 0, 0]);
    at
}

/// Ends the packet that starts at `at`; what was written since is a multiple of four bytes.
pub(super) fn finish(out: &mut [u8], at: usize) {
    let words = (out.len() - at - HEADER_LEN) / 4;
    // Every writer bounds what it appends far below 65535 words.
    out[at + 2..at + 4].copy_from_slice(&(words as u16).to_be_bytes());
}

pub(super) fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(super) fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// At most 31 blocks are written.
pub fn write_sender_report(out: &mut Vec<u8>, ssrc: u32, info: &SenderInfo, reports: &[ReportBlock]) {
    let reports = bounded(reports, MAX_COUNT);
    let at = start(out, SENDER_REPORT, reports.len() as u8);
    put_u32(out, ssrc);
    out.extend_from_slice(&info.ntp.to_be_bytes());
    put_u32(out, info.rtp_timestamp);
    put_u32(out, info.packets);
    put_u32(out, info.octets);
    put_reports(out, reports);
    finish(out, at);
}

/// At most 31 blocks are written.
pub fn write_receiver_report(out: &mut Vec<u8>, ssrc: u32, reports: &[ReportBlock]) {
    let reports = bounded(reports, MAX_COUNT);
    let at = start(out, RECEIVER_REPORT, reports.len() as u8);
    put_u32(out, ssrc);
    put_reports(out, reports);
    finish(out, at);
}

fn put_reports(out: &mut Vec<u8>, reports: &[ReportBlock]) {
    for report in reports {
        put_u32(out, report.ssrc);
        let lost = report.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0xff_ffff;
        put_u32(out, u32::from(report.fraction_lost) << 24 | lost);
        put_u32(out, report.highest_sequence);
        put_u32(out, report.jitter);
        put_u32(out, report.last_sender_report);
        put_u32(out, report.delay_since_last);
    }
}

/// One chunk with a CNAME, of which the first 255 bytes count.
pub fn write_sdes_cname(out: &mut Vec<u8>, ssrc: u32, cname: &str) {
    let cname = bounded(cname.as_bytes(), 255);
    let at = start(out, SOURCE_DESCRIPTION, 1);
    put_u32(out, ssrc);
    out.extend_from_slice(&[ITEM_CNAME, cname.len() as u8]);
    out.extend_from_slice(cname);
    // The list ends with at least one zero byte.
    let chunk_len = (out.len() - at + 1).next_multiple_of(4);
    out.resize(at + chunk_len, 0);
    finish(out, at);
}

/// At most 31 sources are written.
pub fn write_bye(out: &mut Vec<u8>, ssrcs: &[u32]) {
    let ssrcs = bounded(ssrcs, MAX_COUNT);
    let at = start(out, GOODBYE, ssrcs.len() as u8);
    for ssrc in ssrcs {
        put_u32(out, *ssrc);
    }
    finish(out, at);
}

/// `sequences` in the order of the stream (it may wrap); at most as many as fit a datagram are written.
pub fn write_nack(out: &mut Vec<u8>, sender: u32, media: u32, sequences: &[u16]) {
    let at = start_feedback(out, TRANSPORT_SPECIFIC, FORMAT_NACK, sender, media);
    let mut rest = sequences;
    let mut entries = 0;
    while let [first, others @ ..] = rest {
        if entries == MAX_NACK_ENTRIES {
            break;
        }
        let mut mask = 0;
        rest = others;
        while let [next, others @ ..] = rest {
            let distance = next.wrapping_sub(*first);
            if distance > NACK_MASK_BITS {
                break;
            }
            if distance > 0 {
                mask |= 1 << (distance - 1);
            }
            rest = others;
        }
        put_u16(out, *first);
        put_u16(out, mask);
        entries += 1;
    }
    finish(out, at);
}

pub fn write_pli(out: &mut Vec<u8>, sender: u32, media: u32) {
    let at = start_feedback(out, PAYLOAD_SPECIFIC, FORMAT_PLI, sender, media);
    finish(out, at);
}

pub fn write_fir(out: &mut Vec<u8>, sender: u32, media: u32, command_sequence: u8) {
    // The header's media source is unused; the entry names it (RFC 5104 section 4.3.1.2).
    let at = start_feedback(out, PAYLOAD_SPECIFIC, FORMAT_FIR, sender, 0);
    put_u32(out, media);
    out.extend_from_slice(&[command_sequence, 0, 0, 0]);
    finish(out, at);
}

/// Rounds the rate down to what 18 bits and an exponent can hold; at most 255 sources are written.
pub fn write_remb(out: &mut Vec<u8>, sender: u32, bitrate_bps: u64, ssrcs: &[u32]) {
    let ssrcs = bounded(ssrcs, 255);
    let at = start_feedback(out, PAYLOAD_SPECIFIC, FORMAT_APPLICATION, sender, 0);
    out.extend_from_slice(REMB_NAME);
    let exponent = (u64::BITS - bitrate_bps.leading_zeros()).saturating_sub(REMB_MANTISSA_BITS);
    let mantissa = (bitrate_bps >> exponent) as u32;
    put_u32(out, (ssrcs.len() as u32) << 24 | exponent << REMB_MANTISSA_BITS | mantissa);
    for ssrc in ssrcs {
        put_u32(out, *ssrc);
    }
    finish(out, at);
}

pub(super) fn start_feedback(
    out: &mut Vec<u8>,
    packet_type: u8,
    format: u8,
    sender: u32,
    media: u32,
) -> usize {
    let at = start(out, packet_type, format);
    put_u32(out, sender);
    put_u32(out, media);
    at
}

fn bounded<T>(items: &[T], most: usize) -> &[T] {
    items.get(..most).unwrap_or(items)
}
