//! The relay's protocol state, pure: bytes and the time come in as arguments, datagrams and events go out
//! through an [`api::Outbox`]. No socket, no thread, no clock.
#![forbid(unsafe_code)]

pub mod allowance;
pub mod api;
pub mod audio;
pub mod clock;
pub mod codec;
pub mod estimate;
pub mod feedback;
pub mod ice;
pub mod keyframes;
pub mod layers;
pub mod loss;
pub mod munge;
pub mod nack;
pub mod peer;
pub mod rate;
pub mod receive;
pub mod relay;
pub mod ring;
pub mod routes;
pub mod rtx;
pub mod slab;
pub mod srtp;
pub mod subscription;
pub mod track;
pub mod transit;
pub mod wire;
