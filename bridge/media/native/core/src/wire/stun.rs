//! STUN binding messages for ICE (RFC 8489, RFC 8445 section 7): parsing, short-term integrity, responses.
//! Knows no peer: the caller finds the credentials by the username fragment. Nothing here allocates.

use std::net::SocketAddr;

use aws_lc_rs::hmac;

pub const TRANSACTION_ID_LEN: usize = 12;
/// No response and no request written here is longer.
pub const MAX_WRITTEN_LEN: usize = 640;

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

/// A password made ready for many checks.
pub struct IntegrityKey(hmac::Key);

impl IntegrityKey {
    #[must_use]
    pub fn new(password: &str) -> Self { todo!() }
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
    count: u8,
}

impl UnknownAttributes {
    #[must_use]
    pub fn as_slice(&self) -> &[u16] { todo!() }
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
    integrity_at: usize,
}

impl<'a> BindingRequest<'a> {
    /// The receiver's fragment: what stands before the colon of USERNAME (RFC 8445 section 7.2.2).
    #[must_use]
    pub fn local_ufrag(&self) -> Option<&'a [u8]> { todo!() }

    /// The sender's fragment: what stands after the colon.
    #[must_use]
    pub fn remote_ufrag(&self) -> Option<&'a [u8]> { todo!() }

    /// Checks MESSAGE-INTEGRITY with the receiver's password. Attributes behind it were never read.
    pub fn verify(&self, key: &IntegrityKey) -> Result<(), StunError> { todo!() }

    /// Length of the whole message.
    #[must_use]
    pub fn message_len(&self) -> usize { self.message.len() }
}

#[derive(Clone, Copy, Debug)]
pub struct BindingResponse<'a> {
    pub transaction_id: [u8; TRANSACTION_ID_LEN],
    /// Absent in a success response.
    pub error_code: Option<u16>,
    pub mapped_address: Option<SocketAddr>,
    message: &'a [u8],
    integrity_at: usize,
}

impl BindingResponse<'_> {
    /// Checks MESSAGE-INTEGRITY with the responder's password.
    pub fn verify(&self, key: &IntegrityKey) -> Result<(), StunError> { todo!() }
}

/// Reads a binding message; FINGERPRINT is checked where there is one, MESSAGE-INTEGRITY by `verify`.
pub fn parse(datagram: &[u8]) -> Result<Message<'_>, StunError> { todo!() }

/// Answers an authenticated request; returns the response's length.
pub fn write_success(
    out: &mut [u8],
    request: &BindingRequest<'_>,
    mapped: SocketAddr,
    key: &IntegrityKey,
) -> Result<usize, StunError> { todo!() }

/// Refuses a request. With `key` the request was authenticated and the response is signed. Without, the response
/// carries no reason text, and `None` is returned where it would still be longer than the request: send nothing.
pub fn write_error(
    out: &mut [u8],
    request: &BindingRequest<'_>,
    code: ErrorCode,
    key: Option<&IntegrityKey>,
) -> Result<Option<usize>, StunError> { todo!() }

/// What a check says (RFC 8445 section 7.2.2).
#[derive(Clone, Copy, Debug)]
pub struct RequestFields<'a> {
    pub transaction_id: [u8; TRANSACTION_ID_LEN],
    /// `receiver:sender` fragments.
    pub username: &'a str,
    pub priority: u32,
    pub role: IceRole,
    pub use_candidate: bool,
}

/// Writes a binding request signed with the receiver's password.
pub fn write_request(out: &mut [u8], fields: &RequestFields<'_>, key: &IntegrityKey) -> Result<usize, StunError> { todo!() }
