//! STUN binding messages for ICE (RFC 8489, RFC 8445 section 7): parsing, short-term integrity, responses.
//! Knows no peer: the caller finds the credentials by the username fragment. Nothing here allocates.

mod fingerprint;
mod write;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use aws_lc_rs::{constant_time, hmac};

use super::{read_u16, read_u32, read_u64};
use fingerprint::fingerprint;

pub use write::{RequestFields, write_error, write_request, write_success};

pub const TRANSACTION_ID_LEN: usize = 12;
/// No response and no request written here is longer.
pub const MAX_WRITTEN_LEN: usize = 640;

const HEADER_LEN: usize = 20;
const COOKIE: u32 = 0x2112_a442;
const INTEGRITY_LEN: usize = 20;
/// RFC 8489 section 6.1: a message must fit the path MTU; more is not a check but a burden.
const MAX_MESSAGE_LEN: usize = 1500;
/// RFC 8489 section 14.3 says fewer than 509 bytes; the older RFC 5389 513.
const MAX_USERNAME_LEN: usize = 512;

const BINDING_REQUEST: u16 = 0x0001;
const BINDING_INDICATION: u16 = 0x0011;
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;

const MAPPED_ADDRESS: u16 = 0x0001;
const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const PRIORITY: u16 = 0x0024;
const USE_CANDIDATE: u16 = 0x0025;
const FINGERPRINT: u16 = 0x8028;
const ICE_CONTROLLED: u16 = 0x8029;
const ICE_CONTROLLING: u16 = 0x802a;
/// From here on an attribute may be passed over (RFC 8489 section 14).
const FIRST_OPTIONAL: u16 = 0x8000;

const FAMILY_IPV4: u8 = 1;
const FAMILY_IPV6: u8 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StunError {
    /// Not a well-formed STUN message.
    Malformed,
    /// FINGERPRINT is there and wrong.
    Fingerprint,
    /// MESSAGE-INTEGRITY is absent or wrong.
    Integrity,
    NoRoom,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    BadRequest = 400,
    Unauthenticated = 401,
    UnknownAttribute = 420,
    RoleConflict = 487,
}

impl ErrorCode {
    fn reason(self) -> &'static [u8] {
        match self {
            Self::BadRequest => b"Bad Request",
            Self::Unauthenticated => b"Unauthenticated",
            Self::UnknownAttribute => b"Unknown Attribute",
            Self::RoleConflict => b"Role Conflict",
        }
    }
}

/// A password made ready for many checks.
pub struct IntegrityKey(hmac::Key);

impl IntegrityKey {
    #[must_use]
    pub fn new(password: &str) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes()))
    }

    /// The HMAC of all before the attribute at `integrity_at`, the header's length pretending that the message ends
    /// with that attribute (RFC 8489 section 14.5).
    fn sign(&self, message: &[u8], integrity_at: usize) -> Option<hmac::Tag> {
        let pretended_len = u16::try_from(integrity_at + 4 + INTEGRITY_LEN - HEADER_LEN).ok()?;
        let mut context = hmac::Context::with_key(&self.0);
        context.update(message.get(..2)?);
        context.update(&pretended_len.to_be_bytes());
        context.update(message.get(4..integrity_at)?);
        Some(context.sign())
    }

    fn verify(&self, message: &[u8], integrity_at: Option<usize>) -> Result<(), StunError> {
        let at = integrity_at.ok_or(StunError::Integrity)?;
        let expected = self.sign(message, at).ok_or(StunError::Integrity)?;
        let found = message.get(at + 4..at + 4 + INTEGRITY_LEN).ok_or(StunError::Integrity)?;
        constant_time::verify_slices_are_equal(expected.as_ref(), found).map_err(|_| StunError::Integrity)
    }
}

/// The sender's ICE role and its tie-breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IceRole {
    Controlling(u64),
    Controlled(u64),
}

/// Comprehension-required attributes that are not understood; only the first few are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnknownAttributes {
    types: [u16; 4],
    count: usize,
}

impl UnknownAttributes {
    #[must_use]
    pub fn as_slice(&self) -> &[u16] {
        self.types.get(..self.count).unwrap_or_default()
    }

