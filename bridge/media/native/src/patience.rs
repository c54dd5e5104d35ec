//! Whether to wait for the rest of a frame: as long as that has lately been rewarded, and now and then to see whether it
//! is again. Packets of a frame come at once over a fast line, and one by one over a slow one. No clock.

/// Rewards are remembered so far: as many times in a row it may be in vain.
const MOST_CREDIT: u32 = 8;
/// Worth more than a time in vain costs: that is a fraction of what a reward saves.
const REWARD: u32 = 3;
/// How often it is not worth it, until it is tried again.
const TRY_AGAIN: u32 = 32;

#[derive(Debug)]
pub struct Patience {
    credit: u32,
    skipped: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self { credit: MOST_CREDIT, skipped: 0 }
    }
}

impl Patience {
    pub fn is_worth_it(&mut self) -> bool {
        if self.credit > 0 {
            return true;
        }
        self.skipped += 1;
        if self.skipped < TRY_AGAIN {
            return false;
        }
        self.skipped = 0;
        true
    }

    pub fn learn(&mut self, rewarded: bool) {
        self.credit =
            if rewarded { (self.credit + REWARD).min(MOST_CREDIT) } else { self.credit.saturating_sub(1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times_worth_it(patience: &mut Patience, rewarded: bool) -> usize {
        (0..1_000)
            .filter(|_| {
                let worth_it = patience.is_worth_it();
                if worth_it {
                    patience.learn(rewarded);
                }
                worth_it
            })
            .count()
    }

    #[test]
    fn lasts_while_it_is_rewarded() {
        assert_eq!(times_worth_it(&mut Patience::default(), true), 1_000);
    }

    #[test]
    fn ends_when_it_is_in_vain_and_comes_back_when_it_pays() {
        let mut patience = Patience::default();
        let in_vain = times_worth_it(&mut patience, false);
        assert!((8..50).contains(&in_vain), "{in_vain}");
        assert!(times_worth_it(&mut patience, true) > 1_000 - 2 * TRY_AGAIN as usize);
    }
}
