//! How much may be sent again on one line: what was lost must not be answered by filling a line that is full already.
//! One budget for all that a peer receives, since they share its line.

/// Retransmissions in a burst, and the least that is granted again each turn of [`RtxBudget::refill`].
const BURST_BYTES: u64 = 300_000;
const GRANT_BYTES: u64 = 10_000;
/// Where it is known what the line bears they get half of that, and bursts of this long: they must not fill a full line.
const KNOWN_BURST_US: u64 = 200_000;
const KNOWN_LEAST_BYTES: u64 = 12_000;

pub struct RtxBudget {
    left_bytes: u64,
    /// Media that went out since the last refill.
    sent_bytes: u64,
}

impl Default for RtxBudget {
    fn default() -> Self {
        Self { left_bytes: BURST_BYTES, sent_bytes: 0 }
    }
}

impl RtxBudget {
    /// Media went out for the first time.
    pub fn sent(&mut self, payload_bytes: usize) {
        self.sent_bytes += payload_bytes as u64;
    }

    /// Whether so much may be sent again now; then it is taken off.
    pub fn take(&mut self, payload_bytes: usize) -> bool {
        let left_bytes = self.left_bytes.checked_sub(payload_bytes as u64);
        self.left_bytes = left_bytes.unwrap_or(self.left_bytes);
        left_bytes.is_some()
    }

    /// Grants retransmissions for the time since the last call: half of what the line bears, or of what was sent.
    pub fn refill(&mut self, estimate_bps: Option<u64>, elapsed_us: u64) {
        let sent_bytes = std::mem::take(&mut self.sent_bytes);
        let (grant_bytes, burst_bytes) = match estimate_bps {
            Some(bps) => {
                let burst_bytes = bps / 8 * KNOWN_BURST_US / 1_000_000;
                (bps / 16 * elapsed_us / 1_000_000, burst_bytes.clamp(KNOWN_LEAST_BYTES, BURST_BYTES))
            }
            None => ((sent_bytes / 2).max(GRANT_BYTES), BURST_BYTES),
        };
        self.left_bytes = self.left_bytes.saturating_add(grant_bytes).min(burst_bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(budget: &mut RtxBudget) -> u64 {
        (0..1_000).filter(|_| budget.take(1_000)).count() as u64
    }

    #[test]
    fn a_burst_is_followed_by_half_of_what_was_sent() {
        let mut budget = RtxBudget::default();
        assert_eq!(taken(&mut budget), BURST_BYTES / 1_000);
        budget.refill(None, 50_000);
        assert_eq!(taken(&mut budget), GRANT_BYTES / 1_000);
        budget.sent(80_000);
        budget.refill(None, 50_000);
        assert_eq!(taken(&mut budget), 40);
    }

    #[test]
    fn retransmissions_take_no_more_than_half_of_a_line_that_is_known() {
        let mut budget = RtxBudget::default();
        let mut resent = 0;
        for _ in 0..40 {
            budget.refill(Some(480_000), 50_000);
            resent += taken(&mut budget);
        }
        // Two seconds at 240 kbit/s, and the first burst.
        assert!((60..=72).contains(&resent), "{resent}");
    }
}
