//! How much of something one sender may cause: so many at once, and one more every so often.

#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    burst: u64,
    every_us: u64,
    left: u64,
    /// Up to when the refill is counted.
    counted_us: u64,
}

impl Allowance {
    #[must_use]
    pub fn new(burst: u64, every_us: u64, now_us: u64) -> Self {
        Self { burst, every_us: every_us.max(1), left: burst, counted_us: now_us }
    }

    /// Whether one more is allowed now; it is spent then.
    pub fn take(&mut self, now_us: u64) -> bool {
        let refill = now_us.saturating_sub(self.counted_us) / self.every_us;
        self.counted_us += refill * self.every_us;
        self.left = self.left.saturating_add(refill).min(self.burst);
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_spent_and_comes_back_with_time() {
        let mut allowance = Allowance::new(3, 100, 1_000);
        let taken = |allowance: &mut Allowance, now_us| (0..9).filter(|_| allowance.take(now_us)).count();
        assert_eq!(taken(&mut allowance, 1_000), 3);
        assert_eq!(taken(&mut allowance, 1_099), 0);
        assert_eq!(taken(&mut allowance, 1_250), 2);
        assert_eq!(taken(&mut allowance, 1_299), 0);
        assert_eq!(taken(&mut allowance, 1_300), 1);
        assert_eq!(taken(&mut allowance, u64::MAX), 3);
        assert_eq!(taken(&mut allowance, 0), 0);
    }
}
