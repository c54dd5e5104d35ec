//! RTCP from peers: publishers' clocks, receivers' losses and wishes. What to do about them is `upkeep` and `send`.

use std::net::SocketAddr;

use super::Relay;
use super::send::{self, Copy, Sent, Turn};
use crate::api::Outbox;
use crate::clock::SenderClock;
use crate::wire::rtcp::{self, ReportBlock, RtcpPacket, SenderInfo};

/// Longer than any use of it; a hostile peer's report does not define a round trip.
const MAX_ROUND_TRIP_US: u64 = 10_000_000;
/// A queue that is said to be longer is a clock that was set.
const LONGEST_STANDING_US: u64 = 500_000;

impl Relay {
    pub(super) fn take_rtcp<O: Outbox>(
        &mut self,
        now_us: u64,
        from: SocketAddr,
        datagram: &mut [u8],
        out: &mut O,
    ) {
        let Some(owner) = self.sender_of(from) else { return };
        let Some(peer) = self.peers.get_mut(owner) else { return };
        let Some(receiver) = &mut peer.receiver else {
            self.totals.unauthenticated += 1;
            return;
        };
        let wire_len = datagram.len();
        let len = match receiver.unprotect_rtcp(datagram) {
            Ok(len) => len,
            Err(error) => {
                self.count_refused(error);
                return;
            }
        };
        peer.ice.heard(now_us);
        peer.traffic.bytes_in += wire_len as u64;
        let compound = datagram.get(..len).unwrap_or_default();
        for packet in rtcp::parse(compound) {
            match packet {
                Ok(packet) => self.take_report(now_us, owner, packet, out),
                Err(_) => self.totals.malformed += 1,
            }
        }
    }

    fn take_report<O: Outbox>(&mut self, now_us: u64, owner: usize, packet: RtcpPacket<'_>, out: &mut O) {
        match packet {
            RtcpPacket::SenderReport { ssrc, info, reports } => {
                self.take_sender_info(now_us, owner, ssrc, &info);
                reports.for_each(|block| self.take_block(now_us, owner, &block));
            }
            RtcpPacket::ReceiverReport { reports, .. } => {
                reports.for_each(|block| self.take_block(now_us, owner, &block));
            }
            RtcpPacket::Nack { media, sequences, .. } => self.resend(now_us, owner, media, sequences, out),
            RtcpPacket::TransportFeedback(feedback) => {
                if let Some(slot) = self.slot_of(owner, feedback.media) {
                    self.acknowledged(slot);
                }
                if let Some(peer) = self.peers.get_mut(owner) {
                    peer.estimate.feedback(feedback.arrivals(), peer.rtt_us, now_us);
                }
            }
            RtcpPacket::PictureLoss { media, .. } => self.want_keyframe(owner, media),
            RtcpPacket::FullIntraRequest { entries, .. } => {
                entries.for_each(|(ssrc, _)| self.want_keyframe(owner, ssrc));
            }
            RtcpPacket::Remb { bitrate_bps, .. } => {
                if let Some(peer) = self.peers.get_mut(owner) {
                    peer.estimate.remb(bitrate_bps, now_us);
                }
            }
            // Names and farewells are signalling's business.
            RtcpPacket::SourceDescription { .. } | RtcpPacket::Goodbye { .. } | RtcpPacket::Other { .. } => {}
        }
    }

    fn take_sender_info(&mut self, now_us: u64, owner: usize, ssrc: u32, info: &SenderInfo) {
        let Some(peer) = self.peers.get(owner) else { return };
        let Some(route) = peer.routes.find(ssrc).filter(|route| !route.repair) else { return };
        let Some(track) = self.tracks.get_mut(route.track) else { return };
        let Some(layer) = track.layers.get_mut(usize::from(route.layer)) else { return };
        layer.stats.sender_report(info.ntp, now_us);
        let codec = layer.codec;
        let Some(row) = peer.receiving.payloads.iter().find(|row| Some(row.codec) == codec) else { return };
        // Some senders report before they know the time.
        if info.ntp != 0 {
            layer.clock = Some(SenderClock {
                ntp: info.ntp,
                rtp_timestamp: info.rtp_timestamp,
                arrived_us: now_us,
                clock_rate_hz: row.clock_rate_hz,
            });
        }
    }

