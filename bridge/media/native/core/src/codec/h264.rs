//! H.264: NAL units in RTP (RFC 6184) and the picture size in a sequence parameter set (ITU-T H.264 section 7.3.2.1).

use super::PayloadInfo;
use super::bits::BitReader;

const TYPE_MASK: u8 = 0x1f;
const REFERENCE_MASK: u8 = 0x60;

const SLICE: u8 = 1;
/// Data partitions A to C are slices too.
const LAST_SLICE_PARTITION: u8 = 4;
const IDR_SLICE: u8 = 5;
const SEQUENCE_PARAMETERS: u8 = 7;
const ACCESS_UNIT_DELIMITER: u8 = 9;
const LAST_SINGLE: u8 = 23;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;
const FU_START: u8 = 0x80;

/// Longest sequence parameter set that is read; with its scaling lists one can be a few hundred bytes.
const MAX_PARAMETERS_LEN: usize = 512;
/// Profiles whose parameter sets hold the chroma format (section 7.3.2.1.1).
const PROFILES_WITH_CHROMA: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// `None`: not an H.264 payload, or a packetisation that WebRTC does not use.
///
/// A keyframe begins where its sequence parameter set is, not at its IDR slice: a decoder that joins needs both, and
/// senders for WebRTC repeat the set before each IDR picture.
#[must_use]
pub fn inspect(payload: &[u8]) -> Option<PayloadInfo> {
    let (&head, rest) = payload.split_first()?;
    let mut info = PayloadInfo::default();
    let mut carries_slice = false;
    match head & TYPE_MASK {
        1..=LAST_SINGLE => carries_slice = read_unit(&mut info, head, rest),
        STAP_A => {
            let mut units = rest;
            while let Some((len, others)) = units.split_first_chunk() {
                let (unit, others) = others.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
                let (&head, body) = unit.split_first()?;
                carries_slice |= read_unit(&mut info, head, body);
                units = others;
            }
        }
        FU_A => {
            let (&fragment, body) = rest.split_first()?;
            carries_slice = matches!(fragment & TYPE_MASK, SLICE..=LAST_SLICE_PARTITION);
            if fragment & FU_START != 0 {
                read_unit(&mut info, head & REFERENCE_MASK | fragment & TYPE_MASK, body);
            }
        }
        _ => return None,
    }
    // Delimiters and SEI have the same mark, although the picture they belong to may be referred to.
    info.discardable = head & REFERENCE_MASK == 0 && carries_slice;
    Some(info)
}

/// Notes what one NAL unit says; tells whether it is a slice of a picture that is not an IDR picture.
fn read_unit(info: &mut PayloadInfo, head: u8, body: &[u8]) -> bool {
    let kind = head & TYPE_MASK;
    match kind {
        SEQUENCE_PARAMETERS => {
            info.keyframe_start = true;
            info.frame_start = true;
            info.dimensions = read_picture_size(body);
        }
        ACCESS_UNIT_DELIMITER => info.frame_start = true,
        // first_mb_in_slice is 0, which its code says in one bit.
        SLICE | IDR_SLICE if body.first().is_some_and(|byte| byte & 0x80 != 0) => info.frame_start = true,
        _ => {}
    }
    matches!(kind, SLICE..=LAST_SLICE_PARTITION)
}

/// Width and height in pixels after cropping.
fn read_picture_size(body: &[u8]) -> Option<(u16, u16)> {
    let (unescaped, len) = unescape(body);
    let mut reader = BitReader::new(unescaped.get(..len)?);
    let profile = reader.bits(8)?;
    // Constraint flags and level.
    reader.skip(16)?;
    reader.exp_golomb()?;
    let mut chroma_format = 1;
    if PROFILES_WITH_CHROMA.contains(&profile) {
        chroma_format = read_chroma_format(&mut reader)?;
    }
    reader.exp_golomb()?;
    match reader.exp_golomb()? {
        0 => {
            reader.exp_golomb()?;
        }
        1 => {
            reader.skip(1)?;
            reader.signed_exp_golomb()?;
            reader.signed_exp_golomb()?;
            for _ in 0..reader.exp_golomb()?.min(255) {
                reader.signed_exp_golomb()?;
            }
        }
        _ => {}
    }
    reader.exp_golomb()?;
    reader.skip(1)?;
    let width_macroblocks = reader.exp_golomb()?.checked_add(1)?;
    let height_units = reader.exp_golomb()?.checked_add(1)?;
    let frames_only = reader.flag()?;
    if !frames_only {
        reader.skip(1)?;
    }
    reader.skip(1)?;
    let fields = if frames_only { 1 } else { 2 };
    let mut width = width_macroblocks.checked_mul(16)?;
    let mut height = height_units.checked_mul(16 * fields)?;
    if reader.flag()? {
        let (unit_x, unit_y) = match chroma_format {
            1 => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        };
        let mut crop = |unit: u32| -> Option<u32> {
            reader.exp_golomb()?.checked_add(reader.exp_golomb()?)?.checked_mul(unit)
        };
        width = width.checked_sub(crop(unit_x)?)?;
        height = height.checked_sub(crop(unit_y * fields)?)?;
    }
    Some((u16::try_from(width).ok()?, u16::try_from(height).ok()?))
}

/// chroma_format_idc and what follows it up to the scaling lists.
fn read_chroma_format(reader: &mut BitReader<'_>) -> Option<u32> {
    let chroma_format = reader.exp_golomb()?;
    if chroma_format == 3 {
        reader.skip(1)?;
    }
    reader.exp_golomb()?;
    reader.exp_golomb()?;
    reader.skip(1)?;
    if reader.flag()? {
        let lists = if chroma_format == 3 { 12 } else { 8 };
        for list in 0..lists {
            if reader.flag()? {
                skip_scaling_list(reader, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Some(chroma_format)
}

fn skip_scaling_list(reader: &mut BitReader<'_>, len: usize) -> Option<()> {
    let mut last = 8;
    for _ in 0..len {
        let next = (last + i64::from(reader.signed_exp_golomb()?)).rem_euclid(256);
        if next == 0 {
            break;
        }
        last = next;
    }
    Some(())
}

/// Drops the bytes that keep start codes out (section 7.4.1); returns the buffer and how much of it counts.
fn unescape(body: &[u8]) -> ([u8; MAX_PARAMETERS_LEN], usize) {
    let mut plain = [0; MAX_PARAMETERS_LEN];
    let mut len = 0;
    let mut zeros = 0;
    for byte in body {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        let Some(place) = plain.get_mut(len) else { break };
        *place = *byte;
        len += 1;
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
    }
    (plain, len)
}
