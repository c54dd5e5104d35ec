//! RTCP: an iterator over compound packets that borrows them, and writers that append to a buffer.
//! RFC 3550 section 6, RFC 4585, RFC 5104 (FIR), RFC 5506 (reduced size), draft-alvestrand-rmcat-remb-03,
//! draft-holmer-rmcat-transport-wide-cc-extensions-01. Encryption and meaning are elsewhere.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtcpError {
    Truncated,
    Version,
    /// A block's content contradicts its length.
    Malformed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// 24-bit signed.
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
    SenderReport { ssrc: u32, info: SenderInfo, reports: ReportBlocks<'a> },
    ReceiverReport { ssrc: u32, reports: ReportBlocks<'a> },
    SourceDescription { chunks: SdesChunks<'a> },
    Goodbye { ssrcs: Ssrcs<'a> },
    Nack { sender: u32, media: u32, sequences: NackSequences<'a> },
    TransportFeedback(TransportFeedback<'a>),
    PictureLoss { sender: u32, media: u32 },
    FullIntraRequest { sender: u32, entries: FirEntries<'a> },
    Remb { sender: u32, bitrate_bps: u64, ssrcs: Ssrcs<'a> },
    /// Well framed, not understood.
    Other { packet_type: u8, format: u8 },
}

/// The packets of a compound. After an error the iteration ends.
pub fn parse(compound: &[u8]) -> Compound<'_> { todo!() }
#[derive(Clone, Debug)]
pub struct Compound<'a> { rest: &'a [u8] }
impl<'a> Iterator for Compound<'a> {
    type Item = Result<RtcpPacket<'a>, RtcpError>;
    fn next(&mut self) -> Option<Self::Item> { todo!() }
}
/// Iterates [`ReportBlock`].
#[derive(Clone, Copy, Debug)]
pub struct ReportBlocks<'a>(&'a [u8]);
impl Iterator for ReportBlocks<'_> {
    type Item = ReportBlock;
    fn next(&mut self) -> Option<Self::Item> { todo!() }
}
/// Iterates `(ssrc, cname)`; chunks without a CNAME are passed over.
#[derive(Clone, Copy, Debug)]
pub struct SdesChunks<'a>(&'a [u8]);
impl<'a> Iterator for SdesChunks<'a> {
    type Item = (u32, &'a [u8]);
    fn next(&mut self) -> Option<Self::Item> { todo!() }
}
/// Iterates SSRCs.
#[derive(Clone, Copy, Debug)]
pub struct Ssrcs<'a>(&'a [u8]);
impl Iterator for Ssrcs<'_> {
    type Item = u32;
    fn next(&mut self) -> Option<Self::Item> { todo!() }
}
/// Iterates the missing sequence numbers.
#[derive(Clone, Copy, Debug)]
pub struct NackSequences<'a> { rest: &'a [u8], base: u16, mask: u16 }
impl Iterator for NackSequences<'_> {
    type Item = u16;
    fn next(&mut self) -> Option<Self::Item> { todo!() }
}
/// Iterates `(ssrc, command sequence)`.
#[derive(Clone, Copy, Debug)]
pub struct FirEntries<'a>(&'a [u8]);
impl Iterator for FirEntries<'_> {
    type Item = (u32, u8);
    fn next(&mut self) -> Option<Self::Item> { todo!() }
}

#[derive(Clone, Copy, Debug)]
pub struct TransportFeedback<'a> {
    pub sender: u32,
    pub media: u32,
    pub base_sequence: u16,
    pub status_count: u16,
    /// Reference time of the sender's clock, multiples of 64 ms; 24 bits signed, wraps.
    pub reference_time_us: i64,
    pub feedback_count: u8,
    chunks: &'a [u8],
    deltas: &'a [u8],
}
impl<'a> TransportFeedback<'a> {
    /// Iterates `(transport sequence, arrival in us on the receiver's clock, None if it did not arrive)`.
    pub fn arrivals(&self) -> Arrivals<'a> { todo!() }
}
#[derive(Clone, Debug)]
pub struct Arrivals<'a> { chunks: &'a [u8], deltas: &'a [u8] }
impl Iterator for Arrivals<'_> {
    type Item = (u16, Option<i64>);
    fn next(&mut self) -> Option<Self::Item> { todo!() }
}

/// At most 31 blocks are written.
pub fn write_sender_report(out: &mut Vec<u8>, ssrc: u32, info: &SenderInfo, reports: &[ReportBlock]) { todo!() }
pub fn write_receiver_report(out: &mut Vec<u8>, ssrc: u32, reports: &[ReportBlock]) { todo!() }
/// The first 255 bytes of `cname` count.
pub fn write_sdes_cname(out: &mut Vec<u8>, ssrc: u32, cname: &str) { todo!() }
/// At most 31 sources are written.
pub fn write_bye(out: &mut Vec<u8>, ssrcs: &[u32]) { todo!() }
/// `sequences` in the order of the stream (it may wrap).
pub fn write_nack(out: &mut Vec<u8>, sender: u32, media: u32, sequences: &[u16]) { todo!() }
pub fn write_pli(out: &mut Vec<u8>, sender: u32, media: u32) { todo!() }
pub fn write_fir(out: &mut Vec<u8>, sender: u32, media: u32, command_sequence: u8) { todo!() }
/// Rounds down to what the format can hold.
pub fn write_remb(out: &mut Vec<u8>, sender: u32, bitrate_bps: u64, ssrcs: &[u32]) { todo!() }

/// What to tell about arrivals: `arrivals[i]` belongs to `base_sequence + i`, `None` did not arrive.
#[derive(Clone, Copy, Debug)]
pub struct FeedbackFields {
    pub sender: u32,
    pub media: u32,
    pub feedback_count: u8,
    pub base_sequence: u16,
}
/// Writes one feedback packet and returns how many of `arrivals_us` it covers: fewer than all when a delta does not
/// fit or the packet is full; the caller goes on with the rest in another packet. 0 only if there is nothing to tell.
pub fn write_transport_feedback(out: &mut Vec<u8>, fields: &FeedbackFields, arrivals_us: &[Option<u64>]) -> usize { todo!() }
