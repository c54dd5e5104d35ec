//! The two queues between the relay thread and everybody else. Each hands over its whole content at once, under a
//! lock held only for the swap, and wakes the other side once for many entries.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bridge_relay_core::api::{Command, Event, Stats};

use crate::poll::WakeUp;

/// Far more than a join storm makes; reached only when the thread no longer runs.
const MAX_COMMANDS: usize = 1 << 18;

/// Bytes of payload that may wait to be drained: half a minute of one diagnostic-quality track.
const MAX_EVENT_BYTES: usize = 64 << 20;

/// What a tapped packet takes besides its payload: without it, a flood of empty ones would have no bound.
const TAPPED_PACKET_BYTES: usize = 128;

/// What goes up: the core's events, and with its statistics those of the thread that drives it.
#[derive(Debug)]
pub enum News {
    Event(Event),
    Stats(Box<Stats>, DriverStats),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DriverStats {
    pub thread_cpu_us: u64,
    pub panics: u64,
    /// Datagrams longer than the relay reads.
    pub oversized: u64,
    pub events_dropped: u64,
}

impl News {
    /// What may be lost: the next one of its kind tells the same, or (taps) the consumer can bear a gap.
    fn is_lossy(&self) -> bool {
        match self {
            Self::Stats(..) => true,
            Self::Event(event) => {
                matches!(
                    event,
                    Event::AudioLevels { .. } | Event::Estimates { .. } | Event::TapPackets { .. }
                )
            }
        }
    }

    fn size_bytes(&self) -> usize {
        match self {
            Self::Event(Event::DtlsReceived { datagram, .. }) => datagram.len(),
            Self::Event(Event::TapPackets { packets, .. }) => {
                packets.size_bytes() + packets.len() * TAPPED_PACKET_BYTES
            }
            _ => 0,
        }
    }
}

/// The thread is so far behind that no more commands are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandsFull;

pub type CommandQueue = Handover<Command>;

/// Things that one side leaves for the other, in order.
#[derive(Debug)]
pub struct Handover<T> {
    waiting: Mutex<Vec<T>>,
    wake_up: WakeUp,
}

impl<T> Handover<T> {
    pub fn new() -> io::Result<Self> {
        Ok(Self { waiting: Mutex::new(Vec::new()), wake_up: WakeUp::new()? })
    }

    pub fn push(&self, item: T) -> Result<(), CommandsFull> {
        let was_empty = {
            let mut waiting = lock(&self.waiting);
            if waiting.len() >= MAX_COMMANDS {
                return Err(CommandsFull);
            }
            waiting.push(item);
            waiting.len() == 1
        };
        if was_empty {
            self.wake_up.raise();
        }
        Ok(())
    }

    /// Wakes the other side with nothing.
    pub fn wake(&self) {
        self.wake_up.raise();
    }

    /// Exchanges what waits for the (emptied) `batch`, so that both keep their memory.
    pub fn take(&self, batch: &mut Vec<T>) {
        batch.clear();
        // Cleared first: a push after the swap raises it again.
        self.wake_up.clear();
        mem::swap(&mut *lock(&self.waiting), batch);
    }
}

impl<T> AsRawFd for Handover<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.wake_up.as_raw_fd()
    }
}

/// Bounded by count and bytes. Beyond three quarters lossy news is dropped and counted, beyond the bound all is.
#[derive(Debug)]
pub struct EventQueue {
    waiting: Mutex<Waiting>,
    wake_up: WakeUp,
    capacity: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    news: VecDeque<News>,
    size_bytes: usize,
    dropped: u64,
}

impl EventQueue {
    pub fn new(capacity: usize) -> io::Result<Self> {
        Ok(Self { waiting: Mutex::default(), wake_up: WakeUp::new()?, capacity })
    }

    /// Appends everything of `batch`, leaving it empty, with at most one wake-up.
    pub fn append(&self, batch: &mut Vec<News>) {
        if batch.is_empty() {
            return;
        }
        let mut waiting = lock(&self.waiting);
        let was_empty = waiting.news.is_empty();
        for news in batch.drain(..) {
            let size_bytes = news.size_bytes();
            let (count_bound, bytes_bound) = if news.is_lossy() {
                (self.capacity / 4 * 3, MAX_EVENT_BYTES / 4 * 3)
            } else {
                (self.capacity, MAX_EVENT_BYTES)
            };
            if waiting.news.len() >= count_bound || waiting.size_bytes + size_bytes > bytes_bound {
                waiting.dropped += 1;
            } else {
                waiting.size_bytes += size_bytes;
                waiting.news.push_back(news);
            }
        }
        // Under the lock, so that a drain cannot come between and leave the descriptor raised over an empty queue.
        if was_empty && !waiting.news.is_empty() {
            self.wake_up.raise();
        }
    }

