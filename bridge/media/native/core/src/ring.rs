//! The recent packets of one layer: one copy of each, shared by forwarding, retransmission and replay to joiners.
//! Addressed by the extended sequence number; knows no subscriber.

use crate::api::Payload;
use crate::codec::PictureNumbers;

/// Longest value of a header extension in its one-byte form (RFC 8285 section 4.2).
const EXTENSION_VALUE_LEN: usize = 16;
/// Audio level, orientation, playout delay, dependency descriptor: no packet carries all four.
const EXTENSIONS_KEPT: usize = 3;
/// Packets younger than this are not given up for newer ones as long as the ring may grow.
const RETAIN_US: u64 = 2_500_000;
/// A joiner is not made to decode more than this before it sees the present. Encoders that take no requests for
/// keyframes commonly make one every two seconds.
const REPLAY_PACKETS: u64 = 700;
const REPLAY_AGE_US: u64 = 2_500_000;

/// Which extension a kept value belongs to; subscribers may have other ids for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    AudioLevel,
    VideoOrientation,
    PlayoutDelay,
    DependencyDescriptor,
}

/// Header extension values that are passed on to subscribers.
#[derive(Clone, Copy, Debug, Default)]
pub struct PassedExtensions {
    values: [Option<(Passed, u8, [u8; EXTENSION_VALUE_LEN])>; EXTENSIONS_KEPT],
}

impl PassedExtensions {
    /// Values that do not fit are left out.
    pub fn push(&mut self, kind: Passed, value: &[u8]) {
        let Some(free) = self.values.iter_mut().find(|slot| slot.is_none()) else { return };
        let mut kept = [0; EXTENSION_VALUE_LEN];
        if value.is_empty() || value.len() > EXTENSION_VALUE_LEN {
            return;
        }
        kept[..value.len()].copy_from_slice(value);
        *free = Some((kind, value.len() as u8, kept));
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values[0].is_none()
    }

    pub fn iter(&self) -> impl Iterator<Item = (Passed, &[u8])> {
        self.values.iter().flatten().map(|(kind, len, value)| (*kind, &value[..usize::from(*len)]))
    }
}

/// What the ring keeps of a packet besides its payload.
#[derive(Clone, Copy, Debug)]
pub struct PacketHead {
    /// Extended, never wraps.
    pub sequence: u64,
    pub timestamp: u32,
    pub arrived_us: u64,
    pub marker: bool,
    pub keyframe_start: bool,
    /// As the publisher's payload table says.
    pub codec: crate::api::Codec,
    pub clock_rate_hz: u32,
    pub picture: Option<PictureNumbers>,
    pub extensions: PassedExtensions,
}

struct Slot {
    head: PacketHead,
    payload: Payload,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    New,
    Duplicate,
    TooOld,
}

pub struct Ring {
    /// As many as a power of two; a packet lies at its sequence number modulo that.
    slots: Vec<Option<Slot>>,
    most: usize,
    highest: Option<u64>,
    keyframe: Option<u64>,
}

impl Ring {
    /// Grows from `least` to `most` packets as the stream's rate asks; both are rounded up to powers of two.
    #[must_use]
    pub fn new(least: usize, most: usize) -> Self {
        let mut slots = Vec::new();
        slots.resize_with(least.next_power_of_two(), || None);
        Self { slots, most: most.next_power_of_two(), highest: None, keyframe: None }
    }

    /// Makes room while the packet that would have to go is still young.
    fn grow(&mut self, sequence: u64, now_us: u64) {
        while self.slots.len() < self.most {
            let goes = self.slots[self.position(sequence)].as_ref().map(|slot| &slot.head);
            let young = |head: &PacketHead| {
                head.sequence != sequence && now_us.saturating_sub(head.arrived_us) < RETAIN_US
            };
            if !goes.is_some_and(young) {
                return;
            }
            let doubled = self.slots.len() * 2;
            let old = std::mem::take(&mut self.slots);
            self.slots.resize_with(doubled, || None);
            for slot in old.into_iter().flatten() {
                let position = self.position(slot.head.sequence);
                self.slots[position] = Some(slot);
            }
        }
    }

