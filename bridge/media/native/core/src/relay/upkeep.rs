//! What time brings to subscribers and rooms: sender reports, layers, replays, probes, news. What publishers are asked
//! is `asking`; when anything is due is `schedule`.

use super::forward::find_start;
use super::schedule::{REPORT_PHASES, SWEEP_US};
use super::send::{self, COMPOUND_LEN, Turn, send_compound};
use super::{LOCAL_SSRC, Relay};
use crate::api::{Event, Outbox};
use crate::estimate::START_BPS;
use crate::peer::Peer;
use crate::subscription::Subscription;
use crate::track::Track;
use crate::wire::rtcp::{self, SenderInfo};

const SENDER_REPORT_US: u64 = 1_000_000;

impl Relay {
    pub(super) fn upkeep<O: Outbox>(&mut self, now_us: u64, out: &mut O) {
        if self.schedule.take_fast(now_us) {
            self.ask_for_missing(now_us, out);
            self.go_on_replaying(now_us, out);
            self.probe(now_us, true, out);
            if !self.replaying.is_empty() {
                self.schedule.hurry(now_us);
            }
        }
        if let Some(phase) = self.schedule.take_sweep(now_us) {
            self.sweep(now_us, phase, out);
        }
        if self.schedule.take_news(now_us) {
            self.tell_news(now_us, out);
        }
        if let Some(elapsed_us) = self.schedule.take_stats(now_us) {
            let stats = self.snapshot(now_us, elapsed_us);
            out.event(Event::Stats(Box::new(stats)));
        }
    }

    fn sweep<O: Outbox>(&mut self, now_us: u64, phase: usize, out: &mut O) {
        self.judge_flow(now_us, out);
        self.look_after_slots(now_us, out);
        self.probe(now_us, false, out);
        for index in 0..self.peers.bound() {
            if index % REPORT_PHASES == phase {
                self.look_after_peer(now_us, index, out);
            }
            let Some(peer) = self.peers.get_mut(index) else { continue };
            self.in_hand = Some(peer.id);
            peer.rtx.refill(peer.estimate.estimate_bps(now_us), SWEEP_US);
            while !peer.arrivals.is_empty() {
                let media = peer.feedback_media;
                if !peer.arrivals.write(&mut peer.rtcp, LOCAL_SSRC, media) {
                    break;
                }
                send_compound(peer, COMPOUND_LEN, out);
            }
            send_compound(peer, 0, out);
        }
        // A gate that had to wait its second is looked at again here.
        self.keyframes_wanted = true;
    }

    fn judge_flow<O: Outbox>(&mut self, now_us: u64, out: &mut O) {
        for (id, track) in self.tracks.iter_mut() {
            for (number, layer) in track.layers.iter_mut().enumerate() {
                layer.bitrate_bps = layer.rate.bitrate_bps(now_us);
                layer.watched = false;
                if layer.take_stall(now_us) {
                    out.event(Event::TrackStalled { track: id, layer: number as u8 });
                }
            }
            track.update_flowing();
        }
    }

    /// Keyframes that are awaited, sender reports that are due.
    fn look_after_slots<O: Outbox>(&mut self, now_us: u64, out: &mut O) {
        for index in 0..self.slots.bound() {
            let Some(slot) = self.slots.get_mut(index) else { continue };
            let Some(source) = slot.source else { continue };
            let Some(track) = self.tracks.get_mut(source.track).filter(|track| !track.paused) else {
                continue;
            };
            let Some(peer) = self.peers.get_mut(slot.peer) else { continue };
            if peer.destination().is_none() {
                continue;
            }
            self.in_hand = Some(peer.id);
            if slot.fresh
                && track.is_video()
                && find_start(track, source.track, slot, now_us, out)
                && !self.replaying.contains(&index)
            {
                self.replaying.push(index);
                self.schedule.hurry(now_us);
            }
            if let Some(awaited) = slot.choice.awaited(track.flowing).filter(|_| track.is_video())
                && let Some(layer) = track.layers.get_mut(usize::from(awaited))
            {
                layer.watched = true;
                layer.gate.want();
            }
            if let Some(layer) =
                slot.choice.current().and_then(|layer| track.layers.get_mut(usize::from(layer)))
            {
                layer.watched = true;
            }
            report(now_us, peer, slot, track, out);
        }
    }

