//! SRTP and SRTCP (RFC 3711, RFC 7714): contexts for one direction of one peer. They know nothing of routing; all
//! cipher work is aws-lc-rs. Keys are derived once (kdr 0), nothing allocates per packet.

mod crypto;
mod kdf;
mod receiver;
mod replay;
mod sender;
#[cfg(test)]
mod vector_tests;

pub use receiver::{SrtpReceiver, Unprotected};
pub use sender::{SrtpSender, StreamSlot};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SrtpError {
    /// Keying material has not the length that the profile asks for.
    KeyLength,
    /// Too short or not shaped as (S)RTP or (S)RTCP.
    Malformed,
    /// Sending: the buffer or the index does not fit the packet.
    Mismatch,
    /// Receiving: the packet was seen before. Sending: the index was used before under this key.
    Replayed,
    /// Older than the window.
    TooOld,
    Unauthenticated,
    /// More SSRCs than one peer may have.
    TooManyStreams,
    /// All indices of the key are used up; new keys are needed.
    Exhausted,
}