    fn position(&self, sequence: u64) -> usize {
        (sequence & (self.slots.len() as u64 - 1)) as usize
    }

    /// Whether `insert` would take it.
    #[must_use]
    pub fn judge(&self, sequence: u64) -> Inserted {
        match self.highest {
            Some(highest) if sequence + self.slots.len() as u64 <= highest => Inserted::TooOld,
            _ if self.get(sequence).is_some() => Inserted::Duplicate,
            _ => Inserted::New,
        }
    }

    pub fn insert(&mut self, head: PacketHead, payload: &[u8]) -> Inserted {
        let judged = self.judge(head.sequence);
        if judged != Inserted::New {
            return judged;
        }
        if head.keyframe_start {
            self.note_keyframe(&head);
        }
        self.grow(head.sequence, head.arrived_us);
        let position = self.position(head.sequence);
        match &mut self.slots[position] {
            Some(slot) => {
                slot.head = head;
                // Who tapped the packet before may still read it.
                match Payload::get_mut(&mut slot.payload) {
                    Some(own) => {
                        own.clear();
                        own.extend_from_slice(payload);
                    }
                    None => slot.payload = Payload::new(payload.to_vec()),
                }
            }
            empty => *empty = Some(Slot { head, payload: Payload::new(payload.to_vec()) }),
        }
        self.highest = Some(self.highest.map_or(head.sequence, |highest| highest.max(head.sequence)));
        Inserted::New
    }

    /// Parameter sets and the picture behind them both look like a start: the first of one frame counts.
    fn note_keyframe(&mut self, head: &PacketHead) {
        let Some((known, _)) = self.keyframe.and_then(|sequence| self.get(sequence)) else {
            self.keyframe = Some(head.sequence);
            return;
        };
        let same_frame = known.timestamp == head.timestamp;
        if same_frame == (head.sequence < known.sequence) {
            self.keyframe = Some(head.sequence);
        }
    }

    #[must_use]
    pub fn get(&self, sequence: u64) -> Option<(&PacketHead, &[u8])> {
        self.slot(sequence).map(|slot| (&slot.head, slot.payload.as_slice()))
    }

    /// What `get` shows, to be kept.
    #[must_use]
    pub fn payload(&self, sequence: u64) -> Option<&Payload> {
        self.slot(sequence).map(|slot| &slot.payload)
    }

    fn slot(&self, sequence: u64) -> Option<&Slot> {
        let slot = self.slots[self.position(sequence)].as_ref()?;
        (slot.head.sequence == sequence).then_some(slot)
    }

