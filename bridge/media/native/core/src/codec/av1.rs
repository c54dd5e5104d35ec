//! AV1: aggregation header and OBU headers (RTP payload format for AV1, section 4.4), and the size in a sequence
//! header (AV1 bitstream specification, section 5.5).

use super::PayloadInfo;
use super::bits::BitReader;

const CONTINUES: u8 = 0x80;
const NEW_SEQUENCE: u8 = 0x08;

const OBU_FORBIDDEN: u8 = 0x80;
const OBU_HAS_EXTENSION: u8 = 0x04;
const OBU_HAS_SIZE: u8 = 0x02;

const SEQUENCE_HEADER: u8 = 1;
const TILE_GROUP: u8 = 4;

/// More OBUs than this in the packet that starts a keyframe are not looked through.
const MAX_ELEMENTS: usize = 8;
/// Bytes of a LEB128 number (section 4.10.5).
const MAX_LEB128_LEN: usize = 8;

/// `None`: not an AV1 payload.
#[must_use]
pub fn inspect(payload: &[u8]) -> Option<PayloadInfo> {
    let (&aggregation, elements) = payload.split_first()?;
    if elements.is_empty() {
        return None;
    }
    let mut info = PayloadInfo { keyframe_start: aggregation & NEW_SEQUENCE != 0, ..PayloadInfo::default() };
    if aggregation & CONTINUES != 0 {
        // A new sequence cannot begin with the rest of an OBU.
        info.keyframe_start = false;
        return Some(info);
    }
    let count = usize::from(aggregation >> 4 & 3);
    let mut rest = elements;
    for number in 1..=MAX_ELEMENTS {
        if rest.is_empty() {
            break;
        }
        let obu = if number == count {
            std::mem::take(&mut rest)
        } else {
            let (len, others) = read_leb128(rest)?;
            let (obu, others) = others.split_at_checked(len)?;
            rest = others;
            obu
        };
        if obu.is_empty() {
            continue;
        }
        read_obu(&mut info, obu, number == 1)?;
        if !info.keyframe_start && info.temporal_id.is_some() {
            break;
        }
    }
    info.frame_start |= info.keyframe_start;
    Some(info)
}

fn read_obu(info: &mut PayloadInfo, obu: &[u8], first: bool) -> Option<()> {
    let head = *obu.first()?;
    if head & OBU_FORBIDDEN != 0 {
        return None;
    }
    let kind = head >> 3 & 0x0f;
    let mut at = 1;
    if head & OBU_HAS_EXTENSION != 0 {
        info.temporal_id = info.temporal_id.or(Some(obu.get(1)? >> 5));
        at = 2;
    }
    if first {
        info.frame_start = kind != TILE_GROUP;
    }
    if kind == SEQUENCE_HEADER {
        let mut body = obu.get(at..)?;
        if head & OBU_HAS_SIZE != 0 {
            body = read_leb128(body)?.1;
        }
        info.dimensions = read_sequence_size(body);
    }
    Some(())
}

fn read_leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0u64;
    for (position, byte) in bytes.iter().take(MAX_LEB128_LEN).enumerate() {
        value |= u64::from(byte & 0x7f) << (position * 7);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, bytes.get(position + 1..)?));
        }
    }
    None
}

/// The largest frame's width and height.
fn read_sequence_size(body: &[u8]) -> Option<(u16, u16)> {
    let mut reader = BitReader::new(body);
    // seq_profile, still_picture
    reader.skip(4)?;
    if reader.flag()? {
        // A reduced header has the level only.
        reader.skip(5)?;
    } else {
        skip_operating_points(&mut reader)?;
    }
    let width_bits = reader.bits(4)? + 1;
    let height_bits = reader.bits(4)? + 1;
    let width = reader.bits(width_bits)? + 1;
    let height = reader.bits(height_bits)? + 1;
    Some((u16::try_from(width).ok()?, u16::try_from(height).ok()?))
}

/// Timing and decoder model, display delay and operating points.
fn skip_operating_points(reader: &mut BitReader<'_>) -> Option<()> {
    let mut delay_bits = None;
    if reader.flag()? {
        reader.skip(64)?;
        if reader.flag()? {
            reader.exp_golomb()?;
        }
        if reader.flag()? {
            delay_bits = Some(reader.bits(5)? as usize + 1);
            reader.skip(32 + 5 + 5)?;
        }
    }
    let display_delay = reader.flag()?;
    for _ in 0..=reader.bits(5)? {
        reader.skip(12)?;
        if reader.bits(5)? > 7 {
            reader.skip(1)?;
        }
        if let Some(bits) = delay_bits
            && reader.flag()?
        {
            reader.skip(bits * 2 + 1)?;
        }
        if display_delay && reader.flag()? {
            reader.skip(4)?;
        }
    }
    Some(())
}
