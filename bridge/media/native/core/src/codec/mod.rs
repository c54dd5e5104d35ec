//! What a video payload says of itself in its first bytes, by codec. Nothing is decoded, nothing is remembered.

pub mod av1;
mod bits;
pub mod h264;
pub mod vp8;
pub mod vp9;

use crate::api::Codec;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PayloadInfo {
    /// First packet of a frame from which decoding can begin.
    pub keyframe_start: bool,
    /// First packet of a frame, as far as the payload tells. In H.264 and AV1 several packets at the head of one
    /// frame may say so; a change of the RTP timestamp is what counts there.
    pub frame_start: bool,
    pub temporal_id: Option<u8>,
    /// No other frame refers to this one.
    pub discardable: bool,
    /// Width and height in pixels, on keyframes that tell.
    pub dimensions: Option<(u16, u16)>,
    /// VP8 and VP9 numbering that must stay continuous for a receiver.
    pub picture: Option<PictureNumbers>,
}

/// Where picture id and TL0PICIDX lie in a payload descriptor, and what they are.
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
    /// All that can change lies in a payload's first bytes; whoever rewrites need copy no more than these.
    pub const REACH: usize = 5;

    /// Overwrites both in a copy of the payload, keeping their lengths; `tl0_picture_index` counts only where there
    /// was one.
    pub fn rewrite(&self, payload: &mut [u8], picture_id: u16, tl0_picture_index: u8) {
        let at = usize::from(self.picture_id_at);
        let [high, low] = picture_id.to_be_bytes();
        let replacement: &[u8] = if self.long { &[high | 0x80, low] } else { &[low & 0x7f] };
        if let Some(place) = payload.get_mut(at..at + replacement.len()) {
            place.copy_from_slice(replacement);
        }
        if self.tl0_picture_index.is_some()
            && let Some(place) = payload.get_mut(usize::from(self.tl0_at))
        {
            *place = tl0_picture_index;
        }
    }

    /// Reads a picture id whose form its first bit tells; returns the numbers and where the id ends.
    fn read(payload: &[u8], at: usize) -> Option<(Self, usize)> {
        let first = *payload.get(at)?;
        let long = first & 0x80 != 0;
        let mut picture_id = u16::from(first & 0x7f);
        if long {
            picture_id = picture_id << 8 | u16::from(*payload.get(at + 1)?);
        }
        let numbers = Self { picture_id, long, tl0_picture_index: None, picture_id_at: at as u8, tl0_at: 0 };
        Some((numbers, at + 1 + usize::from(long)))
    }

    fn set_tl0(&mut self, payload: &[u8], at: usize) {
        self.tl0_picture_index = payload.get(at).copied();
        self.tl0_at = at as u8;
    }
}

/// What a payload says. Malformed payloads say nothing (`PayloadInfo::default()`), and so does audio.
#[must_use]
pub fn inspect(codec: Codec, payload: &[u8]) -> PayloadInfo {
    let info = match codec {
        Codec::Opus => None,
        Codec::Vp8 => vp8::inspect(payload),
        Codec::Vp9 => vp9::inspect(payload),
        Codec::H264 => h264::inspect(payload),
        Codec::Av1 => av1::inspect(payload),
    };
    info.unwrap_or_default()
}