    pub fn drain(&self) -> VecDeque<News> {
        let mut waiting = lock(&self.waiting);
        self.wake_up.clear();
        waiting.size_bytes = 0;
        mem::take(&mut waiting.news)
    }

    pub fn dropped(&self) -> u64 {
        lock(&self.waiting).dropped
    }
}

impl AsRawFd for EventQueue {
    fn as_raw_fd(&self) -> RawFd {
        self.wake_up.as_raw_fd()
    }
}

/// Nothing that runs under these locks leaves the content half changed, so a poisoned one is still good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use bridge_relay_core::api::{Codec, Payload, PeerId, TapBatch, TapPacket, TrackId};

    use super::*;
    use crate::poll::Poll;

    fn connected(peer: u32) -> News {
        News::Event(Event::PeerConnected { peer: PeerId(peer) })
    }

    fn tap(len: usize) -> News {
        taps(1, len)
    }

    fn taps(count: usize, len: usize) -> News {
        let packet = TapPacket {
            layer: 0,
            codec: Codec::Vp8,
            arrived_us: 0,
            sequence: 0,
            timestamp: 0,
            marker: false,
            keyframe_start: false,
        };
        let mut packets = TapBatch::default();
        for _ in 0..count {
            packets.push(packet.clone(), Payload::new(vec![0; len]));
        }
        News::Event(Event::TapPackets { track: TrackId(1), packets })
    }

    fn append(queue: &EventQueue, mut batch: Vec<News>) {
        queue.append(&mut batch);
    }

    fn is_raised(fd: &impl AsRawFd) -> bool {
        let mut poll = Poll::new().unwrap();
        poll.add(fd, 0).unwrap();
        poll.wait(0).count() == 1
    }

    #[test]
    fn the_descriptor_is_readable_exactly_while_events_wait() {
        let queue = EventQueue::new(8).unwrap();
        assert!(!is_raised(&queue));
        append(&queue, vec![connected(1), connected(2)]);
        append(&queue, vec![connected(3)]);
        assert!(is_raised(&queue));
        assert_eq!(queue.drain().len(), 3);
        assert!(!is_raised(&queue));
        assert!(queue.drain().is_empty());
    }

    #[test]
    fn lossy_events_leave_room_for_those_that_must_arrive() {
        let queue = EventQueue::new(8).unwrap();
        let mut batch: Vec<News> = (0..10).map(|_| tap(1)).collect();
        batch.extend((0..4).map(connected));
        queue.append(&mut batch);
        assert!(batch.is_empty());
        let news = queue.drain();
        assert_eq!(news.iter().filter(|news| news.is_lossy()).count(), 6);
        assert_eq!(news.iter().filter(|news| !news.is_lossy()).count(), 2);
        assert_eq!(queue.dropped(), 6);
    }

    #[test]
    fn tap_payload_is_bounded_in_bytes() {
        let queue = EventQueue::new(1 << 20).unwrap();
        let mut batch: Vec<News> = (0..60).map(|_| tap(1 << 20)).collect();
        batch.push(connected(1));
        append(&queue, batch);
        assert_eq!(queue.dropped(), 13);
        assert_eq!(queue.drain().len(), 48);
        append(&queue, vec![tap(1 << 20)]);
        assert_eq!(queue.drain().len(), 1);
    }

    #[test]
    fn taps_without_payload_are_bounded_too() {
        let queue = EventQueue::new(1 << 20).unwrap();
        append(&queue, (0..60).map(|_| taps((1 << 20) / TAPPED_PACKET_BYTES, 0)).collect());
        assert_eq!(queue.dropped(), 12);
    }

    #[test]
    fn commands_come_in_order_with_one_wake_up() {
        let queue = CommandQueue::new().unwrap();
        for peer in 0..3 {
            queue.push(Command::RemovePeer { peer: PeerId(peer) }).unwrap();
        }
        assert!(is_raised(&queue));
        let mut batch = vec![Command::RemovePeer { peer: PeerId(99) }];
        queue.take(&mut batch);
        let peers: Vec<u32> = batch
            .iter()
            .map(|command| match command {
                Command::RemovePeer { peer } => peer.0,
                other => panic!("not pushed: {other:?}"),
            })
            .collect();
        assert_eq!(peers, [0, 1, 2]);
        assert!(!is_raised(&queue));
    }
}
