//! The core's way out: datagrams into the send queue, events onto the heap of this turn. Tapped packets wait a moment
//! for more of them: nobody watches a tap live, and to wake its reader costs more than to copy a packet.

use std::net::SocketAddr;

use bridge_relay_core::api::{Event, Outbox};

use crate::clock;
use crate::queue::{DriverStats, News};
use crate::send::SendQueue;
use crate::socket::UdpPort;

/// How long a tapped packet waits at least, unless other news goes up.
const TAP_WAIT_US: u64 = 50_000;
/// And at most: until then the thread is usually awake for something else, and a turn for this alone would cost more.
const TAP_LONGEST_WAIT_US: u64 = 100_000;

pub struct Out {
    pub port: UdpPort,
    pub queue: SendQueue,
    pub stats: DriverStats,
    /// In the order in which it came.
    news: Vec<News>,
    /// There is more among it than taps.
    is_urgent: bool,
    taps_due_us: Option<u64>,
}

impl Out {
    pub fn new(port: UdpPort, queue: SendQueue) -> Self {
        Self {
            port,
            queue,
            stats: DriverStats::default(),
            news: Vec::new(),
            is_urgent: false,
            taps_due_us: None,
        }
    }

    /// When `release` wants to be called next.
    pub fn next_timeout_us(&self) -> Option<u64> {
        self.taps_due_us.map(|due_us| due_us + TAP_LONGEST_WAIT_US - TAP_WAIT_US)
    }

    /// What is to be told now: nothing while there are only taps that may wait.
    pub fn release(&mut self, now_us: u64) -> Option<&mut Vec<News>> {
        if !self.is_urgent && self.taps_due_us.is_none_or(|due_us| now_us < due_us) {
            return None;
        }
        self.is_urgent = false;
        self.taps_due_us = None;
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

    fn event(&mut self, event: Event) {
        if matches!(event, Event::TapPackets { .. }) {
            self.taps_due_us.get_or_insert_with(|| clock::now_us() + TAP_WAIT_US);
        } else {
            self.is_urgent = true;
        }
        self.news.push(match event {
            Event::Stats(stats) => {
                News::Stats(stats, DriverStats { thread_cpu_us: clock::thread_cpu_us(), ..self.stats })
            }
            event => News::Event(event),
        });
    }
}
