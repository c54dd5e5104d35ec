//! RTCP: an iterator over compound packets that borrows them, and writers that append to a buffer.
//! RFC 3550 section 6, RFC 4585, RFC 5104 (FIR), RFC 5506 (reduced size), draft-alvestrand-rmcat-remb-03,
//! draft-holmer-rmcat-transport-wide-cc-extensions-01. Encryption and meaning are elsewhere.

mod blocks;
mod transport_feedback;
mod write;

use super::read_u32;

pub use blocks::{FirEntries, NackSequences, ReportBlocks, SdesChunks, Ssrcs};
pub use transport_feedback::{Arrivals, FeedbackFields, TransportFeedback, write_transport_feedback};
pub use write::{
    write_bye, write_fir, write_nack, write_pli, write_receiver_report, write_remb, write_sdes_cname,
    write_sender_report,
};

const HEADER_LEN: usize = 4;
const REPORT_BLOCK_LEN: usize = 24;
const SENDER_INFO_LEN: usize = 20;
/// What the five-bit count field can say.
const MAX_COUNT: usize = 31;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;
const TRANSPORT_SPECIFIC: u8 = 205;
const PAYLOAD_SPECIFIC: u8 = 206;

const FORMAT_NACK: u8 = 1;
const FORMAT_TRANSPORT_FEEDBACK: u8 = 15;
const FORMAT_PLI: u8 = 1;
const FORMAT_FIR: u8 = 4;
const FORMAT_APPLICATION: u8 = 15;
const REMB_NAME: &[u8; 4] = b"REMB";

/// Packet statuses that one compound may hold: the run-length form packs 8191 into two bytes, so that without a
/// bound one datagram could cost milliseconds. Honest feedback covers at most a second.
const MAX_STATUSES: u32 = 8192;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtcpError {
    Truncated,
    Version,
    /// A block's content contradicts its length.
    Malformed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderInfo {
    /// 32.32 fixed point seconds since 1900.
    pub ntp: u64,
    pub rtp_timestamp: u32,
    pub packets: u32,
    pub octets: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    pub ssrc: u32,
    /// Lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// 24-bit signed; written values are clamped to that.
    pub cumulative_lost: i32,
    pub highest_sequence: u32,
    pub jitter: u32,
    /// Middle 32 bits of the NTP time of the last sender report, 0 if none.
    pub last_sender_report: u32,
    /// In 1/65536 s.
    pub delay_since_last: u32,
}

#[derive(Clone, Copy, Debug)]
pub enum RtcpPacket<'a> {
    SenderReport {
        ssrc: u32,
        info: SenderInfo,
        reports: ReportBlocks<'a>,
    },
    ReceiverReport {
        ssrc: u32,
        reports: ReportBlocks<'a>,
    },
    SourceDescription {
        chunks: SdesChunks<'a>,
    },
    Goodbye {
        ssrcs: Ssrcs<'a>,
    },
    Nack {
        sender: u32,
        media: u32,
        sequences: NackSequences<'a>,
    },
    TransportFeedback(TransportFeedback<'a>),
    PictureLoss {
        sender: u32,
        media: u32,
    },
    FullIntraRequest {
        sender: u32,
        entries: FirEntries<'a>,
    },
    Remb {
        sender: u32,
        bitrate_bps: u64,
        ssrcs: Ssrcs<'a>,
    },
    /// Well framed, not understood.
    Other {
        packet_type: u8,
        format: u8,
    },
}

/// The packets of a compound. After an error the iteration ends.
#[must_use]
pub fn parse(compound: &[u8]) -> Compound<'_> {
    Compound { rest: compound, statuses_left: MAX_STATUSES }
}

#[derive(Clone, Debug)]
pub struct Compound<'a> {
    rest: &'a [u8],
    statuses_left: u32,
}

impl<'a> Iterator for Compound<'a> {
    type Item = Result<RtcpPacket<'a>, RtcpError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let packet = self.read_packet();
        if packet.is_err() {
            self.rest = &[];
        }
        Some(packet)
    }
}

