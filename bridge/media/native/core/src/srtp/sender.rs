//! The sending direction of one peer.

use crate::api::SrtpProfile;
use super::SrtpError;

/// Number of an outgoing SSRC within one [`SrtpSender`]. It is worth nothing with another sender (new keys).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamSlot(u32);

pub struct SrtpSender {}

impl SrtpSender {
    /// `master`: master key followed by master salt.
    pub fn new(profile: SrtpProfile, master: &[u8]) -> Result<Self, SrtpError> { todo!() }

    /// Bytes that protection adds to an RTP packet.
    #[must_use]
    pub fn rtp_overhead(&self) -> usize { todo!() }

    /// Bytes that protection adds to an RTCP packet.
    #[must_use]
    pub fn rtcp_overhead(&self) -> usize { todo!() }

    /// The slot of an SSRC, opened at its first use and never forgotten under these keys, so that taking an SSRC
    /// again cannot use an index twice.
    pub fn stream(&mut self, ssrc: u32) -> Result<StreamSlot, SrtpError> { todo!() }

    /// Protects in place. `packet` is header, plain payload and `rtp_overhead()` bytes of room, exactly.
    /// `index` is the 48-bit packet index: the sequence number extended by the roll-over counter; a stream's first
    /// must be below 65536. An index that was used before, or lies further back than the window, is refused.
    pub fn protect_rtp(&mut self, stream: StreamSlot, index: u64, packet: &mut [u8], header_len: usize) -> Result<(), SrtpError> { todo!() }

    /// As `protect_rtp`, with the plain payload elsewhere: it is encrypted from there straight into `packet`, whose
    /// length must be `header_len + payload.len() + rtp_overhead()`.
    pub fn seal_rtp(&mut self, stream: StreamSlot, index: u64, packet: &mut [u8], header_len: usize, payload: &[u8]) -> Result<(), SrtpError> { todo!() }

    /// Writes the protected form of a compound into `out`, which must be `plain.len() + rtcp_overhead()` long.
    pub fn protect_rtcp(&mut self, plain: &[u8], out: &mut [u8]) -> Result<(), SrtpError> { todo!() }
}
