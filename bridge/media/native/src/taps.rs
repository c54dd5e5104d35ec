//! Tapped packets on their way up: gathered into one batch a track for a moment. Nobody watches a tap live, and to wake
//! its reader costs more than all else.

use bridge_relay_core::api::{Event, Payload, TapBatch, TapPacket, TrackId};

use crate::queue::News;

/// How long a tapped packet waits at least, unless other news goes up.
pub const WAIT_US: u64 = 100_000;
/// And at most: until then the thread is usually awake for something else, and a turn for this alone would cost more.
pub const LONGEST_WAIT_US: u64 = 200_000;

/// A picture of 2 Mbit/s has fewer in that time, and its batch's memory is asked for once.
const USUAL_PACKETS: usize = 32;

/// So much waits at most, however fast it came: a small part of what may wait to be read.
const FULL_BYTES: usize = 4 << 20;
const FULL_PACKETS: usize = 16_384;

#[derive(Debug, Default)]
pub struct Taps {
    /// The track of each open batch. Apart from those, so that looking for one reads little memory.
    tracks: Vec<TrackId>,
    batches: Vec<TapBatch>,
    gathered_bytes: usize,
    gathered: usize,
}

impl Taps {
    pub fn push(&mut self, track: TrackId, packet: TapPacket, payload: Payload) {
        // Packets of one track come in rows.
        let found = self.tracks.iter().rposition(|open| *open == track);
        let at = found.unwrap_or_else(|| {
            self.tracks.push(track);
            self.batches.push(TapBatch::with_capacity(USUAL_PACKETS));
            self.tracks.len() - 1
        });
        if let Some(batch) = self.batches.get_mut(at) {
            self.gathered += 1;
            self.gathered_bytes += payload.len();
            batch.push(packet, payload);
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
            taps.push(TrackId(sequence as u32 % 2), packet(sequence), Payload::new(vec![sequence as u8]));
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
    fn a_flood_makes_the_taps_full() {
        let mut taps = Taps::default();
        assert!(!taps.is_full());
        for sequence in 0..4 {
            taps.push(TrackId(1), packet(sequence), Payload::new(vec![0; FULL_BYTES / 4]));
        }
        assert!(taps.is_full());
        taps.close(&mut Vec::new());
        assert!(!taps.is_full());
        for sequence in 0..FULL_PACKETS as u64 {
            taps.push(TrackId(1), packet(sequence), Payload::default());
        }
        assert!(taps.is_full());
    }
}
