//! STUN: the vectors of RFC 5769, what is refused, and how responses look.

use std::net::SocketAddr;

use bridge_relay_core::wire::stun::{
    BindingRequest, BindingResponse, ErrorCode, IceRole, IntegrityKey, MAX_WRITTEN_LEN, Message,
    RequestFields, StunError, parse, write_error, write_request, write_success,
};
use proptest::prelude::*;

use crate::{hex, vectors};

const PASSWORD: &str = "asd88fgpdd777uzjYhagZg";

fn request(datagram: &[u8]) -> BindingRequest<'_> {
    match parse(datagram) {
        Ok(Message::Request(request)) => request,
        other => panic!("not a request: {other:?}"),
    }
}

fn response(datagram: &[u8]) -> BindingResponse<'_> {
    match parse(datagram) {
        Ok(Message::Response(response)) => response,
        other => panic!("not a response: {other:?}"),
    }
}

fn check(use_candidate: bool) -> Vec<u8> {
    let fields = RequestFields {
        transaction_id: *b"0123456789ab",
        username: "hubfrag:satfrag",
        priority: 0x6e00_01ff,
        role: IceRole::Controlling(42),
        use_candidate,
    };
    let mut out = [0; MAX_WRITTEN_LEN];
    let len = write_request(&mut out, &fields, &IntegrityKey::new(PASSWORD)).unwrap();
    out[..len].to_vec()
}

