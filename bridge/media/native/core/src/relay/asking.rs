//! What publishers are asked for and told: missing packets, keyframes, how well their packets arrive.

use super::send::{COMPOUND_LEN, send_compound};
use super::{LOCAL_SSRC, Relay};
use crate::api::{Event, Outbox};
use crate::routes::Route;
use crate::wire::rtcp;

const MAX_REPORT_BLOCKS: usize = 31;
const LOCAL_CNAME: &str = "bridge";
const REMB_START_BPS: u64 = 2_500_000;
const REMB_RANGE_BPS: (u64, u64) = (150_000, 20_000_000);

impl Relay {
    pub(super) fn ask_for_missing<O: Outbox>(&mut self, now_us: u64, out: &mut O) {
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

    /// Once a second: consent, and reports on what it publishes.
    pub(super) fn look_after_peer<O: Outbox>(&mut self, now_us: u64, index: usize, out: &mut O) {
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
        let loss = if expected == 0 { 0.0 } else { lost as f32 / expected as f32 };
        peer.loss_in.count(expected as u32, loss, now_us);
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
            let remb_bps = next_remb(peer.remb_bps, bitrate_bps, loss);
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
mod tests {
    use super::*;

    #[test]
    fn remb_grows_without_loss_and_falls_with_it() {
        assert_eq!(next_remb(0, 2_000_000, 0.0), 2_700_000);
        assert_eq!(next_remb(3_000_000, 500_000, 0.0), 3_000_000);
        assert_eq!(next_remb(3_000_000, 2_000_000, 0.05), 3_000_000);
        assert_eq!(next_remb(3_000_000, 2_000_000, 0.2), 1_700_000);
    }
}
