//! Tapped packets on their way up: gathered into one batch a track for a moment, in memory that comes back when the
//! reader is done with it. Nobody watches a tap live, and to wake its reader costs more than to copy many packets.

use bridge_relay_core::api::{Event, TapBatch, TapPacket, TrackId};

use crate::queue::News;

/// How long a tapped packet waits at least, unless other news goes up.
pub const WAIT_US: u64 = 100_000;
/// And at most: until then the thread is usually awake for something else, and a turn for this alone would cost more.
pub const LONGEST_WAIT_US: u64 = 200_000;

/// So much waits at most, however fast it came: a small part of what may wait to be read.
const FULL_BYTES: usize = 4 << 20;
const FULL_PACKETS: usize = 16_384;

/// What is kept to be used again: the tracks of some twenty consults, and no memory that a flood has swollen.
const MAX_SPARE: usize = 128;
const MAX_SPARE_BYTES: usize = 256 << 10;

#[derive(Debug, Default)]
pub struct Taps {
    /// The track of each open batch. Apart from those, so that looking for one reads little memory.
    tracks: Vec<TrackId>,
    batches: Vec<TapBatch>,
    spare: Spare,
    gathered_bytes: usize,
    gathered: usize,
}

impl Taps {
    pub fn push(&mut self, track: TrackId, packet: TapPacket, payload: &[u8]) {
        // Packets of one track come in rows.
        let found = self.tracks.iter().rposition(|open| *open == track);
        let at = found.unwrap_or_else(|| {
            self.tracks.push(track);
            self.batches.push(self.spare.take());
            self.tracks.len() - 1
        });
        if let Some(batch) = self.batches.get_mut(at) {
            batch.push(packet, payload);
            self.gathered += 1;
            self.gathered_bytes += payload.len();
        }
    }

    #[must_use]
    pub fn is_full(&self) -> bool {
        self.gathered_bytes >= FULL_BYTES || self.gathered >= FULL_PACKETS
    }

    /// Ends all batches and puts them behind the news so far.
    pub fn close(&mut self, news: &mut Vec<News>) {
        for (track, packets) in self.tracks.drain(..).zip(self.batches.drain(..)) {
            news.push(News::Event(Event::TapPackets { track, packets }));
        }
        self.gathered = 0;
        self.gathered_bytes = 0;
    }

    /// Where batches that were read come back to.
    pub fn spare(&mut self) -> &mut Spare {
        &mut self.spare
    }
}

/// Empty batches that keep their memory, of a bounded number and size.
#[derive(Debug, Default)]
pub struct Spare(Vec<TapBatch>);

impl Spare {
    fn take(&mut self) -> TapBatch {
        self.0.pop().unwrap_or_default()
    }

    pub fn give_back(&mut self, mut batch: TapBatch) {
        if self.0.len() < MAX_SPARE && batch.capacity_bytes() <= MAX_SPARE_BYTES {
            batch.clear();
            self.0.push(batch);
        }
    }

    /// Takes over all that another has.
    pub fn refill(&mut self, other: &mut Self) {
        let room = MAX_SPARE.saturating_sub(self.0.len()).min(other.0.len());
        self.0.extend(other.0.drain(..room));
    }
}

#[cfg(test)]
mod tests {
    use bridge_relay_core::api::Codec;

    use super::*;

    fn packet(sequence: u64) -> TapPacket {
        TapPacket {
            layer: 0,
            codec: Codec::Vp8,
            arrived_us: 0,
            sequence,
            timestamp: 0,
            marker: false,
            keyframe_start: false,
        }
    }

    fn told(news: Vec<News>) -> Vec<(TrackId, TapBatch)> {
        news.into_iter()
            .map(|news| match news {
                News::Event(Event::TapPackets { track, packets }) => (track, packets),
                other => panic!("no tap: {other:?}"),
            })
            .collect()
    }

    #[test]
    fn each_track_has_one_batch_with_its_packets_in_order() {
        let mut taps = Taps::default();
        for sequence in 0..6 {
            taps.push(TrackId(sequence as u32 % 2), packet(sequence), &[sequence as u8]);
        }
        let mut news = Vec::new();
        taps.close(&mut news);
        let told = told(news);
        assert_eq!(told.iter().map(|(track, _)| track.0).collect::<Vec<_>>(), [0, 1]);
        for (track, batch) in told {
            let came: Vec<(u64, Vec<u8>)> =
                batch.iter().map(|(packet, payload)| (packet.sequence, payload.to_vec())).collect();
            let first = u64::from(track.0);
            let wanted = [first, first + 2, first + 4].map(|sequence| (sequence, vec![sequence as u8]));
            assert_eq!(came, wanted);
        }
    }

    #[test]
    fn memory_comes_back_and_what_was_in_it_does_not() {
        let mut taps = Taps::default();
        taps.push(TrackId(1), packet(1), &[7; 1_000]);
        let mut news = Vec::new();
        taps.close(&mut news);
        let (_, batch) = told(std::mem::take(&mut news)).remove(0);
        let capacity_bytes = batch.capacity_bytes();
        let mut read = Spare::default();
        read.give_back(batch);
        taps.spare().refill(&mut read);
        taps.push(TrackId(2), packet(2), &[8; 3]);
        taps.close(&mut news);
        let (track, batch) = told(news).remove(0);
        assert_eq!((track, batch.len(), batch.size_bytes()), (TrackId(2), 1, 3));
        assert_eq!(batch.capacity_bytes(), capacity_bytes);
    }

    #[test]
    fn spare_memory_is_bounded() {
        let mut spare = Spare::default();
        for _ in 0..2 * MAX_SPARE {
            spare.give_back(TapBatch::default());
        }
        let mut swollen = TapBatch::default();
        swollen.push(packet(1), &vec![0; MAX_SPARE_BYTES + 1]);
        let mut other = Spare::default();
        other.give_back(swollen);
        assert!(other.0.is_empty());
        other.give_back(TapBatch::default());
        spare.refill(&mut other);
        assert_eq!(spare.0.len(), MAX_SPARE);
    }

    #[test]
    fn a_flood_makes_the_taps_full() {
        let mut taps = Taps::default();
        assert!(!taps.is_full());
        for sequence in 0..4 {
            taps.push(TrackId(1), packet(sequence), &vec![0; FULL_BYTES / 4]);
        }
        assert!(taps.is_full());
        taps.close(&mut Vec::new());
        assert!(!taps.is_full());
        for sequence in 0..FULL_PACKETS as u64 {
            taps.push(TrackId(1), packet(sequence), &[]);
        }
        assert!(taps.is_full());
    }
}
