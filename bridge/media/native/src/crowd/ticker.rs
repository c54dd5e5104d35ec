//! Something that happens so many times a second, without drift.

pub struct Ticker {
    start_us: u64,
    per_second: u64,
    count: u64,
}

impl Ticker {
    #[must_use]
    pub fn new(start_us: u64, per_second: u64) -> Self {
        Self { start_us, per_second, count: 0 }
    }

    #[must_use]
    pub fn next_us(&self) -> u64 {
        self.start_us + self.count * 1_000_000 / self.per_second
    }

    /// When it was due, once.
    pub fn take(&mut self, now_us: u64) -> Option<u64> {
        let due_us = self.next_us();
        if now_us < due_us {
            return None;
        }
        self.count += 1;
        Some(due_us)
    }

    /// Passes over what was missed: the next one lies after `now_us`.
    pub fn skip_to(&mut self, now_us: u64) {
        let elapsed = now_us.saturating_sub(self.start_us) * self.per_second / 1_000_000;
        self.count = self.count.max(elapsed + 1);
    }

    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_its_rate_however_late_it_is_asked() {
        let mut ticker = Ticker::new(1_000_000, 30);
        assert_eq!(ticker.take(999_999), None);
        let mut taken = 0;
        for now_us in (1_000_000..4_000_000).step_by(7_919) {
            while ticker.take(now_us).is_some() {
                taken += 1;
            }
        }
        assert_eq!(taken, 90);
        assert_eq!(ticker.next_us(), 4_000_000);
    }

    #[test]
    fn skips_what_was_missed() {
        let mut ticker = Ticker::new(0, 10);
        ticker.skip_to(1_050_000);
        assert_eq!(ticker.next_us(), 1_100_000);
    }
}
