//! Continuity of one outgoing stream: sequence numbers, time stamps and picture ids as if there were one source, while
//! the source, its layer or its flow changes. Pure; says which source packet a sent one was, so that it can be sent again.
//!
//! Within one span of one source the numbers keep a constant distance. What the source lost stays a gap that can
//! still be filled; what was left out between spans leaves none.

use std::collections::VecDeque;

use crate::codec::PictureNumbers;

/// As many switches back are still answered with retransmissions.
const MAX_SPANS: usize = 8;
/// A source's jump by more than this would look like lost packets by the thousand to the receiver.
const MAX_GAP: u64 = 3_000;
const FIRST_SEQUENCE: u64 = 1;

/// Where a packet came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Index and unique number of the track, so that an index taken again is not mistaken for it.
    pub track: usize,
    pub generation: u64,
    pub layer: u8,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    origin: Origin,
    source_first: u64,
    sent_first: u64,
    timestamp_offset: u32,
    picture: Option<PictureOffset>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct PictureOffset {
    id: u16,
    tl0: u8,
}

/// A picture id (masked to the width the source has) and TL0PICIDX.
pub type PictureIds = (u16, u8);

/// What a forwarded packet gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Munged {
    /// Extended, never wraps.
    pub sequence: u64,
    pub timestamp: u32,
    /// `None` where they may stay as they are.
    pub picture: Option<PictureIds>,
}

#[derive(Clone, Debug)]
pub struct Munger {
    spans: VecDeque<Span>,
    highest_sent: u64,
    last_timestamp: u32,
    last_picture: PictureIds,
    last_arrived_us: u64,
    started: bool,
}

impl Munger {
    /// The first packet gets the sequence number after `used`, if the SSRC was used before.
    #[must_use]
    pub fn new(used: Option<u64>) -> Self {
        Self {
            spans: VecDeque::new(),
            highest_sent: used.unwrap_or(FIRST_SEQUENCE - 1),
            last_timestamp: 0,
            last_picture: (0, 0),
            last_arrived_us: 0,
            started: false,
        }
    }

    /// From this source packet on. `aligned` is the outgoing time stamp it should get, where it can be told by sender
    /// reports; otherwise the time of arrival decides.
    pub fn begin(&mut self, origin: Origin, packet: &SourcePacket, aligned: Option<u32>) {
        let timestamp = if self.started { self.next_timestamp(packet, aligned) } else { packet.timestamp };
        let picture = packet.picture.map(|numbers| self.picture_offset(&numbers));
        self.started = true;
        if self.spans.len() == MAX_SPANS {
            self.spans.pop_front();
        }
        self.spans.push_back(Span {
            origin,
            source_first: packet.sequence,
            sent_first: self.highest_sent + 1,
            timestamp_offset: timestamp.wrapping_sub(packet.timestamp),
            picture,
        });
    }

    fn next_timestamp(&self, packet: &SourcePacket, aligned: Option<u32>) -> u32 {
        let rate = u64::from(packet.clock_rate_hz);
        let frame = (rate / 100).max(1) as u32;
        let elapsed_us = packet.arrived_us.saturating_sub(self.last_arrived_us);
        let by_arrival = ((u128::from(elapsed_us) * u128::from(rate)) / 1_000_000) as u32;
        let by_arrival = self.last_timestamp.wrapping_add(by_arrival.max(frame));
        match aligned {
            // The reports may not lead backwards, nor far from what the arrival says.
            Some(timestamp)
                if timestamp.wrapping_sub(self.last_timestamp).cast_signed() > 0
                    && i64::from(timestamp.wrapping_sub(by_arrival).cast_signed()).unsigned_abs()
                        < rate * 2 =>
            {
                timestamp
            }
            _ => by_arrival,
        }
    }

