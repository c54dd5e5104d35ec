//! Payload headers of every codec; rewriting picture numbers must change nothing else that is read.
#![no_main]

use bridge_relay_core::api::Codec;
use bridge_relay_core::codec::{PictureNumbers, inspect};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [which, high, low, tl0, payload @ ..] = input else { return };
    let codec = [Codec::Opus, Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1][usize::from(which % 5)];
    let info = inspect(codec, payload);
    assert!(info.frame_start || !info.keyframe_start);
    let Some(picture) = info.picture else { return };
    let picture_id = u16::from_be_bytes([*high, *low]);
    let mut changed = payload.to_vec();
    picture.rewrite(&mut changed, picture_id, *tl0);
    let reach = PictureNumbers::REACH.min(payload.len());
    assert_eq!(changed[reach..], payload[reach..]);
    let mut again = inspect(codec, &changed);
    let read = again.picture.expect("still there");
    assert_eq!(read.picture_id, picture_id & if picture.long { 0x7fff } else { 0x7f });
    assert_eq!(read.tl0_picture_index, picture.tl0_picture_index.map(|_| *tl0));
    again.picture = info.picture;
    assert_eq!(again, info);
});
