//! The time packets spend in the relay, kept always: packet in to packet handed to the socket.

use crate::api::TRANSIT_BOUNDS_US;

#[derive(Clone, Debug)]
pub struct TransitHistogram {
    buckets: [u64; TRANSIT_BOUNDS_US.len() + 1],
    sum_us: u64,
    /// Forwarded, not yet handed over: time of arrival and how many copies.
    pending: Vec<(u64, u64)>,
}

impl Default for TransitHistogram {
    fn default() -> Self {
        Self { buckets: [0; TRANSIT_BOUNDS_US.len() + 1], sum_us: 0, pending: Vec::new() }
    }
}

impl TransitHistogram {
    pub fn forwarded(&mut self, arrived_us: u64, copies: u64) {
        match self.pending.last_mut() {
            Some((last_us, count)) if *last_us == arrived_us => *count += copies,
            _ => self.pending.push((arrived_us, copies)),
        }
    }

    /// All that was forwarded is with the socket now.
    pub fn sent(&mut self, now_us: u64) {
        for (arrived_us, copies) in self.pending.drain(..) {
            let transit_us = now_us.saturating_sub(arrived_us);
            let bucket = TRANSIT_BOUNDS_US.partition_point(|bound| u64::from(*bound) < transit_us);
            self.buckets[bucket] += copies;
            self.sum_us = self.sum_us.saturating_add(transit_us.saturating_mul(copies));
        }
    }

    #[must_use]
    pub fn buckets(&self) -> Vec<u64> {
        self.buckets.to_vec()
    }

    #[must_use]
    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_upper_bounds_once_sent() {
        let mut transit = TransitHistogram::default();
        transit.forwarded(1_000, 2);
        transit.forwarded(1_000, 3);
        transit.forwarded(1_005, 1);
        assert_eq!(transit.buckets().iter().sum::<u64>(), 0);
        transit.sent(1_010);
        transit.forwarded(2_000, 1);
        transit.sent(3_000_000);
        let buckets = transit.buckets();
        assert_eq!(buckets[0], 6);
        assert_eq!(buckets.last(), Some(&1));
        assert_eq!(transit.sum_us(), 5 * 10 + 5 + 2_998_000);
    }
}
