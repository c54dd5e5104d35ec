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
    pub news: Vec<News>,
    pub stats: DriverStats,
    taps: Vec<News>,
    taps_due_us: Option<u64>,
}

impl Out {
    pub fn new(port: UdpPort, queue: SendQueue) -> Self {
        Self {
            port,
            queue,
            news: Vec::new(),
            stats: DriverStats::default(),
            taps: Vec::new(),
            taps_due_us: None,
        }
    }

    /// When `release_taps` wants to be called next.
    pub fn next_timeout_us(&self) -> Option<u64> {
        self.taps_due_us.map(|due_us| due_us + TAP_LONGEST_WAIT_US - TAP_WAIT_US)
    }

    /// Puts the packets that waited among the news, if it is time or the reader is woken anyway.
    pub fn release_taps(&mut self, now_us: u64) {
        if self.taps_due_us.is_some_and(|due_us| now_us >= due_us || !self.news.is_empty()) {
            self.news.append(&mut self.taps);
            self.taps_due_us = None;
        }
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
            self.taps.push(News::Event(event));
            return;
        }
        self.news.push(match event {
            Event::Stats(stats) => {
                News::Stats(stats, DriverStats { thread_cpu_us: clock::thread_cpu_us(), ..self.stats })
            }
            event => News::Event(event),
        });
    }
}
