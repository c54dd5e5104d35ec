//! Writes binding requests and their answers into a caller's buffer.

use std::net::{IpAddr, SocketAddr};

use super::fingerprint::fingerprint;
use super::{
    BINDING_ERROR, BINDING_REQUEST, BINDING_SUCCESS, BindingRequest, COOKIE, ERROR_CODE, ErrorCode,
    FAMILY_IPV4, FAMILY_IPV6, FINGERPRINT, HEADER_LEN, ICE_CONTROLLED, ICE_CONTROLLING, IceRole,
    IntegrityKey, MESSAGE_INTEGRITY, PRIORITY, StunError, TRANSACTION_ID_LEN, UNKNOWN_ATTRIBUTES,
    USE_CANDIDATE, USERNAME, XOR_MAPPED_ADDRESS, xor_mask,
};

/// Answers an authenticated request; returns the response's length.
pub fn write_success(
    out: &mut [u8],
    request: &BindingRequest<'_>,
    mapped: SocketAddr,
    key: &IntegrityKey,
) -> Result<usize, StunError> {
    let mut writer = Writer::start(out, BINDING_SUCCESS, &request.transaction_id)?;
    writer.xor_address(mapped, &request.transaction_id)?;
    writer.integrity(key)?;
    writer.fingerprint()
}

/// Refuses a request. With `key` the request was authenticated and the response is signed. Without, the response
/// carries no reason text, and `None` is returned where it would still be longer than the request: send nothing.
pub fn write_error(
    out: &mut [u8],
    request: &BindingRequest<'_>,
    code: ErrorCode,
    key: Option<&IntegrityKey>,
) -> Result<Option<usize>, StunError> {
    let number = code as u16;
    let mut writer = Writer::start(out, BINDING_ERROR, &request.transaction_id)?;
    let reason = if key.is_some() { code.reason() } else { &[] };
    writer.attribute(ERROR_CODE, &[&[0, 0, (number / 100) as u8, (number % 100) as u8], reason])?;
    if code == ErrorCode::UnknownAttribute {
        let mut types = [0; 8];
        let unknown = request.unknown.as_slice();
        for (place, attribute) in types.chunks_exact_mut(2).zip(unknown) {
            place.copy_from_slice(&attribute.to_be_bytes());
        }
        writer.attribute(UNKNOWN_ATTRIBUTES, &[types.get(..unknown.len() * 2).unwrap_or_default()])?;
    }
    if let Some(key) = key {
        writer.integrity(key)?;
    }
    let len = writer.fingerprint()?;
    Ok((key.is_some() || len <= request.message_len()).then_some(len))
}

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
pub fn write_request(
    out: &mut [u8],
    fields: &RequestFields<'_>,
    key: &IntegrityKey,
) -> Result<usize, StunError> {
    let mut writer = Writer::start(out, BINDING_REQUEST, &fields.transaction_id)?;
    writer.attribute(USERNAME, &[fields.username.as_bytes()])?;
    writer.attribute(PRIORITY, &[&fields.priority.to_be_bytes()])?;
    match fields.role {
        IceRole::Controlling(tie_breaker) => {
            writer.attribute(ICE_CONTROLLING, &[&tie_breaker.to_be_bytes()])?
        }
        IceRole::Controlled(tie_breaker) => {
            writer.attribute(ICE_CONTROLLED, &[&tie_breaker.to_be_bytes()])?
        }
    }
    if fields.use_candidate {
        writer.attribute(USE_CANDIDATE, &[])?;
    }
    writer.integrity(key)?;
    writer.fingerprint()
}

/// Appends attributes to a message and keeps the header's length right.
struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    fn start(
        out: &'a mut [u8],
        message_type: u16,
        transaction_id: &[u8; TRANSACTION_ID_LEN],
    ) -> Result<Self, StunError> {
        let header = out.first_chunk_mut::<HEADER_LEN>().ok_or(StunError::NoRoom)?;
        header[..2].copy_from_slice(&message_type.to_be_bytes());
        header[2..4].fill(0);
        header[4..8].copy_from_slice(&COOKIE.to_be_bytes());
        header[8..].copy_from_slice(transaction_id);
        Ok(Self { out, len: HEADER_LEN })
    }

    /// Appends an attribute whose value is the `parts` in a row.
    fn attribute(&mut self, attribute: u16, parts: &[&[u8]]) -> Result<(), StunError> {
        let value_len = parts.iter().map(|part| part.len()).sum::<usize>();
        let end = self.len + 4 + value_len.next_multiple_of(4);
        let place = self.out.get_mut(self.len..end).ok_or(StunError::NoRoom)?;
        let value_len = u16::try_from(value_len).map_err(|_| StunError::NoRoom)?;
        place.fill(0);
        place[..2].copy_from_slice(&attribute.to_be_bytes());
        place[2..4].copy_from_slice(&value_len.to_be_bytes());
        let mut at = 4;
        for part in parts {
            place[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        self.len = end;
        let length = u16::try_from(end - HEADER_LEN).map_err(|_| StunError::NoRoom)?;
        self.out[2..4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    fn xor_address(
        &mut self,
        address: SocketAddr,
        transaction_id: &[u8; TRANSACTION_ID_LEN],
    ) -> Result<(), StunError> {
        let port = (address.port() ^ (COOKIE >> 16) as u16).to_be_bytes();
        match address.ip().to_canonical() {
            IpAddr::V4(ip) => {
                let ip = (u32::from(ip) ^ COOKIE).to_be_bytes();
                self.attribute(XOR_MAPPED_ADDRESS, &[&[0, FAMILY_IPV4], &port, &ip])
            }
            IpAddr::V6(ip) => {
                let ip = (u128::from(ip) ^ xor_mask(transaction_id)).to_be_bytes();
                self.attribute(XOR_MAPPED_ADDRESS, &[&[0, FAMILY_IPV6], &port, &ip])
            }
        }
    }

    fn integrity(&mut self, key: &IntegrityKey) -> Result<(), StunError> {
        let tag = key.sign(self.out, self.len).ok_or(StunError::NoRoom)?;
        self.attribute(MESSAGE_INTEGRITY, &[tag.as_ref()])
    }

    fn fingerprint(mut self) -> Result<usize, StunError> {
        let at = self.len;
        // The checksum covers the header with its final length, so the attribute goes in first.
        self.attribute(FINGERPRINT, &[&[0; 4]])?;
        let value = fingerprint(&self.out[..at]).to_be_bytes();
        self.out[at + 4..at + 8].copy_from_slice(&value);
        Ok(self.len)
    }
}