impl<'a> Compound<'a> {
    fn read_packet(&mut self) -> Result<RtcpPacket<'a>, RtcpError> {
        let [first, packet_type, high, low, ..] = *self.rest else { return Err(RtcpError::Truncated) };
        if first >> 6 != 2 {
            return Err(RtcpError::Version);
        }
        let len = HEADER_LEN + usize::from(u16::from_be_bytes([high, low])) * 4;
        let (packet, rest) = self.rest.split_at_checked(len).ok_or(RtcpError::Truncated)?;
        self.rest = rest;
        let mut body = packet.get(HEADER_LEN..).unwrap_or_default();
        if first & 0x20 != 0 {
            let padding = usize::from(body.last().copied().unwrap_or(0));
            let kept = body.len().checked_sub(padding).filter(|_| padding > 0).ok_or(RtcpError::Malformed)?;
            body = body.get(..kept).unwrap_or_default();
        }
        let packet = read_body(packet_type, first & 0x1f, body).ok_or(RtcpError::Malformed)?;
        if let RtcpPacket::TransportFeedback(feedback) = &packet {
            let left = self.statuses_left.checked_sub(u32::from(feedback.status_count));
            self.statuses_left = left.ok_or(RtcpError::Malformed)?;
        }
        Ok(packet)
    }
}

fn read_body(packet_type: u8, count: u8, body: &[u8]) -> Option<RtcpPacket<'_>> {
    let reports_len = usize::from(count) * REPORT_BLOCK_LEN;
    Some(match (packet_type, count) {
        (SENDER_REPORT, _) => {
            let info = SenderInfo {
                ntp: super::read_u64(body, 4)?,
                rtp_timestamp: read_u32(body, 12)?,
                packets: read_u32(body, 16)?,
                octets: read_u32(body, 20)?,
            };
            let reports = body.get(4 + SENDER_INFO_LEN..)?.get(..reports_len)?;
            RtcpPacket::SenderReport { ssrc: read_u32(body, 0)?, info, reports: ReportBlocks(reports) }
        }
        (RECEIVER_REPORT, _) => {
            let reports = body.get(4..)?.get(..reports_len)?;
            RtcpPacket::ReceiverReport { ssrc: read_u32(body, 0)?, reports: ReportBlocks(reports) }
        }
        (SOURCE_DESCRIPTION, _) => RtcpPacket::SourceDescription { chunks: SdesChunks::new(body, count) },
        (GOODBYE, _) => RtcpPacket::Goodbye { ssrcs: Ssrcs(body.get(..usize::from(count) * 4)?) },
        (TRANSPORT_SPECIFIC | PAYLOAD_SPECIFIC, format) => read_feedback(packet_type, format, body)?,
        (_, format) => RtcpPacket::Other { packet_type, format },
    })
}

fn read_feedback(packet_type: u8, format: u8, body: &[u8]) -> Option<RtcpPacket<'_>> {
    let (sender, media, control) = (read_u32(body, 0)?, read_u32(body, 4)?, body.get(8..)?);
    Some(match (packet_type, format) {
        (TRANSPORT_SPECIFIC, FORMAT_NACK) => {
            RtcpPacket::Nack { sender, media, sequences: NackSequences::new(control) }
        }
        (TRANSPORT_SPECIFIC, FORMAT_TRANSPORT_FEEDBACK) => {
            RtcpPacket::TransportFeedback(TransportFeedback::read(sender, media, control)?)
        }
        (PAYLOAD_SPECIFIC, FORMAT_PLI) => RtcpPacket::PictureLoss { sender, media },
        (PAYLOAD_SPECIFIC, FORMAT_FIR) => {
            RtcpPacket::FullIntraRequest { sender, entries: FirEntries(control) }
        }
        (PAYLOAD_SPECIFIC, FORMAT_APPLICATION) if control.starts_with(REMB_NAME) => {
            let [count, exponent, high, low] = *control.get(4..)?.first_chunk()?;
            let mantissa = u32::from_be_bytes([0, exponent & 3, high, low]);
            let bitrate_bps = u64::try_from(u128::from(mantissa) << (exponent >> 2)).unwrap_or(u64::MAX);
            let ssrcs = Ssrcs(control.get(8..)?.get(..usize::from(count) * 4)?);
            RtcpPacket::Remb { sender, bitrate_bps, ssrcs }
        }
        (_, format) => RtcpPacket::Other { packet_type, format },
    })
}
