//! The hot path: what came in a batch, to every subscriber of its track, one subscriber after the other so that the
//! packets to one address come in a row. Layer switches, joins and replays begin here.

use std::net::SocketAddr;

use super::Relay;
use super::send::{self, Copy, Sent, Turn};
use super::statistics::Totals;
use crate::api::{Event, LayerIndex, Outbox};
use crate::peer::Peer;
use crate::ring::PacketHead;
use crate::subscription::{Replay, Subscription};
use crate::track::Track;
use crate::transit::TransitHistogram;

/// A replay starts with so much, then keeps to a multiple of what flows, or of what is known to fit.
const REPLAY_BURST_BYTES: u64 = 40_000;
const REPLAY_MIN_BPS: u64 = 5_000_000;
/// On a line that is known a burst takes no longer than this.
const REPLAY_BURST_US: u64 = 100_000;
const REPLAY_LEAST_BURST_BYTES: u64 = 5_000;

/// What a run of packets to one subscriber needs besides track and slot.
struct Run<'a, O> {
    peer: &'a mut Peer,
    to: SocketAddr,
    turn: Turn,
    totals: &'a mut Totals,
    transit: &'a mut TransitHistogram,
    out: &'a mut O,
}

impl Relay {
    pub(super) fn forward_noted<O: Outbox>(&mut self, now_us: u64, out: &mut O) {
        if self.touched.is_empty() {
            return;
        }
        let turn = Turn::new(now_us);
        let mut touched = std::mem::take(&mut self.touched);
        // Sound first: it is little, and an ear hears what waited behind a large picture for hundreds of viewers.
        touched.sort_by_key(|index| self.tracks.get(*index).is_some_and(Track::is_video));
        for index in &touched {
            let Some(track) = self.tracks.get_mut(*index) else { continue };
            let mut noted = std::mem::take(&mut track.noted);
            for number in &track.subscribers {
                let Some(slot) = self.slots.get_mut(*number) else { continue };
                let Some(peer) = self.peers.get_mut(slot.peer) else { continue };
                let Some(to) = peer.destination() else { continue };
                self.in_hand = Some(peer.id);
                if let Some(handed_us) = out.between_runs() {
                    self.transit.sent(handed_us);
                }
                let (totals, transit) = (&mut self.totals, &mut self.transit);
                let mut run = Run { peer, to, turn, totals, transit, out };
                forward_run(&mut run, track, *index, slot, &noted);
                if slot.replay.is_some() && !self.replaying.contains(number) {
                    self.replaying.push(*number);
                    self.schedule.hurry(now_us);
                }
            }
            noted.clear();
            track.noted = noted;
        }
        self.touched = touched;
        self.touched.clear();
    }

    /// Goes on with the replays that are under way.
    pub(super) fn go_on_replaying<O: Outbox>(&mut self, now_us: u64, out: &mut O) {
        let turn = Turn::new(now_us);
        let mut replaying = std::mem::take(&mut self.replaying);
        replaying.retain(|number| {
            let Some(slot) = self.slots.get_mut(*number) else { return false };
            let Some(source) = slot.source else { return false };
            let Some(track) = self.tracks.get_mut(source.track) else { return false };
            let Some(peer) = self.peers.get_mut(slot.peer) else { return false };
            let Some(to) = peer.destination() else { return false };
            self.in_hand = Some(peer.id);
            let (totals, transit) = (&mut self.totals, &mut self.transit);
            let mut run = Run { peer, to, turn, totals, transit, out };
            replay(&mut run, track, source.track, slot);
            slot.replay.is_some()
        });
        self.replaying = replaying;
    }
}

fn forward_run<O: Outbox>(
    run: &mut Run<'_, O>,
    track: &Track,
    index: usize,
    slot: &mut Subscription,
    noted: &[(LayerIndex, u64)],
) {
    if slot.choice.is_paused() {
        return;
    }
    let is_audio = !track.is_video();
    let mut awaited = slot.choice.awaited(track.flowing);
    for (layer, sequence) in noted {
        if slot.choice.current() != Some(*layer) && awaited != Some(*layer) {
            continue;
        }
        let Some(source) = track.layers.get(usize::from(*layer)) else { continue };
        let Some((head, payload)) = source.ring.get(*sequence) else { continue };
        if slot.choice.current() != Some(*layer) {
            if !(is_audio || head.keyframe_start) || !slot.prepare(run.peer, head.codec) {
                continue;
            }
            begin(track, index, slot, *layer, head, run.turn.now_us, run.out);
            awaited = slot.choice.awaited(track.flowing);
        }
        if slot.replay.is_some_and(|replay| *sequence >= replay.next) {
            continue;
        }
        forward_one(run, track, index, slot, *layer, head, payload);
    }
    if slot.replay.is_some() {
        replay(run, track, index, slot);
    }
}

fn forward_one<O: Outbox>(
    run: &mut Run<'_, O>,
    track: &Track,
    index: usize,
    slot: &mut Subscription,
    layer: LayerIndex,
    head: &PacketHead,
    payload: &[u8],
) {
    let origin = track.origin(index, layer);
    let mut munged = slot.munger.forward(origin, &head.source());
    if munged.is_none() && slot.munger.ran_away(origin, head.sequence) {
        // Video waits for a keyframe, audio has none.
        slot.stop();
        if track.is_video() {
            return;
        }
        begin(track, index, slot, layer, head, run.turn.now_us, run.out);
        munged = slot.munger.forward(origin, &head.source());
    }
    let Some(munged) = munged else { return };
    if track.is_video() && slot.skip_timestamp.is_some() {
        if slot.skip_timestamp == Some(munged.timestamp) {
            run.dropped(slot);
            return;
        }
        slot.skip_timestamp = None;
    }
    match send::media(run.peer, slot, run.to, Copy { head, payload, munged }, run.turn, run.out) {
        Sent::Done(len) => {
            run.totals.sent(len);
            run.transit.forwarded(head.arrived_us, 1);
        }
        Sent::NoRoom => {
            slot.skip_timestamp = Some(munged.timestamp);
            run.dropped(slot);
        }
        Sent::Failed => run.dropped(slot),
    }
}

