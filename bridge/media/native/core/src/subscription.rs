//! One subscriber's slot: what it shows, how its stream stays continuous, how its headers look. Sending itself is
//! `relay::send`.

use std::collections::VecDeque;

use crate::api::{Codec, LayerIndex, MediaKind, SubscriptionId, SubscriptionSpec};
use crate::layers::LayerChoice;
use crate::munge::Munger;
use crate::peer::{Peer, Used};
use crate::srtp::StreamSlot;
use crate::wire::rtp::{HeaderTemplate, RtpError};

/// Sender reports that a receiver may still answer.
const REPORTS_KEPT: usize = 8;
const RESENT_KEPT: usize = 128;

/// Which track is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    pub track: usize,
    pub generation: u64,
}

/// Catching up from the ring: everything from `next` on goes out in order, paced.
#[derive(Clone, Copy, Debug)]
pub struct Replay {
    pub next: u64,
    pub paced_us: u64,
    /// Bytes that may go out now.
    pub credit: u64,
}

/// Headers and cipher streams for the codec that is being sent.
pub struct Outgoing {
    pub codec: Codec,
    pub media: HeaderTemplate,
    pub slot: StreamSlot,
    pub rtx: Option<(HeaderTemplate, StreamSlot)>,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    pub packets: u64,
    pub payload_bytes: u64,
    pub bytes: u64,
    pub bytes_told: u64,
    pub retransmitted: u64,
    pub nacked: u64,
    pub dropped: u64,
    pub keyframe_requests: u64,
}

pub struct Subscription {
    pub id: SubscriptionId,
    pub peer: usize,
    pub spec: SubscriptionSpec,
    pub source: Option<Source>,
    pub choice: LayerChoice,
    pub told_layer: Option<LayerIndex>,
    pub munger: Munger,
    pub replay: Option<Replay>,
    /// Newly attached or resumed: may begin with what the ring has. Cleared at the beginning, so that a stream that
    /// breaks off is not replayed again and again.
    pub fresh: bool,
    /// The rest of the frame with this outgoing time stamp is left out: a packet of it found no room.
    pub skip_timestamp: Option<u32>,
    pub outgoing: Option<Outgoing>,
    pub counters: Counters,
    pub report_due_us: u64,
    rtx_used: u64,
    /// What is subtracted from sequence numbers for the packet index: keys may be younger than the stream.
    media_base: u64,
    rtx_base: u64,
    /// The mid is sent until the peer has shown that it knows the SSRC.
    sends_mid: bool,
    /// Middle of the NTP time of a report, and when it was sent.
    reports: VecDeque<(u32, u64)>,
    resent: VecDeque<(u16, u64)>,
    /// The highest sequence number that the peer said it has.
    highest_told: Option<u32>,
}

impl Subscription {
    #[must_use]
    pub fn new(id: SubscriptionId, peer: usize, spec: SubscriptionSpec, used: Used) -> Self {
        Self {
            id,
            peer,
            spec,
            source: None,
            choice: LayerChoice::default(),
            told_layer: None,
            munger: Munger::new((used.media > 0).then_some(used.media)),
            replay: None,
            fresh: true,
            skip_timestamp: None,
            outgoing: None,
            counters: Counters::default(),
            report_due_us: 0,
            rtx_used: used.rtx,
            media_base: 0,
            rtx_base: 0,
            sends_mid: true,
            reports: VecDeque::new(),
            resent: VecDeque::new(),
            highest_told: None,
        }
    }

    #[must_use]
    pub fn is_video(&self) -> bool {
        self.spec.kind == MediaKind::Video
    }

    /// Nothing is being shown until a new beginning.
    pub fn stop(&mut self) {
        self.choice.set_current(None);
        self.replay = None;
        self.skip_timestamp = None;
    }

    /// What the SSRCs used, as indices under the present keys.
    #[must_use]
    pub fn used(&self) -> Used {
        Used { media: self.munger.highest_sent() - self.media_base, rtx: self.rtx_used - self.rtx_base }
    }

    /// The peer has other keys: packet indices start again near zero, with the same low 16 bits.
    pub fn keys_changed(&mut self) {
        self.media_base = self.munger.highest_sent() & !0xffff;
        self.rtx_base = self.rtx_used & !0xffff;
        self.outgoing = None;
    }

    #[must_use]
    pub fn media_index(&self, sequence: u64) -> Option<u64> {
        sequence.checked_sub(self.media_base)
    }

    /// The next sequence number of the RTX stream, and its packet index.
    pub fn next_rtx(&mut self) -> (u16, u64) {
        self.rtx_used += 1;
        (self.rtx_used as u16, self.rtx_used - self.rtx_base)
    }

    /// The peer reported on our SSRC: it has bound it, the mid is no longer needed.
    pub fn acknowledged(&mut self) {
        if self.sends_mid {
            self.sends_mid = false;
            self.outgoing = None;
        }
    }

    /// Makes `outgoing` fit the codec. False: this slot cannot carry it, or the peer is not ready.
    pub fn prepare(&mut self, peer: &mut Peer, codec: Codec) -> bool {
        if self.outgoing.as_ref().is_some_and(|outgoing| outgoing.codec == codec) {
            return true;
        }
        self.outgoing = self.build_outgoing(peer, codec);
        self.outgoing.is_some()
    }

