//! Wire formats: bytes to values and back. Nothing here holds state, knows a peer or decrypts.

pub mod demux;
pub mod rtcp;
pub mod rtp;
pub mod stun;
