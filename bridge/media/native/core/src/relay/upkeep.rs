//! What time brings: NACKs, feedback, reports, keyframe requests, replays, probes, consent, news. Each has its beat;
//! nothing runs more often than it must.

use super::forward::find_start;
use super::send::{self, Turn};
use super::{LOCAL_SSRC, Relay};
use crate::api::{Event, Outbox};
use crate::estimate::START_BPS;
use crate::peer::Peer;
use crate::routes::Route;
use crate::wire::rtcp::{self, SenderInfo};

/// While something is missing, replayed or probed.
const FAST_US: u64 = 5_000;
/// Feedback to publishers, keyframe requests, layers, first sender reports.
const SWEEP_US: u64 = 50_000;
/// Every peer has its reports in one of so many sweeps: once a second.
const REPORT_PHASES: usize = 20;
const NEWS_US: u64 = 200_000;
const STATS_US: u64 = 1_000_000;
const SENDER_REPORT_US: u64 = 1_000_000;
/// A compound stays within any path's MTU.
const COMPOUND_LEN: usize = 1_000;
const MAX_REPORT_BLOCKS: usize = 31;
const LOCAL_CNAME: &str = "bridge";
const REMB_START_BPS: u64 = 2_500_000;
const REMB_RANGE_BPS: (u64, u64) = (150_000, 20_000_000);

/// When each beat is due next.
pub struct Schedule {
    fast_us: Option<u64>,
    sweep_us: u64,
    news_us: u64,
    stats_us: u64,
    stats_last_us: u64,
    phase: usize,
}

impl Schedule {
    pub fn new(now_us: u64) -> Self {
        Self {
            fast_us: None,
            sweep_us: now_us + SWEEP_US,
            news_us: now_us + NEWS_US,
            stats_us: now_us + STATS_US,
            stats_last_us: now_us,
            phase: 0,
        }
    }

    /// The fast beat has something to do.
    pub fn hurry(&mut self, now_us: u64) {
        self.fast_us.get_or_insert(now_us + FAST_US);
    }

    pub fn next_us(&self) -> u64 {
        self.fast_us.unwrap_or(u64::MAX).min(self.sweep_us).min(self.news_us).min(self.stats_us)
    }
}

/// Whether a beat is due; then it is set on. A driver that was held up does not catch up on beats.
fn beat(due_us: &mut u64, every_us: u64, now_us: u64) -> bool {
    if now_us < *due_us {
        return false;
    }
    *due_us = (*due_us + every_us).max(now_us + every_us / 2);
    true
}

impl Relay {
    pub(super) fn upkeep<O: Outbox>(&mut self, now_us: u64, out: &mut O) {
        if self.schedule.fast_us.is_some_and(|due_us| due_us <= now_us) {
            self.schedule.fast_us = None;
            self.ask_for_missing(now_us, out);
            self.go_on_replaying(now_us, out);
            self.probe(now_us, true, out);
            if !self.replaying.is_empty() {
                self.schedule.hurry(now_us);
            }
        }
        if beat(&mut self.schedule.sweep_us, SWEEP_US, now_us) {
            self.sweep(now_us, out);
        }
        if beat(&mut self.schedule.news_us, NEWS_US, now_us) {
            self.tell_news(now_us, out);
        }
        if beat(&mut self.schedule.stats_us, STATS_US, now_us) {
            let elapsed_us = now_us.saturating_sub(self.schedule.stats_last_us);
            self.schedule.stats_last_us = now_us;
            let stats = self.snapshot(now_us, elapsed_us);
            out.event(Event::Stats(Box::new(stats)));
        }
    }

