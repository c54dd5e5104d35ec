//! VP8: payload descriptor (RFC 7741 section 4.2) and, on keyframes, the frame header (RFC 6386 section 9.1).

use super::{PayloadInfo, PictureNumbers};

const EXTENDED: u8 = 0x80;
const NON_REFERENCE: u8 = 0x20;
const START_OF_PARTITION: u8 = 0x10;
const PARTITION_INDEX: u8 = 0x07;

const HAS_PICTURE_ID: u8 = 0x80;
const HAS_TL0_PICTURE_INDEX: u8 = 0x40;
const HAS_TEMPORAL_ID: u8 = 0x20;
const HAS_KEY_INDEX: u8 = 0x10;

const START_CODE: [u8; 3] = [0x9d, 0x01, 0x2a];

/// `None`: not a VP8 payload.
#[must_use]
pub fn inspect(payload: &[u8]) -> Option<PayloadInfo> {
    let first = *payload.first()?;
    let frame_start = first & START_OF_PARTITION != 0 && first & PARTITION_INDEX == 0;
    let mut info =
        PayloadInfo { frame_start, discardable: first & NON_REFERENCE != 0, ..PayloadInfo::default() };
    let mut at = 1;
    if first & EXTENDED != 0 {
        let present = *payload.get(at)?;
        at += 1;
        if present & HAS_PICTURE_ID != 0 {
            let (picture, end) = PictureNumbers::read(payload, at)?;
            info.picture = Some(picture);
            at = end;
        }
        if present & HAS_TL0_PICTURE_INDEX != 0 {
            if let Some(picture) = &mut info.picture {
                picture.set_tl0(payload, at);
            }
            at += 1;
        }
        if present & (HAS_TEMPORAL_ID | HAS_KEY_INDEX) != 0 {
            if present & HAS_TEMPORAL_ID != 0 {
                info.temporal_id = Some(payload.get(at)? >> 6);
            }
            at += 1;
        }
    }
    // A descriptor without any frame data is no payload (libwebrtc and others send none).
    let frame = payload.get(at..).filter(|frame| !frame.is_empty())?;
    if frame_start
        && let [tag, _, _, start @ ..] = frame
        && tag & 1 == 0
        && let Some([width_low, width_high, height_low, height_high, ..]) = start.strip_prefix(&START_CODE)
    {
        info.keyframe_start = true;
        // The upper two bits are for scaling.
        let width = u16::from_le_bytes([*width_low, width_high & 0x3f]);
        let height = u16::from_le_bytes([*height_low, height_high & 0x3f]);
        info.dimensions = Some((width, height));
    }
    Some(info)
}
