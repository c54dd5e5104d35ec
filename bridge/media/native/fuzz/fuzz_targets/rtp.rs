//! RTP headers with extensions; what was read is written again and must read the same.
#![no_main]

use bridge_relay_core::wire::demux::classify;
use bridge_relay_core::wire::rtp::{HeaderFields, MAX_WRITTEN_HEADER_LEN, RtpHeader, write_header};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|packet: &[u8]| {
    let _ = classify(packet);
    let Ok(header) = RtpHeader::parse(packet) else { return };
    assert!(header.len >= 12 && header.len <= packet.len());
    if let Ok(payload) = header.payload(packet) {
        assert!(header.len == payload.start && payload.end <= packet.len());
    }
    let extensions: Vec<_> = header.extensions(packet).collect();
    let fields = HeaderFields {
        marker: header.marker,
        sequence: header.sequence,
        timestamp: header.timestamp,
        ..HeaderFields::default()
    };
    let mut out = [0; MAX_WRITTEN_HEADER_LEN];
    if let Ok(len) = write_header(&mut out, header.ssrc, header.payload_type, &fields, &extensions) {
        let again = RtpHeader::parse(&out[..len]).expect("what we write we can read");
        assert_eq!(again.extensions(&out).collect::<Vec<_>>(), extensions);
        assert_eq!(
            (again.ssrc, again.sequence, again.timestamp),
            (header.ssrc, header.sequence, header.timestamp)
        );
        assert_eq!((again.marker, again.payload_type), (header.marker, header.payload_type));
    }
});
