//! RTP headers (RFC 3550 section 5.1) with header extensions (RFC 8285): a view that only holds offsets, and a
//! writer that builds the small header each subscriber gets. Payloads are opaque here.

use std::ops::Range;

use super::{read_u16, read_u32};

pub const FIXED_HEADER_LEN: usize = 12;
/// The longest header this module writes.
pub const MAX_WRITTEN_HEADER_LEN: usize = 96;

const EXTENSION_BLOCK_HEADER_LEN: usize = 4;
const ONE_BYTE_PROFILE: u16 = 0xbede;
/// The low four bits are for applications (RFC 8285 section 4.3).
const TWO_BYTE_PROFILE: u16 = 0x1000;
const EXTENSION_BIT: u8 = 0x10;
/// Stops the reading of one-byte extensions (RFC 8285 section 4.2).
const STOP_ID: u8 = 15;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtpError {
    Truncated,
    Version,
    Padding,
    /// The output buffer or the template has no room.
    NoRoom,
    /// An extension's id is not 1 to 14 or its value not 1 to 16 bytes (RFC 8285 section 4.2).
    Extension,
}

/// A parsed header. It borrows nothing, so that the packet may be decrypted in place after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpHeader {
    pub marker: bool,
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    /// Header bytes in all: fixed part, contributing sources, extension block. The payload starts here.
    pub len: usize,
    pub has_padding: bool,
    extensions_at: usize,
    extensions_len: usize,
    two_byte: bool,
}

impl RtpHeader {
    pub fn parse(packet: &[u8]) -> Result<Self, RtpError> {
        let [first, second, ..] = *packet else { return Err(RtpError::Truncated) };
        if first >> 6 != 2 {
            return Err(RtpError::Version);
        }
        let truncated = RtpError::Truncated;
        let sequence = read_u16(packet, 2).ok_or(truncated)?;
        let timestamp = read_u32(packet, 4).ok_or(truncated)?;
        let ssrc = read_u32(packet, 8).ok_or(truncated)?;
        let mut len = FIXED_HEADER_LEN + usize::from(first & 0x0f) * 4;
        let (mut extensions_at, mut extensions_len, mut two_byte) = (0, 0, false);
        if first & EXTENSION_BIT != 0 {
            let profile = read_u16(packet, len).ok_or(truncated)?;
            let block_len = usize::from(read_u16(packet, len + 2).ok_or(truncated)?) * 4;
            len += EXTENSION_BLOCK_HEADER_LEN;
            two_byte = profile & 0xfff0 == TWO_BYTE_PROFILE;
            if two_byte || profile == ONE_BYTE_PROFILE {
                (extensions_at, extensions_len) = (len, block_len);
            }
            len += block_len;
        }
        if len > packet.len() {
            return Err(truncated);
        }
        Ok(Self {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7f,
            sequence,
            timestamp,
            ssrc,
            len,
            has_padding: first & 0x20 != 0,
            extensions_at,
            extensions_len,
            two_byte,
        })
    }

    /// The header extensions of the packet this header was parsed from; malformed ones end the iteration.
    #[must_use]
    pub fn extensions<'a>(&self, packet: &'a [u8]) -> Extensions<'a> {
        let range = self.extensions_at..self.extensions_at + self.extensions_len;
        Extensions { rest: packet.get(range).unwrap_or_default(), two_byte: self.two_byte }
    }

    /// Where the payload lies in a decrypted packet of `packet.len()` bytes, padding left out.
    pub fn payload(&self, packet: &[u8]) -> Result<Range<usize>, RtpError> {
        if packet.len() < self.len {
            return Err(RtpError::Truncated);
        }
        let mut end = packet.len();
        if self.has_padding {
            let padding = usize::from(packet.last().copied().unwrap_or(0));
            if padding == 0 || padding > end - self.len {
                return Err(RtpError::Padding);
            }
            end -= padding;
        }
        Ok(self.len..end)
    }
}

/// Iterates `(id, value)`.
#[derive(Clone, Debug)]
pub struct Extensions<'a> {
    rest: &'a [u8],
    two_byte: bool,
}

impl<'a> Iterator for Extensions<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        // Zero bytes pad both forms.
        while let [0, rest @ ..] = self.rest {
            self.rest = rest;
        }
        let (id, len, body) = match (self.two_byte, self.rest) {
            (true, [id, len, body @ ..]) => (*id, usize::from(*len), body),
            (false, [head, body @ ..]) if head >> 4 != STOP_ID => {
                (head >> 4, usize::from(head & 0x0f) + 1, body)
            }
            _ => (0, 0, &[][..]),
        };
        let Some((value, rest)) = body.split_at_checked(len).filter(|_| id != 0) else {
            self.rest = &[];
            return None;
        };
        self.rest = rest;
        Some((id, value))
    }
}

/// What differs from packet to packet of one outgoing stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeaderFields {
    pub marker: bool,
    pub sequence: u16,
    pub timestamp: u32,
    /// 24-bit 6.18 fixed point seconds; see [`abs_send_time`]. Written only where the template has the extension.
    pub abs_send_time: u32,
    /// Written only where the template has the extension.
    pub transport_sequence: u16,
}

/// The header of one outgoing stream, built once; `write` copies it and patches what differs.
#[derive(Clone, Debug)]
pub struct HeaderTemplate {
    /// Zero from `len` on, so that rounding up to a word pads as RFC 8285 asks.
    bytes: [u8; MAX_WRITTEN_HEADER_LEN],
    len: usize,
    /// Offsets of the values to patch; 0: not there.
    abs_send_time_at: usize,
    transport_sequence_at: usize,
}

