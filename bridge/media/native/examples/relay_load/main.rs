//! The load for `benchmarks/relay.py`, in a process of its own so that its CPU time is not the relay's. What to do
//! comes as lines on standard input, what was measured goes out as JSON lines.
//!
//! `call`: publishers and subscribers of a running relay, as browsers behave, with real SRTP: a small crowd.
//! `sink`: sockets that count what reaches them, for `floor`.
//! `floor`: what a relay cannot go below: sealing and sending the same packets to such sinks, and nothing else.

mod call;
mod config;
mod floor;
mod sink;
mod work;

use std::error::Error;

pub type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    match std::env::args().nth(1).as_deref() {
        Some("call") => call::run(),
        Some("sink") => sink::run(),
        Some("floor") => floor::run(),
        _ => Err("usage: relay_load call|sink|floor, then lines on standard input".into()),
    }
}
