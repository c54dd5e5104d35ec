//! The relay's one thread: waits for datagrams, commands and the core's next timeout, and gives each to the core.
//! A panic in the core is caught around every call: it costs the peer being handled, never the others.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bridge_relay_core::api::Command;
use bridge_relay_core::relay::Relay;

use crate::clock;
use crate::outbox::Out;
use crate::patience::Patience;
use crate::poll::Poll;
use crate::queue::{CommandQueue, EventQueue};
use crate::send::{Backend, SendQueue};
use crate::socket::{Batch, UdpPort};

/// Batches read in one turn, so that a flood of datagrams cannot keep commands and timers waiting.
const BATCHES_PER_TURN: usize = 8;

/// From so many shares of an unfinished frame on it is worth to wait for its rest: less takes less time than that.
const MANY_SHARES: usize = 25;
/// The rest of a frame that was sent at once is here within this time, or comes over a line slower than we send.
const REST_WITHIN_US: u64 = 250;
const NAP_US: u64 = 40;

/// Where real-time scheduling is not allowed: the next best. Needs a privilege too; without it, no harm.
const NICENESS: libc::c_int = -10;

// Tokens in the poll set. Each TCP connection for ICE would take one of its own from 16 upward.
const DATAGRAMS: u64 = 0;
const COMMANDS: u64 = 1;

/// What the thread shares with its owner.
#[derive(Debug)]
pub struct Shared {
    pub commands: CommandQueue,
    pub events: EventQueue,
    pub stop: AtomicBool,
}

pub struct Worker {
    shared: Arc<Shared>,
    poll: Poll,
    core: Relay,
    out: Out,
    batch: Batch,
    commands: Vec<Command>,
    wants_writable: bool,
    patience: Patience,
    /// The latest time that the core was told.
    latest_us: u64,
}

impl Worker {
    pub fn new(shared: Arc<Shared>, port: UdpPort, backend: Backend) -> io::Result<Self> {
        let poll = Poll::new()?;
        poll.add(&port, DATAGRAMS)?;
        poll.add(&shared.commands, COMMANDS)?;
        let out = Out::new(port, SendQueue::new(backend));
        let now_us = clock::now_us();
        Ok(Self {
            shared,
            poll,
            core: Relay::new(now_us),
            out,
            batch: Batch::new(),
            commands: Vec::new(),
            wants_writable: false,
            patience: Patience::default(),
            latest_us: now_us,
        })
    }

    pub fn run(mut self) {
        prefer_this_thread();
        while !self.shared.stop.load(Ordering::Acquire) {
            self.turn();
        }
    }

    fn turn(&mut self) {
        let core_us = self.core.next_timeout_us();
        let next_us = self.out.next_timeout_us().map_or(core_us, |taps_us| taps_us.min(core_us));
        let timeout_us = next_us.saturating_sub(clock::now_us());
        let (mut has_commands, mut has_datagrams) = (false, false);
        for ready in self.poll.wait(timeout_us) {
            match ready.token {
                COMMANDS => has_commands = true,
                _ => has_datagrams |= ready.readable,
            }
        }
        // A socket that can be written to again is served by the sending that ends every step.
        if has_commands {
            self.run_commands();
        }
        if has_datagrams {
            self.receive();
        }
        let now_us = clock::now_us();
        if now_us >= self.core.next_timeout_us() {
            self.guard(|core, out| core.tick(now_us, out));
            self.latest_us = now_us;
        }
        self.send();
        self.out.stats.events_dropped = self.shared.events.dropped();
        if let Some(news) = self.out.release(now_us) {
            self.shared.events.append(news);
        }
    }

    fn run_commands(&mut self) {
        let mut commands = std::mem::take(&mut self.commands);
        self.shared.commands.take(&mut commands);
        for command in commands.drain(..) {
            let now_us = clock::now_us();
            self.guard(|core, out| core.command(now_us, command, out));
            self.latest_us = now_us;
        }
        self.commands = commands;
    }

