//! The core's way out: datagrams into the send queue, events onto the heap of this turn.

use std::net::SocketAddr;

use bridge_relay_core::api::{Event, Outbox};

use crate::clock;
use crate::queue::{DriverStats, News};
use crate::send::SendQueue;
use crate::socket::UdpPort;

pub struct Out {
    pub port: UdpPort,
    pub queue: SendQueue,
    pub news: Vec<News>,
    pub stats: DriverStats,
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
        self.news.push(match event {
            Event::Stats(stats) => {
                News::Stats(stats, DriverStats { thread_cpu_us: clock::thread_cpu_us(), ..self.stats })
            }
            event => News::Event(event),
        });
    }
}