/// A message of the given type with the given attributes, unsigned.
fn unsigned(message_type: u16, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (attribute, value) in attributes {
        body.extend_from_slice(&attribute.to_be_bytes());
        body.extend_from_slice(&(value.len() as u16).to_be_bytes());
        body.extend_from_slice(value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    let mut message = message_type.to_be_bytes().to_vec();
    message.extend_from_slice(&(body.len() as u16).to_be_bytes());
    message.extend_from_slice(&hex("2112a442"));
    message.extend_from_slice(b"abcdefghijkl");
    message.extend_from_slice(&body);
    message
}

#[test]
fn understands_the_request_of_rfc_5769() {
    let vectors = vectors("stun_rfc5769");
    let datagram = hex(vectors["request"].as_str().unwrap());
    let request = request(&datagram);
    assert_eq!(request.local_ufrag(), Some(&b"evtj"[..]));
    assert_eq!(request.remote_ufrag(), Some(&b"h6vY"[..]));
    assert_eq!(request.priority, Some(0x6e00_01ff));
    assert_eq!(request.role, Some(IceRole::Controlled(0x932f_f9b1_5126_3b36)));
    assert!(!request.use_candidate);
    assert_eq!(request.verify(&IntegrityKey::new(vectors["password"].as_str().unwrap())), Ok(()));
    assert_eq!(request.verify(&IntegrityKey::new("another password")), Err(StunError::Integrity));
}

#[test]
fn understands_the_responses_of_rfc_5769() {
    let vectors = vectors("stun_rfc5769");
    let key = IntegrityKey::new(vectors["password"].as_str().unwrap());
    let table = [
        ("responseIpv4", "192.0.2.1:32853"),
        ("responseIpv6", "[2001:db8:1234:5678:11:2233:4455:6677]:32853"),
    ];
    for (name, mapped) in table {
        let datagram = hex(vectors[name].as_str().unwrap());
        let response = response(&datagram);
        assert_eq!(response.mapped_address, Some(mapped.parse().unwrap()));
        assert_eq!(response.error_code, None);
        assert_eq!(response.verify(&key), Ok(()));
    }
}

#[test]
fn answers_a_check_with_the_address_it_came_from() {
    let datagram = check(true);
    let request = request(&datagram);
    let key = IntegrityKey::new(PASSWORD);
    assert!(request.use_candidate);
    assert_eq!(request.verify(&key), Ok(()));
    let table = [
        ("192.0.2.9:5004", "192.0.2.9:5004"),
        ("[2001:db8::1]:1", "[2001:db8::1]:1"),
        ("[::ffff:192.0.2.9]:7", "192.0.2.9:7"),
    ];
    for (from, mapped) in table {
        let mut out = [0; MAX_WRITTEN_LEN];
        let len = write_success(&mut out, &request, from.parse().unwrap(), &key).unwrap();
        let response = response(&out[..len]);
        assert_eq!(response.transaction_id, request.transaction_id);
        assert_eq!(response.mapped_address, Some(mapped.parse::<SocketAddr>().unwrap()));
        assert_eq!(response.verify(&key), Ok(()));
    }
}

#[test]
fn any_changed_byte_breaks_the_check() {
    let mut datagram = check(true);
    let key = IntegrityKey::new(PASSWORD);
    // Without FINGERPRINT, which would be first to see it.
    datagram.truncate(datagram.len() - 8);
    datagram[3] -= 8;
    assert_eq!(request(&datagram).verify(&key), Ok(()));
    for at in 0..datagram.len() {
        let mut changed = datagram.clone();
        changed[at] ^= 0x10;
        if let Ok(Message::Request(request)) = parse(&changed) {
            assert_eq!(request.verify(&key), Err(StunError::Integrity), "byte {at}");
        }
    }
}

#[test]
fn ignores_what_follows_the_integrity_attribute() {
    let signed = check(false);
    // Without FINGERPRINT, with USE-CANDIDATE and an unknown attribute smuggled in behind MESSAGE-INTEGRITY.
    let mut datagram = signed[..signed.len() - 8].to_vec();
    datagram.extend_from_slice(&hex("00250000 7fff0000"));
    let request = request(&datagram);
    assert!(!request.use_candidate);
    assert!(request.unknown.as_slice().is_empty());
}

#[test]
fn names_the_attributes_it_must_understand_and_does_not() {
    let attributes: [(u16, &[u8]); 7] = [
        (0x7001, &[]),
        (0xc057, &[1, 2]),
        (0x7002, &[9]),
        (0x7003, &[]),
        (0x7004, &[]),
        (0x7005, &[]),
        (0x8022, b"x"),
    ];
    let datagram = unsigned(0x0001, &attributes);
    let request = request(&datagram);
    assert_eq!(request.unknown.as_slice(), [0x7001, 0x7002, 0x7003, 0x7004]);
    let mut out = [0; MAX_WRITTEN_LEN];
    let key = IntegrityKey::new(PASSWORD);
    let len = write_error(&mut out, &request, ErrorCode::UnknownAttribute, Some(&key)).unwrap().unwrap();
    let response = response(&out[..len]);
    assert_eq!((response.error_code, response.verify(&key)), (Some(420), Ok(())));
}

#[test]
fn never_answers_the_unauthenticated_with_more_than_it_sent() {
    let codes = [
        ErrorCode::BadRequest,
        ErrorCode::Unauthenticated,
        ErrorCode::UnknownAttribute,
        ErrorCode::RoleConflict,
    ];
    for username_len in [0, 1, 8, 12, 16, 64] {
        let username = vec![b'u'; username_len];
        let datagram = unsigned(0x0001, &[(0x0006, &username), (0x7001, &[]), (0x7002, &[])]);
        for code in codes {
            let mut out = [0; MAX_WRITTEN_LEN];
            if let Some(len) = write_error(&mut out, &request(&datagram), code, None).unwrap() {
                assert!(len <= datagram.len());
                assert_eq!(response(&out[..len]).error_code, Some(code as u16));
            } else {
                assert!(username_len <= 12, "a refusal fits {} bytes", datagram.len());
            }
        }
    }
    let mut out = [0; MAX_WRITTEN_LEN];
    let bare = unsigned(0x0001, &[]);
    assert_eq!(write_error(&mut out, &request(&bare), ErrorCode::BadRequest, None), Ok(None));
}

#[test]
fn refuses_what_is_not_a_binding_message() {
    let valid = check(false);
    let mut cut = valid.clone();
    cut.truncate(valid.len() - 4);
    let mut longer = valid.clone();
    longer.extend_from_slice(&[0; 4]);
    let mut cookie = valid.clone();
    cookie[4] ^= 1;
    let attribute_beyond = {
        let mut datagram = unsigned(0x0001, &[(0x0006, b"user")]);
        datagram[23] = 200;
        datagram
    };
    let table = [
        ("empty", vec![]),
        ("header cut", valid[..19].to_vec()),
        ("shorter than it says", cut),
        ("longer than it says", longer),
        ("another cookie", cookie),
        ("allocate request", unsigned(0x0003, &[])),
        ("attribute beyond the end", attribute_beyond),
        ("priority of 3 bytes", unsigned(0x0001, &[(0x0024, &[1, 2, 3])])),
        ("integrity of 16 bytes", unsigned(0x0001, &[(0x0008, &[0; 16])])),
        ("fingerprint not last", unsigned(0x0001, &[(0x8028, &[0; 4]), (0x8022, &[])])),
        ("username too long", unsigned(0x0001, &[(0x0006, &[b'a'; 513])])),
        ("too long", unsigned(0x0001, &[(0x8022, &[b'a'; 1500])])),
        ("error response without a code", unsigned(0x0111, &[])),
        ("success response with a code", unsigned(0x0101, &[(0x0009, &[0, 0, 4, 0])])),
        ("address of no family", unsigned(0x0101, &[(0x0020, &[0, 3, 0, 0, 0, 0, 0, 0])])),
    ];
    for (name, datagram) in table {
        assert_eq!(parse(&datagram).err(), Some(StunError::Malformed), "{name}");
    }
    let mut fingerprint = valid;
    *fingerprint.last_mut().unwrap() ^= 1;
    assert_eq!(parse(&fingerprint).err(), Some(StunError::Fingerprint));
}

#[test]
fn a_request_without_integrity_or_colon_is_not_verified() {
    let datagram = unsigned(0x0001, &[(0x0006, b"nocolon")]);
    let request = request(&datagram);
    assert_eq!(request.local_ufrag(), None);
    assert_eq!(request.verify(&IntegrityKey::new(PASSWORD)), Err(StunError::Integrity));
}

#[test]
fn a_buffer_too_small_is_refused() {
    let datagram = check(false);
    let key = IntegrityKey::new(PASSWORD);
    for len in 0..64 {
        let mut out = vec![0; len];
        let written = write_success(&mut out, &request(&datagram), "192.0.2.1:9".parse().unwrap(), &key);
        assert_eq!(written, Err(StunError::NoRoom));
    }
}

proptest! {
    #[test]
    fn requests_are_read_as_written(
        transaction_id: [u8; 12],
        username in "[a-zA-Z0-9+/]{4,256}:[a-zA-Z0-9+/]{4,250}",
        priority: u32,
        tie_breaker: u64,
        controlling: bool,
        use_candidate: bool,
    ) {
        let role = if controlling { IceRole::Controlling(tie_breaker) } else { IceRole::Controlled(tie_breaker) };
        let fields = RequestFields { transaction_id, username: &username, priority, role, use_candidate };
        let key = IntegrityKey::new(PASSWORD);
        let mut out = [0; MAX_WRITTEN_LEN];
        let len = write_request(&mut out, &fields, &key).unwrap();
        let request = request(&out[..len]);
        prop_assert_eq!(request.transaction_id, transaction_id);
        prop_assert_eq!(request.username, Some(username.as_bytes()));
        prop_assert_eq!((request.priority, request.role), (Some(priority), Some(role)));
        prop_assert_eq!(request.use_candidate, use_candidate);
        prop_assert_eq!(request.verify(&key), Ok(()));
    }
}
