//! What is sent: 720p-like video in bursts (30 frames of six packets a second, 1.5 Mbit/s), and Opus. A payload is the same
//! in every packet behind its head, so that a receiver can check it.

use _native::crowd::reel::{Layer, Reel};
use bridge_relay_core::api::MediaKind;

use crate::Outcome;

pub const FRAMES_PER_SECOND: u64 = 30;
pub const PACKETS_PER_FRAME: usize = 6;
/// Of a frame in each packet; with the descriptor 1042 bytes.
const PART_BYTES: usize = 1_038;
const DESCRIPTOR_BYTES: usize = 4;
pub const AUDIO_PER_SECOND: u64 = 50;

pub const RID: &str = "v";
/// The loop, at whose beginning lies its only keyframe.
const FRAMES: usize = 300;
/// RFC 6386 section 9.1: frame tag, start code and size of a keyframe, here 1280x720.
const FRAME_HEAD: [u8; 10] = [0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x00, 0x05, 0xd0, 0x02];

pub fn reel() -> Outcome<Reel> {
    let mut keyframe: Vec<u8> =
        (0..PACKETS_PER_FRAME * PART_BYTES).map(|at| (at % PART_BYTES) as u8).collect();
    keyframe[..FRAME_HEAD.len()].copy_from_slice(&FRAME_HEAD);
    let mut other = keyframe.clone();
    other[0] |= 1;
    let frames: Vec<(bool, &[u8])> =
        (0..FRAMES).map(|number| (number == 0, if number == 0 { &*keyframe } else { &*other })).collect();
    let layer = Layer::new(RID.into(), FRAMES_PER_SECOND, &frames).map_err(|error| format!("{error:?}"))?;
    Ok(Reel::new(vec![layer]).map_err(|error| format!("{error:?}"))?)
}

/// Whether a payload is one of the reel's; sound is held by its authentication alone.
pub fn is_as_sent(kind: MediaKind, payload: &[u8]) -> bool {
    kind == MediaKind::Audio
        || payload.len() == DESCRIPTOR_BYTES + PART_BYTES
            && payload
                .iter()
                .enumerate()
                .skip(DESCRIPTOR_BYTES + FRAME_HEAD.len())
                .all(|(at, byte)| *byte == (at - DESCRIPTOR_BYTES) as u8)
}