    fn ask_for_missing<O: Outbox>(&mut self, now_us: u64, out: &mut O) {
        let mut ask = Vec::new();
        let mut waiting = false;
        for index in 0..self.tracks.bound() {
            let Some(track) = self.tracks.get_mut(index) else { continue };
            let (is_video, tapped) = (track.is_video(), track.tapped);
            for (number, layer) in track.layers.iter_mut().enumerate() {
                if layer.nacks.is_empty() {
                    continue;
                }
                ask.clear();
                let gave_up = layer.nacks.due(now_us, &mut ask);
                waiting |= !layer.nacks.is_empty();
                if gave_up && is_video && (tapped || layer.watched) {
                    layer.gate.want();
                    self.keyframes_wanted = true;
                }
                let route = Route { track: index, layer: number as u8, repair: false };
                let Some(peer) = self.peers.get_mut(track.peer).filter(|_| !ask.is_empty()) else { continue };
                let Some(ssrc) = peer.routes.ssrc(route) else { continue };
                self.in_hand = Some(peer.id);
                rtcp::write_nack(&mut peer.rtcp, LOCAL_SSRC, ssrc, &ask);
                self.totals.nacks_sent += 1;
                send_compound(peer, 0, out);
            }
        }
        if waiting {
            self.schedule.hurry(now_us);
        }
    }