    fn build_outgoing(&self, peer: &mut Peer, codec: Codec) -> Option<Outgoing> {
        let row = self.spec.payloads.iter().find(|row| row.codec == codec)?;
        let sender = peer.sender.as_mut()?;
        let slot = sender.stream(self.spec.ssrc).ok()?;
        let media = self.template(peer, self.spec.ssrc, row.payload_type).ok()?;
        let mut rtx = None;
        if row.rtx_payload_type != 0 && self.spec.rtx_ssrc != 0 {
            let rtx_slot = peer.sender.as_mut()?.stream(self.spec.rtx_ssrc).ok()?;
            rtx = Some((self.template(peer, self.spec.rtx_ssrc, row.rtx_payload_type).ok()?, rtx_slot));
        }
        Some(Outgoing { codec, media, slot, rtx })
    }

    fn template(&self, peer: &Peer, ssrc: u32, payload_type: u8) -> Result<HeaderTemplate, RtpError> {
        let ids = &peer.sending.extensions;
        let mut template = HeaderTemplate::new(ssrc, payload_type);
        if ids.abs_send_time != 0 {
            template.push_abs_send_time(ids.abs_send_time)?;
        }
        if ids.transport_wide_cc != 0 {
            template.push_transport_sequence(ids.transport_wide_cc)?;
        }
        if self.sends_mid && ids.mid != 0 && !self.spec.mid.is_empty() {
            // A mid too long for the extension is left out; the SSRC in the offer has to do.
            let _ = template.push_extension(ids.mid, self.spec.mid.as_bytes());
        }
        Ok(template)
    }

    /// Whether to send a packet again, as far as this stream knows: what was sent again less than `wait_us` ago may still
    /// be under way.
    #[must_use]
    pub fn may_resend(&self, sent: u16, wait_us: u64, now_us: u64) -> bool {
        !self.resent.iter().any(|(known, at_us)| *known == sent && now_us < at_us + wait_us)
    }

    /// A packet is being sent again.
    pub fn resending(&mut self, sent: u16, now_us: u64) {
        if self.resent.len() == RESENT_KEPT {
            self.resent.pop_front();
        }
        self.resent.push_back((sent, now_us));
    }

    pub fn reported(&mut self, ntp: u64, now_us: u64) {
        if self.reports.len() == REPORTS_KEPT {
            self.reports.pop_front();
        }
        self.reports.push_back(((ntp >> 16) as u32, now_us));
    }

    /// How many packets a report block is about: those since the one before it.
    pub fn told_of(&mut self, highest: u32) -> u32 {
        let before = self.highest_told.replace(highest).unwrap_or(highest);
        let since = highest.wrapping_sub(before);
        // A number before the last one is a report that was overtaken.
        if since < u32::MAX / 2 { since } else { 0 }
    }

    /// The round trip that a report block shows (RFC 3550 section 6.4.1), `delay` in 1/65536 s.
    #[must_use]
    pub fn round_trip_us(&self, last_report: u32, delay: u32, now_us: u64) -> Option<u64> {
        let (_, sent_us) = self.reports.iter().rev().find(|(compact, _)| *compact == last_report)?;
        let delay_us = u64::from(delay) * 1_000_000 / 65_536;
        // A peer that claims a longer delay than there was is not believed.
        now_us.saturating_sub(*sent_us).checked_sub(delay_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(used: Used) -> Subscription {
        let spec = SubscriptionSpec {
            kind: MediaKind::Video,
            mid: "0".into(),
            ssrc: 1,
            rtx_ssrc: 2,
            payloads: Vec::new(),
            cname: "c".into(),
        };
        Subscription::new(SubscriptionId(1), 0, spec, used)
    }

    #[test]
    fn round_trip_is_measured_from_the_report_it_answers() {
        let mut slot = subscription(Used::default());
        slot.reported(0x0000_1111_2222_3333, 1_000_000);
        assert_eq!(slot.round_trip_us(0x1111_2222, 65_536 / 2, 1_540_000), Some(40_000));
        assert_eq!(slot.round_trip_us(0x1111_2222, 65_536 * 9, 1_540_000), None);
        assert_eq!(slot.round_trip_us(0x9999_2222, 0, 1_540_000), None);
    }

    #[test]
    fn a_packet_is_not_sent_again_while_it_may_be_under_way() {
        let mut slot = subscription(Used::default());
        assert!(slot.may_resend(5, 20_000, 0));
        assert!(slot.may_resend(5, 20_000, 0), "looking is not sending");
        slot.resending(5, 0);
        assert!(!slot.may_resend(5, 20_000, 10_000));
        assert!(slot.may_resend(6, 20_000, 10_000));
        assert!(slot.may_resend(5, 20_000, 20_000));
    }

    #[test]
    fn new_keys_start_indices_again_and_a_used_ssrc_goes_on() {
        let mut slot = subscription(Used { media: 70_000, rtx: 66_000 });
        assert_eq!(slot.media_index(70_001), Some(70_001));
        assert_eq!(slot.next_rtx(), (66_001_u64 as u16, 66_001));
        slot.keys_changed();
        assert_eq!(slot.media_index(70_001), Some(70_001 - 65_536));
        assert_eq!(slot.next_rtx(), (66_002_u64 as u16, 66_002 - 65_536));
        assert_eq!(slot.used(), Used { media: 70_000 - 65_536, rtx: 66_002 - 65_536 });
    }
}
