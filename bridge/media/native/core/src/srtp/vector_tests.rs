//! The ciphers and the key derivation against the vectors of the RFCs (`tests/vectors/srtp_rfc.json`).

use serde_json::Value;

use super::crypto::{CounterModeCipher, GcmCipher, RTCP_CLEAR_LEN, rtcp_clear_part, rtcp_index_word};
use super::kdf::{Derivation, Label};

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../../tests/vectors/srtp_rfc.json");
    serde_json::from_str(&std::fs::read_to_string(path).expect(path)).expect(path)
}

fn hex(value: &Value) -> Vec<u8> {
    let digits = value.as_str().expect("a string of hex digits");
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

#[test]
fn seals_and_opens_the_packets_of_rfc_7714() {
    let vectors = &vectors()["rfc7714"];
    for case in vectors["cases"].as_array().unwrap() {
        let cipher = GcmCipher::new(&hex(&case["key"]), hex(&vectors["salt"]).try_into().unwrap()).unwrap();

        let (ssrc, index) = (number(&vectors["ssrc"]) as u32, number(&vectors["rtpIndex"]));
        let (plain, expected) = (hex(&vectors["rtp"]), hex(&case["srtp"]));
        let (header, payload) = plain.split_at(12);
        let mut data = [payload, &[0; 16]].concat();
        cipher.seal(ssrc, index, header, &mut data).unwrap();
        assert_eq!(data, expected[12..]);
        let mut apart = vec![0; payload.len() + 16];
        cipher.seal_from(ssrc, index, header, payload, &mut apart).unwrap();
        assert_eq!(apart, expected[12..]);
        cipher.open(ssrc, index, header, &mut data).unwrap();
        assert_eq!(&data[..payload.len()], payload);

        let (ssrc, index) = (number(&vectors["rtcpSsrc"]) as u32, number(&vectors["rtcpIndex"]));
        let (plain, expected) = (hex(&vectors["rtcp"]), hex(&case["srtcp"]));
        let word = rtcp_index_word(index as u32);
        let clear = rtcp_clear_part(&plain, word).unwrap();
        let mut data = [&plain[RTCP_CLEAR_LEN..], &[0; 16]].concat();
        cipher.seal(ssrc, index, &clear, &mut data).unwrap();
        assert_eq!([&plain[..RTCP_CLEAR_LEN], &data, &word].concat(), expected);
    }
}

#[test]
fn makes_the_key_stream_of_rfc_3711() {
    let vectors = &vectors()["rfc3711Keystream"];
    let salt = hex(&vectors["salt"]).try_into().unwrap();
    let cipher = CounterModeCipher::from_session_keys(&hex(&vectors["key"]), &[0; 20], salt).unwrap();
    let mut stream = vec![0; 65_282 * 16];
    cipher.apply(0, 0, &mut stream).unwrap();
    for (block, expected) in vectors["blocks"].as_object().unwrap() {
        let at = block.parse::<usize>().unwrap() * 16;
        assert_eq!(stream[at..at + 16], hex(expected), "block {block}");
    }
}

#[test]
fn derives_the_keys_of_rfc_3711_and_rfc_6188() {
    let vectors = vectors();
    let case = &vectors["rfc3711Derivation"];
    let derivation = Derivation::new(&hex(&case["masterKey"]), &hex(&case["masterSalt"])).unwrap();
    assert_eq!(derivation.derive::<16>(Label::RtpEncryption).unwrap(), *hex(&case["cipherKey"]));
    assert_eq!(derivation.derive::<14>(Label::RtpSalt).unwrap(), *hex(&case["cipherSalt"]));
    assert_eq!(derivation.derive::<94>(Label::RtpAuthentication).unwrap(), *hex(&case["authenticationKey"]));

    let case = &vectors["rfc6188Derivation"];
    let derivation = Derivation::new(&hex(&case["masterKey"]), &hex(&case["masterSalt"])).unwrap();
    assert_eq!(derivation.derive::<32>(Label::RtpEncryption).unwrap(), *hex(&case["cipherKey"]));
    assert_eq!(derivation.derive::<14>(Label::RtpSalt).unwrap(), *hex(&case["cipherSalt"]));
}
