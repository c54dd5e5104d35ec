//! A crowd of clients of a relay, for measuring one under load: each with a socket of its own, ICE checks and SRTP, some
//! publishing a reel with simulcast, the others receiving, counting and reporting back as browsers do. SDP, DTLS and the
//! WebSocket belong to whoever drives it; nothing of a server runs here.

pub mod arrivals;
pub mod client;
pub mod counts;
pub mod driver;
pub mod first;
pub mod publisher;
pub mod reel;
pub mod stream;
pub mod subscriber;
pub mod ticker;
pub mod track;
mod worker;
