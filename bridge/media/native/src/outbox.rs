//! The core's way out: datagrams into the send queue, events onto the heap of this turn, tapped packets to those that
//! wait for more of them.

use std::net::SocketAddr;

use bridge_relay_core::api::{Event, Outbox, Payload, TapPacket, TrackId};

use crate::clock;
use crate::queue::{DriverStats, News};
use crate::send::SendQueue;
use crate::socket::UdpPort;
use crate::taps::{self, Taps};

pub struct Out {
    pub port: UdpPort,
    pub queue: SendQueue,
    pub stats: DriverStats,
    /// In the order in which it came.
    news: Vec<News>,
    /// Came after all of the news.
    taps: Taps,
    taps_due_us: Option<u64>,
}

impl Out {
    pub fn new(port: UdpPort, queue: SendQueue) -> Self {
        Self {
            port,
            queue,
            stats: DriverStats::default(),
            news: Vec::new(),
            taps: Taps::default(),
            taps_due_us: None,
        }
    }

    /// When `release` wants to be called next.
    pub fn next_timeout_us(&self) -> Option<u64> {
        self.taps_due_us.map(|due_us| due_us + taps::LONGEST_WAIT_US - taps::WAIT_US)
    }

    /// What is to be told now: nothing while there are only taps that may wait.
    pub fn release(&mut self, now_us: u64) -> Option<&mut Vec<News>> {
        let taps_due = self.taps_due_us.is_some_and(|due_us| now_us >= due_us) || self.taps.is_full();
        if self.news.is_empty() && !taps_due {
            return None;
        }
        self.taps_due_us = None;
        self.taps.close(&mut self.news);
        Some(&mut self.news)
    }
}

impl Outbox for Out {
    #[inline]
    fn slot(&mut self, to: SocketAddr, len: usize) -> Option<&mut [u8]> {
        self.queue.slot(&self.port, to, len)
    }

    fn cancel(&mut self) {
        self.queue.cancel();
    }

    #[inline]
    fn between_runs(&mut self) -> Option<u64> {
        if !self.queue.is_worth_sending() {
            return None;
        }
        self.queue.transmit(&self.port);
        (!self.queue.is_blocked()).then(clock::now_us)
    }

    fn tap(&mut self, track: TrackId, packet: TapPacket, payload: &Payload) {
        self.taps_due_us.get_or_insert_with(|| clock::now_us() + taps::WAIT_US);
        self.taps.push(track, packet, payload.clone());
    }

    fn event(&mut self, event: Event) {
        // They came before it.
        self.taps.close(&mut self.news);
        self.news.push(match event {
            Event::Stats(stats) => {
                News::Stats(stats, DriverStats { thread_cpu_us: clock::thread_cpu_us(), ..self.stats })
            }
            event => News::Event(event),
        });
    }
}
