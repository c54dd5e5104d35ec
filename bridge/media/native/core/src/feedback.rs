//! Arrivals of one publisher's packets by transport-wide sequence number, until they are reported
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01). The wire format is `wire::rtcp`.

use crate::wire::rtcp::{FeedbackFields, write_transport_feedback};

/// A gap longer than this is a publisher that began anew.
const MAX_SPAN: usize = 2_000;

#[derive(Debug, Default)]
pub struct ArrivalLog {
    /// Extended number of `arrivals[0]`.
    base: u64,
    highest: Option<u64>,
    arrivals: Vec<Option<u64>>,
    feedback_count: u8,
}

impl ArrivalLog {
    pub fn received(&mut self, transport_sequence: u16, arrived_us: u64) {
        let sequence = match self.highest {
            Some(highest) => extend(highest, transport_sequence),
            // Starts high enough that earlier numbers do not underflow.
            None => 0x1_0000 + u64::from(transport_sequence),
        };
        if self.highest.is_none() {
            self.base = sequence;
        }
        if sequence < self.base && self.base - sequence < MAX_SPAN as u64 {
            // Reported as lost already; a correction is not worth a packet.
            return;
        }
        if sequence < self.base || sequence - self.base >= MAX_SPAN as u64 {
            self.arrivals.clear();
            self.base = sequence;
            self.highest = Some(sequence);
        }
        let at = (sequence - self.base) as usize;
        if at >= self.arrivals.len() {
            self.arrivals.resize(at + 1, None);
        }
        self.arrivals[at] = Some(arrived_us);
        self.highest = Some(self.highest.map_or(sequence, |highest| highest.max(sequence)));
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.arrivals.is_empty()
    }

    /// Appends one feedback packet and forgets what it tells. Returns whether one was written.
    pub fn write(&mut self, out: &mut Vec<u8>, sender: u32, media: u32) -> bool {
        if self.arrivals.is_empty() {
            return false;
        }
        let fields = FeedbackFields {
            sender,
            media,
            feedback_count: self.feedback_count,
            base_sequence: self.base as u16,
        };
        let covered = write_transport_feedback(out, &fields, &self.arrivals).min(self.arrivals.len());
        if covered == 0 {
            self.arrivals.clear();
            return false;
        }
        self.feedback_count = self.feedback_count.wrapping_add(1);
        self.arrivals.drain(..covered);
        self.base += covered as u64;
        true
    }
}

/// The extended number nearest to `reference` that ends in `short` and is not negative.
#[must_use]
pub fn extend(reference: u64, short: u16) -> u64 {
    let ahead = short.wrapping_sub(reference as u16);
    let behind = u64::from(ahead.wrapping_neg());
    if ahead >= 0x8000 && behind <= reference {
        reference - behind
    } else {
        reference.wrapping_add(u64::from(ahead))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::rtcp::{RtcpPacket, parse};

    fn arrivals(compound: &[u8]) -> Vec<(u16, bool)> {
        let mut told = Vec::new();
        for packet in parse(compound) {
            if let Ok(RtcpPacket::TransportFeedback(feedback)) = packet {
                told.extend(feedback.arrivals().map(|(sequence, arrived)| (sequence, arrived.is_some())));
            }
        }
        told
    }

    #[test]
    fn tells_each_number_once_with_the_gaps() {
        let mut log = ArrivalLog::default();
        let mut compound = Vec::new();
        assert!(!log.write(&mut compound, 1, 2));
        for (sequence, now_us) in [(65_534, 1_000), (65_535, 2_000), (1, 3_000)] {
            log.received(sequence, now_us);
        }
        assert!(log.write(&mut compound, 1, 2));
        assert_eq!(arrivals(&compound), vec![(65_534, true), (65_535, true), (0, false), (1, true)]);
        compound.clear();
        log.received(0, 4_000);
        assert!(log.is_empty(), "told as lost before");
        log.received(3, 5_000);
        assert!(log.write(&mut compound, 1, 2));
        assert_eq!(arrivals(&compound), vec![(2, false), (3, true)]);
    }

    #[test]
    fn a_publisher_that_jumps_does_not_make_a_huge_report() {
        let mut log = ArrivalLog::default();
        log.received(10, 1_000);
        log.received(30_000, 2_000);
        let mut compound = Vec::new();
        assert!(log.write(&mut compound, 1, 2));
        assert_eq!(arrivals(&compound), vec![(30_000, true)]);
    }

    #[test]
    fn numbers_are_extended_to_the_nearest() {
        for (reference, short, extended) in
            [(0x1_0000, 0xffff, 0xffff), (0x1_ffff, 2, 0x2_0002), (5, 7, 7), (0, 0xffff, 0xffff)]
        {
            assert_eq!(extend(reference, short), extended);
        }
    }
}