    fn sweep<O: Outbox>(&mut self, now_us: u64, out: &mut O) {
        self.judge_flow(now_us, out);
        self.look_after_slots(now_us, out);
        self.probe(now_us, false, out);
        let phase = self.schedule.phase;
        self.schedule.phase = (phase + 1) % REPORT_PHASES;
        for index in 0..self.peers.bound() {
            if index % REPORT_PHASES == phase {
                self.look_after_peer(now_us, index, out);
            }
            let Some(peer) = self.peers.get_mut(index) else { continue };
            self.in_hand = Some(peer.id);
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

    /// Keyframes that are awaited, sender reports that are due, retransmission budgets.
    fn look_after_slots<O: Outbox>(&mut self, now_us: u64, out: &mut O) {
        for index in 0..self.slots.bound() {
            let Some(slot) = self.slots.get_mut(index) else { continue };
            slot.refill();
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
            if slot.report_due_us > now_us || slot.counters.packets == 0 {
                continue;
            }
            // The publisher's own clock, carried on: its tracks stay in step with each other.
            let Some((origin, offset)) = slot.munger.timestamp_offset() else { continue };
            let running =
                slot.choice.current() == Some(origin.layer) && origin.generation == track.generation;
            let layer = track.layers.get(usize::from(origin.layer)).filter(|_| running);
            let Some(clock) = layer.and_then(|layer| layer.clock) else { continue };
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
    }

    /// Once a second: consent, and reports on what it publishes.
    fn look_after_peer<O: Outbox>(&mut self, now_us: u64, index: usize, out: &mut O) {
        let Some(peer) = self.peers.get_mut(index) else { return };
        let id = peer.id;
        self.in_hand = Some(id);
        if let Some(addresses) = peer.ice.expire(now_us) {
            for address in addresses {
                self.forget_address(address, index);
            }
            out.event(Event::PeerSilent { peer: id });
            return;
        }
        let mut blocks = Vec::new();
        let (mut expected, mut lost) = (0, 0);
        let mut bitrate_bps = 0;
        let mut round_trip_us = None;
        for number in &peer.tracks {
            let Some(track) = self.tracks.get_mut(*number) else { continue };
            for (layer_number, layer) in track.layers.iter_mut().enumerate() {
                let route = Route { track: *number, layer: layer_number as u8, repair: false };
                let Some(ssrc) = peer.routes.ssrc(route) else { continue };
                blocks.extend(layer.stats.report(ssrc, now_us));
                let interval = layer.stats.interval();
                expected += interval.0;
                lost += interval.1;
                bitrate_bps += layer.bitrate_bps;
                round_trip_us = round_trip_us.max(layer.nacks.rtt_us());
            }
        }
        if blocks.is_empty() {
            return;
        }
        peer.loss_in = if expected == 0 { 0.0 } else { lost as f32 / expected as f32 };
        // Nobody answers our reports on what only comes in; how long a retransmission takes is known.
        if let Some(round_trip_us) = round_trip_us.filter(|_| peer.subscriptions.is_empty()) {
            peer.rtt_us = round_trip_us;
        }
        for blocks in blocks.chunks(MAX_REPORT_BLOCKS) {
            rtcp::write_receiver_report(&mut peer.rtcp, LOCAL_SSRC, blocks);
            rtcp::write_sdes_cname(&mut peer.rtcp, LOCAL_SSRC, LOCAL_CNAME);
        }
        if peer.sending.remb && peer.receiving.extensions.transport_wide_cc == 0 {
            let ssrcs: Vec<u32> = blocks.iter().map(|block| block.ssrc).collect();
            let remb_bps = next_remb(peer.remb_bps, bitrate_bps, peer.loss_in);
            peer.remb_bps = remb_bps;
            rtcp::write_remb(&mut peer.rtcp, LOCAL_SSRC, remb_bps, &ssrcs);
        }
        send_compound(peer, COMPOUND_LEN, out);
    }

    /// Sends the keyframe requests that are wanted and whose layer's second has passed.
    pub(super) fn ask_for_keyframes<O: Outbox>(&mut self, now_us: u64, out: &mut O) {
        if !std::mem::take(&mut self.keyframes_wanted) {
            return;
        }
        for index in 0..self.tracks.bound() {
            let Some(track) = self.tracks.get_mut(index).filter(|track| track.is_video()) else { continue };
            for (number, layer) in track.layers.iter_mut().enumerate() {
                if !layer.gate.is_waiting() {
                    continue;
                }
                let route = Route { track: index, layer: number as u8, repair: false };
                let Some(peer) = self.peers.get_mut(track.peer) else { continue };
                let Some(ssrc) = peer.routes.ssrc(route).filter(|_| peer.destination().is_some()) else {
                    continue;
                };
                if !layer.gate.take_due(now_us) {
                    continue;
                }
                self.in_hand = Some(peer.id);
                rtcp::write_pli(&mut peer.rtcp, LOCAL_SSRC, ssrc);
                self.totals.keyframe_requests_sent += 1;
                send_compound(peer, 0, out);
            }
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

/// Sends what waits, once it is longer than `over`.
fn send_compound<O: Outbox>(peer: &mut Peer, over: usize, out: &mut O) {
    if peer.rtcp.len() <= over {
        return;
    }
    let compound = std::mem::take(&mut peer.rtcp);
    if let Some(to) = peer.destination() {
        send::rtcp(peer, to, &compound, out);
    }
    peer.rtcp = compound;
    peer.rtcp.clear();
}

/// What to tell a publisher without transport-wide feedback: more while nothing is lost, less when much is.
fn next_remb(last_bps: u64, received_bps: u64, loss: f32) -> u64 {
    let last_bps = if last_bps == 0 { REMB_START_BPS } else { last_bps };
    let next_bps = if loss > 0.1 {
        received_bps.min(last_bps) * 85 / 100
    } else if loss < 0.02 {
        // It must not run away from what was shown to pass.
        (last_bps * 108 / 100).min((received_bps * 3 / 2).max(last_bps))
    } else {
        last_bps
    };
    next_bps.clamp(REMB_RANGE_BPS.0, REMB_RANGE_BPS.1)
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn remb_grows_without_loss_and_falls_with_it() {
        assert_eq!(next_remb(0, 2_000_000, 0.0), 2_700_000);
        assert_eq!(next_remb(3_000_000, 500_000, 0.0), 3_000_000);
        assert_eq!(next_remb(3_000_000, 2_000_000, 0.05), 3_000_000);
        assert_eq!(next_remb(3_000_000, 2_000_000, 0.2), 1_700_000);
    }

    #[test]
    fn beats_do_not_pile_up() {
        let mut due_us = 1_000;
        assert!(!beat(&mut due_us, 100, 999));
        assert!(beat(&mut due_us, 100, 1_001));
        assert_eq!(due_us, 1_100);
        assert!(beat(&mut due_us, 100, 9_000));
        assert_eq!(due_us, 9_050);
    }
}
