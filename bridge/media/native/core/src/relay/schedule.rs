//! The beats of the relay: when each is due next. Knows nothing of what is done on them.

/// While something is missing, replayed or probed.
const FAST_US: u64 = 5_000;
/// Feedback to publishers, keyframe requests, layers, first sender reports.
pub const SWEEP_US: u64 = 50_000;
/// Every peer has its reports in one of so many sweeps: once a second.
pub const REPORT_PHASES: usize = 20;
const NEWS_US: u64 = 200_000;
const STATS_US: u64 = 1_000_000;

/// When each beat is due next.
pub struct Schedule {
    fast_us: Option<u64>,
    sweep_us: u64,
    news_us: u64,
    stats_us: u64,
    stats_last_us: u64,
    phase: usize,
}

impl Schedule {
    pub fn new(now_us: u64) -> Self {
        Self {
            fast_us: None,
            sweep_us: now_us + SWEEP_US,
            news_us: now_us + NEWS_US,
            stats_us: now_us + STATS_US,
            stats_last_us: now_us,
            phase: 0,
        }
    }

    /// The fast beat has something to do.
    pub fn hurry(&mut self, now_us: u64) {
        self.fast_us.get_or_insert(now_us + FAST_US);
    }

    pub fn take_fast(&mut self, now_us: u64) -> bool {
        self.fast_us.take_if(|due_us| *due_us <= now_us).is_some()
    }

    /// Which share of the peers has its reports in this sweep.
    pub fn take_sweep(&mut self, now_us: u64) -> Option<usize> {
        if !beat(&mut self.sweep_us, SWEEP_US, now_us) {
            return None;
        }
        let phase = self.phase;
        self.phase = (phase + 1) % REPORT_PHASES;
        Some(phase)
    }

    pub fn take_news(&mut self, now_us: u64) -> bool {
        beat(&mut self.news_us, NEWS_US, now_us)
    }

    /// The time since the last snapshot, when one is due.
    pub fn take_stats(&mut self, now_us: u64) -> Option<u64> {
        if !beat(&mut self.stats_us, STATS_US, now_us) {
            return None;
        }
        let last_us = std::mem::replace(&mut self.stats_last_us, now_us);
        Some(now_us.saturating_sub(last_us))
    }

    pub fn next_us(&self) -> u64 {
        self.fast_us.unwrap_or(u64::MAX).min(self.sweep_us).min(self.news_us).min(self.stats_us)
    }
}

/// Whether a beat is due; then it is set on. A driver that was held up does not catch up on beats.
fn beat(due_us: &mut u64, every_us: u64, now_us: u64) -> bool {
    if now_us < *due_us {
        return false;
    }
    *due_us = (*due_us + every_us).max(now_us + every_us / 2);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beats_do_not_pile_up() {
        let mut due_us = 1_000;
        assert!(!beat(&mut due_us, 100, 999));
        assert!(beat(&mut due_us, 100, 1_001));
        assert_eq!(due_us, 1_100);
        assert!(beat(&mut due_us, 100, 9_000));
        assert_eq!(due_us, 9_050);
    }
}
