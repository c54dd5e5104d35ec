//! The sending direction of one peer: protects RTP and RTCP, and refuses to use a packet index twice, which under
//! AES-GCM would give the authentication key away.

use super::SrtpError;
use super::crypto::{Ciphers, RTCP_CLEAR_LEN, RTCP_INDEX_LEN, rtcp_clear_part, rtcp_index_word, split_tag};
use super::replay::ReplayWindow;
use crate::api::SrtpProfile;
use crate::wire::rtp::FIXED_HEADER_LEN;

/// SSRCs that one key may serve; each costs about 150 bytes for as long as the key lives.
const MAX_STREAMS: usize = 4096;
const MAX_RTCP_INDEX: u32 = 0x7fff_ffff;

/// Number of an outgoing SSRC within one [`SrtpSender`]. It is worth nothing with another sender (new keys).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamSlot(u32);

struct Stream {
    ssrc: u32,
    /// `None` until the first packet.
    used: Option<ReplayWindow>,
}

pub struct SrtpSender {
    ciphers: Ciphers,
    streams: Vec<Stream>,
    /// One counter for all SSRCs: it only has to be new for each of them (RFC 3711 section 3.2.1).
    next_rtcp_index: u32,
}

impl SrtpSender {
    /// `master`: master key followed by master salt.
    pub fn new(profile: SrtpProfile, master: &[u8]) -> Result<Self, SrtpError> {
        Ok(Self { ciphers: Ciphers::new(profile, master)?, streams: Vec::new(), next_rtcp_index: 1 })
    }

    /// Bytes that protection adds to an RTP packet.
    #[must_use]
    pub fn rtp_overhead(&self) -> usize {
        self.ciphers.tag_len()
    }

    /// Bytes that protection adds to an RTCP packet.
    #[must_use]
    pub fn rtcp_overhead(&self) -> usize {
        self.ciphers.tag_len() + RTCP_INDEX_LEN
    }

    /// The slot of an SSRC, opened at its first use and never forgotten under these keys, so that taking an SSRC
    /// again cannot use an index twice.
    pub fn stream(&mut self, ssrc: u32) -> Result<StreamSlot, SrtpError> {
        let known = self.streams.iter().position(|stream| stream.ssrc == ssrc);
        let slot = match known {
            Some(slot) => slot,
            None if self.streams.len() < MAX_STREAMS => {
                self.streams.push(Stream { ssrc, used: None });
                self.streams.len() - 1
            }
            None => return Err(SrtpError::TooManyStreams),
        };
        Ok(StreamSlot(slot as u32))
    }

    /// Protects in place. `packet` is header, plain payload and `rtp_overhead()` bytes of room, exactly.
    ///
    /// `index` is the 48-bit packet index: the sequence number extended by the roll-over counter; a stream's first
    /// must be below 65536 (receivers assume a counter of zero), better below 32768. An index that was used before, or
    /// lies further back than the window of 960, is refused.
    pub fn protect_rtp(
        &mut self,
        stream: StreamSlot,
        index: u64,
        packet: &mut [u8],
        header_len: usize,
    ) -> Result<(), SrtpError> {
        let ssrc = self.take_index(stream, index, packet)?;
        let (header, data) = packet.split_at_mut_checked(header_len).ok_or(SrtpError::Mismatch)?;
        match &self.ciphers {
            Ciphers::Gcm { rtp, .. } => rtp.seal(ssrc, index, header, data),
            Ciphers::CounterMode(ciphers) => {
                let (plain, _) = split_tag(data, self.ciphers.tag_len())?;
                ciphers.rtp.apply(ssrc, index, plain)?;
                let (message, place) = split_tag(packet, self.ciphers.tag_len())?;
                place.copy_from_slice(&ciphers.rtp.tag(message, &roll_over_counter(index)));
                Ok(())
            }
        }
    }

