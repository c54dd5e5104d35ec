//! The relay's protocol state, pure: bytes and the time come in as arguments, datagrams and events go out
//! through an [`api::Outbox`]. No socket, no thread, no clock.
#![forbid(unsafe_code)]

pub mod api;
pub mod codec;
pub mod relay;
pub mod srtp;
pub mod wire;
