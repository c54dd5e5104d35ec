//! What was sent and not yet told of: a ring by transport-wide number that is as large as what is under way asks, since a
//! server keeps one for each of a thousand receivers.

/// Some hundred packets a second over a usual line; and packets of a fast one, over a long round trip.
const LEAST: usize = 128;
const MOST: usize = 2_048;
/// Feedback comes ten times a second or so: nobody tells any more of what is older. It is taken as lost without a word.
const AWAITED_US: u64 = 2_000_000;

#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    /// Extended transport-wide number, plus one; 0 is an empty entry.
    pub sequence_plus_one: u64,
    pub sent_us: u64,
    pub size_bytes: u32,
    pub cluster: u8,
}

#[derive(Default)]
pub struct SentRing {
    /// As many as a power of two, or none.
    entries: Vec<Sent>,
}

impl SentRing {
    pub fn note(&mut self, sent: Sent) {
        let sequence = sent.sequence_plus_one - 1;
        if self.entries.is_empty() {
            self.entries.resize(LEAST, Sent::default());
        }
        while self.entries.len() < MOST && self.is_awaited(sequence, sent.sent_us) {
            self.double();
        }
        let place = self.place(sequence);
        self.entries[place] = sent;
    }

    /// Whether feedback may still come on what lies where this one would.
    fn is_awaited(&self, sequence: u64, now_us: u64) -> bool {
        let there = self.entries[self.place(sequence)];
        there.sequence_plus_one != 0 && now_us.saturating_sub(there.sent_us) < AWAITED_US
    }

    fn double(&mut self) {
        let doubled = self.entries.len() * 2;
        let old = std::mem::take(&mut self.entries);
        self.entries.resize(doubled, Sent::default());
        for sent in old {
            if let Some(sequence) = sent.sequence_plus_one.checked_sub(1) {
                let place = self.place(sequence);
                self.entries[place] = sent;
            }
        }
    }

    fn place(&self, sequence: u64) -> usize {
        (sequence & (self.entries.len() as u64 - 1)) as usize
    }

    #[must_use]
    pub fn get(&self, sequence: u64) -> Option<Sent> {
        if self.entries.is_empty() {
            return None;
        }
        Some(self.entries[self.place(sequence)]).filter(|sent| sent.sequence_plus_one == sequence + 1)
    }

    pub fn forget(&mut self, sequence: u64) {
        if self.get(sequence).is_some() {
            let place = self.place(sequence);
            self.entries[place] = Sent::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(ring: &mut SentRing, sequence: u64, sent_us: u64) {
        ring.note(Sent { sequence_plus_one: sequence + 1, sent_us, size_bytes: 1_000, cluster: 0 });
    }

    #[test]
    fn stays_small_while_feedback_comes() {
        let mut ring = SentRing::default();
        assert!(ring.get(0).is_none());
        for sequence in 0..10_000 {
            note(&mut ring, sequence, sequence * 4_000);
            if let Some(told) = sequence.checked_sub(50) {
                assert_eq!(ring.get(told).map(|sent| sent.sent_us), Some(told * 4_000));
                ring.forget(told);
                assert!(ring.get(told).is_none());
            }
        }
        assert_eq!(ring.entries.len(), LEAST);
    }

    #[test]
    fn grows_with_what_is_under_way_but_not_for_what_nobody_tells_of() {
        let mut ring = SentRing::default();
        for sequence in 0..1_000 {
            note(&mut ring, sequence, sequence * 1_000);
        }
        assert_eq!(ring.entries.len(), 1_024);
        assert!((0..1_000).all(|sequence| ring.get(sequence).is_some()));
        let mut silent = SentRing::default();
        for sequence in 0..5_000 {
            note(&mut silent, sequence, sequence * 20_000);
        }
        assert_eq!(silent.entries.len(), LEAST);
        for sequence in 0..10_000 {
            note(&mut ring, 1_000 + sequence, 1_000_000 + sequence * 10);
        }
        assert_eq!(ring.entries.len(), MOST);
    }
}