impl<O> Run<'_, O> {
    fn dropped(&mut self, slot: &mut Subscription) {
        slot.counters.dropped += 1;
        self.peer.traffic.dropped += 1;
        self.totals.dropped_out += 1;
    }
}

/// From this packet on the slot shows this layer.
fn begin<O: Outbox>(
    track: &Track,
    index: usize,
    slot: &mut Subscription,
    layer: LayerIndex,
    head: &PacketHead,
    now_us: u64,
    out: &mut O,
) {
    let origin = track.origin(index, layer);
    let aligned = slot.munger.timestamp_offset().and_then(|(last, offset)| {
        let same = last.track == origin.track && last.generation == origin.generation;
        if same { track.align(last.layer, offset, layer, head.timestamp) } else { None }
    });
    slot.munger.begin(origin, &head.source(), aligned);
    slot.choice.set_current(Some(layer));
    slot.fresh = false;
    slot.skip_timestamp = None;
    slot.report_due_us = 0;
    // Packets behind a keyframe's start may be here already: they go out in order, from the ring.
    slot.replay = track.is_video().then_some(Replay {
        next: head.sequence,
        paced_us: now_us,
        credit: REPLAY_BURST_BYTES,
    });
    tell_layer(slot, out);
}

/// Begins at the keyframe that the ring can replay, of the highest layer within what is wanted.
pub(super) fn find_start<O: Outbox>(
    track: &Track,
    index: usize,
    slot: &mut Subscription,
    now_us: u64,
    out: &mut O,
) -> bool {
    let Some(target) = slot.choice.target(track.flowing).filter(|_| slot.fresh) else { return false };
    for layer in (0..=target).rev().filter(|layer| track.flowing & (1 << layer) != 0) {
        let Some(source) = track.layers.get(usize::from(layer)) else { continue };
        let Some(start) = source.ring.replay_start(now_us) else { continue };
        let Some((head, _)) = source.ring.get(start) else { continue };
        if slot.spec.payloads.iter().any(|row| row.codec == head.codec) {
            begin(track, index, slot, layer, head, now_us, out);
            return true;
        }
    }
    false
}

/// Sends on from the ring as far as the pace allows; ends when it has caught up.
fn replay<O: Outbox>(run: &mut Run<'_, O>, track: &Track, index: usize, slot: &mut Subscription) {
    let (Some(mut state), Some(layer)) = (slot.replay.take(), slot.choice.current()) else { return };
    let Some(source) = track.layers.get(usize::from(layer)) else { return };
    if track.paused || state.next < source.ring.oldest() {
        slot.stop();
        return;
    }
    let now_us = run.turn.now_us;
    let (pace_bps, burst_bytes) = replay_pace(run.peer.estimate.estimate_bps(now_us), source.bitrate_bps);
    let earned = pace_bps / 8 * now_us.saturating_sub(state.paced_us).min(100_000) / 1_000_000;
    state.credit = (state.credit + earned).min(burst_bytes);
    state.paced_us = now_us;
    let origin = track.origin(index, layer);
    let highest = source.ring.highest().unwrap_or(0);
    while state.next <= highest {
        let found = source.ring.get(state.next);
        let cost = found.map_or(0, |(_, payload)| payload.len() as u64);
        // Before it gets a number: should the layer change while this waits, nobody would ever send that.
        if state.credit < cost {
            break;
        }
        if let Some((head, payload)) = found
            && let Some(munged) = slot.munger.forward(origin, &head.source())
        {
            match send::media(run.peer, slot, run.to, Copy { head, payload, munged }, run.turn, run.out) {
                Sent::Done(len) => run.totals.sent(len),
                Sent::NoRoom => break,
                Sent::Failed => run.dropped(slot),
            }
            state.credit -= cost;
        }
        state.next += 1;
    }
    if state.next <= highest {
        slot.replay = Some(state);
    }
}

/// Bits a second and bytes at once. It must be faster than what flows, or it never catches up.
fn replay_pace(known_bps: Option<u64>, flowing_bps: u64) -> (u64, u64) {
    let Some(known_bps) = known_bps else {
        return ((flowing_bps * 3).max(REPLAY_MIN_BPS), REPLAY_BURST_BYTES);
    };
    let burst_bytes = known_bps / 8 * REPLAY_BURST_US / 1_000_000;
    let pace_bps = (known_bps * 2).max(flowing_bps * 3 / 2);
    (pace_bps, burst_bytes.clamp(REPLAY_LEAST_BURST_BYTES, REPLAY_BURST_BYTES))
}

/// Says what a slot carries, if that changed.
pub(super) fn tell_layer<O: Outbox>(slot: &mut Subscription, out: &mut O) {
    let layer = slot.choice.current();
    if slot.told_layer != layer {
        slot.told_layer = layer;
        out.event(Event::LayerChanged { subscription: slot.id, layer });
    }
}
