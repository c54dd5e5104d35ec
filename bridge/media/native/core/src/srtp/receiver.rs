//! The receiving direction of one peer: authenticates, decrypts, and refuses what was seen before. State for an SSRC
//! is made only by a packet that authenticated, and for a bounded number of them.

use super::SrtpError;
use super::crypto::{
    Ciphers, RTCP_CLEAR_LEN, RTCP_INDEX_LEN, read_rtcp_index, rtcp_clear_part, rtcp_index_word, split_tag,
};
use super::replay::ReplayWindow;
use super::sender::roll_over_counter;
use crate::api::SrtpProfile;
use crate::wire::rtp::RtpHeader;

/// SSRCs of one peer under one key, for RTP and for RTCP each. None is given up for another: that would open the
/// door to replays of the one given up.
const MAX_STREAMS: usize = 128;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unprotected {
    /// Sequence number extended by the roll-over counter.
    pub index: u64,
    /// Length of the plain packet: header and payload (with padding) lie at the start of the buffer.
    pub len: usize,
}

pub struct SrtpReceiver {
    ciphers: Ciphers,
    rtp: Streams,
    rtcp: Streams,
}

impl SrtpReceiver {
    /// `master`: master key followed by master salt.
    pub fn new(profile: SrtpProfile, master: &[u8]) -> Result<Self, SrtpError> {
        Ok(Self {
            ciphers: Ciphers::new(profile, master)?,
            rtp: Streams::default(),
            rtcp: Streams::default(),
        })
    }

    /// Authenticates and decrypts in place the packet that `header` was parsed from. On an error the buffer's content
    /// is void and no state has changed.
    pub fn unprotect_rtp(&mut self, header: &RtpHeader, packet: &mut [u8]) -> Result<Unprotected, SrtpError> {
        let tag_len = self.ciphers.tag_len();
        let len =
            packet.len().checked_sub(tag_len).filter(|len| *len >= header.len).ok_or(SrtpError::Malformed)?;
        let place = self.rtp.find(header.ssrc);
        let index = self.rtp.estimate(place, header.sequence)?;
        self.rtp.check(place, index)?;
        match &self.ciphers {
            Ciphers::Gcm { rtp, .. } => {
                let (clear, data) = packet.split_at_mut(header.len);
                rtp.open(header.ssrc, index, clear, data)?;
            }
            Ciphers::CounterMode(ciphers) => {
                let (message, tag) = split_tag(packet, tag_len)?;
                ciphers.rtp.verify(message, &roll_over_counter(index), tag)?;
                ciphers.rtp.apply(header.ssrc, index, &mut message[header.len..])?;
            }
        }
        self.rtp.insert(place, header.ssrc, index)?;
        Ok(Unprotected { index, len })
    }

    /// Authenticates and decrypts in place; returns the length of the plain compound at the start of the buffer. On an
    /// error the buffer's content is void and no state has changed.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let tag_len = self.ciphers.tag_len();
        let len = packet.len().checked_sub(tag_len + RTCP_INDEX_LEN).filter(|len| *len >= RTCP_CLEAR_LEN);
        let len = len.ok_or(SrtpError::Malformed)?;
        let ssrc = u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
        let word_at = match &self.ciphers {
            Ciphers::Gcm { .. } => len + tag_len,
            Ciphers::CounterMode(_) => len,
        };
        let word = packet.get(word_at..).and_then(|rest| rest.first_chunk()).ok_or(SrtpError::Malformed)?;
        let index = read_rtcp_index(*word).ok_or(SrtpError::Malformed)?;
        let place = self.rtcp.find(ssrc);
        self.rtcp.check(place, u64::from(index))?;
        match &self.ciphers {
            Ciphers::Gcm { rtcp, .. } => {
                let clear = rtcp_clear_part(packet, rtcp_index_word(index))?;
                rtcp.open(ssrc, u64::from(index), &clear, &mut packet[RTCP_CLEAR_LEN..word_at])?;
            }
            Ciphers::CounterMode(ciphers) => {
                let (message, tag) = split_tag(packet, tag_len)?;
                ciphers.rtcp.verify(message, &[], tag)?;
                ciphers.rtcp.apply(ssrc, u64::from(index), &mut message[RTCP_CLEAR_LEN..len])?;
            }
        }
        self.rtcp.insert(place, ssrc, u64::from(index))?;
        Ok(len)
    }
}

/// Replay windows by SSRC. A peer has few, so that a scan of a dense list beats hashing.
#[derive(Default)]
struct Streams {
    ssrcs: Vec<u32>,
    windows: Vec<ReplayWindow>,
}

impl Streams {
    #[inline]
    fn find(&self, ssrc: u32) -> Option<usize> {
        self.ssrcs.iter().position(|known| *known == ssrc)
    }

    /// A stream not heard before is taken to start with a roll-over counter of zero.
    #[inline]
    fn estimate(&self, place: Option<usize>, sequence: u16) -> Result<u64, SrtpError> {
        match place {
            Some(place) => self.windows[place].estimate(sequence),
            None => Ok(u64::from(sequence)),
        }
    }

    #[inline]
    fn check(&self, place: Option<usize>, index: u64) -> Result<(), SrtpError> {
        match place {
            Some(place) => self.windows[place].check(index),
            None => Ok(()),
        }
    }

    #[inline]
    fn insert(&mut self, place: Option<usize>, ssrc: u32, index: u64) -> Result<(), SrtpError> {
        match place {
            Some(place) => self.windows[place].insert(index),
            None if self.ssrcs.len() < MAX_STREAMS => {
                self.ssrcs.push(ssrc);
                self.windows.push(ReplayWindow::new(index));
            }
            None => return Err(SrtpError::TooManyStreams),
        }
        Ok(())
    }
}
