//! What a video payload says of itself in its first bytes, by codec. Nothing is decoded, nothing is remembered.

pub mod av1;
pub mod h264;
pub mod vp8;
pub mod vp9;

use crate::api::Codec;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PayloadInfo {
    /// First packet of a frame from which decoding can begin.
    pub keyframe_start: bool,
    /// First packet of a frame, where the payload tells.
    pub frame_start: bool,
    pub temporal_id: Option<u8>,
    /// No other frame refers to this one.
    pub discardable: bool,
    /// Width and height in pixels, on keyframes that tell.
    pub dimensions: Option<(u16, u16)>,
    /// VP8 and VP9 numbering that must stay continuous for a receiver.
    pub picture: Option<PictureNumbers>,
}

/// Where picture id and TL0PICIDX lie, and what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureNumbers {
    pub picture_id: u16,
    /// 15-bit picture id, else 7-bit.
    pub long: bool,
    pub tl0_picture_index: Option<u8>,
    picture_id_at: u8,
    tl0_at: u8,
}

impl PictureNumbers {
    /// Overwrites both in a copy of the payload, keeping their lengths; `tl0` counts only where there was one.
    pub fn rewrite(&self, payload: &mut [u8], picture_id: u16, tl0_picture_index: u8) { todo!() }
}

/// What a payload says. Malformed payloads say nothing (`PayloadInfo::default()`).
#[must_use]
pub fn inspect(codec: Codec, payload: &[u8]) -> PayloadInfo { todo!() }