impl HeaderTemplate {
    /// A header without extensions.
    #[must_use]
    pub fn new(ssrc: u32, payload_type: u8) -> Self {
        let mut bytes = [0; MAX_WRITTEN_HEADER_LEN];
        bytes[0] = 0x80;
        bytes[1] = payload_type & 0x7f;
        bytes[8..12].copy_from_slice(&ssrc.to_be_bytes());
        Self { bytes, len: FIXED_HEADER_LEN, abs_send_time_at: 0, transport_sequence_at: 0 }
    }

    /// Adds an extension whose value is the same in all packets, for instance the mid.
    pub fn push_extension(&mut self, id: u8, value: &[u8]) -> Result<(), RtpError> {
        self.len = append_extension(&mut self.bytes, self.len, id, value)?;
        Ok(())
    }

    pub fn push_abs_send_time(&mut self, id: u8) -> Result<(), RtpError> {
        self.push_extension(id, &[0; 3])?;
        self.abs_send_time_at = self.len - 3;
        Ok(())
    }

    pub fn push_transport_sequence(&mut self, id: u8) -> Result<(), RtpError> {
        self.push_extension(id, &[0; 2])?;
        self.transport_sequence_at = self.len - 2;
        Ok(())
    }

    /// Bytes that [`HeaderTemplate::write`] writes.
    #[must_use]
    pub fn written_len(&self) -> usize {
        self.len.next_multiple_of(4)
    }

    /// Bytes that [`HeaderTemplate::write_with`] writes with `extra`.
    #[must_use]
    pub fn written_len_with(&self, extra: &[(u8, &[u8])]) -> usize {
        let mut len = self.len;
        if len == FIXED_HEADER_LEN && !extra.is_empty() {
            len += EXTENSION_BLOCK_HEADER_LEN;
        }
        for (_, value) in extra {
            len += 1 + value.len();
        }
        len.next_multiple_of(4)
    }

    /// Writes the header at the start of `out` and returns its length, a multiple of four.
    #[inline]
    pub fn write(&self, out: &mut [u8], fields: &HeaderFields) -> Result<usize, RtpError> {
        let len = self.written_len();
        let (Some(target), Some(source)) = (out.get_mut(..len), self.bytes.get(..len)) else {
            return Err(RtpError::NoRoom);
        };
        target.copy_from_slice(source);
        self.patch(target, fields);
        Ok(len)
    }

    /// As `write`, with extensions of this one packet (audio level, orientation) after those of the template.
    pub fn write_with(
        &self,
        out: &mut [u8],
        fields: &HeaderFields,
        extra: &[(u8, &[u8])],
    ) -> Result<usize, RtpError> {
        if extra.is_empty() {
            return self.write(out, fields);
        }
        let mut bytes = self.bytes;
        let mut len = self.len;
        for (id, value) in extra {
            len = append_extension(&mut bytes, len, *id, value)?;
        }
        let len = len.next_multiple_of(4);
        let (Some(target), Some(source)) = (out.get_mut(..len), bytes.get(..len)) else {
            return Err(RtpError::NoRoom);
        };
        target.copy_from_slice(source);
        self.patch(target, fields);
        Ok(len)
    }

    #[inline]
    fn patch(&self, header: &mut [u8], fields: &HeaderFields) {
        header[1] |= u8::from(fields.marker) << 7;
        header[2..4].copy_from_slice(&fields.sequence.to_be_bytes());
        header[4..8].copy_from_slice(&fields.timestamp.to_be_bytes());
        if self.abs_send_time_at != 0 {
            let at = self.abs_send_time_at;
            header[at..at + 3].copy_from_slice(&fields.abs_send_time.to_be_bytes()[1..]);
        }
        if self.transport_sequence_at != 0 {
            let at = self.transport_sequence_at;
            header[at..at + 2].copy_from_slice(&fields.transport_sequence.to_be_bytes());
        }
    }
}

/// Appends one extension in one-byte form at `len` of a zero-filled header and returns the new length.
fn append_extension(
    header: &mut [u8; MAX_WRITTEN_HEADER_LEN],
    len: usize,
    id: u8,
    value: &[u8],
) -> Result<usize, RtpError> {
    let (1..STOP_ID, 1..=16) = (id, value.len()) else { return Err(RtpError::Extension) };
    let first = len == FIXED_HEADER_LEN;
    let at = if first { len + EXTENSION_BLOCK_HEADER_LEN } else { len };
    let end = at + 1 + value.len();
    if end > MAX_WRITTEN_HEADER_LEN {
        return Err(RtpError::NoRoom);
    }
    if first {
        header[0] |= EXTENSION_BIT;
        header[len..len + 2].copy_from_slice(&ONE_BYTE_PROFILE.to_be_bytes());
    }
    header[at] = id << 4 | (value.len() - 1) as u8;
    header[at + 1..end].copy_from_slice(value);
    let words = (end - FIXED_HEADER_LEN - EXTENSION_BLOCK_HEADER_LEN).div_ceil(4);
    header[FIXED_HEADER_LEN + 3] = words as u8;
    Ok(end)
}

/// Writes any header; for tests, probes and streams too rare for a template.
pub fn write_header(
    out: &mut [u8],
    ssrc: u32,
    payload_type: u8,
    fields: &HeaderFields,
    extensions: &[(u8, &[u8])],
) -> Result<usize, RtpError> {
    HeaderTemplate::new(ssrc, payload_type).write_with(out, fields, extensions)
}

/// The abs-send-time value (24 bits, 6.18 fixed point seconds, wraps every 64 s) of a time.
#[must_use]
pub fn abs_send_time(now_us: u64) -> u32 {
    let seconds = now_us / 1_000_000 % 64;
    let fraction = ((now_us % 1_000_000) << 18) / 1_000_000;
    (seconds << 18 | fraction) as u32
}
