//! The repeating parts of RTCP packets, each an iterator over bytes whose length was checked.

use super::{REPORT_BLOCK_LEN, ReportBlock};
use crate::wire::{read_u16, read_u32};

/// Iterates [`ReportBlock`].
#[derive(Clone, Copy, Debug)]
pub struct ReportBlocks<'a>(pub(super) &'a [u8]);

impl Iterator for ReportBlocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<Self::Item> {
        let (block, rest) = self.0.split_at_checked(REPORT_BLOCK_LEN)?;
        self.0 = rest;
        let lost = read_u32(block, 4)?;
        Some(ReportBlock {
            ssrc: read_u32(block, 0)?,
            fraction_lost: (lost >> 24) as u8,
            // Shifted up and down again to carry the sign over.
            cumulative_lost: (lost << 8) as i32 >> 8,
            highest_sequence: read_u32(block, 8)?,
            jitter: read_u32(block, 12)?,
            last_sender_report: read_u32(block, 16)?,
            delay_since_last: read_u32(block, 20)?,
        })
    }
}

const ITEM_END: u8 = 0;
pub(super) const ITEM_CNAME: u8 = 1;

/// Iterates `(ssrc, cname)`; chunks without a CNAME are passed over, a malformed one ends the iteration.
#[derive(Clone, Copy, Debug)]
pub struct SdesChunks<'a> {
    rest: &'a [u8],
    left: u8,
}

impl<'a> SdesChunks<'a> {
    pub(super) fn new(body: &'a [u8], count: u8) -> Self {
        Self { rest: body, left: count }
    }

    /// One chunk: its SSRC and its CNAME if it has one.
    fn read_chunk(&mut self) -> Option<(u32, Option<&'a [u8]>)> {
        let ssrc = read_u32(self.rest, 0)?;
        let mut cname = None;
        let mut at = 4;
        loop {
            let item = *self.rest.get(at)?;
            if item == ITEM_END {
                break;
            }
            let len = usize::from(*self.rest.get(at + 1)?);
            let value = self.rest.get(at + 2..at + 2 + len)?;
            if item == ITEM_CNAME {
                cname = Some(value);
            }
            at += 2 + len;
        }
        // The end item and padding to the next word, counted from the chunk's start.
        self.rest = self.rest.get((at + 1).next_multiple_of(4)..)?;
        Some((ssrc, cname))
    }
}

impl<'a> Iterator for SdesChunks<'a> {
    type Item = (u32, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while self.left > 0 {
            self.left -= 1;
            match self.read_chunk() {
                Some((ssrc, Some(cname))) => return Some((ssrc, cname)),
                Some((_, None)) => {}
                None => self.left = 0,
            }
        }
        None
    }
}

/// Iterates SSRCs.
#[derive(Clone, Copy, Debug)]
pub struct Ssrcs<'a>(pub(super) &'a [u8]);

impl Iterator for Ssrcs<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<Self::Item> {
        let (ssrc, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*ssrc))
    }
}

/// Iterates the missing sequence numbers (RFC 4585 section 6.2.1).
#[derive(Clone, Copy, Debug)]
pub struct NackSequences<'a> {
    rest: &'a [u8],
    /// The number that bit 0 of `mask` stands for.
    next: u16,
    mask: u16,
}

impl<'a> NackSequences<'a> {
    pub(super) fn new(control: &'a [u8]) -> Self {
        Self { rest: control, next: 0, mask: 0 }
    }
}

impl Iterator for NackSequences<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<Self::Item> {
        if self.mask == 0 {
            let (entry, rest) = self.rest.split_first_chunk::<4>()?;
            self.rest = rest;
            let first = read_u16(entry, 0)?;
            self.mask = read_u16(entry, 2)?;
            self.next = first.wrapping_add(1);
            return Some(first);
        }
        let skipped = self.mask.trailing_zeros();
        let sequence = self.next.wrapping_add(skipped as u16);
        self.next = sequence.wrapping_add(1);
        // In two steps: the whole mask may go.
        self.mask = self.mask >> skipped >> 1;
        Some(sequence)
    }
}

/// Iterates `(ssrc, command sequence)` (RFC 5104 section 4.3.1).
#[derive(Clone, Copy, Debug)]
pub struct FirEntries<'a>(pub(super) &'a [u8]);

impl Iterator for FirEntries<'_> {
    type Item = (u32, u8);

    fn next(&mut self) -> Option<Self::Item> {
        let (entry, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some((read_u32(entry, 0)?, entry[4]))
    }
}
