//! How much of what was sent on one way of a peer did not arrive, over all of its streams (RFC 3550 section 6.4.1).
//!
//! Each stream counts by its packets: one packet lost of the five that a silent microphone sends in a second (DTX) says
//! nothing of a line that carries hundreds.

/// What is older by this counts half.
const HALF_LIFE_S: f32 = 2.0;
/// One packet lost of fewer than this is chance.
const LEAST: f32 = 25.0;
/// More in one report is a claim, not a count.
const MOST: u32 = 20_000;

#[derive(Clone, Copy, Debug, Default)]
pub struct LossMeter {
    expected: f32,
    lost: f32,
    counted_us: u64,
}

impl LossMeter {
    /// A stream's packets since its last report, and which share of them was lost.
    pub fn count(&mut self, expected: u32, share: f32, now_us: u64) {
        let elapsed_s = now_us.saturating_sub(self.counted_us) as f32 / 1e6;
        let kept = 0.5_f32.powf(elapsed_s / HALF_LIFE_S);
        let expected = expected.min(MOST) as f32;
        self.expected = self.expected * kept + expected;
        self.lost = self.lost * kept + expected * share;
        self.counted_us = now_us;
    }

    #[must_use]
    pub fn share(&self) -> f32 {
        self.lost / self.expected.max(LEAST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000;

    #[test]
    fn a_packet_of_a_silent_microphone_does_not_make_a_line_bad() {
        let mut meter = LossMeter::default();
        for second in 1..10 {
            meter.count(300, 0.0, second * S);
            meter.count(5, if second == 9 { 0.2 } else { 0.0 }, second * S);
        }
        assert!(meter.share() < 0.005, "{}", meter.share());
        let mut alone = LossMeter::default();
        for second in 1..10 {
            alone.count(5, if second == 9 { 0.2 } else { 0.0 }, second * S);
        }
        assert!(alone.share() <= 0.04, "{}", alone.share());
    }

    #[test]
    fn loss_shows_within_seconds_and_is_forgotten_as_soon() {
        for packets in [5, 500] {
            let mut meter = LossMeter::default();
            for second in 1..6 {
                meter.count(packets, 0.5, second * S);
            }
            assert!(meter.share() > 0.2, "{packets}: {}", meter.share());
            for second in 6..16 {
                meter.count(packets, 0.0, second * S);
            }
            assert!(meter.share() < 0.03, "{packets}: {}", meter.share());
        }
    }

    #[test]
    fn nothing_is_known_of_a_line_that_carries_nothing() {
        let mut meter = LossMeter::default();
        assert_eq!(meter.share(), 0.0);
        meter.count(100, 0.5, S);
        for second in 2..30 {
            meter.count(0, 0.0, second * S);
        }
        assert!(meter.share() < 0.01);
    }
}
