//! Wire formats, SRTP and codec headers through their public calls.

mod codec;
mod robustness;
mod rtcp;
mod rtp;
mod srtp;
mod stun;

use serde_json::Value;

fn vectors(name: &str) -> Value {
    let path = format!("{}/../../../../tests/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(&path).expect(&path)).expect(&path)
}

fn hex(digits: &str) -> Vec<u8> {
    let digits: String = digits.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}
