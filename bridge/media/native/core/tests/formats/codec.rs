//! Payload headers by codec: packets as encoders make them, hostile ones, and the rewriting of picture numbers.

use bridge_relay_core::api::Codec;
use bridge_relay_core::codec::{PayloadInfo, PictureNumbers, inspect};
use proptest::prelude::*;

use crate::hex;

const CODECS: [Codec; 5] = [Codec::Opus, Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1];

fn read(codec: Codec, payload: &str) -> PayloadInfo {
    inspect(codec, &hex(payload))
}

#[test]
fn vp8_keyframe_tells_its_size() {
    // As libvpx makes it.
    assert_eq!(read(Codec::Vp8, "10 90c300 9d012a 0005 d002 08").dimensions, Some((1280, 720)));
    let info = read(Codec::Vp8, "90 e0 8123 07 40 10 00 00 9d012a 8002 e001 34");
    assert!(info.keyframe_start && info.frame_start && !info.discardable);
    assert_eq!(info.dimensions, Some((640, 480)));
    assert_eq!(info.temporal_id, Some(1));
    let picture = info.picture.unwrap();
    assert_eq!((picture.picture_id, picture.long, picture.tl0_picture_index), (0x0123, true, Some(7)));
}

#[test]
fn vp8_size_leaves_the_scaling_bits_out() {
    assert_eq!(read(Codec::Vp8, "10 100000 9d012a 8042 e0c1").dimensions, Some((640, 480)));
}

#[test]
fn vp8_tells_starts_and_frames_nobody_refers_to() {
    let table = [
        ("10 11 00 00", true, false),
        ("30 11 00 00", true, true),
        ("00 10 00 00 9d012a 8002 e001", false, false),
        ("11 10 00 00 9d012a 8002 e001", false, false),
        ("20 ff", false, true),
    ];
    for (payload, frame_start, discardable) in table {
        let info = read(Codec::Vp8, payload);
        assert_eq!(
            (info.frame_start, info.discardable, info.keyframe_start),
            (frame_start, discardable, false)
        );
    }
}

#[test]
fn vp8_short_picture_ids_are_read_in_seven_bits() {
    let info = read(Codec::Vp8, "90 80 7f 11");
    let picture = info.picture.unwrap();
    assert_eq!((picture.picture_id, picture.long, picture.tl0_picture_index), (0x7f, false, None));
}

#[test]
fn picture_numbers_are_rewritten_in_place() {
    let table = [
        ("90 e0 8123 07 40 aabb", "90 e0 fabc 2a 40 aabb"),
        ("90 c0 23 07 aabb", "90 c0 3c 2a aabb"),
        ("90 80 8123 aabb", "90 80 fabc aabb"),
        ("90 80 23 aabb", "90 80 3c aabb"),
    ];
    for (before, after) in table {
        let mut payload = hex(before);
        let picture = inspect(Codec::Vp8, &payload).picture.unwrap();
        picture.rewrite(&mut payload, 0xfabc, 0x2a);
        assert_eq!(payload, hex(after));
        // The bytes that can change are enough.
        let mut head = hex(before)[..PictureNumbers::REACH.min(payload.len())].to_vec();
        picture.rewrite(&mut head, 0xfabc, 0x2a);
        assert_eq!(head, payload[..head.len()]);
    }
    let mut payload = hex("a8 8123 20 07 8249834200");
    inspect(Codec::Vp9, &payload).picture.unwrap().rewrite(&mut payload, 0x0002, 9);
    assert_eq!(payload, hex("a8 8002 20 09 8249834200"));
}

#[test]
fn vp9_reads_layers_references_and_structure() {
    // Non-flexible, layers, start; keyframe with a structure of two sizes and one picture group.
    let info = read(Codec::Vp9, "aa 8123 20 07 38 0140 00f0 0280 01e0 01 04 01 82498342");
    assert!(info.keyframe_start && info.frame_start);
    assert_eq!((info.dimensions, info.temporal_id), (Some((640, 480)), Some(1)));
    assert_eq!(info.picture.unwrap().tl0_picture_index, Some(7));
    // Flexible, predicted from two pictures.
    let info = read(Codec::Vp9, "f8 23 40 03 04 86");
    assert!(!info.keyframe_start && info.frame_start);
    assert_eq!((info.temporal_id, info.picture.unwrap().tl0_picture_index), (Some(2), None));
    // The upper spatial layer of a keyframe is no place to begin.
    let info = read(Codec::Vp9, "a8 8123 03 07 86");
    assert!(!info.keyframe_start && !info.frame_start);
}

#[test]
fn vp9_keyframe_without_structure_tells_its_size_in_the_frame_header() {
    // As libvpx makes it.
    let info = read(Codec::Vp9, "08 82498342 004ff02c f60638");
    assert_eq!((info.keyframe_start, info.dimensions), (true, Some((1280, 720))));
    assert!(!read(Codec::Vp9, "48 860040929c").keyframe_start);
}