    fn picture_offset(&self, numbers: &PictureNumbers) -> PictureOffset {
        let (last_id, last_tl0) = self.last_picture;
        if !self.started {
            return PictureOffset::default();
        }
        PictureOffset {
            id: last_id.wrapping_add(1).wrapping_sub(numbers.picture_id),
            tl0: last_tl0.wrapping_add(1).wrapping_sub(numbers.tl0_picture_index.unwrap_or(0)),
        }
    }

    /// The numbers of a packet of the span that runs now. `None`: it lies before the span, or runs away from it.
    pub fn forward(&mut self, origin: Origin, packet: &SourcePacket) -> Option<Munged> {
        let span = self.spans.back()?;
        if span.origin != origin || packet.sequence < span.source_first {
            return None;
        }
        let sequence = span.sent_first + (packet.sequence - span.source_first);
        if sequence > self.highest_sent + MAX_GAP {
            return None;
        }
        let munged = span.munge(packet, sequence);
        if sequence > self.highest_sent {
            self.highest_sent = sequence;
            self.last_timestamp = munged.timestamp;
            self.last_arrived_us = packet.arrived_us;
            if let Some(numbers) = packet.picture {
                self.last_picture =
                    munged.picture.unwrap_or((numbers.picture_id, numbers.tl0_picture_index.unwrap_or(0)));
            }
        }
        Some(munged)
    }

    /// Whether `forward` refuses this packet only because its source ran away.
    #[must_use]
    pub fn ran_away(&self, origin: Origin, source_sequence: u64) -> bool {
        self.spans.back().is_some_and(|span| {
            span.origin == origin
                && source_sequence >= span.source_first
                && span.sent_first + (source_sequence - span.source_first) > self.highest_sent + MAX_GAP
        })
    }

    /// Which source packet went out under a 16-bit sequence number: origin and source sequence number.
    #[must_use]
    pub fn origin(&self, sent: u16) -> Option<(Origin, u64)> {
        let sequence = crate::feedback::extend(self.highest_sent, sent);
        if sequence > self.highest_sent {
            return None;
        }
        let span = self.spans.iter().rev().find(|span| span.sent_first <= sequence)?;
        Some((span.origin, span.source_first + (sequence - span.sent_first)))
    }

    /// The numbers that a packet found by `origin` was sent with.
    #[must_use]
    pub fn resend(&self, sent: u16, packet: &SourcePacket) -> Option<Munged> {
        let sequence = crate::feedback::extend(self.highest_sent, sent);
        let span = self.spans.iter().rev().find(|span| span.sent_first <= sequence)?;
        Some(span.munge(packet, sequence))
    }

    /// The distance from the running source's time stamps to those sent, for sender reports; with its origin.
    #[must_use]
    pub fn timestamp_offset(&self) -> Option<(Origin, u32)> {
        let span = self.spans.back()?;
        Some((span.origin, span.timestamp_offset))
    }

    #[must_use]
    pub fn highest_sent(&self) -> u64 {
        self.highest_sent
    }

    #[must_use]
    pub fn last_timestamp(&self) -> u32 {
        self.last_timestamp
    }
}

/// What of a source packet matters here.
#[derive(Clone, Copy, Debug)]
pub struct SourcePacket {
    pub sequence: u64,
    pub timestamp: u32,
    pub arrived_us: u64,
    pub clock_rate_hz: u32,
    pub picture: Option<PictureNumbers>,
}

impl Span {
    fn munge(&self, packet: &SourcePacket, sequence: u64) -> Munged {
        let picture = match (packet.picture, self.picture) {
            (Some(numbers), Some(offset)) if offset != PictureOffset::default() => {
                let mask = if numbers.long { 0x7fff } else { 0x7f };
                let tl0 = numbers.tl0_picture_index.unwrap_or(0).wrapping_add(offset.tl0);
                Some((numbers.picture_id.wrapping_add(offset.id) & mask, tl0))
            }
            _ => None,
        };
        Munged { sequence, timestamp: packet.timestamp.wrapping_add(self.timestamp_offset), picture }
    }
}

#[cfg(test)]
#[path = "munge_tests.rs"]
mod tests;
