//! STUN messages, as they come and in a well-formed frame; a request that parses is answered in every way.
#![no_main]

use bridge_relay_core::wire::stun::{
    ErrorCode, IntegrityKey, MAX_WRITTEN_LEN, Message, parse, write_error, write_success,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    handle(input);
    if let [class, body @ ..] = input {
        handle(&framed(*class, body));
    }
});

/// Takes the attributes from the input and makes type, length, cookie and padding right.
fn framed(class: u8, attributes: &[u8]) -> Vec<u8> {
    let message_type = [0x0001u16, 0x0011, 0x0101, 0x0111][usize::from(class % 4)];
    let length = attributes.len().next_multiple_of(4);
    let mut message = message_type.to_be_bytes().to_vec();
    message.extend_from_slice(&(length as u16).to_be_bytes());
    message.extend_from_slice(&0x2112_a442u32.to_be_bytes());
    message.extend_from_slice(&[class; 12]);
    message.extend_from_slice(attributes);
    message.resize(20 + length, 0);
    message
}

fn handle(datagram: &[u8]) {
    let key = IntegrityKey::new("a password of some length");
    match parse(datagram) {
        Ok(Message::Request(request)) => {
            assert!(request.verify(&key).is_err(), "nobody guesses an HMAC");
            assert_eq!(request.local_ufrag().is_some(), request.remote_ufrag().is_some());
            let mut out = [0; MAX_WRITTEN_LEN];
            for code in [ErrorCode::BadRequest, ErrorCode::Unauthenticated, ErrorCode::UnknownAttribute] {
                let unsigned = write_error(&mut out, &request, code, None).expect("room for any response");
                assert!(unsigned.is_none_or(|len| len <= datagram.len()), "amplification");
                let signed =
                    write_error(&mut out, &request, code, Some(&key)).expect("room for any response");
                let len = signed.expect("signed responses are always sent");
                let Ok(Message::Response(response)) = parse(&out[..len]) else {
                    panic!("unreadable response")
                };
                assert_eq!((response.error_code, response.verify(&key)), (Some(code as u16), Ok(())));
            }
            let address = "192.0.2.7:5004".parse().expect("an address");
            let len = write_success(&mut out, &request, address, &key).expect("room for any response");
            let Ok(Message::Response(response)) = parse(&out[..len]) else { panic!("unreadable response") };
            assert_eq!(response.mapped_address, Some(address));
        }
        Ok(Message::Response(response)) => assert!(response.verify(&key).is_err(), "nobody guesses an HMAC"),
        Ok(Message::Indication) | Err(_) => {}
    }
}