    fn push(&mut self, attribute: u16) {
        if let Some(place) = self.types.get_mut(self.count) {
            *place = attribute;
            self.count += 1;
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Message<'a> {
    Request(BindingRequest<'a>),
    /// A success or error response, for the client role.
    Response(BindingResponse<'a>),
    /// A binding indication: a keep-alive without answer.
    Indication,
}

#[derive(Clone, Copy, Debug)]
pub struct BindingRequest<'a> {
    pub transaction_id: [u8; TRANSACTION_ID_LEN],
    pub username: Option<&'a [u8]>,
    pub priority: Option<u32>,
    pub use_candidate: bool,
    pub role: Option<IceRole>,
    pub unknown: UnknownAttributes,
    message: &'a [u8],
    integrity_at: Option<usize>,
}

impl<'a> BindingRequest<'a> {
    /// The receiver's fragment: what stands before the colon of USERNAME (RFC 8445 section 7.2.2).
    #[must_use]
    pub fn local_ufrag(&self) -> Option<&'a [u8]> {
        self.fragments().map(|(local, _)| local)
    }

    /// The sender's fragment: what stands after the colon.
    #[must_use]
    pub fn remote_ufrag(&self) -> Option<&'a [u8]> {
        self.fragments().map(|(_, remote)| remote)
    }

    /// Checks MESSAGE-INTEGRITY with the receiver's password. Attributes behind it were never read.
    pub fn verify(&self, key: &IntegrityKey) -> Result<(), StunError> {
        key.verify(self.message, self.integrity_at)
    }

    /// Length of the whole message.
    #[must_use]
    pub fn message_len(&self) -> usize {
        self.message.len()
    }

    fn fragments(&self) -> Option<(&'a [u8], &'a [u8])> {
        let username = self.username?;
        let colon = username.iter().position(|byte| *byte == b':')?;
        Some((username.get(..colon)?, username.get(colon + 1..)?))
    }
}

#[derive(Clone, Copy, Debug)]
pub struct BindingResponse<'a> {
    pub transaction_id: [u8; TRANSACTION_ID_LEN],
    /// Absent in a success response.
    pub error_code: Option<u16>,
    pub mapped_address: Option<SocketAddr>,
    message: &'a [u8],
    integrity_at: Option<usize>,
}

impl BindingResponse<'_> {
    /// Checks MESSAGE-INTEGRITY with the responder's password.
    pub fn verify(&self, key: &IntegrityKey) -> Result<(), StunError> {
        key.verify(self.message, self.integrity_at)
    }
}

/// All attributes of interest, whatever the message; the first of each kind counts (RFC 8489 section 14).
#[derive(Default)]
struct Attributes<'a> {
    username: Option<&'a [u8]>,
    priority: Option<u32>,
    use_candidate: bool,
    role: Option<IceRole>,
    mapped_address: Option<SocketAddr>,
    error_code: Option<u16>,
    unknown: UnknownAttributes,
    integrity_at: Option<usize>,
}

/// Reads a binding message; FINGERPRINT is checked where there is one, MESSAGE-INTEGRITY by `verify`.
pub fn parse(datagram: &[u8]) -> Result<Message<'_>, StunError> {
    let malformed = StunError::Malformed;
    let message_type = read_u16(datagram, 0).ok_or(malformed)?;
    let length = usize::from(read_u16(datagram, 2).ok_or(malformed)?);
    let cookie = read_u32(datagram, 4).ok_or(malformed)?;
    let transaction_id = *datagram.get(8..).and_then(|rest| rest.first_chunk()).ok_or(malformed)?;
    if cookie != COOKIE
        || length % 4 != 0
        || datagram.len() != HEADER_LEN + length
        || datagram.len() > MAX_MESSAGE_LEN
    {
        return Err(malformed);
    }
    if !matches!(message_type, BINDING_REQUEST | BINDING_INDICATION | BINDING_SUCCESS | BINDING_ERROR) {
        return Err(malformed);
    }
    let attributes = read_attributes(datagram, &transaction_id)?;
    Ok(match message_type {
        BINDING_REQUEST => Message::Request(BindingRequest {
            transaction_id,
            username: attributes.username,
            priority: attributes.priority,
            use_candidate: attributes.use_candidate,
            role: attributes.role,
            unknown: attributes.unknown,
            message: datagram,
            integrity_at: attributes.integrity_at,
        }),
        BINDING_INDICATION => Message::Indication,
        _ => {
            if (message_type == BINDING_ERROR) != attributes.error_code.is_some() {
                return Err(malformed);
            }
            Message::Response(BindingResponse {
                transaction_id,
                error_code: attributes.error_code,
                mapped_address: attributes.mapped_address,
                message: datagram,
                integrity_at: attributes.integrity_at,
            })
        }
    })
}