/// A sequence parameter set for 1280x720, baseline, as x264 writes it.
const SPS_720P: &str = "6742c01f d9005005 bb011000 00030010 00000303 c0f18324 80";
/// 1920x1080, high profile, with cropping.
const SPS_1080P: &str = "67640028 acd94078 0227e5c0 44000003 00040000 0300f03c 60c658";

#[test]
fn h264_begins_at_the_sequence_parameter_set() {
    let info = read(Codec::H264, SPS_720P);
    assert!(info.keyframe_start && info.frame_start);
    assert_eq!(info.dimensions, Some((1280, 720)));
    assert_eq!(read(Codec::H264, SPS_1080P).dimensions, Some((1920, 1080)));
    let sps = hex(SPS_1080P);
    let aggregate = [&hex("78 0002 0910"), &[0, sps.len() as u8][..], &sps, &hex("0004 68ce3c80")].concat();
    let info = inspect(Codec::H264, &aggregate);
    assert!(info.keyframe_start && !info.discardable);
    assert_eq!(info.dimensions, Some((1920, 1080)));
    let fragment = [&hex("7c 87"), &sps[1..]].concat();
    assert!(inspect(Codec::H264, &fragment).keyframe_start);
}

#[test]
fn h264_tells_frame_starts_and_disposable_slices() {
    let table = [
        ("65 88 84", true, false),
        ("65 08 84", false, false),
        ("41 9a 00", true, false),
        ("01 9a 00", true, true),
        ("01 1a 00", false, true),
        ("7c 85 88", true, false),
        ("7c 05 88", false, false),
        ("1c 81 9a", true, true),
        ("1c 41 9a", false, true),
        ("06 05 01", false, false),
        ("09 10", true, false),
    ];
    for (payload, frame_start, discardable) in table {
        let info = read(Codec::H264, payload);
        assert!(!info.keyframe_start, "{payload}");
        assert_eq!((info.frame_start, info.discardable), (frame_start, discardable), "{payload}");
    }
}

#[test]
fn av1_new_sequence_tells_its_size() {
    // The sequence header that SVT-AV1 makes for 640x360, without and with its own size, then a frame.
    for sequence in ["0c 08", "0d 0a 0b"] {
        let rest = "0000000cc4ff671abe6010 30 10 00 88";
        let info = read(Codec::Av1, &format!("28 {sequence} {rest}"));
        assert!(info.keyframe_start && info.frame_start);
        assert_eq!(info.dimensions, Some((640, 360)));
        // Without N the same packet is an ordinary start of a frame.
        assert!(!read(Codec::Av1, &format!("20 {sequence} {rest}")).keyframe_start);
    }
    // The rest of an OBU starts nothing, whatever N says.
    let info = read(Codec::Av1, "88 32 10 00");
    assert!(!info.keyframe_start && !info.frame_start);
}

#[test]
fn av1_reads_temporal_ids_and_tile_groups() {
    let info = read(Codec::Av1, "10 34 48 00 00");
    assert_eq!((info.temporal_id, info.frame_start), (Some(2), true));
    assert!(!read(Codec::Av1, "10 20 00 00").frame_start);
}

#[test]
fn malformed_payloads_say_nothing() {
    let table = [
        (Codec::Vp8, ""),
        (Codec::Vp8, "90"),
        (Codec::Vp8, "90 80"),
        (Codec::Vp8, "90 80 80"),
        (Codec::Vp8, "90 e0 8123 07 40"),
        (Codec::Vp9, ""),
        (Codec::Vp9, "80"),
        (Codec::Vp9, "f8 23 40 03 03 03 86"),
        (Codec::Vp9, "0a ff 0140"),
        (Codec::H264, ""),
        (Codec::H264, "78 ffff 67"),
        (Codec::H264, "78 0000"),
        (Codec::H264, "7c"),
        (Codec::H264, "19 00 00"),
        (Codec::Av1, ""),
        (Codec::Av1, "18"),
        (Codec::Av1, "00 ff ff ff"),
        (Codec::Av1, "10 ff"),
        (Codec::Opus, "fc ff fe"),
    ];
    for (codec, payload) in table {
        assert_eq!(read(codec, payload), PayloadInfo::default(), "{codec:?} {payload}");
    }
}

proptest! {
    #[test]
    fn any_payload_is_survived_and_rewriting_touches_only_the_head(
        which in 0usize..5,
        payload in prop::collection::vec(any::<u8>(), 0..80),
        picture_id: u16,
        tl0: u8,
    ) {
        let info = inspect(CODECS[which], &payload);
        if let Some(picture) = info.picture {
            let mut changed = payload.clone();
            picture.rewrite(&mut changed, picture_id, tl0);
            prop_assert_eq!(&changed[PictureNumbers::REACH.min(changed.len())..], &payload[PictureNumbers::REACH.min(payload.len())..]);
            let again = inspect(CODECS[which], &changed);
            let read = again.picture.unwrap();
            prop_assert_eq!(read.picture_id, picture_id & if picture.long { 0x7fff } else { 0x7f });
            prop_assert_eq!(read.tl0_picture_index, picture.tl0_picture_index.map(|_| tl0));
            prop_assert_eq!((again.keyframe_start, again.temporal_id), (info.keyframe_start, info.temporal_id));
        }
    }
}