    /// Padding above what is being sent, where rooms allow it and there may be room. `fast`: only go on.
    fn probe<O: Outbox>(&mut self, now_us: u64, fast: bool, out: &mut O) {
        let turn = Turn::new(now_us);
        for (_, peer) in self.peers.iter_mut() {
            let allowed = peer.probe_limit_bps > 0
                && peer.sending.transport_cc
                && peer.sending.extensions.transport_wide_cc != 0;
            if !allowed || (fast && !peer.estimate.prober.is_active()) {
                continue;
            }
            let Some(to) = peer.destination() else { continue };
            self.in_hand = Some(peer.id);
            let carrier = peer.subscriptions.iter().copied().find(|index| {
                self.slots.get(*index).is_some_and(|slot| {
                    slot.outgoing.as_ref().is_some_and(|outgoing| outgoing.rtx.is_some())
                        && slot.choice.current().is_some()
                })
            });
            let Some(slot) = carrier.and_then(|index| self.slots.get_mut(index)) else { continue };
            let estimate_bps = peer.estimate.estimate_bps(now_us).unwrap_or(START_BPS);
            let mut wanted = peer.estimate.prober.due(now_us, estimate_bps, peer.probe_limit_bps);
            while wanted > 0 {
                let Some(len) = send::padding(peer, slot, to, turn, out) else { break };
                self.totals.sent(len);
                wanted = wanted.saturating_sub(len as u64);
            }
            if peer.estimate.prober.is_active() {
                self.schedule.hurry(now_us);
            }
        }
    }

    fn tell_news<O: Outbox>(&mut self, now_us: u64, out: &mut O) {
        let mut levels = Vec::new();
        for (id, track) in self.tracks.iter_mut().filter(|(_, track)| !track.is_video()) {
            levels.extend(track.level.news(now_us).map(|level| (id, level)));
        }
        if !levels.is_empty() {
            out.event(Event::AudioLevels { levels });
        }
        let mut estimates = Vec::new();
        for (id, peer) in self.peers.iter_mut().filter(|(_, peer)| !peer.subscriptions.is_empty()) {
            let Some(estimate_bps) = peer.estimate.estimate_bps(now_us) else { continue };
            if estimate_bps.abs_diff(peer.told_estimate_bps) * 20 > peer.told_estimate_bps {
                peer.told_estimate_bps = estimate_bps;
                estimates.push((id, estimate_bps));
            }
        }
        if !estimates.is_empty() {
            out.event(Event::Estimates { estimates });
        }
    }
}

/// A sender report, if one is due and the publisher's clock is known: that clock is carried on, so that all tracks of
/// a publisher stay in step with each other.
fn report<O: Outbox>(now_us: u64, peer: &mut Peer, slot: &mut Subscription, track: &Track, out: &mut O) {
    if slot.report_due_us > now_us || slot.counters.packets == 0 {
        return;
    }
    let Some((origin, offset)) = slot.munger.timestamp_offset() else { return };
    if slot.choice.current() != Some(origin.layer) || origin.generation != track.generation {
        return;
    }
    let Some(clock) = track.layers.get(usize::from(origin.layer)).and_then(|layer| layer.clock) else {
        return;
    };
    let (ntp, timestamp) = clock.at(now_us);
    let info = SenderInfo {
        ntp,
        rtp_timestamp: timestamp.wrapping_add(offset),
        packets: slot.counters.packets as u32,
        octets: slot.counters.payload_bytes as u32,
    };
    rtcp::write_sender_report(&mut peer.rtcp, slot.spec.ssrc, &info, &[]);
    rtcp::write_sdes_cname(&mut peer.rtcp, slot.spec.ssrc, &slot.spec.cname);
    slot.reported(ntp, now_us);
    slot.report_due_us = now_us + SENDER_REPORT_US;
    send_compound(peer, COMPOUND_LEN, out);
}