    #[must_use]
    pub fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// The oldest sequence number that could still be here.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.highest.unwrap_or(0).saturating_sub(self.slots.len() as u64 - 1)
    }

    /// Where a joiner can begin: the last keyframe, if it and what followed is short and young enough.
    #[must_use]
    pub fn replay_start(&self, now_us: u64) -> Option<u64> {
        let (head, _) = self.get(self.keyframe?)?;
        let behind = self.highest?.saturating_sub(head.sequence);
        let young = now_us.saturating_sub(head.arrived_us) <= REPLAY_AGE_US;
        (young && behind <= REPLAY_PACKETS && behind < self.slots.len() as u64).then_some(head.sequence)
    }

    /// Forgets what could be replayed (the track was paused: nothing from before may be shown).
    pub fn forget_keyframe(&mut self) {
        self.keyframe = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Codec;

    fn head(sequence: u64, timestamp: u32, keyframe_start: bool) -> PacketHead {
        PacketHead {
            sequence,
            timestamp,
            arrived_us: sequence * 1000,
            marker: false,
            keyframe_start,
            codec: Codec::Vp8,
            clock_rate_hz: 90_000,
            picture: None,
            extensions: PassedExtensions::default(),
        }
    }

    #[test]
    fn keeps_the_newest_and_tells_duplicates_from_the_too_old() {
        let mut ring = Ring::new(8, 8);
        for sequence in [65_530, 65_531, 65_533, 65_532] {
            assert_eq!(ring.insert(head(sequence, 0, false), &[sequence as u8]), Inserted::New);
        }
        assert_eq!(ring.insert(head(65_532, 0, false), &[]), Inserted::Duplicate);
        assert_eq!(ring.insert(head(65_540, 0, false), &[]), Inserted::New);
        assert_eq!(ring.insert(head(65_532, 0, false), &[]), Inserted::TooOld);
        assert!(ring.get(65_532).is_none());
        assert_eq!(ring.get(65_533).map(|(_, payload)| payload.to_vec()), Some(vec![65_533_u64 as u8]));
        assert_eq!(ring.oldest(), 65_533);
    }

    #[test]
    fn a_payload_that_was_taken_stays_as_it_is_when_its_place_is_used_again() {
        let mut ring = Ring::new(8, 8);
        ring.insert(head(1, 0, false), b"first");
        let taken = ring.payload(1).unwrap().clone();
        assert_eq!(ring.payload(2), None);
        ring.insert(head(9, 0, false), b"second");
        assert_eq!((taken.as_slice(), ring.get(9).unwrap().1), (&b"first"[..], &b"second"[..]));
    }

    #[test]
    fn the_memory_of_a_payload_that_nobody_has_taken_is_used_again() {
        let mut ring = Ring::new(8, 8);
        ring.insert(head(1, 0, false), b"first");
        let place = ring.payload(1).unwrap().as_ptr();
        drop(ring.payload(1).unwrap().clone());
        ring.insert(head(9, 0, false), b"again");
        assert_eq!(ring.payload(9).unwrap().as_ptr(), place);
    }

    #[test]
    fn replays_from_the_first_packet_of_the_last_keyframe() {
        let mut ring = Ring::new(1024, 1024);
        assert_eq!(ring.replay_start(0), None);
        ring.insert(head(10, 100, true), &[]);
        ring.insert(head(11, 100, true), &[]);
        assert_eq!(ring.replay_start(20_000), Some(10));
        ring.insert(head(21, 200, true), &[]);
        ring.insert(head(20, 200, true), &[]);
        assert_eq!(ring.replay_start(30_000), Some(20));
        ring.insert(head(15, 150, true), &[]);
        assert_eq!(ring.replay_start(30_000), Some(20), "an older keyframe that comes late does not count");
        assert_eq!(ring.replay_start(20_000 + REPLAY_AGE_US + 1), None);
        ring.insert(head(20 + REPLAY_PACKETS + 1, 300, false), &[]);
        assert_eq!(ring.replay_start(30_000), None);
    }

    #[test]
    fn grows_with_the_rate_and_only_then() {
        let mut slow = Ring::new(8, 64);
        let mut fast = Ring::new(8, 64);
        for sequence in 0..200 {
            slow.insert(PacketHead { arrived_us: sequence * 400_000, ..head(sequence, 0, false) }, &[]);
            fast.insert(head(sequence, 0, false), &[sequence as u8]);
        }
        assert_eq!((slow.oldest(), fast.oldest()), (192, 136));
        for sequence in 136..200 {
            assert_eq!(fast.get(sequence).map(|(_, payload)| payload.to_vec()), Some(vec![sequence as u8]));
        }
    }

    #[test]
    fn a_keyframe_that_fell_out_is_not_replayed() {
        let mut ring = Ring::new(8, 8);
        ring.insert(head(1, 100, true), &[]);
        for sequence in 2..12 {
            ring.insert(head(sequence, 200, false), &[]);
        }
        assert_eq!(ring.replay_start(12_000), None);
    }
}
