//! The relay itself: peers, tracks and subscriptions, and what becomes of each datagram. Owns no socket and no
//! clock; the driver calls [`Relay::receive`] for a batch, then [`Relay::flush`], hands the outbox to the socket and
//! says so by [`Relay::sent`].

use std::net::SocketAddr;

use crate::api::{Command, Outbox};

/// The order of calls in one turn of the driver: `command`s, `receive` for each datagram read, `flush`, `tick` when
/// [`Relay::next_timeout_us`] has come, then the driver sends what is in the outbox and calls `sent`.
pub struct Relay {
    now_us: u64,
}

impl Relay {
    #[must_use]
    pub fn new(now_us: u64) -> Self {
        Self { now_us }
    }

    pub fn command<O: Outbox>(&mut self, now_us: u64, _command: Command, _out: &mut O) {
        self.now_us = now_us;
    }

    /// One received datagram. STUN and RTCP are answered at once; RTP is unprotected in place, copied once into
    /// the track's ring and noted for `flush`.
    pub fn receive<O: Outbox>(&mut self, now_us: u64, _from: SocketAddr, _datagram: &mut [u8], _out: &mut O) {
        self.now_us = now_us;
    }

    /// The end of a receive batch: forwards everything noted, so grouped that the packets to one subscriber come in
    /// a row. Must be called before `tick`.
    pub fn flush<O: Outbox>(&mut self, now_us: u64, _out: &mut O) {
        self.now_us = now_us;
    }

    /// Everything put into the outbox so far has been handed to the socket: closes the transit measurement.
    pub fn sent(&mut self, now_us: u64) {
        self.now_us = now_us;
    }

    /// When `tick` wants to be called next, on the clock of `now_us`. May move nearer with any call.
    #[must_use]
    pub fn next_timeout_us(&self) -> u64 {
        self.now_us + 1_000_000
    }

    /// What is due by now: reports, NACKs, feedback, paced replays and probes, consent, statistics.
    pub fn tick<O: Outbox>(&mut self, now_us: u64, _out: &mut O) {
        self.now_us = now_us;
    }

    /// The socket refused one datagram to this address (its buffer is full).
    pub fn send_refused(&mut self, now_us: u64, _to: SocketAddr) {
        self.now_us = now_us;
    }

    /// A call panicked and was caught: gives up the peer that was being handled, and what was half done.
    /// Returns whether there was one to blame.
    pub fn abandon<O: Outbox>(&mut self, now_us: u64, _out: &mut O) -> bool {
        self.now_us = now_us;
        false
    }
}
