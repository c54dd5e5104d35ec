//! What all publishers show: real encoded pictures, cut once into payloads and shared. VP8 (RFC 7741), each layer a
//! loop that begins with a keyframe.

/// Payload bytes behind the descriptor: as much as libwebrtc puts into a datagram, so that counts of packets are true.
const MAX_PART_BYTES: usize = 1_150;

/// What a layer or a frame of a reel must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReelError {
    NoLayers,
    /// A frame is empty, or a layer has none, or begins with another frame than a keyframe.
    Frames,
    FrameRate,
}

pub struct Reel {
    pub layers: Vec<Layer>,
}

pub struct Layer {
    pub rid: String,
    pub frames_per_second: u64,
    frames: Vec<Frame>,
    bytes: Vec<u8>,
}

struct Frame {
    start: usize,
    len: usize,
    keyframe: bool,
}

impl Reel {
    pub fn new(layers: Vec<Layer>) -> Result<Self, ReelError> {
        if layers.is_empty() { Err(ReelError::NoLayers) } else { Ok(Self { layers }) }
    }

    #[must_use]
    pub fn layer(&self, rid: &str) -> Option<usize> {
        self.layers.iter().position(|layer| layer.rid == rid)
    }
}

impl Layer {
    /// `frames`: whole encoded pictures, the first one a keyframe.
    pub fn new(rid: String, frames_per_second: u64, frames: &[(bool, &[u8])]) -> Result<Self, ReelError> {
        if !(1..=120).contains(&frames_per_second) {
            return Err(ReelError::FrameRate);
        }
        let begins_well = frames.first().is_some_and(|(keyframe, _)| *keyframe);
        if !begins_well || frames.iter().any(|(_, bytes)| bytes.is_empty()) {
            return Err(ReelError::Frames);
        }
        let mut layer = Self { rid, frames_per_second, frames: Vec::new(), bytes: Vec::new() };
        for (keyframe, bytes) in frames {
            let frame = Frame { start: layer.bytes.len(), len: bytes.len(), keyframe: *keyframe };
            layer.frames.push(frame);
            layer.bytes.extend_from_slice(bytes);
        }
        Ok(layer)
    }

    /// The frame after `frame`, round the loop; with `keyframe` the next from which decoding can begin.
    #[must_use]
    pub fn next(&self, frame: usize, keyframe: bool) -> usize {
        let count = self.frames.len();
        let mut next = (frame + 1) % count;
        // The first is a keyframe, so this ends.
        while keyframe && !self.frames[next].keyframe {
            next = (next + 1) % count;
        }
        next
    }

    #[must_use]
    pub fn is_keyframe(&self, frame: usize) -> bool {
        self.frames[frame].keyframe
    }

    /// How many packets a frame takes.
    #[must_use]
    pub fn parts(&self, frame: usize) -> usize {
        self.frames[frame].len.div_ceil(MAX_PART_BYTES)
    }

    /// One packet's share of a frame; shares are equal but for the last.
    #[must_use]
    pub fn part(&self, frame: usize, part: usize) -> &[u8] {
        let parts = self.parts(frame);
        let Frame { start, len, .. } = self.frames[frame];
        let share = len.div_ceil(parts);
        &self.bytes[start + (part * share).min(len)..start + ((part + 1) * share).min(len)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_put_together_are_the_frame() {
        for len in [1, 1_150, 1_151, 10_007] {
            let picture: Vec<u8> = (0..len).map(|at| at as u8).collect();
            let layer = Layer::new("l".into(), 8, &[(true, &picture)]).unwrap();
            let parts: Vec<&[u8]> = (0..layer.parts(0)).map(|part| layer.part(0, part)).collect();
            assert!(parts.iter().all(|part| !part.is_empty() && part.len() <= MAX_PART_BYTES));
            assert_eq!(parts.concat(), picture);
        }
    }

    #[test]
    fn goes_round_and_jumps_to_keyframes() {
        let frames: [(bool, &[u8]); 4] = [(true, b"k"), (false, b"d"), (true, b"k"), (false, b"d")];
        let layer = Layer::new("l".into(), 8, &frames).unwrap();
        assert_eq!(layer.next(0, false), 1);
        assert_eq!(layer.next(0, true), 2);
        assert_eq!(layer.next(3, false), 0);
        assert_eq!(layer.next(2, true), 0);
    }

    #[test]
    fn what_cannot_be_shown_is_refused() {
        let refused = |rate, frames: &[(bool, &[u8])]| Layer::new("l".into(), rate, frames).err();
        assert_eq!(refused(8, &[]), Some(ReelError::Frames));
        assert_eq!(refused(8, &[(false, b"d")]), Some(ReelError::Frames));
        assert_eq!(refused(8, &[(true, b"")]), Some(ReelError::Frames));
        assert_eq!(refused(0, &[(true, b"k")]), Some(ReelError::FrameRate));
        assert_eq!(Reel::new(Vec::new()).err(), Some(ReelError::NoLayers));
    }
}
