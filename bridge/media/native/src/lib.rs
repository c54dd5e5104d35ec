//! Drives the relay core: one UDP port, one thread, the queues to and from it, and the Python module around them.
//! Knows nothing of RTP, STUN or SRTP; that is `bridge_relay_core`. Only `crowd`, the clients that measure a relay, does.

mod address;
pub mod clock;
pub mod crowd;
pub mod driver;
mod outbox;
mod patience;
pub mod poll;
mod queue;
pub mod send;
pub mod socket;
mod taps;
mod thread;

#[cfg(feature = "python")]
mod python;