    fn receive(&mut self) {
        self.read();
        if self.core.unfinished_shares() >= MANY_SHARES && self.patience.is_worth_it() {
            self.await_rest();
        }
        let now_us = clock::now_us();
        self.guard(|core, out| core.flush(now_us, out));
        self.latest_us = now_us;
        self.send();
    }

    /// Reads until nothing is left where copies of a frame wait: what arrived while its first packet was decrypted belongs
    /// to the same run. Else what comes meanwhile wakes this thread again.
    fn read(&mut self) {
        for _ in 0..BATCHES_PER_TURN {
            let count = self.out.port.receive(&mut self.batch);
            self.receive_batch(count);
            if count == 0 || (count < Batch::CAPACITY && self.core.unfinished_shares() == 0) {
                break;
            }
        }
    }

    /// This thread is faster than a frame's packets come, so that the first of them wakes it and would go to hundreds of
    /// subscribers alone, and so each of the others: many times the system calls, and as many times the delay.
    fn await_rest(&mut self) {
        let began_us = clock::now_us();
        let mut unfinished = true;
        while unfinished && clock::now_us() < began_us + REST_WITHIN_US {
            clock::nap_us(NAP_US);
            self.read();
            unfinished = self.core.unfinished_shares() >= MANY_SHARES;
        }
        self.patience.learn(!unfinished);
    }

    /// Each datagram at the time the kernel got it: what it waited while others were served is part of its transit,
    /// and feedback to publishers is about the network, not about our batches.
    fn receive_batch(&mut self, count: usize) {
        let (now_us, wall_us) = (clock::now_us(), clock::wall_us());
        for index in 0..count {
            // The core's time never runs backwards.
            let arrived_us = now_us.saturating_sub(self.batch.waited_us(index, wall_us)).max(self.latest_us);
            self.latest_us = arrived_us;
            let Some((from, datagram)) = self.batch.datagram(index) else {
                self.out.stats.oversized += 1;
                continue;
            };
            let (core, out) = (&mut self.core, &mut self.out);
            if catch_unwind(AssertUnwindSafe(|| core.receive(arrived_us, from, datagram, out))).is_err() {
                self.abandon();
            }
        }
    }

    /// Hands what the core wrote to the socket, and tells the core what became of it.
    fn send(&mut self) {
        if !self.out.queue.is_empty() {
            self.out.queue.transmit(&self.out.port);
            let now_us = clock::now_us();
            self.core.sent(now_us);
            for to in self.out.queue.take_refused() {
                self.core.send_refused(now_us, to);
            }
        }
        let blocked = self.out.queue.is_blocked();
        if blocked != self.wants_writable
            && self.poll.want_writable(&self.out.port, DATAGRAMS, blocked).is_ok()
        {
            self.wants_writable = blocked;
        }
    }

    /// Runs one call into the core so that a panic in it stays with the peer it was about.
    fn guard(&mut self, call: impl FnOnce(&mut Relay, &mut Out)) {
        let (core, out) = (&mut self.core, &mut self.out);
        if catch_unwind(AssertUnwindSafe(|| call(core, out))).is_err() {
            self.abandon();
        }
    }

    fn abandon(&mut self) {
        self.out.stats.panics += 1;
        // The newest slot may hold a packet that is not encrypted yet.
        self.out.queue.cancel();
        let (core, out) = (&mut self.core, &mut self.out);
        let _ = catch_unwind(AssertUnwindSafe(|| core.abandon(clock::now_us(), out)));
    }
}

