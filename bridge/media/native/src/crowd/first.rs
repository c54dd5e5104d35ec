//! Finds what of a track could be shown or heard first: a keyframe of which every packet came, any packet of sound.

use bridge_relay_core::api::Codec;
use bridge_relay_core::codec;

/// A keyframe and what lies around it; beyond that the oldest are forgotten.
const MAX_KEPT: usize = 1_024;

struct Seen {
    sequence: u64,
    timestamp: u32,
    begins: bool,
    marker: bool,
}

#[derive(Default)]
pub struct FirstFrame {
    seen: Vec<Seen>,
}

impl FirstFrame {
    /// Takes a decrypted packet, in any order. Whether the first keyframe is whole with it; sound is so at once.
    pub fn take(
        &mut self,
        codec: Codec,
        sequence: u64,
        timestamp: u32,
        marker: bool,
        payload: &[u8],
    ) -> bool {
        if codec == Codec::Opus {
            return true;
        }
        let begins = codec::inspect(codec, payload).keyframe_start;
        let at = self.seen.partition_point(|seen| seen.sequence < sequence);
        if self.seen.get(at).is_some_and(|seen| seen.sequence == sequence) {
            return false;
        }
        self.seen.insert(at, Seen { sequence, timestamp, begins, marker });
        if self.seen.len() > MAX_KEPT {
            self.seen.remove(0);
        }
        self.is_whole(timestamp)
    }

    fn is_whole(&self, timestamp: u32) -> bool {
        let frame = self.seen.iter().filter(|seen| seen.timestamp == timestamp);
        let mut expected = None;
        for seen in frame.skip_while(|seen| !seen.begins) {
            if expected.is_some_and(|expected| expected != seen.sequence) {
                return false;
            }
            if seen.marker {
                return true;
            }
            expected = Some(seen.sequence + 1);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 14] = [0x90, 0x80, 0x80, 0x01, 0x10, 0, 0, 0x9d, 0x01, 0x2a, 240, 0, 136, 0];
    const REST: [u8; 6] = [0x80, 0x80, 0x80, 0x01, 1, 2];
    const DELTA: [u8; 6] = [0x90, 0x80, 0x80, 0x01, 1, 2];

    fn take(first: &mut FirstFrame, sequence: u64, timestamp: u32, marker: bool, payload: &[u8]) -> bool {
        first.take(Codec::Vp8, sequence, timestamp, marker, payload)
    }

    #[test]
    fn a_frame_that_is_no_keyframe_shows_nothing() {
        let mut first = FirstFrame::default();
        assert!(!take(&mut first, 1, 10, true, &DELTA));
        assert!(take(&mut first, 2, 20, true, &KEY));
    }

    #[test]
    fn a_keyframe_shows_when_its_last_packet_came_in_whatever_order() {
        let mut first = FirstFrame::default();
        assert!(!take(&mut first, 12, 10, true, &REST));
        assert!(!take(&mut first, 10, 10, false, &KEY));
        assert!(!take(&mut first, 10, 10, false, &KEY));
        assert!(take(&mut first, 11, 10, false, &REST));
    }

    #[test]
    fn a_keyframe_with_a_hole_shows_nothing() {
        let mut first = FirstFrame::default();
        assert!(!take(&mut first, 10, 10, false, &KEY));
        assert!(!take(&mut first, 12, 10, true, &REST));
        assert!(!take(&mut first, 13, 20, true, &DELTA));
    }
    #[test]
    fn sound_is_heard_from_its_first_packet() {
        assert!(FirstFrame::default().take(Codec::Opus, 1, 10, false, &[0xfc]));
    }
}
