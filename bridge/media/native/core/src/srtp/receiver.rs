//! The receiving direction of one peer.

use crate::api::SrtpProfile;
use crate::wire::rtp::RtpHeader;
use super::SrtpError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unprotected {
    /// Sequence number extended by the roll-over counter.
    pub index: u64,
    /// Length of the plain packet: header and payload (with padding) lie at the start of the buffer.
    pub len: usize,
}

pub struct SrtpReceiver {}

impl SrtpReceiver {
    /// `master`: master key followed by master salt.
    pub fn new(profile: SrtpProfile, master: &[u8]) -> Result<Self, SrtpError> { todo!() }

    /// Authenticates and decrypts in place. On an error the buffer's content is void and no state has changed.
    pub fn unprotect_rtp(&mut self, header: &RtpHeader, packet: &mut [u8]) -> Result<Unprotected, SrtpError> { todo!() }

    /// Authenticates and decrypts in place; returns the length of the plain compound at the start of the buffer.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> { todo!() }
}
