//! The relay itself: peers, tracks and subscriptions, and what becomes of each datagram. Owns no socket and no
//! clock; the driver calls [`Relay::receive`] for a batch, then [`Relay::flush`], hands the outbox to the socket and
//! says so by [`Relay::sent`].

mod asking;
mod checks;
mod control;
mod forward;
mod inbound;
mod reports;
mod schedule;
mod send;
mod statistics;
mod upkeep;

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::api::{Command, Event, Outbox, PeerId, SubscriptionId, TrackId};
use crate::peer::Peer;
use crate::slab::Slab;
use crate::subscription::Subscription;
use crate::track::Track;
use crate::transit::TransitHistogram;
use schedule::Schedule;
use statistics::Totals;

/// Our own SSRC in RTCP that is not about a stream we send; receivers do not interpret it.
const LOCAL_SSRC: u32 = 1;

/// The order of calls in one turn of the driver: `command`s, `receive` for each datagram read, `flush`, `tick` when
/// [`Relay::next_timeout_us`] has come, then the driver sends what is in the outbox and calls `sent`.
pub struct Relay {
    peers: Slab<PeerId, Peer>,
    tracks: Slab<TrackId, Track>,
    slots: Slab<SubscriptionId, Subscription>,
    addresses: HashMap<SocketAddr, usize>,
    ufrags: HashMap<String, usize>,
    /// Tracks with packets to forward at the end of the batch.
    touched: Vec<usize>,
    /// Subscriptions that are catching up from the ring.
    replaying: Vec<usize>,
    keyframes_wanted: bool,
    /// Whose packet or stream is being handled: whom to give up if that panics.
    in_hand: Option<PeerId>,
    generations: u64,
    totals: Totals,
    transit: TransitHistogram,
    schedule: Schedule,
}

impl Relay {
    #[must_use]
    pub fn new(now_us: u64) -> Self {
        Self {
            peers: Slab::default(),
            tracks: Slab::default(),
            slots: Slab::default(),
            addresses: HashMap::new(),
            ufrags: HashMap::new(),
            touched: Vec::new(),
            replaying: Vec::new(),
            keyframes_wanted: false,
            in_hand: None,
            generations: 0,
            totals: Totals::default(),
            transit: TransitHistogram::default(),
            schedule: Schedule::new(now_us),
        }
    }

    pub fn command<O: Outbox>(&mut self, now_us: u64, command: Command, out: &mut O) {
        self.in_hand = None;
        self.run(now_us, command, out);
        self.ask_for_keyframes(now_us, out);
        self.in_hand = None;
    }

    /// One received datagram. STUN and RTCP are answered at once; RTP is unprotected in place, copied once into
    /// the track's ring and noted for `flush`.
    pub fn receive<O: Outbox>(&mut self, now_us: u64, from: SocketAddr, datagram: &mut [u8], out: &mut O) {
        self.in_hand = None;
        self.totals.packets_in += 1;
        self.totals.bytes_in += datagram.len() as u64;
        self.take_datagram(now_us, from, datagram, out);
        self.ask_for_keyframes(now_us, out);
        self.in_hand = None;
    }

    /// How many subscribers' shares of a frame are noted without its end, on layers that somebody watches: were the rest
    /// here before `flush`, it would go out with them in one run each.
    #[must_use]
    pub fn unfinished_shares(&self) -> usize {
        let touched = self.touched.iter().filter_map(|index| self.tracks.get(*index));
        touched.filter(|track| track.has_unfinished_frame()).map(|track| track.subscribers.len()).sum()
    }

    /// The end of a receive batch: forwards everything noted, so grouped that the packets to one subscriber come in
    /// a row. Must be called before `tick`.
    pub fn flush<O: Outbox>(&mut self, now_us: u64, out: &mut O) {
        self.forward_noted(now_us, out);
        self.ask_for_keyframes(now_us, out);
        self.in_hand = None;
    }

    /// Everything put into the outbox so far has been handed to the socket: closes the transit measurement.
    pub fn sent(&mut self, now_us: u64) {
        self.transit.sent(now_us);
    }

    /// When `tick` wants to be called next, on the clock of `now_us`. May move nearer with any call.
    #[must_use]
    pub fn next_timeout_us(&self) -> u64 {
        self.schedule.next_us()
    }

    /// What is due by now: reports, NACKs, feedback, paced replays and probes, consent, statistics.
    pub fn tick<O: Outbox>(&mut self, now_us: u64, out: &mut O) {
        self.upkeep(now_us, out);
        self.ask_for_keyframes(now_us, out);
        self.in_hand = None;
    }

    /// The socket refused one datagram to this address (its buffer is full): its subscriptions lose video to the
    /// end of the frame.
    pub fn send_refused(&mut self, _now_us: u64, to: SocketAddr) {
        let Some(peer) = self.addresses.get(&to).and_then(|index| self.peers.get_mut(*index)) else { return };
        peer.traffic.dropped += 1;
        self.totals.dropped_out += 1;
        for slot in &peer.subscriptions {
            if let Some(slot) = self.slots.get_mut(*slot).filter(|slot| slot.is_video()) {
                slot.skip_timestamp = Some(slot.munger.last_timestamp());
            }
        }
    }

    /// A call panicked and was caught: gives up the peer that was being handled, and what was half done.
    /// Returns whether there was one to blame.
    pub fn abandon<O: Outbox>(&mut self, _now_us: u64, out: &mut O) -> bool {
        self.touched.clear();
        for (_, track) in self.tracks.iter_mut() {
            track.noted.clear();
        }
        self.replaying = (0..self.slots.bound())
            .filter(|index| self.slots.get(*index).is_some_and(|slot| slot.replay.is_some()))
            .collect();
        let Some(peer) = self.in_hand.take() else { return false };
        self.remove_peer(peer, out);
        out.event(Event::PeerSilent { peer });
        true
    }
}