    /// The subscription of a peer that sends with an SSRC.
    fn slot_of(&self, owner: usize, ssrc: u32) -> Option<usize> {
        let peer = self.peers.get(owner)?;
        peer.subscriptions
            .iter()
            .copied()
            .find(|index| self.slots.get(*index).is_some_and(|slot| slot.spec.ssrc == ssrc))
    }

    fn acknowledged(&mut self, slot: usize) {
        if let Some(slot) = self.slots.get_mut(slot).filter(|slot| slot.counters.packets > 0) {
            slot.acknowledged();
        }
    }

    fn take_block(&mut self, now_us: u64, owner: usize, block: &ReportBlock) {
        let Some(index) = self.slot_of(owner, block.ssrc) else { return };
        self.acknowledged(index);
        let Some(slot) = self.slots.get_mut(index) else { return };
        let reported = slot.told_of(block.highest_sequence);
        let round_trip_us = slot
            .round_trip_us(block.last_sender_report, block.delay_since_last, now_us)
            .filter(|round_trip_us| *round_trip_us <= MAX_ROUND_TRIP_US);
        let Some(peer) = self.peers.get_mut(owner) else { return };
        if let Some(sample_us) = round_trip_us {
            peer.rtt_us = if peer.rtt_us == 0 { sample_us.max(1) } else { (peer.rtt_us * 7 + sample_us) / 8 };
        }
        let share = f32::from(block.fraction_lost) / 256.0;
        peer.loss_out.count(reported, share, now_us);
        if slot.is_video() || peer.subscriptions.len() == 1 {
            peer.estimate.reported_loss(share, now_us);
        }
    }

    fn want_keyframe(&mut self, owner: usize, media: u32) {
        self.totals.keyframe_requests_received += 1;
        let Some(slot) = self.slot_of(owner, media).and_then(|index| self.slots.get_mut(index)) else {
            return;
        };
        slot.counters.keyframe_requests += 1;
        let Some(track) = slot.source.and_then(|source| self.tracks.get_mut(source.track)) else { return };
        let wanted = slot.choice.current().or_else(|| slot.choice.target(track.flowing));
        if let Some(layer) = wanted.and_then(|layer| track.layers.get_mut(usize::from(layer)))
            && !track.paused
        {
            layer.gate.want();
            self.keyframes_wanted = true;
        }
    }

    /// Answers a generic NACK from the shared ring.
    fn resend<O: Outbox>(
        &mut self,
        now_us: u64,
        owner: usize,
        media: u32,
        sequences: impl Iterator<Item = u16>,
        out: &mut O,
    ) {
        let Some(slot) = self.slot_of(owner, media).and_then(|index| self.slots.get_mut(index)) else {
            return;
        };
        let Some(peer) = self.peers.get_mut(owner) else { return };
        let Some(to) = peer.destination() else { return };
        let turn = Turn::new(now_us);
        let wait_us =
            (peer.rtt_us / 2).clamp(10_000, 100_000) + peer.estimate.standing_us().min(LONGEST_STANDING_US);
        for sent in sequences {
            slot.counters.nacked += 1;
            let Some((origin, source)) = slot.munger.origin(sent) else { continue };
            let track = self.tracks.get(origin.track).filter(|track| track.generation == origin.generation);
            let Some(track) = track.filter(|track| !track.paused) else { continue };
            let Some(layer) = track.layers.get(usize::from(origin.layer)) else { continue };
            let Some((head, payload)) = layer.ring.get(source) else { continue };
            let Some(munged) = slot.munger.resend(sent, &head.source()) else { continue };
            // A line that was too thin for a layer is not filled with what is left of it.
            let given_up =
                slot.is_video() && slot.choice.current().is_none_or(|current| current < origin.layer);
            if source <= layer.floor || given_up || !slot.may_resend(sent, wait_us, now_us) {
                continue;
            }
            if !peer.rtx.take(payload.len()) {
                continue;
            }
            slot.resending(sent, now_us);
            match send::again(peer, slot, to, Copy { head, payload, munged }, turn, out) {
                Sent::Done(len) => self.totals.sent(len),
                Sent::Failed => {}
                Sent::NoRoom => {
                    slot.counters.dropped += 1;
                    peer.traffic.dropped += 1;
                    self.totals.dropped_out += 1;
                    return;
                }
            }
        }
    }
}
