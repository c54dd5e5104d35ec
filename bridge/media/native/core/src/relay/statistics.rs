//! Totals, and the snapshot of everything that is made of them once a second.

use super::Relay;
use crate::api::{LayerStats, PeerStats, RelayStats, Stats, SubscriptionStats};

/// Counters of [`RelayStats`] that the relay counts itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub packets_in: u64,
    pub bytes_in: u64,
    pub packets_out: u64,
    pub bytes_out: u64,
    pub unknown_sender: u64,
    pub malformed: u64,
    pub unauthenticated: u64,
    pub replayed: u64,
    pub dropped_out: u64,
    pub nacks_sent: u64,
    pub keyframe_requests_sent: u64,
    pub keyframe_requests_received: u64,
}

impl Totals {
    /// A media packet went out.
    pub fn sent(&mut self, len: usize) {
        self.packets_out += 1;
        self.bytes_out += len as u64;
    }
}

fn per_second(amount: u64, elapsed_us: u64) -> u64 {
    amount.saturating_mul(1_000_000) / elapsed_us.max(1)
}

impl Relay {
    /// `elapsed_us`: since the last snapshot.
    pub(super) fn snapshot(&mut self, now_us: u64, elapsed_us: u64) -> Stats {
        Stats {
            peers: self.peer_stats(now_us, elapsed_us),
            layers: self.layer_stats(now_us, elapsed_us),
            subscriptions: self.subscription_stats(elapsed_us),
            relay: self.relay_stats(),
        }
    }

    fn peer_stats(&mut self, now_us: u64, elapsed_us: u64) -> Vec<PeerStats> {
        let mut stats = Vec::new();
        for (id, peer) in self.peers.iter_mut() {
            let traffic = &mut peer.traffic;
            let bytes_in = traffic.bytes_in - std::mem::replace(&mut traffic.bytes_in_told, traffic.bytes_in);
            let bytes_out =
                traffic.bytes_out - std::mem::replace(&mut traffic.bytes_out_told, traffic.bytes_out);
            stats.push(PeerStats {
                peer: id,
                rtt_us: u32::try_from(peer.rtt_us).unwrap_or(u32::MAX),
                loss_out: peer.loss_out.share(),
                loss_in: peer.loss_in.share(),
                estimate_bps: peer.estimate.estimate_bps(now_us).unwrap_or(0),
                bitrate_in_bps: per_second(bytes_in * 8, elapsed_us),
                bitrate_out_bps: per_second(bytes_out * 8, elapsed_us),
                dropped: traffic.dropped,
            });
        }
        stats
    }

    fn layer_stats(&mut self, now_us: u64, elapsed_us: u64) -> Vec<LayerStats> {
        let mut stats = Vec::new();
        for (id, track) in self.tracks.iter_mut() {
            for (number, layer) in track.layers.iter_mut().enumerate() {
                let Some(codec) = layer.codec else { continue };
                let frames = layer.frames - std::mem::replace(&mut layer.frames_told, layer.frames);
                stats.push(LayerStats {
                    track: id,
                    layer: number as u8,
                    codec,
                    bitrate_bps: layer.rate.bitrate_bps(now_us),
                    frames_per_second: (frames as f64 * 1e6 / elapsed_us.max(1) as f64) as f32,
                    width: layer.width,
                    height: layer.height,
                    packets: layer.stats.packets(),
                    lost: layer.stats.lost(),
                    recovered: layer.recovered,
                    jitter_us: layer.stats.jitter_us(),
                    keyframes: layer.keyframes,
                });
            }
        }
        stats
    }

    fn subscription_stats(&mut self, elapsed_us: u64) -> Vec<SubscriptionStats> {
        let mut stats = Vec::new();
        for (id, slot) in self.slots.iter_mut() {
            let counters = &mut slot.counters;
            let bytes = counters.bytes - std::mem::replace(&mut counters.bytes_told, counters.bytes);
            stats.push(SubscriptionStats {
                subscription: id,
                layer: slot.choice.current(),
                bitrate_bps: per_second(bytes * 8, elapsed_us),
                packets: counters.packets,
                retransmitted: counters.retransmitted,
                nacked: counters.nacked,
                dropped: counters.dropped,
                keyframe_requests: counters.keyframe_requests,
            });
        }
        stats
    }

    fn relay_stats(&self) -> RelayStats {
        let totals = &self.totals;
        RelayStats {
            packets_in: totals.packets_in,
            bytes_in: totals.bytes_in,
            packets_out: totals.packets_out,
            bytes_out: totals.bytes_out,
            unknown_sender: totals.unknown_sender,
            malformed: totals.malformed,
            unauthenticated: totals.unauthenticated,
            replayed: totals.replayed,
            dropped_out: totals.dropped_out,
            nacks_sent: totals.nacks_sent,
            keyframe_requests_sent: totals.keyframe_requests_sent,
            keyframe_requests_received: totals.keyframe_requests_received,
            transit: self.transit.buckets(),
            transit_sum_us: self.transit.sum_us(),
        }
    }
}