/// Media is late when it waits behind ordinary work: measured on a busy machine, by tens of milliseconds at the worst
/// hundredth without this. The lowest real-time priority is enough, and the kernel keeps a twentieth of each second for
/// all others (sched_rt_runtime_us) whatever happens here.
fn prefer_this_thread() {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: `parameters` outlives the call; 0 is the calling thread in both calls.
    unsafe {
        if libc::sched_setscheduler(0, libc::SCHED_RR | libc::SCHED_RESET_ON_FORK, &raw const parameters) < 0
        {
            libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, UdpSocket};

    use bridge_relay_core::api::{Codec, Event, Outbox, Payload, PeerId, TapPacket, TrackId};

    use super::*;
    use crate::queue::News;

    const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn worker() -> Worker {
        let shared = Arc::new(Shared {
            commands: CommandQueue::new().unwrap(),
            events: EventQueue::new(16).unwrap(),
            stop: AtomicBool::new(false),
        });
        Worker::new(shared, UdpPort::open(Some(LOCALHOST), 0).unwrap(), Backend::AUTO).unwrap()
    }

    #[test]
    fn a_panic_is_counted_and_what_it_left_half_written_is_not_sent() {
        let mut worker = worker();
        let sink = UdpSocket::bind((LOCALHOST, 0)).unwrap();
        sink.set_nonblocking(true).unwrap();
        let to = sink.local_addr().unwrap();
        worker.guard(|_, out| out.slot(to, 5).unwrap().copy_from_slice(b"whole"));
        worker.guard(|_, out| {
            out.slot(to, 5).unwrap().copy_from_slice(b"plain");
            panic!("expected by this test");
        });
        worker.guard(|_, out| out.slot(to, 5).unwrap().copy_from_slice(b"after"));
        worker.send();
        let mut buffer = [0; 16];
        let received: Vec<Vec<u8>> =
            std::iter::from_fn(|| sink.recv(&mut buffer).ok().map(|len| buffer[..len].to_vec())).collect();
        assert_eq!(received, [b"whole", b"after"]);
        assert_eq!(worker.out.stats.panics, 1);
    }

    fn tap(worker: &mut Worker) {
        let packet = TapPacket {
            layer: 0,
            codec: Codec::Vp8,
            arrived_us: 0,
            sequence: 0,
            timestamp: 0,
            marker: false,
            keyframe_start: false,
        };
        worker.out.tap(TrackId(1), packet, &Payload::default());
    }

    #[test]
    fn tapped_packets_wait_for_more_of_them_but_not_long() {
        let mut worker = worker();
        let began_us = clock::now_us();
        tap(&mut worker);
        tap(&mut worker);
        let mut told = worker.shared.events.drain();
        while told.is_empty() {
            worker.turn();
            told = worker.shared.events.drain();
        }
        let [News::Event(Event::TapPackets { packets, .. })] = told.make_contiguous() else {
            panic!("one batch, not {told:?}");
        };
        assert_eq!(packets.len(), 2);
        assert!((10_000..1_000_000).contains(&(clock::now_us() - began_us)));
        assert_eq!(worker.out.next_timeout_us(), None);
    }

    #[test]
    fn tapped_packets_go_along_with_other_news() {
        let mut worker = worker();
        tap(&mut worker);
        worker.out.event(Event::PeerConnected { peer: PeerId(1) });
        worker.turn();
        assert_eq!(worker.shared.events.drain().len(), 2);
    }

    #[test]
    fn news_stays_in_its_order_though_taps_wait() {
        let mut worker = worker();
        tap(&mut worker);
        worker.turn();
        worker.out.event(Event::PeerConnected { peer: PeerId(1) });
        tap(&mut worker);
        worker.turn();
        let told = worker.shared.events.drain();
        let taps: Vec<bool> =
            told.iter().map(|news| matches!(news, News::Event(Event::TapPackets { .. }))).collect();
        assert_eq!(taps, [true, false, true]);
    }

    #[test]
    fn overlong_datagrams_are_counted() {
        let mut worker = worker();
        let sender = UdpSocket::bind((LOCALHOST, 0)).unwrap();
        sender.send_to(&[0x80; 3_000], (LOCALHOST, worker.out.port.port())).unwrap();
        worker.turn();
        assert_eq!(worker.out.stats.oversized, 1);
    }
}