    /// As `protect_rtp`, with the plain payload elsewhere: it is encrypted from there straight into `packet`, whose
    /// length must be `header_len + payload.len() + rtp_overhead()`.
    pub fn seal_rtp(
        &mut self,
        stream: StreamSlot,
        index: u64,
        packet: &mut [u8],
        header_len: usize,
        payload: &[u8],
    ) -> Result<(), SrtpError> {
        if packet.len() != header_len + payload.len() + self.ciphers.tag_len() {
            return Err(SrtpError::Mismatch);
        }
        if let Ciphers::Gcm { .. } = &self.ciphers {
            let ssrc = self.take_index(stream, index, packet)?;
            let Ciphers::Gcm { rtp, .. } = &self.ciphers else { return Err(SrtpError::Mismatch) };
            let (header, data) = packet.split_at_mut_checked(header_len).ok_or(SrtpError::Mismatch)?;
            return rtp.seal_from(ssrc, index, header, payload, data);
        }
        let place = packet.get_mut(header_len..header_len + payload.len()).ok_or(SrtpError::Mismatch)?;
        place.copy_from_slice(payload);
        self.protect_rtp(stream, index, packet, header_len)
    }

    /// Writes the protected form of a compound into `out`, which must be `plain.len() + rtcp_overhead()` long.
    pub fn protect_rtcp(&mut self, plain: &[u8], out: &mut [u8]) -> Result<(), SrtpError> {
        if plain.len() < RTCP_CLEAR_LEN || out.len() != plain.len() + self.rtcp_overhead() {
            return Err(SrtpError::Mismatch);
        }
        let index = self.next_rtcp_index;
        if index > MAX_RTCP_INDEX {
            return Err(SrtpError::Exhausted);
        }
        self.next_rtcp_index += 1;
        let ssrc = u32::from_be_bytes([plain[4], plain[5], plain[6], plain[7]]);
        let word = rtcp_index_word(index);
        out[..plain.len()].copy_from_slice(plain);
        match &self.ciphers {
            Ciphers::Gcm { rtcp, .. } => {
                let clear = rtcp_clear_part(plain, word)?;
                let (data, place) = split_tag(out, RTCP_INDEX_LEN)?;
                place.copy_from_slice(&word);
                rtcp.seal(ssrc, u64::from(index), &clear, &mut data[RTCP_CLEAR_LEN..])
            }
            Ciphers::CounterMode(ciphers) => {
                ciphers.rtcp.apply(ssrc, u64::from(index), &mut out[RTCP_CLEAR_LEN..plain.len()])?;
                let (message, place) = split_tag(out, self.ciphers.tag_len())?;
                message[plain.len()..].copy_from_slice(&word);
                place.copy_from_slice(&ciphers.rtcp.tag(message, &[]));
                Ok(())
            }
        }
    }

    /// Marks an index as used, after checking that it and the stream are those of the packet's header; returns the
    /// SSRC. It stays used if what follows fails, which costs a number and is safe.
    #[inline]
    fn take_index(&mut self, slot: StreamSlot, index: u64, packet: &[u8]) -> Result<u32, SrtpError> {
        let header = packet.first_chunk::<FIXED_HEADER_LEN>().ok_or(SrtpError::Mismatch)?;
        let stream = self.streams.get_mut(slot.0 as usize).ok_or(SrtpError::Mismatch)?;
        if header[2..4] != (index as u16).to_be_bytes() || header[8..12] != stream.ssrc.to_be_bytes() {
            return Err(SrtpError::Mismatch);
        }
        match &mut stream.used {
            Some(used) => {
                used.check(index)?;
                used.insert(index);
            }
            None if index <= u64::from(u16::MAX) => stream.used = Some(ReplayWindow::new(index)),
            None => return Err(SrtpError::Mismatch),
        }
        Ok(stream.ssrc)
    }
}

/// The upper 32 bits of a 48-bit index.
#[inline]
pub(super) fn roll_over_counter(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}
