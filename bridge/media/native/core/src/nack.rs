//! Which packets of one incoming stream are missing, and when to ask the publisher for them (RFC 4585 section 6.2.1).
//! Asks again after a round trip, a bounded number of times, for a bounded list.

/// Packets may overtake each other by this much before it counts as loss.
const REORDER_US: u64 = 5_000;
const MAX_TRIES: u8 = 10;
const MAX_AGE_US: u64 = 1_000_000;
/// More missing than this is a hole that retransmission will not fill: a keyframe is cheaper.
const MAX_MISSING: usize = 256;
/// A longer jump is a stream that begins anew.
const MAX_GAP: u64 = 1_000;
const FIRST_RTT_US: u64 = 100_000;
const SHORTEST_WAIT_US: u64 = 20_000;
const LONGEST_WAIT_US: u64 = 300_000;

#[derive(Clone, Copy, Debug)]
struct Missing {
    sequence: u64,
    noticed_us: u64,
    asked_us: u64,
    tries: u8,
}

impl Missing {
    fn new(sequence: u64, noticed_us: u64) -> Self {
        Self { sequence, noticed_us, asked_us: 0, tries: 0 }
    }
}

#[derive(Clone, Debug, Default)]
pub struct NackList {
    /// In order.
    missing: Vec<Missing>,
    /// What came, from the lowest to the highest number.
    seen: Option<(u64, u64)>,
    rtt_us: Option<u64>,
    given_up: u64,
}

impl NackList {
    /// Notes an arrival. Returns whether packets were given up, so that only a keyframe helps.
    pub fn received(&mut self, sequence: u64, now_us: u64) -> bool {
        let Some((lowest, highest)) = self.seen else {
            self.seen = Some((sequence, sequence));
            return false;
        };
        self.seen = Some((lowest.min(sequence), highest.max(sequence)));
        if sequence < lowest {
            // The stream's first packets overtook each other.
            let gap = (lowest - sequence - 1) as usize;
            if self.missing.len() + gap <= MAX_MISSING {
                self.missing
                    .splice(..0, (sequence + 1..lowest).map(|sequence| Missing::new(sequence, now_us)));
            }
            return false;
        }
        if sequence <= highest {
            self.heal(sequence, now_us);
            return false;
        }
        let gap = sequence - highest - 1;
        if gap > MAX_GAP || self.missing.len() as u64 + gap > MAX_MISSING as u64 {
            self.given_up += self.missing.len() as u64 + gap;
            self.missing.clear();
            return true;
        }
        self.missing.extend((highest + 1..sequence).map(|sequence| Missing::new(sequence, now_us)));
        false
    }

    fn heal(&mut self, sequence: u64, now_us: u64) {
        let Ok(at) = self.missing.binary_search_by_key(&sequence, |entry| entry.sequence) else { return };
        let entry = self.missing.remove(at);
        // Asked more than once, the answer could belong to either (Karn).
        if entry.tries == 1 {
            let sample = now_us.saturating_sub(entry.asked_us);
            self.rtt_us = Some(self.rtt_us.map_or(sample, |rtt| (rtt * 7 + sample) / 8));
        }
    }

    fn wait_us(&self) -> u64 {
        let rtt_us = self.rtt_us.unwrap_or(FIRST_RTT_US);
        (rtt_us + rtt_us / 4).clamp(SHORTEST_WAIT_US, LONGEST_WAIT_US)
    }

    /// Appends what to ask for now, in order. Returns whether something was given up.
    pub fn due(&mut self, now_us: u64, ask: &mut Vec<u16>) -> bool {
        let wait_us = self.wait_us();
        let before = self.missing.len();
        self.missing
            .retain(|entry| entry.tries < MAX_TRIES && now_us.saturating_sub(entry.noticed_us) < MAX_AGE_US);
        let dropped = before - self.missing.len();
        self.given_up += dropped as u64;
        for entry in &mut self.missing {
            let due_us =
                if entry.tries == 0 { entry.noticed_us + REORDER_US } else { entry.asked_us + wait_us };
            if due_us <= now_us {
                entry.tries += 1;
                entry.asked_us = now_us;
                ask.push(entry.sequence as u16);
            }
        }
        dropped > 0
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty()
    }

    /// Measured from asking to answering; `None` until a packet was healed.
    #[must_use]
    pub fn rtt_us(&self) -> Option<u64> {
        self.rtt_us
    }

    #[must_use]
    pub fn given_up(&self) -> u64 {
        self.given_up
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(list: &mut NackList, now_us: u64) -> Vec<u16> {
        let mut ask = Vec::new();
        list.due(now_us, &mut ask);
        ask
    }

    #[test]
    fn asks_for_the_missing_after_a_moment_and_again_after_a_round_trip() {
        let mut list = NackList::default();
        list.received(65_534, 0);
        list.received(65_538, 1_000);
        assert_eq!(due(&mut list, 2_000), Vec::<u16>::new());
        assert_eq!(due(&mut list, 6_000), vec![65_535, 0, 1]);
        assert_eq!(due(&mut list, 50_000), Vec::<u16>::new());
        list.received(65_535, 46_000);
        assert_eq!(list.rtt_us(), Some(40_000));
        assert_eq!(due(&mut list, 56_000), vec![0, 1]);
        list.received(65_536, 90_000);
        list.received(65_537, 90_000);
        assert!(list.is_empty());
        assert_eq!(list.rtt_us(), Some(40_000), "a second try does not measure");
    }

    #[test]
    fn reordered_packets_are_not_asked_for() {
        let mut list = NackList::default();
        for (sequence, now_us) in [(1, 0), (3, 100), (2, 200), (4, 300)] {
            list.received(sequence, now_us);
        }
        assert_eq!(due(&mut list, 1_000_000), Vec::<u16>::new());
    }

    #[test]
    fn what_is_missing_before_the_first_arrival_is_asked_for_once_it_shows() {
        let mut list = NackList::default();
        for (sequence, now_us) in [(8, 0), (5, 1_000), (7, 2_000), (9, 3_000)] {
            list.received(sequence, now_us);
        }
        assert_eq!(due(&mut list, 10_000), vec![6]);
        list.received(1 << 20, 11_000);
        list.received(2, 12_000);
        assert_eq!(due(&mut list, 20_000), vec![3, 4]);
    }

    #[test]
    fn gives_up_after_a_second() {
        let mut list = NackList::default();
        list.received(1, 0);
        list.received(3, 0);
        let mut asked = 0;
        let mut gave_up = false;
        for now_us in (0..1_100_000).step_by(5_000) {
            let mut ask = Vec::new();
            gave_up |= list.due(now_us, &mut ask);
            asked += ask.len();
        }
        assert!(gave_up);
        assert!((5..=10).contains(&asked), "{asked}");
        assert!(list.is_empty());
        assert_eq!(list.given_up(), 1);
    }

    #[test]
    fn a_hole_too_large_is_given_up_at_once() {
        let mut list = NackList::default();
        list.received(1, 0);
        assert!(list.received(1 + MAX_MISSING as u64 + 2, 0));
        assert!(list.is_empty());
        assert!(list.received(1 << 40, 0));
    }
}
