//! Which packet indices of one stream were seen: a sliding window (RFC 3711 section 3.3.2), kept as a ring of words
//! so that moving it costs nothing but clearing what it newly covers. Used against replays when receiving and
//! against using an index twice when sending.

use super::SrtpError;

const WORD_BITS: u64 = 64;
const WORDS: u64 = 16;
/// The window is a word shorter than the ring: the newest word is only partly filled.
pub(super) const WINDOW_LEN: u64 = (WORDS - 1) * WORD_BITS;
/// A 32-bit roll-over counter and a 16-bit sequence number.
const INDEX_END: u64 = 1 << 48;

pub(super) struct ReplayWindow {
    newest: u64,
    seen: [u64; WORDS as usize],
}

impl ReplayWindow {
    /// A window that has seen `first` only.
    pub(super) fn new(first: u64) -> Self {
        let mut window = Self { newest: first, seen: [0; WORDS as usize] };
        window.insert(first);
        window
    }

    /// The index nearest to the newest one with this sequence number (RFC 3711 appendix A).
    #[inline]
    pub(super) fn estimate(&self, sequence: u16) -> Result<u64, SrtpError> {
        let ahead = sequence.wrapping_sub(self.newest as u16) as i16;
        let index = self.newest.checked_add_signed(i64::from(ahead)).ok_or(SrtpError::TooOld)?;
        if index < INDEX_END { Ok(index) } else { Err(SrtpError::Exhausted) }
    }

    #[inline]
    pub(super) fn check(&self, index: u64) -> Result<(), SrtpError> {
        if index > self.newest {
            return if index < INDEX_END { Ok(()) } else { Err(SrtpError::Exhausted) };
        }
        if self.newest - index >= WINDOW_LEN {
            return Err(SrtpError::TooOld);
        }
        if self.seen[word_of(index)] & bit_of(index) != 0 { Err(SrtpError::Replayed) } else { Ok(()) }
    }

    /// Notes an index that [`ReplayWindow::check`] let pass.
    #[inline]
    pub(super) fn insert(&mut self, index: u64) {
        if index > self.newest {
            let fresh = (index / WORD_BITS - self.newest / WORD_BITS).min(WORDS);
            for step in 1..=fresh {
                self.seen[word_of(self.newest.wrapping_add(step * WORD_BITS))] = 0;
            }
            self.newest = index;
        }
        self.seen[word_of(index)] |= bit_of(index);
    }
}

fn word_of(index: u64) -> usize {
    (index / WORD_BITS % WORDS) as usize
}

fn bit_of(index: u64) -> u64 {
    1 << (index % WORD_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn refuses_what_it_has_seen_and_what_is_older_than_the_window() {
        let mut window = ReplayWindow::new(5_000);
        assert_eq!(window.check(5_000), Err(SrtpError::Replayed));
        assert_eq!(window.check(4_999), Ok(()));
        window.insert(4_999);
        assert_eq!(window.check(4_999), Err(SrtpError::Replayed));
        assert_eq!(window.check(5_000 - WINDOW_LEN + 1), Ok(()));
        assert_eq!(window.check(5_000 - WINDOW_LEN), Err(SrtpError::TooOld));
        assert_eq!(window.check(INDEX_END), Err(SrtpError::Exhausted));
    }

    #[test]
    fn forgets_everything_after_a_leap() {
        let mut window = ReplayWindow::new(0);
        for index in 0..2_000 {
            window.insert(index);
        }
        window.insert(1_000_000);
        for index in 1_000_001 - WINDOW_LEN..1_000_000 {
            assert_eq!(window.check(index), Ok(()));
        }
    }

    #[test]
    fn estimates_the_roll_over_counter_on_both_sides_of_the_wrap() {
        let table = [
            (0x0_0000, 0xffff, Err(SrtpError::TooOld)),
            (0x0_0000, 1, Ok(1)),
            (0x0_fffe, 2, Ok(0x1_0002)),
            (0x1_0002, 0xfffe, Ok(0x0_fffe)),
            (0x1_7fff, 0xffff, Ok(0x0_ffff)),
            (0x1_8000, 0xffff, Ok(0x1_ffff)),
            (0x1_ffff, 0x7ffe, Ok(0x2_7ffe)),
            (0xffff_ffff_ffff, 0, Err(SrtpError::Exhausted)),
        ];
        for (newest, sequence, expected) in table {
            assert_eq!(ReplayWindow::new(newest).estimate(sequence), expected, "{newest:#x} {sequence:#x}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_set(first in 0u64..3_000, steps in prop::collection::vec((-1_100i64..300, 0u8..50), 0..600)) {
            let mut window = ReplayWindow::new(first);
            let mut model = BTreeSet::from([first]);
            for (step, leap) in steps {
                let newest = *model.last().unwrap();
                let step = if leap == 0 { step.abs() * 40 } else { step };
                let Some(index) = newest.checked_add_signed(step) else { continue };
                let expected = if index + WINDOW_LEN <= newest {
                    Err(SrtpError::TooOld)
                } else if model.contains(&index) {
                    Err(SrtpError::Replayed)
                } else {
                    Ok(())
                };
                prop_assert_eq!(window.check(index), expected);
                if expected.is_ok() {
                    window.insert(index);
                    model.insert(index);
                }
            }
        }
    }
}
