//! Merging of keyframe requests for one layer: the first goes at once, then at most one a second however many ask.

pub const REQUEST_SPACING_US: u64 = 1_000_000;

#[derive(Clone, Debug, Default)]
pub struct KeyframeGate {
    asked_us: Option<u64>,
    waiting: bool,
}

impl KeyframeGate {
    /// Somebody needs a keyframe.
    pub fn want(&mut self) {
        self.waiting = true;
    }

    /// A keyframe began: whoever waited is served.
    pub fn served(&mut self) {
        self.waiting = false;
    }

    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// Whether to ask the publisher now; taken as done.
    pub fn take_due(&mut self, now_us: u64) -> bool {
        let spaced =
            self.asked_us.is_none_or(|asked_us| now_us.saturating_sub(asked_us) >= REQUEST_SPACING_US);
        if !(self.waiting && spaced) {
            return false;
        }
        // It stays wanted until a keyframe came: the request or the keyframe may be lost.
        self.asked_us = Some(now_us);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_at_once_then_at_most_once_a_second_until_served() {
        let mut gate = KeyframeGate::default();
        assert!(!gate.take_due(0));
        let mut asked = Vec::new();
        for now_us in (0..2_500_000).step_by(10_000) {
            gate.want();
            if gate.take_due(now_us) {
                asked.push(now_us);
            }
        }
        assert_eq!(asked, vec![0, 1_000_000, 2_000_000]);
        gate.served();
        assert!(!gate.take_due(9_000_000));
        gate.want();
        assert!(gate.take_due(9_000_000));
    }
}
