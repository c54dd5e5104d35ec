//! Bit rates over sliding windows of short buckets.

const BUCKETS: usize = 20;
const SECOND_US: u64 = 1_000_000;

/// Bits a second over a window (less while it has not run that long).
#[derive(Clone, Debug)]
pub struct RateMeter {
    bucket_us: u64,
    buckets: [u64; BUCKETS],
    /// Number of the newest bucket since time zero.
    newest: u64,
    started_us: Option<u64>,
}

impl Default for RateMeter {
    fn default() -> Self {
        Self::over(SECOND_US)
    }
}

impl RateMeter {
    #[must_use]
    pub fn over(window_us: u64) -> Self {
        Self {
            bucket_us: (window_us / BUCKETS as u64).max(1),
            buckets: [0; BUCKETS],
            newest: 0,
            started_us: None,
        }
    }

    pub fn add(&mut self, size_bytes: usize, now_us: u64) {
        self.advance(now_us);
        self.started_us.get_or_insert(now_us);
        self.buckets[(self.newest % BUCKETS as u64) as usize] += size_bytes as u64;
    }

    fn advance(&mut self, now_us: u64) {
        let bucket = now_us / self.bucket_us;
        let steps = bucket.saturating_sub(self.newest).min(BUCKETS as u64);
        for step in 1..=steps {
            self.buckets[((bucket - steps + step) % BUCKETS as u64) as usize] = 0;
        }
        self.newest = self.newest.max(bucket);
    }

    pub fn bitrate_bps(&mut self, now_us: u64) -> u64 {
        self.advance(now_us);
        let Some(started_us) = self.started_us else { return 0 };
        let full_us = self.bucket_us * (BUCKETS as u64 - 1) + now_us % self.bucket_us;
        // A first burst says nothing of a rate: it is spread over a fifth of the window.
        let window_us = now_us.saturating_sub(started_us).clamp(self.bucket_us * 4, full_us);
        self.buckets.iter().sum::<u64>() * 8 * SECOND_US / window_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_rate_and_falls_to_zero() {
        let mut meter = RateMeter::default();
        assert_eq!(meter.bitrate_bps(0), 0);
        for millisecond in 7_000..9_000 {
            meter.add(125, millisecond * 1_000);
        }
        let bitrate_bps = meter.bitrate_bps(9_000_000);
        assert!((970_000..1_030_000).contains(&bitrate_bps), "{bitrate_bps}");
        assert!(meter.bitrate_bps(9_500_000) < 600_000);
        assert_eq!(meter.bitrate_bps(10_100_000), 0);
    }
}
