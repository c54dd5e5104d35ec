//! How long the line's queue stays: what every packet of the last moment waited beyond the shortest way known. A busy
//! machine or a radio link delays single packets and then hands over all at once; a line that is too full delays every
//! one (the criterion of RFC 8289). Pure arithmetic.

/// The least wait of this long a time is the standing queue: longer than a machine or a radio stops for a moment.
const BUCKET_US: u64 = 50_000;
const BUCKETS: usize = 8;
/// The shortest way is looked for anew in each such period and kept for one more, so that clocks may drift and paths change.
const BASE_PERIOD_US: u64 = 15_000_000;
/// A jump of the receiver's clock, not a wait.
const CLOCK_JUMP_US: u64 = 3_000_000;

#[derive(Clone, Debug)]
pub struct StandingQueue {
    /// Least delay of each of the last buckets, by the time of sending; delays hold the clocks' unknown difference.
    recent: [Option<i64>; BUCKETS],
    newest: u64,
    /// Least delay of this period and of the one before.
    base: Option<(i64, i64)>,
    period: u64,
    last: i64,
}

impl Default for StandingQueue {
    fn default() -> Self {
        Self { recent: [None; BUCKETS], newest: 0, base: None, period: 0, last: 0 }
    }
}

impl StandingQueue {
    pub fn packet(&mut self, sent_us: u64, arrived_us: i64) {
        let delay_us = arrived_us.saturating_sub(sent_us.cast_signed());
        if self.base.is_none() || delay_us.abs_diff(self.last) > CLOCK_JUMP_US {
            *self = Self::default();
            self.period = sent_us / BASE_PERIOD_US;
            self.base = Some((delay_us, delay_us));
        }
        self.last = delay_us;
        let period = sent_us / BASE_PERIOD_US;
        if let Some((this, before)) = &mut self.base {
            if period > self.period {
                self.period = period;
                *before = *this;
                *this = delay_us;
            }
            *this = delay_us.min(*this);
        }
        let bucket = sent_us / BUCKET_US;
        let steps = bucket.saturating_sub(self.newest).min(BUCKETS as u64);
        for step in 0..steps {
            self.recent[((bucket - step) % BUCKETS as u64) as usize] = None;
        }
        self.newest = self.newest.max(bucket);
        if self.newest - bucket < BUCKETS as u64 {
            let least = &mut self.recent[(bucket % BUCKETS as u64) as usize];
            *least = Some(least.map_or(delay_us, |known| known.min(delay_us)));
        }
    }

    #[must_use]
    pub fn standing_us(&self) -> u64 {
        let Some((this, before)) = self.base else { return 0 };
        let least = self.recent.iter().flatten().min().copied().unwrap_or(this);
        u64::try_from(least.saturating_sub(this.min(before))).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets every 10 ms; `wait_us` says how long each waits beyond the way of 77 s by the receiver's clock.
    fn after(count: u64, wait_us: impl Fn(u64) -> i64) -> u64 {
        let mut queue = StandingQueue::default();
        for number in 0..count {
            let sent_us = number * 10_000;
            queue.packet(sent_us, 77_000_000 + sent_us.cast_signed() + wait_us(number));
        }
        queue.standing_us()
    }

    #[test]
    fn single_delays_are_no_standing_queue_but_a_wait_of_all_is() {
        assert_eq!(after(300, |_| 0), 0);
        assert_eq!(after(300, |number| if number % 5 == 0 { 0 } else { 90_000 }), 0);
        assert_eq!(after(300, |number| number.cast_signed() * 500), (300 - 40) * 500);
    }

    #[test]
    fn a_stop_of_a_quarter_second_is_no_standing_queue() {
        for seen in 200..260 {
            // What is sent during the stop is handed over at its end.
            let wait_us = |number: u64| {
                if (200..225).contains(&number) { (225 - number).cast_signed() * 10_000 } else { 0 }
            };
            assert_eq!(after(seen, wait_us), 0, "after {seen} packets");
        }
    }

    #[test]
    fn a_path_that_became_longer_is_the_shortest_way_after_two_periods() {
        assert_eq!(after(1_600, |number| if number < 100 { 0 } else { 60_000 }), 60_000);
        assert_eq!(after(3_100, |number| if number < 100 { 0 } else { 60_000 }), 0);
    }

    #[test]
    fn a_jump_of_the_receivers_clock_is_no_wait() {
        assert_eq!(after(300, |number| if number < 100 { 0 } else { 10_000_000 }), 0);
    }
}