fn read_attributes<'a>(
    message: &'a [u8],
    transaction_id: &[u8; TRANSACTION_ID_LEN],
) -> Result<Attributes<'a>, StunError> {
    let malformed = StunError::Malformed;
    let mut found = Attributes::default();
    let mut at = HEADER_LEN;
    while at < message.len() {
        let attribute = read_u16(message, at).ok_or(malformed)?;
        let len = usize::from(read_u16(message, at + 2).ok_or(malformed)?);
        let value = message.get(at + 4..at + 4 + len).ok_or(malformed)?;
        let next = at + 4 + len.next_multiple_of(4);
        if attribute == FINGERPRINT {
            if next != message.len() || len != 4 {
                return Err(malformed);
            }
            if read_u32(value, 0) != Some(fingerprint(message.get(..at).ok_or(malformed)?)) {
                return Err(StunError::Fingerprint);
            }
        } else if found.integrity_at.is_none() {
            // What follows MESSAGE-INTEGRITY is not covered by it and must be ignored (RFC 8489 section 14.5).
            read_attribute(&mut found, attribute, value, at, transaction_id)?;
        }
        at = next;
    }
    if at != message.len() {
        return Err(malformed);
    }
    Ok(found)
}

fn read_attribute<'a>(
    found: &mut Attributes<'a>,
    attribute: u16,
    value: &'a [u8],
    at: usize,
    transaction_id: &[u8; TRANSACTION_ID_LEN],
) -> Result<(), StunError> {
    let malformed = StunError::Malformed;
    let exactly = |len: usize| if value.len() == len { Ok(()) } else { Err(malformed) };
    match attribute {
        MESSAGE_INTEGRITY => {
            exactly(INTEGRITY_LEN)?;
            found.integrity_at = Some(at);
        }
        USERNAME => {
            if value.len() > MAX_USERNAME_LEN {
                return Err(malformed);
            }
            found.username.get_or_insert(value);
        }
        PRIORITY => {
            exactly(4)?;
            found.priority = found.priority.or(read_u32(value, 0));
        }
        USE_CANDIDATE => {
            exactly(0)?;
            found.use_candidate = true;
        }
        ICE_CONTROLLING => {
            exactly(8)?;
            found.role = found.role.or(read_u64(value, 0).map(IceRole::Controlling));
        }
        ICE_CONTROLLED => {
            exactly(8)?;
            found.role = found.role.or(read_u64(value, 0).map(IceRole::Controlled));
        }
        XOR_MAPPED_ADDRESS => {
            let mapped = read_xor_address(value, transaction_id).ok_or(malformed)?;
            found.mapped_address.get_or_insert(mapped);
        }
        ERROR_CODE => {
            let [_, _, class, number, ..] = *value else { return Err(malformed) };
            found.error_code.get_or_insert(u16::from(class & 7) * 100 + u16::from(number));
        }
        MAPPED_ADDRESS | UNKNOWN_ATTRIBUTES => {}
        _ if attribute < FIRST_OPTIONAL => found.unknown.push(attribute),
        _ => {}
    }
    Ok(())
}

fn read_xor_address(value: &[u8], transaction_id: &[u8; TRANSACTION_ID_LEN]) -> Option<SocketAddr> {
    let port = read_u16(value, 2)? ^ (COOKIE >> 16) as u16;
    let ip = match (value.get(1)?, value.get(4..)?) {
        (&FAMILY_IPV4, address) => IpAddr::V4(Ipv4Addr::from(u32::from_be_bytes(*exact(address)?) ^ COOKIE)),
        (&FAMILY_IPV6, address) => {
            let mask = xor_mask(transaction_id);
            IpAddr::V6(Ipv6Addr::from(u128::from_be_bytes(*exact(address)?) ^ mask))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn exact<const N: usize>(bytes: &[u8]) -> Option<&[u8; N]> {
    bytes.try_into().ok()
}

/// Cookie and transaction id: what an IPv6 address is XORed with.
fn xor_mask(transaction_id: &[u8; TRANSACTION_ID_LEN]) -> u128 {
    transaction_id.iter().fold(u128::from(COOKIE), |mask, byte| mask << 8 | u128::from(*byte))
}
