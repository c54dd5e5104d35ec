//! Tells by the first bytes what a datagram is (RFC 7983 section 7, RFC 5761 section 4). Knows no peer.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatagramKind {
    Stun,
    Dtls,
    Rtp,
    Rtcp,
    Unknown,
}

/// Shortest RTP header, and shortest SRTCP packet that could carry anything, are longer than this.
const SHORTEST_RTP_LEN: usize = 12;
const SHORTEST_RTCP_LEN: usize = 8;

#[must_use]
pub fn classify(datagram: &[u8]) -> DatagramKind {
    match datagram {
        [0..=3, ..] => DatagramKind::Stun,
        [20..=63, ..] => DatagramKind::Dtls,
        [128..=191, second, ..] => {
            // RTCP packet types 192 to 223 take the place of RTP payload types 64 to 95 with the marker set.
            if matches!(second & 0x7f, 64..=95) {
                if datagram.len() >= SHORTEST_RTCP_LEN { DatagramKind::Rtcp } else { DatagramKind::Unknown }
            } else if datagram.len() >= SHORTEST_RTP_LEN {
                DatagramKind::Rtp
            } else {
                DatagramKind::Unknown
            }
        }
        _ => DatagramKind::Unknown,
    }
}
