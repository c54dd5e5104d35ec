//! RTP headers (RFC 3550 section 5.1) with header extensions (RFC 8285): a view that only holds offsets, and a
//! writer that builds the small header each subscriber gets. Payloads are opaque here.

use std::ops::Range;

pub const FIXED_HEADER_LEN: usize = 12;
/// The longest header this module writes.
pub const MAX_WRITTEN_HEADER_LEN: usize = 96;

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
    extensions: (u16, u16),
    two_byte: bool,
}

impl RtpHeader {
    pub fn parse(packet: &[u8]) -> Result<Self, RtpError> { todo!() }

    /// The header extensions of the packet this header was parsed from; malformed ones end the iteration.
    #[must_use]
    pub fn extensions<'a>(&self, packet: &'a [u8]) -> Extensions<'a> { todo!() }

    /// Where the payload lies in a decrypted packet of `packet.len()` bytes, padding left out.
    pub fn payload(&self, packet: &[u8]) -> Result<Range<usize>, RtpError> { todo!() }
}

/// Iterates `(id, value)`.
#[derive(Clone, Debug)]
pub struct Extensions<'a> {
    rest: &'a [u8],
    two_byte: bool,
}

impl<'a> Iterator for Extensions<'a> {
    type Item = (u8, &'a [u8]);
    fn next(&mut self) -> Option<Self::Item> { todo!() }
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
    bytes: [u8; MAX_WRITTEN_HEADER_LEN],
    len: usize,
    abs_send_time_at: usize,
    transport_sequence_at: usize,
}

impl HeaderTemplate {
    /// A header without extensions.
    #[must_use]
    pub fn new(ssrc: u32, payload_type: u8) -> Self { todo!() }

    /// Adds an extension whose value is the same in all packets, for instance the mid.
    pub fn push_extension(&mut self, id: u8, value: &[u8]) -> Result<(), RtpError> { todo!() }

    pub fn push_abs_send_time(&mut self, id: u8) -> Result<(), RtpError> { todo!() }

    pub fn push_transport_sequence(&mut self, id: u8) -> Result<(), RtpError> { todo!() }

    /// Bytes that [`HeaderTemplate::write`] writes.
    #[must_use]
    pub fn written_len(&self) -> usize { todo!() }

    /// Bytes that [`HeaderTemplate::write_with`] writes with `extra`.
    #[must_use]
    pub fn written_len_with(&self, extra: &[(u8, &[u8])]) -> usize { todo!() }

    /// Writes the header at the start of `out` and returns its length, a multiple of four.
    pub fn write(&self, out: &mut [u8], fields: &HeaderFields) -> Result<usize, RtpError> { todo!() }

    /// As `write`, with extensions of this one packet (audio level, orientation) after those of the template.
    pub fn write_with(&self, out: &mut [u8], fields: &HeaderFields, extra: &[(u8, &[u8])]) -> Result<usize, RtpError> {
        todo!()
    }
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

/// The abs-send-time value (24 bits, 6.18 fixed point seconds) of a time.
#[must_use]
pub fn abs_send_time(now_us: u64) -> u32 { todo!() }
