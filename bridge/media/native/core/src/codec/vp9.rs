//! VP9: payload descriptor (RFC 9628 section 4.2) and, where a keyframe begins, the uncompressed frame header.

use super::bits::BitReader;
use super::{PayloadInfo, PictureNumbers};

const HAS_PICTURE_ID: u8 = 0x80;
const INTER_PREDICTED: u8 = 0x40;
const HAS_LAYERS: u8 = 0x20;
const FLEXIBLE: u8 = 0x10;
const START_OF_FRAME: u8 = 0x08;
const HAS_SCALABILITY: u8 = 0x02;

const MAX_REFERENCES: usize = 3;
const FRAME_MARKER: u32 = 2;
const SYNC_CODE: u32 = 0x49_83_42;
const SRGB: u32 = 7;

/// `None`: not a VP9 payload.
#[must_use]
pub fn inspect(payload: &[u8]) -> Option<PayloadInfo> {
    let first = *payload.first()?;
    let mut info = PayloadInfo::default();
    let mut at = 1;
    if first & HAS_PICTURE_ID != 0 {
        let (picture, end) = PictureNumbers::read(payload, at)?;
        info.picture = Some(picture);
        at = end;
    }
    let mut spatial_id = 0;
    if first & HAS_LAYERS != 0 {
        let layers = payload.get(at)?;
        info.temporal_id = Some(layers >> 5);
        spatial_id = layers >> 1 & 7;
        at += 1;
        if first & FLEXIBLE == 0 {
            if let Some(picture) = &mut info.picture {
                picture.set_tl0(payload, at);
            }
            at += 1;
        }
    }
    if first & FLEXIBLE != 0 && first & INTER_PREDICTED != 0 {
        at = skip_references(payload, at)?;
    }
    info.frame_start = first & START_OF_FRAME != 0 && spatial_id == 0;
    info.keyframe_start = info.frame_start && first & INTER_PREDICTED == 0;
    if first & HAS_SCALABILITY != 0 {
        let (dimensions, end) = read_scalability(payload, at)?;
        info.dimensions = dimensions;
        at = end;
    }
    let frame = payload.get(at..).filter(|frame| !frame.is_empty())?;
    if info.keyframe_start && info.dimensions.is_none() {
        info.dimensions = read_frame_size(frame);
    }
    Some(info)
}

/// One to three P_DIFF bytes, each saying by its last bit whether another follows.
fn skip_references(payload: &[u8], at: usize) -> Option<usize> {
    for count in 0..MAX_REFERENCES {
        if payload.get(at + count)? & 1 == 0 {
            return Some(at + count + 1);
        }
    }
    None
}

/// The scalability structure: the size of the highest spatial layer, if given, and where the structure ends.
fn read_scalability(payload: &[u8], at: usize) -> Option<(Option<(u16, u16)>, usize)> {
    let head = *payload.get(at)?;
    let mut at = at + 1;
    let mut dimensions = None;
    if head & 0x10 != 0 {
        for _ in 0..=head >> 5 {
            let [width_high, width_low, height_high, height_low] = *payload.get(at..)?.first_chunk()?;
            let size =
                [u16::from_be_bytes([width_high, width_low]), u16::from_be_bytes([height_high, height_low])];
            dimensions = Some((size[0], size[1]));
            at += 4;
        }
    }
    if head & 0x08 != 0 {
        let pictures = *payload.get(at)?;
        at += 1;
        for _ in 0..pictures {
            let references = payload.get(at)? >> 2 & 3;
            at += 1 + usize::from(references);
        }
    }
    Some((dimensions, at))
}

/// Width and height from a keyframe's uncompressed header (VP9 bitstream specification, section 6.2).
fn read_frame_size(frame: &[u8]) -> Option<(u16, u16)> {
    let mut reader = BitReader::new(frame);
    if reader.bits(2)? != FRAME_MARKER {
        return None;
    }
    let profile = reader.bits(1)? | reader.bits(1)? << 1;
    if profile == 3 {
        reader.skip(1)?;
    }
    let shows_existing = reader.flag()?;
    let inter_frame = reader.flag()?;
    if shows_existing || inter_frame {
        return None;
    }
    // show_frame, error_resilient_mode
    reader.skip(2)?;
    if reader.bits(24)? != SYNC_CODE {
        return None;
    }
    if profile >= 2 {
        reader.skip(1)?;
    }
    let subsampled_profile = profile == 1 || profile == 3;
    if reader.bits(3)? != SRGB {
        reader.skip(if subsampled_profile { 4 } else { 1 })?;
    } else if subsampled_profile {
        reader.skip(1)?;
    }
    let width = reader.bits(16)? + 1;
    let height = reader.bits(16)? + 1;
    Some((u16::try_from(width).ok()?, u16::try_from(height).ok()?))
}
